/**
 * `soth-mitm log verify|show FILE`: reads an event log with all its segments, in constant memory.
 *
 * Exit codes: 0 the log is whole (a log cut off by a crash is whole up to its end), 1 it is not, 2 usage or
 * a file that cannot be read.
 */
import { closestString } from "@std/text/closest-string";
import type { LoggedEvent } from "../core/event.ts";
import { INDEX_HEADER, indexRow, indexRowStartOf, parseIndexRow } from "../log/index_row.ts";
import { ReadableLines } from "../log/readable.ts";
import { LogVerifier, type Verdict } from "../log/verify.ts";
import { visible } from "../log/visible.ts";
import { readLines } from "../runtime/sinks/lines.ts";
import { type LogLine, readLog } from "../runtime/sinks/read_log.ts";
import { baseName, explainFault } from "../runtime/sinks/sink.ts";

export interface CommandOutput {
  stdout(text: string): void;
  stderr(text: string): void;
  /** Whether standard output takes colour. */
  readonly colour: boolean;
}

/** `args` are those after `log`. The result is the exit code. */
export async function logCommand(args: string[], io: CommandOutput): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined) return usage(io, `a subcommand is missing; there are ${names}`);
  if (isHelp(name)) {
    io.stdout(HELP);
    return 0;
  }
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined) {
    const nearest = name.startsWith("-") ? "--help" : closestString(name, Object.keys(COMMANDS));
    return usage(
      io,
      `${visible(name)} is not a subcommand of log; there are ${names} (did you mean ${nearest}?)`,
    );
  }
  if (rest.some(isHelp)) {
    io.stdout(command.help);
    return 0;
  }
  const option = rest.find((argument) => argument.startsWith("-") && argument !== "-");
  if (option !== undefined) {
    return usage(io, `${visible(option)} is not an option of log ${name}; there is --help`);
  }
  const [file, extra] = rest;
  if (file === undefined) return usage(io, `the FILE to read is missing: soth-mitm log ${name} FILE`);
  if (extra !== undefined) return usage(io, `log ${name} reads one FILE; found ${visible(extra)} too`);
  try {
    return await command.run(file, io);
  } catch (fault) {
    if (!(fault instanceof Error)) throw fault;
    const reason = fault instanceof Deno.errors.NotFound ? "there is no such file" : explainFault(fault);
    io.stderr(`soth-mitm: cannot read ${visible(file)}: ${visible(reason)}\n`);
    return 2;
  }
}

interface Command {
  readonly help: string;
  run(file: string, io: CommandOutput): Promise<number>;
}

const COMMANDS: Readonly<Record<string, Command>> = {
  show: {
    help: `Usage: soth-mitm log show FILE

Prints one readable line for each exchange of an event log, and one for each flow without any:
time, method, status, bytes, duration, URL, and what went wrong. A status with an asterisk (502*) is the
proxy's own answer. FILE may be - for standard input. Further segments (FILE.part00001, ...) are read too.
Exits with 1 if a line is no event.
`,
    run: show,
  },
  verify: {
    help: `Usage: soth-mitm log verify FILE

Checks every invariant of an event log, its further segments (FILE.part00001, ...) and its index
(FILE.index.tsv), and names the first line that breaks one. FILE may be - for standard input.
A log cut off by a crash is valid up to its end; what was left open is said.
Exits with 0 if the log is valid, with 1 if not.
`,
    run: verify,
  },
};

const names = Object.keys(COMMANDS).join(" and ");

const HELP = `Usage: soth-mitm log show FILE      print an event log, readable
       soth-mitm log verify FILE    check every invariant of an event log

"soth-mitm log show --help" and "soth-mitm log verify --help" tell more.
`;

