/**
 * Hosts and authorities (RFC 3986 §3.2, RFC 9110 §4.2 and §7.2).
 *
 * Two rules, for two uses. An **authority** is where we connect, so its host must be a name or an
 * address that means one thing to everybody: letters, digits, `-`, `_` and dots, a dotted-quad
 * IPv4 address, or an IPv6 address in brackets. `127.1`, `0x7f.0.0.1` and `2130706433` are refused
 * though resolvers take them for 127.0.0.1: a policy that looks at names would be walked around.
 * The value of a **Host field** is judged by the grammar of `uri-host`, since it is forwarded and
 * only compared.
 */
import type { Authority } from "../core/authority.ts";
import { type Http1Error, http1Error } from "./errors.ts";
import { quoteFound } from "../http/quote.ts";

/** The `uri-host [":" port]` of a Host field: the port is null where none was given. */
export type HostValue = Authority | { readonly host: string; readonly port: null };

/**
 * Parses `host:port`. `defaultPort` null means that the port must be there. The offset of an error
 * is `offset`, where the text begins in its message.
 */
export function parseAuthority(
  text: string,
  defaultPort: number | null,
  offset: number,
): Authority | Http1Error {
  if (text.includes("@")) return userinfoRefused(text, offset);
  const parts = splitPort(text);
  if (parts === null) return unbracketedOrBroken(text, offset);
  const host = parts.host.startsWith("[") ? canonicalIpv6(parts.host) : canonicalName(parts.host);
  if (host === null) {
    return http1Error(
      "invalid_authority",
      `the host ${quoteFound(parts.host)} is neither a domain name nor an IP address`,
      offset,
      "RFC 9110 §4.2",
    );
  }
  if (parts.port === null || parts.port === "") {
    if (defaultPort !== null) return { host, port: defaultPort };
    return http1Error(
      "missing_port",
      `the authority ${quoteFound(text)} has no port; write host:port`,
      offset,
      "RFC 9110 §9.3.6",
    );
  }
  const port = portNumber(parts.port);
  return port === null ? invalidPort(parts.port, offset) : { host, port };
}

/** Parses the value of a Host field, which must not be empty. */
export function parseHostValue(value: string): HostValue | Http1Error {
  if (value.includes("@")) return userinfoRefused(value, 0);
  const parts = splitPort(value);
  if (parts === null) return invalidHost(value);
  const host = parts.host.startsWith("[")
    ? canonicalIpv6(parts.host)
    : REGISTERED_NAME.test(parts.host)
    ? withoutRootDot(parts.host.toLowerCase())
    : null;
  if (host === null || host === "") return invalidHost(value);
  if (parts.port === null || parts.port === "") return { host, port: null };
  const port = portNumber(parts.port);
  return port === null ? invalidHost(value) : { host, port };
}

/**
 * `reg-name` without percent-encoding, which readers decode or don't, and without the comma, which
 * is how two Host fields look after someone joined them.
 */
const REGISTERED_NAME = /^[A-Za-z0-9._~!$&'()*+;=-]+$/;

/** Lower-cases a domain name or IPv4 address and drops the root's dot; null if it is neither. */
export function canonicalName(text: string): string | null {
  const name = withoutRootDot(text.toLowerCase());
  if (name.length > 253 || !/^[a-z0-9._-]+$/.test(name)) return null;
  const labels = name.split(".");
  for (const label of labels) {
    if (label.length === 0 || label.length > 63) return null;
  }
  // The rule of the URL standard: what ends in a number is an IPv4 address or nothing.
  if (/^(?:[0-9]+|0x[0-9a-f]*)$/.test(labels[labels.length - 1]!)) {
    return IPV4.test(name) ? name : null;
  }
  return name;
}

const IPV4 = /^(?:(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])(?:\.(?!$)|$)){4}$/;

function withoutRootDot(name: string): string {
  return name.length > 1 && name.endsWith(".") ? name.slice(0, -1) : name;
}

/** `[…]` to the one spelling of RFC 5952, without brackets; null if it is no IPv6 address. Zones are refused. */
function canonicalIpv6(bracketed: string): string | null {
  if (bracketed.length > 48 || !/^\[[0-9A-Fa-f:.]+\]$/.test(bracketed)) return null;
  return URL.parse(`http://${bracketed}/`)?.hostname.slice(1, -1) ?? null;
}

/** Divides at the colon before the port; null where that colon cannot be told, or brackets don't match. */
function splitPort(text: string): { host: string; port: string | null } | null {
  if (text.startsWith("[")) {
    const close = text.indexOf("]");
    if (close < 0) return null;
    const host = text.slice(0, close + 1);
    if (close + 1 === text.length) return { host, port: null };
    return text[close + 1] === ":" ? { host, port: text.slice(close + 2) } : null;
  }
  const colon = text.indexOf(":");
  if (colon < 0) return { host: text, port: null };
  if (text.includes(":", colon + 1)) return null;
  return { host: text.slice(0, colon), port: text.slice(colon + 1) };
}

/** Digits only (no sign, no space), 1 to 65535; leading zeros are digits. */
function portNumber(text: string): number | null {
  if (text.length > 16 || !/^[0-9]+$/.test(text)) return null;
  const port = Number(text);
  return port >= 1 && port <= 65535 ? port : null;
}

function invalidPort(port: string, offset: number): Http1Error {
  return http1Error(
    "invalid_port",
    `the port ${quoteFound(port)} is not a number from 1 to 65535`,
    offset,
    "RFC 3986 §3.2.3",
  );
}

function userinfoRefused(text: string, offset: number): Http1Error {
  return http1Error(
    "userinfo_not_allowed",
    // Not the whole text: a password must not turn up in an answer or in the log.
    `user information stands before ${
      quoteFound(text.slice(text.lastIndexOf("@")))
    }; send credentials in a field`,
    offset,
    "RFC 9110 §4.2.4",
  );
}

function unbracketedOrBroken(text: string, offset: number): Http1Error {
  return http1Error(
    "invalid_authority",
    `the authority ${quoteFound(text)} is not host:port; an IPv6 address stands in brackets, as in [::1]:443`,
    offset,
    "RFC 3986 §3.2.2",
  );
}

function invalidHost(value: string): Http1Error {
  return http1Error(
    "invalid_host",
    `the Host field ${quoteFound(value)} is not a host with an optional port`,
    0,
    "RFC 9112 §3.2",
  );
}
