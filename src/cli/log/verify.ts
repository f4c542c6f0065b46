/** `soth-mitm log verify FILE`: checks a log with all its segments and its index, in constant memory. */
import { INDEX_HEADER, indexRow, indexRowStartOf, parseIndexRow } from "../../log/index_row.ts";
import { LogVerifier, type Verdict } from "../../log/verify.ts";
import { visible } from "../../log/visible.ts";
import { readLines } from "../../runtime/sinks/lines.ts";
import { type LogLine, readLog } from "../../runtime/sinks/read_log.ts";
import { baseName } from "../../runtime/sinks/sink.ts";
import { type CommandOutput, HELP_OPTION, type LogSubcommand, plural } from "./command.ts";

export const VERIFY: LogSubcommand = {
  summary: "check every invariant of an event log",
  help: `Usage: soth-mitm log verify FILE

Checks every invariant of an event log, its further segments (FILE.part00001, ...) and its index
(FILE.index.tsv), and names the first line that breaks one. FILE may be - for standard input.
A log cut off by a crash is valid up to its end; what was left open is said.
Exits with 0 if the log is valid, with 1 if not.
`,
  options: HELP_OPTION,
  run: (file, _parsed, io) => verify(file, io),
};

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
