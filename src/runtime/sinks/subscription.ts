/** One of the program's own consumers: events in order, one at a time, waiting for promises it returns. */
import type { LoggedEvent } from "../../core/event.ts";

export type Consumer = (event: LoggedEvent) => void | Promise<void>;

export interface SubscriptionEvents {
  progressed(): void;
  /** Once; the subscription is detached already. */
  failed(fault: unknown): void;
}

export class Subscription {
  readonly #consumer: Consumer;
  readonly #events: SubscriptionEvents;
  #queue: LoggedEvent[] = [];
  #taken = 0;
  #busy = false;
  #detached = false;
  #idle: PromiseWithResolvers<void> | null = null;

  constructor(consumer: Consumer, events: SubscriptionEvents) {
    this.#consumer = consumer;
    this.#events = events;
  }

  /** Events recorded but not consumed yet. */
  get waiting(): number {
    return this.#queue.length - this.#taken + (this.#busy ? 1 : 0);
  }

  deliver(event: LoggedEvent): void {
    if (this.#detached) return;
    if (this.#busy) this.#queue.push(event);
    else this.#consume(event);
  }

  /** Resolves when nothing waits any longer. */
  flush(): Promise<void> {
    if (!this.#busy) return Promise.resolve();
    this.#idle ??= Promise.withResolvers<void>();
    return this.#idle.promise;
  }

  detach(): void {
    this.#detached = true;
    this.#queue = [];
    this.#taken = 0;
    this.#busy = false;
    this.#settle();
  }

  #consume(event: LoggedEvent): void {
    let result: void | Promise<void>;
    try {
      result = this.#consumer(event);
    } catch (fault) {
      this.#fail(fault);
      return;
    }
    if (!(result instanceof Promise)) return;
    this.#busy = true;
    result.then(() => this.#next(), (fault) => this.#fail(fault));
  }

  #next(): void {
    if (this.#detached) return;
    this.#busy = false;
    while (!this.#busy && !this.#detached && this.#taken < this.#queue.length) {
      this.#consume(this.#queue[this.#taken++]!);
      // The consumed part is cut off once it is the larger one: a queue that never empties stays small.
      if (this.#taken * 2 > this.#queue.length) {
        this.#queue = this.#queue.slice(this.#taken);
        this.#taken = 0;
      }
    }
    if (!this.#busy) this.#settle();
    this.#events.progressed();
  }

  #fail(fault: unknown): void {
    if (this.#detached) return;
    this.detach();
    this.#events.failed(fault);
  }

  #settle(): void {
    this.#idle?.resolve();
    this.#idle = null;
  }
}
