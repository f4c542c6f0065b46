/**
 * HTTP/2 frames (RFC 9113 §4.1 and §6) as values: their header, and what the payload of
 * each type says. Reserved bits and flags without a meaning are ignored; frames are forwarded as the
 * octets they came in, so nothing of that is lost.
 */
import type { Side } from "../core/side.ts";
import { type Http2Error, http2Error } from "./errors.ts";
import { latin1Bytes } from "../core/latin1.ts";
import { checkSetting, MAX_WINDOW_SIZE, type Setting } from "./settings.ts";

export const FRAME_TYPES = {
  data: 0x0,
  headers: 0x1,
  priority: 0x2,
  rst_stream: 0x3,
  settings: 0x4,
  push_promise: 0x5,
  ping: 0x6,
  goaway: 0x7,
  window_update: 0x8,
  continuation: 0x9,
} as const;

/** RFC 7838 §4: Alt-Svc as a frame. An extension, which is read as any other. */
export const ALTSVC_FRAME_TYPE = 0xa;

const FRAME_NAMES = Object.keys(FRAME_TYPES).map((name) => name.toUpperCase());

/** `HEADERS`, or `type 0x10` for types that RFC 9113 does not define (PRIORITY_UPDATE, ALTSVC, ORIGIN …). */
export function frameName(type: number): string {
  return FRAME_NAMES[type] ?? `type 0x${type.toString(16).padStart(2, "0")}`;
}

export const FLAG_END_STREAM = 0x1;
/** Of SETTINGS and PING. */
export const FLAG_ACK = 0x1;
export const FLAG_END_HEADERS = 0x4;
export const FLAG_PADDED = 0x8;
export const FLAG_PRIORITY = 0x20;

export const FRAME_HEADER_BYTES = 9;
export const MAX_STREAM_ID = 0x7fff_ffff;

