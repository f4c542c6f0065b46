import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { assert } from "../../src/core/assert.ts";
import type { Side } from "../../src/core/side.ts";
import {
  checkFrameHeader,
  type ControlFrame,
  frameName,
  isControlFrame,
  readControlFrame,
  readFrameHeader,
} from "../../src/http2/frames.ts";
import { frame, padded, T, uint32 } from "./frame_builder.ts";

/** The frame, or the error's code. */
function read(bytes: Uint8Array, by: Side = "server"): ControlFrame | string {
  const header = readFrameHeader(bytes, 0);
  const error = checkFrameHeader(header, by, 0);
  if (error !== null) return error.code;
  const result = readControlFrame(header, bytes.subarray(9), by, 0);
  return result.type === "error" ? result.code : result;
}

const FRAGMENT = Uint8Array.of(0x82, 0x87);

Deno.test("readFrameHeader reads the nine octets and leaves the reserved bit out", () => {
  const bytes = Uint8Array.from([0xee, 0x01, 0x02, 0x03, 0x07, 0xa5, 0xff, 0xff, 0xff, 0xfe]);
  assertEquals(readFrameHeader(bytes, 1), { length: 0x010203, type: 7, flags: 0xa5, streamId: 0x7fff_fffe });
});

Deno.test("readControlFrame reads HEADERS with and without padding and priority", () => {
  const expected = {
    type: "headers" as const,
    streamId: 3,
    endStream: false,
    endHeaders: false,
    priority: null,
    fragment: FRAGMENT,
  };
  assertEquals(read(frame(T.HEADERS, 0, 3, FRAGMENT)), expected);
  assertEquals(read(frame(T.HEADERS, 0x5, 0x8000_0003, FRAGMENT)), {
    ...expected,
    endStream: true,
    endHeaders: true,
  });
  assertEquals(read(frame(T.HEADERS, 0x8, 3, padded(FRAGMENT, 4))), expected);
  assertEquals(read(frame(T.HEADERS, 0x8, 3, padded(FRAGMENT, 0))), expected);
  const priority = { exclusive: true, dependency: 11, weight: 256 };
  const octets = [0x80, 0, 0, 11, 255];
  assertEquals(read(frame(T.HEADERS, 0x20, 3, [...octets, ...FRAGMENT])), { ...expected, priority });
  assertEquals(read(frame(T.HEADERS, 0x28, 3, padded([...octets, ...FRAGMENT], 9))), {
    ...expected,
    priority,
  });
  assertEquals(read(frame(T.HEADERS, 0x28, 3, padded(octets, 1))), {
    ...expected,
    priority,
    fragment: new Uint8Array(0),
  });
  // Flags without a meaning are ignored.
  assertEquals(read(frame(T.HEADERS, 0xd2, 3, FRAGMENT)), expected);
});

Deno.test("readControlFrame reads all other control frames", () => {
  assertEquals(read(frame(T.PRIORITY, 0, 3, [0, 0, 0, 5, 0])), {
    type: "priority",
    streamId: 3,
    priority: { exclusive: false, dependency: 5, weight: 1 },
  });
  assertEquals(read(frame(T.RST_STREAM, 0, 3, uint32(0xffff_ffff))), {
    type: "rst_stream",
    streamId: 3,
    errorCode: 0xffff_ffff,
  });
  assertEquals(read(frame(T.SETTINGS, 0, 0, [0, 3, ...uint32(100), 0xff, 0xff, ...uint32(7)])), {
    type: "settings",
    ack: false,
    settings: [[3, 100], [0xffff, 7]],
  });
  assertEquals(read(frame(T.SETTINGS, 1, 0)), { type: "settings", ack: true, settings: [] });
  assertEquals(read(frame(T.PUSH_PROMISE, 0xc, 3, padded([...uint32(0x8000_0004), ...FRAGMENT], 1))), {
    type: "push_promise",
    streamId: 3,
    endHeaders: true,
    promisedStreamId: 4,
    fragment: FRAGMENT,
  });
  const opaque = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
  assertEquals(read(frame(T.PING, 1, 0, opaque)), { type: "ping", ack: true, opaque });
  assertEquals(read(frame(T.GOAWAY, 0, 0, [...uint32(0xffff_ffff), ...uint32(11), 0x61])), {
    type: "goaway",
    lastStreamId: 0x7fff_ffff,
    errorCode: 11,
    debugData: Uint8Array.of(0x61),
  });
  assertEquals(read(frame(T.WINDOW_UPDATE, 0, 0, uint32(0xffff_ffff))), {
    type: "window_update",
    streamId: 0,
    increment: 0x7fff_ffff,
  });
  assertEquals(read(frame(T.CONTINUATION, 4, 3, FRAGMENT)), {
    type: "continuation",
    streamId: 3,
    endHeaders: true,
    fragment: FRAGMENT,
  });
});

Deno.test("checkFrameHeader refuses the wrong stream for each type", () => {
  for (const type of [T.DATA, T.HEADERS, T.RST_STREAM, T.PUSH_PROMISE, T.CONTINUATION, T.PRIORITY]) {
    assertEquals(read(frame(type, 0, 0, [0, 0, 0, 2, 0])), "missing_stream_id", frameName(type));
  }
  for (const type of [T.SETTINGS, T.PING, T.GOAWAY]) {
    assertEquals(read(frame(type, 0, 1, new Array(8).fill(0))), "unexpected_stream_id", frameName(type));
  }
  const unknown = { length: 0, type: 0x10, flags: 0xff };
  for (const streamId of [0, 1, 2]) {
    assertEquals(checkFrameHeader({ ...unknown, streamId }, "client", 0), null);
  }
});

