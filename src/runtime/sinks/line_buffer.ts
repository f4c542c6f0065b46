/**
 * Whole lines as UTF-8, on their way to a sink. They become octets as they come: strings that wait for a write
 * are moved about by every collection of garbage meanwhile, octets by none. A buffer is used again after it was
 * written; a new one for each batch costs more than the encoding.
 */
export class LineBuffer {
  #buffer = new Uint8Array(0);
  #length = 0;
  /** Short lines are joined first: each call of the encoder has its price. */
  #text = "";
  #lines = 0;

  get lines(): number {
    return this.#lines;
  }

  /** In octets, of which the last few kilobytes are counted as characters: for nearly all of a log the same. */
  get size(): number {
    return this.#length + this.#text.length;
  }

  /** `line` with its line end. */
  add(line: string): void {
    this.#lines++;
    this.#text += line;
    if (this.#text.length >= PIECE_CHARACTERS) this.#encode();
  }

  /** All lines; valid until the buffer is cleared. */
  get data(): Uint8Array {
    if (this.#text !== "") this.#encode();
    return this.#buffer.subarray(0, this.#length);
  }

  clear(): void {
    if (this.#buffer.length > KEPT_BYTES_MAX) this.#buffer = new Uint8Array(0);
    this.#length = 0;
    this.#text = "";
    this.#lines = 0;
  }

  #encode(): void {
    const text = this.#text;
    this.#text = "";
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
/** Room for a batch, so that it is not copied while it grows; memory that is not written to costs nothing. */
const FIRST_BYTES = 320 << 10;
/** What is kept between batches; only an event of this size needs more. */
const KEPT_BYTES_MAX = 1 << 20;
