/**
 * Which ClientHellos a rule speaks of: by the server name, by the JA4 fingerprint, by the protocols offered. What
 * a client says of itself is no proof: a rule that lets something through should name its hosts as well.
 */
import type { HelloFacts } from "../core/session.ts";
import { type Subject, subjectOf } from "./host.ts";
import { matchesHost, parsePattern, type Pattern } from "./pattern.ts";

/** JA4 of TLS over TCP, whole, or as far as it matters with a `*` behind it. */
export const JA4 =
  /^(?:[tqd][0-9a-z]{2}[di][0-9]{4}[0-9A-Za-z]{2}_[0-9a-f]{12}_[0-9a-f]{12}|[0-9A-Za-z_]{1,35}\*)$/;
/** RFC 7301 §3.1: 1 to 255 octets; the registered names are printable. */
export const PROTOCOL_NAME = /^[\x21-\x7e]{1,255}$/;

export interface HelloConditions {
  readonly sni?: readonly string[];
  readonly ja4?: readonly string[];
  readonly alpn?: readonly string[];
}

/** What is wrong with one text of a condition; null: nothing. */
export function helloFault(name: keyof HelloConditions, text: string): string | null {
  switch (name) {
    case "sni": {
      const pattern = parsePattern(text);
      if (pattern.type === "error") return pattern.detail;
      const named = pattern.port === null && pattern.type !== "network" &&
        !(pattern.type === "glob" && pattern.address);
      return named ? null : "a host or a glob, without a port: a ClientHello names nothing else";
    }
    case "ja4":
      return JA4.test(text)
        ? null
        : "a fingerprint such as t13d1516h2_8daaf6152771_e5627efa2ab1, or its beginning and *";
    case "alpn":
      return PROTOCOL_NAME.test(text) ? null : "a protocol name such as h2";
  }
}

/** Conditions without a fault, compiled; null where there are none. */
export class HelloFilter {
  readonly #names: readonly Pattern[] | null;
  readonly #fingerprints: readonly string[] | null;
  readonly #protocols: ReadonlySet<string> | null;

  private constructor({ sni, ja4, alpn }: HelloConditions) {
    this.#names = sni?.map(parsePattern).filter((pattern) => pattern.type !== "error") ?? null;
    this.#fingerprints = ja4 ?? null;
    this.#protocols = alpn === undefined ? null : new Set(alpn);
  }

  static of(conditions: HelloConditions): HelloFilter | null {
    const { sni, ja4, alpn } = conditions;
    return sni === undefined && ja4 === undefined && alpn === undefined ? null : new HelloFilter(conditions);
  }

  matches({ sni, ja4, alpn }: HelloFacts): boolean {
    if (this.#protocols !== null && !alpn.some((name) => this.#protocols!.has(name))) return false;
    if (this.#fingerprints !== null && !this.#fingerprints.some((wanted) => isFingerprint(wanted, ja4))) {
      return false;
    }
    if (this.#names === null) return true;
    if (sni === null) return false;
    const subject: Subject = subjectOf(sni);
    return this.#names.some((pattern) => matchesHost(pattern, subject));
  }
}

function isFingerprint(wanted: string, ja4: string): boolean {
  return wanted.endsWith("*") ? ja4.startsWith(wanted.slice(0, -1)) : ja4 === wanted;
}
