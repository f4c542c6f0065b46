/**
 * Reads the frames of one direction (RFC 9113 §3.4, §4 and §6), however reads cut the octets.
 *
 * DATA, and types that RFC 9113 does not define, are handed on in pieces as they arrive: nothing
 * waits for the end of a frame. All others mean something only as a whole and are held until they
 * are; so are nine octets of a header, and the pad length behind it. Every octet is in the `raw` of
 * exactly one event, in order, so forwarding `raw` forwards what came; only frames that break a rule
 * are in none.
 */
import type { Side } from "../core/side.ts";
import { type Http2Error, http2Error, type Http2ErrorCode } from "./errors.ts";
import {
  checkFrameHeader,
  CLIENT_PREFACE,
  type ControlFrame,
  FLAG_ACK,
  FLAG_END_HEADERS,
  FLAG_PADDED,
  FRAME_HEADER_BYTES,
  FRAME_TYPES,
  type FrameHeader,
  frameName,
  isControlFrame,
  paddingTooLong,
  readControlFrame,
  readFrameHeader,
} from "./frames.ts";
import { MIN_MAX_FRAME_SIZE } from "./settings.ts";

export interface FrameReaderOptions {
  /** Whose frames these are. A client sends the preface of §3.4 first. */
  readonly by: Side;
  /** What is held of a frame that must be whole, whatever SETTINGS_MAX_FRAME_SIZE allows. */
  readonly maxHeldBytes: number;
}

/** `next` is the offset in the data read, just after the event. */
export type FrameEvent =
  /** The data is used up. */
  | { readonly type: "more" }
  /** The 24 octets before a client's first frame. */
  | { readonly type: "preface"; readonly raw: Uint8Array; readonly next: number }
  /** A whole frame. Its views and `raw` are valid until the next read. */
  | {
    readonly type: "frame";
    readonly frame: ControlFrame;
    readonly raw: Uint8Array;
    readonly next: number;
  }
  | FramePiece
  /** A stream error. The frame is in no other event; what follows it is read as ever. */
  | { readonly type: "stream_error"; readonly error: Http2Error; readonly next: number }
  /** A connection error, and the answer to every later read. */
  | Http2Error;

/** A part of a frame of DATA or of an unknown type; most are the whole frame. */
export interface FramePiece {
  readonly type: "piece";
  readonly header: FrameHeader;
  /** Octets of padding in the frame with the pad length itself: they count for flow control (§6.1). */
  readonly paddingBytes: number;
  /** The first piece: its `raw` begins with the frame's header. */
  readonly begins: boolean;
  /** The last piece. */
  readonly ends: boolean;
  readonly raw: Uint8Array;
  /** What is in `raw` of the data, without header and padding. */
  readonly content: Uint8Array;
  readonly next: number;
}

const MORE: FrameEvent = { type: "more" };
const NOTHING = new Uint8Array(0);

// Where the next octet stands.
const IN_PREFACE = 0;
/** At the beginning of a frame, or in the part of it that must be whole. */
const IN_HELD = 1;
/** In the payload of a frame that is handed on in pieces. */
const IN_PIECES = 2;
/** In the payload of a frame that was refused. */
const IN_REFUSED = 3;

export class FrameReader {
  /** What SETTINGS_MAX_FRAME_SIZE of the other side allows this one. */
  maxFrameSize = MIN_MAX_FRAME_SIZE;

  readonly #by: Side;
  readonly #maxHeldBytes: number;
  #state: number;
  #error: Http2Error | null = null;
  #settingsSeen = false;
  /** The stream whose field block is not at its end; 0 where there is none. */
  #blockStreamId = 0;
  /** Octets of this direction before those of the read at hand. */
  #position = 0;
  /** Where in this direction the frame at hand begins. */
  #frameAt = 0;

  /** The beginning of a frame that is not whole yet: `#heldLength` octets. In the preface only their number. */
  #held = NOTHING;
  #heldLength = 0;
  /** Of the frame that is held or handed on, once its nine octets are there. */
  #header: FrameHeader | null = null;
  /** Octets of its payload still to come, and how many of them are padding. */
  #remaining = 0;
  #padding = 0;

  constructor(options: FrameReaderOptions) {
    this.#by = options.by;
    this.#maxHeldBytes = options.maxHeldBytes;
    this.#state = options.by === "client" ? IN_PREFACE : IN_HELD;
  }

  /** Octets that are held until their frame is whole. */
  get heldBytes(): number {
    return this.#state === IN_PREFACE ? 0 : this.#heldLength;
  }

  /** Whether the octets so far end between two frames, where an end of the connection cuts nothing off. */
  get betweenFrames(): boolean {
    return this.#state <= IN_HELD && this.#heldLength === 0 && this.#blockStreamId === 0;
  }

