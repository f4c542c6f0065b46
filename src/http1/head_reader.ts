/**
 * Finds where a head ends (RFC 9112 §2.1–§2.2): start-line, field lines and the empty line after
 * them, or a trailer section (§7.1.2). Every octet is looked at once, however reads cut the bytes,
 * and an octet that no head may hold is an error the moment it arrives: a bare LF or CR is where
 * two readers disagree on what a line is.
 */
import { type Http1Error, http1Error, quoteOctet } from "./errors.ts";
import { CONTROL, CR, LF, OCTET_CLASS, TEXT } from "./grammar.ts";
import type { Tolerance } from "./tolerance.ts";

export interface HeadReaderOptions {
  readonly maxHeadBytes: number;
  /** Skip empty lines before a request's start-line (RFC 9112 §2.2). Never for a response. */
  readonly allowLeadingCrlf?: boolean;
  /** Read a trailer section, which has no start-line and may be just the empty line. */
  readonly trailers?: boolean;
  /** What is wrong with single lines and yet left to whoever parses them; nothing, unless it is said. */
  readonly tolerance?: Tolerance;
}

export type HeadReaderResult =
  | { readonly type: "more" }
  | {
    readonly type: "head";
    /**
     * The whole head with its empty line: a view of the data pushed where it lies in it whole, else
     * a copy. Whoever keeps it longer than that data is valid copies it.
     */
    readonly bytes: Uint8Array;
    /** Offset in the data pushed, just after the head. */
    readonly next: number;
  };

const MORE: HeadReaderResult = { type: "more" };

/** Clients that pad with empty lines send one or two; more is someone keeping a connection busy. */
const LEADING_EMPTY_LINES_MAX = 8;

// Where the next octet stands.
const BEFORE_START_LINE = 0;
const CR_BEFORE_START_LINE = 1;
const IN_LINE = 2;
const CR_IN_LINE = 3;
const LINE_BEGIN = 4;
const CR_AT_LINE_BEGIN = 5;

export class HeadReader {
  readonly #maxBytes: number;
  readonly #leadingCrlf: boolean;
  readonly #initialState: number;
  readonly #trailers: boolean;
  #state: number;
  #emptyLines = 0;
  #held: Uint8Array | null = null;
  #heldLength = 0;
  #error: Http1Error | null = null;
  /** The class of octets that may stand in a line. */
  #text = TEXT;
  /** An LF alone ends a line. */
  #bareLf = false;

  constructor(options: HeadReaderOptions) {
    this.#maxBytes = options.maxHeadBytes;
    this.#leadingCrlf = options.allowLeadingCrlf ?? false;
    this.#trailers = options.trailers ?? false;
    this.#initialState = this.#trailers ? LINE_BEGIN : BEFORE_START_LINE;
    this.#state = this.#initialState;
    this.tolerate(options.tolerance ?? "none");
  }

  /** From the next head on. */
  tolerate(tolerance: Tolerance): void {
    this.#text = tolerance === "none" ? TEXT : TEXT | CONTROL;
    this.#bareLf = tolerance === "lines";
  }

  /** How many octets of an unfinished head are held. */
  get buffered(): number {
    return this.#heldLength;
  }

  /** Forgets an unfinished head or an error. After a head the reader is ready for the next by itself. */
  reset(): void {
    this.#state = this.#initialState;
    this.#emptyLines = 0;
    this.#held = null;
    this.#heldLength = 0;
    this.#error = null;
  }

