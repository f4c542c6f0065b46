import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import type { Answer } from "../../src/http/answer.ts";
import { encodeData } from "../../src/http2/frame_writer.ts";
import { FRAME_HEADER_BYTES, FRAME_TYPES, readFrameHeader } from "../../src/http2/frames.ts";
import { encodeHttp2Answer } from "../../src/http2/answer.ts";
import { Refusals } from "../../src/http2/refusals.ts";
import { SETTINGS, SettingsTracker } from "../../src/http2/settings.ts";

const ANSWER: Answer = { status: 403, code: "blocked", detail: "no", proxyError: "http_request_denied" };
const CONTENT_BYTES = encodeHttp2Answer(ANSWER, 1, "GET").content.length;

/** A client that counts what it is sent, and the window that a server believes it has. */
function pair(initialWindowSize = 65_535) {
  const settings = new SettingsTracker("client", 8);
  settings.sent([[SETTINGS.initial_window_size, initialWindowSize]]);
  settings.acknowledged();
  const frames: { type: number; streamId: number; length: number; flags: number }[] = [];
  let clientWindow = 65_535;
  const add = (bytes: Uint8Array) => {
    for (let at = 0; at < bytes.length;) {
      const header = readFrameHeader(bytes, at);
      frames.push(header);
      at += FRAME_HEADER_BYTES + header.length;
      if (header.type === FRAME_TYPES.data) clientWindow -= header.length;
    }
    assert(clientWindow >= 0, "the client's window is never exceeded");
  };
  const toClient = { connectionWindow: 65_535, add };
  const refusals = new Refusals(settings, toClient);
  let serverWindow = 65_535;
  return {
    refusals,
    settings,
    frames,
    data: (streamId: number) =>
      frames.filter((frame) => frame.type === FRAME_TYPES.data && frame.streamId === streamId)
        .reduce((sum, { length }) => sum + length, 0),
    get windows() {
      return [clientWindow, serverWindow];
    },
    /** The server sends DATA of at most so many octets; gives how it fared. */
    serverSends(streamId: number, wish: number) {
      const length = Math.min(wish, serverWindow);
      if (length <= 0) return null;
      serverWindow -= length;
      const admission = refusals.admit(length);
      const frame = encodeData(streamId, new Uint8Array(length), false);
      if (admission === "hold") {
        const header = readFrameHeader(frame, 0);
        const content = frame.subarray(FRAME_HEADER_BYTES);
        const rest = { paddingBytes: 0, begins: true, ends: true, next: frame.length };
        refusals.holdPiece({ type: "piece", header, raw: frame, content, ...rest });
      }
      if (admission === "pass") {
        clientWindow -= length;
        assert(clientWindow >= 0, "the client's window is never exceeded");
      }
      return admission;
    },
    clientGrants(wish: number) {
      const increment = Math.min(wish, 65_535 - clientWindow);
      if (increment <= 0) return;
      clientWindow += increment;
      toClient.connectionWindow += increment;
      serverWindow += refusals.grantedConnection(increment);
    },
  };
}

Deno.test("Refusals never exceeds the client's window whatever the server sends, and both agree in the end", () => {
  const act = fc.oneof(
    fc.record({ type: fc.constant("refuse" as const), ended: fc.boolean() }),
    fc.record({ type: fc.constant("server" as const), bytes: fc.constantFrom(1, 100, 9_000, 16_384) }),
    fc.record({ type: fc.constant("client" as const), bytes: fc.constantFrom(1, 50, 5_000, 65_535) }),
  );
  fc.assert(
    fc.property(fc.array(act, { maxLength: 60 }), (acts) => {
      const world = pair();
      let refused = 0;
      for (const one of acts) {
        if (one.type === "refuse") {
          world.refusals.answer(1001 + 2 * refused++, ANSWER, { method: "GET", ended: one.ended });
        } else if (one.type === "server") {
          assert(world.serverSends(1, one.bytes) !== "overrun", "the server keeps to what it believes");
        } else world.clientGrants(one.bytes);
      }
      // The client takes all that it was sent, as often as something comes of it.
      for (let round = 0; round < 4; round++) world.clientGrants(65_535);
      assertEquals(world.windows, [65_535, 65_535]);
      assertEquals([world.refusals.size, world.refusals.heldBytes, world.refusals.holdsAny], [0, 0, false]);
      for (let index = 0; index < refused; index++) {
        assertEquals(world.data(1001 + 2 * index), CONTENT_BYTES);
      }
    }),
    { numRuns: 500 },
  );
});

