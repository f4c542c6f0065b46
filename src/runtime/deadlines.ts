/**
 * The timers of all flows on one platform timer. A flow that pushes its deadline further away costs
 * nothing: the platform timer fires at the old one, finds nothing due, and is set anew.
 */
import type { Instant } from "../core/instant.ts";
import { NANOSECONDS_PER_MILLISECOND } from "../core/instant.ts";

export interface DeadlineOwner {
  /** The earliest of the owner's deadlines, `Infinity` if it has none. */
  readonly nextDeadline: Instant;
  /** Handles everything due at `now`; afterwards `nextDeadline` lies in the future. */
  expire(now: Instant): void;
}

export interface PlatformTimer {
  set(delayMs: number, fire: () => void): () => void;
}

/** Deadlines that fall into one tick are handled together, so that thousands of flows cost few scans. */
const TICK_MS = 10;

export class Deadlines {
  readonly #owners = new Set<DeadlineOwner>();
  #scheduledAt: Instant = Infinity;
  #cancel: (() => void) | null = null;

  constructor(private readonly now: () => Instant, private readonly timer: PlatformTimer) {}

  get size(): number {
    return this.#owners.size;
  }

  add(owner: DeadlineOwner): void {
    this.#owners.add(owner);
    this.moved(owner.nextDeadline);
  }

  remove(owner: DeadlineOwner): void {
    this.#owners.delete(owner);
    if (this.#owners.size === 0) this.#clear();
  }

  /** An owner has a new deadline; only one earlier than the scheduled needs work. */
  moved(deadline: Instant): void {
    if (deadline < this.#scheduledAt) this.#schedule(deadline);
  }

  #schedule(at: Instant): void {
    this.#clear();
    if (at === Infinity) return;
    this.#scheduledAt = at;
    const delayMs = Math.max(TICK_MS, Math.ceil((at - this.now()) / NANOSECONDS_PER_MILLISECOND));
    this.#cancel = this.timer.set(delayMs, () => this.#fire());
  }

  #clear(): void {
    this.#cancel?.();
    this.#cancel = null;
    this.#scheduledAt = Infinity;
  }

  #fire(): void {
    this.#cancel = null;
    this.#scheduledAt = Infinity;
    const now = this.now();
    for (const owner of [...this.#owners]) if (owner.nextDeadline <= now) owner.expire(now);
    let next = Infinity;
    for (const owner of this.#owners) if (owner.nextDeadline < next) next = owner.nextDeadline;
    if (next < this.#scheduledAt) this.#schedule(next);
  }
}
