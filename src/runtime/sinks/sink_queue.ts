/**
 * The lines on their way to one sink. At most one write is under way; what is recorded meanwhile, or within
 * a few milliseconds, goes out as one batch. The queue never drops a line while its sink works: whoever
 * fills it looks at `queuedBytes` and stops reading its peers.
 */
import { LineBuffer } from "./line_buffer.ts";
import { explainFault, type Sink, SinkWriteError } from "./sink.ts";

/** Long enough that a write serves many events, short enough that nobody who follows the log notices. */
const BATCH_DELAY_MS = 5;
/** A batch of this size does not wait, and none is larger by more than a line: a write that fails loses little. */
const BATCH_BYTES = 256 << 10;
/** As many as wait where a log is full (`highWaterBytes`): new ones each time would be garbage of megabytes. */
const SPARES_MAX = 16;

export interface SinkQueueEvents {
  /** A batch is out, or the queue was emptied by a failure. */
  progressed(): void;
  /** Once. `linesLost` counts those that were queued and are not in the sink. */
  failed(message: string, linesLost: number): void;
}

class PendingBatch {
  readonly buffer = new LineBuffer();
  readonly rows: string[] = [];

  clear(): void {
    this.buffer.clear();
    this.rows.length = 0;
  }
}

export class SinkQueue {
  /** The last one is being filled, those before it are full; never empty. */
  #pending: PendingBatch[] = [new PendingBatch()];
  #writing: PendingBatch | null = null;
  /** Those that were written, to be filled again. */
  readonly #spares: PendingBatch[] = [];
  /** Of the full ones. */
  #fullBytes = 0;
  #underWay: Promise<void> | null = null;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #failed = false;
  #pushed = 0;
  #settled = 0;
  #bytesWritten = 0;
  readonly #events: SinkQueueEvents;

  /** `sequenceOffset` is added to the run's own count to give the `sequence_id` in this sink's log. */
  constructor(readonly sink: Sink, readonly sequenceOffset: number, events: SinkQueueEvents) {
    this.#events = events;
  }

  get queuedBytes(): number {
    return this.#fullBytes + this.#filling.buffer.size + (this.#writing?.buffer.size ?? 0);
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
    const filling = this.#filling;
    filling.buffer.add(line);
    if (this.sink.indexed) filling.rows.push(row);
    this.#pushed++;
    if (filling.buffer.size < BATCH_BYTES) {
      if (this.#underWay === null) this.#timer ??= setTimeout(() => this.#startWriting(), BATCH_DELAY_MS);
    } else if (this.#underWay === null) {
      this.#startWriting();
    } else {
      this.#fullBytes += filling.buffer.size;
      this.#pending.push(this.#takeSpare());
    }
  }

  /** Resolves when all that was pushed before is in the sink, or the sink has failed. */
  async flush(): Promise<void> {
    const target = this.#pushed;
    while (this.#settled < target && !this.#failed) {
      if (this.#underWay === null) this.#startWriting();
      await this.#underWay;
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
    const linesLost = this.#pushed - this.#settled - linesWritten;
    this.#pending = [new PendingBatch()];
    this.#writing = null;
    this.#fullBytes = 0;
    this.#events.failed(message, linesLost);
    this.#events.progressed();
    // Frees the handle at once; also ends a write that hangs, where the platform can.
    void this.sink.close();
  }

  get #filling(): PendingBatch {
    return this.#pending[this.#pending.length - 1]!;
  }

  get #isEmpty(): boolean {
    return this.#pending[0]!.buffer.lines === 0;
  }

  #startWriting(): void {
    this.#stopTimer();
    if (this.#underWay !== null || this.#isEmpty || this.#failed) return;
    this.#underWay = this.#write().finally(() => {
      this.#underWay = null;
      if (this.#failed || this.#isEmpty) return;
      if (this.#pending.length > 1) this.#startWriting();
      else this.#timer ??= setTimeout(() => this.#startWriting(), BATCH_DELAY_MS);
    });
  }

  async #write(): Promise<void> {
    const batch = this.#writing = this.#takeBatch();
    const { lines, data } = batch.buffer;
    try {
      this.#bytesWritten += await this.sink.write({
        data,
        lines,
        rows: this.sink.indexed ? batch.rows : null,
      });
    } catch (fault) {
      if (fault instanceof SinkWriteError) this.fail(fault.message, fault.linesWritten);
      else this.fail(`event sink ${this.sink.name} failed: ${explainFault(fault)}`);
      return;
    }
    if (this.#failed) return;
    this.#writing = null;
    this.#settled += lines;
    batch.clear();
    if (this.#spares.length < SPARES_MAX) this.#spares.push(batch);
    this.#events.progressed();
  }

  #takeBatch(): PendingBatch {
    const batch = this.#pending.shift()!;
    if (this.#pending.length === 0) this.#pending.push(this.#takeSpare());
    else this.#fullBytes -= batch.buffer.size;
    return batch;
  }

  #takeSpare(): PendingBatch {
    return this.#spares.pop() ?? new PendingBatch();
  }

  #stopTimer(): void {
    if (this.#timer === null) return;
    clearTimeout(this.#timer);
    this.#timer = null;
  }
}
