/**
 * What has come out of a brotli stream, as far back as references may go. It grows with the content up to the
 * window's size, so that a small message needs little whatever window it asks for.
 */
const FIRST_BYTES = 16 * 1024;
/** What is pending is given once it is so much, so that nothing is decoded far ahead of a limit. */
const PENDING_BYTES_MAX = 16 * 1024;

/** A call costs more than copying so few octets. */
const COPIED_ONE_BY_ONE = 32;

/** Gives false where no more is wanted. */
export type Deliver = (output: Uint8Array) => boolean;

export class History {
  /** Octets in all. */
  length = 0;
  readonly #size: number;
  #octets: Uint8Array;
  #at = 0;
  #flushed = 0;

  constructor(windowBits: number) {
    this.#size = 2 ** windowBits;
    this.#octets = new Uint8Array(Math.min(FIRST_BYTES, this.#size));
  }

  /** The octet so far back from the end, 1 for the last; 0 before the beginning. */
  back(distance: number): number {
    return distance > this.length ? 0 : this.#octets[(this.#at - distance) & (this.#octets.length - 1)]!;
  }

  /** False where no more is wanted; as below. */
  push(octet: number, deliver: Deliver): boolean {
    this.#octets[this.#at++] = octet;
    this.length++;
    return this.#at - this.#flushed < PENDING_BYTES_MAX && this.#at < this.#octets.length
      ? true
      : this.flush(deliver);
  }

  write(octets: Uint8Array, deliver: Deliver): boolean {
    for (const octet of octets) {
      if (!this.push(octet, deliver)) return false;
    }
    return true;
  }

  /** Repeats what is so far back, which may be what is being written. */
  copy(distance: number, count: number, deliver: Deliver): boolean {
    for (let left = count; left > 0;) {
      const octets = this.#octets;
      const at = this.#at;
      const from = (at - distance) & (octets.length - 1);
      const pending = PENDING_BYTES_MAX - (at - this.#flushed);
      const part = Math.min(left, pending, octets.length - Math.max(at, from));
      if (distance >= part && part > COPIED_ONE_BY_ONE) octets.copyWithin(at, from, from + part);
      else for (let index = 0; index < part; index++) octets[at + index] = octets[from + index]!;
      this.#at += part;
      this.length += part;
      left -= part;
      if ((part === pending || this.#at === octets.length) && !this.flush(deliver)) return false;
    }
    return true;
  }

  /** Gives what has come since the last time. */
  flush(deliver: Deliver): boolean {
    const goesOn = this.#at === this.#flushed || deliver(this.#octets.subarray(this.#flushed, this.#at));
    this.#flushed = this.#at;
    if (this.#at === this.#octets.length) this.#turn();
    return goesOn;
  }

  /** Its end is reached: it grows, or goes round. */
  #turn(): void {
    if (this.#octets.length < this.#size) {
      const grown = new Uint8Array(2 * this.#octets.length);
      grown.set(this.#octets);
      this.#octets = grown;
    } else {
      this.#at = 0;
      this.#flushed = 0;
    }
  }
}
