/**
 * Message bodies (RFC 9112 §6–§7): one reader for all framings. It hands out the octets to forward
 * as they came, and beside them the content without the chunked coding.
 *
 * Chunk data goes out the moment it arrives. A chunk-size line and the trailer section are held
 * until they are whole and valid, so that no half of a line that turns out to be wrong has gone
 * out. Every octet passes one state machine, so reads may cut the bytes anywhere.
 */
import type { Field } from "../http/fields.ts";
import { type Http1Error, http1Error, quoteOctet } from "./errors.ts";
import type { Framing } from "./framing.ts";
import { CR, decodeLatin1, HEX_VALUE, LF, OCTET_CLASS, QUOTED_TEXT, TEXT, TOKEN } from "./grammar.ts";
import { badOctet, bareCr, HeadReader } from "./head_reader.ts";
import { readFieldLines, type Tolerance, type Tolerated } from "./tolerance.ts";

export interface BodySink {
  /** Validated octets of the message, in order, to be forwarded. */
  raw(bytes: Uint8Array): void;
  /** The content in these octets, after removing the chunked coding. */
  content(bytes: Uint8Array): void;
  /** The fields of the trailer section; called only where there are some. */
  trailers(fields: readonly Field[], tolerated: Tolerated): void;
}

export interface BodyLimits {
  /** Also bounds a trailer section. */
  readonly maxHeadBytes: number;
  /** Also bounds the field lines of a trailer section. */
  readonly maxHeaderFields: number;
}

export type BodyResult =
  | { readonly type: "more" }
  | {
    readonly type: "done";
    /** Offset in the data read, just after the body. */
    readonly next: number;
  };

const MORE: BodyResult = { type: "more" };
const NOTHING = new Uint8Array(0);

/** A chunk-size line with its extensions and CRLF. What real extensions carry (signatures) is under 200. */
export const CHUNK_LINE_BYTES_MAX = 4096;

// Where the next octet stands. Up to LINE_LF it is in a chunk-size line (RFC 9112 §7.1, §7.1.1):
//   chunk-size *( ";" name [ "=" ( token / quoted-string ) ] ) CRLF
// BWS around ";" and "=" is refused although §7.1.1 has readers skip it: readers that don't are how
// chunk-size smuggling works, and nobody writes it.
const SIZE_BEGIN = 0;
const SIZE = 1;
const EXTENSION_NAME_BEGIN = 2;
const EXTENSION_NAME = 3;
const EXTENSION_VALUE_BEGIN = 4;
const EXTENSION_TOKEN = 5;
const EXTENSION_QUOTED = 6;
const EXTENSION_QUOTED_PAIR = 7;
const EXTENSION_QUOTED_END = 8;
const LINE_LF = 9;
const CHUNK_DATA = 10;
const CHUNK_DATA_CR = 11;
const CHUNK_DATA_LF = 12;
const TRAILERS = 13;
const LENGTH = 14;
const UNTIL_CLOSE = 15;
const DONE = 16;

const SEMICOLON = 0x3b;
const EQUALS = 0x3d;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

export class BodyReader {
  readonly #limits: BodyLimits;
  readonly #tolerance: Tolerance;
  #state: number;
  /** Octets of content still to come: of the chunk, or of the whole body. While in a size line: the size so far. */
  #remaining = 0;
  #lineLength = 0;
  /** Octets of the body that came in earlier reads. */
  #position = 0;
  /** The beginning of a chunk-size line whose end has not come yet: `#heldLength` octets. */
  #held = NOTHING;
  #heldLength = 0;
  #trailers: HeadReader | null = null;
  #error: Http1Error | null = null;

  /** `tolerance`: of the trailer section. */
  constructor(framing: Framing, limits: BodyLimits, tolerance: Exclude<Tolerance, "lines"> = "none") {
    this.#limits = limits;
    this.#tolerance = tolerance;
    switch (framing.type) {
      case "none":
        this.#state = DONE;
        break;
      case "length":
        this.#state = framing.length === 0 ? DONE : LENGTH;
        this.#remaining = framing.length;
        break;
      case "chunked":
        this.#state = SIZE_BEGIN;
        break;
      case "until_close":
        this.#state = UNTIL_CLOSE;
        break;
    }
  }

