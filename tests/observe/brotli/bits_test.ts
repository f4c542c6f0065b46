import { assertEquals } from "@std/assert";
import { Bits, MISSING } from "../../../src/observe/brotli/bits.ts";
import { PrefixCode } from "../../../src/observe/brotli/prefix_code.ts";

Deno.test("Bits reads from the lowest bit of each octet on, and takes nothing where not all is there", () => {
  const bits = new Bits();
  bits.give(Uint8Array.of(0b1011_0010));
  assertEquals([bits.read(1), bits.read(3), bits.read(0)], [0, 1, 0]);
  assertEquals(bits.read(5), MISSING);
  bits.give(Uint8Array.of(0b1));
  assertEquals([bits.read(5), bits.read(7), bits.read(1)], [0b11011, 0, MISSING]);
  assertEquals(bits.isEmpty, true);
});

Deno.test("Bits reads as much at once as brotli has", () => {
  const bits = new Bits();
  bits.give(Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x7f));
  assertEquals([bits.read(7), bits.read(24), bits.read(8)], [127, 2 ** 24 - 1, 255]);
});

Deno.test("Bits gives whole octets after what fills an octet, first those it has taken already", () => {
  const bits = new Bits();
  bits.give(Uint8Array.of(0b0000_0001, 2, 3, 4));
  assertEquals([bits.read(1), bits.align()], [1, 0]);
  assertEquals([...bits.octets(2), ...bits.octets(5), ...bits.octets(1)], [2, 3, 4]);
  assertEquals(bits.isEmpty, true);
  bits.give(Uint8Array.of(0b10, 9));
  assertEquals([bits.read(1), bits.align()], [0, 1]);
});

Deno.test("Bits finds a symbol with no more bits than it has", () => {
  const bits = new Bits();
  const code = new PrefixCode(Uint8Array.of(1, 2, 2));
  bits.give(Uint8Array.of(0b1011_1010));
  const symbols = [0, 1, 2, 3, 4].map(() => bits.symbol(code));
  assertEquals(symbols, [0, 1, 2, 1, MISSING]);
  bits.give(Uint8Array.of(0b1));
  assertEquals(bits.symbol(code), 2);
});
