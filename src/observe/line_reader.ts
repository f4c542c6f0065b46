/**
 * Cuts content into lines that end with LF, a CR before it left out. Of each line at most `lineBytesMax`
 * octets are kept; the rest is counted. What is kept is taken from the flow's budget.
 */
import type { ObserverContext } from "./observer.ts";

/** `line` is what was kept of it, valid during the call; `bytes` is how long it is. */
export type OnLine = (line: Uint8Array, bytes: number) => void;

const LF = 0x0a;
const CR = 0x0d;
const NOTHING = new Uint8Array(0);
/** What is reserved grows from here, twofold. */
const FIRST_BYTES = 256;

export class LineReader {
  #kept = NOTHING;
  #keptBytes = 0;
  /** Taken from the budget: what the longest line so far needs, whether it had to be kept or not. */
  #reserved = 0;
  /** The length of the line under way. */
  #bytes = 0;
  /** The last octet so far was CR. */
  #endsWithCr = false;

  constructor(
    private readonly budget: Pick<ObserverContext, "hold" | "release">,
    private readonly lineBytesMax: number,
  ) {}

  push(content: Uint8Array, onLine: OnLine): void {
    for (let start = 0; start < content.length;) {
      const end = content.indexOf(LF, start);
      if (end < 0) {
        const rest = content.subarray(start);
        if (this.#reserve(this.#keptBytes + rest.length)) this.#keep(rest);
        return;
      }
      const part = content.subarray(start, end);
      if (!this.#reserve(this.#keptBytes + part.length)) return;
      if (this.#bytes === 0) this.#whole(part, onLine);
      else {
        this.#keep(part);
        this.#ended(onLine);
      }
      start = end + 1;
    }
  }

  /** The content is over: a line without an end is one, too. */
  end(onLine: OnLine): void {
    if (this.#bytes > 0) this.#ended(onLine);
    this.budget.release(this.#reserved);
    this.#reserved = 0;
    this.#kept = NOTHING;
  }

  /** A line that lies in one piece of content need not be kept. */
  #whole(line: Uint8Array, onLine: OnLine): void {
    const bytes = line.at(-1) === CR ? line.length - 1 : line.length;
    onLine(line.subarray(0, Math.min(bytes, this.lineBytesMax)), bytes);
  }

  #ended(onLine: OnLine): void {
    const bytes = this.#endsWithCr ? this.#bytes - 1 : this.#bytes;
    const line = this.#kept.subarray(0, Math.min(this.#keptBytes, bytes));
    this.#bytes = 0;
    this.#keptBytes = 0;
    this.#endsWithCr = false;
    onLine(line, bytes);
  }

  /** False where the budget has no room for a line of this length. */
  #reserve(bytes: number): boolean {
    const needed = Math.min(bytes, this.lineBytesMax);
    if (needed <= this.#reserved) return true;
    let size = FIRST_BYTES;
    while (size < needed) size *= 2;
    size = Math.min(size, this.lineBytesMax);
    if (!this.budget.hold(size - this.#reserved)) return false;
    this.#reserved = size;
    return true;
  }

  #keep(part: Uint8Array): void {
    if (part.length === 0) return;
    this.#bytes += part.length;
    this.#endsWithCr = part.at(-1) === CR;
    const taken = part.subarray(0, this.lineBytesMax - this.#keptBytes);
    if (this.#keptBytes + taken.length > this.#kept.length) {
      const grown = new Uint8Array(this.#reserved);
      grown.set(this.#kept.subarray(0, this.#keptBytes));
      this.#kept = grown;
    }
    this.#kept.set(taken, this.#keptBytes);
    this.#keptBytes += taken.length;
  }
}
