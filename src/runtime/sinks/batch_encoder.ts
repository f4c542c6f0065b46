/**
 * Lines as UTF-8, in a buffer that is used again: a new one for each batch costs more than the encoding. A sink
 * writes one batch at a time, so nobody looks at the octets of the last one any more.
 */
export class BatchEncoder {
  #buffer = new Uint8Array(0);
  #length = 0;

  /** Valid until the next call. */
  encode(lines: readonly string[]): Uint8Array {
    if (this.#buffer.length > KEPT_BYTES_MAX) this.#buffer = new Uint8Array(0);
    this.#length = 0;
    // Short lines are joined first: each call has its price. Long ones would only be copied once more.
    let text = "";
    for (const line of lines) {
      text += line;
      if (text.length < PIECE_CHARACTERS) continue;
      this.#put(text);
      text = "";
    }
    this.#put(text);
    return this.#buffer.subarray(0, this.#length);
  }

  #put(text: string): void {
    // Nearly all of a log is ASCII.
    this.#grow(text.length);
    const { read, written } = encoder.encodeInto(text, this.#buffer.subarray(this.#length));
    this.#length += written;
    if (read === text.length) return;
    const rest = text.slice(read);
    this.#grow(rest.length * CHARACTER_BYTES_MAX);
    this.#length += encoder.encodeInto(rest, this.#buffer.subarray(this.#length)).written;
  }

  #grow(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#buffer.length) return;
    const grown = new Uint8Array(Math.max(needed, 2 * this.#buffer.length, FIRST_BYTES));
    grown.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = grown;
  }
}

const encoder = new TextEncoder();
const PIECE_CHARACTERS = 4 << 10;
/** In UTF-8, for one UTF-16 code unit. */
const CHARACTER_BYTES_MAX = 3;
const FIRST_BYTES = 64 << 10;
/** What is kept between batches; only an event of this size needs more. */
const KEPT_BYTES_MAX = 1 << 20;
