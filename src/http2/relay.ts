/**
 * Relays HTTP/2 (RFC 9113) frame by frame between a client and a server and records what passes. One
 * client connection maps to one server connection, so SETTINGS, flow control, priorities and errors are
 * the peers' own; what passes is forwarded as the octets that came. Field blocks are decoded on the side,
 * with a decoder for each direction.
 *
 * The proxy adds frames only where it withholds some: RST_STREAM to both sides for a stream it ends,
 * WINDOW_UPDATE for DATA it swallowed, GOAWAY for a connection it ends. A block that is withheld would
 * leave the receiver's table behind the sender's, so from then on that direction's blocks are written anew
 * as literals, which need no table.
 */
import type { CloseReason } from "../core/close_reason.ts";
import type { ExchangeOutcome, FlowEvent } from "../core/event.ts";
import { addMilliseconds, type Instant } from "../core/instant.ts";
import { Outbox } from "../core/outbox.ts";
import type { Timer, TransportFault } from "../core/session.ts";
import { opposite, type Side } from "../core/side.ts";
import { type CaptureRules, type ExchangeError, ExchangeRecorder } from "../http/exchange_recorder.ts";
import type { Observation } from "../http/observation.ts";
import { FloodGuard } from "./flood_guard.ts";
import { type ErrorCodeName, errorCodeName, type Http2Error, http2Error, isLimit } from "./errors.ts";
import { readRequest, readResponse, readTrailers, type RequestSection } from "./field_section.ts";
import { type FramePiece, FrameReader } from "./frame_reader.ts";
import {
  encodeGoaway,
  encodeHeaders,
  encodePushPromise,
  encodeRstStream,
  encodeWindowUpdate,
} from "./frame_writer.ts";
import { type ControlFrame, FLAG_END_STREAM, FRAME_HEADER_BYTES, FRAME_TYPES } from "./frames.ts";
import { type HeaderBlock, HeaderBlockAssembler, isBlockFrame } from "./header_block.ts";
import { HpackDecoder } from "./hpack_decoder.ts";
import type { Http2Limits } from "./limits.ts";
import { encodeFieldBlock } from "./hpack_encoder.ts";
import type { HpackField } from "./hpack_table.ts";
import { MessageOrder } from "./message_order.ts";
import { SettingsTracker } from "./settings.ts";
import {
  initiatorOf,
  isClosed,
  stepStream,
  type StreamInput,
  StreamNumbers,
  type StreamState,
} from "./stream_state.ts";

/** What the relay asks of the session that runs it. */
export interface Http2Host {
  send(side: Side, data: Uint8Array): void;
  reset(side: Side): void;
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
  readonly firstExchangeId: number;
}

/** A compressed block may be this much larger than the list it is allowed to hold. */
const BLOCK_SLACK_BYTES = 16 * 1024;
const UNACKNOWLEDGED_SETTINGS_MAX = 32;
const HELD_FRAME_BYTES_MAX = 64 * 1024;
/** Streams remembered after their end, for frames that were on their way. */
const CLOSED_STREAMS_MAX = 256;

/** Codes of RST_STREAM that say that the other side broke a rule (RFC 9113 §7). */
const BLAMING: ReadonlySet<string> = new Set<ErrorCodeName>([
  "PROTOCOL_ERROR",
  "FLOW_CONTROL_ERROR",
  "STREAM_CLOSED",
  "FRAME_SIZE_ERROR",
]);

interface Stream {
  readonly id: number;
  state: StreamState;
  readonly method: string;
  readonly recorder: ExchangeRecorder;
  readonly order: Record<Side, MessageOrder>;
}

/** What one side sends. */
interface Direction {
  readonly by: Side;
  readonly reader: FrameReader;
  readonly decoder: HpackDecoder;
  readonly assembler: HeaderBlockAssembler;
  /** The settings this side sent; they bind the other. */
  readonly settings: SettingsTracker;
  /** Forwards to the other side. */
  readonly out: Outbox;
  /** Blocks are written anew since one was withheld; `emptied` once the receiver was told to drop its table. */
  rewriting: boolean;
  emptied: boolean;
  /** A frame of a stream that the proxy ended is being swallowed. */
  swallowing: boolean;
  /** A frame is half-sent. What the proxy adds must not stand inside it and waits for its end. */
  halfSent: boolean;
  waiting: Uint8Array[];
  waitingBytes: number;
}

