/**
 * Telling a client why it is not served, in the version of HTTP it speaks. An answer belongs to a request, so
 * the first one is read, and no further than it takes to answer it.
 */
import type { CloseReason } from "../core/close_reason.ts";
import type { Answer } from "../http/answer.ts";
import { encodeAnswer } from "../http1/answer.ts";
import { HeadReader } from "../http1/head_reader.ts";
import { encodeHttp2Answer } from "../http2/answer.ts";
import type { ErrorCodeName } from "../http2/errors.ts";
import { FrameReader } from "../http2/frame_reader.ts";
import {
  encodeData,
  encodeGoaway,
  encodePingAck,
  encodeSettings,
  encodeSettingsAck,
} from "../http2/frame_writer.ts";
import type { ControlFrame, SettingsFrame } from "../http2/frames.ts";
import { type HeaderBlock, HeaderBlockAssembler, isBlockFrame } from "../http2/header_block.ts";
import { HpackDecoder } from "../http2/hpack_decoder.ts";
import { INITIAL_SETTINGS, SETTINGS } from "../http2/settings.ts";
import { badHeadAnswer } from "./answers.ts";
import type { Flow } from "./flow.ts";
import type { SessionConfig } from "./session_config.ts";

/** An answer of our own that waits until the client can be told, and how the flow ends then. */
export interface Refusal {
  readonly answer: Answer;
  readonly reason: CloseReason;
}

/** The phase in which the client is told, in the version of HTTP that it speaks. */
export class Refusing {
  readonly #refuser: Refuser;
  readonly #refusal: Refusal;

  constructor(private readonly flow: Flow, refusal: Refusal, version: "http1" | "http2") {
    const { config, effects } = flow;
    const send = (data: Uint8Array) => effects.send("client", data);
    this.#refusal = refusal;
    this.#refuser = version === "http2"
      ? new Http2Refuser(refusal.answer, config, send)
      : new Http1Refuser(refusal.answer, config, send);
    flow.arm("client_head", config.limits.headMs);
  }

  get heldBytes(): number {
    return this.#refuser.heldBytes;
  }

  received(data: Uint8Array): void {
    if (this.#refuser.push(data)) this.close();
  }

  /** It is told, or there is no telling it any more. */
  close(): void {
    this.flow.close(this.#refusal.reason, this.#refusal.answer.detail);
  }
}

/** Reads what a client says until it has been answered. */
export interface Refuser {
  /** Octets of an unfinished request. */
  readonly heldBytes: number;
  /** True once the answer is sent: whatever comes after it is of no interest. */
  push(data: Uint8Array): boolean;
}

export class Http1Refuser implements Refuser {
  readonly #reader: HeadReader;

  constructor(
    private readonly answer: Answer,
    { limits }: Pick<SessionConfig, "limits">,
    private readonly send: (data: Uint8Array) => void,
  ) {
    this.#reader = new HeadReader({ maxHeadBytes: limits.maxHeadBytes });
  }

  get heldBytes(): number {
    return this.#reader.buffered;
  }

  push(data: Uint8Array): boolean {
    const read = this.#reader.push(data, 0);
    if (read.type === "more") return false;
    const answer = read.type === "error" ? badHeadAnswer(read) : this.answer;
    const method = read.type === "error" ? "GET" : methodOf(read.bytes);
    this.send(encodeAnswer(answer, { close: true, method }));
    return true;
  }
}

/** More frames than any client sends before its first request; each may ask for one of ours. */
const FRAMES_MAX = 256;
const HELD_FRAME_BYTES_MAX = 64 * 1024;

/** Says its SETTINGS at once, since some clients wait for them (RFC 9113 §3.4), and GOAWAY after the answer. */
export class Http2Refuser implements Refuser {
  readonly #reader = new FrameReader({ by: "client", maxHeldBytes: HELD_FRAME_BYTES_MAX });
  readonly #assembler: HeaderBlockAssembler;
  readonly #decoder: HpackDecoder;
  #sendWindow = INITIAL_SETTINGS.initialWindowSize;
  #frames = 0;

  constructor(
    private readonly answer: Answer,
    { http2Limits: limits }: Pick<SessionConfig, "http2Limits">,
    private readonly send: (data: Uint8Array) => void,
  ) {
    const { maxHeaderListSize: maxBlockBytes, maxContinuations } = limits;
    this.#assembler = new HeaderBlockAssembler("client", { maxBlockBytes, maxContinuations });
    this.#decoder = new HpackDecoder("client", limits);
    send(encodeSettings([]));
  }

  get heldBytes(): number {
    return this.#reader.heldBytes + this.#assembler.heldBytes;
  }

  push(data: Uint8Array): boolean {
    for (let at = 0;;) {
      const event = this.#reader.read(data, at);
      if (event.type === "more") return false;
      if (event.type === "error") return this.#goAway(0, event.errorCode);
      if (event.type === "stream_error") return this.#goAway(0, event.error.errorCode);
      at = event.next;
      if (event.type === "preface") continue;
      if (++this.#frames > FRAMES_MAX) return this.#goAway(0, "ENHANCE_YOUR_CALM");
      if (event.type === "frame" && this.#frame(event.frame, event.raw)) return true;
    }
  }

  #frame(frame: ControlFrame, raw: Uint8Array): boolean {
    if (isBlockFrame(frame)) {
      const block = this.#assembler.push(frame, raw);
      if (block === null) return false;
      return block.type === "error" ? this.#goAway(0, block.errorCode) : this.#request(block);
    }
    switch (frame.type) {
      case "settings":
        if (!frame.ack) this.#settings(frame);
        return false;
      case "ping":
        if (!frame.ack) this.send(encodePingAck(frame.opaque));
        return false;
      case "goaway":
        return true;
      default:
        return false;
    }
  }

  #settings({ settings }: SettingsFrame): void {
    for (const [identifier, value] of settings) {
      if (identifier === SETTINGS.initial_window_size) this.#sendWindow = value;
    }
    this.send(encodeSettingsAck());
  }

  #request({ opening: { streamId }, bytes }: HeaderBlock): boolean {
    const decoded = this.#decoder.decode(bytes, streamId);
    if (decoded.type === "error") return this.#goAway(0, decoded.errorCode);
    const method = decoded.fields.find(({ field: [name] }) => name === ":method")?.field[1] ?? "";
    const { headers, content } = encodeHttp2Answer(this.answer, streamId, method);
    // Who takes so little cannot be told more than the code.
    if (content.length > Math.min(this.#sendWindow, INITIAL_SETTINGS.initialWindowSize)) {
      return this.#goAway(0, "NO_ERROR");
    }
    this.send(headers);
    if (content.length > 0) this.send(encodeData(streamId, content, true));
    return this.#goAway(streamId, "NO_ERROR");
  }

  #goAway(lastStreamId: number, errorCode: ErrorCodeName): boolean {
    this.send(encodeGoaway(lastStreamId, errorCode, this.answer.code));
    return true;
  }
}

/** The method of a head that is whole, for an answer that does not need the rest of it. */
function methodOf(head: Uint8Array): string {
  return String.fromCharCode(...head.subarray(0, Math.max(0, head.indexOf(0x20))));
}