/** What a client sends before its first frame (§3.4): `PRI * HTTP/2.0` and so on. */
export const CLIENT_PREFACE = latin1Bytes("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

export interface FrameHeader {
  readonly length: number;
  readonly type: number;
  readonly flags: number;
  /** Without the reserved bit. */
  readonly streamId: number;
}

/** The fields of §5.3.2; deprecated, and passed on. */
export interface Priority {
  readonly exclusive: boolean;
  readonly dependency: number;
  /** 1 to 256. */
  readonly weight: number;
}

export interface HeadersFrame {
  readonly type: "headers";
  readonly streamId: number;
  readonly endStream: boolean;
  readonly endHeaders: boolean;
  readonly priority: Priority | null;
  readonly fragment: Uint8Array;
}

export interface PushPromiseFrame {
  readonly type: "push_promise";
  readonly streamId: number;
  readonly endHeaders: boolean;
  readonly promisedStreamId: number;
  readonly fragment: Uint8Array;
}

export interface ContinuationFrame {
  readonly type: "continuation";
  readonly streamId: number;
  readonly endHeaders: boolean;
  readonly fragment: Uint8Array;
}

export interface PriorityFrame {
  readonly type: "priority";
  readonly streamId: number;
  readonly priority: Priority;
}

export interface RstStreamFrame {
  readonly type: "rst_stream";
  readonly streamId: number;
  /** As it came; `errorCodeName` names it. */
  readonly errorCode: number;
}

export interface SettingsFrame {
  readonly type: "settings";
  readonly ack: boolean;
  readonly settings: readonly Setting[];
}

export interface PingFrame {
  readonly type: "ping";
  readonly ack: boolean;
  readonly opaque: Uint8Array;
}

export interface GoawayFrame {
  readonly type: "goaway";
  readonly lastStreamId: number;
  readonly errorCode: number;
  readonly debugData: Uint8Array;
}

export interface WindowUpdateFrame {
  readonly type: "window_update";
  readonly streamId: number;
  readonly increment: number;
}

/** Every type but DATA, which is never held to be whole, and types that are unknown. */
export type ControlFrame =
  | HeadersFrame
  | PushPromiseFrame
  | ContinuationFrame
  | PriorityFrame
  | RstStreamFrame
  | SettingsFrame
  | PingFrame
  | GoawayFrame
  | WindowUpdateFrame;

export function isControlFrame(type: number): boolean {
  return type >= FRAME_TYPES.headers && type <= FRAME_TYPES.continuation;
}

/** `bytes` has nine octets at `at`. */
export function readFrameHeader(bytes: Uint8Array, at: number): FrameHeader {
  return {
    length: bytes[at]! << 16 | bytes[at + 1]! << 8 | bytes[at + 2]!,
    type: bytes[at + 3]!,
    flags: bytes[at + 4]!,
    streamId: readUint32(bytes, at + 5) & MAX_STREAM_ID,
  };
}

/** Payload lengths of the types that have only one (§6.3, §6.4, §6.7, §6.9). */
const FIXED_LENGTHS: readonly (number | undefined)[] = fixedLengths();

function fixedLengths(): (number | undefined)[] {
  const lengths: (number | undefined)[] = [];
  lengths[FRAME_TYPES.priority] = 5;
  lengths[FRAME_TYPES.rst_stream] = 4;
  lengths[FRAME_TYPES.ping] = 8;
  lengths[FRAME_TYPES.window_update] = 4;
  return lengths;
}

/**
 * What is wrong with a frame by its header alone: its stream, its length, a type that this side may
 * not send. Types that RFC 9113 does not define may be anything (§5.5).
 */
export function checkFrameHeader(header: FrameHeader, by: Side, offset: number): Http2Error | null {
  return checkStream(header, by, offset) ?? checkLength(header, by, offset);
}

function checkStream({ type, streamId }: FrameHeader, by: Side, offset: number): Http2Error | null {
  switch (type) {
    case FRAME_TYPES.settings:
    case FRAME_TYPES.ping:
    case FRAME_TYPES.goaway:
      if (streamId === 0) return null;
      return http2Error(
        "unexpected_stream_id",
        by,
        streamId,
        `${frameName(type)} is on stream ${streamId}; it concerns the connection, which is stream 0`,
        offset,
      );
    case FRAME_TYPES.push_promise:
      if (by === "server") break;
      return http2Error("push_from_client", by, streamId, "the client sent PUSH_PROMISE", offset);
    case FRAME_TYPES.data:
    case FRAME_TYPES.headers:
    case FRAME_TYPES.priority:
    case FRAME_TYPES.rst_stream:
    case FRAME_TYPES.continuation:
      break;
    default:
      return null;
  }
  if (streamId !== 0) return null;
  return http2Error(
    "missing_stream_id",
    by,
    0,
    `${frameName(type)} is on stream 0; it must name a stream`,
    offset,
  );
}

function checkLength(header: FrameHeader, by: Side, offset: number): Http2Error | null {
  const { length, type, flags } = header;
  const fixed = FIXED_LENGTHS[type];
  if (fixed !== undefined) return length === fixed ? null : wrongLength(header, `${fixed}`, by, offset);
  if (type === FRAME_TYPES.settings) {
    if ((flags & FLAG_ACK) === 0) {
      return length % 6 === 0 ? null : wrongLength(header, "6 for each setting", by, offset);
    }
    return length === 0 ? null : wrongLength(header, "none, as an acknowledgement", by, offset);
  }
  const least = leastLength(type, flags);
  return length >= least ? null : wrongLength(header, `${least} or more with its flags`, by, offset);
}

/** What must be in the payload of a type whose length may vary. */
function leastLength(type: number, flags: number): number {
  const padLengthBytes = (flags & FLAG_PADDED) !== 0 ? 1 : 0;
  switch (type) {
    case FRAME_TYPES.data:
      return padLengthBytes;
    case FRAME_TYPES.headers:
      return padLengthBytes + ((flags & FLAG_PRIORITY) !== 0 ? 5 : 0);
    case FRAME_TYPES.push_promise:
      return padLengthBytes + 4;
    case FRAME_TYPES.goaway:
      return 8;
    default:
      return 0;
  }
}

function wrongLength(
  { length, type, streamId }: FrameHeader,
  allowed: string,
  by: Side,
  offset: number,
): Http2Error {
  return http2Error(
    type === FRAME_TYPES.priority ? "invalid_priority_length" : "invalid_frame_length",
    by,
    streamId,
    `${frameName(type)} has a payload of ${length} octets; it must have ${allowed}`,
    offset,
  );
}

/**
 * Reads a frame whose header `checkFrameHeader` let pass. What it gives are views of `payload`.
 * `type` must be that of a control frame.
 */
export function readControlFrame(
  header: FrameHeader,
  payload: Uint8Array,
  by: Side,
  offset: number,
): ControlFrame | Http2Error {
  const { type, flags, streamId } = header;
  switch (type) {
    case FRAME_TYPES.headers: {
      const hasPriority = (flags & FLAG_PRIORITY) !== 0;
      const padded = (flags & FLAG_PADDED) !== 0;
      const at = padded ? 1 : 0;
      const fragment = withoutPadding(header, payload, at + (hasPriority ? 5 : 0), by, offset);
      if (!(fragment instanceof Uint8Array)) return fragment;
      return {
        type: "headers",
        streamId,
        endStream: (flags & FLAG_END_STREAM) !== 0,
        endHeaders: (flags & FLAG_END_HEADERS) !== 0,
        priority: hasPriority ? readPriority(payload, at) : null,
        fragment,
      };
    }
    case FRAME_TYPES.push_promise: {
      const at = (flags & FLAG_PADDED) !== 0 ? 1 : 0;
      const fragment = withoutPadding(header, payload, at + 4, by, offset);
      if (!(fragment instanceof Uint8Array)) return fragment;
      const promisedStreamId = readUint32(payload, at) & MAX_STREAM_ID;
      if (promisedStreamId === 0 || promisedStreamId % 2 === 1) {
        return http2Error(
          "invalid_promised_stream",
          by,
          streamId,
          `PUSH_PROMISE promises stream ${promisedStreamId}; streams of a server have even numbers from 2`,
          offset,
        );
      }
      return {
        type: "push_promise",
        streamId,
        endHeaders: (flags & FLAG_END_HEADERS) !== 0,
        promisedStreamId,
        fragment,
      };
    }
    case FRAME_TYPES.continuation:
      return {
        type: "continuation",
        streamId,
        endHeaders: (flags & FLAG_END_HEADERS) !== 0,
        fragment: payload,
      };
    case FRAME_TYPES.priority:
      return { type: "priority", streamId, priority: readPriority(payload, 0) };
    case FRAME_TYPES.rst_stream:
      return { type: "rst_stream", streamId, errorCode: readUint32(payload, 0) };
    case FRAME_TYPES.settings:
      return readSettings(header, payload, by, offset);
    case FRAME_TYPES.ping:
      return { type: "ping", ack: (flags & FLAG_ACK) !== 0, opaque: payload };
    case FRAME_TYPES.goaway:
      return {
        type: "goaway",
        lastStreamId: readUint32(payload, 0) & MAX_STREAM_ID,
        errorCode: readUint32(payload, 4),
        debugData: payload.subarray(8),
      };
    default: { // WINDOW_UPDATE, the one that is left
      const increment = readUint32(payload, 0) & MAX_WINDOW_SIZE;
      if (increment > 0) return { type: "window_update", streamId, increment };
      return http2Error(
        "zero_window_increment",
        by,
        streamId,
        `WINDOW_UPDATE on stream ${streamId} adds 0; it must add 1 or more`,
        offset,
      );
    }
  }
}

/** For a padded frame: what lies between the octets before `from` and the padding, which must fit (§6.1, §6.2, §6.6). */
function withoutPadding(
  header: FrameHeader,
  payload: Uint8Array,
  from: number,
  by: Side,
  offset: number,
): Uint8Array | Http2Error {
  if ((header.flags & FLAG_PADDED) === 0) return from === 0 ? payload : payload.subarray(from);
  const end = payload.length - payload[0]!;
  return end >= from ? payload.subarray(from, end) : paddingTooLong(header, payload[0]!, by, offset);
}

/** The error for padding that leaves no room for what the frame must hold. */
export function paddingTooLong(
  { length, type, streamId }: FrameHeader,
  padLength: number,
  by: Side,
  offset: number,
): Http2Error {
  return http2Error(
    "invalid_padding",
    by,
    streamId,
    `${frameName(type)} has ${padLength} octets of padding, more than fit in its payload of ${length}`,
    offset,
  );
}

function readPriority(bytes: Uint8Array, at: number): Priority {
  return {
    exclusive: (bytes[at]! & 0x80) !== 0,
    dependency: readUint32(bytes, at) & MAX_STREAM_ID,
    weight: bytes[at + 4]! + 1,
  };
}

function readSettings(
  { flags }: FrameHeader,
  payload: Uint8Array,
  by: Side,
  offset: number,
): SettingsFrame | Http2Error {
  const settings: Setting[] = [];
  for (let at = 0; at < payload.length; at += 6) {
    const identifier = payload[at]! << 8 | payload[at + 1]!;
    const value = readUint32(payload, at + 2);
    const error = checkSetting(identifier, value, by, offset);
    if (error !== null) return error;
    settings.push([identifier, value]);
  }
  return { type: "settings", ack: (flags & FLAG_ACK) !== 0, settings };
}

function readUint32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 24 | bytes[at + 1]! << 16 | bytes[at + 2]! << 8 | bytes[at + 3]!) >>> 0;
}
