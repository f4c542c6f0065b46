/**
 * Field lines (RFC 9112 §5): `field-name ":" OWS field-value OWS CRLF`, up to the empty line that
 * ends a head or a trailer section. Names are tokens, nothing stands between name and colon, and a
 * line that begins with white space (obs-fold, §5.2) is refused: unfolding it would change bytes
 * that we promise to forward as they came, and leaving it lets two readers see two different lists.
 */
import type { Field } from "../http/fields.ts";
import { type Http1Error, http1Error } from "./errors.ts";
import { quoteFound } from "../http/quote.ts";
import { COLON, CR, HTAB, LF, OCTET_CLASS, SP, TEXT, TOKEN } from "./grammar.ts";
import { badOctet, bareCr } from "./head_reader.ts";

export interface FieldLimits {
  /** Field lines allowed in a head or a trailer section. */
  readonly maxHeaderFields: number;
}

export type FieldLines = { readonly type: "fields"; readonly fields: readonly Field[] };

/**
 * Reads the field lines of `bytes` from `offset`; the empty line must be its very end. `text` is
 * `bytes` as latin-1.
 */
export function parseFieldLines(
  bytes: Uint8Array,
  text: string,
  offset: number,
  limits: FieldLimits,
): FieldLines | Http1Error {
  const fields: Field[] = [];
  const length = bytes.length;
  let index = offset;
  while (index < length) {
    const lineStart = index;
    while (index < length && (OCTET_CLASS[bytes[index]!]! & TOKEN) !== 0) index++;
    if (index === lineStart && bytes[index] === CR) {
      if (index + 1 === length) break;
      if (bytes[index + 1] !== LF) return bareCr(index);
      if (index + 2 === length) return { type: "fields", fields };
      return http1Error(
        "malformed_start_line",
        "bytes follow the empty line that ends the head",
        index + 2,
        "RFC 9112 §2.1",
      );
    }
    if (index === lineStart || index === length || bytes[index] !== COLON) {
      return nameError(bytes, text, lineStart, index, fields.length === 0);
    }
    if (fields.length === limits.maxHeaderFields) {
      return http1Error(
        "too_many_fields",
        `there are more than ${limits.maxHeaderFields} field lines (http.max_header_fields)`,
        lineStart,
        "RFC 9110 §5.4",
      );
    }
    const nameEnd = index;
    index++;
    while (index < length && (bytes[index] === SP || bytes[index] === HTAB)) index++;
    const valueStart = index;
    while (index < length && (OCTET_CLASS[bytes[index]!]! & TEXT) !== 0) index++;
    if (index >= length) break;
    if (bytes[index] !== CR) return badOctet(bytes[index]!, index);
    if (index + 1 >= length) break;
    if (bytes[index + 1] !== LF) return bareCr(index);
    let valueEnd = index;
    while (valueEnd > valueStart && (bytes[valueEnd - 1] === SP || bytes[valueEnd - 1] === HTAB)) valueEnd--;
    fields.push([text.substring(lineStart, nameEnd), text.substring(valueStart, valueEnd)]);
    index += 2;
  }
  return http1Error(
    "truncated_message",
    "the bytes end before the empty line that ends the head",
    length,
    "RFC 9112 §2.1",
  );
}

/** Says what is wrong with a line whose name part `[lineStart, index)` is not a token right before a colon. */
export function nameError(
  bytes: Uint8Array,
  text: string,
  lineStart: number,
  index: number,
  first: boolean,
): Http1Error {
  if (index >= bytes.length) {
    return http1Error(
      "truncated_message",
      "the bytes end inside a field name",
      index,
      "RFC 9112 §2.1",
    );
  }
  const octet = bytes[index]!;
  if (index === lineStart && (octet === SP || octet === HTAB)) {
    return first
      ? http1Error(
        "whitespace_before_fields",
        "the first field line begins with white space; a field line begins with its name",
        index,
        "RFC 9112 §2.2",
      )
      : http1Error(
        "obs_fold",
        "a field value goes on in the next line; line folding is obsolete and refused",
        index,
        "RFC 9112 §5.2",
      );
  }
  let lineEnd = index;
  while (lineEnd < bytes.length && (OCTET_CLASS[bytes[lineEnd]!]! & TEXT) !== 0) lineEnd++;
  const line = text.substring(lineStart, lineEnd);
  if (octet === CR && bytes[index + 1] !== LF) return bareCr(index);
  if (octet === LF) return badOctet(LF, index);
  if (!line.includes(":")) {
    if (lineEnd < bytes.length && bytes[lineEnd] !== CR) return badOctet(bytes[lineEnd]!, lineEnd);
    return http1Error(
      "missing_colon",
      `the line ${quoteFound(line)} has no colon; a field line is NAME ":" VALUE`,
      lineStart,
      "RFC 9112 §5",
    );
  }
  if (/^[ \t]+:/.test(line.substring(index - lineStart))) {
    return http1Error(
      "whitespace_before_colon",
      `white space stands between the name and the colon of ${quoteFound(line)}`,
      index,
      "RFC 9112 §5.1",
    );
  }
  return http1Error(
    "invalid_field_name",
    `the field name ${quoteFound(line.substring(0, line.indexOf(":")))} is not a token`,
    index,
    "RFC 9110 §5.1",
  );
}
