/** What holds for any call; what is said of which is in `fixtures/grpc`. */
import { joinBytes } from "../../../src/core/bytes.ts";
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import type { Field } from "../../../src/http/fields.ts";
import { GRPC } from "../../../src/observe/grpc/observer.ts";
import { cutInto } from "../../support/golden.ts";
import { observe } from "../observed.ts";
import { deflate, envelope, gzip } from "./envelopes.ts";

const encoder = new TextEncoder();
const type = (value: string): Field => ["content-type", value];
const ENCODERS = { identity: (message: Uint8Array) => message, gzip, deflate };

const message = fc.record({
  bytes: fc.oneof(fc.uint8Array({ maxLength: 60 }), fc.string().map((text) => encoder.encode(text))),
  compressed: fc.boolean(),
});
const variant = fc.constantFrom(
  "application/grpc",
  "application/grpc-web+proto",
  "application/grpc-web-text",
);

Deno.test("the messages and the end of any call come out as they went in, however it is carried and cut", () => {
  fc.assert(
    fc.property(
      fc.array(message, { maxLength: 6 }),
      variant,
      fc.constantFrom(...Object.keys(ENCODERS) as (keyof typeof ENCODERS)[]),
      fc.nat(16),
      fc.integer({ min: 1, max: 50 }),
      (messages, variant, encoding, status, size) => {
        const compress = encoding === "identity" ? () => false : (compressed: boolean) => compressed;
        const parts = messages.map(({ bytes, compressed }) =>
          compress(compressed) ? envelope(1, ENCODERS[encoding](bytes)) : envelope(0, bytes)
        );
        const web = variant !== "application/grpc";
        if (web) parts.push(envelope(0x80, encoder.encode(`grpc-status: ${status}\r\n`)));
        const content = variant.includes("text")
          ? encoder.encode(parts.map((part) => part.toBase64()).join(""))
          : joinBytes(parts);
        const { events, heldBytes } = observe(cutInto(content, size), {
          protocol: "http2",
          fields: [type(variant), ["grpc-encoding", encoding]],
          requestFields: [type(variant)],
          target: "/a.B/c",
          trailers: web ? [] : [["grpc-status", String(status)]],
        });
        const told = events.filter(({ kind }) => kind === "grpc_message").map(({ attributes }) => ({
          bytes: dataOf(attributes),
          compressed: attributes["compressed"],
        }));
        assertEquals(
          told,
          messages.map(({ bytes, compressed }) => ({ bytes: [...bytes], compressed: compress(compressed) })),
        );
        const ends = events.filter(({ kind }) => kind === "grpc_trailers");
        assertEquals(ends.map(({ attributes }) => attributes["grpc_status"]), [status]);
        assertEquals(events.filter(({ kind }) => kind === "decoder_failed"), []);
        assertEquals(heldBytes, 0);
      },
    ),
    { numRuns: 300 },
  );
});

function dataOf({ data, data_base64: base64 }: { readonly [name: string]: unknown }): number[] {
  return typeof data === "string" ? [...encoder.encode(data)] : [...Uint8Array.fromBase64(String(base64))];
}

Deno.test("any content gives the same events in any cut, whatever the limits, and gives back what it held", () => {
  const piece = fc.oneof(
    fc.tuple(fc.constantFrom(0, 1, 0x80, 0x81, 2), fc.uint8Array({ maxLength: 30 })).map(([flags, bytes]) =>
      envelope(flags, bytes)
    ),
    fc.tuple(fc.constantFrom(1, 0x81), fc.nat(3000)).map(([flags, length]) =>
      envelope(flags, gzip(new Uint8Array(length)))
    ),
    fc.nat(600).map((length) => envelope(0, new Uint8Array(length).fill(0x61))),
    fc.uint8Array({ maxLength: 6 }),
  );
  fc.assert(
    fc.property(
      fc.array(piece, { maxLength: 6 }).map(joinBytes),
      fc.constantFrom("application/grpc", "application/grpc-web", "application/grpc-web-text"),
      fc.integer({ min: 1, max: 60 }),
      fc.boolean(),
      fc.option(fc.nat(2000), { nil: null }),
      fc.record({
        captureBytes: fc.constantFrom(0, 5, 300, 65_536),
        decoderBufferBytes: fc.constantFrom(0, 300, 58_000, 60_000, 4_194_304),
        inflateBytes: fc.constantFrom(10, 1_000_000),
      }),
      (content, variant, size, cut, brokenAt, limits) => {
        const options = {
          fields: [type(variant), ["grpc-encoding", "gzip"] as const],
          requestFields: [type(variant)],
          cut,
          limits,
        };
        const text = variant.includes("text");
        const sent = text ? encoder.encode(content.toBase64()) : content;
        // A dash, which is no base64.
        if (brokenAt !== null && brokenAt < sent.length) sent[brokenAt] = 0x2d;
        const whole = observe([sent], options);
        const pieces = observe(cutInto(sent, size), options);
        assertEquals(pieces.events, whole.events);
        assertEquals([whole.heldBytes, pieces.heldBytes], [0, 0]);
        assert(pieces.heldBytesMax <= limits.decoderBufferBytes);
        const failed = whole.events.filter(({ attributes }) =>
          String(attributes["reason"]).startsWith("failed")
        );
        assertEquals(failed, [], "the observer throws nothing");
      },
    ),
    { numRuns: 400 },
  );
});

Deno.test("a message far beyond the limits is counted, and no more kept of it than the limit", () => {
  const length = 40 * 1024 * 1024;
  const prefix = envelope(0, new Uint8Array(0));
  new DataView(prefix.buffer).setUint32(1, length);
  const read = new Uint8Array(1024 * 1024).fill(0x61);
  const { events, heldBytes, heldBytesMax } = observe([prefix, ...Array<Uint8Array>(40).fill(read)], {
    direction: "request",
    fields: [type("application/grpc")],
    observers: [GRPC],
    limits: { captureBytes: 1000 },
  });
  const { attributes } = events.find(({ kind }) => kind === "grpc_message")!;
  assertEquals([attributes["bytes"], attributes["truncated"]], [length, true]);
  assertEquals(String(attributes["data"]).length, 1000);
  assertEquals([heldBytes, heldBytesMax <= 1024], [0, true]);
});

Deno.test("an endless stream of compressed messages costs no more than one, and each is told of", () => {
  const one = envelope(
    1,
    gzip(encoder.encode(Array.from({ length: 300 }, (_, index) => index * 7919).join())),
  );
  const { events, heldBytesMax } = observe(Array<Uint8Array>(2000).fill(one), {
    direction: "request",
    fields: [type("application/grpc"), ["grpc-encoding", "gzip"]],
    limits: { captureBytes: 0 },
  });
  const told = events.filter(({ kind }) => kind === "grpc_message");
  assertEquals(told.length, 2000);
  assertEquals(told.at(-1)!.attributes["index"], 1999);
  assertEquals(told.at(-1)!.attributes["decoded_bytes"], told[0]!.attributes["decoded_bytes"]);
  assertEquals(heldBytesMax, 0, "between messages nothing is held");
});