Deno.test("checkFrameHeader refuses payloads of the wrong length at n-1 and n+1", () => {
  const code = (type: number, flags: number, length: number) =>
    checkFrameHeader({ length, type, flags, streamId: [4, 6, 7].includes(type) ? 0 : 1 }, "server", 0)
      ?.code ?? "ok";
  for (const [type, length] of [[T.RST_STREAM, 4], [T.PING, 8], [T.WINDOW_UPDATE, 4]] as const) {
    assertEquals([length - 1, length, length + 1].map((n) => code(type, 0, n)), [
      "invalid_frame_length",
      "ok",
      "invalid_frame_length",
    ], frameName(type));
  }
  assertEquals([4, 5, 6].map((n) => code(T.PRIORITY, 0, n)), [
    "invalid_priority_length",
    "ok",
    "invalid_priority_length",
  ]);
  assertEquals([0, 5, 6, 7, 12].map((n) => code(T.SETTINGS, 0, n)), [
    "ok",
    "invalid_frame_length",
    "ok",
    "invalid_frame_length",
    "ok",
  ]);
  assertEquals([0, 6].map((n) => code(T.SETTINGS, 1, n)), ["ok", "invalid_frame_length"]);
  assertEquals([7, 8, 9].map((n) => code(T.GOAWAY, 0, n)), ["invalid_frame_length", "ok", "ok"]);
  for (
    const [type, flags, least] of [
      [T.DATA, 0, 0],
      [T.DATA, 0x8, 1],
      [T.HEADERS, 0, 0],
      [T.HEADERS, 0x8, 1],
      [T.HEADERS, 0x20, 5],
      [T.HEADERS, 0x28, 6],
      [T.PUSH_PROMISE, 0, 4],
      [T.PUSH_PROMISE, 0x8, 5],
      [T.CONTINUATION, 0x28, 0],
    ] as const
  ) {
    assertEquals(code(type, flags, least), "ok", `${frameName(type)} with ${flags}`);
    if (least > 0) assertEquals(code(type, flags, least - 1), "invalid_frame_length");
  }
});

Deno.test("readControlFrame refuses padding that leaves no room, at n and n+1", () => {
  assertEquals(read(frame(T.HEADERS, 0x8, 1, [3, 1, 2, 3])) instanceof Object, true);
  assertEquals(read(frame(T.HEADERS, 0x8, 1, [4, 1, 2, 3])), "invalid_padding");
  assertEquals(read(frame(T.HEADERS, 0x28, 1, [1, 0, 0, 0, 0, 0, 9])) instanceof Object, true);
  assertEquals(read(frame(T.HEADERS, 0x28, 1, [2, 0, 0, 0, 0, 0, 9])), "invalid_padding");
  assertEquals(read(frame(T.PUSH_PROMISE, 0x8, 1, [1, ...uint32(2), 9])) instanceof Object, true);
  assertEquals(read(frame(T.PUSH_PROMISE, 0x8, 1, [2, ...uint32(2), 9])), "invalid_padding");
});

Deno.test("readControlFrame refuses promises of streams that are not the server's, and a client's promises", () => {
  for (const promised of [0, 1, 0x7fff_ffff, 0x8000_0001]) {
    assertEquals(read(frame(T.PUSH_PROMISE, 4, 1, uint32(promised))), "invalid_promised_stream");
  }
  assertEquals(read(frame(T.PUSH_PROMISE, 4, 1, uint32(2)), "client"), "push_from_client");
});

Deno.test("readControlFrame makes an increment of 0 an error of the stream, on stream 0 of the connection", () => {
  for (const [streamId, scope] of [[1, "stream"], [0, "connection"]] as const) {
    const bytes = frame(T.WINDOW_UPDATE, 0, streamId, uint32(0x8000_0000));
    const result = readControlFrame(readFrameHeader(bytes, 0), bytes.subarray(9), "client", 77);
    assert(result.type === "error", "zero");
    assertEquals([result.code, result.scope, result.errorCode, result.offset], [
      "zero_window_increment",
      scope,
      "PROTOCOL_ERROR",
      77,
    ]);
  }
});

Deno.test("frameName names the types of RFC 9113 and numbers others", () => {
  assertEquals([0, 5, 9, 10, 16].map(frameName), [
    "DATA",
    "PUSH_PROMISE",
    "CONTINUATION",
    "type 0x0a",
    "type 0x10",
  ]);
  assertEquals([0, 1, 9, 10].map(isControlFrame), [false, true, true, false]);
});

Deno.test("readControlFrame is total: any header and payload give a frame or an error", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 9 }),
      fc.nat(255),
      fc.constantFrom(0, 1, 2, 3),
      fc.uint8Array({ maxLength: 30 }),
      fc.constantFrom<Side>("client", "server"),
      (type, flags, streamId, payload, by) => {
        const result = read(frame(type, flags, streamId, payload), by);
        if (typeof result === "string") return;
        if ("fragment" in result) assertEquals(result.fragment.length <= payload.length, true);
      },
    ),
    { numRuns: 2000 },
  );
});
