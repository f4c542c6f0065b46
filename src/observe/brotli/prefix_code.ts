/** A prefix code of brotli (RFC 7932 §3.2), made of the lengths of its symbols' codes. */
import { MISSING } from "./bits.ts";

const LENGTH_MAX = 15;
/** Codes of up to so many bits are found at once. */
const TABLE_BITS = 8;

export class PrefixCode {
  /** By the next bits: the symbol shifted by 4, and its length; 0 where its code is longer. */
  readonly #table = new Uint16Array(1 << TABLE_BITS);
  /** How many codes there are of each length, and their symbols in order. */
  readonly #counts = new Uint16Array(LENGTH_MAX + 1);
  readonly #symbols: Uint16Array;
  /** The symbol of a code that needs no bits. */
  #only = MISSING;

  /** The lengths have to make a complete code, or name one symbol alone. */
  constructor(lengths: Uint8Array) {
    let used = 0;
    for (const length of lengths) {
      if (length === 0) continue;
      this.#counts[length]!++;
      used++;
    }
    const next = new Uint16Array(LENGTH_MAX + 2);
    for (let length = 1; length <= LENGTH_MAX; length++) {
      next[length + 1] = next[length]! + this.#counts[length]!;
    }
    this.#symbols = new Uint16Array(used);
    for (let symbol = 0; symbol < lengths.length; symbol++) {
      const length = lengths[symbol]!;
      if (length > 0) this.#symbols[next[length]!++] = symbol;
    }
    if (used === 1) this.#only = this.#symbols[0]!;
    else this.#fillTable();
  }

  /** The symbol shifted by 4 and the length of its code, where `count` bits are enough for it. */
  find(bits: number, count: number): number {
    if (this.#only !== MISSING) return this.#only << 4;
    const entry = this.#table[bits & ((1 << TABLE_BITS) - 1)]!;
    if (entry !== 0) return (entry & 0xf) <= count ? entry : MISSING;
    let [code, first, index] = [0, 0, 0];
    for (let length = 1; length <= LENGTH_MAX && length <= count; length++) {
      code |= (bits >>> (length - 1)) & 1;
      const codes = this.#counts[length]!;
      if (code - codes < first) return this.#symbols[index + code - first]! << 4 | length;
      index += codes;
      first = (first + codes) << 1;
      code <<= 1;
    }
    return MISSING;
  }

  #fillTable(): void {
    let [code, index] = [0, 0];
    for (let length = 1; length <= TABLE_BITS; length++) {
      for (let left = this.#counts[length]!; left > 0; left--) {
        const entry = this.#symbols[index++]! << 4 | length;
        // A code's first bit is the lowest of the input.
        for (let at = reversed(code, length); at < this.#table.length; at += 1 << length) {
          this.#table[at] = entry;
        }
        code++;
      }
      code <<= 1;
    }
  }
}

function reversed(code: number, length: number): number {
  let result = 0;
  for (let bit = 0; bit < length; bit++) result |= ((code >>> bit) & 1) << (length - 1 - bit);
  return result;
}
