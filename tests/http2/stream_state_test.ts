import { assertEquals } from "@std/assert";
import type { Side } from "../../src/core/side.ts";
import { HTTP2_ERROR_CODES, http2Error } from "../../src/http2/errors.ts";
import {
  initiatorOf,
  isClosed,
  stepStream,
  STREAM_INPUTS,
  STREAM_STATES,
  type StreamInput,
  StreamNumbers,
  type StreamState,
} from "../../src/http2/stream_state.ts";

const SIDES: readonly Side[] = ["client", "server"];

/** Follows frames from idle on: `c:headers s:data_end`. The states, or the first error. */
function follow(frames: string, from: StreamState = "idle"): StreamState | string {
  let state = from;
  for (const word of frames.split(" ")) {
    const [side, input] = word.split(":") as ["c" | "s", StreamInput];
    const step = stepStream(state, side === "c" ? "client" : "server", input);
    if (step.error !== null) return `${step.error} in ${state}`;
    state = step.state;
  }
  return state;
}

Deno.test("stepStream is total: every state, side and frame give a state or an error, and errors change nothing", () => {
  for (const state of STREAM_STATES) {
    for (const side of SIDES) {
      for (const input of STREAM_INPUTS) {
        const step = stepStream(state, side, input);
        assertEquals(STREAM_STATES.includes(step.state), true);
        if (step.error === null) continue;
        assertEquals(HTTP2_ERROR_CODES.includes(step.error), true, step.error);
        assertEquals(step.state, state);
      }
    }
  }
});

Deno.test("stepStream leads an exchange from idle to ended, whoever ends first", () => {
  assertEquals(follow("c:headers_end s:headers s:data s:data_end"), "ended");
  assertEquals(follow("c:headers c:data s:headers s:headers_end c:data c:data_end"), "ended");
  assertEquals(follow("c:headers s:headers_end"), "server_ended");
  assertEquals(
    follow("c:headers s:headers_end s:rst_stream"),
    "reset_by_server",
    "an early answer, then NO_ERROR",
  );
  assertEquals(follow("c:headers s:headers s:headers_end c:headers_end"), "ended", "trailers of both");
  assertEquals(follow("c:headers s:window_update c:window_update"), "open");
});

Deno.test("stepStream leads a push from its promise to its end", () => {
  assertEquals(follow("s:promised"), "reserved");
  assertEquals(follow("s:promised c:window_update s:headers s:data_end"), "ended");
  assertEquals(follow("s:promised c:rst_stream s:headers s:data"), "reset_by_client");
  assertEquals(follow("s:promised s:data"), "reserved_stream in reserved");
  assertEquals(follow("s:promised c:headers"), "reserved_stream in reserved");
  assertEquals(follow("s:promised s:window_update"), "reserved_stream in reserved");
  assertEquals(follow("s:promised s:promised"), "promised_stream_in_use in reserved");
  assertEquals(follow("c:promised"), "misplaced_promise in idle");
});

Deno.test("stepStream lets PUSH_PROMISE come on streams that the server has not ended", () => {
  assertEquals(follow("c:headers s:push_promise"), "open");
  assertEquals(follow("c:headers_end s:headers s:push_promise"), "client_ended");
  assertEquals(follow("c:headers s:headers_end s:push_promise"), "misplaced_promise in server_ended");
  assertEquals(follow("c:headers c:rst_stream s:push_promise"), "reset_by_client", "it was under way");
  for (const state of STREAM_STATES) {
    assertEquals(stepStream(state, "client", "push_promise").error, "misplaced_promise");
  }
});

Deno.test("stepStream refuses everything but HEADERS of the client on an idle stream, as a connection error", () => {
  for (const side of SIDES) {
    for (const input of STREAM_INPUTS) {
      const { error } = stepStream("idle", side, input);
      const opens = side === "client" ? input.startsWith("headers") : input === "promised";
      assertEquals(error === null, opens, `${side} ${input}`);
      if (error === null) continue;
      const { scope, errorCode } = http2Error(error, side, 1, "");
      assertEquals([scope, errorCode], ["connection", "PROTOCOL_ERROR"]);
    }
  }
});

