/**
 * Request and response heads (RFC 9112 §3–§6): from the octets of a whole head to a value, or to
 * the reason why it is refused. The octets stay with the value, since they are what is forwarded.
 */
import { type Field, listElements } from "../http/fields.ts";
import { type Http1Error, http1Error } from "./errors.ts";
import { quoteFound } from "../http/quote.ts";
import type { FieldLimits } from "./field_lines.ts";
import {
  type ControlFields,
  controlFields,
  declaredFraming,
  type Framing,
  isPersistent,
  NO_BODY,
  type Version,
} from "./framing.ts";
import { CR, decodeLatin1, LF, OCTET_CLASS, SP, TARGET, TEXT, TOKEN } from "./grammar.ts";
import { badOctet, bareCr } from "./head_reader.ts";
import { parseHostValue } from "./host.ts";
import { badTargetOctet, classifyTarget, DEFAULT_PORTS, type Target } from "./target.ts";
import { readFieldLines, type Tolerance, type Tolerated } from "./tolerance.ts";

export type { Framing, Version } from "./framing.ts";
export type { FieldLimits } from "./field_lines.ts";

export interface RequestHead {
  readonly type: "request";
  readonly method: string;
  readonly target: string;
  readonly parsedTarget: Target;
  readonly version: Version;
  readonly fields: readonly Field[];
  /** The head as it came, from the start-line to the empty line. */
  readonly bytes: Uint8Array;
  readonly framing: Framing;
  /**
   * The client may send another request on this connection. For HTTP/1.0 that takes `keep-alive`,
   * which RFC 9112 §C.2.2 discourages between proxies but clients on the same machine still use.
   */
  readonly keepAlive: boolean;
  readonly expectContinue: boolean;
  /** The client offers another protocol: `Upgrade`, named in `Connection`, in HTTP/1.1 (RFC 9110 §7.8). */
  readonly upgrade: boolean;
  /** The value of Host; empty where HTTP/1.0 has none. */
  readonly host: string;
  readonly tolerated: Tolerated;
}

export interface ResponseHead {
  readonly type: "response";
  readonly version: Version;
  readonly status: number;
  readonly reason: string;
  /** A value that goes on in further lines as one, with a space for each fold. */
  readonly fields: readonly Field[];
  readonly bytes: Uint8Array;
  readonly tolerated: Tolerated;
}

export interface ResponseFraming {
  readonly framing: Framing;
  /** The server keeps the connection after this response. */
  readonly keepAlive: boolean;
}

export function parseRequestHead(
  bytes: Uint8Array,
  limits: FieldLimits,
  tolerance: Tolerance = "none",
): RequestHead | Http1Error {
  const text = decodeLatin1(bytes);
  const line = parseRequestLine(bytes, text);
  if (line.type === "error") return line;
  const { method, target, version } = line;
  const parsedTarget = classifyTarget(target, method);
  if ("type" in parsedTarget) return { ...parsedTarget, offset: parsedTarget.offset + method.length + 1 };
  const lines = readFieldLines(bytes, text, line.next, limits, tolerance);
  if (lines.type === "error") return lines;
  const { fields } = lines;
  const control = controlFields(fields);
  const hostError = checkHost(control.host, version, parsedTarget);
  if (hostError !== null) return hostError;
  const framing = declaredFraming(control, version);
  if (framing !== null && framing.type === "error") return framing;
  return {
    type: "request",
    method,
    target,
    parsedTarget,
    version,
    fields,
    bytes,
    framing: framing ?? NO_BODY,
    keepAlive: isPersistent(control, version),
    expectContinue: control.expect.length > 0 && version === "HTTP/1.1" &&
      listElements(control.expect).includes("100-continue"),
    upgrade: control.upgrade.length > 0 && version === "HTTP/1.1" && offersUpgrade(control),
    host: control.host[0] ?? "",
    tolerated: lines.tolerated,
  };
}

