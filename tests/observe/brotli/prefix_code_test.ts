import { assertEquals } from "@std/assert";
import { MISSING } from "../../../src/observe/brotli/bits.ts";
import { PrefixCode } from "../../../src/observe/brotli/prefix_code.ts";

Deno.test("PrefixCode numbers codes by length, then by symbol, and reads them from their first bit", () => {
  // RFC 7932 §3.2: A to H have 010, 011, 100, 101, 110, 00, 1110 and 1111.
  const code = new PrefixCode(Uint8Array.of(3, 3, 3, 3, 3, 2, 4, 4));
  const found = ["010", "011", "100", "101", "110", "00", "1110", "1111"].map((bits) => {
    const value = parseInt([...bits].reverse().join(""), 2);
    const entry = code.find(value, bits.length);
    assertEquals(entry & 0xf, bits.length);
    assertEquals(code.find(value, bits.length - 1), MISSING, "not all of it is there");
    return entry >>> 4;
  });
  assertEquals(found, [0, 1, 2, 3, 4, 5, 6, 7]);
});

Deno.test("PrefixCode finds codes that are longer than its table", () => {
  // 0, 10, 110, … up to 15 bits, the last two of one length.
  const lengths = Uint8Array.from({ length: 16 }, (_, index) => Math.min(index + 1, 15));
  const code = new PrefixCode(lengths);
  for (let symbol = 0; symbol < 16; symbol++) {
    const ones = (1 << symbol) - 1;
    const bits = symbol === 15 ? 0x7fff : ones;
    assertEquals(code.find(bits, 15), symbol << 4 | lengths[symbol]!);
    assertEquals(code.find(bits, lengths[symbol]! - 1), MISSING);
  }
});

Deno.test("PrefixCode of one symbol needs no bits", () => {
  assertEquals(new PrefixCode(Uint8Array.of(0, 0, 5)).find(0, 0), 2 << 4);
});
