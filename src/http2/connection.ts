/**
 * What the parts of a relayed connection have in common: its two directions, its streams, and how a stream or
 * all of them end, for whatever reason.
 */
import type { CloseReason } from "../core/close_reason.ts";
import type { ExchangeOutcome } from "../core/event.ts";
import { addMilliseconds, type Instant } from "../core/instant.ts";
import { opposite, type Side } from "../core/side.ts";
import type { ExchangeError } from "../http/exchange_recorder.ts";
import type { RecordingOptions } from "../http/recording.ts";
import type { RelayHost } from "../http/relay_host.ts";
import { Direction } from "./direction.ts";
import { type ErrorCodeName, type Http2Error, http2Error, isLimit } from "./errors.ts";
import { Farewells } from "./farewells.ts";
import type { RequestSection } from "./field_section.ts";
import { FloodGuard } from "./flood_guard.ts";
import { encodeGoaway, encodeRstStream } from "./frame_writer.ts";
import type { Http2Limits } from "./limits.ts";
import { MessageOrder } from "./message_order.ts";
import { Refusals } from "./refusals.ts";
import { StreamRecording } from "./stream_recording.ts";
import { initiatorOf, isClosed, stepStream, type StreamInput, type StreamState } from "./stream_state.ts";
import { type Stream, StreamTable } from "./stream_table.ts";

export class Http2Connection {
  readonly directions: Readonly<Record<Side, Direction>>;
  readonly streams = new StreamTable();
  readonly farewells = new Farewells();
  readonly floods: FloodGuard;
  readonly refusals: Refusals;
  readonly recording: StreamRecording;
  /** When the input at hand came. */
  now: Instant;
  /** The flow is over: nothing more is sent or recorded. */
  finished = false;
  draining = false;

  constructor(
    readonly host: RelayHost,
    readonly limits: Http2Limits,
    options: RecordingOptions,
    now: Instant,
  ) {
    this.now = now;
    this.floods = new FloodGuard(limits.floods);
    this.directions = {
      client: new Direction("client", limits, (data) => host.send("server", data)),
      server: new Direction("server", limits, (data) => host.send("client", data)),
    };
    this.refusals = new Refusals(this.directions.client.settings, this.directions.server);
    this.recording = new StreamRecording(options, limits.maxSpanBytes, (event) => host.record(event));
    host.arm("idle", addMilliseconds(now, limits.idleMs));
  }

  /** `observe`: it is recorded. */
  openStream(
    id: number,
    state: StreamState,
    request: RequestSection,
    headBytes: number,
    observe: boolean,
  ): Stream {
    if (!observe) this.recording.skip();
    const stream: Stream = {
      id,
      state,
      method: request.method,
      recorder: observe ? this.recording.begin(id, request, headBytes, this.now) : null,
      order: { client: new MessageOrder("client", id), server: new MessageOrder("server", id) },
      known: false,
      progressAt: this.now,
      granted: { client: 0, server: 0 },
    };
    if (this.streams.size === 0) {
      this.host.disarm("idle");
      this.host.arm("exchange_idle", addMilliseconds(this.now, this.limits.exchangeIdleMs));
    }
    this.streams.add(stream);
    return stream;
  }

  /** Takes the step of a frame; false where the frame must not be forwarded, its error being dealt with. */
  step(direction: Direction, streamId: number, input: StreamInput): boolean {
    const state = this.streams.stateOf(streamId);
    const step = stepStream(state, direction.by, input);
    if (step.error !== null) {
      this.error(
        direction,
        http2Error(
          step.error,
          direction.by,
          streamId,
          `${input} is not allowed on stream ${streamId} (${state})`,
        ),
      );
      return false;
    }
    this.streams.setState(streamId, step.state);
    return state !== "reset_by_proxy";
  }

  /** Forwards a whole frame, or a block of frames, in its turn on its stream. */
  forward(direction: Direction, streamId: number, raw: Uint8Array): void {
    if (direction.by === "server" && this.refusals.holds(streamId)) this.refusals.hold(streamId, raw);
    else direction.forward(raw);
  }

  /** The last frame of a side's message has passed. */
  messageEnded(stream: Stream, by: Side): void {
    if (by === "client") stream.recorder?.requestFinished();
    else stream.recorder?.responseFinished();
    if (isClosed(stream.state)) this.closeStream(stream, "complete");
  }

  /** Nothing more of a stream is of interest, but how late frames on it are to be taken. */
  closeStream(stream: Stream, outcome: ExchangeOutcome, error?: ExchangeError): void {
    stream.recorder?.complete(outcome, this.now, error);
    this.streams.close(stream);
    if (this.streams.size > 0) return;
    this.host.disarm("exchange_idle");
    this.host.arm("idle", addMilliseconds(this.now, this.limits.idleMs));
    this.finishIfDrained();
  }

  /** What a GOAWAY leaves unprocessed is over (RFC 9113 §6.8): neither side says another word of it. */
  closeRefused(stream: Stream): void {
    const refused = this.farewells.refusalOf(stream.id);
    if (refused === null || this.finished) return;
    stream.state = refused.by === "client" ? "reset_by_client" : "reset_by_server";
    this.closeStream(stream, "reset", refused);
  }

