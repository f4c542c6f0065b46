/**
 * What a decoded list of fields says as the head of a request, of a response, or as trailers, or why
 * it is malformed (RFC 9113 §8.1.1, §8.2 and §8.3). A malformed section is a stream error.
 *
 * Where an override says so (`strict_headers = false`) two things are let through that real peers send: white space
 * around a value, which some libraries leave to their users, and in responses the fields of HTTP/1.1's connections,
 * which servers put into every response. Neither says where a message ends, for frames do. Not Transfer-Encoding,
 * which a server behind might believe when it speaks HTTP/1.1 further on, nor guarded fields with white space, nor
 * anything in pseudo-header fields; CR, LF and NUL never.
 *
 * Fields are judged by what was found out when they were decoded. Values of pseudo-header fields
 * have grammars of their own. Where a looser one is harmless between two HTTP/2 peers it is taken:
 * nothing is written anew in another syntax, and the server judges for itself.
 */
import type { Side } from "../core/side.ts";
import type { Field } from "../http/fields.ts";
import { isGuarded } from "../http/guarded_fields.ts";
import { type Http2Error, http2Error, type Http2ErrorCode } from "./errors.ts";
import { quoteFound } from "../http/quote.ts";
import { expectAgain } from "../log/recurring.ts";
import type { HpackField } from "./hpack_table.ts";

export interface RequestSection {
  readonly type: "request";
  readonly method: string;
  /** Null, as `path`, for CONNECT without a protocol (§8.5). */
  readonly scheme: string | null;
  readonly path: string | null;
  readonly authority: string | null;
  /** Extended CONNECT (RFC 8441): what the stream carries, e.g. `websocket`. */
  readonly protocol: string | null;
  /** The Host field. */
  readonly host: string | null;
  /** `authority` and `host` are both there and don't name the same host and port (§8.3.1). */
  readonly hostDiffers: boolean;
  /** The field lines after the pseudo-header fields. */
  readonly fields: readonly Field[];
  readonly contentLength: number | null;
  /** Codes of what was let through; undefined: nothing. */
  readonly tolerated?: readonly Http2ErrorCode[] | undefined;
}

export interface ResponseSection {
  readonly type: "response";
  readonly status: number;
  readonly fields: readonly Field[];
  readonly contentLength: number | null;
  readonly tolerated?: readonly Http2ErrorCode[] | undefined;
}

export interface TrailerSection {
  readonly type: "trailers";
  readonly fields: readonly Field[];
  readonly tolerated?: readonly Http2ErrorCode[] | undefined;
}

/** Where the section stands, for its errors. */
export interface SectionOrigin {
  readonly by: Side;
  readonly streamId: number;
  /** What may be let through is. The same for all sections of a connection. */
  readonly tolerant?: boolean;
}

/** Sections by lists that will come again; null until one has been read. */
const SECTIONS = new WeakMap<readonly HpackField[], RequestSection | ResponseSection | null>();

/** This very list will stand for further blocks, so that what it says need be found out only once. */
export function expectListAgain(list: readonly HpackField[]): void {
  SECTIONS.set(list, null);
}

function keepSection<Section extends RequestSection | ResponseSection>(
  list: readonly HpackField[],
  section: Section,
): Section {
  if (SECTIONS.has(list)) {
    SECTIONS.set(list, section);
    expectAgain(section.fields);
  }
  return section;
}

