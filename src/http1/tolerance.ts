/**
 * What is let through of heads that break RFC 9112, for hosts that an override says it of (`strict_headers = false`):
 * what real peers send and what cannot make two readers disagree about where a message ends or whose it is.
 *
 * - `values`, in requests and trailer sections: control octets in field values (RFC 9110 §5.5 has a recipient
 *   refuse or replace them). Not NUL, CR and LF, nor those that some readers take for line ends: VT, FF and the
 *   separators 0x1c to 0x1e, which Python's `splitlines` splits at.
 * - `lines`, in heads of responses: also values that go on in the next line (§5.2), white space between name and
 *   colon (§5.1), and heads all of whose lines end in a bare LF (§2.2). §5.1 and §5.2 have a proxy mend the former
 *   two; here the octets go through as they came. The connection ends with such a response, so that no other can
 *   be taken for a part of it.
 *
 * In requests all of these are how smuggling works (a server that skips a folded line, or a space before the colon,
 * sees another length), so there they stay refused. So do guarded fields with any of this in them, in either
 * direction; lines that end partly in CRLF and partly in LF, since readers find different lines there; continuation
 * lines of white space alone, which some take for the end of the head, and those that read like a guarded field.
 */
import { isGuarded } from "../http/guarded_fields.ts";
import { quoteFound } from "../http/quote.ts";
import { type Http1Error, http1Error, type Http1ErrorCode, quoteOctet } from "./errors.ts";
import { type FieldLimits, type FieldLines, nameError, parseFieldLines } from "./field_lines.ts";
import { COLON, CONTROL, CR, HTAB, LF, OCTET_CLASS, SP, TEXT, TOKEN } from "./grammar.ts";
import { badOctet, bareCr } from "./head_reader.ts";

export type Tolerance = "none" | "values" | "lines";

/** What was let through, as it would have been refused: the first of each code. */
export type Tolerated = readonly Http1Error[];

export const NOTHING_TOLERATED: Tolerated = [];

export interface ToleratedLines extends FieldLines {
  readonly tolerated: Tolerated;
}

/** The codes for the log; undefined where there are none. */
export function toleratedCodes(tolerated: Tolerated): readonly Http1ErrorCode[] | undefined {
  return tolerated.length === 0 ? undefined : tolerated.map(({ code }) => code);
}

/** Whether readers may take the head for other lines, so that nothing may follow on its connection. */
export function bendsLines(tolerated: Tolerated): boolean {
  return tolerated.some(({ code }) => code !== "control_byte");
}

/** As `parseFieldLines`; `bareLf`: the start-line ended in an LF alone, and so must all others. */
export function readFieldLines(
  bytes: Uint8Array,
  text: string,
  offset: number,
  limits: FieldLimits,
  tolerance: Tolerance,
  bareLf = false,
): ToleratedLines | Http1Error {
  if (!bareLf) {
    const lines = parseFieldLines(bytes, text, offset, limits);
    if (lines.type === "fields") return { ...lines, tolerated: NOTHING_TOLERATED };
    if (tolerance === "none") return lines;
  }
  return new LenientLines(bytes, text, limits, tolerance, bareLf).read(offset);
}

class LenientLines {
  readonly #fields: [name: string, value: string][] = [];
  readonly #tolerated = new Map<Http1ErrorCode, Http1Error>();

  constructor(
    private readonly bytes: Uint8Array,
    private readonly text: string,
    private readonly limits: FieldLimits,
    private readonly tolerance: Tolerance,
    private readonly bareLf: boolean,
  ) {}