  /**
   * Reads from `offset` to the end of the body or of `data`. What is valid before an error still
   * goes to the sink. After an error it answers only that error.
   */
  read(data: Uint8Array, offset: number, sink: BodySink): BodyResult | Http1Error {
    if (this.#error !== null) return this.#error;
    switch (this.#state) {
      case DONE:
        return { type: "done", next: offset };
      case UNTIL_CLOSE:
        deliver(data, offset, data.length, sink);
        this.#position += data.length - offset;
        return MORE;
      case LENGTH: {
        const next = Math.min(data.length, offset + this.#remaining);
        this.#remaining -= next - offset;
        this.#position += next - offset;
        deliver(data, offset, next, sink);
        if (this.#remaining > 0) return MORE;
        this.#state = DONE;
        return { type: "done", next };
      }
      default:
        return this.#readChunked(data, offset, sink);
    }
  }

  /** The sender closed its side: the end of a close-delimited body, and of no other. */
  end(_sink?: BodySink): { readonly type: "done" } | Http1Error {
    if (this.#error !== null) return this.#error;
    if (this.#state === UNTIL_CLOSE || this.#state === DONE) {
      this.#state = DONE;
      return { type: "done" };
    }
    return this.#fail(http1Error(
      "truncated_message",
      this.#state === LENGTH
        ? `the connection ended ${this.#remaining} bytes before the end of the body`
        : "the connection ended before the end of the last chunk",
      this.#position,
      "RFC 9112 §8",
    ));
  }

  #readChunked(data: Uint8Array, offset: number, sink: BodySink): BodyResult | Http1Error {
    const end = data.length;
    let index = offset;
    /** What lies from `offset` to `index` goes to the sink at the end, in one piece; a size line in it begins here. */
    let lineStart = offset;
    const base = this.#position - offset;

    while (index < end) {
      if (this.#state <= LINE_LF) {
        const error = this.#readLineOctet(data[index]!, base + index);
        if (error !== null) {
          forward(data, offset, lineStart, sink);
          return this.#fail(error);
        }
        index++;
        if (this.#state <= LINE_LF) continue;
        this.#lineLength = 0;
        if (this.#heldLength > 0) sink.raw(this.#takeHeld());
      } else if (this.#state === CHUNK_DATA) {
        const next = Math.min(end, index + this.#remaining);
        this.#remaining -= next - index;
        sink.content(data.subarray(index, next));
        index = next;
        if (this.#remaining === 0) this.#state = CHUNK_DATA_CR;
      } else if (this.#state === TRAILERS) {
        return this.#readTrailers(data, offset, index, sink);
      } else {
        const octet = data[index]!;
        const expected = this.#state === CHUNK_DATA_CR ? CR : LF;
        if (octet !== expected) {
          forward(data, offset, index, sink);
          return this.#fail(badTerminator(octet, base + index));
        }
        index++;
        this.#state = this.#state === CHUNK_DATA_CR ? CHUNK_DATA_LF : SIZE_BEGIN;
        lineStart = index;
      }
    }

    if (this.#state > LINE_LF) {
      forward(data, offset, end, sink);
    } else {
      forward(data, offset, lineStart, sink);
      this.#hold(data.subarray(lineStart, end));
    }
    this.#position += end - offset;
    return MORE;
  }

  /** The trailer section, from `index` on; what lies from `offset` to there is still to be forwarded. */
  #readTrailers(
    data: Uint8Array,
    offset: number,
    index: number,
    sink: BodySink,
  ): BodyResult | Http1Error {
    const reader = this.#trailers ??= new HeadReader({
      maxHeadBytes: this.#limits.maxHeadBytes,
      trailers: true,
      tolerance: this.#tolerance,
    });
    const held = reader.buffered;
    const result = reader.push(data, index);
    if (result.type === "more") {
      forward(data, offset, index, sink);
      this.#position += data.length - offset;
      return MORE;
    }
    const refuse = (error: Http1Error): Http1Error => {
      forward(data, offset, index, sink);
      return this.#fail({ ...error, offset: this.#position + index - offset - held + error.offset });
    };
    if (result.type === "error") return refuse(result);
    const text = decodeLatin1(result.bytes);
    const lines = readFieldLines(result.bytes, text, 0, this.#limits, this.#tolerance);
    if (lines.type === "error") return refuse(lines);
    if (held === 0) forward(data, offset, result.next, sink);
    else sink.raw(result.bytes);
    if (lines.fields.length > 0) sink.trailers(lines.fields, lines.tolerated);
    this.#state = DONE;
    return { type: "done", next: result.next };
  }

  /** One octet of a chunk-size line; the LF that ends it opens the chunk's data or the trailer section. */
  #readLineOctet(octet: number, offset: number): Http1Error | null {
    if (++this.#lineLength > CHUNK_LINE_BYTES_MAX) {
      return http1Error(
        "chunk_line_too_long",
        `a chunk-size line is over ${CHUNK_LINE_BYTES_MAX} bytes`,
        offset,
        "RFC 9112 §7.1.1",
      );
    }
    switch (this.#state) {
      case SIZE_BEGIN:
      case SIZE: {
        const digit = HEX_VALUE[octet]!;
        if (digit < 16) {
          this.#remaining = this.#remaining * 16 + digit;
          if (this.#remaining > Number.MAX_SAFE_INTEGER) {
            return http1Error("chunk_too_large", "a chunk-size is over 2^53-1", offset, "RFC 9112 §7.1");
          }
          this.#state = SIZE;
          return null;
        }
        if (this.#state === SIZE) return this.#endExtension(octet, offset, "invalid_chunk_size");
        return invalidLine("invalid_chunk_size", octet, offset);
      }
      case EXTENSION_NAME_BEGIN:
        if ((OCTET_CLASS[octet]! & TOKEN) === 0) return invalidLine("invalid_chunk_extension", octet, offset);
        this.#state = EXTENSION_NAME;
        return null;
      case EXTENSION_NAME:
        if ((OCTET_CLASS[octet]! & TOKEN) !== 0) return null;
        if (octet !== EQUALS) return this.#endExtension(octet, offset, "invalid_chunk_extension");
        this.#state = EXTENSION_VALUE_BEGIN;
        return null;
      case EXTENSION_VALUE_BEGIN:
        if (octet === QUOTE) this.#state = EXTENSION_QUOTED;
        else if ((OCTET_CLASS[octet]! & TOKEN) !== 0) this.#state = EXTENSION_TOKEN;
        else return invalidLine("invalid_chunk_extension", octet, offset);
        return null;
      case EXTENSION_TOKEN:
        if ((OCTET_CLASS[octet]! & TOKEN) !== 0) return null;
        return this.#endExtension(octet, offset, "invalid_chunk_extension");
      case EXTENSION_QUOTED:
        if ((OCTET_CLASS[octet]! & QUOTED_TEXT) !== 0) return null;
        if (octet === QUOTE) this.#state = EXTENSION_QUOTED_END;
        else if (octet === BACKSLASH) this.#state = EXTENSION_QUOTED_PAIR;
        else return invalidLine("invalid_chunk_extension", octet, offset);
        return null;
      case EXTENSION_QUOTED_PAIR:
        if ((OCTET_CLASS[octet]! & TEXT) === 0) return invalidLine("invalid_chunk_extension", octet, offset);
        this.#state = EXTENSION_QUOTED;
        return null;
      case EXTENSION_QUOTED_END:
        return this.#endExtension(octet, offset, "invalid_chunk_extension");
      default: // LINE_LF
        if (octet !== LF) return bareCr(offset - 1);
        this.#state = this.#remaining === 0 ? TRAILERS : CHUNK_DATA;
        return null;
    }
  }

  /** After a size, a name or a value: another extension, or the end of the line. */
  #endExtension(
    octet: number,
    offset: number,
    code: "invalid_chunk_size" | "invalid_chunk_extension",
  ): Http1Error | null {
    if (octet === CR) this.#state = LINE_LF;
    else if (octet === SEMICOLON) this.#state = EXTENSION_NAME_BEGIN;
    else return invalidLine(code, octet, offset);
    return null;
  }

  #fail(error: Http1Error): Http1Error {
    this.#error = error;
    this.#takeHeld();
    this.#trailers = null;
    return error;
  }

  #hold(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    const length = this.#heldLength + bytes.length;
    if (this.#held.length < length) {
      const grown = new Uint8Array(Math.max(length, 2 * this.#held.length, 32));
      grown.set(this.#held.subarray(0, this.#heldLength));
      this.#held = grown;
    }
    this.#held.set(bytes, this.#heldLength);
    this.#heldLength = length;
  }

  #takeHeld(): Uint8Array {
    const taken = this.#held.subarray(0, this.#heldLength);
    this.#held = NOTHING;
    this.#heldLength = 0;
    return taken;
  }
}

function deliver(data: Uint8Array, from: number, to: number, sink: BodySink): void {
  if (to <= from) return;
  const bytes = data.subarray(from, to);
  sink.raw(bytes);
  sink.content(bytes);
}

function forward(data: Uint8Array, from: number, to: number, sink: BodySink): void {
  if (to > from) sink.raw(data.subarray(from, to));
}

function invalidLine(
  code: "invalid_chunk_size" | "invalid_chunk_extension",
  octet: number,
  offset: number,
): Http1Error {
  if (octet === LF) return badOctet(octet, offset);
  const allowed = code === "invalid_chunk_size"
    ? 'hexadecimal digits, then ";" or CRLF'
    : ';name, ;name=token or ;name="text", without spaces';
  return http1Error(
    code,
    `${quoteOctet(octet)} stands in a chunk-size line; allowed is ${allowed}`,
    offset,
    code === "invalid_chunk_size" ? "RFC 9112 §7.1" : "RFC 9112 §7.1.1",
  );
}

function badTerminator(octet: number, offset: number): Http1Error {
  return http1Error(
    "invalid_chunk_terminator",
    `${quoteOctet(octet)} follows the data of a chunk; the data must be as long as its size says, then CRLF`,
    offset,
    "RFC 9112 §7.1",
  );
}
