/**
 * What holds for every sequence of frames, however it is cut: the same events and the same octets,
 * nothing thrown, nothing held beyond the limits.
 */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { assert } from "../../src/core/assert.ts";
import type { Side } from "../../src/core/side.ts";
import { FrameReader } from "../../src/http2/frame_reader.ts";
import { type HeaderBlock, HeaderBlockAssembler, isBlockFrame } from "../../src/http2/header_block.ts";
import { HpackDecoder } from "../../src/http2/hpack_decoder.ts";
import { frame, join, opening, padded, T, uint32 } from "./frame_builder.ts";
import { string } from "../../src/sim/hpack_peer.ts";
import { comparable, transcribe } from "./transcript.ts";

const streamId = fc.constantFrom(1, 2, 3, 5, 0x7fff_ffff);
const bytes = fc.uint8Array({ maxLength: 40 });
const padLength = fc.option(fc.constantFrom(0, 1, 9, 255));
const anyFlags = fc.nat(255);

/** Padding or none, which the flag tells. */
const maybePadded = (content: Uint8Array | number[], pad: number | null) =>
  pad === null ? { flag: 0, payload: [...content] } : { flag: 8, payload: padded(content, pad) };

/** A field block cut into HEADERS or PUSH_PROMISE and any number of CONTINUATION. */
const block = fc.record({
  id: streamId,
  promised: fc.boolean(),
  end: fc.boolean(),
  pad: padLength,
  priority: fc.boolean(),
  parts: fc.array(fc.uint8Array({ maxLength: 12 }), { minLength: 1, maxLength: 4 }),
}).map(({ id, promised, end, pad, priority, parts }) => {
  const [first, ...rest] = parts as [Uint8Array, ...Uint8Array[]];
  const endOf = (index: number) => index === rest.length ? 4 : 0;
  const prefix = promised ? uint32(2) : priority ? [0x80, 0, 0, 1, 7] : [];
  const { flag, payload } = maybePadded([...prefix, ...first], pad);
  const flags = flag | endOf(0) | (promised ? 0 : (end ? 1 : 0) | (priority ? 0x20 : 0));
  return join(
    frame(promised ? T.PUSH_PROMISE : T.HEADERS, flags, id, payload),
    ...rest.map((part, index) => frame(T.CONTINUATION, endOf(index + 1), id, part)),
  );
});

const validFrame: fc.Arbitrary<Uint8Array> = fc.oneof(
  { weight: 4, arbitrary: block },
  {
    weight: 4,
    arbitrary: fc.tuple(streamId, bytes, padLength, fc.boolean()).map(([id, content, pad, end]) => {
      const { flag, payload } = maybePadded(content, pad);
      return frame(T.DATA, flag | (end ? 1 : 0), id, payload);
    }),
  },
  fc.tuple(streamId, fc.uint8Array({ minLength: 5, maxLength: 5 })).map(([id, octets]) =>
    frame(T.PRIORITY, 0, id, octets)
  ),
  fc.tuple(streamId, fc.nat()).map(([id, code]) => frame(T.RST_STREAM, 0, id, uint32(code))),
  fc.array(fc.tuple(fc.constantFrom(1, 3, 6, 0x99), fc.nat()), { maxLength: 3 }).map((settings) =>
    frame(T.SETTINGS, 0, 0, settings.flatMap(([id, value]) => [0, id, ...uint32(value)]))
  ),
  fc.constant(frame(T.SETTINGS, 1, 0)),
  fc.tuple(fc.constantFrom(0, 1), fc.uint8Array({ minLength: 8, maxLength: 8 })).map(([ack, opaque]) =>
    frame(T.PING, ack, 0, opaque)
  ),
  bytes.map((debug) => frame(T.GOAWAY, 0, 0, [...uint32(7), ...uint32(2), ...debug])),
  fc.tuple(fc.constantFrom(0, 1, 3), fc.integer({ min: 1, max: 0x7fff_ffff })).map(([id, increment]) =>
    frame(T.WINDOW_UPDATE, 0, id, uint32(increment))
  ),
  fc.tuple(fc.integer({ min: 10, max: 255 }), anyFlags, fc.constantFrom(0, 1, 2), bytes).map((
    [type, flags, id, payload],
  ) => frame(type, flags, id, payload)),
);

const frames = fc.array(validFrame, { maxLength: 12 });

/** Where reads end, as fractions of the whole. */
const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 10 });

function cutAt(whole: Uint8Array, fractions: readonly number[]): Uint8Array[] {
  const ends = fractions.map((fraction) => Math.floor(fraction * whole.length)).sort((a, b) => a - b);
  let from = 0;
  return [...ends, whole.length].map((end) => whole.slice(from, from = end));
}

const mutations = fc.array(
  fc.record({
    at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    remove: fc.integer({ min: 0, max: 2 }),
    insert: fc.array(fc.oneof(fc.constantFrom(0, 1, 4, 8, 9, 0x80, 255), fc.nat(255)), { maxLength: 2 }),
  }),
  { minLength: 1, maxLength: 3 },
);

type Mutation = { at: number; remove: number; insert: number[] };

function mutate(whole: Uint8Array, changes: readonly Mutation[]): Uint8Array {
  let octets = [...whole];
  for (const { at, remove, insert } of changes) {
    const index = Math.floor(at * octets.length);
    octets = [...octets.slice(0, index), ...insert, ...octets.slice(index + remove)];
  }
  return Uint8Array.from(octets);
}

