import { assertEquals } from "@std/assert";
import { quoteFound } from "../../src/http/quote.ts";

Deno.test("quoteFound shows nothing that a terminal would act on, and at most 64 characters", () => {
  assertEquals(quoteFound('a"b\\c'), '"a\\"b\\\\c"');
  assertEquals(quoteFound("\x1b[31m\r\n\0\x7f\xe9"), '"\\x1b[31m\\x0d\\x0a\\x00\\x7f\\xe9"');
  assertEquals(quoteFound("a".repeat(64)), `"${"a".repeat(64)}"`);
  assertEquals(quoteFound("a".repeat(65)), `"${"a".repeat(64)}…"`);
});
