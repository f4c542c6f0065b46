/** What holds for every observer in the registry, whatever comes. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import zlib from "node:zlib";
import { Budget } from "../../src/observe/budget.ts";
import { OBSERVERS } from "../../src/observe/registry.ts";
import { cutInto } from "../support/golden.ts";
import { LIMITS, observe } from "./observed.ts";

const encoder = new TextEncoder();

/** The example of an observer, some of its octets changed, repeated or left out. */
function contents(example: string): fc.Arbitrary<Uint8Array> {
  const bytes = encoder.encode(example);
  const change = fc.record({
    at: fc.nat(bytes.length * 2),
    remove: fc.nat(3),
    insert: fc.uint8Array({ maxLength: 3 }),
  });
  return fc.tuple(fc.integer({ min: 1, max: 3 }), fc.array(change, { maxLength: 4 })).map(
    ([times, changes]) => {
      let content: number[] = [];
      for (let time = 0; time < times; time++) content = [...content, ...bytes];
      for (const { at, remove, insert } of changes) {
        content.splice(at % (content.length + 1), remove, ...insert);
      }
      return Uint8Array.from(content);
    },
  );
}

for (const { name, example } of OBSERVERS) {
  const type = ["content-type", example.mediaType] as const;

  Deno.test(`${name} knows its example and says something about it`, () => {
    const { events } = observe([encoder.encode(example.content)], { fields: [type] });
    const plumbing = /^(request|response)_|^exchange_completed$/;
    assert(events.some(({ kind }) => !plumbing.test(kind)), "its example gives no event");
    assert(events.every(({ kind }) => kind !== "observer_stopped" && kind !== "decoder_failed"));
  });

  Deno.test(`${name} gives the same events however its content is cut, keeps to its budget and gives all back`, () => {
    fc.assert(
      fc.property(
        contents(example.content),
        fc.integer({ min: 1, max: 40 }),
        fc.boolean(),
        fc.constantFrom("request" as const, "response" as const),
        fc.constantFrom(LIMITS.captureBytes, 8, 0),
        (content, size, cut, direction, captureBytes) => {
          const options = { fields: [type], cut, direction, limits: { captureBytes } };
          const whole = observe([content], options);
          const pieces = observe(cutInto(content, size), options);
          assertEquals(pieces.events, whole.events);
          assert(
            whole.events.every(({ kind, attributes }) =>
              kind !== "observer_stopped" || !String(attributes["reason"]).startsWith("failed")
            ),
            "no observer throws",
          );
          assertEquals([whole.heldBytes, pieces.heldBytes], [0, 0], "what was held is given back");
          assert(pieces.heldBytesMax <= LIMITS.decoderBufferBytes);
        },
      ),
      { numRuns: 200 },
    );
  });

  Deno.test(`${name} stops where the flow has no room for it, and the rest of the exchange is told all the same`, () => {
    const content = encoder.encode(example.content);
    const { events, heldBytes } = observe([content], { fields: [type], limits: { decoderBufferBytes: 0 } });
    assertEquals(events.at(-1)?.kind, "exchange_completed");
    assertEquals(events.at(-1)?.attributes["response_body_bytes"], content.length);
    assertEquals(heldBytes, 0);
  });
}

const CODERS: Readonly<Record<string, (content: Uint8Array) => Uint8Array>> = {
  gzip: (content) => new Uint8Array(zlib.gzipSync(content)),
  deflate: (content) => new Uint8Array(zlib.deflateSync(content)),
  br: (content) => new Uint8Array(zlib.brotliCompressSync(content)),
  zstd: (content) => new Uint8Array(zlib.zstdCompressSync(content)),
  identity: (content) => content,
};

/** Content of some observer, or none; large enough here and there for windows and limits to be met. */
const bodies: fc.Arbitrary<{ readonly type: string; readonly content: Uint8Array }> = fc.oneof(
  ...OBSERVERS.map(({ example }) =>
    fc.tuple(contents(example.content), fc.constantFrom(1, 1, 1, 400)).map(([content, times]) => ({
      type: example.mediaType,
      content: Uint8Array.from({ length: content.length * times }, (_, at) => content[at % content.length]!),
    }))
  ),
  fc.record({
    type: fc.constantFrom("application/octet-stream", "application/msgpack", "text/plain; charset=x", ""),
    content: fc.oneof(fc.uint8Array({ maxLength: 300 }), fc.constant(new Uint8Array(200_000))),
  }),
);

Deno.test("whatever a message holds and however it ends, budgets are back at nothing, and the events are those of any cut", () => {
  const coding = fc.constantFrom(...Object.keys(CODERS));
  fc.assert(
    fc.property(
      bodies,
      fc.array(coding, { maxLength: 3 }),
      coding,
      // What is spoiled in it, and whether its codings are told as they are.
      fc.option(fc.record({ at: fc.nat(), octets: fc.uint8Array({ maxLength: 4 }), remove: fc.nat(200) })),
      fc.boolean(),
      fc.integer({ min: 1, max: 5_000 }),
      fc.constantFrom("ends", "cut", "abandoned"),
      fc.constantFrom(0, 300, 45_000, 120_000, 400_000, LIMITS.decoderBufferBytes),
      fc.constantFrom(500, 100_000, 100_000_000),
      fc.constantFrom("request" as const, "response" as const),
      (
        { type, content },
        codings,
        grpcEncoding,
        spoiled,
        honest,
        size,
        end,
        room,
        processRoom,
        direction,
      ) => {
        let coded = content;
        for (const name of codings) coded = CODERS[name]!(coded);
        if (spoiled !== null) {
          const octets = [...coded];
          octets.splice(spoiled.at % (coded.length + 1), spoiled.remove, ...spoiled.octets);
          coded = Uint8Array.from(octets);
        }
        const told = honest ? codings : codings.toReversed();
        const play = (reads: readonly Uint8Array[]) => {
          const processBudget = new Budget(processRoom);
          const observed = observe(reads, {
            fields: [
              ...(type === "" ? [] : [["content-type", type] as const]),
              ...(told.length === 0 ? [] : [["content-encoding", told.join(", ")] as const]),
              ["grpc-encoding", grpcEncoding],
            ],
            limits: { decoderBufferBytes: room },
            cut: end === "cut",
            abandoned: end === "abandoned",
            direction,
            processBudget,
          });
          assertEquals([observed.heldBytes, processBudget.held], [0, 0], "what was held is given back");
          assert(observed.heldBytesMax <= Math.min(room, processRoom));
          return observed.events;
        };
        const whole = play([coded]);
        assert(
          whole.every(({ kind, attributes }) =>
            kind !== "observer_stopped" || !String(attributes["reason"]).startsWith("failed")
          ),
          "no observer throws",
        );
        const pieces = play(cutInto(coded, size));
        assertEquals(pieces, whole);
      },
    ),
    { numRuns: 400 },
  );
});
