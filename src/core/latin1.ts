/**
 * Octets as latin-1 strings and back: character code n is octet n. Fields are mostly short, and
 * for those the platform's slice is several times faster than `TextDecoder` or `fromCharCode`.
 */
import { Buffer } from "node:buffer";

/** Not in the documented API, but what `toString("latin1")` calls, without its detour. */
interface Latin1Methods {
  latin1Slice(this: Uint8Array, from: number, to: number): string;
  latin1Write(this: Uint8Array, text: string, at: number, length: number): number;
}

const { latin1Slice, latin1Write } = Buffer.prototype as unknown as Latin1Methods;

export function readLatin1(bytes: Uint8Array, from: number, to: number): string {
  return from === to ? "" : latin1Slice.call(bytes, from, to);
}

/** Writes `text`, whose characters are octets, into `bytes`, which has the room. */
export function writeLatin1(text: string, bytes: Uint8Array, at: number): void {
  if (text !== "") latin1Write.call(bytes, text, at, text.length);
}

/** The octets of `text`. */
export function latin1Bytes(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  writeLatin1(text, bytes, 0);
  return bytes;
}
