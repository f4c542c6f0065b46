/**
 * The one place where heads are changed on their way. First, plain HTTP sent to us as a proxy. In a
 * request (RFC 9112 §3.2.1–§3.2.2) the absolute-form target becomes origin-form, the version ours,
 * and the fields that address this proxy go. In a response to an HTTP/1.0 client the chunked coding
 * goes (§6.1, §7.1.3). From any response the fields go that an override strips. Every other line keeps its octets and its place.
 */
import { type Authority, formatAuthority } from "../core/authority.ts";
import { CR, encodeLatin1, LF } from "./grammar.ts";
import type { RequestHead, ResponseHead } from "./head.ts";
import { DEFAULT_PORTS } from "./target.ts";

/** The fields of RFC 9110 §11.7.2 and of custom that speak to the proxy, not to the server. */
const PROXY_FIELDS: ReadonlySet<string> = new Set(["proxy-connection", "proxy-authorization"]);

/**
 * The head to send to `authority` for a request in absolute-form whose target there is `path`.
 * `Connection` stays as the client sent it, except for the names of removed fields. HTTP/1.0
 * without Host gets one, since we send HTTP/1.1.
 */
export function toOriginForm(head: RequestHead, path: string, authority: Authority): Uint8Array {
  const parts: Uint8Array[] = [encodeLatin1(`${head.method} ${path} HTTP/1.1\r\n`)];
  if (!head.fields.some(([name]) => name.toLowerCase() === "host")) {
    const value = authority.port === DEFAULT_PORTS.http
      ? formatAuthority(authority).replace(/:80$/, "")
      : formatAuthority(authority);
    parts.push(encodeLatin1(`Host: ${value}\r\n`));
  }
  appendLines(parts, head, (name, value) => {
    if (PROXY_FIELDS.has(name)) return null;
    return name === "connection" ? withoutProxyFields(value) : value;
  });
  return concat(parts);
}

/**
 * The head to send to an HTTP/1.0 client for a chunked response whose content goes out without the
 * coding: the end of the connection ends the body, so it says `Connection: close`.
 */
export function withoutTransferCoding(head: ResponseHead, dropped: ReadonlySet<string> = NONE): Uint8Array {
  const parts: Uint8Array[] = [head.bytes.subarray(0, nextLine(head.bytes, 0))];
  parts.push(encodeLatin1("Connection: close\r\n"));
  appendLines(parts, head, (name, value) => CODING_FIELDS.has(name) || dropped.has(name) ? null : value);
  return concat(parts);
}

/** The head without the lines of these fields, names in lower case. */
export function withoutFields(head: ResponseHead, dropped: ReadonlySet<string>): Uint8Array {
  const parts: Uint8Array[] = [head.bytes.subarray(0, nextLine(head.bytes, 0))];
  appendLines(parts, head, (name, value) => dropped.has(name) ? null : value);
  return concat(parts);
}

const NONE: ReadonlySet<string> = new Set();

/** What speaks of the coding or of the connection in a response. */
const CODING_FIELDS: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "trailer",
  "transfer-encoding",
]);

/** Appends the field lines and the empty line; `edit` gives the value to send, null for none. */
function appendLines(
  parts: Uint8Array[],
  { bytes, fields }: RequestHead | ResponseHead,
  edit: (lowerName: string, value: string) => string | null,
): void {
  let lineStart = nextLine(bytes, 0);
  for (const [name, value] of fields) {
    const lineEnd = nextLine(bytes, lineStart);
    const edited = edit(name.toLowerCase(), value);
    if (edited === value) parts.push(bytes.subarray(lineStart, lineEnd));
    else if (edited !== null) parts.push(encodeLatin1(`${name}: ${edited}\r\n`));
    lineStart = lineEnd;
  }
  parts.push(bytes.subarray(lineStart));
}

/** A Connection value without the names of removed fields: unchanged if it has none, null if nothing is left. */
function withoutProxyFields(value: string): string | null {
  const options = value.split(",").map((option) => option.trim());
  const kept = options.filter((option) => !PROXY_FIELDS.has(option.toLowerCase()));
  if (kept.length === options.length) return value;
  return kept.filter((option) => option !== "").join(", ") || null;
}

/** The offset after the next CRLF. The head was parsed, so there is one. */
function nextLine(bytes: Uint8Array, from: number): number {
  let index = bytes.indexOf(CR, from);
  while (index >= 0 && bytes[index + 1] !== LF) index = bytes.indexOf(CR, index + 1);
  return index < 0 ? bytes.length : index + 2;
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const whole = new Uint8Array(length);
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}
