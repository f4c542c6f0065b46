import { assertEquals } from "@std/assert";
import { HTTP1_ERROR_CODES, quoteOctet } from "../../src/http1/errors.ts";

Deno.test("HTTP1_ERROR_CODES are snake_case and each there once", () => {
  for (const code of HTTP1_ERROR_CODES) assertEquals(/^[a-z0-9]+(_[a-z0-9]+)*$/.test(code), true, code);
  assertEquals(new Set(HTTP1_ERROR_CODES).size, HTTP1_ERROR_CODES.length);
});

Deno.test("quoteOctet writes two hexadecimal digits", () => {
  assertEquals([quoteOctet(0), quoteOctet(0x0b), quoteOctet(255)], ["0x00", "0x0b", "0xff"]);
});
