/**
 * `state_dir/learned.json`: the bypasses in force, for the proxies that share the directory and for
 * `soth-mitm learned`. Written whole and under a lock, readable by its owner alone. What is in it lets clients
 * past the proxy, so a file that cannot be read to the last field, or that others may write to, is set aside
 * with a warning and counts as empty: then nothing is let through, and evidence comes anew.
 */
import { basename, join } from "node:path";
import { ERROR_LENGTH_MAX, HOST_LENGTH_MAX, LEARNED_MAX, type LearnedBypass } from "../policy/learning.ts";
import { removeTemporaries, replaceFile, takeLock } from "./atomic_file.ts";

const SCHEMA = "soth-mitm-learned-v1";
/** 1,024 entries of the longest host and error stay below this, however much of them has to be escaped. */
const FILE_BYTES_MAX = 4 * 1024 * 1024;

export function learnedPath(stateDir: string): string {
  return join(stateDir, "learned.json");
}

export type LearnedFile =
  | { readonly type: "entries"; readonly entries: readonly LearnedBypass[] }
  | { readonly type: "unusable"; readonly detail: string };

/** No file is no entries. Throws what the platform says where it cannot be opened. */
export function readLearned(path: string): LearnedFile {
  let file: Deno.FsFile;
  try {
    file = Deno.openSync(path, { read: true });
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return { type: "entries", entries: [] };
    throw error;
  }
  try {
    const { isFile, mode, size } = file.statSync();
    if (!isFile) return unusable("it is not a file");
    if (mode !== null && Deno.build.os !== "windows" && (mode & 0o022) !== 0) {
      return unusable(`its mode ${(mode & 0o777).toString(8).padStart(4, "0")} lets others write to it`);
    }
    if (size > FILE_BYTES_MAX) return unusable(`it is larger than ${FILE_BYTES_MAX} bytes`);
    const bytes = new Uint8Array(size);
    let length = 0;
    while (length < size) {
      const count = file.readSync(bytes.subarray(length));
      if (count === null) break;
      length += count;
    }
    return parseLearned(new TextDecoder().decode(bytes.subarray(0, length)));
  } finally {
    file.close();
  }
}

/** What tells one version of the file from the next; null: there is none. */
export function learnedVersion(path: string): string | null {
  try {
    const { ino, mtime, size } = Deno.statSync(path);
    return `${ino} ${mtime?.getTime()} ${size}`;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

export interface LearnedChange {
  /** What is in the file now. */
  readonly entries: readonly LearnedBypass[];
  readonly version: string | null;
  /** What was wrong with the file that was set aside for it. */
  readonly setAside: string | null;
}

/** Reads, changes and replaces the file as one step among all processes. Throws what the platform says. */
export async function changeLearned(
  stateDir: string,
  change: (entries: readonly LearnedBypass[]) => readonly LearnedBypass[],
): Promise<LearnedChange> {
  const path = learnedPath(stateDir);
  await Deno.mkdir(stateDir, { recursive: true, mode: 0o700 });
  using lock = await takeLock(`${path}.lock`);
  if (lock === null) throw new Error(`another process has held ${path}.lock for 15 seconds`);
  await removeTemporaries(stateDir, (name) => name === basename(path));
  const found = readLearned(path);
  if (found.type === "unusable") await Deno.rename(path, asidePath(path));
  const entries = change(found.type === "entries" ? found.entries : []);
  await replaceFile(path, formatLearned(entries), 0o600);
  return {
    entries,
    version: learnedVersion(path),
    setAside: found.type === "unusable" ? found.detail : null,
  };
}

/** One place, so that a file that breaks again and again does not fill the disk. */
export function asidePath(path: string): string {
  return `${path}.corrupt`;
}

export function formatLearned(entries: readonly LearnedBypass[]): string {
  const written = entries.map(({ host, fingerprint, learnedMs, expiresMs, evidence }) => ({
    host,
    fingerprint,
    learned_at: isoTime(learnedMs),
    expires_at: isoTime(expiresMs),
    failures: evidence.failures,
    first_failure_at: isoTime(evidence.firstMs),
    last_failure_at: isoTime(evidence.lastMs),
    error: evidence.error,
  }));
  return JSON.stringify({ schema: SCHEMA, entries: written }, null, 1) + "\n";
}

export function parseLearned(text: string): LearnedFile {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return unusable("it is no JSON");
  }
  if (!isTable(value) || value["schema"] !== SCHEMA) return unusable(`its schema is not ${SCHEMA}`);
  const list = value["entries"];
  if (!Array.isArray(list)) return unusable("it has no entries");
  if (list.length > LEARNED_MAX) return unusable(`it has more than ${LEARNED_MAX} entries`);
  const entries: LearnedBypass[] = [];
  for (const [index, written] of list.entries()) {
    const entry = isTable(written) ? entryOf(written) : null;
    if (entry === null) return unusable(`entry ${index + 1} is none`);
    entries.push(entry);
  }
  return { type: "entries", entries };
}

function entryOf(table: Readonly<Record<string, unknown>>): LearnedBypass | null {
  const { host, fingerprint, failures, error } = table;
  if (typeof host !== "string" || host === "" || host.length > HOST_LENGTH_MAX) return null;
  if (typeof fingerprint !== "string" || !/^[\x21-\x7e]{1,100}$/.test(fingerprint)) return null;
  if (typeof failures !== "number" || !Number.isInteger(failures) || failures < 1) return null;
  if (typeof error !== "string" || error.length > ERROR_LENGTH_MAX) return null;
  const learnedMs = timeOf(table["learned_at"]);
  const expiresMs = timeOf(table["expires_at"]);
  const firstMs = timeOf(table["first_failure_at"]);
  const lastMs = timeOf(table["last_failure_at"]);
  if (learnedMs === null || expiresMs === null || firstMs === null || lastMs === null) return null;
  return { host, fingerprint, learnedMs, expiresMs, evidence: { failures, firstMs, lastMs, error } };
}

const ISO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

function timeOf(value: unknown): number | null {
  if (typeof value !== "string" || !ISO_TIME.test(value)) return null;
  const time = Date.parse(value);
  return Number.isNaN(time) ? null : time;
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}

function isTable(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function unusable(detail: string): LearnedFile {
  return { type: "unusable", detail };
}
