/**
 * A log in a file, and in further segments when `events.rotate_bytes` is set.
 *
 * A line is whole or absent: one write is under way at a time, short writes are continued, and what a
 * failed write leaves of a line is cut off again. An existing log is gone on with, never truncated: only
 * the torn last line of a killed process is moved to `NAME.torn`. One process writes a log at a time.
 */
import type { LogPosition } from "../../log/position.ts";
import { indexRow, segmentName } from "../../log/index_row.ts";
import {
  baseName,
  type Batch,
  type ByteWriter,
  countLines,
  explainFault,
  type Sink,
  SinkWriteError,
  writeAll,
} from "./sink.ts";
import { openForAppend } from "./append_file.ts";
import { IndexFile } from "./index_file.ts";
import { resumeLog } from "./resume.ts";

/** What the sink needs of an open segment. */
export interface SegmentFile extends ByteWriter {
  truncate(length: number): Promise<void>;
  syncData(): Promise<void>;
  close(): void;
}

export interface FileSinkOptions {
  /** 0: one file for ever. */
  readonly rotateBytes: number;
  /** Whether each batch is on the disk before the next is written. */
  readonly sync: "flush" | "fsync";
}

interface Segment {
  readonly file: SegmentFile;
  readonly number: number;
  bytes: number;
}

export class FileSink implements Sink {
  #segment: Segment;
  readonly #options: FileSinkOptions;
  readonly #index: IndexFile | null;
  readonly #openSegment: (number: number) => Promise<SegmentFile>;
  readonly #release: () => void;

  /** `release` gives up the lock; it is called once, after the last segment is closed. */
  constructor(
    readonly name: string,
    readonly position: LogPosition,
    readonly notices: readonly string[],
    segment: Segment,
    options: FileSinkOptions,
    index: IndexFile | null,
    openSegment: (number: number) => Promise<SegmentFile>,
    release: () => void,
  ) {
    this.#segment = segment;
    this.#options = options;
    this.#index = index;
    this.#openSegment = openSegment;
    this.#release = release;
  }

  /** Throws a `StartError`. The path names a regular file or nothing yet. */
  static async open(path: string, options: FileSinkOptions): Promise<FileSink> {
    const resumed = await resumeLog(path, options.rotateBytes > 0);
    return new FileSink(
      path,
      resumed.position,
      resumed.notices,
      { file: resumed.file, number: resumed.segment, bytes: resumed.segmentBytes },
      options,
      resumed.index,
      (number) => openForAppend(segmentName(path, number), { createNew: true }),
      resumed.release,
    );
  }

  get indexed(): boolean {
    return this.#index !== null;
  }

  async write(batch: Batch): Promise<number> {
    const { data } = batch;
    const { rotateBytes } = this.#options;
    if (this.#index === null && rotateBytes === 0) await this.#append(data, 0);
    else await this.#writeSegmented(batch);
    if (this.#options.sync === "fsync") {
      try {
        await this.#segment.file.syncData();
      } catch (fault) {
        throw this.#failure(fault, batch.lines);
      }
    }
    return data.length;
  }

  async close(): Promise<void> {
    try {
      await this.#segment.file.syncData();
    } catch {
      // Not every file system can; what was written stays written.
    }
    for (const close of [() => this.#segment.file.close(), () => this.#index?.close(), this.#release]) {
      try {
        close();
      } catch {
        // Already closed by the platform: nothing is left to do.
      }
    }
  }

  /** Cuts the batch into the runs of lines that go to one segment each. */
  async #writeSegmented({ data, lines, rows }: Batch): Promise<void> {
    const lengths = lineLengths(data);
    const { rotateBytes } = this.#options;
    let first = 0;
    let start = 0;
    while (first < lines) {
      if (rotateBytes > 0 && this.#segment.bytes > 0 && this.#segment.bytes + lengths[first]! > rotateBytes) {
        await this.#rotate(first);
      }
      const name = segmentName(baseName(this.name), this.#segment.number);
      let end = start;
      let next = first;
      let indexed = "";
      do {
        if (rows !== null && rows[next] !== "") {
          indexed += indexRow(rows[next]!, name, this.#segment.bytes + end - start, lengths[next]!);
        }
        end += lengths[next++]!;
      } while (
        next < lines &&
        (rotateBytes === 0 || this.#segment.bytes + end - start + lengths[next]! <= rotateBytes)
      );
      await this.#append(data.subarray(start, end), first);
      // The log first, its index second: an index that lags is completed when the log is opened again.
      const fault = await this.#index?.append(indexed) ?? null;
      if (fault !== null) throw this.#failure(fault, next);
      first = next;
      start = end;
    }
  }

  async #append(data: Uint8Array, linesBefore: number): Promise<void> {
    const segment = this.#segment;
    const { written, fault } = await writeAll(segment.file, data);
    if (fault === null) {
      segment.bytes += written;
      return;
    }
    const kept = written === 0 ? 0 : data.lastIndexOf(10, written - 1) + 1;
    if (kept < written) {
      try {
        await segment.file.truncate(segment.bytes + kept);
      } catch {
        // The torn line stays; the next opening sets it aside.
      }
    }
    segment.bytes += kept;
    throw this.#failure(fault, linesBefore + countLines(data, kept));
  }

  async #rotate(linesBefore: number): Promise<void> {
    const number = this.#segment.number + 1;
    try {
      if (this.#options.sync === "fsync") await this.#segment.file.syncData();
      const file = await this.#openSegment(number);
      this.#segment.file.close();
      this.#segment = { file, number, bytes: 0 };
    } catch (fault) {
      throw this.#failure(fault, linesBefore, segmentName(this.name, number));
    }
  }

  #failure(fault: unknown, linesWritten: number, path = this.name): SinkWriteError {
    return new SinkWriteError(`event sink ${path} failed: ${explainFault(fault)}`, linesWritten, {
      cause: fault,
    });
  }
}

/** Of each line with its end, in octets. */
function lineLengths(data: Uint8Array): number[] {
  const lengths: number[] = [];
  for (let start = 0; start < data.length;) {
    const end = data.indexOf(10, start) + 1;
    lengths.push(end - start);
    start = end;
  }
  return lengths;
}
