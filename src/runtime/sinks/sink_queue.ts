/**
 * The lines on their way to one sink. At most one write is under way; what is recorded meanwhile, or within
 * a few milliseconds, goes out as one batch. The queue never drops a line while its sink works: whoever
 * fills it looks at `queuedBytes` and stops reading its peers.
 */
import { type Batch, explainFault, type Sink, SinkWriteError } from "./sink.ts";

/** Long enough that a write serves many events, short enough that nobody who follows the log notices. */
const BATCH_DELAY_MS = 5;
/** A batch of this size does not wait, and none is much larger: encoding one holds up everything else. */
const BATCH_CHARACTERS = 256 << 10;

export interface SinkQueueEvents {
  /** A batch is out, or the queue was emptied by a failure. */
  progressed(): void;
  /** Once. `linesLost` counts those that were queued and are not in the sink. */
  failed(message: string, linesLost: number): void;
}

export class SinkQueue {
  #lines: string[] = [];
  #rows: string[] | null;
  #pendingCharacters = 0;
  #writingCharacters = 0;
  #writingLines = 0;
  #writing: Promise<void> | null = null;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #failed = false;
  #pushed = 0;
  #settled = 0;
  #bytesWritten = 0;
  readonly #events: SinkQueueEvents;

  /** `sequenceOffset` is added to the run's own count to give the `sequence_id` in this sink's log. */
  constructor(readonly sink: Sink, readonly sequenceOffset: number, events: SinkQueueEvents) {
    this.#events = events;
    this.#rows = sink.indexed ? [] : null;
  }

  /** A character is a byte for nearly all of a log; where it is not the queue holds up to three times as much. */
  get queuedCharacters(): number {
    return this.#pendingCharacters + this.#writingCharacters;
  }

  get bytesWritten(): number {
    return this.#bytesWritten;
  }

  get failed(): boolean {
    return this.#failed;
  }

  /** `row` is the start of the line's index row; empty if the sink is not indexed or the line has none. */
  push(line: string, row: string): void {
    if (this.#failed) return;
    this.#lines.push(line);
    this.#rows?.push(row);
    this.#pendingCharacters += line.length;
    this.#pushed++;
    if (this.#writing !== null) return;
    if (this.#pendingCharacters >= BATCH_CHARACTERS) this.#startWriting();
    else this.#timer ??= setTimeout(() => this.#startWriting(), BATCH_DELAY_MS);
  }

  /** Resolves when all that was pushed before is in the sink, or the sink has failed. */
  async flush(): Promise<void> {
    const target = this.#pushed;
    while (this.#settled < target && !this.#failed) {
      if (this.#writing === null) this.#startWriting();
      await this.#writing;
    }
  }

  /** Total. Gives up lines that are still queued. */
  async close(): Promise<void> {
    this.#stopTimer();
    await this.sink.close();
  }

  /** Ends the queue: by a fault of the sink, or by one who will not wait for it any longer. */
  fail(message: string, linesWritten = 0): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#stopTimer();
    const linesLost = this.#writingLines - linesWritten + this.#lines.length;
    this.#lines = [];
    this.#rows = null;
    this.#pendingCharacters = 0;
    this.#writingCharacters = 0;
    this.#writingLines = 0;
    this.#events.failed(message, linesLost);
    this.#events.progressed();
    // Frees the handle at once; also ends a write that hangs, where the platform can.
    void this.sink.close();
  }

  #startWriting(): void {
    this.#stopTimer();
    if (this.#writing !== null || this.#lines.length === 0 || this.#failed) return;
    this.#writing = this.#write().finally(() => {
      this.#writing = null;
      if (this.#failed || this.#lines.length === 0) return;
      if (this.#pendingCharacters >= BATCH_CHARACTERS) this.#startWriting();
      else this.#timer ??= setTimeout(() => this.#startWriting(), BATCH_DELAY_MS);
    });
  }

  async #write(): Promise<void> {
    const batch = this.#takeBatch();
    try {
      this.#bytesWritten += await this.sink.write(batch);
    } catch (fault) {
      if (fault instanceof SinkWriteError) this.fail(fault.message, fault.linesWritten);
      else this.fail(`event sink ${this.sink.name} failed: ${explainFault(fault)}`);
      return;
    }
    if (this.#failed) return;
    this.#writingCharacters = 0;
    this.#settled += this.#writingLines;
    this.#writingLines = 0;
    this.#events.progressed();
  }

  #takeBatch(): Batch {
    let count = 0;
    let characters = 0;
    while (count < this.#lines.length && characters < BATCH_CHARACTERS) {
      characters += this.#lines[count++]!.length;
    }
    this.#pendingCharacters -= characters;
    this.#writingCharacters = characters;
    this.#writingLines = count;
    return { lines: this.#lines.splice(0, count), rows: this.#rows?.splice(0, count) ?? null };
  }

  #stopTimer(): void {
    if (this.#timer === null) return;
    clearTimeout(this.#timer);
    this.#timer = null;
  }
}
