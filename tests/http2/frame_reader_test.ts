import { assertEquals } from "@std/assert";
import { assert } from "../../src/core/assert.ts";
import type { Side } from "../../src/core/side.ts";
import { FrameReader } from "../../src/http2/frame_reader.ts";
import { cutInto, latin1 } from "../support/golden.ts";
import { EMPTY_SETTINGS, frame, join, opening, padded, PREFACE, T, uint32 } from "./frame_builder.ts";
import { comparable, transcribe, type Transcript, type TranscriptOptions } from "./transcript.ts";

/** Reads the frames behind an opening, whole and in small reads, which must be alike. */
function read(bytes: Uint8Array, options: Partial<TranscriptOptions> = {}): Transcript {
  const by = options.by ?? "client";
  const whole = join(opening(by), bytes);
  const transcript = transcribe({ ...options, by }, [whole]);
  for (const size of bytes.length < 5000 ? [1, 2, 7, 10] : [997]) {
    assertEquals(comparable(transcribe({ ...options, by }, cutInto(whole, size))), comparable(transcript));
  }
  return transcript;
}

/** The code of the error that the last event is; null where it is none. */
function errorOf(transcript: Transcript): string | null {
  const last = transcript.told.at(-1)!;
  return last.type === "error" ? last.error.code : null;
}

const OK = frame(T.PING, 0, 0, new Array(8).fill(1));

Deno.test("FrameReader takes the preface and SETTINGS first, from each side", () => {
  assertEquals(read(OK).told.map(({ type }) => type), ["preface", "frame", "frame"]);
  assertEquals(read(OK, { by: "server" }).told.map(({ type }) => type), ["frame", "frame"]);
  assertEquals(read(OK).forwarded, join(PREFACE, EMPTY_SETTINGS, OK));
});

Deno.test("FrameReader refuses another preface at the first octet that differs", () => {
  for (let at = 0; at < PREFACE.length; at++) {
    const wrong = PREFACE.slice(0, at + 1);
    wrong[at]! ^= 0x20;
    const { told, forwarded } = transcribe({ by: "client" }, [wrong]);
    assert(told[0]?.type === "error", `octet ${at}`);
    assertEquals([told[0].error.code, told[0].error.offset, told[0].error.errorCode], [
      "invalid_preface",
      at,
      "PROTOCOL_ERROR",
    ]);
    assertEquals(forwarded.length, 0);
  }
  assertEquals(errorOf(transcribe({ by: "client" }, [latin1("GET / HTTP/1.1\r\n\r\n")])), "invalid_preface");
});

Deno.test("FrameReader refuses a first frame that is not SETTINGS, or acknowledges some", () => {
  for (const first of [OK, frame(T.SETTINGS, 1, 0), frame(0x42, 0, 0)]) {
    for (const by of ["client", "server"] as const) {
      const bytes = by === "client" ? join(PREFACE, first) : first;
      assertEquals(errorOf(transcribe({ by }, [bytes])), "missing_settings");
    }
  }
});

Deno.test("FrameReader hands DATA on as it arrives, before its end", () => {
  const reader = new FrameReader({ by: "server", maxHeldBytes: 100 });
  reader.read(EMPTY_SETTINGS, 0);
  const data = frame(T.DATA, 1, 5, [1, 2, 3, 4, 5, 6]);
  const pieces = [data.subarray(0, 4), data.subarray(4, 9), data.subarray(9, 11), data.subarray(11, 12)];
  const told = [];
  for (const piece of [...pieces, join(data.subarray(12), OK)]) {
    let at = 0;
    for (;;) {
      const event = reader.read(piece, at);
      if (event.type !== "piece") break;
      told.push([event.begins, event.ends, event.raw.length, [...event.content]]);
      at = event.next;
    }
  }
  assertEquals(told, [
    [true, false, 9, []],
    [false, false, 2, [1, 2]],
    [false, false, 1, [3]],
    [false, true, 3, [4, 5, 6]],
  ]);
  assertEquals(reader.heldBytes, 0);
});

Deno.test("FrameReader copies no frame that lies whole in a read", () => {
  const reader = new FrameReader({ by: "server", maxHeldBytes: 100 });
  const bytes = join(EMPTY_SETTINGS, frame(T.DATA, 0, 1, [7, 8]), OK);
  let at = 0;
  for (;;) {
    const event = reader.read(bytes, at);
    if (event.type === "more") break;
    assert(event.type === "frame" || event.type === "piece", event.type);
    assertEquals([event.raw.buffer, event.raw.byteOffset], [bytes.buffer, at]);
    at = event.next;
  }
  assertEquals(at, bytes.length);
});