Deno.test("stepStream makes content after an end a stream error of type STREAM_CLOSED", () => {
  for (const input of ["headers", "headers_end", "data", "data_end"] as const) {
    assertEquals(follow(`c:headers_end c:${input}`), "half_closed_stream in client_ended");
    assertEquals(follow(`c:headers s:headers_end s:${input}`), "half_closed_stream in server_ended");
    assertEquals(follow(`c:headers c:rst_stream c:${input}`), "reset_stream in reset_by_client");
    assertEquals(follow(`c:headers s:rst_stream s:${input}`), "reset_stream in reset_by_server");
  }
  for (const code of ["half_closed_stream", "reset_stream"] as const) {
    const { scope, errorCode } = http2Error(code, "client", 1, "");
    assertEquals([scope, errorCode], ["stream", "STREAM_CLOSED"]);
  }
  assertEquals(follow("c:headers_end s:headers_end c:headers"), "closed_stream in ended");
  assertEquals(http2Error("closed_stream", "client", 1, "").scope, "connection");
});

Deno.test("stepStream lets a side go on after a reset that it may not know of yet", () => {
  for (
    const input of ["headers", "headers_end", "data", "data_end", "rst_stream", "window_update"] as const
  ) {
    assertEquals(follow(`c:headers c:rst_stream s:${input}`), "reset_by_client");
    assertEquals(follow(`c:headers s:rst_stream c:${input}`), "reset_by_server");
    for (const side of ["c", "s"]) {
      assertEquals(
        follow(`${side}:${input}`, "reset_by_proxy"),
        "reset_by_proxy",
      );
    }
  }
});

Deno.test("stepStream lets WINDOW_UPDATE and RST_STREAM come late on every stream that is closed", () => {
  for (const state of STREAM_STATES.filter(isClosed)) {
    for (const side of SIDES) {
      for (const input of ["window_update", "rst_stream"] as const) {
        assertEquals(stepStream(state, side, input), { state, error: null });
      }
    }
  }
});

Deno.test("a closed stream stays closed", () => {
  for (const state of STREAM_STATES.filter(isClosed)) {
    for (const side of SIDES) {
      for (const input of STREAM_INPUTS) assertEquals(stepStream(state, side, input).state, state);
    }
  }
});

Deno.test("stepStream treats both sides alike but for who opens and who promises", () => {
  const mirrored: Partial<Record<StreamState, StreamState>> = {
    open: "open",
    client_ended: "server_ended",
    server_ended: "client_ended",
    ended: "ended",
    reset_by_client: "reset_by_server",
    reset_by_server: "reset_by_client",
  };
  for (const [state, mirror] of Object.entries(mirrored) as [StreamState, StreamState][]) {
    for (
      const input of STREAM_INPUTS.filter((input) => !input.startsWith("pro") && !input.startsWith("push"))
    ) {
      const ours = stepStream(state, "client", input);
      const theirs = stepStream(mirror, "server", input);
      assertEquals(theirs, { state: mirrored[ours.state]!, error: ours.error }, `${state} ${input}`);
    }
  }
});

Deno.test("StreamNumbers wants each side's own numbers, each higher than the one before", () => {
  assertEquals([1, 2, 3, 0x7fff_ffff].map(initiatorOf), ["client", "server", "client", "client"]);
  const numbers = new StreamNumbers();
  assertEquals([numbers.isIdle(1), numbers.isIdle(2)], [true, true]);
  assertEquals(numbers.open("client", 5), null);
  assertEquals([1, 3, 5, 7, 2].map((id) => numbers.isIdle(id)), [false, false, false, true, true]);
  assertEquals([3, 5, 8].map((id) => numbers.open("client", id)), new Array(3).fill("invalid_stream_id"));
  assertEquals(numbers.open("server", 7), "invalid_stream_id");
  assertEquals(numbers.open("server", 0), "invalid_stream_id");
  assertEquals(numbers.open("server", 4), null);
  assertEquals([numbers.highestOf("client"), numbers.highestOf("server")], [5, 4]);
});

Deno.test("StreamNumbers knows the last numbers that were left out", () => {
  const numbers = new StreamNumbers();
  for (const id of [3, 5, 11]) numbers.open("client", id);
  numbers.open("server", 6);
  assertEquals([1, 2, 3, 4, 5, 7, 9, 11, 13].filter((id) => numbers.isSkipped(id)), [1, 2, 4, 7, 9]);
  for (let id = 21; id <= 21 + 10 * 16; id += 10) numbers.open("client", id);
  assertEquals([numbers.isSkipped(1), numbers.isSkipped(23)], [false, true]);
});