async function verify(path: string, io: CommandOutput): Promise<number> {
  const verifier = new LogVerifier();
  const index = path === "-" ? null : await IndexReader.open(path);
  const notes: string[] = [];
  let last: LogLine | null = null;
  let end = { segment: "", bytes: 0 };
  try {
    for await (const line of readLog(path)) {
      last = { ...line, bytes: NO_BYTES };
      end = {
        segment: line.segment,
        bytes: line.byteOffset + (line.end === "newline" ? line.bytes.length + 1 : 0),
      };
      if (await checkLine(verifier, index, line, notes) !== null) break;
    }
    if (index !== null && verifier.finish().violation === null) {
      const row = await index.surplus(path, end);
      if (row !== null) {
        io.stdout(broken(`${path}.index.tsv`, row, "index", "the row is of no event in the log"));
        return 1;
      }
      if (index.missing > 0) {
        notes.push(
          `the index lacks the last ${plural(index.missing, "event")}; opening the log again completes it`,
        );
      }
    } else if (index === null && last !== null && last.path !== path) {
      notes.push(`there is no index (${path}.index.tsv); opening the log again makes it`);
    }
  } finally {
    index?.close();
  }
  const verdict = verifier.finish();
  if (verdict.violation !== null) {
    const { invariant, detail, lineNumber, byteOffset } = verdict.violation;
    io.stdout(broken(last?.path ?? path, lineNumber, invariant, `${detail} (byte ${byteOffset})`));
    return 1;
  }
  io.stdout(summary(path, verdict, notes));
  return 0;
}

async function checkLine(
  verifier: LogVerifier,
  index: IndexReader | null,
  line: LogLine,
  notes: string[],
): Promise<unknown | null> {
  if (line.end === "limit") {
    verifier.fail(
      { invariant: "line_end", detail: `the line is longer than ${line.bytes.length} bytes` },
      line,
    );
    return line;
  }
  if (line.end === "file") {
    if (!line.lastSegment) {
      verifier.fail({ invariant: "line_end", detail: "the segment ends in the middle of a line" }, line);
      return line;
    }
    notes.push(
      `the log ends at byte ${line.byteOffset} of ${line.path}; ` +
        `${plural(line.bytes.length, "byte")} of a line that was never finished follow`,
    );
    return verifier.torn(line.bytes, line);
  }
  const violation = verifier.line(line.bytes, line);
  const event = verifier.lastEvent;
  if (violation !== null || event === null || index === null) return violation;
  const expected = indexRow(indexRowStartOf(event)!, line.segment, line.byteOffset, line.bytes.length + 1);
  const found = await index.next();
  if (found === null || found + "\n" === expected) return null;
  const detail = `row ${index.rowNumber} of the index is "${found}", expected "${expected.trimEnd()}"`;
  verifier.fail({ invariant: "index", detail: detail.replaceAll("\t", " ") }, line);
  return line;
}

/** The rows of the index, in step with the events of the log. */
class IndexReader {
  rowNumber = 1;
  /** Events after the last row. */
  missing = 0;
  readonly #file: Deno.FsFile;
  readonly #rows: ReturnType<typeof readLines>;
  #ended = false;

  private constructor(file: Deno.FsFile) {
    this.#file = file;
    this.#rows = readLines(file);
  }

  static async open(logPath: string): Promise<IndexReader | null> {
    let file: Deno.FsFile;
    try {
      file = await Deno.open(`${logPath}.index.tsv`, { read: true });
    } catch (fault) {
      if (fault instanceof Deno.errors.NotFound) return null;
      throw fault;
    }
    const reader = new IndexReader(file);
    const header = await reader.#read();
    if (header === null || header + "\n" === INDEX_HEADER) return reader;
    file.close();
    throw new Error(`${logPath}.index.tsv is not an index of an event log; move it away`);
  }

  /** The next row; null, and the event counted as missing, where there is none. */
  async next(): Promise<string | null> {
    const row = await this.#read();
    if (row === null) this.missing++;
    else this.rowNumber++;
    return row;
  }

  /** The number of a row without an event. A log that a running proxy writes to may have grown behind `end`. */
  async surplus(logPath: string, end: { segment: string; bytes: number }): Promise<number | null> {
    const row = await this.#read();
    if (row === null) return null;
    this.rowNumber++;
    const place = parseIndexRow(row);
    if (place === null || (place.segment === end.segment && place.byteOffset < end.bytes)) {
      return this.rowNumber;
    }
    const folder = logPath.slice(0, logPath.length - baseName(logPath).length);
    try {
      const { size } = await Deno.stat(folder + place.segment);
      return place.byteOffset + place.lineBytes <= size ? null : this.rowNumber;
    } catch {
      return this.rowNumber;
    }
  }

