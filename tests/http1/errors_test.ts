import { assertEquals } from "@std/assert";
import { HTTP1_ERROR_CODES, http1Error, isLimit, quoteOctet } from "../../src/http1/errors.ts";

Deno.test("HTTP1_ERROR_CODES are snake_case and each there once", () => {
  for (const code of HTTP1_ERROR_CODES) assertEquals(/^[a-z0-9]+(_[a-z0-9]+)*$/.test(code), true, code);
  assertEquals(new Set(HTTP1_ERROR_CODES).size, HTTP1_ERROR_CODES.length);
});

Deno.test("quoteOctet writes two hexadecimal digits", () => {
  assertEquals([quoteOctet(0), quoteOctet(0x0b), quoteOctet(255)], ["0x00", "0x0b", "0xff"]);
});

Deno.test("isLimit tells what is too large from what is wrong", () => {
  const limits = HTTP1_ERROR_CODES.filter((code) => isLimit(http1Error(code, "", 0, "")));
  assertEquals(limits, ["head_too_large", "too_many_fields"]);
});
