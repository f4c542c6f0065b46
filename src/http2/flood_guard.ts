/**
 * Budgets for what costs its sender next to nothing (RFC 9113 §10.5, and the attacks since): resets, and
 * resets that a peer provokes others into, PING, SETTINGS, PRIORITY, WINDOW_UPDATE, frames without content.
 * Each is a number per side in a span of time, far above what real peers do.
 *
 * Some of it comes with honest work: a receiver of much content sends much WINDOW_UPDATE, and one that
 * measures the way's capacity a PING with each burst (gRPC does). So each frame that carries a message
 * earns the side that it is for, and the one that opened a stream, some of both.
 */
import type { Instant } from "../core/instant.ts";
import { NANOSECONDS_PER_MILLISECOND } from "../core/instant.ts";
import { opposite, type Side } from "../core/side.ts";
import { type Http2Error, http2Error } from "./errors.ts";
import type { ControlFrame } from "./frames.ts";
import type { FloodLimits } from "./limits.ts";

/** `lateResets` has the size of `maxResets`. */
type Budget = Exclude<keyof FloodLimits, "windowMs"> | "lateResets";

interface BudgetFacts {
  readonly setting: string;
  /** Completes "the client sent more than 5 …". */
  readonly what: string;
  /** What a frame of a message adds to the budget. */
  readonly earned: number;
}

export const FLOOD_BUDGETS: Readonly<Record<Budget, BudgetFacts>> = {
  /** A client that cancels each of its requests at once (rapid reset) makes thousands. */
  maxResets: { setting: "http.http2_max_resets", what: "RST_STREAM frames", earned: 0 },
  /** A server that has answered early may reset a stream anew for each DATA that was under way: Go does. */
  lateResets: {
    setting: "http.http2_max_resets",
    what: "RST_STREAM frames for streams that were over",
    earned: 1,
  },
  /** What this side sent made the proxy or its peer end a stream (made-you-reset). */
  maxProvokedResets: {
    setting: "http.http2_max_provoked_resets",
    what: "frames for which a stream was reset",
    earned: 0,
  },
  maxPings: { setting: "http.http2_max_pings", what: "PING frames", earned: 1 },
  maxSettings: { setting: "http.http2_max_settings", what: "SETTINGS and GOAWAY frames", earned: 0 },
  maxPriorities: {
    setting: "http.http2_max_priorities",
    what: "PRIORITY frames and frames of unknown types",
    earned: 0,
  },
  /** DATA without content and without the end of its stream. */
  maxEmptyFrames: { setting: "http.http2_max_empty_frames", what: "empty DATA frames", earned: 0 },
  maxWindowUpdates: { setting: "http.http2_max_window_updates", what: "WINDOW_UPDATE frames", earned: 10 },
};

/** What one side has done in the span at hand. */
interface Account {
  readonly spent: Record<Budget, number>;
  /** Frames of messages that earned it more, in this span and in the one before: answers come later. */
  earned: number;
  earnedBefore: number;
  spanEnds: Instant;
  /** Its PING and SETTINGS that are not acknowledged: as many acknowledgements cost the other side nothing. */
  unanswered: { ping: number; settings: number };
}

export class FloodGuard {
  readonly #limits: FloodLimits;
  readonly #accounts: Record<Side, Account> = { client: newAccount(), server: newAccount() };

  constructor(limits: FloodLimits) {
    this.#limits = limits;
  }

  /** Each gives the error that ends the connection where a frame is one too many. */
  frame(by: Side, frame: ControlFrame, now: Instant): Http2Error | null {
    switch (frame.type) {
      case "ping":
      case "settings": {
        const budget = frame.type === "ping" ? "maxPings" : "maxSettings";
        if (!frame.ack) this.#accounts[by].unanswered[frame.type]++;
        else if (this.#accounts[opposite(by)].unanswered[frame.type] > 0) {
          this.#accounts[opposite(by)].unanswered[frame.type]--;
          return null;
        }
        return this.#spend(by, budget, now);
      }
      case "goaway":
        return this.#spend(by, "maxSettings", now);
      case "priority":
        return this.#spend(by, "maxPriorities", now);
      case "window_update":
        return this.#spend(by, "maxWindowUpdates", now);
      case "headers":
        this.#earn(by, now);
        this.#earn(opposite(by), now);
        return null;
      default:
        return null;
    }
  }

  /** A stream was reset that had not run its course; ending one that has is no waste of anybody's work. */
  reset(by: Side, now: Instant): Http2Error | null {
    return this.#spend(by, "maxResets", now);
  }

  /** A stream was reset that was over: nobody's work is lost with it, and nobody was provoked into it. */
  lateReset(by: Side, now: Instant): Http2Error | null {
    return this.#spend(by, "lateResets", now);
  }

  /** `contentBytes`: without padding. */
  data(by: Side, contentBytes: number, endStream: boolean, now: Instant): Http2Error | null {
    if (contentBytes === 0 && !endStream) return this.#spend(by, "maxEmptyFrames", now);
    this.#earn(opposite(by), now);
    return null;
  }

  unknownFrame(by: Side, now: Instant): Http2Error | null {
    return this.#spend(by, "maxPriorities", now);
  }

  /** A stream was ended, by the proxy or by the other side, for what `by` sent. */
  provokedReset(by: Side, now: Instant): Http2Error | null {
    return this.#spend(by, "maxProvokedResets", now);
  }

  #earn(side: Side, now: Instant): void {
    this.#accountOf(side, now).earned++;
  }

  #spend(by: Side, budget: Budget, now: Instant): Http2Error | null {
    const account = this.#accountOf(by, now);
    const { setting, what, earned } = FLOOD_BUDGETS[budget];
    const limit = this.#limits[budget === "lateResets" ? "maxResets" : budget];
    const allowed = limit + earned * (account.earned + account.earnedBefore);
    if (++account.spent[budget] <= allowed) return null;
    return http2Error(
      "frame_flood",
      by,
      0,
      `the ${by} sent more than ${allowed} ${what} within ${this.#limits.windowMs} ms ` +
        `(${setting} = ${limit})`,
    );
  }

  #accountOf(side: Side, now: Instant): Account {
    const account = this.#accounts[side];
    if (now < account.spanEnds) return account;
    const span = this.#limits.windowMs * NANOSECONDS_PER_MILLISECOND;
    const { earned, spanEnds, unanswered } = account;
    return this.#accounts[side] = {
      ...newAccount(),
      earnedBefore: now - spanEnds < span ? earned : 0,
      spanEnds: now + span,
      unanswered,
    };
  }
}

function newAccount(): Account {
  return {
    spent: {
      maxResets: 0,
      lateResets: 0,
      maxProvokedResets: 0,
      maxPings: 0,
      maxSettings: 0,
      maxPriorities: 0,
      maxEmptyFrames: 0,
      maxWindowUpdates: 0,
    },
    earned: 0,
    earnedBefore: 0,
    spanEnds: 0,
    unanswered: { ping: 0, settings: 0 },
  };
}
