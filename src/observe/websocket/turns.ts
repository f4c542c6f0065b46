/**
 * Turns of a WebSocket: who spoke, what was answered, when it was over. A data frame starts one and what
 * follows belongs to it, until the side that began it sends data again after the other has. Control frames
 * are counted in the turn under way, and neither start nor end one.
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
  /** The turn has been silent from now on, or is not any more; it is to be told when that was long enough. */
  silent(since: Instant | null): void;
}

export class Turns {
  #turn: Turn | null = null;
  #lastId = 0;
  /** No turn starts any more. */
  #over = false;
  /** Data frames of which a part is still to come: while there is one, nobody is silent. */
  #framesUnderWay = 0;

  constructor(private readonly sink: TurnSink) {}

  frameBegan(side: Side, now: Instant): void {
    this.#framesUnderWay++;
    if (this.#over) return;
    let turn = this.#turn;
    if (turn !== null && turn.initiator === side && turn.counts[opposite(side)].frames > 0) {
      this.flush("rollover");
      turn = null;
    }
    if (turn === null) {
      turn = {
        id: ++this.#lastId,
        initiator: side,
        startedAt: now,
        lastAt: now,
        counts: {
          client: { frames: 0, bytes: 0, controlFrames: 0 },
          server: { frames: 0, bytes: 0, controlFrames: 0 },
        },
      };
      this.#turn = turn;
      this.sink.started(turn);
    } else this.sink.silent(null);
    turn.counts[side].frames++;
    turn.lastAt = now;
  }

  dataPassed(side: Side, bytes: number, now: Instant): void {
    if (this.#turn === null) return;
    this.#turn.counts[side].bytes += bytes;
    this.#turn.lastAt = now;
  }

  frameEnded(now: Instant): void {
    this.#framesUnderWay--;
    if (this.#framesUnderWay === 0 && this.#turn !== null) this.sink.silent(now);
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
}
