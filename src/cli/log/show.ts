/** `soth-mitm log show FILE`: the exchanges of a log for a person, or as JSON lines for a program. */
import { LogEntries, type LogEntry } from "../../log/entries.ts";
import { type ExchangeMessages, messageLines, MessagesOfExchanges } from "../../log/exchange_messages.ts";
import { entryJson } from "../../log/entry_json.ts";
import { readableLine } from "../../log/readable.ts";
import { type Spoken, SpokenMessages } from "../../log/spoken.ts";
import { spokenJson, spokenLines, spokenTexts } from "../../log/spoken_text.ts";
import { visibleJson } from "../../log/visible.ts";
import { has, optionsHelp, type OptionSpecs, type ParsedArguments, valuesOf } from "../options.ts";
import { type CommandOutput, HELP_OPTION, type LogSubcommand } from "./command.ts";
import { EventReader } from "./events.ts";
import { FILTER_HELP, FILTER_OPTIONS, parseFilter } from "./filters.ts";
import { loadViews } from "./views.ts";

const OPTIONS = {
  ...FILTER_OPTIONS,
  json: { help: "one JSON object a line for each exchange or flow, with the heads of its messages" },
  messages: {
    help: "below each exchange what its messages hold: payloads, events, WebSocket messages and turns",
  },
  llm: { help: "below an exchange with a language model what it said, put together" },
  views: { value: "FILE", help: "as --llm, with further views of other APIs from a JSON file" },
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
${FILTER_HELP}
--messages shows what was decoded, > from the client and < from the server; what is long is cut, as are exchanges
with very many messages.

--llm knows the responses, streamed or not, of OpenAI chat completions and responses, Anthropic messages, Gemini
generateContent, Cohere chat and Ollama by their paths. A file for --views has a list of such tables as
fixtures/views/llm.json has: where in the JSON of each event the parts of a message are. What a response does not
state is not known and not shown; what was cut says so. --grep then looks in what was said, put together, too.
`,
  options: OPTIONS,
  run: show,
};

async function show(file: string, parsed: ParsedArguments, io: CommandOutput): Promise<number> {
  const { search, takes } = await parseFilter(parsed, file);
  const [viewsFile] = valuesOf(parsed, "views");
  const isSpoken = has(parsed, "llm") || viewsFile !== undefined;
  const messages = isSpoken ? new SpokenMessages(await loadViews(viewsFile)) : null;
  const contents = has(parsed, "messages") ? new MessagesOfExchanges() : null;
  const reader = new EventReader(io, { exact: contents !== null });
  const entries = new LogEntries({ awaitWebSockets: true });
  const isoTime = (timeNs: number): string | null => {
    const milliseconds = reader.wallMs(timeNs);
    return milliseconds === null ? null : new Date(milliseconds).toISOString();
  };
  const text = has(parsed, "json")
    ? (entry: LogEntry, spoken: Spoken | null, held: ExchangeMessages | null) => [
      visibleJson(JSON.stringify({
        ...entryJson(entry, isoTime),
        ...(held === null ? {} : { messages: held.lines, messages_omitted: held.omitted }),
        ...(spoken === null ? {} : { said: spokenJson(spoken) }),
      })),
    ]
    : (entry: LogEntry, spoken: Spoken | null, held: ExchangeMessages | null) => [
      readableLine(entry, { colour: io.colour, clock: reader.clock, ids: true }),
      ...(held === null ? [] : messageLines(held, io)),
      ...(spoken === null ? [] : spokenLines(spoken, io)),
    ];
  const print = (entry: LogEntry) => {
    const { flowId, exchangeId } = entry;
    const spoken = exchangeId === null ? null : messages?.take(flowId, exchangeId) ?? null;
    const held = exchangeId === null ? null : contents?.take(flowId, exchangeId) ?? null;
    const texts = spoken === null || search === null ? [] : spokenTexts(spoken);
    if (takes(entry, reader.wallMs, texts)) {
      for (const line of text(entry, spoken, held)) {
        io.stdout(line + "\n");
      }
    }
    if (exchangeId !== null) search?.forget(flowId, exchangeId);
  };
  for await (const event of reader.read(file)) {
    if (event === null) {
      entries.opened().forEach(print);
      search?.clear();
      messages?.clear();
      contents?.clear();
      continue;
    }
    search?.event(event);
    messages?.event(event);
    contents?.event(event);
    const entry = entries.event(event);
    if (entry !== null) print(entry);
  }
  entries.unfinished().forEach(print);
  return reader.foreign > 0 ? 1 : 0;
}
