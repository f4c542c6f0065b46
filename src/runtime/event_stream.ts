/**
 * Events as an async iterator with a bounded queue: when the reader falls behind, the promise that
 * `push` gives stays open, which slows the relay instead of losing events.
 */
const QUEUE_MAX = 256;

export class EventStream<Event> implements AsyncIterable<Event> {
  #queue: Event[] = [];
  #reader: ((result: IteratorResult<Event>) => void) | null = null;
  #room: PromiseWithResolvers<void> | null = null;
  #started = false;
  #ended = false;

  constructor(private readonly onEnd: () => void = () => {}) {}

  /** Gives a promise while the reader has no room for more. */
  push(event: Event): void | Promise<void> {
    if (this.#ended) return;
    if (this.#reader !== null) {
      const reader = this.#reader;
      this.#reader = null;
      reader({ value: event, done: false });
      return;
    }
    this.#queue.push(event);
    if (this.#queue.length < QUEUE_MAX) return;
    this.#room ??= Promise.withResolvers<void>();
    return this.#room.promise;
  }

  /** What is queued is still read; then the iterator ends. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.onEnd();
    this.#room?.resolve();
    this.#reader?.({ value: undefined, done: true });
    this.#reader = null;
  }

  [Symbol.asyncIterator](): AsyncIterator<Event> {
    if (this.#started) throw new TypeError("events() can be iterated once; call it again for another reader");
    this.#started = true;
    return {
      next: () => {
        const event = this.#queue.shift();
        if (event !== undefined) {
          this.#room?.resolve();
          this.#room = null;
          return Promise.resolve({ value: event, done: false });
        }
        if (this.#ended) return Promise.resolve({ value: undefined, done: true });
        return new Promise((resolve) => this.#reader = resolve);
      },
      return: () => {
        this.#queue = [];
        this.end();
        return Promise.resolve({ value: undefined, done: true });
      },
    };
  }
}
