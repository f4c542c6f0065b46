import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { assert } from "../../src/core/assert.ts";
import {
  encodeData,
  encodeGoaway,
  encodeHeaders,
  encodePingAck,
  encodePushPromise,
  encodeRstStream,
  encodeSettings,
  encodeSettingsAck,
  encodeWindowUpdate,
} from "../../src/http2/frame_writer.ts";
import type { ControlFrame } from "../../src/http2/frames.ts";
import { frame, join, opening, T, uint32 } from "./frame_builder.ts";
import { type Told, transcribe } from "./transcript.ts";

Deno.test("the single frames have the octets of RFC 9113 §6", () => {
  assertEquals(encodeRstStream(0x7fff_ffff, "CANCEL"), frame(T.RST_STREAM, 0, 0x7fff_ffff, uint32(8)));
  assertEquals(
    encodeGoaway(5, "ENHANCE_YOUR_CALM", "hi"),
    frame(T.GOAWAY, 0, 0, [...uint32(5), ...uint32(11), 0x68, 0x69]),
  );
  assertEquals(encodeGoaway(0, "NO_ERROR"), frame(T.GOAWAY, 0, 0, [...uint32(0), ...uint32(0)]));
  assertEquals(
    encodeSettings([[0x1, 0], [0xabcd, 0xffff_ffff]]),
    frame(T.SETTINGS, 0, 0, [0, 1, 0, 0, 0, 0, 0xab, 0xcd, 255, 255, 255, 255]),
  );
  assertEquals(encodeSettingsAck(), frame(T.SETTINGS, 1, 0));
  const opaque = Uint8Array.of(8, 7, 6, 5, 4, 3, 2, 1);
  assertEquals(encodePingAck(opaque), frame(T.PING, 1, 0, opaque));
  assertEquals(encodeWindowUpdate(0, 0x7fff_ffff), frame(T.WINDOW_UPDATE, 0, 0, uint32(0x7fff_ffff)));
});

Deno.test("encodeData cuts at the frame size, at n and n+1, and ends the stream once", () => {
  const data = new Uint8Array(16_385).map((_, index) => index);
  const whole = data.subarray(0, 16_384);
  assertEquals(encodeData(1, whole, true), frame(T.DATA, 1, 1, whole));
  assertEquals(
    encodeData(1, data, true),
    join(frame(T.DATA, 0, 1, whole), frame(T.DATA, 1, 1, data.subarray(16_384))),
  );
  assertEquals(encodeData(3, new Uint8Array(0), true), frame(T.DATA, 1, 3));
  assertEquals(encodeData(3, new Uint8Array(0), false), frame(T.DATA, 0, 3));
});

Deno.test("encodeHeaders and encodePushPromise cut at the frame size and keep priority and promise in front", () => {
  const block = Uint8Array.of(1, 2, 3, 4, 5, 6, 7);
  const priority = { exclusive: true, dependency: 9, weight: 256 };
  const octets = [0x80, 0, 0, 9, 255];
  assertEquals(
    encodeHeaders(1, block, { endStream: true, priority, maxFrameSize: 8 }),
    join(
      frame(T.HEADERS, 0x21, 1, [...octets, 1, 2, 3]),
      frame(T.CONTINUATION, 0x4, 1, [4, 5, 6, 7]),
    ),
  );
  assertEquals(
    encodeHeaders(1, block, { endStream: false, maxFrameSize: 7 }),
    frame(T.HEADERS, 0x4, 1, block),
  );
  assertEquals(
    encodePushPromise(1, 2, block, 6),
    join(
      frame(T.PUSH_PROMISE, 0, 1, [...uint32(2), 1, 2]),
      frame(T.CONTINUATION, 0x4, 1, [3, 4, 5, 6, 7]),
    ),
  );
  assertEquals(encodeHeaders(1, new Uint8Array(0), { endStream: true }), frame(T.HEADERS, 0x5, 1));
});

/** Reads back what was written. */
function readBack(...frames: Uint8Array[]): readonly Told[] {
  const { told } = transcribe({ by: "server" }, [join(opening("server"), ...frames)]);
  return told.slice(1);
}

Deno.test("FrameReader gives back what the writer was told", () => {
  const uint31 = fc.integer({ min: 1, max: 0x7fff_ffff });
  fc.assert(
    fc.property(uint31, uint31, fc.uint8Array({ maxLength: 50 }), fc.boolean(), (id, number, bytes, flag) => {
      const even = Math.max(2, number - number % 2);
      const opaque = new Uint8Array(8).fill(bytes[0] ?? 0);
      const priority = flag ? { exclusive: !flag, dependency: number, weight: 1 + (number & 255) } : null;
      const expected: [Uint8Array, ControlFrame][] = [
        [encodeRstStream(id, "REFUSED_STREAM"), { type: "rst_stream", streamId: id, errorCode: 7 }],
        [encodeWindowUpdate(id, number), { type: "window_update", streamId: id, increment: number }],
        [encodeSettings([[0x6, number]]), { type: "settings", ack: false, settings: [[0x6, number]] }],
        [encodePingAck(opaque), { type: "ping", ack: true, opaque }],
        [encodeHeaders(id, bytes, { endStream: flag, priority }), {
          type: "headers",
          streamId: id,
          endStream: flag,
          endHeaders: true,
          priority,
          fragment: bytes,
        }],
        [encodePushPromise(id, even, bytes), {
          type: "push_promise",
          streamId: id,
          endHeaders: true,
          promisedStreamId: even,
          fragment: bytes,
        }],
      ];
      assertEquals(
        readBack(...expected.map(([written]) => written)),
        expected.map(([, frame]) => ({ type: "frame", frame })),
      );
    }),
  );
});

Deno.test("a block or data cut into frames of any size is the same when it is put together", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), fc.integer({ min: 6, max: 70 }), (bytes, maxFrameSize) => {
      const frames = readBack(
        encodeHeaders(1, bytes, {
          endStream: true,
          priority: { exclusive: false, dependency: 0, weight: 16 },
          maxFrameSize,
        }),
        encodeData(1, bytes, true, maxFrameSize),
      );
      const fragments: number[] = [];
      const data: number[] = [];
      for (const told of frames) {
        if (told.type === "pieces") {
          assert(told.header.length <= maxFrameSize, "within the frame size");
          data.push(...told.content);
        } else {
          assert(told.type === "frame" && "fragment" in told.frame, JSON.stringify(told));
          fragments.push(...told.frame.fragment);
        }
      }
      assertEquals([fragments, data], [[...bytes], [...bytes]]);
    }),
  );
});