Deno.test("FrameReader tells content from padding in DATA, wherever reads cut it", () => {
  for (const [content, padLength] of [[[1, 2, 3], 5], [[], 5], [[1, 2], 0], [[], 0], [[9], 255]] as const) {
    const { told } = read(frame(T.DATA, 0x9, 1, padded(content, padLength)));
    const pieces = told.at(-1)!;
    assert(pieces.type === "pieces" && pieces.ended, JSON.stringify(pieces));
    assertEquals([...pieces.content], [...content]);
    assertEquals(pieces.paddingBytes, padLength + 1);
  }
  const { told } = read(frame(T.DATA, 0, 1, [1, 2]));
  assert(told.at(-1)!.type === "pieces", "DATA");
  assertEquals((told.at(-1) as { paddingBytes: number }).paddingBytes, 0);
});

Deno.test("FrameReader refuses padding as long as the payload of DATA, at n and n+1", () => {
  assertEquals(errorOf(read(frame(T.DATA, 0x8, 1, [3, 1, 2, 3]))), null);
  const refused = read(frame(T.DATA, 0x8, 1, [4, 1, 2, 3]));
  assertEquals(errorOf(refused), "invalid_padding");
  assertEquals(refused.forwarded, opening("client"), "nothing of it is forwarded");
  assertEquals(errorOf(read(frame(T.DATA, 0x8, 1, []))), "invalid_frame_length");
});

Deno.test("FrameReader passes unknown types and flags on, on any stream, in pieces", () => {
  const unknown = [
    frame(0x10, 0xff, 0, latin1("u=1")),
    frame(0xa, 0, 1, new Uint8Array(20_000)),
    frame(0xff, 0x8, 0x8000_0000, [200, 1]),
    frame(0x20, 0, 2, []),
  ];
  const { told, forwarded } = read(join(...unknown), { maxFrameSize: 20_000, maxHeldBytes: 50 });
  assertEquals(forwarded, join(opening("client"), ...unknown));
  assertEquals(
    told.slice(2).map((event) => event.type === "pieces" ? [event.header.type, event.content.length] : event),
    [[0x10, 3], [0xa, 20_000], [0xff, 2], [0x20, 0]],
  );
});

Deno.test("FrameReader holds frames to the frame size at n and n+1, and follows its change", () => {
  const sized = (length: number) => frame(T.DATA, 0, 1, new Uint8Array(length));
  assertEquals(errorOf(read(sized(16_384))), null);
  assertEquals(errorOf(read(sized(16_385))), "frame_too_large");
  assertEquals(errorOf(read(sized(16_385), { maxFrameSize: 16_385 })), null);
  assertEquals(errorOf(read(frame(0x77, 0, 0, new Uint8Array(16_385)))), "frame_too_large");
  // The header is enough to know.
  assertEquals(errorOf(read(frame(T.HEADERS, 4, 1, [], 16_385))), "frame_too_large");
});

Deno.test("FrameReader holds no more than it may, at n and n+1, whatever the frame size", () => {
  const options = { maxFrameSize: 1_000_000, maxHeldBytes: 20_000 };
  assertEquals(errorOf(read(frame(T.HEADERS, 4, 1, new Uint8Array(20_000)), options)), null);
  const over = read(frame(T.HEADERS, 4, 1, [], 20_001), options);
  assertEquals(errorOf(over), "frame_over_held_bytes");
  assertEquals(over.heldBytes, 0);
  assertEquals(errorOf(read(frame(T.DATA, 0, 1, new Uint8Array(30_000)), options)), null, "DATA is not held");
  const dripped = transcribe(
    { by: "server" },
    cutInto(join(EMPTY_SETTINGS, frame(T.HEADERS, 4, 1, [], 9000)), 1),
  );
  assertEquals(dripped.heldBytes, 9, "a long length alone takes no memory");
});

Deno.test("FrameReader lets nothing stand within a field block but its CONTINUATION", () => {
  const headers = frame(T.HEADERS, 0, 1, [0x82]);
  const end = frame(T.CONTINUATION, 4, 1, [0x87]);
  assertEquals(errorOf(read(join(headers, frame(T.CONTINUATION, 0, 1), end, OK))), null);
  const intruders = [
    OK,
    frame(T.DATA, 0, 1),
    frame(T.HEADERS, 4, 1),
    frame(T.HEADERS, 4, 3),
    frame(T.PRIORITY, 0, 5, [0, 0, 0, 0, 0]),
    frame(T.PRIORITY, 0, 5),
    frame(T.CONTINUATION, 4, 3),
    frame(T.CONTINUATION, 4, 0),
    frame(0x42, 0, 0),
  ];
  for (const intruder of intruders) {
    const refused = read(join(headers, intruder));
    assertEquals(errorOf(refused), "expected_continuation");
    assertEquals(refused.forwarded, join(opening("client"), headers));
  }
  const promise = frame(T.PUSH_PROMISE, 0, 1, [...uint32(2), 0x82]);
  assertEquals(errorOf(read(join(promise, end), { by: "server" })), null);
  assertEquals(errorOf(read(join(promise, OK), { by: "server" })), "expected_continuation");
});

