/** `soth-mitm log har FILE`: an HTTP Archive on standard output, an entry as soon as its exchange is over. */
import type { Attributes } from "../../core/event.ts";
import { LogEntries, type LogEntry } from "../../log/entries.ts";
import { HarEntries } from "../../log/har.ts";
import { entryId } from "../../log/readable.ts";
import { visibleJson } from "../../log/visible.ts";
import { VERSION } from "../../runtime/version.ts";
import { optionsHelp, type OptionSpecs, type ParsedArguments } from "../options.ts";
import { type CommandOutput, HELP_OPTION, type LogSubcommand } from "./command.ts";
import { DATE_MS_MAX, EventReader } from "./events.ts";
import { FILTER_HELP, FILTER_OPTIONS, parseFilter } from "./filters.ts";

const OPTIONS = { ...FILTER_OPTIONS, ...HELP_OPTION } as const satisfies OptionSpecs;

export const HAR: LogSubcommand = {
  summary: "write an HTTP Archive (HAR 1.2)",
  help: `Usage: soth-mitm log har [OPTIONS] FILE > FILE.har

Writes the exchanges of an event log as an HTTP Archive (HAR 1.2), in the order in which they ended, with bodies as
far as they were captured (base64 where they are no text) and redacted values as the log has them. Messages of
WebSockets are in _webSocketMessages and server-sent events in _eventSourceMessages, as Chromium has them; what
ended before its response was whole has _error in the response, and the status 0 if there was none. Flows without
an exchange (tunnels, blocked connections) have no place in it. FILE may be - for standard input.
Exits with 1 if a line is no event.

${optionsHelp(OPTIONS)}
${FILTER_HELP}`,
  options: OPTIONS,
  run: har,
};

async function har(file: string, parsed: ParsedArguments, io: CommandOutput): Promise<number> {
  const { search, takes } = await parseFilter(parsed, file);
  const reader = new EventReader(io);
  const entries = new HarEntries({
    // Where a log does not say when it was opened, that is 1970.
    wallMs: (timeNs) => reader.wallMs(timeNs) ?? Math.min(Math.max(timeNs / 1e6, -DATE_MS_MAX), DATE_MS_MAX),
    isoTime: (wallMs) => new Date(wallMs).toISOString(),
    isoDate(text) {
      const time = Date.parse(text);
      return Number.isNaN(time) ? null : new Date(time).toISOString();
    },
  });
  // The same events complete an exchange for both: one has what the archive says, the other what is asked about.
  const asked = new LogEntries({ awaitWebSockets: true });
  let separator = "\n";
  const write = (completed: readonly Attributes[], about: readonly LogEntry[]) => {
    const taken = new Set(about.filter((entry) => takes(entry, reader.wallMs)).map(entryId));
    for (const entry of completed) {
      if (!taken.has(String(entry["_exchange"]))) continue;
      io.stdout(separator + visibleJson(JSON.stringify(entry)));
      separator = ",\n";
    }
    for (const { flowId, exchangeId } of about) {
      if (exchangeId !== null) search?.forget(flowId, exchangeId);
    }
  };
  const creator = JSON.stringify({ name: "soth-mitm", version: VERSION });
  io.stdout(`{"log":{"version":"1.2","creator":${creator},"pages":[],"entries":[`);
  for await (const event of reader.read(file)) {
    if (event === null) {
      write(entries.opened(), asked.opened());
      search?.clear();
      continue;
    }
    search?.event(event);
    const entry = entries.event(event);
    const about = asked.event(event);
    if (entry !== null && about !== null) write([entry], [about]);
  }
  write(entries.unfinished(), asked.unfinished());
  io.stdout("\n]}}\n");
  return reader.foreign > 0 ? 1 : 0;
}
