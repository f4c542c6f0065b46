/**
 * What the unfinished spans of all the bodies of one flow may hold for the log. A flow of HTTP/2 has many
 * bodies at once, and each may stop short of the end of its span for as long as it likes.
 */
export class SpanBudget {
  #bytes = 0;

  constructor(private readonly maxBytes: number) {}

  get bytes(): number {
    return this.#bytes;
  }

  /** False where there is no room; nothing is taken then. */
  take(bytes: number): boolean {
    if (this.#bytes + bytes > this.maxBytes) return false;
    this.#bytes += bytes;
    return true;
  }

  give(bytes: number): void {
    this.#bytes -= bytes;
  }
}