  /** A deviation: it ends its stream, or the connection. `headBytes`: of a block that would have opened a stream. */
  error(direction: Direction, error: Http2Error, headBytes = 0): void {
    const { by } = direction;
    const { streamId } = error;
    const state = this.streams.stateOf(streamId);
    // RFC 9113 §5.1 has no RST_STREAM for an idle stream.
    if (error.scope === "connection" || state === "idle") {
      this.connectionError(error);
      return;
    }
    const flood = error.code === "stream_after_goaway" ? null : this.floods.provokedReset(by, this.now);
    if (flood !== null) {
      this.connectionError(flood);
      return;
    }
    if (state === "reset_by_proxy") return;
    const outcome = error.code === "stream_after_goaway"
      ? "reset"
      : isLimit(error)
      ? "limit"
      : "protocol_error";
    const reported: ExchangeError = {
      by: error.code === "stream_after_goaway" ? "proxy" : by,
      code: error.code,
      detail: error.detail,
    };
    const stream = this.streams.get(streamId);
    if (stream === undefined) {
      // One that is over is over for the other side, too, and of one that was withheld it has never heard.
      this.directions[opposite(by)].add(encodeRstStream(streamId, error.errorCode));
      if (headBytes === 0) return;
      this.streams.resetByProxy(streamId);
      this.recording.unopened(streamId, outcome, reported, headBytes);
      return;
    }
    this.reset(stream, error.errorCode, outcome, reported);
  }

  /** The proxy ends a stream, towards both sides where both know of it. */
  reset(stream: Stream, code: ErrorCodeName, outcome: ExchangeOutcome, error: ExchangeError): void {
    const frame = encodeRstStream(stream.id, code);
    const initiator = initiatorOf(stream.id);
    this.directions.client.addWindow(this.refusals.drop(stream.id));
    this.directions[opposite(initiator)].add(frame);
    if (stream.known) this.directions[initiator].add(frame);
    stream.state = "reset_by_proxy";
    this.closeStream(stream, outcome, error);
  }

  connectionError(error: Http2Error): void {
    const limit = isLimit(error);
    this.completeAll(limit ? "limit" : "protocol_error", {
      by: error.by,
      code: error.code,
      detail: error.detail,
    });
    this.#goaway(error.errorCode, error.detail);
    this.finish(limit ? "limit_exceeded" : "protocol_error", error.detail);
  }

  timeout(reason: CloseReason, detail: string): void {
    this.completeAll("timeout", { by: "proxy", code: "timeout", detail });
    this.#goaway("NO_ERROR", "");
    this.finish(reason, detail);
  }

  /**
   * Ends what has not gone on for `timeouts.exchange_idle`: one stream beside others alone, since a peer that
   * gives it no window could keep it for ever; the connection where it is all there is.
   */
  checkProgress(): void {
    const { exchangeIdleMs } = this.limits;
    const detail = `No HEADERS or DATA for ${exchangeIdleMs} ms (timeouts.exchange_idle)`;
    const stalled: Stream[] = [];
    let next = Infinity;
    for (const stream of this.streams.open()) {
      const due = addMilliseconds(stream.progressAt, exchangeIdleMs);
      if (due <= this.now) stalled.push(stream);
      else next = Math.min(next, due);
    }
    if (next === Infinity) {
      if (stalled.length > 0) this.timeout("idle_timeout", detail);
      return;
    }
    for (const stream of stalled) {
      this.reset(stream, "CANCEL", "timeout", { by: "proxy", code: "timeout", detail });
    }
    this.host.arm("exchange_idle", next);
  }

  #goaway(code: ErrorCodeName, debugText: string): void {
    const { client, server } = this.directions;
    const { numbers } = this.streams;
    const lastOf = (by: Side, heard: Side) => this.farewells.lastStreamFor(by, numbers.highestOf(heard));
    server.add(encodeGoaway(lastOf("server", "client"), code, debugText));
    client.add(encodeGoaway(lastOf("client", "server"), code, debugText));
  }

  /** For a client that leaves: what it was promised in full it does not leave unfinished. */
  completeAnswered(): void {
    for (const stream of [...this.streams.open()]) {
      if (isAnswered(stream)) this.closeStream(stream, "complete");
      if (this.finished) return;
    }
  }

  completeAll(outcome: ExchangeOutcome, error: ExchangeError): void {
    for (const { recorder } of this.streams.open()) recorder?.complete(outcome, this.now, error);
    this.streams.clear();
  }

  finishIfDrained(): void {
    if (!this.draining || this.streams.size > 0 || this.refusals.waitForClient) return;
    this.finish("shutdown");
  }

  flush(): void {
    this.directions.client.flush();
    this.directions.server.flush();
  }

  finish(reason: CloseReason, detail?: string): void {
    if (this.finished) return;
    this.finished = true;
    // A client that has heard of no server yet hears of the end from the proxy as one.
    this.directions.server.greet();
    this.flush();
    this.host.finish(reason, detail);
  }

  /** Both sides are told to begin nothing new; streams that are under way finish. */
  drain(): void {
    if (this.finished) return;
    this.draining = true;
    this.#goaway("NO_ERROR", "");
    this.finishIfDrained();
    this.flush();
  }

  abort(reason: CloseReason, code: string, detail: string): void {
    if (this.finished) return;
    this.completeAll("reset", { by: "proxy", code, detail });
    this.#goaway(reason === "internal_error" ? "INTERNAL_ERROR" : "NO_ERROR", "");
    this.finish(reason, detail);
  }
}

/** The client has all of the content that was promised it, be the frame that ends the response with it or not. */
export function isAnswered({ order }: Stream): boolean {
  return order.server.hasPromisedContent;
}