export class Http2Relay {
  readonly #host: Http2Host;
  readonly #options: Http2RelayOptions;
  readonly #directions: Record<Side, Direction>;
  readonly #streams = new Map<number, Stream>();
  /** State of streams that are over, oldest first. */
  readonly #closed = new Map<number, StreamState>();
  readonly #numbers = new StreamNumbers();
  readonly #floods: FloodGuard;
  #nextExchangeId: number;
  #now: Instant;
  #lastActivity: Instant;
  #finished = false;
  #draining = false;

  constructor(options: Http2RelayOptions, now: Instant) {
    this.#options = options;
    this.#host = options.host;
    this.#nextExchangeId = options.firstExchangeId;
    this.#now = now;
    this.#lastActivity = now;
    this.#floods = new FloodGuard(options.limits.floods);
    this.#directions = { client: this.#direction("client"), server: this.#direction("server") };
    this.#host.arm("idle", addMilliseconds(now, options.limits.idleMs));
  }

  get heldBytes(): number {
    const { client, server } = this.#directions;
    return client.reader.heldBytes + client.assembler.heldBytes + client.waitingBytes +
      server.reader.heldBytes + server.assembler.heldBytes + server.waitingBytes;
  }

  received(side: Side, data: Uint8Array, now: Instant): void {
    this.#now = now;
    this.#lastActivity = now;
    const direction = this.#directions[side];
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
          direction.out.push(event.raw);
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
    }
    if (!this.#finished) this.#watchHead(direction);
    this.#flush();
  }

