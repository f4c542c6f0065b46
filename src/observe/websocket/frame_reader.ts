/**
 * Frames of RFC 6455 §5.2, read at any boundary. Keeps a header's octets and nothing of a payload: that is
 * given out in pieces, unmasked, as far as it is wanted. It says what a frame is; whether it may be so is
 * its reader's to judge, but for a length that is none.
 */

export const OPCODES = {
  continuation: 0x0,
  text: 0x1,
  binary: 0x2,
  close: 0x8,
  ping: 0x9,
  pong: 0xa,
} as const;

/** RSV1 to RSV3 as they stand in a header's first octet. */
export const RSV1 = 0x40;

export interface FrameHeader {
  readonly fin: boolean;
  /** The reserved bits, in their places: RSV1 is 0x40. */
  readonly reserved: number;
  readonly opcode: number;
  readonly masked: boolean;
  /** In octets. Beyond 2^53 not exact, which no payload lives to show. */
  readonly payloadBytes: number;
  /** The length is written in the shortest way. */
  readonly minimal: boolean;
}

export interface FrameSink {
  /** A frame begins. Gives how many octets of its payload are wanted; the others are only counted. */
  begin(header: FrameHeader): number;
  /** So many octets of the payload have come, wanted or not. */
  passed(bytes: number): void;
  /** Wanted payload, unmasked, valid during the call only. */
  payload(bytes: Uint8Array): void;
  end(): void;
  /** A 64-bit length with its most significant bit set. Nothing is read any more. */
  outOfRange(): void;
}

const HEADER_BYTES_MAX = 14;
const FIN = 0x80;
const MASKED = 0x80;
const RESERVED = 0x70;
const LENGTH_16 = 126;
const LENGTH_64 = 127;
const TWO_TO_32 = 2 ** 32;

/** What is unmasked goes through here: sessions are synchronous, so one serves them all. */
const UNMASKED = new Uint8Array(16 * 1024);

export class FrameReader {
  readonly #header = new Uint8Array(HEADER_BYTES_MAX);
  #headerBytes = 0;
  /** Of the header under way: 2 until its second octet tells. */
  #headerBytesNeeded = 2;
  #inPayload = false;
  #masked = false;
  #payloadLeft = 0;
  #payloadRead = 0;
  #wanted = 0;
  #stopped = false;

  /** Reads no more. */
  stop(): void {
    this.#stopped = true;
  }

  push(data: Uint8Array, sink: FrameSink): void {
    for (let at = 0; at < data.length && !this.#stopped;) {
      at = this.#inPayload ? this.#readPayload(data, at, sink) : this.#readHeader(data, at, sink);
    }
  }

  #readHeader(data: Uint8Array, start: number, sink: FrameSink): number {
    const header = this.#header;
    let at = start;
    while (at < data.length) {
      header[this.#headerBytes++] = data[at++]!;
      if (this.#headerBytes === 2) {
        const length = header[1]! & 0x7f;
        this.#headerBytesNeeded = 2 + (length === LENGTH_16 ? 2 : length === LENGTH_64 ? 8 : 0) +
          ((header[1]! & MASKED) === 0 ? 0 : 4);
      }
      if (this.#headerBytes < this.#headerBytesNeeded) continue;
      this.#headerBytes = 0;
      this.#headerBytesNeeded = 2;
      this.#begin(sink);
      break;
    }
    return at;
  }

  #begin(sink: FrameSink): void {
    const first = this.#header[0]!;
    const second = this.#header[1]!;
    const length = this.#length(second & 0x7f);
    if (length === null) {
      this.#stopped = true;
      sink.outOfRange();
      return;
    }
    this.#masked = (second & MASKED) !== 0;
    this.#payloadLeft = length;
    this.#payloadRead = 0;
    this.#wanted = sink.begin({
      fin: (first & FIN) !== 0,
      reserved: first & RESERVED,
      opcode: first & 0x0f,
      masked: this.#masked,
      payloadBytes: length,
      minimal: (second & 0x7f) < LENGTH_16 || length >= ((second & 0x7f) === LENGTH_16 ? LENGTH_16 : 0x10000),
    });
    if (this.#stopped) return;
    this.#inPayload = length > 0;
    if (length === 0) sink.end();
  }

  #length(short: number): number | null {
    const header = this.#header;
    if (short < LENGTH_16) return short;
    if (short === LENGTH_16) return header[2]! * 256 + header[3]!;
    if (header[2]! >= 0x80) return null;
    let high = 0;
    for (let index = 2; index < 6; index++) high = high * 256 + header[index]!;
    let low = 0;
    for (let index = 6; index < 10; index++) low = low * 256 + header[index]!;
    return high * TWO_TO_32 + low;
  }

  #readPayload(data: Uint8Array, start: number, sink: FrameSink): number {
    const end = Math.min(data.length, start + this.#payloadLeft);
    sink.passed(end - start);
    this.#payloadLeft -= end - start;
    if (this.#wanted > 0) this.#deliver(data, start, Math.min(end, start + this.#wanted), sink);
    this.#payloadRead += end - start;
    if (this.#payloadLeft === 0 && !this.#stopped) {
      this.#inPayload = false;
      sink.end();
    }
    return end;
  }

  #deliver(data: Uint8Array, start: number, end: number, sink: FrameSink): void {
    this.#wanted -= end - start;
    if (!this.#masked) {
      sink.payload(data.subarray(start, end));
      return;
    }
    let read = this.#payloadRead;
    for (let at = start; at < end && !this.#stopped;) {
      const bytes = Math.min(UNMASKED.length, end - at);
      this.#unmask(data, at, bytes, read);
      sink.payload(UNMASKED.subarray(0, bytes));
      at += bytes;
      read += bytes;
    }
  }

  /** §5.3: octet i of a payload is masked with octet i mod 4 of the key, which ends the header. */
  #unmask(data: Uint8Array, start: number, bytes: number, offset: number): void {
    const header = this.#header;
    const length = header[1]! & 0x7f;
    const key = 2 + (length === LENGTH_16 ? 2 : length === LENGTH_64 ? 8 : 0);
    const key0 = header[key + offset % 4]!;
    const key1 = header[key + (offset + 1) % 4]!;
    const key2 = header[key + (offset + 2) % 4]!;
    const key3 = header[key + (offset + 3) % 4]!;
    let index = 0;
    for (; index + 4 <= bytes; index += 4) {
      UNMASKED[index] = data[start + index]! ^ key0;
      UNMASKED[index + 1] = data[start + index + 1]! ^ key1;
      UNMASKED[index + 2] = data[start + index + 2]! ^ key2;
      UNMASKED[index + 3] = data[start + index + 3]! ^ key3;
    }
    if (index < bytes) UNMASKED[index] = data[start + index]! ^ key0;
    if (index + 1 < bytes) UNMASKED[index + 1] = data[start + index + 1]! ^ key1;
    if (index + 2 < bytes) UNMASKED[index + 2] = data[start + index + 2]! ^ key2;
  }
}
