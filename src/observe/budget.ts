/**
 * What observers may keep, in octets: those of one flow between them, within what those of all flows may. It is
 * apart from the bytes in flight, which keep peers from being read: what an observer keeps it lets go of only
 * when more comes. Where there is no room observers are stopped, and the relay goes on.
 */
export class Budget {
  held = 0;
  #closed = false;
  #refusedByWhole = false;

  /** `whole` is that of all flows. */
  constructor(private readonly bytesMax: number, private readonly whole: Budget | null = null) {}

  hold(bytes: number): boolean {
    if (this.#closed || this.held + bytes > this.bytesMax) {
      this.#refusedByWhole = false;
      return false;
    }
    if (this.whole !== null && !this.whole.hold(bytes)) {
      this.#refusedByWhole = true;
      return false;
    }
    this.held += bytes;
    return true;
  }

  release(bytes: number): void {
    if (this.#closed) return;
    this.held -= bytes;
    this.whole?.release(bytes);
  }

  /** The flow is over: gives everything back, and has no room from now on. */
  close(): void {
    this.release(this.held);
    this.#closed = true;
  }

  /** Why the last refusal was one. */
  get refusal(): string {
    return this.#refusedByWhole && this.whole !== null
      ? `over the ${this.whole.bytesMax} octets that observers of all flows may keep (limits.max_in_flight_bytes)`
      : `over the ${this.bytesMax} octets that observers of a flow may keep (limits.decoder_buffer_bytes)`;
  }
}

export function failureReason(error: unknown): string {
  return `failed: ${error instanceof Error ? error.message : String(error)}`;
}