/** The head of a request, in HEADERS of a client or in PUSH_PROMISE. */
export function readRequest(list: readonly HpackField[], origin: SectionOrigin): RequestSection | Http2Error {
  const known = SECTIONS.get(list);
  if (known?.type === "request") return known;
  const common = readCommon(list, origin, REQUEST_PSEUDO_FIELDS);
  if (common.type === "error") return common;
  const { pseudo, fields, contentLength, host, tolerated } = common;
  const method = pseudo.get("method");
  if (method === undefined) return missing(":method", origin);
  if (!TOKEN.test(method)) return refuse("invalid_method", ":method", method, "a token", origin);
  const protocol = pseudo.get("protocol") ?? null;
  const scheme = pseudo.get("scheme") ?? null;
  const path = pseudo.get("path") ?? null;
  const authority = pseudo.get("authority") ?? null;
  const error = method === "CONNECT" && protocol === null
    ? checkConnect(scheme, path, authority, origin)
    : checkTarget(method, protocol, scheme, path, authority, origin);
  if (error !== null) return error;
  if (authority !== null && !AUTHORITY.test(authority)) {
    return refuse("invalid_authority", ":authority", withoutUserinfo(authority), "host or host:port", origin);
  }
  // An empty Host is valid: it says that the target has no authority (RFC 9110 §7.2).
  if (host !== null && host !== "" && !AUTHORITY.test(host)) {
    return refuse("invalid_host", "host", withoutUserinfo(host), "host or host:port", origin);
  }
  const hostDiffers = authority !== null && host !== null && authority !== host &&
    canonicalAuthority(authority, scheme) !== canonicalAuthority(host, scheme);
  return keepSection(list, {
    type: "request",
    method,
    scheme,
    path,
    authority,
    protocol,
    host,
    hostDiffers,
    fields,
    contentLength,
    tolerated,
  });
}

/** The head of a final or interim response. */
export function readResponse(
  list: readonly HpackField[],
  origin: SectionOrigin,
): ResponseSection | Http2Error {
  const known = SECTIONS.get(list);
  if (known?.type === "response") return known;
  const common = readCommon(list, origin, RESPONSE_PSEUDO_FIELDS);
  if (common.type === "error") return common;
  const { pseudo, fields, contentLength, tolerated } = common;
  const status = pseudo.get("status");
  if (status === undefined) return missing(":status", origin);
  // §8.6: there is no 101 in HTTP/2.
  if (!STATUS.test(status) || status === "101") {
    return refuse("invalid_status", ":status", status, "three digits, from 100 on and not 101", origin);
  }
  return keepSection(list, { type: "response", status: Number(status), fields, contentLength, tolerated });
}

export function readTrailers(
  list: readonly HpackField[],
  origin: SectionOrigin,
): TrailerSection | Http2Error {
  const common = readCommon(list, origin, NO_PSEUDO_FIELDS);
  if (common.type === "error") return common;
  return { type: "trailers", fields: common.fields, tolerated: common.tolerated };
}

const PSEUDO_FIELDS = ["method", "scheme", "authority", "path", "protocol", "status"] as const;
type PseudoField = typeof PSEUDO_FIELDS[number];

const REQUEST_PSEUDO_FIELDS: ReadonlySet<PseudoField> = new Set<PseudoField>([
  "method",
  "scheme",
  "authority",
  "path",
  "protocol",
]);
const RESPONSE_PSEUDO_FIELDS: ReadonlySet<PseudoField> = new Set<PseudoField>(["status"]);
const NO_PSEUDO_FIELDS: ReadonlySet<PseudoField> = new Set<PseudoField>();

interface Common {
  readonly type: "common";
  readonly pseudo: ReadonlyMap<PseudoField, string>;
  readonly fields: readonly Field[];
  readonly contentLength: number | null;
  readonly host: string | null;
  readonly tolerated?: readonly Http2ErrorCode[] | undefined;
}

