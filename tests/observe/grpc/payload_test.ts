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
  let stopped = false;
  const open = (context: ObserverContext) => {
    const payload = new Payload(context, bytesMax, cut ? coded.length + 1 : coded.length, codings);
    let came = 0;
    return {
      content(bytes: Uint8Array) {
        came += bytes.length;
        stopped ||= !payload.part(bytes);
        if (stopped || came < coded.length) return;
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
  return stopped ? "stopped" : result;
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

Deno.test("Payload stops where the flow has no room, for what came or for the decoder, in any cut", () => {
  const long = new Uint8Array(1000);
  for (const size of [1, 300, 1000]) {
    const few = { coded: long, codings: null, size, bytesMax: 1000 };
    assertEquals(payload({ ...few, decoderBufferBytes: 999 }), "stopped");
    assertEquals(typeof payload({ ...few, decoderBufferBytes: 1000 }), "object");
  }
  for (const size of [1, 37]) {
    assertEquals(payload({ coded: gzip(hello), size, decoderBufferBytes: 10_000 }), "stopped");
  }
});
