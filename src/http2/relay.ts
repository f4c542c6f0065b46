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
 *
 * Here frames are read and told apart, and the short ones dealt with; HEADERS and PUSH_PROMISE are in
 * `field_blocks.ts`, DATA in `data_frames.ts`, how streams and the connection end in `connection.ts`.
 */
import { joinBytes } from "../core/bytes.ts";
import type { CloseReason } from "../core/close_reason.ts";
import type { Instant } from "../core/instant.ts";
import type { Timer, TransportFault } from "../core/session.ts";
import { opposite, type Side } from "../core/side.ts";
import type { RecordingOptions } from "../http/recording.ts";
import type { RelayHost } from "../http/relay_host.ts";
import type { RequestGate, Verdict } from "../http/request_gate.ts";
import { AltSvcFilter } from "./alt_svc_filter.ts";
import { Http2Connection, isAnswered } from "./connection.ts";
import { DataFrames } from "./data_frames.ts";
import type { Direction } from "./direction.ts";
import { errorCodeName, type Http2Error, http2Error, isBenign, isBlaming } from "./errors.ts";
import { FieldBlocks } from "./field_blocks.ts";
import type { FramePiece } from "./frame_reader.ts";
import { encodeWindowUpdate } from "./frame_writer.ts";
import { type ControlFrame, FRAME_TYPES } from "./frames.ts";
import { isBlockFrame } from "./header_block.ts";
import { HeldFrameTimer } from "./held_frame_timer.ts";
import type { Http2Limits } from "./limits.ts";
import { MAX_WINDOW_SIZE, type Setting } from "./settings.ts";

export interface Http2RelayOptions extends RecordingOptions {
  readonly host: RelayHost;
  readonly limits: Http2Limits;
  /** Who lets requests through. */
  readonly gate: RequestGate;
  /** Responses go on without Alt-Svc, and its frames not at all. */
  readonly stripsAltSvc: boolean;
  /** What `field_section.ts` could let through is refused. */
  readonly strictHeaders: boolean;
}

const NOTHING = new Uint8Array(0);

export class Http2Relay {
  readonly #connection: Http2Connection;
  readonly #altSvc: AltSvcFilter;
  readonly #fieldBlocks: FieldBlocks;
  readonly #dataFrames: DataFrames;
  readonly #heldFrameTimers: Readonly<Record<Side, HeldFrameTimer>>;
  /** What the client sent behind a request that waits for the gate. */
  #held: Uint8Array = NOTHING;
  #clientEnded = false;
  /** Said while something still waited for the client's window. */
  #serverEnded = false;

