/**
 * Opening a log file: made when it is not there, gone on with when it is.
 *
 * The order is the safe one: lock first, then look, then mend (torn line, index), and only then write.
 */
import { LOG_SCHEMA } from "../../log/encode.ts";
import { LOG_START, type LogPosition, positionAfter } from "../../log/position.ts";
import { segmentName } from "../../log/index_row.ts";
import { StartError } from "../start_error.ts";
import { cutAt, openForAppend, seekToEnd } from "./append_file.ts";
import { IndexFile } from "./index_file.ts";
import { readTail } from "./lines.ts";
import { explainFault, writeAll } from "./sink.ts";

export interface ResumedLog {
  readonly position: LogPosition;
  readonly notices: readonly string[];
  readonly file: Deno.FsFile;
  readonly segment: number;
  readonly segmentBytes: number;
  readonly index: IndexFile | null;
  release(): void;
}

/** Throws a `StartError`. */
export async function resumeLog(path: string, segmented: boolean): Promise<ResumedLog> {
  const opened: Deno.FsFile[] = [];
  try {
    return await resume(path, segmented, opened);
  } catch (fault) {
    for (const file of opened) closeQuietly(file);
    if (fault instanceof StartError) throw fault;
    throw refusal(path, explainFault(fault), fault);
  }
}

async function resume(path: string, segmented: boolean, opened: Deno.FsFile[]): Promise<ResumedLog> {
  const notices: string[] = [];
  const existed = await exists(path);
  const main = await openForAppend(path);
  opened.push(main);
  const lock = await lockLog(path, main, notices);
  if (lock !== null && lock !== main) opened.push(lock);

  const { size, mode } = await main.stat();
  if (existed) {
    if (size > 0) await refuseForeign(path, main);
    if (mode !== null && (mode & 0o077) !== 0 && Deno.build.os !== "windows") {
      notices.push(
        `event log ${path} can be read or written by other users (mode ${(mode & 0o777).toString(8)}); ` +
          `"chmod 600 ${path}" makes it private`,
      );
    }
  }

  let segment = 0;
  while (await exists(segmentName(path, segment + 1))) segment++;
  let file = main;
  if (segment > 0) {
    file = await openForAppend(segmentName(path, segment));
    opened.push(file);
  }

  const ended = await readEnd(path, segment, file);
  if (ended.torn.length > 0) {
    await setAside(path, file, ended.torn, ended.wholeBytes);
    notices.push(
      `event log ${path} ended in the middle of a line; its ${ended.torn.length} bytes were moved to ` +
        `${path}.torn and the log goes on after its last whole line`,
    );
  }

  await seekToEnd(file);

  // A log that once had an index keeps it complete, also when it no longer rotates.
  const indexPath = `${path}.index.tsv`;
  const index = segmented || segment > 0 || await exists(indexPath)
    ? await IndexFile.open(indexPath, path, { segment, bytes: ended.wholeBytes })
    : null;

  return {
    position: ended.position,
    notices,
    file,
    segment,
    segmentBytes: ended.wholeBytes,
    index,
    release() {
      if (file !== main) closeQuietly(main);
      if (lock !== null && lock !== main) closeQuietly(lock);
    },
  };
}

/**
 * An exclusive lock, held until the handle is closed, also by a crash. Windows locks are mandatory and
 * would keep `log show` from reading, so there a file beside the log is locked. Null: locks do not exist here.
 */
async function lockLog(path: string, main: Deno.FsFile, notices: string[]): Promise<Deno.FsFile | null> {
  const file = Deno.build.os === "windows"
    ? await Deno.open(`${path}.lock`, { write: true, create: true })
    : main;
  let locked: boolean;
  try {
    locked = await file.tryLock(true);
  } catch (fault) {
    if (file !== main) closeQuietly(file);
    notices.push(
      `event log ${path} cannot be locked (${
        explainFault(fault)
      }); make sure that no other process writes it`,
    );
    return null;
  }
  if (locked) return file;
  if (file !== main) closeQuietly(file);
  throw refusal(path, "another process is writing this log; stop it or name another file");
}

async function refuseForeign(path: string, file: Deno.FsFile): Promise<void> {
  const expected = new TextEncoder().encode(`{"schema":"${LOG_SCHEMA}","kind":"log_opened"`);
  const start = new Uint8Array(expected.length);
  await file.seek(0, Deno.SeekMode.Start);
  const count = await file.read(start) ?? 0;
  for (let index = 0; index < count; index++) {
    if (start[index] === expected[index]) continue;
    throw refusal(path, "the file exists and is not an event log; name another file or move this one away");
  }
}

interface LogEnd {
  readonly position: LogPosition;
  /** Of the last segment. */
  readonly wholeBytes: number;
  readonly torn: Uint8Array;
}

async function readEnd(path: string, lastSegment: number, lastFile: Deno.FsFile): Promise<LogEnd> {
  const { size } = await lastFile.stat();
  const tail = await readTail(lastFile, size);
  if (tail === null) throw damaged(segmentName(path, lastSegment));
  const { wholeBytes, torn } = tail;
  let lastLine = tail.lastLine;
  // A process killed just after it began a segment leaves it empty: the last line is in the one before.
  for (let segment = lastSegment - 1; lastLine === null && segment >= 0; segment--) {
    const name = segmentName(path, segment);
    const file = await Deno.open(name, { read: true });
    try {
      const before = await readTail(file, (await file.stat()).size);
      if (before === null || before.torn.length > 0) throw damaged(name);
      lastLine = before.lastLine;
    } finally {
      file.close();
    }
  }
  if (lastLine === null) return { position: LOG_START, wholeBytes, torn };
  const position = positionAfter(lastLine);
  if (position === null) throw damaged(segmentName(path, lastSegment));
  return { position, wholeBytes, torn };
}

/** Copied and synced before it is cut: at no instant are the bytes nowhere. */
async function setAside(
  path: string,
  file: Deno.FsFile,
  torn: Uint8Array,
  wholeBytes: number,
): Promise<void> {
  const aside = await openForAppend(`${path}.torn`);
  try {
    const data = new Uint8Array(torn.length + 1);
    data.set(torn);
    data[torn.length] = 10;
    const { fault } = await writeAll(aside, data);
    if (fault !== null) throw fault;
    await aside.syncData();
  } finally {
    aside.close();
  }
  await cutAt(file, wholeBytes);
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (fault) {
    if (fault instanceof Deno.errors.NotFound) return false;
    throw fault;
  }
}

function closeQuietly(file: Deno.FsFile): void {
  try {
    file.close();
  } catch {
    // Closed before.
  }
}

function damaged(path: string): StartError {
  return refusal(
    path,
    `its last whole line is not an event, so the log cannot be continued; ` +
      `look at it with "soth-mitm log verify", then move it away or name another file`,
  );
}

function refusal(path: string, detail: string, cause?: unknown): StartError {
  return new StartError("event_sink_init_failed", `cannot open event sink ${path}: ${detail}`, { cause });
}
