/**
 * Tells which of a flow's streams have been silent for a time, with one timer for all. As the time is the same
 * for each, they stand in the order in which they are due, and nothing is searched.
 */
import { addMilliseconds, type Instant } from "../core/instant.ts";

/** The session's timer. */
export interface SilenceTimer {
  arm(at: Instant): void;
  disarm(): void;
}

export class SilenceClock<T> {
  /** Since when each is silent, the one that is due first in front. */
  readonly #since = new Map<T, Instant>();
  #armed = false;

  constructor(private readonly silenceMs: number, private readonly timer: SilenceTimer) {}

  since(stream: T, since: Instant): void {
    this.#since.delete(stream);
    this.#since.set(stream, since);
    if (this.#armed) return;
    this.#armed = true;
    this.timer.arm(addMilliseconds(since, this.silenceMs));
  }

  /** It is not silent any more. The timer stays as it is: to arm it anew for each word would cost more. */
  heard(stream: T): void {
    this.#since.delete(stream);
  }

  /** It is over. */
  forget(stream: T): void {
    this.#since.delete(stream);
    if (this.#since.size > 0 || !this.#armed) return;
    this.#armed = false;
    this.timer.disarm();
  }

  expired(now: Instant, silent: (stream: T) => void): void {
    this.#armed = false;
    for (const [stream, since] of this.#since) {
      const due = addMilliseconds(since, this.silenceMs);
      if (due > now) {
        this.#armed = true;
        this.timer.arm(due);
        return;
      }
      this.#since.delete(stream);
      silent(stream);
    }
  }
}
