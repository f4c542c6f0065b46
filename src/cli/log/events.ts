/** The events of a log, with the wall clock that each opening of it says; what is no event is told and left out. */
import { parseExact } from "../../core/exact_json.ts";
import type { LoggedEvent } from "../../core/event.ts";
import { visible } from "../../log/visible.ts";
import { readLog } from "../../runtime/sinks/read_log.ts";
import { type CommandOutput, plural } from "./command.ts";

/** A line of the log: null where the log is opened, again perhaps. */
export type LogItem = LoggedEvent | null;

export class EventReader {
  /** Lines that are no events. */
  foreign = 0;
  #openedAtMs: number | null = null;
  #openedNs = 0;

  /** `exact`: numbers that no double can say keep their digits, as `JSON.rawJSON` has them. */
  constructor(private readonly io: CommandOutput, private readonly options: { exact?: boolean } = {}) {}

  async *read(path: string): AsyncGenerator<LogItem> {
    const decoder = new TextDecoder();
    for await (const line of readLog(path)) {
      if (line.end === "file" && line.lastSegment) {
        const rest = plural(line.bytes.length, "byte");
        this.io.stderr(`soth-mitm: the log ends in the middle of a line (${rest})\n`);
        continue;
      }
      const event = parseLine(decoder.decode(line.bytes), this.options.exact === true);
      if (event === null) {
        this.foreign++;
        this.io.stderr(`soth-mitm: ${visible(line.path)}:${line.lineNumber} is not an event\n`);
        continue;
      }
      if (event["kind"] !== "log_opened") {
        yield event as unknown as LoggedEvent;
        continue;
      }
      // Before the new clock holds, so that what was open is told with the old one.
      yield null;
      const { opened_at, continues_time_ns } = event;
      const openedAt = typeof opened_at === "string" ? Date.parse(opened_at) : NaN;
      this.#openedAtMs = Number.isNaN(openedAt) ? null : openedAt;
      this.#openedNs = typeof continues_time_ns === "number" ? continues_time_ns : 0;
    }
  }

  /** Milliseconds since 1970 by the wall clock of the opening; null where the log does not say when that was. */
  readonly wallMs = (timeNs: number): number | null => {
    if (this.#openedAtMs === null) return null;
    const milliseconds = this.#openedAtMs + (timeNs - this.#openedNs) / 1e6;
    return Math.abs(milliseconds) <= DATE_MS_MAX ? milliseconds : null;
  };

  /** The time of day; seconds since the log was opened where that is not known. */
  readonly clock = (timeNs: number): string => {
    const milliseconds = this.wallMs(timeNs);
    return milliseconds === null ? `${(timeNs / 1e9).toFixed(3)}s` : timeOfDay(milliseconds);
  };
}

/** What a `Date` can say. */
export const DATE_MS_MAX = 8.64e15;

/** An object with what is needed of an envelope, or null. */
function parseLine(text: string, exact: boolean): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = exact ? parseExact(text) : JSON.parse(text);
    if (typeof value !== "object" || value === null) return null;
    const event = value as Readonly<Record<string, unknown>>;
    if (event["kind"] === "log_opened") return event;
    const { attributes, flow_id, time_ns, server_host, server_port } = event;
    const fits = typeof attributes === "object" && attributes !== null && typeof flow_id === "string" &&
      Number.isInteger(time_ns) && typeof server_port === "number" &&
      (server_host === null || typeof server_host === "string");
    return fits ? event : null;
  } catch {
    return null;
  }
}

function timeOfDay(milliseconds: number): string {
  const date = new Date(milliseconds);
  const two = (value: number) => String(value).padStart(2, "0");
  const clock = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":");
  return `${clock}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}
