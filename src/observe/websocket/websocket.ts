/**
 * WebSocket (RFC 6455): both sides of one, as messages, control frames and turns. What a peer does against the
 * rules is told and not prevented.
 */
import type { Attributes } from "../../core/event.ts";
import type { Instant } from "../../core/instant.ts";
import type { Side } from "../../core/side.ts";
import type { Direction } from "../../http/message.ts";
import type { StreamEnd, UpgradeHead } from "../../http/observation.ts";
import { payloadAttributes } from "../../log/payload.ts";
import { redactFields } from "../../log/redact.ts";
import type { StreamContext, StreamObserver, StreamObserverDefinition } from "../observer.ts";
import { recordUnit, UNDECLARED } from "../payload/record.ts";
import type { Compression } from "./extensions.ts";
import { opensWebSocket, readHandshake } from "./handshake.ts";
import { MessageInflater } from "./message_inflater.ts";
import { type ControlFrame, type Message, MessageReader } from "./message_reader.ts";
import { type FlushReason, type SideCounts, type Turn, Turns } from "./turns.ts";

export const WEBSOCKET: StreamObserverDefinition = {
  name: "websocket",
  protocol: "websocket",
  open: (head, context) => opensWebSocket(head) ? new WebSocketObserver(head, context) : null,
};

/** RFC 6455 §7.1.5: a close frame without a code, and an end without a close frame. */
const NO_CODE = 1005;
const NO_CLOSE_FRAME = 1006;

const DIRECTIONS: Readonly<Record<Side, Direction>> = { client: "request", server: "response" };

interface CloseFrame {
  readonly by: Side;
  readonly code: number;
  readonly reason: Attributes;
}

class WebSocketObserver implements StreamObserver {
  readonly #context: StreamContext;
  readonly #openedAt: Instant;
  readonly #readers: Readonly<Record<Side, MessageReader>>;
  readonly #turns: Turns;
  readonly #messages: Record<Side, number> = { client: 0, server: 0 };
  /** The first. */
  #close: CloseFrame | null = null;
  #firstEnded: Side | null = null;
  /** Something was not read to its end. */
  #partial = false;

