/** What one side of an HTTP/2 connection is told, frame by frame in a few words, with a decoder of its own. */
import type { Side } from "../../src/core/side.ts";
import { errorCodeName } from "../../src/http2/errors.ts";
import { FrameReader } from "../../src/http2/frame_reader.ts";
import { type ControlFrame, FLAG_END_STREAM, frameName } from "../../src/http2/frames.ts";
import { HeaderBlockAssembler, isBlockFrame } from "../../src/http2/header_block.ts";
import { HpackDecoder } from "../../src/http2/hpack_decoder.ts";
import { MAX_MAX_FRAME_SIZE } from "../../src/http2/settings.ts";

export interface Heard {
  /** `HEADERS 1 :status=200`, `DATA 1 16384`, `RST_STREAM 3 CANCEL`, `GOAWAY 5 NO_ERROR`, `SETTINGS`, `PING ack`, … */
  readonly said: string;
  readonly type: string;
  readonly streamId: number;
  readonly endStream: boolean;
  /** Of HEADERS and PUSH_PROMISE. */
  readonly fields: readonly (readonly [string, string])[];
  /** Of DATA: this piece of it. Valid until the next read. */
  readonly content: Uint8Array;
  /** The frame itself, where it is no piece. */
  readonly frame: ControlFrame | null;
}

const NOTHING = new Uint8Array(0);
const LARGE = 1 << 24;

export class Http2Ear {
  readonly #reader: FrameReader;
  readonly #decoder: HpackDecoder;
  readonly #assembler: HeaderBlockAssembler;

  /** `by` is who speaks. */
  constructor(by: Side) {
    this.#reader = new FrameReader({ by, maxHeldBytes: LARGE });
    this.#reader.maxFrameSize = MAX_MAX_FRAME_SIZE;
    this.#decoder = new HpackDecoder(by, {
      maxHeaderListSize: LARGE,
      maxHeaderFields: LARGE,
      maxTableBytes: LARGE,
    });
    this.#assembler = new HeaderBlockAssembler(by, { maxBlockBytes: LARGE, maxContinuations: LARGE });
  }

  /** Throws where what was said is no HTTP/2: the relay must never say such a thing. */
  hear(data: Uint8Array, tell: (heard: Heard) => void): void {
    for (let offset = 0;;) {
      const event = this.#reader.read(data, offset);
      if (event.type === "more") return;
      if (event.type === "error" || event.type === "stream_error") throw new Error(JSON.stringify(event));
      offset = event.next;
      if (event.type === "preface") continue;
      if (event.type === "piece") {
        const { type, streamId, flags } = event.header;
        const { content } = event;
        tell({
          ...silent(type, streamId),
          said: `${frameName(type)} ${streamId} ${content.length}`,
          endStream: event.ends && (flags & FLAG_END_STREAM) !== 0,
          content,
        });
      } else this.#control(event.frame, event.raw, tell);
    }
  }

  #control(frame: ControlFrame, raw: Uint8Array, tell: (heard: Heard) => void): void {
    if (isBlockFrame(frame)) {
      const block = this.#assembler.push(frame, raw);
      if (block === null) return;
      if (block.type === "error") throw new Error(JSON.stringify(block));
      const { opening } = block;
      const decoded = this.#decoder.decode(block.bytes, opening.streamId);
      if (decoded.type === "error") throw new Error(JSON.stringify(decoded));
      const fields = decoded.fields.map(({ field }) => field);
      const { type, streamId } = opening;
      tell({
        ...silent(type === "headers" ? 1 : 5, streamId),
        said: `${type.toUpperCase()} ${streamId} ${fields.map((field) => field.join("=")).join(" ")}`,
        endStream: type === "headers" && opening.endStream,
        fields,
        frame: opening,
      });
      return;
    }
    const { said, type, streamId } = wordsOf(frame);
    tell({ ...silent(0, streamId), said, type, frame });
  }
}

function silent(type: number, streamId: number) {
  return {
    type: frameName(type),
    streamId,
    said: "",
    endStream: false,
    fields: [],
    content: NOTHING,
    frame: null,
  };
}

function wordsOf(frame: ControlFrame): { said: string; type: string; streamId: number } {
  const type = frame.type.toUpperCase();
  switch (frame.type) {
    case "rst_stream":
      return {
        said: `${type} ${frame.streamId} ${errorCodeName(frame.errorCode)}`,
        type,
        streamId: frame.streamId,
      };
    case "goaway":
      return { said: `${type} ${frame.lastStreamId} ${errorCodeName(frame.errorCode)}`, type, streamId: 0 };
    case "window_update":
      return { said: `${type} ${frame.streamId} ${frame.increment}`, type, streamId: frame.streamId };
    case "settings":
    case "ping":
      return { said: frame.ack ? `${type} ack` : type, type, streamId: 0 };
    default:
      return { said: `${type} ${frame.streamId}`, type, streamId: frame.streamId };
  }
}
