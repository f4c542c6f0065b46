/** The input of a brotli stream, bit by bit (RFC 7932 §1.5.1). What is not there yet is `MISSING`, and stays unread. */
import type { PrefixCode } from "./prefix_code.ts";

export const MISSING = -1;
/** The most that can be read at once. */
export const READ_BITS_MAX = 24;

export class Bits {
  #input: Uint8Array = new Uint8Array(0);
  #at = 0;
  /** Bits that were taken from the input and not yet read, the next one lowest; never more than 31. */
  #held = 0;
  #heldBits = 0;

  /** More input; what was given before has been taken. */
  give(input: Uint8Array): void {
    this.#input = input;
    this.#at = 0;
  }

  read(count: number): number {
    while (this.#heldBits < count) {
      if (!this.#take()) return MISSING;
    }
    const value = this.#held & ((1 << count) - 1);
    this.#held >>>= count;
    this.#heldBits -= count;
    return value;
  }

  /** The next symbol of this code. No more bits are asked for than it has. */
  symbol(code: PrefixCode): number {
    while (this.#heldBits < 15 && this.#take());
    const found = code.find(this.#held, this.#heldBits);
    if (found === MISSING) return MISSING;
    const length = found & 0xf;
    this.#held >>>= length;
    this.#heldBits -= length;
    return found >>> 4;
  }

  /** Bits up to the next whole octet; they have to be zero (RFC 7932 §9.2). */
  align(): number {
    return this.read(this.#heldBits % 8);
  }

  /** At most so many whole octets, after `align`; none where there are none. Valid until more input is given. */
  octets(count: number): Uint8Array {
    if (this.#heldBits > 0) return Uint8Array.of(this.read(8));
    const start = this.#at;
    this.#at = Math.min(this.#input.length, start + count);
    return this.#input.subarray(start, this.#at);
  }

  /** Nothing is left of what was given. */
  get isEmpty(): boolean {
    return this.#heldBits === 0 && this.#at === this.#input.length;
  }

  #take(): boolean {
    if (this.#at === this.#input.length) return false;
    this.#held |= this.#input[this.#at++]! << this.#heldBits;
    this.#heldBits += 8;
    return true;
  }
}
