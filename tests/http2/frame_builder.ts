/** Frames of every kind for tests, valid or not, written apart from what `src/http2` writes. */
import { joinBytes } from "../../src/core/bytes.ts";
import { latin1 } from "../support/golden.ts";

export const T = {
  DATA: 0,
  HEADERS: 1,
  PRIORITY: 2,
  RST_STREAM: 3,
  SETTINGS: 4,
  PUSH_PROMISE: 5,
  PING: 6,
  GOAWAY: 7,
  WINDOW_UPDATE: 8,
  CONTINUATION: 9,
} as const;

export const PREFACE = latin1("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/** `length` other than the payload's makes a lie. `streamId` may have the reserved bit set. */
export function frame(
  type: number,
  flags: number,
  streamId: number,
  payload: Uint8Array | readonly number[] = [],
  length = payload.length,
): Uint8Array {
  return Uint8Array.from([
    length >>> 16 & 255,
    length >>> 8 & 255,
    length & 255,
    type,
    flags,
    ...uint32(streamId),
    ...payload,
  ]);
}

export function uint32(value: number): number[] {
  return [value >>> 24 & 255, value >>> 16 & 255, value >>> 8 & 255, value & 255];
}

/** `content` between a pad length and so many octets of padding, which need not be zeros. */
export function padded(content: Uint8Array | readonly number[], padLength: number): number[] {
  return [padLength, ...content, ...new Array<number>(padLength).fill(0xaa)];
}

export const EMPTY_SETTINGS = frame(T.SETTINGS, 0, 0);

export function join(...parts: readonly Uint8Array[]): Uint8Array {
  return joinBytes(parts);
}

/** What a side sends before the frames a test is about. */
export function opening(by: "client" | "server"): Uint8Array {
  return by === "client" ? join(PREFACE, EMPTY_SETTINGS) : EMPTY_SETTINGS;
}
