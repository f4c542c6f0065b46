/**
 * CONNECT heads (RFC 9110 §9.3.6, RFC 9112 §3.2.3): the first thing most clients say to a proxy.
 *
 * Strict mode takes the one spelling of the RFC. Lenient mode also takes what sloppy clients send:
 * the method in any case, no port (443 then), `https://host[:port]/…` for the authority, and
 * non-ASCII host names in UTF-8. Both refuse what makes two readers disagree: octets, lines, fields.
 *
 * Host is not required here, though §3.2 wants it in every HTTP/1.1 request: real clients leave it
 * out of CONNECT, and the target alone says where to go. Where it is present it must be one valid
 * value, and it is not compared with the target: clients put the host without its port there.
 */
import type { Authority } from "../core/authority.ts";
import type { Field } from "../http/fields.ts";
import { type Http1Error, http1Error } from "./errors.ts";
import { quoteFound } from "../http/quote.ts";
import { type FieldLimits, parseFieldLines } from "./field_lines.ts";
import { controlFields, type Version } from "./framing.ts";
import { decodeLatin1, encodeLatin1, OCTET_CLASS, TARGET, TEXT, TOKEN } from "./grammar.ts";
import { parseRequestLine } from "./head.ts";
import { canonicalName, parseAuthority, parseHostValue } from "./host.ts";

export interface ConnectHead {
  readonly type: "connect";
  readonly authority: Authority;
  /** The method as it came: `CONNECT`, in lenient mode in any case. */
  readonly method: string;
  /** The request target as it came. */
  readonly raw: string;
  readonly fields: readonly Field[];
  readonly version: Version;
}

export type ConnectParseMode = "strict" | "lenient";

/** The default of `http.max_header_fields`. */
const FIELDS_MAX = 256;

/** Whether a head is meant as a CONNECT, in whatever case: `parseConnectHead` then judges it. */
export function isConnect(bytes: Uint8Array): boolean {
  for (let index = 0; index < NAME.length; index++) {
    if ((bytes[index]! | 0x20) !== NAME[index]) return false;
  }
  const after = bytes[NAME.length];
  return after !== undefined && (OCTET_CLASS[after]! & TOKEN) === 0;
}

const NAME = new TextEncoder().encode("connect");

export function parseConnectHead(
  bytes: Uint8Array,
  mode: ConnectParseMode,
  limits: FieldLimits = { maxHeaderFields: FIELDS_MAX },
): ConnectHead | Http1Error {
  const text = decodeLatin1(bytes);
  // Lenient: any octet but white space and controls may stand in the target until the host is known.
  const line = parseRequestLine(bytes, text, mode === "strict" ? TARGET : TEXT);
  if (line.type === "error") return line;
  const { method, target, version } = line;
  if (method !== "CONNECT" && (mode === "strict" || method.toUpperCase() !== "CONNECT")) {
    return http1Error(
      "invalid_method",
      method.toUpperCase() === "CONNECT"
        ? `the method is ${quoteFound(method)}; write CONNECT${LENIENT_HINT}`
        : `the method is ${quoteFound(method)}; CONNECT is expected`,
      0,
      "RFC 9110 §9.3.6",
    );
  }
  const lines = parseFieldLines(bytes, text, line.next, limits);
  if (lines.type === "error") return lines;
  const hostError = checkHost(lines.fields);
  if (hostError !== null) return hostError;
  const authority = mode === "strict"
    ? strictAuthority(target, method.length + 1)
    : lenientAuthority(target, method.length + 1);
  if ("type" in authority) return authority;
  return { type: "connect", authority, method, raw: target, fields: lines.fields, version };
}

/** What a person can do about a client that cannot be changed. */
const LENIENT_HINT = ', or set http.connect_parse_mode to "lenient"';

function strictAuthority(target: string, offset: number): Authority | Http1Error {
  const scheme = schemeOf(target);
  if (scheme !== null && !target.includes("@")) return schemeRefused(target, offset, scheme === "https");
  const authority = parseAuthority(target, null, offset);
  if ("type" in authority && authority.code === "missing_port") {
    return { ...authority, detail: authority.detail + LENIENT_HINT };
  }
  return authority;
}

function lenientAuthority(target: string, offset: number): Authority | Http1Error {
  let text = target;
  const scheme = schemeOf(target);
  if (scheme !== null) {
    if (scheme !== "https") return schemeRefused(target, offset, false);
    text = target.slice(scheme.length + 3);
    const end = text.search(/[/?#]/);
    if (end >= 0) text = text.slice(0, end);
  }
  const ascii = toAscii(text);
  if (ascii === null) {
    return http1Error(
      "invalid_authority",
      `the host in ${quoteFound(text)} is no domain name in UTF-8; write it as xn--…`,
      offset,
      "RFC 5891 §4.4",
    );
  }
  return parseAuthority(ascii, HTTPS_PORT, offset);
}

const HTTPS_PORT = 443;

function schemeOf(target: string): string | null {
  return /^([A-Za-z][A-Za-z0-9+.-]*):\/\//.exec(target)?.[1]?.toLowerCase() ?? null;
}

/** The host of `host[:port]` as A-labels (RFC 5890) where it has octets outside ASCII; null where it can't be. */
function toAscii(text: string): string | null {
  // deno-lint-ignore no-control-regex
  if (/^[\x00-\x7f]*$/.test(text)) return text;
  const split = /^([^:@%[\]\\]+)((?::[0-9]*)?)$/.exec(text);
  if (split === null) return null;
  let host: string;
  try {
    host = utf8Decoder.decode(encodeLatin1(split[1]!));
  } catch {
    return null;
  }
  const labels = URL.parse(`http://${host}/`)?.hostname;
  if (labels === undefined || canonicalName(labels) === null) return null;
  return labels + split[2]!;
}

const utf8Decoder = new TextDecoder("utf-8", { fatal: true });

function checkHost(fields: readonly Field[]): Http1Error | null {
  const { host } = controlFields(fields);
  if (host.length > 1) {
    return http1Error(
      "repeated_host",
      `the request has ${host.length} Host fields; it must have at most one`,
      0,
      "RFC 9112 §3.2",
    );
  }
  if (host.length === 0 || host[0] === "") return null;
  const value = parseHostValue(host[0]!);
  return "type" in value ? { ...value, code: "invalid_host" } : null;
}

function schemeRefused(target: string, offset: number, hint: boolean): Http1Error {
  return http1Error(
    "scheme_not_allowed",
    `the target of CONNECT is ${quoteFound(target)}; write host:port, without a scheme${
      hint ? LENIENT_HINT : ""
    }`,
    offset,
    "RFC 9112 §3.2.3",
  );
}
