/**
 * HTTP/2 frames as the simulator's peers write and cut them (RFC 9113 §4.1), apart from `src/http2`, so that each
 * is a check of the other.
 */
import { join, latin1 } from "./bytes.ts";

export const TYPE = {
  data: 0,
  headers: 1,
  priority: 2,
  rst_stream: 3,
  settings: 4,
  push_promise: 5,
  ping: 6,
  goaway: 7,
  window_update: 8,
  continuation: 9,
} as const;

export const END_STREAM = 0x1;
export const ACK = 0x1;
export const END_HEADERS = 0x4;
export const PADDED = 0x8;
export const PRIORITY = 0x20;

export const SETTING = {
  header_table_size: 1,
  enable_push: 2,
  max_concurrent_streams: 3,
  initial_window_size: 4,
  max_frame_size: 5,
  max_header_list_size: 6,
  enable_connect_protocol: 8,
} as const;

export const CODE = {
  no_error: 0,
  protocol_error: 1,
  flow_control_error: 3,
  stream_closed: 5,
  frame_size_error: 6,
  refused_stream: 7,
  cancel: 8,
  compression_error: 9,
  enhance_your_calm: 11,
} as const;

export const PREFACE = latin1("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

export const HEADER_BYTES = 9;

export function frame(
  type: number,
  flags: number,
  streamId: number,
  payload: Uint8Array | readonly number[] = [],
): Uint8Array {
  const { length } = payload;
  const bytes = new Uint8Array(HEADER_BYTES + length);
  bytes.set([length >>> 16 & 255, length >>> 8 & 255, length & 255, type, flags, ...uint32(streamId)]);
  bytes.set(payload, HEADER_BYTES);
  return bytes;
}

export function settingsFrame(settings: readonly (readonly [id: number, value: number])[]): Uint8Array {
  return frame(TYPE.settings, 0, 0, settings.flatMap(([id, value]) => [id >> 8, id & 255, ...uint32(value)]));
}

export function goaway(lastStreamId: number, code: number, debug = ""): Uint8Array {
  return frame(TYPE.goaway, 0, 0, [...uint32(lastStreamId), ...uint32(code), ...latin1(debug)]);
}

export function rstStream(streamId: number, code: number): Uint8Array {
  return frame(TYPE.rst_stream, 0, streamId, uint32(code));
}

export function windowUpdate(streamId: number, increment: number): Uint8Array {
  return frame(TYPE.window_update, 0, streamId, uint32(increment));
}

/** `content` behind its pad length and before so much padding. */
export function padded(content: Uint8Array, padding: number): Uint8Array {
  return join(Uint8Array.of(padding), content, new Uint8Array(padding));
}

export function uint32(value: number): number[] {
  return [value >>> 24 & 255, value >>> 16 & 255, value >>> 8 & 255, value & 255];
}

export function readUint32(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(at);
}

export interface RawFrame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Uint8Array;
  /** With its header. */
  readonly bytes: Uint8Array;
}

/** Cuts octets into frames, whole ones only. */
export class FrameCutter {
  #rest: Uint8Array = new Uint8Array(0);

  /** Octets of a frame that is not whole. */
  get rest(): Uint8Array {
    return this.#rest;
  }

  push(data: Uint8Array): RawFrame[] {
    const bytes = this.#rest.length === 0 ? data : join(this.#rest, data);
    const frames: RawFrame[] = [];
    let at = 0;
    while (bytes.length - at >= HEADER_BYTES) {
      const length = bytes[at]! << 16 | bytes[at + 1]! << 8 | bytes[at + 2]!;
      const end = at + HEADER_BYTES + length;
      if (end > bytes.length) break;
      frames.push({
        type: bytes[at + 3]!,
        flags: bytes[at + 4]!,
        streamId: readUint32(bytes, at + 5) & 0x7fff_ffff,
        payload: bytes.subarray(at + HEADER_BYTES, end),
        bytes: bytes.subarray(at, end),
      });
      at = end;
    }
    this.#rest = bytes.slice(at);
    return frames;
  }
}

/** What a padded frame holds besides; null where the padding does not fit. */
export function unpadded({ flags, payload }: RawFrame): Uint8Array | null {
  if ((flags & PADDED) === 0) return payload;
  const end = payload.length - payload[0]!;
  return payload.length > 0 && end >= 1 ? payload.subarray(1, end) : null;
}

/** The part of a block that a frame holds; null where it holds none or is broken. */
export function fragmentOf(frame: RawFrame): Uint8Array | null {
  if (frame.type === TYPE.continuation) return frame.payload;
  const content = unpadded(frame);
  if (frame.type === TYPE.push_promise) return content?.subarray(4) ?? null;
  if (frame.type !== TYPE.headers) return null;
  return (frame.flags & PRIORITY) === 0 ? content : content?.subarray(5) ?? null;
}
