import { assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  EOS_FOUND,
  HUFFMAN_CODES,
  HUFFMAN_LENGTHS,
  huffmanDecode,
  huffmanDecodedBytesMax,
  huffmanEncode,
  huffmanEncodedBytes,
  INVALID_PADDING,
} from "../../src/http2/huffman.ts";

function encode(text: string): Uint8Array {
  const bytes = new Uint8Array(huffmanEncodedBytes(text));
  assertEquals(huffmanEncode(text, bytes, 0), bytes.length);
  return bytes;
}

function decode(bytes: Uint8Array): string | number {
  const target = new Uint8Array(huffmanDecodedBytesMax(bytes.length));
  const length = huffmanDecode(bytes, 0, bytes.length, target);
  return length < 0 ? length : String.fromCharCode(...target.subarray(0, length));
}

/** Bits, given as text, in octets; the last one filled up with `padding`. */
function bits(text: string, padding = "1"): Uint8Array {
  const whole = text.padEnd(Math.ceil(text.length / 8) * 8, padding);
  return Uint8Array.from(whole.match(/.{8}/g) ?? [], (octet) => parseInt(octet, 2));
}

function codeOf(symbol: number): string {
  return HUFFMAN_CODES[symbol]!.toString(2).padStart(HUFFMAN_LENGTHS[symbol]!, "0");
}

Deno.test("HUFFMAN_CODES are those of RFC 7541 Appendix B", () => {
  const rows: readonly [symbol: number, code: number, length: number][] = [
    [0, 0x1ff8, 13],
    [1, 0x7fffd8, 23],
    [9, 0xffffea, 24],
    [10, 0x3ffffffc, 30],
    [13, 0x3ffffffd, 30],
    [22, 0x3ffffffe, 30],
    [32, 0x14, 6],
    [37, 0x15, 6],
    [48, 0x0, 5],
    [57, 0x1f, 6],
    [60, 0x7ffc, 15],
    [92, 0x7fff0, 19],
    [97, 0x3, 5],
    [122, 0x7b, 7],
    [127, 0xffffffc, 28],
    [128, 0xfffe6, 20],
    [172, 0x1fffdf, 21],
    [199, 0x1ffffec, 25],
    [203, 0x7ffffde, 27],
    [208, 0x7fff2, 19],
    [239, 0x7ffff4, 23],
    [242, 0x3ffffec, 26],
    [249, 0xffffffe, 28],
    [254, 0x7fffff0, 27],
    [255, 0x3ffffee, 26],
    [256, 0x3fffffff, 30],
  ];
  for (const [symbol, code, length] of rows) {
    assertEquals([HUFFMAN_CODES[symbol], HUFFMAN_LENGTHS[symbol]], [code, length], `symbol ${symbol}`);
  }
  // A complete code: no bit string is without meaning.
  const sum = HUFFMAN_LENGTHS.reduce((total, length) => total + 2 ** -length, 0);
  assertEquals(sum, 1);
});

Deno.test("huffmanDecode gives back what huffmanEncode wrote, for every octet", () => {
  for (let octet = 0; octet < 256; octet++) {
    const text = String.fromCharCode(octet);
    assertEquals(decode(encode(text)), text);
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), (octets) => {
    const text = String.fromCharCode(...octets);
    assertEquals(decode(encode(text)), text);
  }));
  const ordinary = fc.string({ unit: fc.constantFrom(..."abcdefghij0123456789-/=;, ABC%") });
  fc.assert(fc.property(ordinary, (text) => assertEquals(decode(encode(text)), text)));
});

Deno.test("huffmanEncode writes after what is there and reads from where it is told", () => {
  const bytes = new Uint8Array(20).fill(0x55);
  const end = huffmanEncode("www.example.com", bytes, 3);
  assertEquals(bytes.subarray(3, end).toHex(), "f1e3c2e5f23a6ba0ab90f4ff");
  assertEquals([bytes[2], bytes[end]], [0x55, 0x55]);
  const target = new Uint8Array(15);
  assertEquals(huffmanDecode(bytes, 3, end, target), 15);
  assertEquals(String.fromCharCode(...target), "www.example.com");
});

Deno.test("huffmanDecode takes up to seven ones as padding and nothing else", () => {
  // "0" has five zeros; "&" has the eight bits 11111000.
  assertEquals(decode(bits("00000")), "0");
  assertEquals(decode(bits("00000", "0")), INVALID_PADDING);
  assertEquals(decode(bits("00000110")), INVALID_PADDING);
  assertEquals(decode(bits(codeOf(0x26))), "&");
  // So many symbols of five bits leave each remainder once.
  for (let symbols = 1; symbols <= 8; symbols++) {
    assertEquals(decode(bits(codeOf(0x30).repeat(symbols))), "0".repeat(symbols));
  }
  assertEquals(decode(bits("00000111" + "11111111")), INVALID_PADDING, "11 ones");
  assertEquals(decode(bits("11111111")), INVALID_PADDING, "an octet of padding alone");
  assertEquals(decode(new Uint8Array(0)), "");
});

Deno.test("huffmanDecode refuses EOS wherever it stands, and a string cut within a symbol", () => {
  const eos = "1".repeat(30);
  assertEquals(decode(bits(eos)), EOS_FOUND);
  assertEquals(decode(bits(eos + codeOf(0x61))), EOS_FOUND);
  assertEquals(decode(bits(codeOf(0x61) + eos)), EOS_FOUND);
  assertEquals(decode(bits(codeOf(0x61) + "1".repeat(29) + "0" + "11")), "a\x16", "one bit less is a symbol");
  assertEquals(decode(encode("\xff").subarray(0, 3)), INVALID_PADDING);
});

Deno.test("huffmanDecode never writes beyond huffmanDecodedBytesMax", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      const target = new Uint8Array(huffmanDecodedBytesMax(bytes.length) + 4).fill(0xcc);
      const length = huffmanDecode(bytes, 0, bytes.length, target);
      assertEquals(length <= huffmanDecodedBytesMax(bytes.length), true);
      assertEquals([...target.subarray(-4)], [0xcc, 0xcc, 0xcc, 0xcc]);
      // What decodes is what its own encoding decodes to: there is one encoding of each text.
      if (length >= 0) assertEquals(encode(String.fromCharCode(...target.subarray(0, length))), bytes);
    }),
    { numRuns: 1000 },
  );
  assertEquals(decode(new Uint8Array(5)), "0".repeat(8), "the shortest codes, without padding");
});
