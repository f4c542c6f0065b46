/**
 * The few frames that the proxy makes itself (RFC 9113 §6): answers to errors, responses of its own,
 * and field blocks that can no longer be forwarded as they came. Numbers are the caller's to keep
 * in range.
 */
import { type ErrorCodeName, errorCodeNumber } from "./errors.ts";
import {
  FLAG_ACK,
  FLAG_END_HEADERS,
  FLAG_END_STREAM,
  FLAG_PRIORITY,
  FRAME_HEADER_BYTES,
  FRAME_TYPES,
  type Priority,
} from "./frames.ts";
import { writeLatin1 } from "../core/latin1.ts";
import { MIN_MAX_FRAME_SIZE, type Setting } from "./settings.ts";

export function encodeRstStream(streamId: number, errorCode: ErrorCodeName): Uint8Array {
  const frame = newFrame(FRAME_TYPES.rst_stream, 0, streamId, 4);
  writeUint32(errorCodeNumber(errorCode), frame, FRAME_HEADER_BYTES);
  return frame;
}

/** `debugText` is ASCII, for a person who reads a trace. */
export function encodeGoaway(lastStreamId: number, errorCode: ErrorCodeName, debugText = ""): Uint8Array {
  const frame = newFrame(FRAME_TYPES.goaway, 0, 0, 8 + debugText.length);
  writeUint32(lastStreamId, frame, FRAME_HEADER_BYTES);
  writeUint32(errorCodeNumber(errorCode), frame, FRAME_HEADER_BYTES + 4);
  writeLatin1(debugText, frame, FRAME_HEADER_BYTES + 8);
  return frame;
}

/** A whole GOAWAY as it came, but for the stream it names. */
export function encodeGoawayAgain(raw: Uint8Array, lastStreamId: number): Uint8Array {
  const frame = raw.slice();
  writeUint32(lastStreamId, frame, FRAME_HEADER_BYTES);
  return frame;
}

export function encodeSettings(settings: readonly Setting[]): Uint8Array {
  const frame = newFrame(FRAME_TYPES.settings, 0, 0, 6 * settings.length);
  settings.forEach(([identifier, value], index) => {
    const at = FRAME_HEADER_BYTES + 6 * index;
    frame[at] = identifier >> 8;
    frame[at + 1] = identifier;
    writeUint32(value, frame, at + 2);
  });
  return frame;
}

export function encodeSettingsAck(): Uint8Array {
  return newFrame(FRAME_TYPES.settings, FLAG_ACK, 0, 0);
}

/** The answer to a PING with these eight octets. */
export function encodePingAck(opaque: Uint8Array): Uint8Array {
  const frame = newFrame(FRAME_TYPES.ping, FLAG_ACK, 0, 8);
  frame.set(opaque, FRAME_HEADER_BYTES);
  return frame;
}

export function encodeWindowUpdate(streamId: number, increment: number): Uint8Array {
  const frame = newFrame(FRAME_TYPES.window_update, 0, streamId, 4);
  writeUint32(increment, frame, FRAME_HEADER_BYTES);
  return frame;
}

/** DATA in as many frames as `maxFrameSize` asks for; the last one ends the stream if `endStream`. */
export function encodeData(
  streamId: number,
  data: Uint8Array,
  endStream: boolean,
  maxFrameSize = MIN_MAX_FRAME_SIZE,
): Uint8Array {
  return cutIntoFrames(data, 0, maxFrameSize, (_first, last) => ({
    type: FRAME_TYPES.data,
    flags: last && endStream ? FLAG_END_STREAM : 0,
    streamId,
    prefix: NOTHING,
  }));
}

export interface HeadersOptions {
  readonly endStream: boolean;
  /** Passed on from the frame that this one replaces. */
  readonly priority?: Priority | null;
  readonly maxFrameSize?: number;
}

/** A field block as HEADERS and as many CONTINUATION as it needs. */
export function encodeHeaders(streamId: number, block: Uint8Array, options: HeadersOptions): Uint8Array {
  const { endStream, priority = null, maxFrameSize = MIN_MAX_FRAME_SIZE } = options;
  const flags = (endStream ? FLAG_END_STREAM : 0) | (priority === null ? 0 : FLAG_PRIORITY);
  return encodeBlock(FRAME_TYPES.headers, flags, streamId, priorityOctets(priority), block, maxFrameSize);
}

/** A field block as PUSH_PROMISE and as many CONTINUATION as it needs. */
export function encodePushPromise(
  streamId: number,
  promisedStreamId: number,
  block: Uint8Array,
  maxFrameSize = MIN_MAX_FRAME_SIZE,
): Uint8Array {
  const prefix = new Uint8Array(4);
  writeUint32(promisedStreamId, prefix, 0);
  return encodeBlock(FRAME_TYPES.push_promise, 0, streamId, prefix, block, maxFrameSize);
}

const NOTHING = new Uint8Array(0);

function priorityOctets(priority: Priority | null): Uint8Array {
  if (priority === null) return NOTHING;
  const octets = new Uint8Array(5);
  writeUint32(priority.dependency, octets, 0);
  if (priority.exclusive) octets[0]! |= 0x80;
  octets[4] = priority.weight - 1;
  return octets;
}

function encodeBlock(
  type: number,
  flags: number,
  streamId: number,
  prefix: Uint8Array,
  block: Uint8Array,
  maxFrameSize: number,
): Uint8Array {
  return cutIntoFrames(block, prefix.length, maxFrameSize, (first, last) => ({
    type: first ? type : FRAME_TYPES.continuation,
    flags: (first ? flags : 0) | (last ? FLAG_END_HEADERS : 0),
    streamId,
    prefix: first ? prefix : NOTHING,
  }));
}

interface FrameStart {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly prefix: Uint8Array;
}

/** At least one frame; `prefixBytes` stand before the data in the first. */
function cutIntoFrames(
  data: Uint8Array,
  prefixBytes: number,
  maxFrameSize: number,
  start: (first: boolean, last: boolean) => FrameStart,
): Uint8Array {
  const total = prefixBytes + data.length;
  const count = Math.max(1, Math.ceil(total / maxFrameSize));
  const frames = new Uint8Array(total + count * FRAME_HEADER_BYTES);
  let from = 0;
  let at = 0;
  for (let index = 0; index < count; index++) {
    const { type, flags, streamId, prefix } = start(index === 0, index === count - 1);
    const part = data.subarray(from, from + maxFrameSize - prefix.length);
    from += part.length;
    writeFrameHeader(prefix.length + part.length, type, flags, streamId, frames, at);
    frames.set(prefix, at + FRAME_HEADER_BYTES);
    frames.set(part, at + FRAME_HEADER_BYTES + prefix.length);
    at += FRAME_HEADER_BYTES + prefix.length + part.length;
  }
  return frames;
}

function newFrame(type: number, flags: number, streamId: number, length: number): Uint8Array {
  const frame = new Uint8Array(FRAME_HEADER_BYTES + length);
  writeFrameHeader(length, type, flags, streamId, frame, 0);
  return frame;
}

function writeFrameHeader(
  length: number,
  type: number,
  flags: number,
  streamId: number,
  bytes: Uint8Array,
  at: number,
): void {
  bytes[at] = length >> 16;
  bytes[at + 1] = length >> 8;
  bytes[at + 2] = length;
  bytes[at + 3] = type;
  bytes[at + 4] = flags;
  writeUint32(streamId, bytes, at + 5);
}

function writeUint32(value: number, bytes: Uint8Array, at: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}
