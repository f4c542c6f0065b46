/**
 * Tells of text that comes in pieces whether it is UTF-8 (RFC 3629), at the first octet that says no: RFC 6455
 * §8.1 has a message fail then, not at its end. `TextDecoder` would do, but makes a string of all of it.
 */
export class Utf8Checker {
  /** Octets that are due of the character under way. */
  #due = 0;
  /** The bounds of the next of them, which only the first octet narrows (RFC 3629 §4). */
  #low = 0x80;
  #high = 0xbf;
  valid = true;

  push(bytes: Uint8Array): void {
    if (!this.valid) return;
    const { length } = bytes;
    for (let index = 0; index < length; index++) {
      const octet = bytes[index]!;
      if (this.#due === 0) {
        if (octet < 0x80) {
          index = asciiEnd(bytes, index + 1) - 1;
          continue;
        }
        if (this.#lead(octet)) continue;
      } else if (octet >= this.#low && octet <= this.#high) {
        this.#due--;
        this.#low = 0x80;
        this.#high = 0xbf;
        continue;
      }
      this.valid = false;
      return;
    }
  }

  /** No more comes: whether all of it was UTF-8. */
  end(): boolean {
    return this.valid && this.#due === 0;
  }

  reset(): void {
    this.#due = 0;
    this.#low = 0x80;
    this.#high = 0xbf;
    this.valid = true;
  }

  #lead(octet: number): boolean {
    if (octet >= 0xc2 && octet <= 0xdf) this.#due = 1;
    else if (octet >= 0xe0 && octet <= 0xef) this.#due = 2;
    else if (octet >= 0xf0 && octet <= 0xf4) this.#due = 3;
    else return false;
    if (octet === 0xe0) this.#low = 0xa0;
    else if (octet === 0xf0) this.#low = 0x90;
    if (octet === 0xed) this.#high = 0x9f;
    else if (octet === 0xf4) this.#high = 0x8f;
    return true;
  }
}

/** Where a run of ASCII ends, or nearly: most text is nothing else, and eight octets are looked at as fast as one. */
function asciiEnd(bytes: Uint8Array, start: number): number {
  let at = start;
  for (; at + 8 <= bytes.length; at += 8) {
    const all = bytes[at]! | bytes[at + 1]! | bytes[at + 2]! | bytes[at + 3]! |
      bytes[at + 4]! | bytes[at + 5]! | bytes[at + 6]! | bytes[at + 7]!;
    if (all >= 0x80) break;
  }
  return at;
}
