import { assertEquals } from "@std/assert";
import { HTTP1_ERROR_CODES, quoteFound, quoteOctet } from "../../src/http1/errors.ts";

Deno.test("HTTP1_ERROR_CODES are snake_case and each there once", () => {
  for (const code of HTTP1_ERROR_CODES) assertEquals(/^[a-z0-9]+(_[a-z0-9]+)*$/.test(code), true, code);
  assertEquals(new Set(HTTP1_ERROR_CODES).size, HTTP1_ERROR_CODES.length);
});

Deno.test("quoteFound shows nothing that a terminal would act on, and at most 64 characters", () => {
  assertEquals(quoteFound('a"b\\c'), '"a\\"b\\\\c"');
  assertEquals(quoteFound("\x1b[31m\r\n\0\x7f\xe9"), '"\\x1b[31m\\x0d\\x0a\\x00\\x7f\\xe9"');
  assertEquals(quoteFound("a".repeat(64)), `"${"a".repeat(64)}"`);
  assertEquals(quoteFound("a".repeat(65)), `"${"a".repeat(64)}…"`);
});

Deno.test("quoteOctet writes two hexadecimal digits", () => {
  assertEquals([quoteOctet(0), quoteOctet(0x0b), quoteOctet(255)], ["0x00", "0x0b", "0xff"]);
});
