import { assertEquals } from "@std/assert";
import fc from "fast-check";
import * as msgpackr from "msgpackr";
import { assert } from "../../../src/core/assert.ts";
import { parseMsgPack } from "../../../src/observe/payload/msgpack.ts";
import { MSGPACK_LIMITS, scanMsgPack } from "../../../src/observe/payload/msgpack_scan.ts";

const fromHex = (hex: string) => Uint8Array.fromHex(hex.replaceAll(" ", ""));

/** An independent encoder of what JSON can say and of binaries, by the specification's shortest formats. */
function encode(value: unknown): number[] {
  const sized = (
    length: number,
    small: readonly [base: number, max: number] | null,
    formats: readonly number[],
  ) => {
    if (small !== null && length <= small[1]) return [small[0] + length];
    if (length <= 0xff && formats.length === 3) return [formats[0]!, length];
    if (length <= 0xffff) return [formats.at(-2)!, length >> 8, length & 0xff];
    return [formats.at(-1)!, ...new Uint8Array(Uint32Array.of(length).buffer).toReversed()];
  };
  if (value === null) return [0xc0];
  if (typeof value === "boolean") return [value ? 0xc3 : 0xc2];
  if (typeof value === "string") {
    const octets = new TextEncoder().encode(value);
    return [...sized(octets.length, [0xa0, 31], [0xd9, 0xda, 0xdb]), ...octets];
  }
  if (typeof value === "number") {
    return [0xcb, ...new Uint8Array(Float64Array.of(value).buffer).toReversed()];
  }
  if (value instanceof Uint8Array) return [...sized(value.length, null, [0xc4, 0xc5, 0xc6]), ...value];
  if (Array.isArray(value)) {
    return [...sized(value.length, [0x90, 15], [0xdc, 0xdd]), ...value.flatMap(encode)];
  }
  const pairs = Object.entries(value as object);
  return [...sized(pairs.length, [0x80, 15], [0xde, 0xdf]), ...pairs.flatMap((pair) => pair.flatMap(encode))];
}

Deno.test("parseMsgPack gives back what an encoder of another make has written", () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 6, noUnicodeString: false }), (value) => {
      const parsed = parseMsgPack(Uint8Array.from(encode(value)));
      assert(parsed.type === "value", JSON.stringify(parsed));
      assertEquals(JSON.parse(JSON.stringify(parsed.value)), JSON.parse(JSON.stringify(value)));
    }),
  );
});

Deno.test("parseMsgPack keeps a byte order mark at the beginning of a string of any length", () => {
  const marked = fc.tuple(fc.nat(2), fc.nat(300)).map(([marks, length]) =>
    "\ufeff".repeat(marks) + "x".repeat(length)
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(marked, marked), { minLength: 1, maxLength: 5 }), (pairs) => {
      const value = { list: pairs.flat(), map: Object.fromEntries(pairs) };
      assertEquals(parseMsgPack(Uint8Array.from(encode(value))), { type: "value", value });
    }),
  );
});

Deno.test("parseMsgPack gives a value or an error for any octets, and the scan knows beforehand which", () => {
  const sample = encode({ a: [1, "two", { b: null }], c: "x".repeat(40), d: Uint8Array.of(1, 2) });
  const mutated = fc.array(fc.tuple(fc.nat(sample.length - 1), fc.nat(255)), { minLength: 1, maxLength: 5 })
    .map(
      (changes) => {
        const octets = Uint8Array.from(sample);
        for (const [at, octet] of changes) octets[at] = octet;
        return octets;
      },
    );
  fc.assert(
    fc.property(fc.oneof(mutated, fc.uint8Array({ maxLength: 60 })), (octets) => {
      const before = octets.slice();
      const [scan, parsed] = [scanMsgPack(octets), parseMsgPack(octets)];
      assertEquals(octets, before, "what is read is not changed");
      if (scan.type === "error") assertEquals(parsed, scan);
      else if (parsed.type === "error") assertEquals(parsed.detail, "msgpack: a map has a key twice");
    }),
    { numRuns: 2_000 },
  );
});

Deno.test("scanMsgPack finds every beginning of a message to be cut", () => {
  const whole = Uint8Array.from(encode({ a: [1, "two", { b: null }], c: "x".repeat(40) }));
  for (let length = 0; length < whole.length; length++) {
    assertEquals(scanMsgPack(whole.subarray(0, length)).type, "error", `${length} octets`);
  }
  assertEquals(scanMsgPack(whole).type, "whole");
});

Deno.test("scanMsgPack takes each limit, and not one more", () => {
  const array = (count: number) => {
    const octets = new Uint8Array(5 + count).fill(0xc0);
    octets.set([0xdd, ...new Uint8Array(Uint32Array.of(count).buffer).toReversed()]);
    return octets;
  };
  const binary = (count: number) => {
    const octets = new Uint8Array(5 + count);
    octets.set([0xc6, ...new Uint8Array(Uint32Array.of(count).buffer).toReversed()]);
    return octets;
  };
  /** Arrays of 65,535 in one of five: a message with so many values in all. */
  const values = (count: number) => {
    const parts = [0x95];
    let left = count - 1;
    for (let part = 0; part < 5; part++) {
      const elements = part === 4 ? left - 1 : Math.min(65_535, left - 1 - (4 - part));
      parts.push(0xdc, elements >> 8, elements & 0xff);
      for (let element = 0; element < elements; element++) parts.push(0xc0);
      left -= elements + 1;
    }
    return Uint8Array.from(parts);
  };
  const { elements, octets } = MSGPACK_LIMITS;
  assertEquals([array(elements), array(elements + 1)].map((one) => scanMsgPack(one).type), [
    "whole",
    "error",
  ]);
  assertEquals([binary(octets), binary(octets + 1)].map((one) => scanMsgPack(one).type), ["whole", "error"]);
  const most = [values(MSGPACK_LIMITS.values), values(MSGPACK_LIMITS.values + 1)].map((one) =>
    scanMsgPack(one)
  );
  assertEquals(most.map(({ type }) => type), ["whole", "error"]);
});

Deno.test("parseMsgPack guesses only at maps whose keys are names", () => {
  const guess = (hex: string) => parseMsgPack(fromHex(hex), true).type;
  assertEquals(guess("81 a161 01"), "value");
  assertEquals(guess("82 a161 82 01 02 03 04 a162 c0"), "value", "other keys deeper down do not matter");
  for (
    const other of ["80", "01", "a161", "91 01", "81 01 01", "81 a0 01", "82 a161 01 01 01", "81 a161 01 c0"]
  ) {
    assertEquals(guess(other), "error", other);
  }
});

Deno.test("msgpackr runs without the native addon, whose lock entry is only there to be pinned", () => {
  assertEquals(Object.entries(msgpackr).find(([name]) => name === "isNativeAccelerationEnabled")?.[1], false);
});
