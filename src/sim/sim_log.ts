/**
 * The event log of a simulated proxy: the real encoding, a sink of virtual speed, and a hash of every line.
 * Like the real log it is full from a high-water mark on and wakes who waits at a low one.
 */
import { createHash } from "node:crypto";
import type { FlowContext, FlowEvent } from "../core/event.ts";
import type { Instant } from "../core/instant.ts";
import { encodeEvent, encodeHeader } from "../log/encode.ts";
import { instantAfter } from "../log/position.ts";
import type { SimClock } from "./clock.ts";
import type { Random } from "./random.ts";

/** How slow the sink is; null: it takes everything at once. */
export interface SinkSpeed {
  readonly highWaterBytes: number;
  readonly takesEveryMsMax: number;
}

export class SimLog {
  readonly lines: string[] = [];
  speed: SinkSpeed | null = null;
  #sequence = 0;
  #lastTime: Instant = 0;
  #queuedBytes = 0;
  #taking = false;
  readonly #waiting = new Set<() => void>();

  constructor(private readonly clock: SimClock, private readonly random: Random) {
    this.lines.push(encodeHeader({
      version: "simulated",
      openedAt: "2000-01-01T00:00:00.000Z",
      configDigest: "simulated",
      opening: 1,
      continuesSequenceId: 0,
      continuesTimeNs: 0,
    }));
  }

  record(context: FlowContext, event: FlowEvent, now: Instant): void {
    const time = now <= this.#lastTime ? instantAfter(this.#lastTime) : now;
    const line = encodeEvent(this.#sequence + 1, context.sequence + 1, time, context, event);
    this.#sequence++;
    context.sequence++;
    this.#lastTime = time;
    this.lines.push(line);
    if (this.speed === null) return;
    this.#queuedBytes += line.length;
    if (!this.#taking) this.#takeLater(this.speed);
  }

  full(wake: () => void): boolean {
    if (this.speed === null || this.#queuedBytes < this.speed.highWaterBytes) return false;
    this.#waiting.add(wake);
    return true;
  }

  sha256(): string {
    const hash = createHash("sha256");
    for (const line of this.lines) hash.update(line);
    return hash.digest("hex");
  }

  #takeLater(speed: SinkSpeed): void {
    this.#taking = true;
    this.clock.after(this.random.between(1, speed.takesEveryMsMax), () => {
      this.#taking = false;
      this.#queuedBytes = 0;
      const waiting = [...this.#waiting];
      this.#waiting.clear();
      for (const wake of waiting) wake();
    });
  }
}
