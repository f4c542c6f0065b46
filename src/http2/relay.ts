/**
 * Relays HTTP/2 (RFC 9113) frame by frame between a client and a server and records what passes. One
 * client connection maps to one server connection, so SETTINGS, flow control, priorities and errors are
 * the peers' own; what passes is forwarded as the octets that came. Field blocks are decoded on the side,
 * with a decoder for each direction.
 *
 * The proxy adds frames only where it withholds some: RST_STREAM to both sides for a stream it ends,
 * WINDOW_UPDATE for DATA it swallowed, GOAWAY for a connection it ends, a response to a request that the
 * gate refuses (`refusals.ts`).
 *
 * While the gate has not decided on a request, the client's frames from there on wait: streams open in the
 * order of their numbers, and the tables of HPACK know no other. The server's go on.
 */
import type { CloseReason } from "../core/close_reason.ts";
import type { ExchangeOutcome, FlowEvent } from "../core/event.ts";
import { addMilliseconds, type Instant } from "../core/instant.ts";
import type { Timer, TransportFault } from "../core/session.ts";
import { opposite, type Side } from "../core/side.ts";
import type { Answer } from "../http/answer.ts";
import { type CaptureRules, type ExchangeError, ExchangeRecorder } from "../http/exchange_recorder.ts";
import { ALT_SVC } from "../http/fields.ts";
import type { Observation } from "../http/observation.ts";
import type { RequestGate, Verdict } from "../http/request_gate.ts";
import { SpanBudget } from "../http/span_budget.ts";
import { Direction } from "./direction.ts";
import { Farewells } from "./farewells.ts";
import { FloodGuard } from "./flood_guard.ts";
import {
  type ErrorCodeName,
  errorCodeName,
  type Http2Error,
  http2Error,
  isBenign,
  isBlaming,
  isLimit,
} from "./errors.ts";
import { readRequest, readResponse, readTrailers, type RequestSection } from "./field_section.ts";
import type { FramePiece } from "./frame_reader.ts";
import { encodeGoaway, encodeRstStream, encodeWindowUpdate } from "./frame_writer.ts";
import { ALTSVC_FRAME_TYPE, type ControlFrame, FLAG_END_STREAM, FRAME_TYPES } from "./frames.ts";
import { type HeaderBlock, isBlockFrame } from "./header_block.ts";
import { HeldFrameTimer } from "./held_frame_timer.ts";
import type { HpackField } from "./hpack_table.ts";
import type { Http2Limits } from "./limits.ts";
import { MessageOrder } from "./message_order.ts";
import { Refusals } from "./refusals.ts";
import { MAX_WINDOW_SIZE, type Setting } from "./settings.ts";
import { initiatorOf, isClosed, stepStream, type StreamInput, type StreamState } from "./stream_state.ts";
import { type Stream, StreamTable } from "./stream_table.ts";

/** What the relay asks of the session that runs it. */
export interface Http2Host {
  send(side: Side, data: Uint8Array): void;
  reset(side: Side): void;
  pause(side: Side): void;
  resume(side: Side): void;
  arm(timer: Timer, at: Instant): void;
  disarm(timer: Timer): void;
  record(event: FlowEvent): void;
  /** The flow is over. Called once; the relay does nothing afterwards. */
  finish(reason: CloseReason, detail?: string): void;
}

export interface Http2RelayOptions {
  readonly host: Http2Host;
  readonly limits: Http2Limits;
  readonly capture: CaptureRules;
  readonly observation: Observation;
  readonly scheme: string;
  readonly authority: string;
  /** Who lets requests through. */
  readonly gate: RequestGate;
  readonly firstExchangeId: number;
  /** Responses go on without Alt-Svc, and its frames not at all. */
  readonly stripsAltSvc: boolean;
}

/** The opening of a stream by the client. */
interface Opening {
  readonly streamId: number;
  readonly endStream: boolean;
  readonly request: RequestSection | Http2Error;
  readonly fields: readonly HpackField[];
  readonly block: HeaderBlock;
}

const NOTHING = new Uint8Array(0);
const OBSERVE: Verdict = { type: "observe" };

export class Http2Relay {
  readonly #host: Http2Host;
  readonly #options: Http2RelayOptions;
  readonly #directions: Record<Side, Direction>;
  readonly #streams = new StreamTable();
  readonly #farewells = new Farewells();
  readonly #heldFrameTimers: Record<Side, HeldFrameTimer>;
  readonly #floods: FloodGuard;
  readonly #spanBudget: SpanBudget;
  readonly #refusals: Refusals;
  /** The request that waits for the gate, and what the client sent behind it. */
  #undecided: Opening | null = null;
  #held: Uint8Array = NOTHING;
  #clientEnded = false;
  /** Said while something still waited for the client's window. */
  #serverEnded = false;
  #nextExchangeId: number;
  #now: Instant;
  #finished = false;
  #draining = false;

