/**
 * Resolves names through the platform, which caches nothing on many systems: a burst of connections to
 * one host would pay for a look-up each, a tenth of what a new connection costs. So concurrent look-ups of
 * a name are one, and its answer is used for two seconds. Failures are not kept.
 */
export interface Address {
  readonly address: string;
  readonly family: number;
}

export type Lookup = (
  host: string,
  callback: (error: Error | null, addresses: readonly Address[]) => void,
) => void;

type Callback = (error: Error | null, addresses: readonly Address[]) => void;

export const ANSWER_LIFETIME_MS = 2_000;
/** Names remembered; the oldest answer goes first. */
export const ANSWERS_MAX = 1024;

export class Resolver {
  readonly #answers = new Map<string, { readonly addresses: readonly Address[]; readonly until: number }>();
  readonly #pending = new Map<string, Callback[]>();

  /** `now` is in milliseconds. */
  constructor(private readonly lookup: Lookup, private readonly now: () => number) {}

  /** Calls back at once where the answer is known. */
  resolve(host: string, callback: Callback): void {
    const known = this.#answers.get(host);
    if (known !== undefined) {
      if (this.now() < known.until) {
        callback(null, known.addresses);
        return;
      }
      this.#answers.delete(host);
    }
    const waiting = this.#pending.get(host);
    if (waiting !== undefined) {
      waiting.push(callback);
      return;
    }
    const callbacks = [callback];
    this.#pending.set(host, callbacks);
    this.lookup(host, (error, addresses) => {
      this.#pending.delete(host);
      if (error === null && addresses.length > 0) {
        this.#answers.set(host, { addresses, until: this.now() + ANSWER_LIFETIME_MS });
        if (this.#answers.size > ANSWERS_MAX) this.#answers.delete(this.#answers.keys().next().value!);
      }
      for (const one of callbacks) one(error, addresses);
    });
  }
}
