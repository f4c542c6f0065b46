import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { CapsuleReader, readVarint, writeVarint } from "../../src/http/capsules.ts";

interface Read {
  readonly datagrams: string[];
  readonly skipped: number[];
  readonly fault: string | null;
  readonly isWithin: boolean;
}

const MAX = 100;

/** Reads pieces of those sizes, over and over; each piece is overwritten once it has been read. */
function read(bytes: Uint8Array, sizes: readonly number[] = [bytes.length]): Read {
  const datagrams: string[] = [];
  const skipped: number[] = [];
  const reader = new CapsuleReader({
    datagram: (content) => datagrams.push(content.toHex()),
    skipped: (type) => skipped.push(type),
  }, MAX);
  let fault: string | null = null;
  for (let at = 0, index = 0; at < bytes.length && fault === null;) {
    const piece = bytes.slice(at, at += Math.max(1, sizes[index++ % sizes.length]!));
    fault = reader.push(piece);
    piece.fill(0xee);
    assertEquals(reader.heldBytes <= MAX + 16, true);
  }
  return { datagrams, skipped, fault, isWithin: reader.isWithin };
}

/** An integer in a form of 1, 2, 4 or 8 octets. */
function varint(value: number, form: 0 | 1 | 2 | 3): number[] {
  const octets: number[] = [];
  for (let rest = value, index = 0; index < 1 << form; index++, rest = Math.floor(rest / 256)) {
    octets.unshift(rest % 256);
  }
  octets[0]! |= form << 6;
  return octets;
}

const form = fc.constantFrom(0, 1, 2, 3).map((value) => value as 0 | 1 | 2 | 3);
const capsule = fc.record({
  type: fc.constantFrom(0, 0, 0, 1, 0x21, 63),
  content: fc.uint8Array({ maxLength: 60 }),
  forms: fc.tuple(form, form),
});

Deno.test("CapsuleReader gives every datagram whole and skips other types, whatever the cuts and the forms", () => {
  fc.assert(
    fc.property(
      fc.array(capsule, { maxLength: 12 }),
      fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 10 }),
      (capsules, sizes) => {
        const bytes = Uint8Array.from(capsules.flatMap(({ type, content, forms }) => [
          ...varint(type, forms[0]),
          ...varint(content.length, forms[1]),
          ...content,
        ]));
        const datagrams = capsules.filter(({ type }) => type === 0).map(({ content }) => content.toHex());
        const skipped = capsules.filter(({ type }) => type !== 0).map(({ type }) => type);
        const expected = { datagrams, skipped, fault: null, isWithin: false };
        assertEquals(read(bytes), expected);
        assertEquals(read(bytes, [1]), expected);
        assertEquals(read(bytes, sizes), expected);
      },
    ),
  );
});

Deno.test("CapsuleReader reads any octets the same in any cuts, and keeps no more than a datagram", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 10 }),
      (bytes, sizes) => {
        const whole = read(bytes);
        assertEquals(read(bytes, [1]), whole);
        assertEquals(read(bytes, sizes), whole);
      },
    ),
  );
});

Deno.test("CapsuleReader takes a datagram of the limit and refuses one octet more, before it has come", () => {
  const of = (length: number) =>
    Uint8Array.from([0, ...varint(length, 1), ...new Array<number>(length).fill(1)]);
  assertEquals(read(of(MAX)).datagrams.length, 1);
  assertEquals(read(of(MAX + 1).subarray(0, 3)).fault, "a datagram of 101 octets; the most is 100");
});

Deno.test("CapsuleReader skips a capsule of any length it can count, and refuses one without end", () => {
  const huge = read(Uint8Array.from([0x21, ...varint(2 ** 53 - 1, 3), 1, 2, 3]));
  assertEquals(huge, { datagrams: [], skipped: [0x21], fault: null, isWithin: true });
  assertEquals(
    read(Uint8Array.from([0x21, ...varint(2 ** 53, 3)])).fault,
    "a capsule of 9007199254740992 octets has no end",
  );
});

Deno.test("CapsuleReader says whether it is within a capsule", () => {
  const bytes = Uint8Array.of(0, 3, 1, 2, 3, 0x21, 2, 1, 1);
  const within = Array.from(bytes, (_, index) => read(bytes.subarray(0, index + 1)).isWithin);
  assertEquals(within, [true, true, true, true, false, true, true, true, false]);
});

Deno.test("writeVarint and readVarint are each other's inverse, at the ends of each form", () => {
  for (const value of [0, 63, 64, 16_383, 16_384, 2 ** 30 - 1]) {
    const octets = writeVarint(value);
    assertEquals(readVarint(octets, 0), { value, next: octets.length });
    assertEquals(readVarint(octets.subarray(0, -1), 0), null);
  }
  // RFC 9000 §A.1.
  assertEquals(readVarint(Uint8Array.fromHex("9d7f3e7d"), 0), { value: 494_878_333, next: 4 });
  assertEquals(readVarint(Uint8Array.fromHex("4025"), 0), { value: 37, next: 2 });
});
