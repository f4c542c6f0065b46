/** Reading a log with all its segments, as one run of lines in constant memory. */
import { segmentName } from "../../log/index_row.ts";
import { type RawLine, readLines, type SeekableReader } from "./lines.ts";
import { baseName } from "./sink.ts";

export interface LogLine extends RawLine {
  /** The path of the segment, `-` for standard input. */
  readonly path: string;
  /** As the index calls the segment. */
  readonly segment: string;
  /** Counted from 1 in the segment. */
  readonly lineNumber: number;
  /** Whether the segment is the last: only there may a line be torn. */
  readonly lastSegment: boolean;
}

/** Throws what the platform throws where a segment cannot be read. */
export async function* readLog(path: string): AsyncGenerator<LogLine> {
  if (path === "-") {
    const place = { path, segment: path, lastSegment: true };
    yield* numbered(Deno.stdin as unknown as SeekableReader, place);
    return;
  }
  let current: Deno.FsFile | null = await Deno.open(path, { read: true });
  let next: Deno.FsFile | null = null;
  try {
    for (let number = 0; current !== null; number++) {
      // Opened before this one is read: a segment that a running proxy adds meanwhile is not for this reading.
      next = await openIfThere(segmentName(path, number + 1));
      yield* numbered(current, {
        path: segmentName(path, number),
        segment: segmentName(baseName(path), number),
        lastSegment: next === null,
      });
      current.close();
      current = next;
      next = null;
    }
  } finally {
    // Also when the reader stops early.
    current?.close();
    next?.close();
  }
}

async function* numbered(
  file: SeekableReader,
  place: Pick<LogLine, "path" | "segment" | "lastSegment">,
): AsyncGenerator<LogLine> {
  let lineNumber = 0;
  for await (const line of readLines(file)) yield { ...place, ...line, lineNumber: ++lineNumber };
}

async function openIfThere(path: string): Promise<Deno.FsFile | null> {
  try {
    return await Deno.open(path, { read: true });
  } catch (fault) {
    if (fault instanceof Deno.errors.NotFound) return null;
    throw fault;
  }
}