Deno.test("valid frames are forwarded as they came, with the same events whatever the cuts", () => {
  fc.assert(
    fc.property(frames, cuts, (list, fractions) => {
      const whole = join(opening("server"), ...list);
      const transcript = transcribe({ by: "server" }, [whole]);
      assertEquals(transcript.forwarded, whole);
      assertEquals(transcript.told.every(({ type }) => type === "frame" || type === "pieces"), true);
      assertEquals([transcript.heldBytes, transcript.betweenFrames], [0, true]);
      assertEquals(comparable(transcribe({ by: "server" }, cutAt(whole, fractions))), comparable(transcript));
    }),
    { numRuns: 300 },
  );
});

Deno.test("mutated frames give the same events whatever the cuts, never throw, and stay within bounds", () => {
  fc.assert(
    fc.property(
      frames,
      mutations,
      cuts,
      fc.constantFrom<Side>("client", "server"),
      fc.boolean(),
      (list, changes, fractions, by, all) => {
        // With the opening changed as well, or only what follows.
        const whole = all
          ? mutate(join(opening(by), ...list), changes)
          : join(opening(by), mutate(join(...list), changes));
        const options = { by, maxHeldBytes: 60, maxFrameSize: 16_384 };
        const transcript = transcribe(options, [whole]);
        const cut = transcribe(options, cutAt(whole, fractions));
        assertEquals(comparable(cut), comparable(transcript));
        assertEquals(cut.heldBytesMax <= 60 + 9, true);
        // What is forwarded came, in order; only frames that break a rule are left out.
        assert(isSubsequence(transcript.forwarded, whole), "forwarded octets came in");
        const errors = transcript.told.filter(({ type }) => type === "error" || type === "stream_error");
        if (errors.length === 0) {
          assertEquals(transcript.forwarded.length + transcript.heldBytes, whole.length);
        }
      },
    ),
    { numRuns: 1000 },
  );
});

function isSubsequence(part: Uint8Array, whole: Uint8Array): boolean {
  let index = 0;
  for (const octet of whole) {
    if (index < part.length && octet === part[index]) index++;
  }
  return index === part.length;
}

Deno.test("arbitrary octets never make the reader throw, and each octet alone gives the same events", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), fc.constantFrom<Side>("client", "server"), (octets, by) => {
      for (const whole of [octets, join(opening(by), octets)]) {
        const single = transcribe({ by }, [...whole].map((octet) => Uint8Array.of(octet)));
        assertEquals(comparable(single), comparable(transcribe({ by }, [whole])));
      }
    }),
    { numRuns: 500 },
  );
});

Deno.test("an assembler and a decoder give the same blocks whatever the cuts, and hold them within bounds", () => {
  const limits = { maxBlockBytes: 50, maxContinuations: 3 };
  const run = (reads: readonly Uint8Array[]) => {
    const reader = new FrameReader({ by: "server", maxHeldBytes: 400 });
    const assembler = new HeaderBlockAssembler("server", limits);
    const decoder = new HpackDecoder("server", {
      maxHeaderListSize: 500,
      maxHeaderFields: 5,
      maxTableBytes: 4096,
    });
    const told: unknown[] = [];
    for (const read of reads) {
      const data = read.slice();
      for (let at = 0;;) {
        const event = reader.read(data, at);
        if (event.type === "more" || event.type === "error") break;
        at = event.next;
        if (event.type !== "frame" || !isBlockFrame(event.frame)) continue;
        const result: HeaderBlock | null | { type: "error" } = assembler.push(event.frame, event.raw);
        if (result?.type === "error") return [...told, result];
        // Each of at most four frames has a header, a pad length, priority or promise, and padding.
        assert(assembler.heldBytes <= 50 + 50 + 4 * (9 + 1 + 5) + 255, "held within the limits");
        if (result !== null) told.push([result.raw.toHex(), decoder.decode(result.bytes, 1)]);
      }
      data.fill(0xee);
    }
    return told;
  };
  fc.assert(
    fc.property(fc.array(block, { maxLength: 8 }), cuts, (list, fractions) => {
      const whole = join(opening("server"), ...list);
      assertEquals(run(cutAt(whole, fractions)), run([whole]));
    }),
    { numRuns: 300 },
  );
});

Deno.test("a Huffman string or integer of any kind in a block never makes a decoder throw", () => {
  const fragment = fc.oneof(
    fc.uint8Array({ maxLength: 6 }).map((octets) => [...octets]),
    fc.tuple(fc.string({ maxLength: 10, unit: fc.constantFrom(..."ab\xff\0") }), fc.boolean()).map((
      [text, huffman],
    ) => string(text, huffman)),
    fc.constantFrom([0x40], [0x00], [0x10], [0x20], [0x82], [0xbe], [0xff, 0xff], [0x7f, 0x80, 0x80]),
  );
  fc.assert(
    fc.property(fc.array(fragment, { maxLength: 12 }), (fragments) => {
      const decoder = new HpackDecoder("client", {
        maxHeaderListSize: 200,
        maxHeaderFields: 4,
        maxTableBytes: 4096,
      });
      const bytes = Uint8Array.from(fragments.flat());
      const first = decoder.decode(bytes, 1);
      // After a stream error the decoder goes on; after any other it answers that one.
      const second = decoder.decode(Uint8Array.of(0x82), 3);
      if (first.type === "error" && first.scope === "connection") assertEquals(second, first);
      else assertEquals(second.type, "fields");
    }),
    { numRuns: 2000 },
  );
});