  constructor(options: Http2RelayOptions, now: Instant) {
    this.#options = options;
    this.#host = options.host;
    this.#nextExchangeId = options.firstExchangeId;
    this.#now = now;
    this.#floods = new FloodGuard(options.limits.floods);
    this.#spanBudget = new SpanBudget(options.limits.maxSpanBytes);
    const { host, limits } = options;
    this.#directions = {
      client: new Direction("client", limits, (data) => host.send("server", data)),
      server: new Direction("server", limits, (data) => host.send("client", data)),
    };
    this.#heldFrameTimers = {
      client: new HeldFrameTimer(host, "client_head", limits.headMs),
      server: new HeldFrameTimer(host, "server_head", limits.headMs),
    };
    this.#refusals = new Refusals(this.#directions.client.settings, this.#directions.server);
    this.#host.arm("idle", addMilliseconds(now, options.limits.idleMs));
  }

  get heldBytes(): number {
    return this.#directions.client.heldBytes + this.#directions.server.heldBytes + this.#held.length +
      (this.#undecided?.block.raw.length ?? 0) + this.#refusals.heldBytes;
  }

  get unfinishedBytes(): number {
    return this.#directions.client.unfinishedBytes + this.#directions.server.unfinishedBytes;
  }

  received(side: Side, data: Uint8Array, now: Instant): void {
    this.#now = now;
    if (side === "client" && this.#undecided !== null) {
      this.#hold(join(this.#held, data));
      return;
    }
    this.#read(this.#directions[side], data);
    this.#flush();
  }

  /** The gate's answer for the request that waits. */
  decided(verdict: Verdict, now: Instant): void {
    this.#now = now;
    const opening = this.#undecided;
    if (opening === null || this.#finished) return;
    const { client } = this.#directions;
    this.#undecided = null;
    const held = this.#held;
    this.#held = NOTHING;
    const error = this.#request(verdict, opening);
    if (error !== null) {
      client.withhold();
      this.#error(client, error, opening.block.raw.length);
    }
    if (this.#finished) return;
    if (held.length > 0) {
      this.#host.resume("client");
      this.#read(client, held);
    }
    if (this.#clientEnded && this.#undecided === null) this.ended("client", now);
    this.#flush();
  }

  #hold(data: Uint8Array): void {
    this.#held = data;
    if (data.length > 0) this.#host.pause("client");
  }

  #read(direction: Direction, data: Uint8Array): void {
    const side = direction.by;
    const heldFrameTimer = this.#heldFrameTimers[side];
    heldFrameTimer.readBegins();
    let offset = 0;
    while (!this.#finished) {
      const event = direction.reader.read(data, offset);
      if (event.type === "more") break;
      if (event.type === "error") {
        this.#connectionError(event);
        break;
      }
      offset = event.next;
      switch (event.type) {
        case "preface":
          direction.forward(event.raw);
          break;
        case "piece":
          this.#piece(direction, event);
          break;
        case "frame":
          this.#frame(direction, event.frame, event.raw);
          break;
        case "stream_error":
          this.#error(direction, event.error);
          break;
      }
      if (!direction.inHeldFrame) heldFrameTimer.nothingHeld();
      if (this.#undecided !== null && side === "client") {
        this.#hold(data.slice(offset));
        break;
      }
    }
    if (this.#finished) return;
    heldFrameTimer.readEnds(direction.inHeldFrame, this.#now);
    this.#finishIfDrained();
    if (this.#serverEnded && !this.#refusals.waitForClient) this.ended("server", this.#now);
  }

  ended(side: Side, now: Instant): void {
    this.#now = now;
    if (this.#finished) return;
    if (side === "client" && this.#undecided !== null) {
      this.#clientEnded = true;
      return;
    }
    if (side === "server" && this.#refusals.waitForClient) {
      this.#serverEnded = true;
      return;
    }
    const direction = this.#directions[side];
    const complaint = this.#farewells.complaintOf(side);
    if (side === "client") this.#completeAnswered();
    if (this.#finished) return;
    // Frames delimit themselves, so nothing is lost where the end comes without that of TLS.
    const underWay = this.#streams.size + (this.#undecided === null ? 0 : 1);
    if (underWay === 0 && direction.reader.betweenFrames) {
      if (complaint === null) this.#finish("complete");
      else this.#finish(side === "client" ? "client_reset" : "server_reset", complaint);
      return;
    }
    // RFC 9113 §9.1: an end with streams under way ends them all; each side learns of the other's end.
    const detail = complaint ?? `The ${side} ended with ${underWay} streams under way`;
    this.#completeAll(side === "client" ? "client_aborted" : "server_aborted", {
      by: side,
      code: "connection_ended",
      detail,
    });
    this.#finish(side === "client" ? "client_reset" : "server_reset", detail);
  }

  failed(side: Side, fault: TransportFault, now: Instant): void {
    this.#now = now;
    // A server that has ended may well refuse what it is still told.
    if (this.#finished || (side === "server" && this.#serverEnded)) return;
    if (side === "client") this.#completeAnswered();
    if (this.#finished) return;
    this.#completeAll(side === "client" ? "client_aborted" : "server_aborted", {
      by: side,
      code: fault.code,
      detail: fault.detail,
    });
    this.#flush();
    this.#host.reset(opposite(side));
    this.#finish(side === "client" ? "client_reset" : "server_reset", fault.detail);
  }

  expired(timer: Timer, now: Instant): void {
    this.#now = now;
    if (this.#finished) return;
    const { headMs, idleMs } = this.#options.limits;
    switch (timer) {
      case "client_head":
      case "server_head":
        this.#timeout("stage_timeout", `A field block was not whole within ${headMs} ms (timeouts.head)`);
        return;
      case "idle":
        if (this.#streams.size === 0 && this.#undecided === null) {
          this.#timeout("idle_timeout", `No stream for ${idleMs} ms (timeouts.idle)`);
        }
        return;
      case "exchange_idle":
        this.#checkProgress();
        this.#flush();
        return;
      default:
        return;
    }
  }

  /** Both sides are told to begin nothing new; streams that are under way finish. */
  drain(now: Instant): void {
    this.#now = now;
    if (this.#finished) return;
    this.#draining = true;
    this.#goaway("NO_ERROR", "");
    this.#finishIfDrained();
    this.#flush();
  }

  abort(reason: CloseReason, code: string, detail: string, now: Instant): void {
    this.#now = now;
    if (this.#finished) return;
    this.#completeAll("reset", { by: "proxy", code, detail });
    this.#goaway(reason === "internal_error" ? "INTERNAL_ERROR" : "NO_ERROR", "");
    this.#finish(reason, detail);
  }

  #frame(direction: Direction, frame: ControlFrame, raw: Uint8Array): void {
    const flood = this.#floods.frame(direction.by, frame, this.#now);
    if (flood !== null) {
      this.#connectionError(flood);
      return;
    }
    if (isBlockFrame(frame)) {
      const block = direction.assembler.push(frame, raw);
      if (block === null) return;
      if (block.type === "error") this.#connectionError(block);
      else this.#block(direction, block);
      return;
    }
    switch (frame.type) {
      case "settings":
        if (frame.ack) this.#settingsAcknowledged(direction, raw);
        else this.#settings(direction, frame.settings, raw);
        return;
      case "rst_stream":
        this.#rstStream(direction, frame.streamId, frame.errorCode, raw);
        return;
      case "window_update":
        this.#windowUpdate(direction, frame.streamId, frame.increment, raw);
        return;
      case "goaway":
        direction.forward(this.#farewells.said(direction.by, frame, raw));
        for (const stream of [...this.#streams.open()]) this.#closeRefused(stream);
        return;
      case "priority":
      case "ping":
        direction.forward(raw);
        return;
    }
  }

  #settings(direction: Direction, settings: readonly Setting[], raw: Uint8Array): void {
    const receiver = this.#directions[opposite(direction.by)];
    const windowBefore = direction.settings.latest.initialWindowSize;
    const error = direction.settings.sent(settings) ?? this.#checkInitialWindow(direction, windowBefore);
    if (error !== null) {
      this.#connectionError(error);
      return;
    }
    receiver.reader.maxFrameSize = direction.settings.maxFrameSize;
    receiver.receiverSettingsChanged();
    direction.forwardSettings(raw);
  }

  #settingsAcknowledged(direction: Direction, raw: Uint8Array): void {
    const { settings } = this.#directions[opposite(direction.by)];
    for (const size of settings.acknowledged()?.headerTableSizes ?? []) direction.decoder.setTableLimit(size);
    direction.reader.maxFrameSize = settings.maxFrameSize;
    direction.forward(raw);
    if (direction.by === "server") this.#refusals.settingsChanged();
  }

  /** A larger initial window is added to that of each stream, which must not overflow (RFC 9113 §6.9.2). */
  #checkInitialWindow({ by, settings }: Direction, before: number): Http2Error | null {
    const { initialWindowSize } = settings.latest;
    if (initialWindowSize <= before) return null;
    const most = this.#streams.mostGranted(opposite(by));
    if (initialWindowSize + most <= MAX_WINDOW_SIZE) return null;
    return windowOverflow(by, 0, `SETTINGS_INITIAL_WINDOW_SIZE ${initialWindowSize} makes that of a stream`);
  }

  #windowUpdate(direction: Direction, streamId: number, increment: number, raw: Uint8Array): void {
    const { by, settings } = direction;
    const sender = this.#directions[opposite(by)];
    if (streamId === 0) {
      sender.connectionWindow += increment;
      if (sender.connectionWindow > MAX_WINDOW_SIZE) {
        this.#connectionError(windowOverflow(by, 0, "WINDOW_UPDATE makes that of the connection"));
        return;
      }
      if (by === "client") {
        this.#clientGranted(increment, raw);
        return;
      }
    } else {
      if (by === "client") this.#refusals.grantedStream(streamId, increment);
      if (!this.#step(direction, streamId, "window_update")) return;
      const stream = this.#streams.get(streamId);
      if (stream !== undefined) {
        stream.granted[sender.by] += increment;
        if (settings.latest.initialWindowSize + stream.granted[sender.by] > MAX_WINDOW_SIZE) {
          this.#error(
            direction,
            windowOverflow(by, streamId, `WINDOW_UPDATE makes that of stream ${streamId}`),
          );
          return;
        }
      }
    }
    direction.forward(raw);
  }

  /** The server hears of what is left for it. */
  #clientGranted(increment: number, raw: Uint8Array): void {
    const left = this.#refusals.grantedConnection(increment);
    if (left === increment) this.#directions.client.forward(raw);
    else if (left > 0) this.#directions.client.forward(encodeWindowUpdate(0, left));
  }

  #rstStream(direction: Direction, streamId: number, errorCode: number, raw: Uint8Array): void {
    const stream = this.#streams.get(streamId);
    const name = errorCodeName(errorCode);
    // The answer was whole: RFC 9113 §8.1 lets the server ask the client to stop sending, and a client that has
    // all it was promised may leave before the frame that says so: curl does.
    const answered = stream?.state === "server_ended" ||
      (direction.by === "client" && stream !== undefined && isAnswered(stream));
    const complete = answered && isBenign(name);
    const flood = answered ? null : this.#resetFlood(direction.by, streamId, name);
    if (flood !== null) {
      this.#connectionError(flood);
      return;
    }
    if (direction.by === "client") this.#refusals.reset(streamId);
    if (!this.#step(direction, streamId, "rst_stream")) return;
    this.#forward(direction, streamId, raw);
    if (stream === undefined) return;
    this.#closeStream(
      stream,
      complete ? "complete" : direction.by === "client" ? "client_aborted" : "reset",
      complete ? undefined : { by: direction.by, code: name, detail: `RST_STREAM from the ${direction.by}` },
    );
  }

  /** A server that blames the client for a stream's end was provoked into it. */
  #resetFlood(by: Side, streamId: number, errorName: string): Http2Error | null {
    if (this.#streams.isOver(streamId)) return this.#floods.lateReset(by, this.#now);
    const flood = this.#floods.reset(by, this.#now);
    if (flood !== null || by === "client" || !isBlaming(errorName)) return flood;
    return this.#floods.provokedReset("client", this.#now);
  }

  #piece(direction: Direction, piece: FramePiece): void {
    const { header } = piece;
    if (header.type !== FRAME_TYPES.data) {
      const flood = piece.begins ? this.#floods.unknownFrame(direction.by, this.#now) : null;
      if (flood !== null) this.#connectionError(flood);
      else if (this.#strips(direction) && header.type === ALTSVC_FRAME_TYPE) this.#stripped(header.streamId);
      else direction.forwardPiece(piece);
      return;
    }
    const endStream = (header.flags & FLAG_END_STREAM) !== 0;
    if (piece.begins) direction.swallowing = !this.#mayPass(direction, piece, endStream);
    if (direction.swallowing || this.#finished) return;
    const stream = this.#streams.get(header.streamId);
    if (stream !== undefined && piece.content.length > 0) stream.progressAt = this.#now;
    const last = piece.ends && endStream;
    if (direction.by === "client") stream?.recorder?.requestContent(piece.content, last);
    else stream?.recorder?.responseContent(piece.content, last);
    if (direction.holding) this.#refusals.holdPiece(piece);
    else direction.forwardPiece(piece);
    if (!last || stream === undefined) return;
    // Only now: what comes from the other side in the middle of the frame must find the message unfinished.
    this.#step(direction, header.streamId, "data_end");
    this.#messageEnded(stream, direction.by);
  }

  /** Judges a frame of DATA by its beginning, so that it is forwarded whole or not at all, however it was cut. */
  #mayPass(direction: Direction, { header, paddingBytes }: FramePiece, endStream: boolean): boolean {
    const { length, streamId } = header;
    const flood = this.#floods.data(direction.by, length - paddingBytes, endStream, this.#now);
    if (flood !== null) {
      this.#connectionError(flood);
      return false;
    }
    if (this.#step(direction, streamId, "data")) {
      const stream = this.#streams.get(streamId);
      const error = stream?.order[direction.by].content(length - paddingBytes, endStream) ?? null;
      if (error === null) {
        if (direction.by === "client") direction.connectionWindow -= length;
        else if (!this.#admit(direction, length)) return false;
        if (stream !== undefined) {
          stream.granted[direction.by] -= length;
          if (endStream) stream.progressAt = this.#now;
        }
        return true;
      }
      this.#error(direction, error);
    }
    if (endStream && direction.by === "client") this.#refusals.requestEnded(streamId);
    // What is swallowed was taken from the sender's window for the connection, and nobody else gives it back.
    if (!this.#finished) this.#directions[opposite(direction.by)].addWindow(length);
    return false;
  }

  /** Whether a server's DATA keeps to what it may believe of the client's window. */
  #admit(direction: Direction, length: number): boolean {
    const admission = this.#refusals.admit(length);
    direction.holding = admission === "hold";
    // What waits is overtaken by what need not: only literals mean the same in any order.
    if (direction.holding) direction.withhold();
    if (admission !== "overrun") return true;
    this.#connectionError(
      http2Error(
        "window_exceeded",
        "server",
        0,
        "a DATA frame exceeds the client's window for the connection",
      ),
    );
    return false;
  }

  /** Forwards a whole frame, or a block of frames, in its turn on its stream. */
  #forward(direction: Direction, streamId: number, raw: Uint8Array): void {
    if (direction.by === "server" && this.#refusals.holds(streamId)) this.#refusals.hold(streamId, raw);
    else direction.forward(raw);
  }

  #block(direction: Direction, block: HeaderBlock): void {
    const { opening } = block;
    const decoded = direction.decoder.decode(block.bytes, opening.streamId);
    if (decoded.type === "error") {
      if (decoded.scope === "connection") {
        this.#connectionError(decoded);
        return;
      }
      this.#unreadable(direction, decoded, block);
      return;
    }
    const error = opening.type === "headers"
      ? this.#headers(direction, opening.streamId, opening.endStream, decoded.fields, block)
      : this.#pushPromise(direction, opening.streamId, opening.promisedStreamId, decoded.fields, block);
    if (error === null) return;
    direction.withhold();
    this.#error(direction, error, block.raw.length);
  }

  /** A block whose list is over a limit. What it would have opened counts as opened; nothing of it goes on. */
  #unreadable(direction: Direction, error: Http2Error, { opening, raw }: HeaderBlock): void {
    direction.withhold();
    const { streamId } = opening;
    const { numbers } = this.#streams;
    if (opening.type === "push_promise") {
      const promised = opening.promisedStreamId;
      if (!this.#step(direction, streamId, "push_promise")) {
        this.#promiseWithoutStream(direction, promised);
        return;
      }
      if (numbers.open("server", promised) !== null) this.#connectionError(wrongNumber("server", promised));
      else this.#error(direction, { ...error, streamId: promised }, raw.length);
      return;
    }
    if (direction.by === "client" && numbers.isIdle(streamId)) {
      if (numbers.open("client", streamId) !== null) this.#connectionError(wrongNumber("client", streamId));
      else this.#error(direction, error, raw.length);
    } else if (this.#step(direction, streamId, opening.endStream ? "headers_end" : "headers")) {
      this.#error(direction, error);
    }
  }

  /** Gives the error for which the block is withheld. */
  #headers(
    direction: Direction,
    streamId: number,
    endStream: boolean,
    fields: readonly HpackField[],
    block: HeaderBlock,
  ): Http2Error | null {
    const { by } = direction;
    const { numbers } = this.#streams;
    if (by === "client" && numbers.isIdle(streamId)) {
      if (initiatorOf(streamId) !== "client") return wrongNumber("client", streamId);
      const opening: Opening = {
        streamId,
        endStream,
        request: readRequest(fields, { by, streamId }),
        fields,
        block,
      };
      const verdict = this.#askGate(streamId, opening.request);
      if (verdict !== null) return this.#request(verdict, opening);
      // Until it is decided the stream is idle to everybody.
      this.#undecided = { ...opening, block: { ...block, raw: block.raw.slice() } };
      return null;
    }
    if (by === "client" && numbers.isSkipped(streamId)) return wrongNumber("client", streamId);
    if (!this.#step(direction, streamId, endStream ? "headers_end" : "headers")) {
      if (endStream && by === "client") this.#refusals.requestEnded(streamId);
      direction.withhold();
      return null;
    }
    const stream = this.#streams.get(streamId);
    if (stream === undefined) {
      this.#forwardBlock(direction, fields, block);
      return null;
    }
    stream.progressAt = this.#now;
    const order = stream.order[by];
    const recorded = stream.recorder;
    if (order.next === "trailers") {
      const trailers = readTrailers(fields, { by, streamId });
      if (trailers.type === "error") return trailers;
      const error = order.trailers(endStream);
      if (error !== null) return error;
      if (by === "client") recorded?.requestTrailers(trailers.fields, block.raw.length);
      else recorded?.responseTrailers(trailers.fields, block.raw.length);
    } else if (by === "server") {
      const response = readResponse(fields, { by, streamId });
      if (response.type === "error") return response;
      const error = order.head(response, endStream, stream.method);
      if (error !== null) return error;
      recorded?.responseHead({
        status: response.status,
        version: "HTTP/2",
        fields: response.fields,
        headBytes: block.raw.length,
      }, this.#now);
    }
    this.#forwardBlock(direction, fields, block);
    if (endStream) this.#messageEnded(stream, by);
    return null;
  }

  #askGate(streamId: number, request: RequestSection | Http2Error): Verdict | null {
    // What is malformed, or one too many, is answered without asking.
    if (request.type === "error" || request.hostDiffers) return OBSERVE;
    if (this.#checkRoom("client", streamId) !== null) return OBSERVE;
    const { authority, host, method, path } = request;
    return this.#options.gate.ask(streamId, method, authority ?? host, path);
  }

  /** A stream that the client opens, decided. Gives the error for which the block is withheld. */
  #request(verdict: Verdict, { streamId, endStream, request, fields, block }: Opening): Http2Error | null {
    const direction = this.#directions.client;
    const { by } = direction;
    this.#streams.numbers.open(by, streamId);
    const full = this.#checkRoom(by, streamId);
    if (full !== null) return full;
    if (request.type === "error") return request;
    if (request.hostDiffers) {
      const detail = "the host field disagrees with :authority";
      return http2Error("host_authority_mismatch", by, streamId, detail);
    }
    const headBytes = block.raw.length;
    if (verdict.type === "refuse") {
      direction.withhold();
      this.#refuse(streamId, request, headBytes, endStream, verdict.answer);
      return null;
    }
    const state = endStream ? "client_ended" : "open";
    const stream = this.#openStream(streamId, state, request, headBytes, verdict.type === "observe");
    const error = stream.order.client.head(request, endStream, request.method);
    if (error !== null) return error;
    stream.known = true;
    this.#forwardBlock(direction, fields, block);
    if (endStream) stream.recorder?.requestFinished();
    this.#closeRefused(stream);
    return null;
  }

  /** Answers a request of which nothing reaches the server; what the client still sends on it is swallowed. */
  #refuse(
    streamId: number,
    request: RequestSection,
    headBytes: number,
    endStream: boolean,
    answer: Answer,
  ): void {
    this.#streams.resetByProxy(streamId);
    this.#recorderFor(streamId, request, headBytes).complete("blocked", this.#now, {
      by: "proxy",
      code: answer.code,
      detail: answer.detail,
      answerStatus: answer.status,
    });
    this.#refusals.answer(streamId, answer, { method: request.method, ended: endStream });
    if (this.#streams.size > 0) return;
    this.#host.arm("idle", addMilliseconds(this.#now, this.#options.limits.idleMs));
  }

  #pushPromise(
    direction: Direction,
    streamId: number,
    promisedStreamId: number,
    fields: readonly HpackField[],
    block: HeaderBlock,
  ): Http2Error | null {
    if (!this.#directions.client.settings.inForce.enablePush) {
      return http2Error(
        "push_disabled",
        direction.by,
        0,
        "the server sent PUSH_PROMISE although SETTINGS_ENABLE_PUSH of the client is 0",
      );
    }
    if (!this.#step(direction, streamId, "push_promise")) {
      this.#promiseWithoutStream(direction, promisedStreamId);
      return null;
    }
    if (this.#streams.numbers.open("server", promisedStreamId) !== null) {
      return wrongNumber("server", promisedStreamId);
    }
    const full = this.#checkRoom(direction.by, promisedStreamId);
    if (full !== null) return full;
    const request = readRequest(fields, { by: direction.by, streamId: promisedStreamId });
    if (request.type === "error") return request;
    const stream = this.#openStream(promisedStreamId, "reserved", request, block.raw.length, true);
    stream.known = true;
    stream.recorder?.requestFinished();
    this.#forwardBlock(direction, fields, block);
    this.#closeRefused(stream);
    return null;
  }

  /** A promise on a stream that the proxy has reset, of which the server has not heard yet: nobody waits for it. */
  #promiseWithoutStream(direction: Direction, promised: number): void {
    direction.withhold();
    if (this.#finished) return;
    const { numbers } = this.#streams;
    const error = numbers.open("server", promised) === null
      ? this.#floods.provokedReset("server", this.#now)
      : wrongNumber("server", promised);
    if (error !== null) {
      this.#connectionError(error);
      return;
    }
    this.#streams.resetByProxy(promised);
    this.#directions.client.add(encodeRstStream(promised, "CANCEL"));
  }

  /**
   * One stream too many is refused alone: its sender may ask again later (RFC 9113 §8.7). So is one that
   * begins after GOAWAY: it was promised not to be processed.
   */
  #checkRoom(by: Side, streamId: number): Http2Error | null {
    const { maxStreams } = this.#options.limits;
    if (this.#draining) {
      return http2Error("stream_after_goaway", by, streamId, "the proxy is stopping: the stream is refused");
    }
    if (this.#streams.size + this.#refusals.size < maxStreams) return null;
    return http2Error(
      "too_many_streams",
      by,
      streamId,
      `there are ${maxStreams} streams open already (http.http2_max_streams)`,
    );
  }

  #recorderFor(id: number, request: RequestSection, headBytes: number): ExchangeRecorder {
    const exchangeId = this.#nextExchangeId++;
    const recorder = new ExchangeRecorder(exchangeId, {
      protocol: "http2",
      streamKey: `h2:${id}`,
      capture: this.#options.capture,
      observation: this.#options.observation,
      spanBudget: this.#spanBudget,
      record: this.#record,
      now: this.#now,
    });
    const authority = request.authority ?? request.host ?? this.#options.authority;
    recorder.requestHead({
      method: request.method,
      target: request.path ?? authority,
      ...(request.protocol === null ? {} : { protocol: request.protocol }),
      scheme: request.scheme ?? this.#options.scheme,
      authority,
      version: "HTTP/2",
      fields: request.fields,
      headBytes,
    });
    return recorder;
  }

  #openStream(
    id: number,
    state: StreamState,
    request: RequestSection,
    headBytes: number,
    observe: boolean,
  ): Stream {
    // One that is not recorded is counted all the same.
    if (!observe) this.#nextExchangeId++;
    const stream: Stream = {
      id,
      state,
      method: request.method,
      recorder: observe ? this.#recorderFor(id, request, headBytes) : null,
      order: { client: new MessageOrder("client", id), server: new MessageOrder("server", id) },
      known: false,
      progressAt: this.#now,
      granted: { client: 0, server: 0 },
    };
    if (this.#streams.size === 0) {
      this.#host.disarm("idle");
      this.#host.arm("exchange_idle", addMilliseconds(this.#now, this.#options.limits.exchangeIdleMs));
    }
    this.#streams.add(stream);
    return stream;
  }

  readonly #record = (event: FlowEvent): void => this.#host.record(event);

  #forwardBlock(direction: Direction, fields: readonly HpackField[], block: HeaderBlock): void {
    const { maxFrameSize } = this.#directions[opposite(direction.by)].settings.inForce;
    const overtaking = direction.by === "server" && this.#refusals.holdsAny;
    const strips = this.#strips(direction) && fields.some(isAltSvc);
    if (strips) {
      this.#stripped(block.opening.streamId);
      // From here on its receiver's table is behind.
      direction.withhold();
    }
    const kept = strips ? fields.filter((field) => !isAltSvc(field)) : fields;
    const bytes = direction.blockToForward(kept, block, maxFrameSize, overtaking);
    this.#forward(direction, block.opening.streamId, bytes);
  }

  #strips({ by }: Direction): boolean {
    return by === "server" && this.#options.stripsAltSvc;
  }

  #stripped(streamId: number): void {
    this.#streams.get(streamId)?.recorder?.stripped(ALT_SVC);
  }

  /** Takes the step of a frame; false where the frame must not be forwarded, its error being dealt with. */
  #step(direction: Direction, streamId: number, input: StreamInput): boolean {
    const state = this.#streams.stateOf(streamId);
    const step = stepStream(state, direction.by, input);
    if (step.error !== null) {
      this.#error(
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
    this.#streams.setState(streamId, step.state);
    return state !== "reset_by_proxy";
  }

  #messageEnded(stream: Stream, by: Side): void {
    if (by === "client") stream.recorder?.requestFinished();
    else stream.recorder?.responseFinished();
    if (isClosed(stream.state)) this.#closeStream(stream, "complete");
  }

  #closeStream(stream: Stream, outcome: ExchangeOutcome, error?: ExchangeError): void {
    stream.recorder?.complete(outcome, this.#now, error);
    this.#streams.close(stream);
    if (this.#streams.size > 0) return;
    this.#host.disarm("exchange_idle");
    this.#host.arm("idle", addMilliseconds(this.#now, this.#options.limits.idleMs));
    this.#finishIfDrained();
  }

  #finishIfDrained(): void {
    if (!this.#draining || this.#streams.size > 0 || this.#refusals.waitForClient) return;
    this.#finish("shutdown");
  }

  /** A deviation: it ends its stream, or the connection. `headBytes`: of a block that would have opened a stream. */
  #error(direction: Direction, error: Http2Error, headBytes = 0): void {
    const { by } = direction;
    const { streamId } = error;
    const state = this.#streams.stateOf(streamId);
    // RFC 9113 §5.1 has no RST_STREAM for an idle stream.
    if (error.scope === "connection" || state === "idle") {
      this.#connectionError(error);
      return;
    }
    const flood = error.code === "stream_after_goaway" ? null : this.#floods.provokedReset(by, this.#now);
    if (flood !== null) {
      this.#connectionError(flood);
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
    const stream = this.#streams.get(streamId);
    if (stream === undefined) {
      // One that is over is over for the other side, too, and of one that was withheld it has never heard.
      this.#directions[opposite(by)].add(encodeRstStream(streamId, error.errorCode));
      if (headBytes === 0) return;
      this.#streams.resetByProxy(streamId);
      this.#recordUnopened(streamId, outcome, reported, headBytes);
      return;
    }
    this.#reset(stream, error.errorCode, outcome, reported);
  }

  /** The proxy ends a stream, towards both sides where both know of it. */
  #reset(stream: Stream, code: ErrorCodeName, outcome: ExchangeOutcome, error: ExchangeError): void {
    const frame = encodeRstStream(stream.id, code);
    const initiator = initiatorOf(stream.id);
    this.#directions.client.addWindow(this.#refusals.drop(stream.id));
    this.#directions[opposite(initiator)].add(frame);
    if (stream.known) this.#directions[initiator].add(frame);
    stream.state = "reset_by_proxy";
    this.#closeStream(stream, outcome, error);
  }

  /** A request that could not be read has no head in the log, only its end. */
  #recordUnopened(
    streamId: number,
    outcome: ExchangeOutcome,
    error: ExchangeError,
    headBytes: number,
  ): void {
    const exchangeId = this.#nextExchangeId++;
    this.#host.record({
      kind: "exchange_completed",
      protocol: "http2",
      streamKey: `h2:${streamId}`,
      attributes: {
        duration_ns: 0,
        error_by: error.by,
        error_code: error.code,
        error_detail: error.detail,
        exchange_id: exchangeId,
        outcome,
        request_body_bytes: 0,
        // A promise is a request, whoever sends it.
        request_head_bytes: headBytes,
        response_body_bytes: 0,
        response_head_bytes: 0,
        ttfb_ns: null,
      },
    });
  }

  #connectionError(error: Http2Error): void {
    const limit = isLimit(error);
    this.#completeAll(limit ? "limit" : "protocol_error", {
      by: error.by,
      code: error.code,
      detail: error.detail,
    });
    this.#goaway(error.errorCode, error.detail);
    this.#finish(limit ? "limit_exceeded" : "protocol_error", error.detail);
  }

  #timeout(reason: CloseReason, detail: string): void {
    this.#completeAll("timeout", { by: "proxy", code: "timeout", detail });
    this.#goaway("NO_ERROR", "");
    this.#finish(reason, detail);
  }

  #goaway(code: ErrorCodeName, debugText: string): void {
    const { client, server } = this.#directions;
    const { numbers } = this.#streams;
    const lastOf = (by: Side, heard: Side) => this.#farewells.lastStreamFor(by, numbers.highestOf(heard));
    server.add(encodeGoaway(lastOf("server", "client"), code, debugText));
    client.add(encodeGoaway(lastOf("client", "server"), code, debugText));
  }

  /** For a client that leaves: what it was promised in full it does not leave unfinished. */
  #completeAnswered(): void {
    for (const stream of [...this.#streams.open()]) {
      if (isAnswered(stream)) this.#closeStream(stream, "complete");
      if (this.#finished) return;
    }
  }

  #completeAll(outcome: ExchangeOutcome, error: ExchangeError): void {
    for (const { recorder } of this.#streams.open()) recorder?.complete(outcome, this.#now, error);
    this.#streams.clear();
  }

  /** What a GOAWAY leaves unprocessed is over (RFC 9113 §6.8): neither side says another word of it. */
  #closeRefused(stream: Stream): void {
    const refused = this.#farewells.refusalOf(stream.id);
    if (refused === null || this.#finished) return;
    stream.state = refused.by === "client" ? "reset_by_client" : "reset_by_server";
    this.#closeStream(stream, "reset", refused);
  }

  /**
   * Ends what has not gone on for `timeouts.exchange_idle`: one stream beside others alone, since a peer that
   * gives it no window could keep it for ever; the connection where it is all there is.
   */
  #checkProgress(): void {
    const { exchangeIdleMs } = this.#options.limits;
    const detail = `No HEADERS or DATA for ${exchangeIdleMs} ms (timeouts.exchange_idle)`;
    const stalled: Stream[] = [];
    let next = Infinity;
    for (const stream of this.#streams.open()) {
      const due = addMilliseconds(stream.progressAt, exchangeIdleMs);
      if (due <= this.#now) stalled.push(stream);
      else next = Math.min(next, due);
    }
    if (next === Infinity) {
      if (stalled.length > 0) this.#timeout("idle_timeout", detail);
      return;
    }
    for (const stream of stalled) {
      this.#reset(stream, "CANCEL", "timeout", { by: "proxy", code: "timeout", detail });
    }
    this.#host.arm("exchange_idle", next);
  }

  #flush(): void {
    this.#directions.client.flush();
    this.#directions.server.flush();
  }

  #finish(reason: CloseReason, detail?: string): void {
    if (this.#finished) return;
    this.#finished = true;
    // A client that has heard of no server yet hears of the end from the proxy as one.
    this.#directions.server.greet();
    this.#flush();
    this.#host.finish(reason, detail);
  }
}

/** The client has all of the content that was promised it, be the frame that ends the response with it or not. */
function isAnswered({ order }: Stream): boolean {
  return order.server.hasPromisedContent;
}

function windowOverflow(by: Side, streamId: number, what: string): Http2Error {
  return http2Error("window_overflow", by, streamId, `${what} larger than ${MAX_WINDOW_SIZE}`);
}

function wrongNumber(by: Side, streamId: number): Http2Error {
  return http2Error(
    "invalid_stream_id",
    by,
    0,
    `a ${by} cannot ${by === "client" ? "open" : "promise"} stream ${streamId}`,
  );
}

function join(first: Uint8Array, second: Uint8Array): Uint8Array {
  const joined = new Uint8Array(first.length + second.length);
  joined.set(first);
  joined.set(second, first.length);
  return joined;
}

function isAltSvc({ field: [name] }: HpackField): boolean {
  return name === ALT_SVC;
}
