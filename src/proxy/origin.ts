/** The one origin behind a reverse listener (RFC 6454 §4: a scheme, a host and a port, nothing more). */
import { type Authority, formatAuthority } from "../core/authority.ts";
import { parseTarget } from "../http1/target.ts";

export interface Origin {
  readonly authority: Authority;
  /** Whether it is spoken to in TLS: `https://`. */
  readonly tls: boolean;
}

/** A port that is not written is the scheme's. */
export function parseOrigin(text: string): Origin | { readonly detail: string } {
  const target = parseTarget(text, "GET");
  if ("type" in target) return { detail: target.detail };
  if (target.form !== "absolute") return { detail: "it has no scheme" };
  if (target.path !== "/" || text.includes("?")) {
    return { detail: "it has a path or a query; requests bring their own" };
  }
  return { authority: target.authority, tls: target.scheme === "https" };
}

export function formatOrigin({ authority, tls }: Origin): string {
  return `${tls ? "https" : "http"}://${formatAuthority(authority)}`;
}
