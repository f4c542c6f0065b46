/**
 * Cuts content into lines. Of each line at most `lineBytesMax` octets are kept; the rest is counted. What is
 * kept is taken from the flow's budget. A line is given as its end arrives: where a CR alone is one, the LF that
 * may follow belongs to it and is passed over, whenever it comes.
 */
import { type BytesBudget, KeptBytes } from "./kept_bytes.ts";

/** `lf`: LF, a CR before it left out. `any`: LF, CR or CRLF. */
export type LineEnds = "lf" | "any";

/** `line` is what was kept of it, valid during the call; `bytes` is how long it is. */
export type OnLine = (line: Uint8Array, bytes: number) => void;

const LF = 0x0a;
const CR = 0x0d;

export class LineReader {
  readonly #line: KeptBytes;
  /** The length of the line under way. */
  #bytes = 0;
  /** The last octet of the line under way is CR; only where that is no end. */
  #endsWithCr = false;
  /** A line ended with CR; a LF right after it ends nothing. */
  #skipsLf = false;

  constructor(
    budget: BytesBudget,
    private readonly lineBytesMax: number,
    private readonly ends: LineEnds = "lf",
  ) {
    this.#line = new KeptBytes(budget, lineBytesMax);
  }

  push(content: Uint8Array, onLine: OnLine): void {
    let start = this.#skipsLf && content[0] === LF ? 1 : 0;
    if (content.length > 0) this.#skipsLf = false;
    // Each is looked for anew only behind the last one found, so that rare ends cost no more than frequent ones.
    let lf = -1;
    let cr = this.ends === "any" ? -1 : content.length;
    while (start < content.length) {
      if (lf < start) lf = indexOr(content, LF, start);
      if (cr < start) cr = indexOr(content, CR, start);
      const end = Math.min(lf, cr);
      const part = content.subarray(start, end);
      if (end === content.length) {
        if (this.#line.reserve(this.#bytes + part.length)) this.#keep(part);
        return;
      }
      if (!this.#line.reserve(this.#bytes + part.length)) return;
      start = end + 1;
      if (end === cr) {
        if (content[start] === LF) start++;
        else this.#skipsLf = start === content.length;
      }
      if (this.#bytes === 0) this.#whole(part, onLine);
      else {
        this.#keep(part);
        this.#ended(onLine);
      }
    }
  }

  /** The content is over: a line without an end is one, too. */
  end(onLine: OnLine): void {
    if (this.#bytes > 0) this.#ended(onLine);
    this.#line.clear();
  }

  #keep(part: Uint8Array): void {
    if (part.length === 0) return;
    this.#bytes += part.length;
    this.#endsWithCr = part.at(-1) === CR;
    this.#line.keep(part);
  }

  /** A line that lies in one piece of content need not be kept. */
  #whole(line: Uint8Array, onLine: OnLine): void {
    const bytes = this.ends === "lf" && line.at(-1) === CR ? line.length - 1 : line.length;
    onLine(line.subarray(0, Math.min(bytes, this.lineBytesMax)), bytes);
  }

  #ended(onLine: OnLine): void {
    const bytes = this.#endsWithCr ? this.#bytes - 1 : this.#bytes;
    const line = this.#line.view.subarray(0, bytes);
    this.#bytes = 0;
    this.#line.reset();
    this.#endsWithCr = false;
    onLine(line, bytes);
  }
}

function indexOr(content: Uint8Array, octet: number, start: number): number {
  const index = content.indexOf(octet, start);
  return index < 0 ? content.length : index;
}
