/** `soth-mitm log har FILE`: an HTTP Archive on standard output, an entry as soon as its exchange is over. */
import type { Attributes } from "../../core/event.ts";
import { HarEntries } from "../../log/har.ts";
import { visibleJson } from "../../log/visible.ts";
import { VERSION } from "../../runtime/version.ts";
import { type CommandOutput, HELP_OPTION, type LogSubcommand } from "./command.ts";
import { DATE_MS_MAX, EventReader } from "./events.ts";

export const HAR: LogSubcommand = {
  summary: "write an HTTP Archive (HAR 1.2)",
  help: `Usage: soth-mitm log har FILE > FILE.har

Writes the exchanges of an event log as an HTTP Archive (HAR 1.2), in the order in which they ended, with bodies as
far as they were captured (base64 where they are no text) and redacted values as the log has them. Messages of
WebSockets are in _webSocketMessages and server-sent events in _eventSourceMessages, as Chromium has them; what
ended before its response was whole has _error in the response, and the status 0 if there was none. Flows without
an exchange (tunnels, blocked connections) have no place in it. FILE may be - for standard input.
Exits with 1 if a line is no event.
`,
  options: HELP_OPTION,
  run: (file, _parsed, io) => har(file, io),
};

async function har(file: string, io: CommandOutput): Promise<number> {
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
  let separator = "\n";
  const write = (entry: Attributes) => {
    io.stdout(separator + visibleJson(JSON.stringify(entry)));
    separator = ",\n";
  };
  const creator = JSON.stringify({ name: "soth-mitm", version: VERSION });
  io.stdout(`{"log":{"version":"1.2","creator":${creator},"pages":[],"entries":[`);
  for await (const event of reader.read(file)) {
    if (event === null) entries.opened().forEach(write);
    else {
      const entry = entries.event(event);
      if (entry !== null) write(entry);
    }
  }
  entries.unfinished().forEach(write);
  io.stdout("\n]}}\n");
  return reader.foreign > 0 ? 1 : 0;
}
