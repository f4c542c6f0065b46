/**
 * Turns of a WebSocket: who spoke, what was answered, when it was over. A data frame starts one and what
 * follows belongs to it, until the side that began it sends data again after the other has. Control frames
 * are counted in the turn under way, and neither start nor end one.
 *
 * Silence is counted from the last octet of data, also from one in the middle of a frame: a peer that stalls there
 * would otherwise keep its turn open for good. What still comes of such a frame starts the next turn. So a frame
 * counts in the turn in which it begins, its octets in those in which they come.
 */
import type { Instant } from "../../core/instant.ts";
import { opposite, type Side } from "../../core/side.ts";

export const FLUSH_REASONS = ["rollover", "close_frame", "error", "eof", "idle_timeout"] as const;
export type FlushReason = typeof FLUSH_REASONS[number];

export interface SideCounts {
  frames: number;
  /** Payload of data frames as it was transferred. */
  bytes: number;
  controlFrames: number;
}

export interface Turn {
  readonly id: number;
  readonly initiator: Side;
  readonly startedAt: Instant;
  /** When the last data of it came. */
  lastAt: Instant;
  readonly counts: Readonly<Record<Side, SideCounts>>;
}

export interface TurnSink {
  started(turn: Turn): void;
  completed(turn: Turn, reason: FlushReason): void;
  /** When data last came in the turn; null: it is over. It is to be told when that was long enough ago. */
  silent(since: Instant | null): void;
}

export class Turns {
  #turn: Turn | null = null;
  #lastId = 0;
  /** No turn starts any more. */
  #over = false;

  constructor(private readonly sink: TurnSink) {}

  frameBegan(side: Side, now: Instant): void {
    if (this.#over) return;
    const turn = this.#turn;
    if (turn !== null && turn.initiator === side && turn.counts[opposite(side)].frames > 0) {
      this.flush("rollover");
    }
    const current = this.#turn ?? this.#start(side, now);
    current.counts[side].frames++;
    current.lastAt = now;
  }

  /** A frame goes on; if its turn is over, another one starts. */
  dataComes(side: Side, now: Instant): void {
    if (this.#turn === null && !this.#over) this.#start(side, now);
  }

  dataPassed(side: Side, bytes: number, now: Instant): void {
    const turn = this.#turn;
    if (turn === null) return;
    turn.counts[side].bytes += bytes;
    // What both sides have sent may be told of the later one first.
    if (now > turn.lastAt) turn.lastAt = now;
  }

  /** No more data came with the read under way. */
  paused(now: Instant): void {
    if (this.#turn !== null) this.sink.silent(now);
  }

  control(side: Side): void {
    if (this.#turn !== null) this.#turn.counts[side].controlFrames++;
  }

  /** Ends the turn under way, if there is one. */
  flush(reason: FlushReason): void {
    const turn = this.#turn;
    if (turn === null) return;
    this.#turn = null;
    this.sink.silent(null);
    this.sink.completed(turn, reason);
  }

  /** Ends the turn under way; none starts after it. */
  end(reason: FlushReason): void {
    this.flush(reason);
    this.#over = true;
  }

  #start(initiator: Side, now: Instant): Turn {
    const turn = {
      id: ++this.#lastId,
      initiator,
      startedAt: now,
      lastAt: now,
      counts: {
        client: { frames: 0, bytes: 0, controlFrames: 0 },
        server: { frames: 0, bytes: 0, controlFrames: 0 },
      },
    };
    this.#turn = turn;
    this.sink.started(turn);
    return turn;
  }
}
