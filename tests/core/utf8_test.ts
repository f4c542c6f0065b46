import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { decodeUtf8 } from "../../src/core/utf8.ts";

function byThePlatform(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

Deno.test("decodeUtf8 tells a replacement character that was sent from one that stands for a fault", () => {
  const sent = new TextEncoder().encode("a\ufffdb");
  assertEquals(decodeUtf8(sent), "a\ufffdb");
  assertEquals(decodeUtf8(Uint8Array.of(...sent, 0xff)), null);
  const long = new TextEncoder().encode("x".repeat(500) + "\ufffd");
  assertEquals(decodeUtf8(long), "x".repeat(500) + "\ufffd");
  assertEquals(decodeUtf8(long.subarray(0, long.length - 1)), null);
});

Deno.test("decodeUtf8 keeps a byte order mark", () => {
  assertEquals(decodeUtf8(Uint8Array.of(0xef, 0xbb, 0xbf, 0x61)), "\ufeffa");
});

Deno.test("decodeUtf8 agrees with the platform on what UTF-8 is, also behind a long run of text", () => {
  const piece = fc.oneof(
    fc.string({ unit: "binary", maxLength: 40 }).map((text) => new TextEncoder().encode(text)),
    fc.uint8Array({ maxLength: 4 }),
    fc.constantFrom("\ufffd", "é", "x".repeat(200)).map((text) => new TextEncoder().encode(text)),
  );
  fc.assert(fc.property(fc.array(piece, { maxLength: 5 }), (pieces) => {
    const bytes = new Uint8Array(pieces.flatMap((one) => [...one]));
    assertEquals(decodeUtf8(bytes), byThePlatform(bytes));
  }));
});
