/**
 * Roots that the whole process trusts by default, set to some of those that the settings trust.
 *
 * The runtime resumes a session with a server only where the handshake verifies against these: what a
 * `SecureContext` brings along as `ca` is a verifier of its own each time, and a session is good for the one that
 * it began with. Each of them costs every handshake 5 µs, so there are no more than servers are anchored in.
 *
 * For a process that is the proxy's alone: in another one they are not ours to set.
 */
import tls from "node:tls";
import type { TrustRoot } from "./trust_roots.ts";

// Of Node 24.5; the runtime has it, its types do not.
const { setDefaultCACertificates } = tls as typeof tls & {
  setDefaultCACertificates(pems: readonly string[]): void;
};

const ROOTS_MAX = 24;

export class DefaultRoots {
  #numbers: ReadonlySet<number> = new Set();

  /** `roots`: all that are trusted. */
  constructor(private readonly roots: readonly TrustRoot[]) {}

  /** Sees to it that these are among them; false where there is no room. */
  include(numbers: readonly number[]): boolean {
    const missing = numbers.filter((number) => !this.#numbers.has(number));
    if (missing.length === 0) return true;
    const all = new Set([...this.#numbers, ...missing]);
    if (all.size > ROOTS_MAX) return false;
    try {
      setDefaultCACertificates([...all].map((number) => this.roots[number]!.pem));
    } catch {
      // It takes them all or changes nothing.
      return false;
    }
    this.#numbers = all;
    return true;
  }
}