Deno.test("FrameReader refuses CONTINUATION that continues nothing", () => {
  assertEquals(errorOf(read(frame(T.CONTINUATION, 4, 1))), "unexpected_continuation");
  assertEquals(errorOf(read(frame(T.CONTINUATION, 4, 0))), "missing_stream_id");
  const block = frame(T.HEADERS, 4, 1, [0x82]);
  assertEquals(errorOf(read(join(block, frame(T.CONTINUATION, 4, 1)))), "unexpected_continuation");
  const data = frame(T.DATA, 0, 1);
  assertEquals(errorOf(read(join(block, data, frame(T.CONTINUATION, 4, 1)))), "unexpected_continuation");
});

Deno.test("FrameReader tells stream errors, leaves the frame out and reads on", () => {
  for (
    const [bad, code] of [
      [frame(T.PRIORITY, 0, 3, [1, 2, 3, 4]), "invalid_priority_length"],
      [frame(T.PRIORITY, 0, 3, new Array(300).fill(6)), "invalid_priority_length"],
      [frame(T.PRIORITY, 0, 3), "invalid_priority_length"],
      [frame(T.WINDOW_UPDATE, 0, 3, uint32(0)), "zero_window_increment"],
    ] as const
  ) {
    const { told, forwarded, betweenFrames } = read(join(OK, bad, bad, OK));
    assertEquals(told.map((event) => event.type === "stream_error" ? event.error.code : event.type), [
      "preface",
      "frame",
      "frame",
      code,
      code,
      "frame",
    ]);
    assertEquals(forwarded, join(opening("client"), OK, OK));
    assertEquals(betweenFrames, true);
  }
  const last = read(join(OK, frame(T.WINDOW_UPDATE, 0, 3, uint32(0)))).told.at(-1)!;
  assert(last.type === "stream_error", "on a stream");
  assertEquals([last.error.streamId, last.error.offset], [3, opening("client").length + OK.length]);
});

Deno.test("FrameReader counts the octets of frames that it leaves out", () => {
  const refused = frame(T.PRIORITY, 0, 3, new Array(40).fill(6));
  const last = read(join(refused, refused, frame(T.DATA, 0, 0))).told.at(-1)!;
  assert(last.type === "error", "DATA on stream 0");
  assertEquals(last.error.offset, opening("client").length + 2 * refused.length);
});

Deno.test("FrameReader ends with the first connection error, where the frame begins, and keeps what came before", () => {
  for (
    const [bad, code, errorCode] of [
      [frame(T.WINDOW_UPDATE, 0, 0, uint32(0)), "zero_window_increment", "PROTOCOL_ERROR"],
      [frame(T.RST_STREAM, 0, 0, uint32(0)), "missing_stream_id", "PROTOCOL_ERROR"],
      [frame(T.RST_STREAM, 0, 1, [1]), "invalid_frame_length", "FRAME_SIZE_ERROR"],
      [
        frame(T.SETTINGS, 0, 0, [0, 4, ...uint32(0x8000_0000)]),
        "invalid_initial_window_size",
        "FLOW_CONTROL_ERROR",
      ],
      [frame(T.PUSH_PROMISE, 4, 1, uint32(2)), "push_from_client", "PROTOCOL_ERROR"],
    ] as const
  ) {
    const transcript = read(join(OK, bad, OK));
    const last = transcript.told.at(-1)!;
    assert(last.type === "error", code);
    const { code: found, offset, scope, errorCode: number, by } = last.error;
    assertEquals([found, offset, scope, number, by], [
      code,
      opening("client").length + OK.length,
      "connection",
      errorCode,
      "client",
    ]);
    assertEquals(transcript.forwarded, join(opening("client"), OK));
    assertEquals(transcript.told.length, 4);
  }
});

Deno.test("FrameReader.betweenFrames is false while anything is cut off", () => {
  const between = (bytes: Uint8Array, by: Side = "server") => transcribe({ by }, [bytes]).betweenFrames;
  assertEquals(between(new Uint8Array(0), "client"), true);
  assertEquals(between(PREFACE.subarray(0, 5), "client"), false);
  assertEquals(between(PREFACE, "client"), true);
  assertEquals(between(EMPTY_SETTINGS), true);
  for (let length = 1; length < EMPTY_SETTINGS.length; length++) {
    assertEquals(between(EMPTY_SETTINGS.subarray(0, length)), false);
  }
  assertEquals(between(join(EMPTY_SETTINGS, frame(T.DATA, 0, 1, [1], 2))), false);
  assertEquals(between(join(EMPTY_SETTINGS, frame(T.HEADERS, 0, 1, [0x82]))), false, "within a field block");
  assertEquals(
    between(join(EMPTY_SETTINGS, frame(T.PRIORITY, 0, 1, [1], 2))),
    false,
    "within a refused frame",
  );
});
