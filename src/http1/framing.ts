/**
 * Where a message body ends (RFC 9112 §6.3) and whether the connection goes on after it (§9.3).
 * Whatever could let two readers disagree on the length is an error, in requests and in responses
 * alike: this is where request smuggling lives.
 */
import { type Field, listElements } from "../http/fields.ts";
import { type Http1Error, http1Error } from "./errors.ts";
import { quoteFound } from "../http/quote.ts";

export type Version = "HTTP/1.0" | "HTTP/1.1";

export type Framing =
  | { readonly type: "none" }
  | { readonly type: "length"; readonly length: number }
  | { readonly type: "chunked" }
  | { readonly type: "until_close" };

export const NO_BODY: Framing = { type: "none" };
const CHUNKED: Framing = { type: "chunked" };

/** The values of the fields that decide on framing and on the connection, in order. */
export interface ControlFields {
  readonly host: readonly string[];
  readonly connection: readonly string[];
  readonly contentLength: readonly string[];
  readonly transferEncoding: readonly string[];
  readonly expect: readonly string[];
  readonly upgrade: readonly string[];
}

/** Collects the control fields in one pass; a name's length rules out nearly all others. */
export function controlFields(fields: readonly Field[]): ControlFields {
  const found = {
    host: NONE,
    connection: NONE,
    contentLength: NONE,
    transferEncoding: NONE,
    expect: NONE,
    upgrade: NONE,
  };
  for (const [name, value] of fields) {
    switch (name.length) {
      case 4:
        if (name.toLowerCase() === "host") found.host = append(found.host, value);
        break;
      case 6:
        if (name.toLowerCase() === "expect") found.expect = append(found.expect, value);
        break;
      case 7:
        if (name.toLowerCase() === "upgrade") found.upgrade = append(found.upgrade, value);
        break;
      case 10:
        if (name.toLowerCase() === "connection") found.connection = append(found.connection, value);
        break;
      case 14:
        if (name.toLowerCase() === "content-length") {
          found.contentLength = append(found.contentLength, value);
        }
        break;
      case 17:
        if (name.toLowerCase() === "transfer-encoding") {
          found.transferEncoding = append(found.transferEncoding, value);
        }
        break;
    }
  }
  return found;
}

const NONE: readonly string[] = [];

function append(values: readonly string[], value: string): readonly string[] {
  return values.length === 0 ? [value] : [...values, value];
}

/**
 * The framing that the fields declare, or null when they declare none; a length of 0 is no body,
 * so that nobody waits for bytes that never come. Both fields at once are an error in either
 * direction, as is Transfer-Encoding in HTTP/1.0.
 */
export function declaredFraming(control: ControlFields, version: Version): Framing | null | Http1Error {
  const { contentLength, transferEncoding } = control;
  if (transferEncoding.length > 0) {
    if (version === "HTTP/1.0") {
      return http1Error(
        "transfer_encoding_in_http10",
        "an HTTP/1.0 message has a Transfer-Encoding, which that version does not know",
        0,
        "RFC 9112 §6.1",
      );
    }
    const error = checkTransferEncoding(transferEncoding);
    if (error !== null) return error;
    if (contentLength.length > 0) {
      return http1Error(
        "content_length_with_transfer_encoding",
        "the message has both Content-Length and Transfer-Encoding; only one can tell its length",
        0,
        "RFC 9112 §6.3",
      );
    }
    return CHUNKED;
  }
  if (contentLength.length === 0) return null;
  const length = parseContentLength(contentLength);
  if (typeof length !== "number") return length;
  return length === 0 ? NO_BODY : { type: "length", length };
}

/** `1*DIGIT`; repeated values and lists are one value if they are the same digits (RFC 9110 §8.6). */
function parseContentLength(values: readonly string[]): number | Http1Error {
  let first: string | null = null;
  for (const value of values) {
    for (const element of value.split(",")) {
      const digits = trimWhitespace(element);
      if (!/^[0-9]+$/.test(digits) || Number(digits) > Number.MAX_SAFE_INTEGER) {
        return http1Error(
          "invalid_content_length",
          `Content-Length is ${quoteFound(value)}; it is a decimal number up to 2^53-1`,
          0,
          "RFC 9110 §8.6",
        );
      }
      if (first === null) first = digits;
      else if (first !== digits) {
        return http1Error(
          "conflicting_content_length",
          `Content-Length is both ${quoteFound(first)} and ${quoteFound(digits)}`,
          0,
          "RFC 9112 §6.3",
        );
      }
    }
  }
  return Number(first);
}

/**
 * Exactly `chunked`, once (its case doesn't matter). §6.3 would let other codings stand before it,
 * but clients never ask for them, servers behind us differ in what they make of them, and what we
 * hand on as content would still be compressed. A response whose last coding is not chunked would
 * end with the connection; no server means that.
 */
function checkTransferEncoding(values: readonly string[]): Http1Error | null {
  if (values.length === 1 && values[0]!.toLowerCase() === "chunked") return null;
  return http1Error(
    "invalid_transfer_encoding",
    `Transfer-Encoding is ${quoteFound(values.join(", "))}; only a single "chunked" is supported`,
    0,
    "RFC 9112 §6.3",
  );
}

/** Whether the connection may carry another message after this one (RFC 9112 §9.3). */
export function isPersistent(control: ControlFields, version: Version): boolean {
  if (control.connection.length === 0) return version === "HTTP/1.1";
  const options = listElements(control.connection);
  if (options.includes("close")) return false;
  return version === "HTTP/1.1" || options.includes("keep-alive");
}

/** Only SP and HTAB are OWS; `String.trim` would also take NBSP, which is an octet like any other here. */
function trimWhitespace(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isWhitespace(text.charCodeAt(start))) start++;
  while (end > start && isWhitespace(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

function isWhitespace(code: number): boolean {
  return code === 0x20 || code === 0x09;
}
