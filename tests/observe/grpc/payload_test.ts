import { assertEquals } from "@std/assert";
import { Payload } from "../../../src/observe/grpc/payload.ts";
import type { ObserverContext, ObserverDefinition } from "../../../src/observe/observer.ts";
import { cutInto } from "../../support/golden.ts";
import { observe } from "../observed.ts";
import { gzip } from "./envelopes.ts";

const encoder = new TextEncoder();

interface Tried {
  readonly coded: Uint8Array;
  readonly codings?: readonly string[] | null;
  readonly size?: number;
  readonly bytesMax?: number;
  readonly cut?: boolean;
  readonly decoderBufferBytes?: number;
}

/** A content that is one message, in the surroundings that an observer has. */
function payload(
  { coded, codings = ["gzip"], size = coded.length, bytesMax = 100, cut = false, ...rest }: Tried,
) {
  let result: unknown = null;
  const open = (context: ObserverContext) => {
    const payload = new Payload(context, bytesMax, cut ? coded.length + 1 : coded.length, codings);
    let came = 0;
    return {
      content(bytes: Uint8Array) {
        came += bytes.length;
        payload.part(bytes);
        if (came < coded.length) return;
        payload.finish(
          cut,
          ({ data, ...said }) => result = { ...said, data: new TextDecoder().decode(data) },
        );
      },
      end: () => {},
    };
  };
  const definition: ObserverDefinition = {
    name: "tried",
    open: (_head, _mediaType, context) => open(context),
    example: { mediaType: "a/b", content: "" },
  };
  const { heldBytes } = observe(cutInto(coded, size), {
    observers: [definition],
    direction: "request",
    limits: rest.decoderBufferBytes === undefined ? {} : { decoderBufferBytes: rest.decoderBufferBytes },
  });
  assertEquals(heldBytes, 0, "all is given back");
  return result;
}

const hello = encoder.encode("hello hello hello");

Deno.test("Payload gives a message as it came, up to the limit, however it came", () => {
  for (const size of [1, 5, 17]) {
    const common = { bytes: 17, dataBytes: 17, decodedBytes: null, error: null, exhausted: false };
    assertEquals(payload({ coded: hello, codings: null, size }), { ...common, data: "hello hello hello" });
    assertEquals(payload({ coded: hello, codings: null, size, bytesMax: 4 }), { ...common, data: "hell" });
  }
});

Deno.test("Payload takes a message out of its encoding, and says of how much its data is the beginning", () => {
  const coded = gzip(hello);
  for (const size of [1, 7, coded.length]) {
    assertEquals(payload({ coded, size, bytesMax: 4 }), {
      bytes: coded.length,
      data: "hell",
      dataBytes: 17,
      decodedBytes: 17,
      error: null,
      exhausted: false,
    });
  }
  assertEquals(payload({ coded: gzip(new Uint8Array(0)) }), {
    bytes: 20,
    data: "",
    dataBytes: 0,
    decodedBytes: 0,
    error: null,
    exhausted: false,
  });
});

Deno.test("Payload keeps a message that is not in its encoding as it came, and finds no fault in a cut", () => {
  for (const size of [1, 17]) {
    const wrong = {
      bytes: 17,
      dataBytes: 17,
      decodedBytes: null,
      exhausted: false,
      data: "hello hello hello",
    };
    const error = "gzip: incorrect header check";
    assertEquals(payload({ coded: hello, size }), { ...wrong, error });
  }
  const coded = gzip(hello).subarray(0, 8);
  const cut = payload({ coded, cut: true, codings: ["gzip"] }) as { error: unknown; decodedBytes: unknown };
  assertEquals([cut.error, cut.decodedBytes], [null, null]);
});

Deno.test("Payload keeps what the flow has room for, and counts the rest, in any cut", () => {
  const long = new Uint8Array(1000).fill(0x61);
  const kept = (size: number, decoderBufferBytes: number) => {
    const result = payload({ coded: long, codings: null, size, bytesMax: 1000, decoderBufferBytes });
    const { data, bytes, dataBytes } = result as { data: string; bytes: number; dataBytes: number };
    return [data.length, bytes, dataBytes];
  };
  for (const size of [1, 300, 1000]) {
    assertEquals(kept(size, 1000), [1000, 1000, 1000]);
    assertEquals(kept(size, 999), [512, 1000, 1000]);
    assertEquals(kept(size, 255), [0, 1000, 1000]);
  }
});

Deno.test("Payload keeps a message as it came where the flow has no room for a decoder, and says so", () => {
  const coded = gzip(hello);
  for (const size of [1, 37]) {
    const { data, bytes, error } = payload({ coded, size, decoderBufferBytes: 10_000 }) as Record<
      string,
      unknown
    >;
    assertEquals([bytes, (data as string).length > 0], [coded.length, true]);
    assertEquals(error, "the flow's budget has no room for a decoder (limits.decoder_buffer_bytes)");
  }
});

Deno.test("Payload keeps the same of a compressed message in a narrow budget, however it is cut", () => {
  const content = encoder.encode(
    Array.from({ length: 400 }, (_, index) => `${index * 7919 % 1009}`).join(" "),
  );
  const coded = gzip(content);
  for (const decoderBufferBytes of [57_000, 58_000, 59_000, 60_000]) {
    const tried = { coded, bytesMax: 10_000, decoderBufferBytes };
    const whole = payload(tried);
    for (const size of [1, 100, 700, 1024]) assertEquals(payload({ ...tried, size }), whole, `in ${size}`);
  }
});
