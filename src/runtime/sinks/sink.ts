/** What takes the log's lines: a file with its segments, standard output, a device or pipe, a Unix socket. */
import type { LogPosition } from "../../log/position.ts";

export interface Sink {
  /** As the user gave it. */
  readonly name: string;
  /** Where the log stood when it was opened. */
  readonly position: LogPosition;
  /** Whether `write` needs index rows. */
  readonly indexed: boolean;
  /** Things a person should know that did not prevent the opening. */
  readonly notices: readonly string[];
  /** Writes whole lines and, if so configured, syncs them. Throws a `SinkWriteError`; after that only `close` is called. */
  write(batch: Batch): Promise<number>;
  /** Total: never throws. Ends a write that is under way, where the platform can. */
  close(): Promise<void>;
}

export interface Batch {
  /** Whole lines, valid until the write has settled. */
  readonly data: Uint8Array;
  readonly lines: number;
  /** The start of each line's index row, empty for a line without one; null if the sink is not indexed. */
  readonly rows: readonly string[] | null;
}

/** A sink that failed for good. The message names it, the fault and the mend. */
export class SinkWriteError extends Error {
  override name = "SinkWriteError";
  /** `linesWritten`: how many lines of the batch are whole in the sink all the same. */
  constructor(message: string, readonly linesWritten: number, options?: ErrorOptions) {
    super(message, options);
  }
}

/** The part of a file, pipe or socket that writing needs. */
export interface ByteWriter {
  write(data: Uint8Array): Promise<number>;
}

/** Continues short writes. On a fault says how much went out before it. */
export async function writeAll(
  writer: ByteWriter,
  data: Uint8Array,
): Promise<{ written: number; fault: unknown | null }> {
  let written = 0;
  while (written < data.length) {
    try {
      const count = await writer.write(data.subarray(written));
      if (count <= 0) return { written, fault: new Error("the write took no byte") };
      written += count;
    } catch (fault) {
      return { written, fault };
    }
  }
  return { written, fault: null };
}

/** The number of line ends in the first `length` bytes. */
export function countLines(data: Uint8Array, length: number): number {
  let lines = 0;
  for (let index = data.indexOf(10); index >= 0 && index < length; index = data.indexOf(10, index + 1)) {
    lines++;
  }
  return lines;
}

/** The name of a file without its folders. */
export function baseName(path: string): string {
  const cut = Math.max(path.lastIndexOf("/"), Deno.build.os === "windows" ? path.lastIndexOf("\\") : -1);
  return path.slice(cut + 1);
}

/** A fault of the platform for a person: what it means and the mend. */
export function explainFault(fault: unknown): string {
  const code = faultCode(fault);
  const text = fault instanceof Error ? fault.message : String(fault);
  const meaning = code === null ? undefined : MEANINGS[code];
  if (meaning !== undefined) return `${meaning} (${text})`;
  if (fault instanceof Deno.errors.NotCapable) return `the permission is missing: ${text}`;
  return text;
}

export function faultCode(fault: unknown): string | null {
  if (typeof fault !== "object" || fault === null) return null;
  const code = (fault as { code?: unknown }).code;
  if (typeof code === "string") return code;
  if (fault instanceof Deno.errors.BrokenPipe) return "EPIPE";
  if (fault instanceof Deno.errors.ConnectionReset) return "ECONNRESET";
  if (fault instanceof Deno.errors.NotFound) return "ENOENT";
  if (fault instanceof Deno.errors.PermissionDenied) return "EACCES";
  // Deno names only some faults; the number is in the message of the others.
  const number = fault instanceof Error ? /\(os error ([0-9]+)\)/.exec(fault.message)?.[1] : undefined;
  return number === undefined ? null : ERROR_NUMBERS[Deno.build.os]?.[number] ?? null;
}

const ERROR_NUMBERS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  linux: { 5: "EIO", 27: "EFBIG", 28: "ENOSPC", 30: "EROFS", 122: "EDQUOT" },
  darwin: { 5: "EIO", 27: "EFBIG", 28: "ENOSPC", 30: "EROFS", 69: "EDQUOT" },
  windows: { 5: "EACCES", 19: "EROFS", 39: "ENOSPC", 109: "EPIPE", 112: "ENOSPC", 232: "EPIPE", 1117: "EIO" },
};

const MEANINGS: Readonly<Record<string, string>> = {
  ENOSPC: "the disk is full; free some space or name a file on another disk",
  EDQUOT: "the disk quota is used up; free some space or name a file on another disk",
  EFBIG: "the file may not grow further; raise the limit (ulimit -f) or set events.rotate_bytes",
  EPIPE: "the reader has gone away; start it again, then the proxy",
  ECONNRESET: "the reader has gone away; start it again, then the proxy",
  ENOENT: "there is no such file or folder; create the folder first or name another path",
  EACCES: "access is denied; choose a path this user may write",
  EPERM: "access is denied; choose a path this user may write",
  EROFS: "the file system is read-only; choose another path",
  EIO: "the device reports an input/output error; check the disk",
};
