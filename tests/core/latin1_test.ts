import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { latin1Bytes, readLatin1, writeLatin1 } from "../../src/core/latin1.ts";

Deno.test("readLatin1 gives each octet as the character of its code, also of a view", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(20), fc.nat(20), (bytes, before, after) => {
    const text = String.fromCharCode(...bytes);
    const memory = new Uint8Array(before + bytes.length + after).fill(0x58);
    memory.set(bytes, before);
    const view = memory.subarray(before);
    assertEquals(readLatin1(memory, before, before + bytes.length), text);
    assertEquals(readLatin1(view, 0, bytes.length), text);
    assertEquals(latin1Bytes(text), bytes);
  }));
});

Deno.test("writeLatin1 writes the octets of a text and no others", () => {
  const bytes = new Uint8Array(6).fill(1);
  writeLatin1("\xff\0a", bytes, 2);
  assertEquals([...bytes], [1, 1, 0xff, 0, 0x61, 1]);
  writeLatin1("", bytes, 6);
});
