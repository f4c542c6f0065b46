/**
 * How a read is handed to a session piece by piece. Nearly always a read is a few events, but what is nothing but
 * short lines is tens of thousands: handled at once they would keep every other flow waiting, and lie in memory
 * all together before the log is asked whether it can take them. As a session tells the same however its input
 * is cut, it is cut here, and what the log has no room for waits.
 */

export const PIECE_BYTES_MIN = 16 * 1024;
export const PIECE_BYTES_MAX = 64 * 1024;
/** A piece with more events than one for so many octets is followed by a small one. */
const BYTES_PER_EVENT = 512;

/** Of one side of a flow. */
export class ReadPieces {
  /** How long the next piece may be. */
  bytes = PIECE_BYTES_MIN;
  /** What was read and waits for the log. */
  #rest: Uint8Array | null = null;

  get isWaiting(): boolean {
    return this.#rest !== null;
  }

  get waitingBytes(): number {
    return this.#rest?.length ?? 0;
  }

  /** A piece has been handled. */
  handled(bytes: number, events: number): void {
    this.bytes = events * BYTES_PER_EVENT > bytes
      ? PIECE_BYTES_MIN
      : Math.min(PIECE_BYTES_MAX, 2 * this.bytes);
  }

  /** Has `data` wait, behind what waits already. It is copied. */
  wait(data: Uint8Array): void {
    const rest = this.#rest;
    if (rest === null) {
      this.#rest = data.slice();
      return;
    }
    this.#rest = new Uint8Array(rest.length + data.length);
    this.#rest.set(rest);
    this.#rest.set(data, rest.length);
  }

  /** All that waits, which then does so no more. */
  take(): Uint8Array | null {
    const rest = this.#rest;
    this.#rest = null;
    return rest;
  }
}
