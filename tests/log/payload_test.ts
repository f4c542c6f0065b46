import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { payloadAttributes } from "../../src/log/payload.ts";

const bytes = (...values: number[]) => new Uint8Array(values);

Deno.test("payloadAttributes gives text for UTF-8, a byte order mark and NUL included", () => {
  assertEquals(payloadAttributes(bytes()), { data: "" });
  assertEquals(payloadAttributes(bytes(0xef, 0xbb, 0xbf, 0, 0x61)), { data: "\ufeff\0a" });
  assertEquals(payloadAttributes(bytes(0xf0, 0x9f, 0x98, 0x80)), { data: "😀" });
});

Deno.test("payloadAttributes gives base64 for anything else: cut, overlong, surrogate, too large", () => {
  assertEquals(payloadAttributes(bytes(0x61, 0xc3)), { data_base64: "YcM=" });
  assertEquals(payloadAttributes(bytes(0xc0, 0x80)), { data_base64: "wIA=" });
  assertEquals(payloadAttributes(bytes(0xed, 0xa0, 0x80)), { data_base64: "7aCA" });
  assertEquals(payloadAttributes(bytes(0xf4, 0x90, 0x80, 0x80)), { data_base64: "9JCAgA==" });
});

Deno.test("payloadAttributes finds a fault also behind a long run of text", () => {
  const text = new Uint8Array(1000).fill(0x61);
  text[999] = 0xff;
  assertEquals(Object.keys(payloadAttributes(text)), ["data_base64"]);
  // A character across the end of the probed part is still one character.
  for (let at = 120; at < 130; at++) {
    const wide = new Uint8Array(300).fill(0x61);
    wide.set([0xf0, 0x9f, 0x98, 0x80], at);
    assertEquals(Object.keys(payloadAttributes(wide)), ["data"]);
  }
});

Deno.test("payloadAttributes loses no byte and agrees with the platform on what UTF-8 is", () => {
  const text = fc.string({ unit: "binary", maxLength: 200 }).map((value) => new TextEncoder().encode(value));
  const mixed = fc.array(fc.oneof(text, fc.uint8Array({ maxLength: 4 })), { maxLength: 4 })
    .map((parts) => new Uint8Array(parts.flatMap((part) => [...part])));
  fc.assert(
    fc.property(fc.oneof(text, mixed, fc.uint8Array({ maxLength: 300 })), (input) => {
      const payload = payloadAttributes(input);
      const back = "data" in payload
        ? new TextEncoder().encode(payload.data)
        : Uint8Array.fromBase64(payload.data_base64);
      assertEquals(back, input);
      let valid = true;
      try {
        new TextDecoder("utf-8", { fatal: true }).decode(input);
      } catch {
        valid = false;
      }
      assertEquals("data" in payload, valid);
    }),
    { numRuns: 300 },
  );
});
