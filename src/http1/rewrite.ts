/**
 * The one place where a request is changed on its way: plain HTTP sent to us as a proxy
 * (RFC 9112 §3.2.1–§3.2.2). The absolute-form target becomes origin-form, the version ours, and the
 * fields that address this proxy go; every other line keeps its octets and its place.
 */
import { type Authority, formatAuthority } from "../core/authority.ts";
import { CR, encodeLatin1, LF } from "./grammar.ts";
import type { RequestHead } from "./head.ts";
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
  const { bytes } = head;
  let lineStart = nextLine(bytes, 0);
  for (const [name, value] of head.fields) {
    const lineEnd = nextLine(bytes, lineStart);
    const lowerName = name.toLowerCase();
    if (lowerName === "connection") {
      const rest = withoutProxyFields(value);
      if (rest === value) parts.push(bytes.subarray(lineStart, lineEnd));
      else if (rest !== "") parts.push(encodeLatin1(`${name}: ${rest}\r\n`));
    } else if (!PROXY_FIELDS.has(lowerName)) {
      parts.push(bytes.subarray(lineStart, lineEnd));
    }
    lineStart = lineEnd;
  }
  parts.push(bytes.subarray(lineStart));
  return concat(parts);
}

/** The value of a Connection field without the names of fields that are removed; unchanged if it has none. */
function withoutProxyFields(value: string): string {
  const options = value.split(",").map((option) => option.trim());
  const kept = options.filter((option) => !PROXY_FIELDS.has(option.toLowerCase()));
  return kept.length === options.length ? value : kept.filter((option) => option !== "").join(", ");
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
