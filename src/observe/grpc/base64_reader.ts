/**
 * Takes base64 (RFC 4648 §4) off as it comes: `application/grpc-web-text`. What a server flushes is padded by
 * itself, so padding may come in the middle; four characters are always one unit. White space is passed over, as
 * in browsers.
 */

const PAD = 64;
const SPACE = 65;
const UNKNOWN = 66;

/** The value of each octet as a character. */
const VALUES = Uint8Array.from({ length: 256 }, (_, octet) => {
  const value = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    .indexOf(String.fromCharCode(octet));
  if (value >= 0) return value;
  return octet === 0x3d
    ? PAD
    : octet <= 0x20 && " \t\r\n".includes(String.fromCharCode(octet))
    ? SPACE
    : UNKNOWN;
});

export class Base64Reader {
  #bits = 0;
  /** Characters of the unit under way, and how many of them are padding. */
  #characters = 0;
  #padding = 0;
  /** A character that base64 does not have was met; what came before it was given. */
  failed = false;

  /** Within a unit: octets are missing. */
  get incomplete(): boolean {
    return this.#characters > 0;
  }

  push(text: Uint8Array): Uint8Array {
    const decoded = new Uint8Array(Math.ceil((text.length + 3) / 4) * 3);
    let length = 0;
    for (let at = 0; at < text.length && !this.failed; at++) {
      const value = VALUES[text[at]!]!;
      if (value === SPACE) continue;
      if (value === UNKNOWN || !this.#fits(value)) {
        this.failed = true;
        break;
      }
      this.#bits = this.#bits << 6 | (value & 0x3f);
      if (++this.#characters < 4) continue;
      const octets = 3 - this.#padding;
      for (let octet = 0; octet < octets; octet++) decoded[length++] = this.#bits >> (16 - 8 * octet);
      this.#bits = this.#characters = this.#padding = 0;
    }
    return decoded.subarray(0, length);
  }

  /** Padding stands at the end of a unit, at most twice. */
  #fits(value: number): boolean {
    if (value !== PAD) return this.#padding === 0;
    this.#padding++;
    return this.#characters >= 2;
  }
}