/** What holds in every section: §8.2, and the place of pseudo-header fields of §8.3. */
function readCommon(
  list: readonly HpackField[],
  origin: SectionOrigin,
  allowed: ReadonlySet<PseudoField>,
): Common | Http2Error {
  const pseudo = new Map<PseudoField, string>();
  const fields: Field[] = [];
  let contentLength: number | null = null;
  let host: string | null = null;
  let tolerated: Http2ErrorCode[] | undefined;
  for (const { field, kind, validValue } of list) {
    const [name, value] = field;
    if (
      !validValue && origin.tolerant === true && kind === "regular" && !isGuarded(name) &&
      !/[\r\n\0]/.test(value)
    ) {
      tolerated = added(tolerated, "invalid_field_value");
    } else if (!validValue) {
      // Not the value: it may be one that is redacted elsewhere.
      return malformed(
        "invalid_field_value",
        `the value of ${quoteFound(name)} ${
          /[\r\n\0]/.test(value) ? "holds CR, LF or NUL" : "begins or ends with white space"
        }, which none may`,
        origin,
      );
    }
    switch (kind) {
      case "regular":
        break;
      case "invalid_name":
        return malformed(
          "invalid_field_name",
          `the field name ${quoteFound(name)} is no lower-case token`,
          origin,
        );
      case "connection_specific":
        if (origin.tolerant === true && allowed === RESPONSE_PSEUDO_FIELDS && name !== "transfer-encoding") {
          tolerated = added(tolerated, "connection_specific_field");
          break;
        }
        return malformed("connection_specific_field", `${name} has no place in HTTP/2; remove it`, origin);
      case "te":
        if (value.toLowerCase() !== "trailers") {
          return refuse("invalid_te", "te", value, '"trailers"', origin);
        }
        break;
      case "host":
        if (host !== null) {
          return malformed("repeated_host", "there are several host fields; one is allowed", origin);
        }
        host = value;
        break;
      case "content_length": {
        const length = readContentLength(value, contentLength, origin);
        if (typeof length !== "number") return length;
        contentLength = length;
        break;
      }
      case "unknown_pseudo":
        return malformed(
          "unknown_pseudo_field",
          `nobody defines the pseudo-header field ${quoteFound(name)}`,
          origin,
        );
      default: {
        if (!allowed.has(kind) || fields.length > 0) return misplaced(name, kind, allowed, origin);
        if (pseudo.has(kind)) {
          return malformed("repeated_pseudo_field", `${name} stands there twice; once is allowed`, origin);
        }
        pseudo.set(kind, value);
        continue;
      }
    }
    fields.push(field);
  }
  return { type: "common", pseudo, fields, contentLength, host, tolerated };
}

function added(codes: Http2ErrorCode[] | undefined, code: Http2ErrorCode): Http2ErrorCode[] {
  if (codes === undefined) return [code];
  if (!codes.includes(code)) codes.push(code);
  return codes;
}

function misplaced(
  name: string,
  kind: PseudoField,
  allowed: ReadonlySet<PseudoField>,
  origin: SectionOrigin,
): Http2Error {
  const why = allowed.has(kind)
    ? "follows other fields; pseudo-header fields come first"
    : allowed.size === 0
    ? "stands in trailers, which have no pseudo-header fields"
    : `stands in a ${allowed === REQUEST_PSEUDO_FIELDS ? "request" : "response"}, which does not have it`;
  return malformed("misplaced_pseudo_field", `${name} ${why}`, origin);
}

/** `1*DIGIT`; repeated, and as a list, it is valid where all are the same (RFC 9110 §8.6). */
function readContentLength(value: string, before: number | null, origin: SectionOrigin): number | Http2Error {
  let length = before;
  for (const element of value.split(",")) {
    const digits = LIST_ELEMENT.exec(element)?.[1];
    const number = digits === undefined ? Infinity : Number(digits);
    if (number > Number.MAX_SAFE_INTEGER || (length !== null && length !== number)) {
      return refuse(
        "invalid_content_length",
        "content-length",
        value,
        length === null ? "a decimal number up to 2^53-1" : `${length}, as it was before`,
        origin,
      );
    }
    length = number;
  }
  return length!;
}

/** §8.5: host and port alone. */
function checkConnect(
  scheme: string | null,
  path: string | null,
  authority: string | null,
  origin: SectionOrigin,
): Http2Error | null {
  if (scheme !== null || path !== null) {
    return malformed(
      "invalid_connect",
      "CONNECT has :scheme or :path; without :protocol it has neither",
      origin,
    );
  }
  if (authority !== null && PORT_AT_END.test(authority)) return null;
  return refuse("invalid_connect", ":authority of CONNECT", authority ?? "", "host:port", origin);
}

