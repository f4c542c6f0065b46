import { assertEquals } from "@std/assert";
import fc from "fast-check";
import zlib from "node:zlib";
import { assert } from "../../../src/core/assert.ts";
import { BrotliDecoder } from "../../../src/observe/brotli/decoder.ts";
import { cutInto } from "../../support/golden.ts";
import { patternBytes } from "../../support/origin.ts";

const { BROTLI_PARAM_QUALITY, BROTLI_PARAM_LGWIN, BROTLI_PARAM_MODE } = zlib.constants;

function compress(content: Uint8Array, quality = 11, windowBits = 22, mode = 0): Uint8Array {
  const params = {
    [BROTLI_PARAM_QUALITY]: quality,
    [BROTLI_PARAM_LGWIN]: windowBits,
    [BROTLI_PARAM_MODE]: mode,
  };
  return new Uint8Array(zlib.brotliCompressSync(content, { params }));
}

function decode(reads: readonly Uint8Array[]) {
  const decoder = new BrotliDecoder();
  const parts: Uint8Array[] = [];
  let fault: string | null = null;
  for (const read of reads) {
    const result = decoder.push(read, (output) => {
      parts.push(output.slice());
      return true;
    });
    if (result.type === "error") fault ??= result.detail;
  }
  return { content: new Uint8Array(parts.flatMap((part) => [...part])), fault: fault ?? decoder.end() };
}

/** The platform's decoder, which wants the whole stream. At a fault it says nothing, and gives what it had flushed. */
const reference = (content: Uint8Array) => new Uint8Array(zlib.brotliDecompressSync(content));

const WORDS =
  "the of and The time people http:// ><div content='' the ous ing. the World - Информация 在 المعلومات, ";
/** Text that is full of words of the dictionary, in several of their forms. */
const PROSE = new TextEncoder().encode(
  Array.from(
    { length: 400 },
    (_, line) =>
      WORDS.split(" ").map((word, index) =>
        (line * 7 + index) % 3 === 0 ? word.toUpperCase() : (line + index) % 5 === 0 ? ` ${word}=\"` : word
      ).join((line % 2 === 0) ? " " : ", "),
  ).join("\n"),
);
const SAMPLES: Readonly<Record<string, Uint8Array>> = {
  empty: new Uint8Array(0),
  "one octet": Uint8Array.of(7),
  prose: PROSE,
  "a pattern": patternBytes(200_000),
  zeros: new Uint8Array(300_000),
  noise: patternBytes(70_000).map((octet, index) => octet ^ (Math.imul(index, 2654435761) >>> 11)),
};

Deno.test("BrotliDecoder gives back what was compressed in any quality, window and mode", () => {
  for (const [name, content] of Object.entries(SAMPLES)) {
    for (const quality of [0, 1, 2, 4, 5, 9, 10, 11]) {
      for (const windowBits of [10, 16, 17, 18, 22, 24]) {
        if (quality > 5 && content.length > 50_000 && windowBits !== 22) continue;
        const result = decode([compress(content, quality, windowBits, windowBits % 3)]);
        assertEquals(result.fault, null, `${name}, quality ${quality}, window ${windowBits}`);
        assert(zlib.crc32(result.content) === zlib.crc32(content), `${name}: other octets`);
      }
    }
  }
});

Deno.test("BrotliDecoder gives the same in any cut, and all that can be known so far", () => {
  const compressed = compress(PROSE);
  const whole = decode([compressed]);
  assertEquals(whole.content, PROSE);
  for (const size of [1, 2, 3, 1_000]) {
    assertEquals(decode(cutInto(compressed, size)), whole, `in reads of ${size}`);
  }
  const stream = compress(PROSE, 5);
  for (const length of [1, 10, 100, stream.length - 1]) {
    const [uncut, cut] = [[stream.subarray(0, length)], cutInto(stream.subarray(0, length), 1)].map(decode);
    assertEquals(uncut, cut);
    assertEquals(uncut!.fault, "unexpected end of file");
    assertEquals(uncut!.content, PROSE.subarray(0, uncut!.content.length));
  }
});

Deno.test("BrotliDecoder gives what a server has flushed before the stream goes on", () => {
  const text = new TextEncoder().encode("data: first\n\n");
  const flushed = zlib.brotliCompressSync(text, { finishFlush: zlib.constants.BROTLI_OPERATION_FLUSH });
  assertEquals(decode([new Uint8Array(flushed)]), { content: text, fault: "unexpected end of file" });
});

Deno.test("BrotliDecoder agrees with the platform's decoder on damaged streams, and on what follows an end", () => {
  const streams = [compress(PROSE.subarray(0, 3_000)), compress(patternBytes(2_000), 5), compress(PROSE, 1)];
  let faults = 0;
  fc.assert(
    fc.property(
      fc.constantFrom(...streams),
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 3 }),
      fc.integer({ min: 1, max: 200 }),
      (stream, changes, size) => {
        const damaged = stream.slice();
        for (const [at, octet] of changes) damaged[at % damaged.length] = octet;
        const ours = decode([damaged]);
        assertEquals(decode(cutInto(damaged, size)), ours);
        const theirs = reference(damaged);
        if (ours.fault === null) assertEquals(ours.content, theirs);
        else {
          faults++;
          const both = Math.min(theirs.length, ours.content.length);
          assertEquals(theirs.subarray(0, both), ours.content.subarray(0, both), ours.fault);
        }
      },
    ),
    { numRuns: 600 },
  );
  assert(faults > 100, "much damage is noticed");
});

Deno.test("BrotliDecoder gives a value or an error for any octets", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.integer({ min: 1, max: 50 }), (octets, size) => {
      assertEquals(decode(cutInto(octets, size)), decode([octets]));
    }),
    { numRuns: 2_000 },
  );
});

Deno.test("BrotliDecoder stops as soon as no more is wanted, and keeps no more than came out", () => {
  const decoder = new BrotliDecoder();
  let bytes = 0;
  const bomb = compress(new Uint8Array(50_000_000), 5);
  const result = decoder.push(bomb, (output) => (bytes += output.length) < 100_000);
  assertEquals([result.type, bytes < 150_000], ["stopped", true]);
  assertEquals(decoder.windowBytes, 2 ** 22 - 16);
});
