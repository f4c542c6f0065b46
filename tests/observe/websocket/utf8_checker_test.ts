import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { Utf8Checker } from "../../../src/observe/websocket/utf8_checker.ts";
import { cutInto } from "../../support/golden.ts";

function isUtf8(bytes: Uint8Array): boolean {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}

function check(reads: readonly Uint8Array[]): boolean {
  const checker = new Utf8Checker();
  for (const read of reads) checker.push(read);
  return checker.end();
}

/** Text, and octets that nearly are. */
const octets = fc.oneof(
  fc.string({ unit: "binary", maxLength: 12 }).map((text) => new TextEncoder().encode(text)),
  fc.array(
    fc.constantFrom(
      0x41,
      0x7f,
      0x80,
      0x8f,
      0x90,
      0x9f,
      0xa0,
      0xbf,
      0xc1,
      0xc2,
      0xdf,
      0xe0,
      0xed,
      0xef,
      0xf0,
      0xf4,
      0xf5,
    ),
    { maxLength: 6 },
  ).map((list) => Uint8Array.from(list)),
);

Deno.test("Utf8Checker agrees with the platform's decoder, however the text is cut", () => {
  fc.assert(
    fc.property(octets, fc.integer({ min: 1, max: 5 }), (bytes, size) => {
      assertEquals(check([bytes]), isUtf8(bytes));
      assertEquals(check(cutInto(bytes, size)), isUtf8(bytes));
    }),
    { numRuns: 3000 },
  );
});

Deno.test("Utf8Checker says no at the octet that cannot be, not at the end", () => {
  const checker = new Utf8Checker();
  checker.push(Uint8Array.of(0xf4));
  assertEquals(checker.valid, true);
  checker.push(Uint8Array.of(0x90));
  assertEquals(checker.valid, false);
  checker.reset();
  checker.push(Uint8Array.of(0x80));
  assertEquals(checker.valid, false);
});
