import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { type FrameHeader, FrameReader } from "../../../src/observe/websocket/frame_reader.ts";
import { cutInto } from "../../support/golden.ts";
import { encodeFrame, type FrameOptions } from "./frames.ts";

/** What a reader tells: headers and payloads, with all of it wanted or only so much of each frame. */
function read(reads: readonly Uint8Array[], wanted = Infinity): unknown[] {
  const told: unknown[] = [];
  let payload: number[] = [];
  let passed = 0;
  let header: FrameHeader | null = null;
  const reader = new FrameReader();
  for (const data of reads) {
    reader.push(data.slice(), {
      begin: (begun) => {
        header = begun;
        payload = [];
        passed = 0;
        return Math.min(wanted, begun.payloadBytes);
      },
      passed: (bytes) => passed += bytes,
      payload: (bytes) => payload.push(...bytes),
      end: () => told.push([{ ...header }, payload, passed]),
      outOfRange: () => told.push("out of range"),
    });
  }
  return told;
}

const frames: fc.Arbitrary<FrameOptions> = fc.record({
  opcode: fc.nat(15),
  fin: fc.boolean(),
  rsv: fc.nat(7),
  mask: fc.boolean(),
  payload: fc.oneof(
    fc.uint8Array({ maxLength: 130 }),
    fc.integer({ min: 120, max: 70_000 }).map((length) => new Uint8Array(length).fill(7)),
  ),
});

Deno.test("FrameReader gives back what was framed, whatever the reads", () => {
  fc.assert(
    fc.property(
      fc.array(frames, { maxLength: 4 }),
      fc.integer({ min: 1, max: 20_000 }),
      (several, size) => {
        const bytes = new Uint8Array(several.flatMap((frame) => [...encodeFrame(frame)]));
        const expected = several.map(({ opcode, fin, rsv, mask, payload }) => [
          {
            fin,
            reserved: rsv! << 4,
            opcode,
            masked: mask,
            payloadBytes: payload!.length,
            minimal: true,
          },
          [...payload!],
          payload!.length,
        ]);
        assertEquals(read(cutInto(bytes, size)), expected);
      },
    ),
    { numRuns: 60 },
  );
});

Deno.test("FrameReader gives as much of a payload as is wanted, and counts the rest", () => {
  const bytes = encodeFrame({ opcode: 2, mask: true, payload: Uint8Array.of(1, 2, 3, 4, 5, 6, 7) });
  for (let size = 1; size <= bytes.length; size++) {
    const [[header, payload, passed]] = read(cutInto(bytes, size), 3) as [[FrameHeader, number[], number]];
    assertEquals([header.payloadBytes, payload, passed], [7, [1, 2, 3], 7]);
  }
});

Deno.test("FrameReader tells a length that is written too long from one that is not", () => {
  const minimal = (length: number, lengthBits: 7 | 16 | 64) => {
    const [told] = read([encodeFrame({ opcode: 2, payload: new Uint8Array(length), lengthBits })]);
    return (told as [FrameHeader])[0].minimal;
  };
  assertEquals([minimal(125, 7), minimal(125, 16), minimal(126, 16)], [true, false, true]);
  assertEquals([minimal(65_535, 64), minimal(65_536, 64), minimal(0, 64)], [false, true, false]);
});

Deno.test("FrameReader reads nothing after a length that is none", () => {
  const bytes = Uint8Array.of(0x82, 0x7f, 0x80, 0, 0, 0, 0, 0, 0, 0, 0x81, 0x00);
  for (let size = 1; size <= bytes.length; size++) {
    assertEquals(read(cutInto(bytes, size)), ["out of range"]);
  }
});