Deno.test("Refusals keeps to the window of the stream, also where it begins with 0 and grows by the octet", () => {
  const { refusals, data, frames } = pair(0);
  refusals.answer(3, ANSWER, { method: "POST", ended: false });
  assertEquals(frames.map(({ type }) => type), [FRAME_TYPES.headers]);
  assertEquals(refusals.size, 1);
  for (let octet = 1; octet <= CONTENT_BYTES; octet++) {
    refusals.grantedStream(3, 1);
    assertEquals(data(3), octet);
  }
  assertEquals(frames.at(-2)!.flags & 1, 1);
  assertEquals(frames.at(-1)!.type, FRAME_TYPES.rst_stream);
  assertEquals(refusals.size, 0);
});

Deno.test("Refusals counts on the smallest window that the client's settings may mean, and goes on with a larger", () => {
  const { refusals, settings, data } = pair(10);
  settings.sent([[SETTINGS.initial_window_size, 4]]);
  refusals.answer(3, ANSWER, { method: "GET", ended: true });
  assertEquals(data(3), 4);
  settings.sent([[SETTINGS.initial_window_size, 70_000]]);
  settings.acknowledged();
  refusals.settingsChanged();
  assertEquals(data(3), 4);
  settings.acknowledged();
  refusals.settingsChanged();
  assertEquals(data(3), CONTENT_BYTES);
});

Deno.test("Refusals: a request that ends while its answer waits is not reset, and a reset one gets no more", () => {
  const { refusals, frames, data } = pair(0);
  refusals.answer(3, ANSWER, { method: "POST", ended: false });
  refusals.requestEnded(3);
  refusals.grantedStream(3, 1_000);
  assertEquals(frames.some(({ type }) => type === FRAME_TYPES.rst_stream), false);
  refusals.answer(5, ANSWER, { method: "POST", ended: false });
  refusals.reset(5);
  refusals.grantedStream(5, 1_000);
  assertEquals([data(3), data(5), refusals.heldBytes], [CONTENT_BYTES, 0, 0]);
});

Deno.test("Refusals holds frames of a stream behind its held DATA, and gives back what is dropped", () => {
  const world = pair();
  for (let sent = 0; sent < 4 * 16_000; sent += 16_000) assertEquals(world.serverSends(1, 16_000), "pass");
  world.refusals.answer(3, ANSWER, { method: "GET", ended: true });
  assertEquals(world.serverSends(5, 1_535), "hold");
  assertEquals([world.refusals.holds(5), world.refusals.holds(1)], [true, false]);
  assertEquals(world.refusals.admit(CONTENT_BYTES + 1), "overrun");
  const before = world.frames.length;
  world.refusals.hold(5, encodeData(5, new Uint8Array(0), true));
  assertEquals(world.frames.length, before);
  assertEquals(world.refusals.drop(5), 1_535);
  assertEquals([world.refusals.holdsAny, world.refusals.heldBytes], [false, 0]);
});

Deno.test("Refusals sends nothing of a frame whose stream was reset while it was coming", () => {
  const { refusals, frames, serverSends } = pair();
  for (let sent = 0; sent < 4 * 16_000; sent += 16_000) assertEquals(serverSends(1, 16_000), "pass");
  refusals.answer(3, ANSWER, { method: "GET", ended: true });
  const frame = encodeData(5, new Uint8Array(1_535), false);
  const piece = (from: number, to: number) => ({
    type: "piece" as const,
    header: readFrameHeader(frame, 0),
    paddingBytes: 0,
    begins: from === 0,
    ends: to === frame.length,
    raw: frame.subarray(from, to),
    content: frame.subarray(Math.max(from, FRAME_HEADER_BYTES), to),
    next: to,
  });
  assertEquals(refusals.admit(1_535), "hold");
  refusals.holdPiece(piece(0, 500));
  assertEquals(refusals.drop(5), 1_535);
  const before = frames.length;
  refusals.holdPiece(piece(500, 900));
  refusals.holdPiece(piece(900, frame.length));
  assertEquals([refusals.holdsAny, refusals.heldBytes], [false, 0]);
  refusals.grantedConnection(65_535);
  assertEquals(frames.length, before);
});