export function parseResponseHead(
  bytes: Uint8Array,
  limits: FieldLimits,
  tolerance: Tolerance = "none",
): ResponseHead | Http1Error {
  const text = decodeLatin1(bytes);
  const version = versionAt(text, 0);
  if (version === null) {
    if (/^HTTP\/[0-9]\.[0-9] /.test(text)) return invalidVersion(text.slice(0, 8), 0);
    return invalidStatusLine(text, "begins with HTTP/1.1 or HTTP/1.0 and a space");
  }
  if (bytes[8] !== SP) return invalidStatusLine(text, "has one space after the version");
  const status = statusAt(bytes, 9);
  if (status === null) return invalidStatusLine(text, "has a status of three digits, 100 to 999");
  // §4 wants the space even when no reason follows. Servers forget it, and nothing depends on it.
  let reasonStart = 12;
  if (bytes[12] === SP) reasonStart = 13;
  else if (bytes[12] !== CR && !(bytes[12] === LF && tolerance === "lines")) {
    return invalidStatusLine(text, "has one space between status and reason");
  }
  let index = reasonStart;
  while (index < bytes.length && (OCTET_CLASS[bytes[index]!]! & TEXT) !== 0) index++;
  const bareLf = bytes[index] === LF && tolerance === "lines";
  const lineError = bareLf ? null : checkLineEnd(bytes, index);
  if (lineError !== null) return lineError;
  const lines = readFieldLines(bytes, text, index + (bareLf ? 1 : 2), limits, tolerance, bareLf);
  if (lines.type === "error") return lines;
  return {
    type: "response",
    version,
    status,
    reason: text.substring(reasonStart, index),
    fields: lines.fields,
    bytes,
    tolerated: lines.tolerated,
  };
}

/**
 * The body of a final or interim response (RFC 9112 §6.3). What the fields declare is checked even
 * where no body can follow, since the other side might believe them. A 101 is the caller's: what
 * follows is no longer HTTP.
 */
export function responseFraming(head: ResponseHead, requestMethod: string): ResponseFraming | Http1Error {
  const control = controlFields(head.fields);
  const declared = declaredFraming(control, head.version);
  if (declared !== null && declared.type === "error") return declared;
  const keepAlive = isPersistent(control, head.version);
  const { status } = head;
  if (status < 200) return { framing: NO_BODY, keepAlive: true };
  if (
    requestMethod === "HEAD" || status === 204 || status === 304 ||
    (requestMethod === "CONNECT" && status < 300)
  ) {
    return { framing: NO_BODY, keepAlive };
  }
  if (declared !== null) return { framing: declared, keepAlive };
  return { framing: UNTIL_CLOSE, keepAlive: false };
}

const UNTIL_CLOSE: Framing = { type: "until_close" };

export interface RequestLine {
  readonly type: "request_line";
  readonly method: string;
  readonly target: string;
  readonly version: Version;
  /** Offset of the first field line. */
  readonly next: number;
}

/**
 * `method SP request-target SP HTTP-version CRLF` with exactly these single spaces (RFC 9112 §3).
 * `targetClass` is the octet class allowed in the target.
 */
export function parseRequestLine(
  bytes: Uint8Array,
  text: string,
  targetClass: number = TARGET,
): RequestLine | Http1Error {
  const length = bytes.length;
  let index = 0;
  while (index < length && (OCTET_CLASS[bytes[index]!]! & TOKEN) !== 0) index++;
  const methodEnd = index;
  if (methodEnd === 0 || bytes[methodEnd] !== SP) return methodError(bytes, text, methodEnd);
  const targetStart = ++index;
  while (index < length && (OCTET_CLASS[bytes[index]!]! & targetClass) !== 0 && bytes[index] !== SP) index++;
  const targetEnd = index;
  if (targetEnd === targetStart || bytes[targetEnd] !== SP) return targetError(bytes, text, targetEnd);
  const version = versionAt(text, targetEnd + 1);
  index = targetEnd + 9;
  if (version === null || bytes[index] !== CR) return versionError(bytes, text, targetEnd + 1);
  const lineError = checkLineEnd(bytes, index);
  if (lineError !== null) return lineError;
  return {
    type: "request_line",
    method: text.substring(0, methodEnd),
    target: text.substring(targetStart, targetEnd),
    version,
    next: index + 2,
  };
}

function versionAt(text: string, offset: number): Version | null {
  if (text.startsWith("HTTP/1.1", offset)) return "HTTP/1.1";
  return text.startsWith("HTTP/1.0", offset) ? "HTTP/1.0" : null;
}

function statusAt(bytes: Uint8Array, offset: number): number | null {
  let status = 0;
  for (let index = offset; index < offset + 3; index++) {
    const digit = (bytes[index] ?? 0) - 0x30;
    if (digit < 0 || digit > 9) return null;
    status = status * 10 + digit;
  }
  return status >= 100 ? status : null;
}

