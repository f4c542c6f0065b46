import { assertEquals } from "@std/assert";
import fc from "fast-check";
import zlib from "node:zlib";
import { ZSTD_WINDOW_BYTES_MAX, ZstdFrames } from "../../src/observe/zstd_frames.ts";
import { cutInto } from "../support/golden.ts";
import { patternBytes } from "../support/origin.ts";

const zstd = (content: Uint8Array, params: Record<number, number> = {}) =>
  new Uint8Array(zlib.zstdCompressSync(content, { params }));

function pieces(content: Uint8Array, size = content.length) {
  const frames = new ZstdFrames();
  const found: number[] = [];
  let fault: string | null = null;
  for (const read of cutInto(content, size)) {
    fault ??= frames.push(read, (piece) => {
      found.push(piece.length);
      return null;
    });
  }
  return { found, fault: fault ?? frames.end(), windowBytes: frames.windowBytes };
}

const join = (...parts: readonly Uint8Array[]) => Uint8Array.from(parts.flatMap((part) => [...part]));
const SKIPPABLE = Uint8Array.of(0x5f, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3);
const EMPTY_SKIPPABLE = Uint8Array.of(0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0);

Deno.test("ZstdFrames gives header, blocks and checksum of each frame, the same in any cut", () => {
  const frame = zstd(patternBytes(300_000), { [zlib.constants.ZSTD_c_checksumFlag]: 1 });
  const content = join(EMPTY_SKIPPABLE, frame, SKIPPABLE, zstd(Uint8Array.of(1)), EMPTY_SKIPPABLE);
  const whole = pieces(content);
  assertEquals(whole.fault, null);
  const blocks = Math.ceil(300_000 / 131_072);
  assertEquals(whole.found.length, 1 + blocks + 1 + 2);
  const skipped = SKIPPABLE.length + 2 * EMPTY_SKIPPABLE.length;
  assertEquals(whole.found.reduce((sum, length) => sum + length), content.length - skipped);
  for (const size of [1, 2, 5, 1_000]) assertEquals(pieces(content, size), whole, `in reads of ${size}`);
});

Deno.test("ZstdFrames knows wherever a stream is cut that it is not whole, and where it may end", () => {
  const frame = zstd(patternBytes(100));
  const content = join(frame, SKIPPABLE);
  for (let length = 0; length <= content.length; length++) {
    const whole = length === 0 || length === frame.length || length === content.length;
    assertEquals(
      pieces(content.subarray(0, length)).fault,
      whole ? null : "unexpected end of file",
      String(length),
    );
  }
});

Deno.test("ZstdFrames takes a window of 8 MiB, and not the next one", () => {
  // Magic, no flags, a window of 2^(10 + exponent) and mantissa eighths of it; the last block, raw and empty.
  const frame = (exponent: number, mantissa: number) =>
    Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0, exponent << 3 | mantissa, 1, 0, 0);
  assertEquals(pieces(frame(13, 0)), { found: [6, 3], fault: null, windowBytes: ZSTD_WINDOW_BYTES_MAX });
  assertEquals(pieces(frame(13, 1)).fault, "a window of 9437184 octets; at most 8388608 are kept");
  assertEquals(pieces(frame(31, 7)).fault?.startsWith("a window of"), true);
});

Deno.test("ZstdFrames names what it does not take", () => {
  const fault = (...octets: number[]) => pieces(Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, ...octets)).fault;
  assertEquals(pieces(Uint8Array.of(1, 2, 3, 4)).fault, "no frame begins here");
  assertEquals(fault(8, 0), "a reserved bit is set");
  assertEquals(fault(1, 0, 9), "a dictionary is needed");
  assertEquals(fault(0, 0, 7, 0, 0), "a block of a reserved type");
  assertEquals(fault(0, 0, 0xfd, 0xff, 0xff), "a block of 2097151 octets");
});

Deno.test("ZstdFrames gives the same pieces and the same fault in any cut, whatever comes", () => {
  const whole = new Uint8Array(zlib.zstdCompressSync(new Uint8Array(300).fill(7)));
  const skippable = Uint8Array.of(0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3);
  const stream = fc.array(fc.oneof(fc.constantFrom(whole, skippable), fc.uint8Array({ maxLength: 6 })), {
    maxLength: 4,
  })
    .chain((parts) => {
      const content = Uint8Array.from(parts.flatMap((part) => [...part]));
      return fc.array(fc.tuple(fc.nat(content.length), fc.nat(255)), { maxLength: 2 }).map((changes) => {
        const changed = content.slice();
        for (const [at, octet] of changes) if (at < changed.length) changed[at] = octet;
        return changed;
      });
    });
  const read = (content: Uint8Array, size: number) => {
    const frames = new ZstdFrames();
    const told: string[] = [];
    for (let at = 0; at < content.length; at += size) {
      const fault = frames.push(content.subarray(at, at + size), (piece) => (told.push(piece.toHex()), null));
      if (fault !== null) return [...told, fault];
    }
    return [...told, frames.end()];
  };
  fc.assert(
    fc.property(stream, fc.integer({ min: 1, max: 20 }), (content, size) => {
      assertEquals(read(content, size), read(content, Math.max(1, content.length)));
    }),
    { numRuns: 1_000 },
  );
});
