/**
 * Budgets for what costs its sender next to nothing (RFC 9113 §10.5, and the attacks since): resets, and
 * resets that a peer provokes the proxy into, PING, SETTINGS, PRIORITY, empty DATA, and CONTINUATION
 * beside its own bound. Each is a number per side in a window of time, far above what real peers do.
 */
import type { Instant } from "../core/instant.ts";
import { NANOSECONDS_PER_MILLISECOND } from "../core/instant.ts";
import type { Side } from "../core/side.ts";
import type { ControlFrame } from "./frames.ts";

export const FLOOD_WINDOW_MS = 10_000;

/** Per side and window. */
export const FLOOD_BUDGETS = {
  /** A client that cancels each of its requests at once (rapid reset) makes thousands. */
  resets: 1_000,
  /** Streams that the proxy had to end for what this side sent (made-you-reset). */
  proxyResets: 200,
  pings: 500,
  settings: 100,
  priorities: 5_000,
  /** DATA without an octet and without the end of its stream. */
  emptyData: 1_000,
} as const;

type Budget = keyof typeof FLOOD_BUDGETS;

export class FloodGuard {
  readonly #spent: Record<Side, Record<Budget, number>> = { client: nothingSpent(), server: nothingSpent() };
  readonly #windowEnds: Record<Side, Instant> = { client: 0, server: 0 };

  /** False where the frame is one too many. */
  frame(by: Side, { type }: ControlFrame, now: Instant): boolean {
    switch (type) {
      case "ping":
        return this.#spend(by, "pings", now);
      case "settings":
        return this.#spend(by, "settings", now);
      case "priority":
        return this.#spend(by, "priorities", now);
      default:
        return true;
    }
  }

  /** A stream was reset that had not run its course; ending one that has is no waste of anybody's work. */
  reset(by: Side, now: Instant): boolean {
    return this.#spend(by, "resets", now);
  }

  data(by: Side, length: number, endStream: boolean, now: Instant): boolean {
    return length > 0 || endStream || this.#spend(by, "emptyData", now);
  }

  proxyReset(by: Side, now: Instant): boolean {
    return this.#spend(by, "proxyResets", now);
  }

  #spend(by: Side, budget: Budget, now: Instant): boolean {
    if (now >= this.#windowEnds[by]) {
      this.#windowEnds[by] = now + FLOOD_WINDOW_MS * NANOSECONDS_PER_MILLISECOND;
      this.#spent[by] = nothingSpent();
    }
    return ++this.#spent[by][budget] <= FLOOD_BUDGETS[budget];
  }
}

function nothingSpent(): Record<Budget, number> {
  return { resets: 0, proxyResets: 0, pings: 0, settings: 0, priorities: 0, emptyData: 0 };
}