  ended(side: Side, now: Instant): void {
    this.#now = now;
    if (this.#finished) return;
    const direction = this.#directions[side];
    if (side === "client") this.#completeAnswered();
    // Frames delimit themselves, so nothing is lost where the end comes without that of TLS.
    if (this.#streams.size === 0 && direction.reader.betweenFrames) {
      this.#finish("complete");
      return;
    }
    // RFC 9113 §9.1: an end with streams under way ends them all; each side learns of the other's end.
    const detail = `The ${side} ended with ${this.#streams.size} streams under way`;
    this.#completeAll(side === "client" ? "client_aborted" : "server_aborted", {
      by: side,
      code: "connection_ended",
      detail,
    });
    this.#finish(side === "client" ? "client_reset" : "server_reset", detail);
  }

  failed(side: Side, fault: TransportFault, now: Instant): void {
    this.#now = now;
    if (this.#finished) return;
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
    const { headMs, idleMs, exchangeIdleMs } = this.#options.limits;
    switch (timer) {
      case "client_head":
      case "server_head":
        this.#timeout("stage_timeout", `A field block was not whole within ${headMs} ms (timeouts.head)`);
        return;
      case "idle":
        if (this.#streams.size === 0) {
          this.#timeout("idle_timeout", `No stream for ${idleMs} ms (timeouts.idle)`);
        }
        return;
      case "exchange_idle": {
        if (this.#streams.size === 0) return;
        const due = addMilliseconds(this.#lastActivity, exchangeIdleMs);
        if (now < due) this.#host.arm("exchange_idle", due);
        else {
          this.#timeout(
            "idle_timeout",
            `No byte for ${exchangeIdleMs} ms with streams open (timeouts.exchange_idle)`,
          );
        }
        return;
      }
      default:
        return;
    }
  }

  /** Both sides are told to begin nothing new; streams that are under way finish. */
  drain(now: Instant): void {
    this.#now = now;
    if (this.#finished) return;
    this.#draining = true;
    if (this.#streams.size === 0) {
      this.#goaway("NO_ERROR", "");
      this.#finish("shutdown");
      return;
    }
    this.#goaway("NO_ERROR", "");
    this.#flush();
  }

  abort(reason: CloseReason, code: string, detail: string, now: Instant): void {
    this.#now = now;
    if (this.#finished) return;
    this.#completeAll("reset", { by: "proxy", code, detail });
    this.#goaway(reason === "internal_error" ? "INTERNAL_ERROR" : "NO_ERROR", "");
    this.#finish(reason, detail);
  }

  #direction(by: Side): Direction {
    const { maxHeaderListSize, maxHeaderFields, maxTableBytes, maxContinuations } = this.#options.limits;
    return {
      by,
      reader: new FrameReader({ by, maxHeldBytes: HELD_FRAME_BYTES_MAX }),
      decoder: new HpackDecoder(by, { maxHeaderListSize, maxHeaderFields, maxTableBytes }),
      assembler: new HeaderBlockAssembler(by, {
        maxBlockBytes: 2 * maxHeaderListSize + BLOCK_SLACK_BYTES,
        maxContinuations,
      }),
      settings: new SettingsTracker(by, UNACKNOWLEDGED_SETTINGS_MAX),
      out: new Outbox((data) => this.#host.send(opposite(by), data)),
      rewriting: false,
      emptied: false,
      swallowing: false,
      halfSent: false,
      waiting: [],
      waitingBytes: 0,
    };
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
        this.#settings(direction, frame.ack, frame.settings, raw);
        return;
      case "rst_stream":
        this.#rstStream(direction, frame.streamId, frame.errorCode, raw);
        return;
      case "window_update":
        if (frame.streamId !== 0 && !this.#step(direction, frame.streamId, "window_update")) return;
        direction.out.push(raw);
        return;
      case "priority":
      case "ping":
      case "goaway":
        direction.out.push(raw);
        return;
    }
  }

  #settings(
    direction: Direction,
    ack: boolean,
    settings: Parameters<SettingsTracker["sent"]>[0],
    raw: Uint8Array,
  ): void {
    const other = this.#directions[opposite(direction.by)];
    if (ack) {
      const acknowledged = other.settings.acknowledged();
      for (const size of acknowledged?.headerTableSizes ?? []) direction.decoder.setTableLimit(size);
      direction.reader.maxFrameSize = other.settings.maxFrameSize;
    } else {
      const error = direction.settings.sent(settings);
      if (error !== null) {
        this.#connectionError(error);
        return;
      }
      other.reader.maxFrameSize = direction.settings.maxFrameSize;
      // A receiver that sets its table anew must be told again that it stays empty.
      other.emptied = false;
    }
    direction.out.push(raw);
  }

  #rstStream(direction: Direction, streamId: number, errorCode: number, raw: Uint8Array): void {
    const stream = this.#streams.get(streamId);
    const name = errorCodeName(errorCode);
    // RFC 9113 §8.1: a server that has answered in full may ask the client to stop sending.
    const early = direction.by === "server" && name === "NO_ERROR" && stream?.state === "server_ended";
    // A client that has all it was promised may leave before the frame that says so: curl does.
    const satisfied = direction.by === "client" && stream !== undefined && isAnswered(stream);
    const done = early || satisfied;
    const flood = done ? null : this.#resetFlood(direction.by, name);
    if (flood !== null) {
      this.#connectionError(flood);
      return;
    }
    if (!this.#step(direction, streamId, "rst_stream")) return;
    direction.out.push(raw);
    if (stream === undefined) return;
    this.#closeStream(
      stream,
      done ? "complete" : direction.by === "client" ? "client_aborted" : "reset",
      done ? undefined : { by: direction.by, code: name, detail: `RST_STREAM from the ${direction.by}` },
    );
  }

  /** A server that blames the client for a stream's end was provoked into it. */
  #resetFlood(by: Side, errorName: string): Http2Error | null {
    const flood = this.#floods.reset(by, this.#now);
    if (flood !== null || by === "client" || !BLAMING.has(errorName)) return flood;
    return this.#floods.provokedReset("client", this.#now);
  }

  #piece(direction: Direction, piece: FramePiece): void {
    const { header } = piece;
    if (header.type !== FRAME_TYPES.data) {
      const flood = piece.begins ? this.#floods.unknownFrame(direction.by, this.#now) : null;
      if (flood === null) this.#forwardPiece(direction, piece);
      else this.#connectionError(flood);
      return;
    }
    const endStream = (header.flags & FLAG_END_STREAM) !== 0;
    if (piece.begins) direction.swallowing = !this.#mayPass(direction, piece, endStream);
    if (direction.swallowing || this.#finished) return;
    const stream = this.#streams.get(header.streamId);
    if (direction.by === "client") stream?.recorder.requestContent(piece.content);
    else stream?.recorder.responseContent(piece.content);
    this.#forwardPiece(direction, piece);
    if (!piece.ends || !endStream || stream === undefined) return;
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
      const error = this.#streams.get(streamId)?.order[direction.by].content(
        length - paddingBytes,
        endStream,
      ) ?? null;
      if (error === null) return true;
      this.#error(direction, error);
    }
    // What is swallowed was taken from the sender's window for the connection, and nobody else gives it back.
    if (length > 0 && !this.#finished) {
      this.#add(this.#directions[opposite(direction.by)], encodeWindowUpdate(0, length));
    }
    return false;
  }

  #forwardPiece(direction: Direction, piece: FramePiece): void {
    direction.out.push(piece.raw);
    direction.halfSent = !piece.ends;
    if (direction.halfSent || direction.waiting.length === 0) return;
    for (const frame of direction.waiting) direction.out.push(frame);
    direction.waiting = [];
    direction.waitingBytes = 0;
  }

  /** Sends a frame of the proxy's own between those of `direction`. */
  #add(direction: Direction, frame: Uint8Array): void {
    if (direction.halfSent) {
      direction.waiting.push(frame);
      direction.waitingBytes += frame.length;
    } else direction.out.push(frame);
  }

  #block(direction: Direction, block: HeaderBlock): void {
    const { opening } = block;
    const decoded = direction.decoder.decode(block.bytes, opening.streamId);
    if (decoded.type === "error") {
      if (decoded.scope === "connection") {
        this.#connectionError(decoded);
        return;
      }
      this.#openFor(direction, opening.streamId, opening.type === "headers" && opening.endStream);
      this.#withhold(direction);
      this.#error(direction, decoded, block.raw.length);
      return;
    }
    const error = opening.type === "headers"
      ? this.#headers(direction, opening.streamId, opening.endStream, decoded.fields, block)
      : this.#pushPromise(direction, opening.streamId, opening.promisedStreamId, decoded.fields, block);
    if (error === null) return;
    this.#withhold(direction);
    this.#error(direction, error, block.raw.length);
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
    const opens = by === "client" && this.#numbers.isIdle(streamId);
    if (opens) {
      if (this.#numbers.open("client", streamId) !== null) {
        return http2Error("invalid_stream_id", by, 0, `a client cannot open stream ${streamId}`);
      }
      const full = this.#checkRoom(by, streamId);
      if (full !== null) return full;
      const request = readRequest(fields, { by, streamId });
      if (request.type === "error") return request;
      return this.#request(direction, streamId, endStream, request, fields, block);
    }
    if (!this.#step(direction, streamId, endStream ? "headers_end" : "headers")) {
      this.#withhold(direction);
      return null;
    }
    const stream = this.#streams.get(streamId);
    if (stream === undefined) {
      if (this.#stateOf(streamId) === "reset_by_proxy") this.#withhold(direction);
      else this.#forwardBlock(direction, fields, block);
      return null;
    }
    const order = stream.order[by];
    const recorded = stream.recorder;
    if (order.next === "trailers") {
      const trailers = readTrailers(fields, { by, streamId });
      if (trailers.type === "error") return trailers;
      const error = order.trailers(endStream);
      if (error !== null) return error;
      if (by === "client") recorded.requestTrailers(trailers.fields);
      else recorded.responseTrailers(trailers.fields);
    } else if (by === "server") {
      const response = readResponse(fields, { by, streamId });
      if (response.type === "error") return response;
      const error = order.head(response, endStream, stream.method);
      if (error !== null) return error;
      recorded.responseHead({
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

  #request(
    direction: Direction,
    streamId: number,
    endStream: boolean,
    request: RequestSection,
    fields: readonly HpackField[],
    block: HeaderBlock,
  ): Http2Error | null {
    const stream = this.#openStream(streamId, endStream ? "client_ended" : "open", request, block.raw.length);
    const error = stream.order.client.head(request, endStream, request.method);
    if (error !== null) return error;
    this.#forwardBlock(direction, fields, block);
    if (endStream) stream.recorder.requestFinished();
    return null;
  }

  #pushPromise(
    direction: Direction,
    streamId: number,
    promisedStreamId: number,
    fields: readonly HpackField[],
    block: HeaderBlock,
  ): Http2Error | null {
    if (!this.#step(direction, streamId, "push_promise")) {
      this.#withhold(direction);
      return null;
    }
    const origin = { by: direction.by, streamId: promisedStreamId };
    if (this.#numbers.open("server", promisedStreamId) !== null) {
      return http2Error(
        "invalid_stream_id",
        direction.by,
        0,
        `a server cannot promise stream ${promisedStreamId}`,
      );
    }
    const full = this.#checkRoom(direction.by, promisedStreamId);
    if (full !== null) return full;
    const request = readRequest(fields, origin);
    if (request.type === "error") return request;
    const stream = this.#openStream(promisedStreamId, "reserved", request, block.raw.length);
    stream.recorder.requestFinished();
    this.#forwardBlock(direction, fields, block);
    return null;
  }

  /** One stream too many is refused alone: its sender may ask again later (RFC 9113 §8.7). */
  #checkRoom(by: Side, streamId: number): Http2Error | null {
    const { maxStreams } = this.#options.limits;
    if (this.#streams.size < maxStreams) return null;
    return http2Error(
      "too_many_streams",
      by,
      streamId,
      `there are ${maxStreams} streams open already (http.http2_max_streams)`,
    );
  }

  #openStream(id: number, state: StreamState, request: RequestSection, headBytes: number): Stream {
    const exchangeId = this.#nextExchangeId++;
    const recorder = new ExchangeRecorder(exchangeId, {
      protocol: "http2",
      streamKey: `h2:${id}`,
      capture: this.#options.capture,
      observation: this.#options.observation,
      record: this.#record,
      now: this.#now,
    });
    const authority = request.authority ?? request.host ?? this.#options.authority;
    recorder.requestHead({
      method: request.method,
      target: request.path ?? authority,
      scheme: request.scheme ?? this.#options.scheme,
      authority,
      version: "HTTP/2",
      fields: request.fields,
      headBytes,
    });
    const stream: Stream = {
      id,
      state,
      method: request.method,
      recorder,
      order: { client: new MessageOrder("client", id), server: new MessageOrder("server", id) },
    };
    if (this.#streams.size === 0) {
      this.#host.disarm("idle");
      this.#host.arm("exchange_idle", addMilliseconds(this.#now, this.#options.limits.exchangeIdleMs));
    }
    this.#streams.set(id, stream);
    return stream;
  }

  /** A stream whose opening block could not be used still counts as opened, and is recorded by its end alone. */
  #openFor(direction: Direction, streamId: number, endStream: boolean): void {
    if (direction.by === "client" && this.#numbers.isIdle(streamId)) this.#numbers.open("client", streamId);
    else this.#step(direction, streamId, endStream ? "headers_end" : "headers");
  }

  readonly #record = (event: FlowEvent): void => this.#host.record(event);

  /** Forwards a block as it came, or as literals once one was withheld. */
  #forwardBlock(direction: Direction, fields: readonly HpackField[], { opening, raw }: HeaderBlock): void {
    if (!direction.rewriting) {
      direction.out.push(raw);
      return;
    }
    const block = encodeFieldBlock(fields, { emptyTable: !direction.emptied });
    direction.emptied = true;
    const { maxFrameSize } = this.#directions[opposite(direction.by)].settings.inForce;
    direction.out.push(
      opening.type === "headers"
        ? encodeHeaders(opening.streamId, block, {
          endStream: opening.endStream,
          priority: opening.priority,
          maxFrameSize,
        })
        : encodePushPromise(opening.streamId, opening.promisedStreamId, block, maxFrameSize),
    );
  }

  #withhold(direction: Direction): void {
    direction.rewriting = true;
  }

  /** Takes the step of a frame; false where the frame must not be forwarded, its error being dealt with. */
  #step(direction: Direction, streamId: number, input: StreamInput): boolean {
    const state = this.#stateOf(streamId);
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
    const stream = this.#streams.get(streamId);
    if (stream !== undefined) stream.state = step.state;
    else if (this.#closed.has(streamId)) this.#closed.set(streamId, step.state);
    return state !== "reset_by_proxy";
  }

  #stateOf(streamId: number): StreamState {
    const known = this.#streams.get(streamId)?.state ?? this.#closed.get(streamId);
    if (known !== undefined) return known;
    if (this.#numbers.isIdle(streamId)) return "idle";
    // Long closed, and by whom is forgotten: its frames are the peers' own business.
    return initiatorOf(streamId) === "client" ? "reset_by_client" : "reset_by_server";
  }

  #messageEnded(stream: Stream, by: Side): void {
    if (by === "client") stream.recorder.requestFinished();
    else stream.recorder.responseFinished();
    if (isClosed(stream.state)) this.#closeStream(stream, "complete");
  }

  #closeStream(stream: Stream, outcome: ExchangeOutcome, error?: ExchangeError): void {
    stream.recorder.complete(outcome, this.#now, error);
    this.#streams.delete(stream.id);
    this.#closed.set(stream.id, isClosed(stream.state) ? stream.state : "ended");
    if (this.#closed.size > CLOSED_STREAMS_MAX) this.#closed.delete(this.#closed.keys().next().value!);
    if (this.#streams.size > 0) return;
    this.#host.disarm("exchange_idle");
    if (this.#draining) this.#finish("shutdown");
    else this.#host.arm("idle", addMilliseconds(this.#now, this.#options.limits.idleMs));
  }

  /** A deviation: it ends its stream towards both sides, or the connection. */
  #error(direction: Direction, error: Http2Error, headBytes = 0): void {
    if (error.scope === "connection") {
      this.#connectionError(error);
      return;
    }
    const flood = this.#floods.provokedReset(direction.by, this.#now);
    if (flood !== null) {
      this.#connectionError(flood);
      return;
    }
    const { streamId } = error;
    const stream = this.#streams.get(streamId);
    const known = stream !== undefined;
    this.#add(this.#directions.server, encodeRstStream(streamId, error.errorCode));
    // The server has never heard of a stream whose opening was withheld.
    if (known || direction.by === "server") {
      this.#add(this.#directions.client, encodeRstStream(streamId, error.errorCode));
    }
    const outcome = isLimit(error) ? "limit" : "protocol_error";
    const reported: ExchangeError = { by: direction.by, code: error.code, detail: error.detail };
    if (stream !== undefined) {
      stream.state = "reset_by_proxy";
      this.#closeStream(stream, outcome, reported);
      return;
    }
    this.#closed.set(streamId, "reset_by_proxy");
    this.#recordUnopened(streamId, outcome, reported, headBytes);
  }

  /** A request that could not be read has no head in the log, only its end. */
  #recordUnopened(
    streamId: number,
    outcome: ExchangeOutcome,
    error: ExchangeError,
    headBytes: number,
  ): void {
    if (headBytes === 0) return;
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
        request_head_bytes: 0,
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
    this.#add(server, encodeGoaway(this.#numbers.highestOf("client"), code, debugText));
    this.#add(client, encodeGoaway(this.#numbers.highestOf("server"), code, debugText));
  }

  /** For a client that leaves: what it was promised in full it does not leave unfinished. */
  #completeAnswered(): void {
    for (const stream of [...this.#streams.values()]) {
      if (isAnswered(stream)) this.#closeStream(stream, "complete");
      if (this.#finished) return;
    }
  }

  #completeAll(outcome: ExchangeOutcome, error: ExchangeError): void {
    for (const { recorder } of this.#streams.values()) recorder.complete(outcome, this.#now, error);
    this.#streams.clear();
  }

  /** A field block that is not whole is a head under way. */
  #watchHead({ by, assembler, reader }: Direction): void {
    const timer: Timer = by === "client" ? "client_head" : "server_head";
    if (assembler.heldBytes === 0 && reader.heldBytes < FRAME_HEADER_BYTES) this.#host.disarm(timer);
    else if (!this.#headArmed[by]) {
      this.#host.arm(timer, addMilliseconds(this.#now, this.#options.limits.headMs));
    }
    this.#headArmed[by] = assembler.heldBytes > 0 || reader.heldBytes >= FRAME_HEADER_BYTES;
  }

  readonly #headArmed: Record<Side, boolean> = { client: false, server: false };

  #flush(): void {
    this.#directions.client.out.flush();
    this.#directions.server.out.flush();
  }

  #finish(reason: CloseReason, detail?: string): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#flush();
    this.#host.finish(reason, detail);
  }
}

/** The client has all of the content that was promised it, be the frame that ends the response with it or not. */
function isAnswered({ order }: Stream): boolean {
  return order.server.hasPromisedContent;
}