  /**
   * The next event from `offset` on. `data` may be reused after it; what an event gives is a view of
   * it, or of memory that the event alone has.
   */
  read(data: Uint8Array, offset: number): FrameEvent {
    if (this.#error !== null) return this.#error;
    let at = offset;
    if (this.#state === IN_REFUSED) at = this.#skip(data, at);
    if (at >= data.length) return MORE;
    const event = this.#state === IN_PIECES
      ? this.#piece(data, at, at, false)
      : this.#state === IN_PREFACE
      ? this.#readPreface(data, at)
      : this.#heldLength === 0
      ? this.#readFrame(data, at)
      : this.#readHeld(data, at);
    if (event.type === "error") {
      this.#error = event;
      this.#takeHeld();
      return event;
    }
    this.#position += (event.type === "more" ? data.length : event.next) - at;
    return event;
  }

  /** Octet by octet, so that what is no HTTP/2 is known by the first octet that differs. */
  #readPreface(data: Uint8Array, offset: number): FrameEvent {
    let at = offset;
    while (at < data.length && this.#heldLength < CLIENT_PREFACE.length) {
      if (data[at++] === CLIENT_PREFACE[this.#heldLength++]) continue;
      return http2Error(
        "invalid_preface",
        this.#by,
        0,
        "the connection does not begin with the client preface PRI * HTTP/2.0",
        this.#heldLength - 1,
      );
    }
    if (this.#heldLength < CLIENT_PREFACE.length) return MORE;
    this.#heldLength = 0;
    this.#state = IN_HELD;
    const whole = at - offset === CLIENT_PREFACE.length;
    return { type: "preface", raw: whole ? data.subarray(offset, at) : CLIENT_PREFACE.slice(), next: at };
  }

  /** A frame of which nothing is held: most lie whole in a read and are never copied. */
  #readFrame(data: Uint8Array, at: number): FrameEvent {
    if (data.length - at < FRAME_HEADER_BYTES) return this.#hold(data, at);
    const header = readFrameHeader(data, at);
    const error = this.#check(header, this.#position);
    if (error !== null) return this.#refuse(error, header.length, at + FRAME_HEADER_BYTES);
    const wholeBytes = wholeBytesOf(header);
    const end = at + wholeBytes;
    this.#header = header;
    if (end > data.length) return this.#hold(data, at);
    if (isControlFrame(header.type)) return this.#control(header, data.subarray(at, end), end);
    return this.#begin(header, data, at, wholeBytes) ?? this.#piece(data, at, end, true);
  }

  /** A frame whose beginning came with an earlier read. */
  #readHeld(data: Uint8Array, offset: number): FrameEvent {
    let at = offset;
    if (this.#header === null) {
      at = this.#holdUpTo(FRAME_HEADER_BYTES, data, at);
      if (this.#heldLength < FRAME_HEADER_BYTES) return MORE;
      const header = readFrameHeader(this.#held, 0);
      const error = this.#check(header, this.#position + at - offset - FRAME_HEADER_BYTES);
      if (error !== null) {
        this.#takeHeld();
        return this.#refuse(error, header.length, at);
      }
      this.#header = header;
    }
    const header = this.#header;
    const wholeBytes = wholeBytesOf(header);
    at = this.#holdUpTo(wholeBytes, data, at);
    if (this.#heldLength < wholeBytes) return MORE;
    const bytes = this.#takeHeld();
    if (isControlFrame(header.type)) return this.#control(header, bytes, at);
    return this.#begin(header, bytes, 0, wholeBytes) ??
      { ...this.#piece(bytes, 0, wholeBytes, true), next: at };
  }

  /** What is wrong with a frame by its header; `position` is where it begins. */
  #check(header: FrameHeader, position: number): Http2Error | null {
    const { length, type, flags, streamId } = header;
    this.#frameAt = position;
    if (!this.#settingsSeen) {
      if (type !== FRAME_TYPES.settings || (flags & FLAG_ACK) !== 0) {
        return this.#refusal("missing_settings", header, "is the first frame; it must be SETTINGS");
      }
      this.#settingsSeen = true;
    }
    const order = this.#checkOrder(header, position);
    if (order !== null) return order;
    if (length > this.maxFrameSize) {
      return this.#refusal(
        "frame_too_large",
        header,
        `has a payload of ${length} octets; SETTINGS_MAX_FRAME_SIZE allows ${this.maxFrameSize}`,
      );
    }
    const error = checkFrameHeader(header, this.#by, position);
    if (error !== null) return error;
    if (length > this.#maxHeldBytes && isControlFrame(type)) {
      return this.#refusal(
        "frame_over_held_bytes",
        header,
        `has a payload of ${length} octets; at most ${this.#maxHeldBytes} are held`,
      );
    }
    const opensBlock = type === FRAME_TYPES.headers || type === FRAME_TYPES.push_promise;
    if (opensBlock || type === FRAME_TYPES.continuation) {
      this.#blockStreamId = (flags & FLAG_END_HEADERS) !== 0 ? 0 : streamId;
    }
    return null;
  }

  #refusal(code: Http2ErrorCode, { type, streamId }: FrameHeader, detail: string): Http2Error {
    return http2Error(code, this.#by, streamId, `${frameName(type)} ${detail}`, this.#frameAt);
  }

  /** The frames of a field block follow each other without any other between them (§4.3). */
  #checkOrder({ type, streamId }: FrameHeader, position: number): Http2Error | null {
    const expected = this.#blockStreamId;
    if (type === FRAME_TYPES.continuation ? streamId === expected && expected !== 0 : expected === 0) {
      return null;
    }
    const found = `${frameName(type)} on stream ${streamId}`;
    return expected === 0
      ? http2Error(
        streamId === 0 ? "missing_stream_id" : "unexpected_continuation",
        this.#by,
        streamId,
        `${found} follows no HEADERS or PUSH_PROMISE that it could continue`,
        position,
      )
      : http2Error(
        "expected_continuation",
        this.#by,
        streamId,
        `${found} stands in the field block of stream ${expected}; only its CONTINUATION may`,
        position,
      );
  }

  #refuse(error: Http2Error, payloadBytes: number, next: number): FrameEvent {
    if (error.scope === "connection") return error;
    this.#remaining = payloadBytes;
    this.#state = payloadBytes === 0 ? IN_HELD : IN_REFUSED;
    return { type: "stream_error", error, next };
  }

  #skip(data: Uint8Array, offset: number): number {
    const skipped = Math.min(this.#remaining, data.length - offset);
    this.#remaining -= skipped;
    this.#position += skipped;
    if (this.#remaining === 0) this.#state = IN_HELD;
    return offset + skipped;
  }

  #control(header: FrameHeader, raw: Uint8Array, next: number): FrameEvent {
    this.#header = null;
    const frame = readControlFrame(header, raw.subarray(FRAME_HEADER_BYTES), this.#by, this.#frameAt);
    return frame.type === "error" ? this.#refuse(frame, 0, next) : { type: "frame", frame, raw, next };
  }

  /** A frame that is handed on in pieces, from `at` in `bytes`, where its first `headBytes` are. */
  #begin(header: FrameHeader, bytes: Uint8Array, at: number, headBytes: number): Http2Error | null {
    const padLengthBytes = headBytes - FRAME_HEADER_BYTES;
    this.#remaining = header.length - padLengthBytes;
    this.#padding = padLengthBytes === 0 ? 0 : bytes[at + FRAME_HEADER_BYTES]!;
    if (this.#padding > this.#remaining) {
      return paddingTooLong(header, this.#padding, this.#by, this.#frameAt);
    }
    this.#state = IN_PIECES;
    return null;
  }

  /** What `bytes` has of the frame: `raw` from `rawFrom`, its payload after head and pad length from `from`. */
  #piece(bytes: Uint8Array, rawFrom: number, from: number, begins: boolean): FramePiece {
    const header = this.#header!;
    const taken = Math.min(this.#remaining, bytes.length - from);
    const contentBytes = Math.min(taken, Math.max(0, this.#remaining - this.#padding));
    const paddingBytes = this.#padding + (isPadded(header) ? 1 : 0);
    const next = from + taken;
    this.#remaining -= taken;
    const ends = this.#remaining === 0;
    if (ends) {
      this.#state = IN_HELD;
      this.#header = null;
    }
    return {
      type: "piece",
      header,
      paddingBytes,
      begins,
      ends,
      raw: bytes.subarray(rawFrom, next),
      content: bytes.subarray(from, from + contentBytes),
      next,
    };
  }

  /** Holds the rest of the data. */
  #hold(data: Uint8Array, at: number): FrameEvent {
    this.#holdUpTo(this.#heldLength + data.length - at, data, at);
    return MORE;
  }

  /** Holds from `at` on until `total` octets are held; gives the offset after what was taken. */
  #holdUpTo(total: number, data: Uint8Array, at: number): number {
    const end = Math.min(data.length, at + total - this.#heldLength);
    const length = this.#heldLength + end - at;
    if (this.#held.length < length) {
      const grown = new Uint8Array(Math.max(length, Math.min(2 * this.#held.length, total)));
      grown.set(this.#held.subarray(0, this.#heldLength));
      this.#held = grown;
    }
    this.#held.set(data.subarray(at, end), this.#heldLength);
    this.#heldLength = length;
    return end;
  }

  #takeHeld(): Uint8Array {
    const taken = this.#held.subarray(0, this.#heldLength);
    this.#held = NOTHING;
    this.#heldLength = 0;
    return taken;
  }
}

function isPadded({ type, flags }: FrameHeader): boolean {
  return type === FRAME_TYPES.data && (flags & FLAG_PADDED) !== 0;
}

/** How much must be there before anything of a frame means something. */
function wholeBytesOf(header: FrameHeader): number {
  if (isControlFrame(header.type)) return FRAME_HEADER_BYTES + header.length;
  return FRAME_HEADER_BYTES + (isPadded(header) ? 1 : 0);
}
