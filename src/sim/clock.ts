/**
 * Virtual time. What is to happen lies in a queue ordered by instant, then by the order it was asked
 * for; the clock jumps from one to the next, so an hour of silence costs nothing and two runs of one
 * seed take the same turns.
 */
import { addMilliseconds, type Instant } from "../core/instant.ts";
import type { PlatformTimer } from "../runtime/deadlines.ts";

interface Event {
  readonly at: Instant;
  readonly order: number;
  action: (() => void) | null;
}

export class SimClock {
  #now: Instant = 0;
  #order = 0;
  #promised = false;
  readonly #heap: Event[] = [];

  now = (): Instant => this.#now;

  /** Gives a cancel. An instant that has passed means now, after what was asked for before. */
  at(instant: Instant, action: () => void): () => void {
    const event: Event = { at: Math.max(instant, this.#now), order: this.#order++, action };
    this.#push(event);
    return () => event.action = null;
  }

  after(delayMs: number, action: () => void): () => void {
    return this.at(addMilliseconds(this.#now, delayMs), action);
  }

  /** To be called where a promise was settled: its reactions run before the next event. */
  promised(): void {
    this.#promised = true;
  }

  /** Lets everything happen that is due until then, and while `going`. Time ends at `until` only if all of it did. */
  async run(until: Instant, going: () => boolean = () => true): Promise<void> {
    while (going()) {
      const next = this.#heap[0];
      if (next === undefined || next.at > until) {
        this.#now = Math.max(this.#now, until);
        return;
      }
      this.#pop();
      const { action } = next;
      if (action === null) continue;
      this.#now = next.at;
      action();
      if (this.#promised) {
        this.#promised = false;
        await undefined;
      }
    }
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let index = heap.push(event) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!isBefore(event, heap[parent]!)) break;
      heap[index] = heap[parent]!;
      index = parent;
    }
    heap[index] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!isBefore(heap[child]!, last)) break;
      heap[index] = heap[child]!;
      index = child;
    }
    heap[index] = last;
  }
}

function isBefore(first: Event, second: Event): boolean {
  return first.at < second.at || (first.at === second.at && first.order < second.order);
}

/** The platform timer of the driver's deadlines, on virtual time; counts those that are set. */
export class SimTimer implements PlatformTimer {
  pending = 0;

  constructor(private readonly clock: SimClock) {}

  set(delayMs: number, fire: () => void): () => void {
    let isPending = true;
    this.pending++;
    const done = () => {
      if (isPending) this.pending--;
      isPending = false;
    };
    const cancel = this.clock.after(delayMs, () => {
      done();
      fire();
    });
    return () => {
      done();
      cancel();
    };
  }
}
