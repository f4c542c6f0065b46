/**
 * Capsules (RFC 9297 §3.2) as far as datagrams need them: a type and a length, each a variable-length integer of
 * RFC 9000 §16, and that many octets. DATAGRAM capsules come out whole, as views where they lie in one read; any
 * other type is skipped as it arrives, however long it says it is, so nothing but one datagram is ever kept.
 */

/** RFC 9297 §3.5. */
export const DATAGRAM_CAPSULE = 0;

export interface CapsuleSink {
  /** The content of a DATAGRAM capsule; valid during the call only. */
  datagram(content: Uint8Array): void;
  /** A capsule of another type has begun. */
  skipped(type: number): void;
}

/** The longest header: two integers of eight octets. */
const HEADER_BYTES_MAX = 16;
const NOTHING = new Uint8Array(0);

export class CapsuleReader {
  readonly #header = new Uint8Array(HEADER_BYTES_MAX);
  #headerBytes = 0;
  /** The datagram that is not whole yet; null between capsules and while one is skipped. */
  #datagram: Uint8Array | null = null;
  #datagramBytes = 0;
  /** Octets of the capsule that is being skipped. */
  #toSkip = 0;

  constructor(private readonly sink: CapsuleSink, private readonly maxDatagramBytes: number) {}

  get heldBytes(): number {
    return this.#headerBytes + (this.#datagram?.length ?? 0);
  }

  /** A capsule has begun and is not over: an end here truncates it. */
  get isWithin(): boolean {
    return this.#headerBytes > 0 || this.#datagram !== null || this.#toSkip > 0;
  }

  /** Gives what is wrong, after which nothing more is to be pushed. */
  push(data: Uint8Array): string | null {
    let at = 0;
    while (at < data.length) {
      if (this.#toSkip > 0) {
        const skipped = Math.min(this.#toSkip, data.length - at);
        this.#toSkip -= skipped;
        at += skipped;
      } else if (this.#datagram !== null) at = this.#fill(this.#datagram, data, at);
      else {
        const octet = data[at++]!;
        this.#header[this.#headerBytes++] = octet;
        const header = headerOf(this.#header.subarray(0, this.#headerBytes));
        if (header === null) continue;
        this.#headerBytes = 0;
        const fault = this.#begin(header);
        if (fault !== null) return fault;
        if (this.#datagram !== null && data.length - at >= header.length) {
          // The whole of it is in this read.
          this.#datagram = null;
          this.sink.datagram(data.subarray(at, at + header.length));
          at += header.length;
        }
      }
    }
    return null;
  }

  #begin({ type, length }: CapsuleHeader): string | null {
    if (type !== DATAGRAM_CAPSULE) {
      if (!Number.isSafeInteger(length)) return `a capsule of ${length} octets has no end`;
      this.sink.skipped(type);
      this.#toSkip = length;
    } else if (length > this.maxDatagramBytes) {
      return `a datagram of ${length} octets; the most is ${this.maxDatagramBytes}`;
    } else {
      // Memory comes with the octets, not with the announcement.
      this.#datagram = NOTHING;
      this.#datagramBytes = length;
      if (length === 0) this.#done(NOTHING);
    }
    return null;
  }

  #fill(datagram: Uint8Array, data: Uint8Array, at: number): number {
    let into = datagram;
    if (into.length === 0) {
      into = this.#datagram = new Uint8Array(this.#datagramBytes);
      this.#filled = 0;
    }
    const part = data.subarray(at, at + into.length - this.#filled);
    into.set(part, this.#filled);
    this.#filled += part.length;
    if (this.#filled === into.length) this.#done(into);
    return at + part.length;
  }

  #filled = 0;

  #done(datagram: Uint8Array): void {
    this.#datagram = null;
    this.sink.datagram(datagram);
  }
}

interface CapsuleHeader {
  readonly type: number;
  readonly length: number;
}

/** Null until it is whole. */
function headerOf(octets: Uint8Array): CapsuleHeader | null {
  const type = readVarint(octets, 0);
  if (type === null) return null;
  const length = readVarint(octets, type.next);
  return length === null ? null : { type: type.value, length: length.value };
}

/** A variable-length integer; null where it is not all there. Beyond 2^53 its value is not exact. */
export function readVarint(octets: Uint8Array, at: number): { value: number; next: number } | null {
  const first = octets[at];
  if (first === undefined) return null;
  const next = at + (1 << (first >> 6));
  if (octets.length < next) return null;
  let value = first & 0x3f;
  for (let index = at + 1; index < next; index++) value = value * 256 + octets[index]!;
  return { value, next };
}

/** In the shortest form; `value` is below 2^30. */
export function writeVarint(value: number): Uint8Array {
  if (value < 0x40) return Uint8Array.of(value);
  if (value < 0x4000) return Uint8Array.of(0x40 | value >> 8, value & 0xff);
  return Uint8Array.of(0x80 | value >> 24, value >> 16 & 0xff, value >> 8 & 0xff, value & 0xff);
}
