/**
 * The log for a person: one line for each exchange, and one for each flow that has none. A status with an
 * asterisk is the proxy's own answer. What peers sent is shown with every control character spelled out, so
 * that nothing in a log can steer the terminal.
 */
import type { LoggedEvent } from "../core/event.ts";
import { LogEntries, type LogEntry } from "./entries.ts";
import { visible } from "./visible.ts";

export interface ReadableOptions {
  readonly colour: boolean;
  /** How a line's time is written; seconds since the log was opened where it is not given. */
  readonly clock?: (timeNs: number) => string;
  /** Whether each line says which flow and exchange it is of, as `FLOW/EXCHANGE`. */
  readonly ids?: boolean;
}

/** Follows a log and says what there is to say, as it happens. */
export class ReadableLines {
  readonly #entries = new LogEntries();
  readonly #options: ReadableOptions;

  constructor(options: ReadableOptions) {
    this.#options = options;
  }

  /** The line, without an end, that this event completes; null for most events. */
  event(event: LoggedEvent): string | null {
    const entry = this.#entries.event(event);
    return entry === null ? null : readableLine(entry, this.#options);
  }
}

export function readableLine(entry: LogEntry, { colour, clock, ids = false }: ReadableOptions): string {
  const paint = colour ? painted : plain;
  const timeNs = entry.ended ? entry.endNs : entry.startNs;
  const time = clock === undefined ? `${(timeNs / 1e9).toFixed(3)}s` : clock(timeNs);
  const status = (entry.status === null ? "-" : String(entry.status)).padStart(3);
  // The mark of an answer of our own stands in the gap between the columns.
  const statusColumn = entry.ownAnswer
    ? paint(statusColour(entry), `${status}*`)
    : `${paint(statusColour(entry), status)} `;
  const tellsSent = entry.ended && entry.sentBytes > 0 && (entry.exchangeId !== null || !entry.failed);
  const sent = tellsSent ? [`sent ${formatBytes(entry.sentBytes)}`] : [];
  const note = [...sent, ...entry.notes].join(": ");
  const columns = [
    paint(DIM, time),
    ...(ids ? [paint(DIM, shorten(visible(entryId(entry)), 40).padEnd(6))] : []),
    paint(BOLD, shorten(visible(entry.method), 12).padEnd(7)),
    `${statusColumn} ${formatBytes(entry.receivedBytes).padStart(8)}`,
    formatDuration(entry.durationNs).padStart(7),
    shorten(visible(entry.url), MAX_URL),
  ];
  if (note !== "") {
    columns.push(paint(entry.failed ? RED : DIM, `(${shorten(visible(note), MAX_NOTE)})`));
  }
  return columns.join("  ");
}

/** `FLOW/EXCHANGE`, or `FLOW`. */
export function entryId({ flowId, exchangeId }: Pick<LogEntry, "flowId" | "exchangeId">): string {
  return exchangeId === null ? flowId : `${flowId}/${exchangeId}`;
}

export function formatBytes(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  let value = bytes;
  let unit = 0;
  // The next unit as soon as three digits would round up to 1024: "1.0 MiB", never "1024 KiB".
  while (value >= 1023.5 && unit < UNITS.length) {
    value /= 1024;
    unit++;
  }
  return `${value < 9.95 ? value.toFixed(1) : value.toFixed(0)} ${UNITS[unit - 1]}`;
}

export function formatDuration(nanoseconds: number): string {
  const milliseconds = nanoseconds / 1e6;
  if (milliseconds < 9.95) return `${milliseconds.toFixed(1)} ms`;
  if (milliseconds < 999.5) return `${milliseconds.toFixed(0)} ms`;
  const seconds = milliseconds / 1000;
  if (seconds < 99.5) return `${seconds.toFixed(1)} s`;
  const minutes = seconds / 60;
  return minutes < 99.5 ? `${minutes.toFixed(0)} min` : `${(minutes / 60).toFixed(0)} h`;
}

const UNITS = ["KiB", "MiB", "GiB", "TiB", "PiB"];
const MAX_URL = 400;
const MAX_NOTE = 200;

const BOLD = "1";
const DIM = "2";
const RED = "31";
const GREEN = "32";
const YELLOW = "33";
const CYAN = "36";

function statusColour({ status, failed }: LogEntry): string {
  if (failed || (status !== null && status >= 500)) return RED;
  if (status === null) return DIM;
  return status >= 400 ? YELLOW : status >= 300 ? CYAN : GREEN;
}

function painted(code: string, content: string): string {
  return `\x1b[${code}m${content}\x1b[0m`;
}

function plain(_code: string, content: string): string {
  return content;
}

function shorten(content: string, length: number): string {
  return content.length > length ? content.slice(0, length - 1) + "…" : content;
}