  read(offset: number): ToleratedLines | Http1Error {
    const { bytes, limits } = this;
    if (this.bareLf) {
      this.#tolerate(badOctet(LF, offset - 1));
    }
    let lines = 0;
    for (let start = offset; start < bytes.length;) {
      const lf = bytes.indexOf(LF, start);
      if (lf < 0) break;
      const endsInCrlf = lf > start && bytes[lf - 1] === CR;
      if (endsInCrlf === this.bareLf) return endsInCrlf ? mixedLines(lf - 1) : badOctet(LF, lf);
      const end = endsInCrlf ? lf - 1 : lf;
      const next = lf + 1;
      if (end === start) {
        if (next < bytes.length) return behindTheEnd(next);
        return { type: "fields", fields: this.#fields, tolerated: [...this.#tolerated.values()] };
      }
      // A line that is folded counts as often as it is, or a field could be made of any number of them.
      if (lines++ === limits.maxHeaderFields) return tooMany(limits, start);
      const error = this.#line(start, end);
      if (error !== null) return error;
      start = next;
    }
    return http1Error(
      "truncated_message",
      "the bytes end before the empty line that ends the head",
      bytes.length,
      "RFC 9112 §2.1",
    );
  }

  #line(start: number, end: number): Http1Error | null {
    const { bytes, text } = this;
    if (isBlank(bytes[start]!)) return this.#continuation(start, end);
    let nameEnd = start;
    while (nameEnd < end && (OCTET_CLASS[bytes[nameEnd]!]! & TOKEN) !== 0) nameEnd++;
    let colon = nameEnd;
    while (colon < end && isBlank(bytes[colon]!)) colon++;
    const name = text.substring(start, nameEnd);
    if (
      nameEnd === start || colon === end || bytes[colon] !== COLON || (colon > nameEnd && isGuarded(name))
    ) {
      return nameError(bytes, text, start, nameEnd, this.#fields.length === 0);
    }
    if (colon > nameEnd) {
      const error = nameError(bytes, text, start, nameEnd, false);
      if (this.tolerance !== "lines") return error;
      this.#tolerate(error);
    }
    const value = this.#value(colon + 1, end, name);
    if (typeof value !== "string") return value;
    this.#fields.push([name, value]);
    return null;
  }

  #continuation(start: number, end: number): Http1Error | null {
    const { bytes, text } = this;
    const last = this.#fields.at(-1);
    const error = nameError(bytes, text, start, start, last === undefined);
    if (last === undefined || this.tolerance !== "lines") return error;
    const [name] = last;
    const value = this.#value(start, end, name);
    if (typeof value !== "string") return value;
    if (value === "" || isGuarded(name)) return error;
    const looksLike = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*:/.exec(value)?.[1];
    if (looksLike !== undefined && isGuarded(looksLike)) return error;
    this.#tolerate(error);
    // RFC 9112 §5.2 reads a fold as one or more spaces.
    last[1] = last[1] === "" ? value : `${last[1]} ${value}`;
    return null;
  }

  /** Without the white space around it. */
  #value(from: number, to: number, name: string): string | Http1Error {
    const { bytes } = this;
    let start = from;
    let end = to;
    while (start < end && isBlank(bytes[start]!)) start++;
    while (end > start && isBlank(bytes[end - 1]!)) end--;
    for (let index = start; index < end; index++) {
      const octet = bytes[index]!;
      if ((OCTET_CLASS[octet]! & TEXT) !== 0) continue;
      const error = octet === CR ? bareCr(index) : badOctet(octet, index);
      if ((OCTET_CLASS[octet]! & CONTROL) === 0 || isGuarded(name)) return error;
      this.#tolerate({ ...error, detail: `the value of ${quoteFound(name)} holds ${quoteOctet(octet)}` });
    }
    return this.text.substring(start, end);
  }

  #tolerate(error: Http1Error): void {
    if (!this.#tolerated.has(error.code)) this.#tolerated.set(error.code, error);
  }
}

function isBlank(octet: number): boolean {
  return octet === SP || octet === HTAB;
}

function mixedLines(offset: number): Http1Error {
  return http1Error(
    "bare_lf",
    "some lines of the head end in CRLF and others in an LF alone",
    offset,
    "RFC 9112 §2.2",
  );
}

function behindTheEnd(offset: number): Http1Error {
  return http1Error(
    "malformed_start_line",
    "bytes follow the empty line that ends the head",
    offset,
    "RFC 9112 §2.1",
  );
}

function tooMany({ maxHeaderFields }: FieldLimits, offset: number): Http1Error {
  return http1Error(
    "too_many_fields",
    `there are more than ${maxHeaderFields} field lines (http.max_header_fields)`,
    offset,
    "RFC 9110 §5.4",
  );
}
