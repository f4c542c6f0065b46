/** A time from which on a log is asked for: `5m` before its end, or an ISO 8601 time. */
import { parseDuration } from "../../runtime/config/units.ts";
import { type LogLine, readLog } from "../../runtime/sinks/read_log.ts";
import { UsageError } from "../usage_error.ts";

/** The same instant by both clocks of a log. */
export interface Since {
  /** Milliseconds since 1970; null where the log does not say when it was opened. */
  readonly wallMs: number | null;
  /** The log's own time, which is all there is where it does not say when it was opened; null: not known. */
  readonly timeNs: number | null;
}

/** Throws a `UsageError`. */
export async function parseSince(text: string, file: string): Promise<Since> {
  const duration = parseDuration(text);
  if (duration !== null) {
    if (file === "-") {
      throw new UsageError("--since: the end of standard input is not known before it is read; give a time");
    }
    const { wallMs, timeNs } = await endOf(file);
    return { wallMs: wallMs === null ? null : wallMs - duration, timeNs: timeNs - duration * 1e6 };
  }
  const time = ISO_TIME.test(text) ? Date.parse(text) : NaN;
  if (!Number.isNaN(time)) return { wallMs: time, timeNs: null };
  throw new UsageError(
    `--since: found ${
      JSON.stringify(text)
    }; allowed: a duration such as 30s, 5m, 2h or 1d before the log's end, ` +
      "or a time such as 2026-01-02T03:04:05Z",
  );
}

/** A date, or a date and a time of day; without an offset it is of this machine's time zone, as the output is. */
const ISO_TIME = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2})?)?$/;

/** Reads the log once, without parsing its events. */
async function endOf(file: string): Promise<{ wallMs: number | null; timeNs: number }> {
  let opened: { readonly ms: number; readonly ns: number } | null = null;
  let timeNs = 0;
  for await (const line of readLog(file)) {
    const start = startOf(line);
    if (start.includes('"kind":"log_opened"')) opened = openingOf(start);
    else {
      const time = /"time_ns":([0-9]{1,17})[,}]/.exec(start);
      if (time !== null) timeNs = Number(time[1]);
    }
  }
  return { wallMs: opened === null ? null : opened.ms + (timeNs - opened.ns) / 1e6, timeNs };
}

/** An envelope up to its kind, or the whole line of an opening, is no longer than this. */
const START_BYTES = 512;
const decoder = new TextDecoder();

function startOf({ bytes }: LogLine): string {
  return decoder.decode(bytes.subarray(0, START_BYTES));
}

function openingOf(text: string): { ms: number; ns: number } | null {
  const ms = Date.parse(/"opened_at":"([^"]*)"/.exec(text)?.[1] ?? "");
  const ns = Number(/"continues_time_ns":([0-9]{1,17})[,}]/.exec(text)?.[1] ?? "0");
  return Number.isNaN(ms) ? null : { ms, ns };
}
