/**
 * The leaf certificates made so far, least recently used first out. An entry knows until when it is
 * good, which is before its certificate ends.
 */
export class LeafCache<Leaf> {
  readonly #capacity: number;
  /** In the order of use: a Map keeps the order of insertion. */
  readonly #entries = new Map<string, { readonly leaf: Leaf; readonly freshUntilMs: number }>();

  /** A capacity of 0 keeps nothing. */
  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(name: string, nowMs: number): Leaf | undefined {
    const entry = this.#entries.get(name);
    if (entry === undefined) return undefined;
    this.#entries.delete(name);
    if (nowMs >= entry.freshUntilMs) return undefined;
    this.#entries.set(name, entry);
    return entry.leaf;
  }

  set(name: string, leaf: Leaf, freshUntilMs: number): void {
    if (this.#capacity === 0) return;
    this.#entries.delete(name);
    if (this.#entries.size >= this.#capacity) {
      const oldest = this.#entries.keys().next();
      if (!oldest.done) this.#entries.delete(oldest.value);
    }
    this.#entries.set(name, { leaf, freshUntilMs });
  }

  clear(): void {
    this.#entries.clear();
  }
}
