/** Which exchanges and flows of a log are asked for: options as a question that each entry is asked. */
import { PROTOCOLS } from "../../core/event.ts";
import { parseAuthority } from "../../http1/host.ts";
import type { LogEntry } from "../../log/entries.ts";
import { entryId } from "../../log/readable.ts";
import { TextSearch } from "../../log/search.ts";
import { comparablePath, matchesPath, methodFault, parsePathGlob, pathFault } from "../../policy/path.ts";
import { matches, parsePattern } from "../../policy/pattern.ts";
import { didYouMean } from "../../runtime/config/suggest.ts";
import { type OptionSpecs, type ParsedArguments, valuesOf } from "../options.ts";
import { UsageError } from "../usage_error.ts";
import { parseSince, type Since } from "./since.ts";

export const FILTER_OPTIONS = {
  host: { value: "PATTERN", repeats: true, help: "requests for these hosts, or connections to them" },
  method: { value: "METHOD", repeats: true, help: "requests with this method, in either case" },
  status: { value: "STATUS", repeats: true, help: "responses with it: 404, 4xx or 200-299" },
  path: { value: "GLOB", repeats: true, help: "requests for these paths" },
  protocol: { value: "NAME", repeats: true, help: "with an event of this protocol" },
  since: { value: "TIME", help: "what ended so long before the log's end or later, or since an ISO time" },
  flow: { value: "ID", repeats: true, help: "this flow (1-3), or one exchange of it (1-3/2)" },
  grep: { value: "TEXT", help: "exchanges in which this text occurs" },
} as const satisfies OptionSpecs;

export const FILTER_HELP =
  `Of an option that is given several times one value must match, and every option that is given. A flow without
exchanges has neither method nor status nor path, and none of these options matches it.
  --host      as in policy: a host, a glob (*.example.com is also example.com), an IP or a CIDR, each with an
              optional :port; compared with what the request names and with the server of its connection
  --status    of the final response, or of the proxy's own answer
  --path      as in policy: * is any characters, also none and /; the query is no part of the path
  --protocol  ${PROTOCOLS.join(", ")}; those of the connection
              count for each exchange on it
  --since     30s, 5m, 2h, 1d before the last event of the log (not of standard input), or a time such as
              2026-01-02T03:04:05Z; what has no end in the log counts as ended with the last event of its flow
  --grep      plain text, no pattern, and case counts; looked for in URLs and in header fields as the log has
              them, in bodies as far as they were captured, content codings taken off, and in messages
`;

/** Answers for the entries of one reading of a log. */
export interface Filter {
  /** What has to see the events before their entries are asked about. */
  readonly search: TextSearch | null;
  /** `wallMs`: of the opening that the entry is of; `texts`: what was said in it, put together. */
  takes(entry: LogEntry, wallMs: (timeNs: number) => number | null, texts?: readonly string[]): boolean;
}

/** Throws a `UsageError`. `file` is read where a time is meant from its end. */
export async function parseFilter(parsed: ParsedArguments, file: string): Promise<Filter> {
  const tests: Test[] = [];
  for (const [name, make] of Object.entries(TESTS)) {
    const alternatives = valuesOf(parsed, name).map((value) => make(value));
    if (alternatives.length > 0) tests.push((entry) => alternatives.some((test) => test(entry)));
  }
  const [text] = valuesOf(parsed, "grep");
  const [sinceText] = valuesOf(parsed, "since");
  const search = text === undefined ? null : new TextSearch(text);
  const since = sinceText === undefined ? null : await parseSince(sinceText, file);
  return {
    search,
    takes: (entry, wallMs, texts = []) =>
      tests.every((test) => test(entry)) && isSince(since, entry, wallMs) && isFound(search, entry, texts),
  };
}

type Test = (entry: LogEntry) => boolean;

const TESTS: Readonly<Record<string, (value: string) => Test>> = {
  host: hostTest,
  method(value) {
    const fault = methodFault(value);
    if (fault !== null) throw invalid("method", value, fault);
    const method = value.toLowerCase();
    return ({ request }) => request?.method.toLowerCase() === method;
  },
  status: statusTest,
  path(value) {
    const fault = pathFault(value);
    if (fault !== null) throw invalid("path", value, fault);
    const glob = parsePathGlob(value);
    return ({ request }) => request !== null && matchesPath(glob, comparablePath(pathOf(request.target)));
  },
  protocol(value) {
    const protocol = PROTOCOLS.find((name) => name === value);
    if (protocol === undefined) {
      throw invalid("protocol", value, PROTOCOLS.join(", ") + didYouMean(value, PROTOCOLS));
    }
    return ({ protocols }) => protocols.has(protocol);
  },
  flow(value) {
    if (!/^[0-9]+-[0-9]+(\/[0-9]+)?$/.test(value)) throw invalid("flow", value, "an id such as 1-3 or 1-3/2");
    return value.includes("/") ? (entry) => entryId(entry) === value : ({ flowId }) => flowId === value;
  },
};

function hostTest(value: string): Test {
  const pattern = parsePattern(value);
  if (pattern.type === "error") throw new UsageError(`--host: ${pattern.detail}`);
  return ({ request, serverHost, serverPort }) => {
    if (serverHost !== null && matches(pattern, { host: serverHost, port: serverPort })) return true;
    if (request === null) return false;
    const authority = parseAuthority(request.authority, request.scheme === "https" ? 443 : 80, 0);
    return "host" in authority && matches(pattern, authority);
  };
}

function statusTest(value: string): Test {
  const match = /^(?:([1-9])xx|([1-9][0-9]{2})(?:-([1-9][0-9]{2}))?)$/i.exec(value);
  if (match === null) throw invalid("status", value, "a status, a class or a range: 404, 4xx, 200-299");
  const [, digit, first, last = first] = match;
  const [from, to] = digit === undefined
    ? [Number(first), Number(last)]
    : [Number(digit) * 100, Number(digit) * 100 + 99];
  if (from > to) throw invalid("status", value, "a range from the lower to the higher status");
  return ({ status }) => status !== null && status >= from && status <= to;
}

function isSince(since: Since | null, entry: LogEntry, wallMs: (timeNs: number) => number | null): boolean {
  if (since === null) return true;
  const ended = wallMs(entry.endNs);
  if (ended !== null && since.wallMs !== null) return ended >= since.wallMs;
  return since.timeNs !== null && entry.endNs >= since.timeNs;
}

function isFound(search: TextSearch | null, entry: LogEntry, texts: readonly string[]): boolean {
  if (search === null) return true;
  if ([entry.url, ...entry.notes, ...texts].some((text) => search.isIn(text))) return true;
  return entry.exchangeId !== null && search.found(entry.flowId, entry.exchangeId);
}

/** Of a target in absolute form (RFC 9112 §3.2.2) too. */
function pathOf(target: string): string {
  const absolute = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i.exec(target);
  return absolute === null ? target : target.slice(absolute[0].length) || "/";
}

function invalid(option: string, value: string, allowed: string): UsageError {
  return new UsageError(`--${option}: found ${JSON.stringify(value)}; allowed: ${allowed}`);
}
