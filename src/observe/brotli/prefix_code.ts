/** A prefix code of brotli (RFC 7932 §3.2), made of the lengths of its symbols' codes. */
import { MISSING } from "./bits.ts";

const LENGTH_MAX = 15;
/** Codes of up to so many bits are found at once. */
const TABLE_BITS = 8;
/** What a code takes beside its symbols: most of it is what the runtime adds to arrays. */
const ONE_SYMBOL_BYTES = 512;
const TABLE_BYTES = 1216;
/** Where the next symbol of each length goes, while a code is made. */
const NEXT = new Uint16Array(LENGTH_MAX + 2);

export class PrefixCode {
  /**
   * By the next bits: the symbol shifted by 4, and its length; 0 where its code is longer. Made when it is needed: a
   * stream may have hundreds of codes in a few octets, and use none of them.
   */
  #table: Uint16Array | null = null;
  /** How many codes there are of each length, and their symbols in order. */
  readonly #counts = new Uint16Array(LENGTH_MAX + 1);
  readonly #symbols: Uint16Array;
  /** The symbol of a code that needs no bits. */
  #only = MISSING;
  /** About what it takes in octets, its table included, as measured. */
  readonly heldBytes: number;

  /** The lengths have to make a complete code, or name one symbol alone. They are not kept. */
  constructor(lengths: Uint8Array) {
    let used = 0;
    for (let symbol = 0; symbol < lengths.length; symbol++) {
      const length = lengths[symbol]!;
      if (length === 0) continue;
      this.#counts[length]!++;
      used++;
    }
    NEXT[1] = 0;
    for (let length = 1; length <= LENGTH_MAX; length++) {
      NEXT[length + 1] = NEXT[length]! + this.#counts[length]!;
    }
    this.#symbols = new Uint16Array(used);
    for (let symbol = 0; symbol < lengths.length; symbol++) {
      const length = lengths[symbol]!;
      if (length > 0) this.#symbols[NEXT[length]!++] = symbol;
    }
    if (used === 1) this.#only = this.#symbols[0]!;
    this.heldBytes = (used === 1 ? ONE_SYMBOL_BYTES : TABLE_BYTES) + 2 * used;
  }

  /** The symbol shifted by 4 and the length of its code, where `count` bits are enough for it. */
  find(bits: number, count: number): number {
    if (this.#only !== MISSING) return this.#only << 4;
    const table = this.#table ??= this.#filledTable();
    const entry = table[bits & ((1 << TABLE_BITS) - 1)]!;
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

  #filledTable(): Uint16Array {
    const table = new Uint16Array(1 << TABLE_BITS);
    let [code, index] = [0, 0];
    for (let length = 1; length <= TABLE_BITS; length++) {
      for (let left = this.#counts[length]!; left > 0; left--) {
        const entry = this.#symbols[index++]! << 4 | length;
        // A code's first bit is the lowest of the input.
        for (let at = reversed(code, length); at < table.length; at += 1 << length) {
          table[at] = entry;
        }
        code++;
      }
      code <<= 1;
    }
    return table;
  }
}

function reversed(code: number, length: number): number {
  let result = 0;
  for (let bit = 0; bit < length; bit++) result |= ((code >>> bit) & 1) << (length - 1 - bit);
  return result;
}
