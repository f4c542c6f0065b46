/** `soth-mitm log show FILE`: the exchanges of a log for a person, or as JSON lines for a program. */
import { LogEntries, type LogEntry } from "../../log/entries.ts";
import { entryJson } from "../../log/entry_json.ts";
import { readableLine } from "../../log/readable.ts";
import { has, optionsHelp, type OptionSpecs, type ParsedArguments } from "../options.ts";
import { type CommandOutput, HELP_OPTION, type LogSubcommand } from "./command.ts";
import { EventReader } from "./events.ts";
import { FILTER_HELP, FILTER_OPTIONS, parseFilter } from "./filters.ts";

const OPTIONS = {
  ...FILTER_OPTIONS,
  json: { help: "one JSON object a line for each exchange or flow, with the heads of its messages" },
  ...HELP_OPTION,
} as const satisfies OptionSpecs;

export const SHOW: LogSubcommand = {
  summary: "print an event log, readable, whole or filtered",
  help: `Usage: soth-mitm log show [OPTIONS] FILE

Prints one readable line for each exchange of an event log, and one for each flow without any: time, flow and
exchange, method, status, bytes, duration, URL, and what went wrong. A status with an asterisk (502*) is the
proxy's own answer. FILE may be - for standard input. Further segments (FILE.part00001, ...) are read too.
Exits with 1 if a line is no event.

${optionsHelp(OPTIONS)}
${FILTER_HELP}`,
  options: OPTIONS,
  run: show,
};

async function show(file: string, parsed: ParsedArguments, io: CommandOutput): Promise<number> {
  const { search, takes } = await parseFilter(parsed, file);
  const reader = new EventReader(io);
  const entries = new LogEntries({ awaitWebSockets: true });
  const text = has(parsed, "json")
    ? (entry: LogEntry) => JSON.stringify(entryJson(entry, isoTime))
    : (entry: LogEntry) => readableLine(entry, { colour: io.colour, clock: reader.clock, ids: true });
  const isoTime = (timeNs: number): string | null => {
    const milliseconds = reader.wallMs(timeNs);
    return milliseconds === null ? null : new Date(milliseconds).toISOString();
  };
  const print = (entry: LogEntry) => {
    if (takes(entry, reader.wallMs)) io.stdout(text(entry) + "\n");
    if (entry.exchangeId !== null) search?.forget(entry.flowId, entry.exchangeId);
  };
  for await (const event of reader.read(file)) {
    if (event === null) {
      entries.opened().forEach(print);
      search?.clear();
      continue;
    }
    search?.event(event);
    const entry = entries.event(event);
    if (entry !== null) print(entry);
  }
  entries.unfinished().forEach(print);
  return reader.foreign > 0 ? 1 : 0;
}