  /** Reads from `offset` to the end of the head or of `data`. After an error it answers only that error. */
  push(data: Uint8Array, offset: number): HeadReaderResult | Http1Error {
    if (this.#error !== null) return this.#error;
    let state = this.#state;
    let index = offset;

    while (state <= CR_BEFORE_START_LINE && index < data.length) {
      const octet = data[index]!;
      if (state === CR_BEFORE_START_LINE) {
        if (octet !== LF) return this.#fail(bareCr(0));
        if (++this.#emptyLines > LEADING_EMPTY_LINES_MAX) {
          return this.#fail(http1Error(
            "malformed_start_line",
            `more than ${LEADING_EMPTY_LINES_MAX} empty lines stand before the request line`,
            0,
            "RFC 9112 §2.2",
          ));
        }
        state = BEFORE_START_LINE;
        index++;
      } else if (octet === CR) {
        if (!this.#leadingCrlf) {
          return this.#fail(http1Error(
            "malformed_start_line",
            "a line end stands where the start-line should begin",
            0,
            "RFC 9112 §2.1",
          ));
        }
        state = CR_BEFORE_START_LINE;
        index++;
      } else {
        state = IN_LINE;
      }
    }

    const text = this.#text;
    const start = index;
    const end = Math.min(data.length, start + this.#maxBytes - this.#heldLength);
    scan:
    while (index < end) {
      const octet = data[index]!;
      switch (state) {
        case IN_LINE:
          if ((OCTET_CLASS[octet]! & text) !== 0) {
            index++;
            while (index < end && (OCTET_CLASS[data[index]!]! & text) !== 0) index++;
            continue;
          }
          if (octet === LF && this.#bareLf) {
            state = LINE_BEGIN;
            break;
          }
          if (octet !== CR) return this.#fail(badOctet(octet, this.#position(start, index)));
          state = CR_IN_LINE;
          break;
        case CR_IN_LINE:
          if (octet !== LF) return this.#fail(bareCr(this.#position(start, index) - 1));
          state = LINE_BEGIN;
          break;
        case LINE_BEGIN:
          if (octet === CR) {
            state = CR_AT_LINE_BEGIN;
            break;
          }
          if (octet === LF && this.#bareLf) {
            index++;
            state = BEFORE_START_LINE;
            break scan;
          }
          state = IN_LINE;
          continue;
        default: // CR_AT_LINE_BEGIN
          if (octet !== LF) return this.#fail(bareCr(this.#position(start, index) - 1));
          index++;
          state = BEFORE_START_LINE;
          break scan;
      }
      index++;
    }

    if (state === BEFORE_START_LINE && index > start) {
      const view = data.subarray(start, index);
      const bytes = this.#heldLength === 0 ? view : this.#hold(view);
      this.reset();
      return { type: "head", bytes, next: index };
    }
    if (index < data.length) {
      return this.#fail(http1Error(
        this.#trailers ? "trailer_too_large" : "head_too_large",
        `the ${
          this.#trailers ? "trailer section" : "head"
        } is over ${this.#maxBytes} bytes (http.max_head_bytes)`,
        this.#maxBytes,
        "RFC 9110 §5.4",
      ));
    }
    this.#state = state;
    if (index > start) this.#hold(data.subarray(start, index));
    return MORE;
  }

  #position(start: number, index: number): number {
    return this.#heldLength + index - start;
  }

  #fail(error: Http1Error): Http1Error {
    this.#error = error;
    this.#held = null;
    this.#heldLength = 0;
    return error;
  }

  /** Appends to what is held, doubling the room, and returns all of it. */
  #hold(bytes: Uint8Array): Uint8Array {
    const length = this.#heldLength + bytes.length;
    if (this.#held === null || this.#held.length < length) {
      const room = Math.min(Math.max(length, 2 * (this.#held?.length ?? 0), 64), this.#maxBytes);
      const grown = new Uint8Array(room);
      if (this.#held !== null) grown.set(this.#held.subarray(0, this.#heldLength));
      this.#held = grown;
    }
    this.#held.set(bytes, this.#heldLength);
    this.#heldLength = length;
    return this.#held.subarray(0, length);
  }
}

/** The error for a CR that no LF follows. */
export function bareCr(offset: number): Http1Error {
  return http1Error(
    "bare_cr",
    "a CR stands without the LF that makes it a line end; lines end in CRLF",
    offset,
    "RFC 9112 §2.2",
  );
}

/** The error for an octet that may not stand in a line of a head. */
export function badOctet(octet: number, offset: number): Http1Error {
  switch (octet) {
    case LF:
      return http1Error(
        "bare_lf",
        "an LF stands without the CR before it; lines end in CRLF",
        offset,
        "RFC 9112 §2.2",
      );
    case CR:
      return bareCr(offset);
    case 0:
      return http1Error("nul_byte", "a NUL stands in the head; it is never allowed", offset, "RFC 9110 §5.5");
    default:
      return http1Error(
        "control_byte",
        `the control octet ${quoteOctet(octet)} stands in the head; of the controls only HTAB is allowed`,
        offset,
        "RFC 9110 §5.5",
      );
  }
}
