/**
 * The process's budget of bytes in flight (`limits.max_in_flight_bytes`): everything a flow holds or
 * has written and the kernel has not taken. While it is exceeded a flow that holds any of it is not read,
 * so what is there grows by at most one read for each other flow.
 */
export class InFlightBudget {
  #bytes = 0;
  readonly #waiting = new Set<() => void>();

  constructor(readonly maxBytes: number) {}

  get bytes(): number {
    return this.#bytes;
  }

  get exceeded(): boolean {
    return this.#bytes > this.maxBytes;
  }

  adjust(delta: number): void {
    this.#bytes += delta;
    if (delta < 0 && !this.exceeded && this.#waiting.size > 0) {
      const waiting = [...this.#waiting];
      this.#waiting.clear();
      for (const wake of waiting) wake();
    }
  }

  /** Calls `wake` once when the budget is no longer exceeded. */
  wait(wake: () => void): void {
    this.#waiting.add(wake);
  }

  forget(wake: () => void): void {
    this.#waiting.delete(wake);
  }
}