  close(): void {
    this.#file.close();
  }

  async #read(): Promise<string | null> {
    if (this.#ended) return null;
    const { value, done } = await this.#rows.next();
    if (!done && value.end === "newline") return new TextDecoder().decode(value.bytes);
    this.#ended = true;
    return null;
  }
}

async function show(path: string, io: CommandOutput): Promise<number> {
  let openedAtMs: number | null = null;
  let openedNs = 0;
  const readable = new ReadableLines({
    colour: io.colour,
    clock: (timeNs) =>
      openedAtMs === null ? seconds(timeNs) : timeOfDay(openedAtMs + (timeNs - openedNs) / 1e6),
  });
  const print = (lines: readonly string[]) => lines.forEach((text) => io.stdout(text + "\n"));
  const decoder = new TextDecoder();
  let foreign = 0;
  for await (const line of readLog(path)) {
    if (line.end === "file" && line.lastSegment) {
      io.stderr(`soth-mitm: the log ends in the middle of a line (${plural(line.bytes.length, "byte")})\n`);
      continue;
    }
    const event = parseLine(decoder.decode(line.bytes));
    if (event === null) {
      foreign++;
      io.stderr(`soth-mitm: ${visible(line.path)}:${line.lineNumber} is not an event\n`);
      continue;
    }
    if (event["kind"] === "log_opened") {
      print(readable.opened());
      const openedAt = Date.parse(String(event["opened_at"]));
      openedAtMs = Number.isNaN(openedAt) ? null : openedAt;
      openedNs = Number(event["continues_time_ns"]) || 0;
      continue;
    }
    const text = readable.event(event as unknown as LoggedEvent);
    if (text !== null) print([text]);
  }
  print(readable.unfinished());
  return foreign > 0 ? 1 : 0;
}

/** An object with what a readable line needs of an envelope, or null. */
function parseLine(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null) return null;
    const event = value as Readonly<Record<string, unknown>>;
    if (event["kind"] === "log_opened") return event;
    const { attributes, flow_id, time_ns, server_host, server_port } = event;
    const fits = typeof attributes === "object" && attributes !== null && typeof flow_id === "string" &&
      typeof time_ns === "number" && typeof server_port === "number" &&
      (server_host === null || typeof server_host === "string");
    return fits ? event : null;
  } catch {
    return null;
  }
}

const NO_BYTES = new Uint8Array(0);

function summary(path: string, verdict: Verdict, notes: readonly string[]): string {
  const all = [...notes];
  if (verdict.openings === 0) all.push("nothing was ever written to it");
  if (verdict.openFlows > 0) {
    all.push(
      `${plural(verdict.openFlows, "flow")} open at its end: it was cut off there, or is still being written`,
    );
  }
  if (verdict.cutFlows > 0) {
    all.push(`${plural(verdict.cutFlows, "flow")} cut off where the log was opened again`);
  }
  const counts = [
    plural(verdict.events, "event"),
    plural(verdict.flows, "flow"),
    plural(verdict.exchanges, "exchange"),
    plural(verdict.openings, "opening"),
  ];
  return `${visible(path)}: valid; ${counts.join(", ")}\n` +
    all.map((note) => `  note: ${visible(note)}\n`).join("");
}

function broken(path: string, lineNumber: number, invariant: string, detail: string): string {
  return `${visible(path)}:${lineNumber}: invalid: ${invariant}: ${visible(detail)}\n`;
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

function timeOfDay(milliseconds: number): string {
  const date = new Date(milliseconds);
  const two = (value: number) => String(value).padStart(2, "0");
  const clock = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":");
  return `${clock}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

function seconds(timeNs: number): string {
  return `${(timeNs / 1e9).toFixed(3)}s`;
}

function isHelp(argument: string): boolean {
  return argument === "--help" || argument === "-h";
}

function usage(io: CommandOutput, message: string): number {
  io.stderr(`soth-mitm: ${message}\n`);
  return 2;
}
