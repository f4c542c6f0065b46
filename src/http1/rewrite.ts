/**
 * The one place where heads are changed on their way. First, plain HTTP sent to us as a proxy. In a
 * request (RFC 9112 §3.2.1–§3.2.2) the absolute-form target becomes origin-form, the version ours,
 * and the fields that address this proxy go. From any request goes the offer to change over to HTTP/2,
 * behind which no request could be decided or seen (RFC 9110 §7.8 has an intermediary's neighbour upgrade
 * with it alone; RFC 9113 §3.1 has given this upgrade up). In a response to an HTTP/1.0 client the chunked coding
 * goes (§6.1, §7.1.3). From any response the fields go that an override strips. Every other line keeps its octets and its place.
 */
import { joinBytes } from "../core/bytes.ts";
import { type Authority, formatAuthority } from "../core/authority.ts";
import { listElements } from "../http/fields.ts";
import { fieldValues } from "../http/media_type.ts";
import { CR, encodeLatin1, HTAB, LF, SP } from "./grammar.ts";
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
  const h2c = h2cOffer(head);
  appendLines(parts, head, (name, value) => {
    if (PROXY_FIELDS.has(name)) return null;
    const kept = name === "connection" ? without(value, PROXY_FIELDS) : value;
    return h2c === null || kept === null ? kept : withoutH2c(name, kept, h2c);
  });
  return joinBytes(parts);
}

/** The octets of a request without its offer to change over to HTTP/2, and whether it offers another upgrade. */
export function withoutH2cOffer(
  head: RequestHead,
): { readonly bytes: Uint8Array; readonly upgrade: boolean } {
  const h2c = h2cOffer(head);
  if (h2c === null) return head;
  const parts: Uint8Array[] = [head.bytes.subarray(0, nextLine(head.bytes, 0))];
  appendLines(parts, head, (name, value) => withoutH2c(name, value, h2c));
  return { bytes: joinBytes(parts), upgrade: !h2c.alone };
}

interface H2cOffer {
  /** Nothing but HTTP/2 is offered. */
  readonly alone: boolean;
}

function h2cOffer({ upgrade, fields }: RequestHead): H2cOffer | null {
  if (!upgrade) return null;
  const offers = listElements(fieldValues(fields, "upgrade"));
  return offers.includes("h2c") ? { alone: offers.every((offer) => offer === "h2c") } : null;
}

function withoutH2c(name: string, value: string, { alone }: H2cOffer): string | null {
  switch (name) {
    case "http2-settings":
      return null;
    case "upgrade":
      return without(value, H2C);
    case "connection":
      return without(value, alone ? UPGRADE_OPTIONS : H2C_OPTIONS);
    default:
      return value;
  }
}

const H2C: ReadonlySet<string> = new Set(["h2c"]);
const H2C_OPTIONS: ReadonlySet<string> = new Set(["http2-settings"]);
const UPGRADE_OPTIONS: ReadonlySet<string> = new Set(["http2-settings", "upgrade"]);

/**
 * The head to send to an HTTP/1.0 client for a chunked response whose content goes out without the
 * coding: the end of the connection ends the body, so it says `Connection: close`.
 */
export function withoutTransferCoding(head: ResponseHead, dropped: ReadonlySet<string> = NONE): Uint8Array {
  const parts: Uint8Array[] = [head.bytes.subarray(0, nextLine(head.bytes, 0))];
  parts.push(encodeLatin1(`Connection: close${lineEndOf(head)}`));
  appendLines(parts, head, (name, value) => CODING_FIELDS.has(name) || dropped.has(name) ? null : value);
  return joinBytes(parts);
}

/** The head without the lines of these fields, names in lower case. */
export function withoutFields(head: ResponseHead, dropped: ReadonlySet<string>): Uint8Array {
  const parts: Uint8Array[] = [head.bytes.subarray(0, nextLine(head.bytes, 0))];
  appendLines(parts, head, (name, value) => dropped.has(name) ? null : value);
  return joinBytes(parts);
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
    const lineEnd = nextFieldLine(bytes, lineStart);
    const edited = edit(name.toLowerCase(), value);
    if (edited === value) parts.push(bytes.subarray(lineStart, lineEnd));
    else if (edited !== null) parts.push(encodeLatin1(`${name}: ${edited}${lineEndOf({ bytes })}`));
    lineStart = lineEnd;
  }
  parts.push(bytes.subarray(lineStart));
}

/** A list without some of its elements: unchanged if it has none of them, null if nothing is left. */
function without(value: string, dropped: ReadonlySet<string>): string | null {
  const options = value.split(",").map((option) => option.trim());
  const kept = options.filter((option) => !dropped.has(option.toLowerCase()));
  if (kept.length === options.length) return value;
  return kept.filter((option) => option !== "").join(", ") || null;
}

/** The offset after the line. The head was parsed, so that an LF ends lines and nothing else. */
function nextLine(bytes: Uint8Array, from: number): number {
  const index = bytes.indexOf(LF, from);
  return index < 0 ? bytes.length : index + 1;
}

/** As `nextLine`, with the lines that its value goes on in. */
function nextFieldLine(bytes: Uint8Array, from: number): number {
  let next = nextLine(bytes, from);
  while (bytes[next] === SP || bytes[next] === HTAB) next = nextLine(bytes, next);
  return next;
}

/** All lines of a head end alike. */
function lineEndOf({ bytes }: { readonly bytes: Uint8Array }): string {
  return bytes[bytes.indexOf(LF) - 1] === CR ? "\r\n" : "\n";
}