  constructor(options: Http2RelayOptions, now: Instant) {
    const { gate, host, limits, strictHeaders, stripsAltSvc } = options;
    this.#connection = new Http2Connection(host, limits, options, now);
    this.#altSvc = new AltSvcFilter(this.#connection, stripsAltSvc);
    this.#fieldBlocks = new FieldBlocks(this.#connection, gate, this.#altSvc, !strictHeaders);
    this.#dataFrames = new DataFrames(this.#connection);
    this.#heldFrameTimers = {
      client: new HeldFrameTimer(host, "client_head", limits.headMs),
      server: new HeldFrameTimer(host, "server_head", limits.headMs),
    };
  }

  get heldBytes(): number {
    const { directions: { client, server }, refusals } = this.#connection;
    return client.heldBytes + server.heldBytes + this.#held.length + this.#fieldBlocks.heldBytes +
      refusals.heldBytes;
  }

  get unfinishedBytes(): number {
    const { client, server } = this.#connection.directions;
    return client.unfinishedBytes + server.unfinishedBytes;
  }

  received(side: Side, data: Uint8Array, now: Instant): void {
    this.#connection.now = now;
    if (side === "client" && this.#fieldBlocks.awaitsDecision) {
      this.#hold(joinBytes([this.#held, data]));
      return;
    }
    this.#read(this.#connection.directions[side], data);
    this.#connection.flush();
  }

  /** The gate's answer for the request that waits. */
  decided(verdict: Verdict, now: Instant): void {
    this.#connection.now = now;
    if (!this.#fieldBlocks.awaitsDecision || this.#connection.finished) return;
    const held = this.#held;
    this.#held = NOTHING;
    this.#fieldBlocks.decided(verdict);
    if (this.#connection.finished) return;
    if (held.length > 0) {
      this.#connection.host.resume("client");
      this.#read(this.#connection.directions.client, held, true);
    }
    if (this.#clientEnded && !this.#fieldBlocks.awaitsDecision) this.ended("client", now);
    this.#connection.flush();
  }

  #hold(data: Uint8Array): void {
    this.#held = data;
    if (data.length > 0) this.#connection.host.pause("client");
  }

  /** `kept`: the data stays as it is, so that what is left of it need not be copied once for each request in it. */
  #read(direction: Direction, data: Uint8Array, kept = false): void {
    const side = direction.by;
    const heldFrameTimer = this.#heldFrameTimers[side];
    heldFrameTimer.readBegins();
    let offset = 0;
    while (!this.#connection.finished) {
      const event = direction.reader.read(data, offset);
      if (event.type === "more") break;
      if (event.type === "error") {
        this.#connection.connectionError(event);
        break;
      }
      offset = event.next;
      switch (event.type) {
        case "preface":
          direction.forward(event.raw);
          break;
        case "piece":
          if (event.header.type === FRAME_TYPES.data) this.#dataFrames.received(direction, event);
          else this.#unknownPiece(direction, event);
          break;
        case "frame":
          this.#frame(direction, event.frame, event.raw);
          break;
        case "stream_error":
          this.#connection.error(direction, event.error);
          break;
      }
      if (!direction.inHeldFrame) heldFrameTimer.nothingHeld();
      if (this.#fieldBlocks.awaitsDecision && side === "client") {
        this.#hold(kept ? data.subarray(offset) : data.slice(offset));
        break;
      }
    }
    if (this.#connection.finished) return;
    heldFrameTimer.readEnds(direction.inHeldFrame, this.#connection.now);
    this.#connection.finishIfDrained();
    if (this.#serverEnded && !this.#connection.refusals.waitForClient) {
      this.ended("server", this.#connection.now);
    }
  }

  ended(side: Side, now: Instant): void {
    this.#connection.now = now;
    if (this.#connection.finished) return;
    if (side === "client" && this.#fieldBlocks.awaitsDecision) {
      this.#clientEnded = true;
      return;
    }
    if (side === "server" && this.#connection.refusals.waitForClient) {
      this.#serverEnded = true;
      return;
    }
    const direction = this.#connection.directions[side];
    const complaint = this.#connection.farewells.complaintOf(side);
    if (side === "client") this.#connection.completeAnswered();
    if (this.#connection.finished) return;
    // Frames delimit themselves, so nothing is lost where the end comes without that of TLS.
    const underWay = this.#connection.streams.size + (this.#fieldBlocks.awaitsDecision ? 1 : 0);
    if (underWay === 0 && direction.reader.betweenFrames) {
      if (complaint === null) this.#connection.finish("complete");
      else this.#connection.finish(side === "client" ? "client_reset" : "server_reset", complaint);
      return;
    }
    // RFC 9113 §9.1: an end with streams under way ends them all; each side learns of the other's end.
    const detail = complaint ?? `The ${side} ended with ${underWay} streams under way`;
    this.#connection.completeAll(side === "client" ? "client_aborted" : "server_aborted", {
      by: side,
      code: "connection_ended",
      detail,
    });
    this.#connection.finish(side === "client" ? "client_reset" : "server_reset", detail);
  }

  failed(side: Side, fault: TransportFault, now: Instant): void {
    this.#connection.now = now;
    // A server that has ended may well refuse what it is still told.
    if (this.#connection.finished || (side === "server" && this.#serverEnded)) return;
    if (side === "client") this.#connection.completeAnswered();
    if (this.#connection.finished) return;
    this.#connection.completeAll(side === "client" ? "client_aborted" : "server_aborted", {
      by: side,
      code: fault.code,
      detail: fault.detail,
    });
    this.#connection.flush();
    this.#connection.host.reset(opposite(side));
    this.#connection.finish(side === "client" ? "client_reset" : "server_reset", fault.detail);
  }

  expired(timer: Timer, now: Instant): void {
    this.#connection.now = now;
    if (this.#connection.finished) return;
    const { headMs, idleMs } = this.#connection.limits;
    switch (timer) {
      case "client_head":
      case "server_head":
        this.#connection.timeout(
          "stage_timeout",
          `A field block was not whole within ${headMs} ms (timeouts.head)`,
        );
        return;
      case "idle":
        if (this.#connection.streams.size === 0 && !this.#fieldBlocks.awaitsDecision) {
          this.#connection.timeout("idle_timeout", `No stream for ${idleMs} ms (timeouts.idle)`);
        }
        return;
      case "exchange_idle":
        this.#connection.checkProgress();
        this.#connection.flush();
        return;
      default:
        return;
    }
  }

  /** Both sides are told to begin nothing new; streams that are under way finish. */
  drain(now: Instant): void {
    this.#connection.now = now;
    this.#connection.drain();
  }

  abort(reason: CloseReason, code: string, detail: string, now: Instant): void {
    this.#connection.now = now;
    this.#connection.abort(reason, code, detail);
  }

  #frame(direction: Direction, frame: ControlFrame, raw: Uint8Array): void {
    const flood = this.#connection.floods.frame(direction.by, frame, this.#connection.now);
    if (flood !== null) {
      this.#connection.connectionError(flood);
      return;
    }
    if (isBlockFrame(frame)) {
      const block = direction.assembler.push(frame, raw);
      if (block === null) return;
      if (block.type === "error") this.#connection.connectionError(block);
      else this.#fieldBlocks.received(direction, block);
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
        direction.forward(this.#connection.farewells.said(direction.by, frame, raw));
        for (const stream of [...this.#connection.streams.open()]) this.#connection.closeRefused(stream);
        return;
      case "priority":
      case "ping":
        direction.forward(raw);
        return;
    }
  }

  #settings(direction: Direction, settings: readonly Setting[], raw: Uint8Array): void {
    const receiver = this.#connection.directions[opposite(direction.by)];
    const windowBefore = direction.settings.latest.initialWindowSize;
    const error = direction.settings.sent(settings) ?? this.#checkInitialWindow(direction, windowBefore);
    if (error !== null) {
      this.#connection.connectionError(error);
      return;
    }
    receiver.reader.maxFrameSize = direction.settings.maxFrameSize;
    receiver.receiverSettingsChanged();
    direction.forwardSettings(raw);
  }

  #settingsAcknowledged(direction: Direction, raw: Uint8Array): void {
    const { settings } = this.#connection.directions[opposite(direction.by)];
    for (const size of settings.acknowledged()?.headerTableSizes ?? []) direction.decoder.setTableLimit(size);
    direction.reader.maxFrameSize = settings.maxFrameSize;
    direction.forward(raw);
    if (direction.by === "server") this.#connection.refusals.settingsChanged();
  }

  /** A larger initial window is added to that of each stream, which must not overflow (RFC 9113 §6.9.2). */
  #checkInitialWindow({ by, settings }: Direction, before: number): Http2Error | null {
    const { initialWindowSize } = settings.latest;
    if (initialWindowSize <= before) return null;
    const most = this.#connection.streams.mostGranted(opposite(by));
    if (initialWindowSize + most <= MAX_WINDOW_SIZE) return null;
    return windowOverflow(by, 0, `SETTINGS_INITIAL_WINDOW_SIZE ${initialWindowSize} makes that of a stream`);
  }

  #windowUpdate(direction: Direction, streamId: number, increment: number, raw: Uint8Array): void {
    const { by, settings } = direction;
    const sender = this.#connection.directions[opposite(by)];
    if (streamId === 0) {
      sender.connectionWindow += increment;
      if (sender.connectionWindow > MAX_WINDOW_SIZE) {
        this.#connection.connectionError(windowOverflow(by, 0, "WINDOW_UPDATE makes that of the connection"));
        return;
      }
      if (by === "client") {
        this.#clientGranted(increment, raw);
        return;
      }
    } else {
      if (by === "client") this.#connection.refusals.grantedStream(streamId, increment);
      if (!this.#connection.step(direction, streamId, "window_update")) return;
      const stream = this.#connection.streams.get(streamId);
      if (stream !== undefined) {
        stream.granted[sender.by] += increment;
        if (settings.latest.initialWindowSize + stream.granted[sender.by] > MAX_WINDOW_SIZE) {
          this.#connection.error(
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
    const left = this.#connection.refusals.grantedConnection(increment);
    if (left === increment) this.#connection.directions.client.forward(raw);
    else if (left > 0) this.#connection.directions.client.forward(encodeWindowUpdate(0, left));
  }

  #rstStream(direction: Direction, streamId: number, errorCode: number, raw: Uint8Array): void {
    const stream = this.#connection.streams.get(streamId);
    const name = errorCodeName(errorCode);
    // The answer was whole: RFC 9113 §8.1 lets the server ask the client to stop sending, and a client that has
    // all it was promised may leave before the frame that says so: curl does.
    const answered = stream?.state === "server_ended" ||
      (direction.by === "client" && stream !== undefined && isAnswered(stream));
    const complete = answered && isBenign(name);
    const flood = answered ? null : this.#resetFlood(direction.by, streamId, name);
    if (flood !== null) {
      this.#connection.connectionError(flood);
      return;
    }
    if (direction.by === "client") this.#connection.refusals.reset(streamId);
    if (!this.#connection.step(direction, streamId, "rst_stream")) return;
    this.#connection.forward(direction, streamId, raw);
    if (stream === undefined) return;
    this.#connection.closeStream(
      stream,
      complete ? "complete" : direction.by === "client" ? "client_aborted" : "reset",
      complete ? undefined : { by: direction.by, code: name, detail: `RST_STREAM from the ${direction.by}` },
    );
  }

  /** A server that blames the client for a stream's end was provoked into it. */
  #resetFlood(by: Side, streamId: number, errorName: string): Http2Error | null {
    const { floods, now, streams } = this.#connection;
    if (streams.isOver(streamId)) return floods.lateReset(by, now);
    const flood = floods.reset(by, now);
    if (flood !== null || by === "client" || !isBlaming(errorName)) return flood;
    return floods.provokedReset("client", now);
  }

  /** Types that RFC 9113 does not define go on (§5.5). */
  #unknownPiece(direction: Direction, piece: FramePiece): void {
    const { floods, now } = this.#connection;
    const flood = piece.begins ? floods.unknownFrame(direction.by, now) : null;
    if (flood !== null) this.#connection.connectionError(flood);
    else if (!this.#altSvc.takes(direction, piece)) direction.forwardPiece(piece);
  }
}

function windowOverflow(by: Side, streamId: number, what: string): Http2Error {
  return http2Error("window_overflow", by, streamId, `${what} larger than ${MAX_WINDOW_SIZE}`);
}