/** A missing, repeated or malformed Host, or one that disagrees with the target (RFC 9112 §3.2). */
function checkHost(values: readonly string[], version: Version, target: Target): Http1Error | null {
  if (values.length > 1) {
    return http1Error(
      "repeated_host",
      `the request has ${values.length} Host fields; it must have one`,
      0,
      "RFC 9112 §3.2",
    );
  }
  const value = values[0];
  if (value === undefined) {
    return version === "HTTP/1.0"
      ? null
      : http1Error("missing_host", "an HTTP/1.1 request has no Host field", 0, "RFC 9112 §3.2");
  }
  // An empty Host is valid: it says that the target has no authority.
  if (value === "" && target.form !== "absolute") return null;
  const host = value === "" ? null : parseHostValue(value);
  if (host !== null && "type" in host) return { ...host, code: "invalid_host" };
  if (target.form !== "absolute") return null;
  // §3.2.2 has a proxy replace Host by the target's authority. We forward bytes as they came, and a
  // client that names two servers is either broken or hoping that someone looks at the other one.
  if (
    host !== null && host.host === target.authority.host &&
    (host.port ?? DEFAULT_PORTS[target.scheme]) === target.authority.port
  ) return null;
  return http1Error(
    "host_target_mismatch",
    `the Host field ${quoteFound(value)} disagrees with the target's authority`,
    0,
    "RFC 9112 §3.2.2",
  );
}

function offersUpgrade(control: ControlFields): boolean {
  return control.upgrade.some((value) => value !== "") &&
    listElements(control.connection).includes("upgrade");
}

function checkLineEnd(bytes: Uint8Array, index: number): Http1Error | null {
  if (index >= bytes.length) return truncatedLine(index);
  if (bytes[index] !== CR) return badOctet(bytes[index]!, index);
  return bytes[index + 1] === LF ? null : bareCr(index);
}

function methodError(bytes: Uint8Array, text: string, index: number): Http1Error {
  const octetError = lineOctetError(bytes, index);
  if (octetError !== null) return octetError;
  if (bytes[index] === CR || index === 0 && bytes[index] === SP) return malformedRequestLine(text);
  return http1Error(
    "invalid_method",
    `the method in ${quoteFound(firstLine(text))} is not a token followed by one space`,
    index,
    "RFC 9112 §3.1",
  );
}

function targetError(bytes: Uint8Array, text: string, index: number): Http1Error {
  const octetError = lineOctetError(bytes, index);
  if (octetError !== null) return octetError;
  if (bytes[index] === CR || bytes[index] === SP) return malformedRequestLine(text);
  return badTargetOctet(bytes[index]!, index);
}

function versionError(bytes: Uint8Array, text: string, start: number): Http1Error {
  let index = start;
  while (index < bytes.length && (OCTET_CLASS[bytes[index]!]! & TEXT) !== 0) index++;
  const octetError = lineOctetError(bytes, index);
  if (octetError !== null) return octetError;
  const found = text.substring(start, index);
  return /[ \t]/.test(found) ? malformedRequestLine(text) : invalidVersion(found, start);
}

/** What is wrong with the octet itself, whatever its place; null where it may stand in a head. */
function lineOctetError(bytes: Uint8Array, index: number): Http1Error | null {
  if (index >= bytes.length) return truncatedLine(index);
  const octet = bytes[index]!;
  if (octet === CR) return bytes[index + 1] === LF ? null : bareCr(index);
  return (OCTET_CLASS[octet]! & TEXT) === 0 ? badOctet(octet, index) : null;
}

function truncatedLine(index: number): Http1Error {
  return http1Error("truncated_message", "the bytes end inside the start-line", index, "RFC 9112 §2.1");
}

function malformedRequestLine(text: string): Http1Error {
  return http1Error(
    "malformed_start_line",
    `the request line ${quoteFound(firstLine(text))} is not METHOD TARGET VERSION with one space between`,
    0,
    "RFC 9112 §3",
  );
}

function invalidVersion(found: string, offset: number): Http1Error {
  return http1Error(
    "invalid_version",
    `the version is ${quoteFound(found)}; HTTP/1.1 and HTTP/1.0 are supported`,
    offset,
    "RFC 9112 §2.3",
  );
}

function invalidStatusLine(text: string, rule: string): Http1Error {
  return http1Error(
    "invalid_status_line",
    `the status line is ${quoteFound(firstLine(text))}; a status line ${rule}`,
    0,
    "RFC 9112 §4",
  );
}

function firstLine(text: string): string {
  const end = text.indexOf("\r");
  return end < 0 ? text : text.slice(0, end);
}