/** §8.3.1, and RFC 8441 §4 for extended CONNECT. */
function checkTarget(
  method: string,
  protocol: string | null,
  scheme: string | null,
  path: string | null,
  authority: string | null,
  origin: SectionOrigin,
): Http2Error | null {
  if (protocol !== null) {
    if (method !== "CONNECT") {
      return malformed(
        "invalid_protocol",
        `:protocol goes with CONNECT, not with ${quoteFound(method)}`,
        origin,
      );
    }
    if (!TOKEN.test(protocol)) return refuse("invalid_protocol", ":protocol", protocol, "a token", origin);
    if (authority === null) return missing(":authority", origin);
  }
  if (scheme === null) return missing(":scheme", origin);
  if (path === null) return missing(":path", origin);
  if (!SCHEME.test(scheme)) {
    return refuse("invalid_scheme", ":scheme", scheme, "a URI scheme like https", origin);
  }
  const isHttp = HTTP_SCHEME.test(scheme);
  const validStart = path.startsWith("/") || (path === "*" && method === "OPTIONS") ||
    (!isHttp && path !== "");
  if (validStart && PATH.test(path)) return null;
  return refuse(
    "invalid_path",
    ":path",
    path,
    'a path that begins with "/", without spaces and fragment',
    origin,
  );
}

const TOKEN = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/;

/**
 * Visible octets without `#`: a fragment never goes on the wire, and readers disagree on where the
 * path ends. RFC 3986 has no octets above 0x7f, but tools send what they are given and servers take
 * it.
 */
const PATH = /^[!"$-~\x80-\xff]+$/;

const STATUS = /^[1-9][0-9]{2}$/;
const SCHEME = /^[A-Za-z][A-Za-z0-9+.-]*$/;
const HTTP_SCHEME = /^https?$/i;
const LIST_ELEMENT = /^[ \t]*([0-9]{1,16})[ \t]*$/;
const PORT_AT_END = /:[0-9]+$/;

/**
 * The octets of `uri-host` and port (RFC 3986 §3.2), with `%` since paths of Unix sockets are
 * written so. No `@`: user information is refused (§8.3.1), and nobody reads it alike.
 */
const AUTHORITY = /^(?:[A-Za-z0-9._~!$&'()*+,;=%-]+|\[[0-9A-Za-z:.]+\])(?::[0-9]*)?$/;

/** For comparison: one spelling where the difference means nothing (RFC 9110 §4.2.3). */
function canonicalAuthority(authority: string, scheme: string | null): string {
  const lower = authority.toLowerCase();
  const port = /:([0-9]*)$/.exec(lower)?.[1];
  const name = port === undefined ? lower : lower.slice(0, -port.length - 1);
  const host = name.endsWith(".") ? name.slice(0, -1) : name;
  const isDefault = port === undefined || port === "" ||
    Number(port) === (scheme?.toLowerCase() === "http" ? 80 : 443);
  return isDefault ? host : `${host}:${Number(port)}`;
}

/** A password must not turn up in an answer or in the log. */
function withoutUserinfo(authority: string): string {
  return authority.slice(Math.max(0, authority.lastIndexOf("@")));
}

function missing(name: string, origin: SectionOrigin): Http2Error {
  return malformed("missing_pseudo_field", `there is no ${name}`, origin);
}

function refuse(
  code: Http2ErrorCode,
  name: string,
  found: string,
  allowed: string,
  origin: SectionOrigin,
): Http2Error {
  return malformed(code, `${name} is ${quoteFound(found)}; allowed is ${allowed}`, origin);
}

function malformed(code: Http2ErrorCode, detail: string, origin: SectionOrigin): Http2Error {
  return http2Error(code, origin.by, origin.streamId, detail);
}
