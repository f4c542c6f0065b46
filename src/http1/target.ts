/**
 * Request targets (RFC 9112 §3.2): origin-form for a server, absolute-form for a proxy,
 * authority-form for CONNECT only, asterisk-form for OPTIONS only.
 */
import type { Authority } from "../core/authority.ts";
import { type Http1Error, http1Error } from "./errors.ts";
import { quoteFound } from "../http/quote.ts";
import { OCTET_CLASS, TARGET } from "./grammar.ts";
import { parseAuthority } from "./host.ts";

export { type HostValue, parseHostValue } from "./host.ts";

export type Target =
  | { readonly form: "origin"; readonly path: string }
  | {
    readonly form: "absolute";
    readonly scheme: "http" | "https";
    readonly authority: Authority;
    /** In origin-form, as it goes to the server: `/` where the URI has none, `*` for OPTIONS without a path. */
    readonly path: string;
  }
  | { readonly form: "authority"; readonly authority: Authority }
  | { readonly form: "asterisk" };

export const DEFAULT_PORTS = { http: 80, https: 443 } as const;

/** Parses the target of a request with that method. Offsets of errors are in the target. */
export function parseTarget(target: string, method: string): Target | Http1Error {
  for (let index = 0; index < target.length; index++) {
    const code = target.charCodeAt(index);
    if (code > 0xff || (OCTET_CLASS[code]! & TARGET) === 0) return badTargetOctet(code, index);
  }
  return classifyTarget(target, method);
}

/** Like `parseTarget`, for a target whose octets were checked while it was read. */
export function classifyTarget(target: string, method: string): Target | Http1Error {
  if (method === "CONNECT") {
    const authority = parseAuthority(target, null, 0);
    return "type" in authority ? authority : { form: "authority", authority };
  }
  if (target.charCodeAt(0) === 0x2f) return { form: "origin", path: target };
  if (target === "*") {
    if (method === "OPTIONS") return { form: "asterisk" };
    return http1Error(
      "invalid_target",
      `the target "*" goes with OPTIONS only, not with ${quoteFound(method)}`,
      0,
      "RFC 9112 §3.2.4",
    );
  }
  return absoluteForm(target, method);
}

function absoluteForm(target: string, method: string): Target | Http1Error {
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]{0,31}):\/\//.exec(target)?.[1]?.toLowerCase();
  if (scheme === undefined) {
    return http1Error(
      "invalid_target",
      `the target ${
        quoteFound(target)
      } is neither a path that begins with "/" nor a URI like http://host/path`,
      0,
      "RFC 9112 §3.2",
    );
  }
  if (scheme !== "http" && scheme !== "https") {
    return http1Error(
      "unsupported_scheme",
      `the target has the scheme ${quoteFound(scheme)}; http and https are supported`,
      0,
      "RFC 9110 §4.2",
    );
  }
  const authorityStart = scheme.length + 3;
  let authorityEnd = authorityStart;
  while (authorityEnd < target.length && target[authorityEnd] !== "/" && target[authorityEnd] !== "?") {
    authorityEnd++;
  }
  const authority = parseAuthority(
    target.slice(authorityStart, authorityEnd),
    DEFAULT_PORTS[scheme],
    authorityStart,
  );
  if ("type" in authority) return authority;
  const rest = target.slice(authorityEnd);
  const path = rest.startsWith("/")
    ? rest
    : rest.startsWith("?")
    ? `/${rest}`
    : method === "OPTIONS"
    ? "*"
    : "/";
  return { form: "absolute", scheme, authority, path };
}

/** The error for an octet that may not stand in a request target. */
export function badTargetOctet(octet: number, offset: number): Http1Error {
  const what = octet === 0x23
    ? "a fragment (#…), which never goes on the wire"
    : octet >= 0x80
    ? "an octet outside ASCII; write it percent-encoded, a host as xn--…"
    : "white space or a control octet";
  return http1Error("invalid_target", `the request target holds ${what}`, offset, "RFC 9112 §3.2");
}
