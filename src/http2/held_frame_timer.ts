/**
 * `timeouts.head` for what must be whole before it goes on: a frame, and the field block it belongs to. Each
 * has that time from its own beginning; a busy connection, whose reads always end within some frame, never
 * runs out of it.
 */
import { addMilliseconds, type Instant } from "../core/instant.ts";
import type { Timer } from "../core/session.ts";

export interface HeldFrameTimers {
  arm(timer: Timer, at: Instant): void;
  disarm(timer: Timer): void;
}

export class HeldFrameTimer {
  #armed = false;
  /** What is held began with the read at hand. */
  #fresh = false;

  constructor(
    private readonly timers: HeldFrameTimers,
    private readonly timer: Timer,
    private readonly headMs: number,
  ) {}

  readBegins(): void {
    this.#fresh = false;
  }

  /** Something was read whole, and nothing is held behind it. */
  nothingHeld(): void {
    this.#fresh = true;
  }

  readEnds(held: boolean, now: Instant): void {
    if (held) {
      if (!this.#armed || this.#fresh) this.timers.arm(this.timer, addMilliseconds(now, this.headMs));
    } else if (this.#armed) this.timers.disarm(this.timer);
    this.#armed = held;
  }
}