  constructor(head: UpgradeHead, context: StreamContext) {
    this.#context = context;
    this.#openedAt = context.now;
    const { agreement, subprotocol, violations } = readHandshake(head, context.sha1);
    this.#turns = new Turns({
      started: ({ id, initiator }) => context.emit("ws_turn_started", { initiator, turn_id: id }),
      completed: (turn, reason) => context.emit("ws_turn_completed", this.#turnAttributes(turn, reason)),
      silent: (since) => context.silentSince(since),
    });
    const reader = (side: Side) => this.#reader(side, agreement.compression, agreement.foreignReserved);
    this.#readers = { client: reader("client"), server: reader("server") };
    const written = (name: string, value: string) =>
      redactFields([[name, value]], context.redactHeaders)[0]![1];
    context.emit("websocket_opened", {
      extensions: agreement.extensions.map((extension) => written("sec-websocket-extensions", extension)),
      // Browsers can put a token nowhere else.
      ...(subprotocol === null ? {} : { subprotocol: written("sec-websocket-protocol", subprotocol) }),
      violations,
    });
  }

  received(side: Side, bytes: Uint8Array): void {
    if (this.#readers[side].push(bytes)) this.#turns.paused(this.#context.now);
  }

  ended(side: Side): void {
    this.#firstEnded ??= side;
    this.#readers[side].finish();
    this.#settle();
    this.#turns.flush("eof");
  }

  closed({ orderly, by }: StreamEnd): void {
    this.#readers.client.finish();
    this.#readers.server.finish();
    this.#turns.end(orderly ? "eof" : "error");
    const close = this.#close;
    const { client, server } = this.#readers;
    this.#context.emit("websocket_closed", {
      by: close?.by ?? this.#firstEnded ?? by,
      clean: client.closedCleanly && server.closedCleanly,
      client_messages: this.#messages.client,
      code: close?.code ?? NO_CLOSE_FRAME,
      duration_ns: this.#context.now - this.#openedAt,
      ...(this.#partial ? { partial: true } : {}),
      ...(close?.reason ?? { reason: "" }),
      server_messages: this.#messages.server,
    });
  }

  stopped(): void {
    this.#partial = true;
    this.#readers.client.stop();
    this.#readers.server.stop();
    this.#turns.end("error");
  }

  silent(): void {
    this.#settle();
    this.#turns.flush("idle_timeout");
  }

  #reader(side: Side, compression: Compression | null, foreignReserved: number): MessageReader {
    const context = this.#context;
    const { inflaters, limits } = context;
    const turns = this.#turns;
    const takeover = side === "client" ? compression?.clientTakeover : compression?.serverTakeover;
    return new MessageReader({
      side,
      context,
      inflater: takeover === undefined ? null : new MessageInflater(inflaters, limits, takeover),
      inflaterHeldBytes: inflaters.heldBytes["deflate-raw"],
      foreignReserved,
      sink: {
        dataFrameBegan: () => {
          this.#settle();
          turns.frameBegan(side, context.now);
        },
        dataComes: () => turns.dataComes(side, context.now),
        dataPassed: (bytes, at) => turns.dataPassed(side, bytes, at),
        message: (message) => this.#message(side, message),
        control: (frame) => this.#control(side, frame),
        failed: (stage, reason) => {
          context.failed(DIRECTIONS[side], stage, reason);
          if (stage !== "framing") return;
          this.#partial = true;
          this.#settle();
          this.#turns.end("error");
        },
      },
    });
  }

  /** Before a turn may end: what has passed belongs to it. */
  #settle(): void {
    this.#readers.client.settle();
    this.#readers.server.settle();
  }

  #message(side: Side, message: Message): void {
    const { compressed, data, violation } = message;
    const index = this.#messages[side]++;
    this.#context.emit("ws_message", {
      bytes: message.bytes,
      ...(message.complete ? {} : { complete: false }),
      compressed,
      ...(data === null ? {} : payloadAttributes(data)),
      ...(message.decodedBytes === null ? {} : { decoded_bytes: message.decodedBytes }),
      ...(message.decodedPartly ? { decoded_partly: true } : {}),
      direction: DIRECTIONS[side],
      fragments: message.fragments,
      index,
      opcode: message.opcode,
      ...(message.truncated ? { truncated: true } : {}),
      ...(violation === null ? {} : { violation }),
    });
    const whole = message.complete && !message.truncated && !message.decodedPartly;
    if (data !== null && whole && violation === null) this.#payload(side, index, data, compressed);
  }

  #payload(side: Side, index: number, data: Uint8Array, compressed: boolean): void {
    const context = this.#context;
    const direction = DIRECTIONS[side];
    recordUnit(
      {
        limits: context.limits,
        passed: [],
        emit: (kind, attributes) => context.emit(kind, { ...attributes, direction }),
        report: (stage, reason, attributes) => context.failed(direction, stage, reason, attributes),
      },
      data,
      { framing: "websocket", index, type: UNDECLARED, codings: compressed ? ["permessage-deflate"] : [] },
    );
  }

  #control(side: Side, { opcode, payload, violation }: ControlFrame): void {
    const code = opcode === "close" && payload.length >= 2 ? payload[0]! * 256 + payload[1]! : null;
    const reason = code === null ? null : reasonAttributes(payload.subarray(2));
    const captured = payload.subarray(0, this.#context.limits.captureBytes);
    const truncated = code === null && captured.length < payload.length;
    this.#context.emit("ws_control", {
      bytes: payload.length,
      ...(code === null ? payloadAttributes(captured) : { code }),
      direction: DIRECTIONS[side],
      opcode,
      ...reason,
      ...(truncated ? { truncated } : {}),
      ...(violation === null ? {} : { violation }),
    });
    this.#turns.control(side);
    if (opcode !== "close") return;
    this.#settle();
    this.#close ??= { by: side, code: code ?? NO_CODE, reason: reason ?? { reason: "" } };
    this.#turns.end("close_frame");
  }

  #turnAttributes(turn: Turn, reason: FlushReason): Attributes {
    const { id, initiator, counts, startedAt, lastAt } = turn;
    return {
      ...sideAttributes("client", counts.client),
      first_ns: startedAt - this.#openedAt,
      flush_reason: reason,
      initiator,
      last_ns: lastAt - this.#openedAt,
      ...sideAttributes("server", counts.server),
      turn_id: id,
    };
  }
}

function sideAttributes(side: Side, { bytes, controlFrames, frames }: SideCounts): Attributes {
  return {
    [`${side}_bytes`]: bytes,
    [`${side}_control_frames`]: controlFrames,
    [`${side}_frames`]: frames,
  };
}

/** A reason that is no UTF-8 is kept as it is. */
function reasonAttributes(bytes: Uint8Array): Attributes {
  const payload = payloadAttributes(bytes);
  return "data" in payload ? { reason: payload.data } : { reason_base64: payload.data_base64 };
}
