/**
 * HTTP/3 is passed through: QUIC is not decrypted here, so a flow that is designated HTTP/3 is tunnelled, and the
 * log says what would have been decided without that. A block wins. Who designates is the client, by the ALPN field
 * of its CONNECT (RFC 7639) or the protocols in its ClientHello, or a rule or an override of the user's; none of them
 * is proof of what the bytes are.
 */
import type { Action, Decision } from "../core/session.ts";
import type { Field } from "../http/fields.ts";

/** What designated a flow, as `http3_passthrough` has it. */
export const HTTP3_HINTS = ["connect_alpn", "connect_udp", "client_hello", "rule", "override"] as const;
export type Http3Hint = typeof HTTP3_HINTS[number];

export interface Http3Passthrough {
  readonly hint: Http3Hint;
  readonly priorAction: Action;
}

/** The decision that holds, and how it became one about HTTP/3 where it did. */
export interface Http3Settled {
  readonly decision: Decision;
  readonly passthrough: Http3Passthrough | null;
}

/** `hint`: what designates the flow beside rules and overrides. `enabled`: `http.http3_passthrough`. */
export function settleHttp3(given: Decision, hint: Http3Hint | null, enabled: boolean): Http3Settled {
  const prior = given.prior ?? given;
  const by = given.prior === undefined ? hint : given.http3By ?? "override";
  if (hint === "connect_udp" && !enabled && prior.action === "intercept") {
    // Nothing can intercept a datagram, so what may not pass through may not pass.
    return { decision: { action: "block", reason: "http3", ruleId: null }, passthrough: null };
  }
  if (by === null || !enabled || prior.action === "block") return { decision: prior, passthrough: null };
  return {
    decision: { action: "tunnel", reason: "http3", ruleId: given.prior === undefined ? null : given.ruleId },
    passthrough: { hint: by, priorAction: prior.action },
  };
}

/** HTTP/3 (RFC 9114 §3.1) and its drafts. */
const HTTP3 = /^h3(?:-[0-9]{1,3})?$/;

export function isHttp3(protocols: readonly string[]): boolean {
  return protocols.some((protocol) => HTTP3.test(protocol));
}

/** The names in the ALPN fields of a CONNECT (RFC 7639 §2); those that matter here need no percent-encoding. */
export function connectAlpn(fields: readonly Field[]): readonly string[] {
  return fields.filter(([name]) => name.toLowerCase() === "alpn")
    .flatMap(([, value]) => value.split(",").map((protocol) => protocol.trim()));
}
