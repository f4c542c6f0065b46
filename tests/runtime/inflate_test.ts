import { assertEquals } from "@std/assert";
import fc from "fast-check";
import zlib from "node:zlib";
import { INFLATE_CODINGS, type InflateCoding } from "../../src/observe/inflate.ts";
import { INFLATERS } from "../../src/runtime/inflate.ts";
import { cutInto } from "../support/golden.ts";
import { patternBytes } from "../support/origin.ts";

const ENCODERS: Readonly<Record<InflateCoding, (content: Uint8Array) => Uint8Array>> = {
  gzip: (content) => new Uint8Array(zlib.gzipSync(content)),
  deflate: (content) => new Uint8Array(zlib.deflateSync(content)),
  "deflate-raw": (content) => new Uint8Array(zlib.deflateRawSync(content)),
  br: (content) => new Uint8Array(zlib.brotliCompressSync(content)),
  zstd: (content) => new Uint8Array(zlib.zstdCompressSync(content)),
};

function inflate(coding: InflateCoding, reads: readonly Uint8Array[]) {
  const inflater = INFLATERS.open(coding);
  const pieces: number[] = [];
  let fault: string | null = null;
  for (const read of reads) {
    const result = inflater.push(read, (output) => {
      for (const octet of output) pieces.push(octet);
      return true;
    });
    if (result.type === "error") {
      fault = result.detail;
      break;
    }
  }
  fault ??= inflater.end();
  inflater.close();
  inflater.close();
  return { content: Uint8Array.from(pieces), fault };
}

for (const coding of INFLATE_CODINGS) {
  Deno.test(`INFLATERS: ${coding} gives back what was compressed, however it is cut`, () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 500 }), fc.nat(300), fc.integer({ min: 1, max: 64 }), (
        seed,
        times,
        size,
      ) => {
        const content = new Uint8Array(seed.length * times);
        for (let time = 0; time < times; time++) content.set(seed, time * seed.length);
        const compressed = ENCODERS[coding](content);
        assertEquals(inflate(coding, cutInto(compressed, size)), { content, fault: null });
      }),
      { numRuns: 50 },
    );
  });

  Deno.test(`INFLATERS: ${coding} gives the same of a damaged or cut stream, however it is cut up`, () => {
    const content = new TextEncoder().encode(
      Array.from({ length: 3_000 }, (_, index) => `line ${index} ${(index * 7919) % 1000}\n`).join(""),
    );
    const compressed = ENCODERS[coding](content);
    fc.assert(
      fc.property(
        fc.nat(compressed.length),
        fc.uint8Array({ maxLength: 8 }),
        fc.integer({ min: 1, max: 5_000 }),
        (at, damage, size) => {
          const damaged = compressed.slice(0, damage.length === 0 ? at : undefined);
          damaged.set(
            damage.subarray(0, damaged.length - Math.min(at, damaged.length)),
            at % damaged.length || 0,
          );
          assertEquals(inflate(coding, cutInto(damaged, size)), inflate(coding, [damaged]));
        },
      ),
      { numRuns: 100 },
    );
  });
}

Deno.test("INFLATERS: what comes after the end of a stream is the same in any cut, further members and zeros in it", () => {
  const octet = fc.constantFrom(0, 1, 0x1f, 0x8b, 8);
  const after = fc.array(
    fc.oneof(fc.array(octet, { maxLength: 5 }), fc.constant([...ENCODERS.gzip(Uint8Array.of(7))])),
    { maxLength: 4 },
  );
  fc.assert(
    fc.property(
      fc.constantFrom(...INFLATE_CODINGS),
      after,
      fc.integer({ min: 1, max: 30 }),
      (coding, after, size) => {
        const content = Uint8Array.of(...ENCODERS[coding](Uint8Array.of(1, 2, 3)), ...after.flat());
        assertEquals(inflate(coding, cutInto(content, size)), inflate(coding, [content]));
      },
    ),
    { numRuns: 300 },
  );
});

Deno.test("INFLATERS: a stream that ends too early is told of at its end", () => {
  const compressed = ENCODERS.gzip(new TextEncoder().encode("hello"));
  assertEquals(inflate("gzip", [compressed.subarray(0, 12)]).fault, "unexpected end of file");
});

Deno.test("INFLATERS: nothing more is decoded than was asked for", () => {
  const bomb = ENCODERS.gzip(new Uint8Array(10_000_000));
  const inflater = INFLATERS.open("gzip");
  let decoded = 0;
  const result = inflater.push(bomb, (output) => (decoded += output.length) < 200_000);
  assertEquals(result.type, "stopped");
  assertEquals(decoded < 300_000, true);
  inflater.close();
});

Deno.test("INFLATERS: a decoder that was used before, for whatever, is as good as a new one", () => {
  const damage = fc.record({ at: fc.nat(), octet: fc.nat(255), cut: fc.boolean() });
  fc.assert(
    fc.property(fc.constantFrom(...INFLATE_CODINGS), fc.array(damage, { maxLength: 20 }), (coding, uses) => {
      const content = new TextEncoder().encode("what was said, again and again and again ".repeat(20));
      const compressed = ENCODERS[coding](content);
      for (const { at, octet, cut } of uses) {
        const used = compressed.slice(0, cut ? at % compressed.length : undefined);
        used[at % used.length] = octet;
        inflate(coding, [used]);
      }
      assertEquals(inflate(coding, [compressed]), { content, fault: null });
    }),
    { numRuns: 300 },
  );
});

Deno.test("INFLATERS: one that is closed by what it delivers is not given to another before it is done", () => {
  const content = patternBytes(400_000);
  const compressed = ENCODERS.gzip(content);
  const first = INFLATERS.open("gzip");
  let given = 0;
  const result = first.push(compressed, () => {
    given++;
    first.close();
    assertEquals(inflate("gzip", [compressed]), { content, fault: null });
    return true;
  });
  assertEquals([result.type, given], ["stopped", 1]);
  assertEquals(inflate("gzip", [compressed]), { content, fault: null });
  assertEquals(first.push(compressed, () => true).type, "stopped");
});
