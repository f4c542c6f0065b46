import { assertEquals } from "@std/assert";
import { wholeCharacters } from "../../src/observe/utf8.ts";

Deno.test("wholeCharacters leaves out the beginning of a character, and nothing else", () => {
  const text = new TextEncoder().encode("aé€😀");
  const ends = [...text.keys()].map((length) => wholeCharacters(text.subarray(0, length + 1)).length);
  assertEquals(ends, [1, 1, 3, 3, 3, 6, 6, 6, 6, 10]);
  for (const other of [[], [0xff], [0x80, 0x80, 0x80, 0x80], [0xc3, 0xa9, 0x80]]) {
    const kept = wholeCharacters(Uint8Array.from(other));
    assertEquals(kept.length, other[0] === 0xff ? 0 : other.length);
  }
});
