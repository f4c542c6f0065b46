/** What holds for every observer in the registry, whatever comes. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
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
