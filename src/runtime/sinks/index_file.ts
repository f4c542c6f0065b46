/**
 * The index beside a segmented log. It is derived: what a crash left unwritten is read from the log again
 * when the log is next opened, and an index that contradicts its log is made anew.
 */
import { INDEX_HEADER, indexRow, indexRowStartOf, parseIndexRow, segmentName } from "../../log/index_row.ts";
import { cutAt, openForAppend, seekToEnd } from "./append_file.ts";
import { readLines, readRange, readTail } from "./lines.ts";
import { baseName, writeAll } from "./sink.ts";

interface LogEnd {
  readonly segment: number;
  readonly bytes: number;
}

export class IndexFile {
  readonly #file: Deno.FsFile;

  private constructor(file: Deno.FsFile) {
    this.#file = file;
  }

  /** Opens the index of the log at `logPath`, whose whole lines end at `end`, and completes it. */
  static async open(path: string, logPath: string, end: LogEnd): Promise<IndexFile> {
    const file = await openForAppend(path);
    try {
      const index = new IndexFile(file);
      const from = await index.#mend(logPath, end);
      await index.#complete(logPath, from, end);
      return index;
    } catch (fault) {
      file.close();
      throw fault;
    }
  }

  /** The fault of a failed write, else null. */
  async append(rows: string): Promise<unknown | null> {
    if (rows === "") return null;
    return (await writeAll(this.#file, encoder.encode(rows))).fault;
  }

  close(): void {
    this.#file.close();
  }

  /** Cuts off a torn row; gives the place in the log that the rows reach. */
  async #mend(logPath: string, end: LogEnd): Promise<LogEnd> {
    const { size } = await this.#file.stat();
    const tail = await readTail(this.#file, size);
    if (tail !== null && tail.torn.length > 0) await this.#file.truncate(tail.wholeBytes);
    await seekToEnd(this.#file);
    if (tail !== null && tail.lastLine !== null) {
      if (tail.lastLine + "\n" === INDEX_HEADER) return { segment: 0, bytes: 0 };
      const reached = await reachedBy(tail.lastLine, logPath, end);
      if (reached !== null) return reached;
    }
    await cutAt(this.#file, 0);
    const fault = await this.append(INDEX_HEADER);
    if (fault !== null) throw fault;
    return { segment: 0, bytes: 0 };
  }

  async #complete(logPath: string, from: LogEnd, end: LogEnd): Promise<void> {
    const decoder = new TextDecoder();
    for (let segment = from.segment; segment <= end.segment; segment++) {
      const start = segment === from.segment ? from.bytes : 0;
      if (segment === end.segment && start >= end.bytes) break;
      const file = await Deno.open(segmentName(logPath, segment), { read: true });
      try {
        const name = segmentName(baseName(logPath), segment);
        let rows = "";
        for await (const line of readLines(file, start)) {
          if (line.end !== "newline") break;
          const rowStart = indexRowStartOf(parse(decoder.decode(line.bytes), name, line.byteOffset));
          if (rowStart !== null) rows += indexRow(rowStart, name, line.byteOffset, line.bytes.length + 1);
          if (rows.length < 64 << 10) continue;
          await this.#appendOrThrow(rows);
          rows = "";
        }
        await this.#appendOrThrow(rows);
      } finally {
        file.close();
      }
    }
  }

  async #appendOrThrow(rows: string): Promise<void> {
    const fault = await this.append(rows);
    if (fault !== null) throw fault;
  }
}

const encoder = new TextEncoder();

function parse(line: string, segment: string, byteOffset: number): unknown {
  try {
    return JSON.parse(line);
  } catch {
    throw new Error(
      `the line at byte ${byteOffset} of ${segment} is not an event, so the index cannot be made; ` +
        `look at it with "soth-mitm log verify", then move the log away or name another file`,
    );
  }
}

/** Where the log goes on after the line of an index row; null: the row is of no line in the log. */
async function reachedBy(row: string, logPath: string, end: LogEnd): Promise<LogEnd | null> {
  const place = parseIndexRow(row);
  if (place === null) return null;
  const segment = segmentNumber(baseName(logPath), place.segment, end.segment);
  if (segment === null) return null;
  const file = await Deno.open(segmentName(logPath, segment), { read: true });
  try {
    const endBytes = segment === end.segment ? end.bytes : (await file.stat()).size;
    if (place.byteOffset + place.lineBytes > endBytes) return null;
    const line = await readRange(file, place.byteOffset, place.lineBytes);
    const start = indexRowStartOf(JSON.parse(new TextDecoder().decode(line)));
    if (start === null || indexRow(start, place.segment, place.byteOffset, line.length) !== row + "\n") {
      return null;
    }
    return { segment, bytes: place.byteOffset + line.length };
  } catch (fault) {
    if (fault instanceof SyntaxError) return null;
    throw fault;
  } finally {
    file.close();
  }
}

/** The number of a named segment, if it is one of the log's. */
function segmentNumber(logName: string, name: string, last: number): number | null {
  const number = name === logName ? 0 : Number(name.slice(logName.length + ".part".length));
  return Number.isInteger(number) && number <= last && segmentName(logName, number) === name ? number : null;
}
