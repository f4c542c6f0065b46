/**
 * `soth-mitm tls-replay FILE`: mitmproxy's TLS callbacks in our words, as a table for a person or as an event log.
 *
 * Exit codes: 0 all lines were read, 1 some were no callbacks, 2 usage or a file that cannot be read.
 */
import { EventLog } from "../runtime/event_log.ts";
import { readLog } from "../runtime/sinks/read_log.ts";
import { explainFault } from "../runtime/sinks/sink.ts";
import { TlsFailureCounters } from "../runtime/tls_failures.ts";
import { VERSION } from "../runtime/version.ts";
import { visible } from "../log/visible.ts";
import { type ReplayedEvent, TlsReplay } from "../proxy/tls_replay.ts";
import { readTlsCallback } from "../tls/mitmproxy.ts";
import { has, optionsHelp, type OptionSpecs, parseArguments, valuesOf } from "./options.ts";
import { UsageError } from "./usage_error.ts";
import type { World } from "./world.ts";

const OPTIONS = {
  events: { value: "SINK", repeats: true, help: "write the events of a log to a file, - or unix:/path" },
  help: { help: "print this text" },
} as const satisfies OptionSpecs;

const HELP = `Usage: soth-mitm tls-replay [OPTIONS] FILE

Reads the TLS callbacks of mitmproxy, JSON Lines as fixtures/mitmproxy/tls_events.py writes them, and says how
each handshake ended in the words of the event log: line, side, outcome or normalized_reason, host, and what
mitmproxy said. With --events they are the tls_handshake_* events of a log, and with --events - these alone.
FILE may be - for standard input. A line that is no callback is reported by its number, and the next is read.
Exits with 1 if there was such a line.

${optionsHelp(OPTIONS)}`;

/** A callback of mitmproxy takes a few kilobytes. */
const LINE_BYTES_MAX = 1024 * 1024;

/** Throws a `UsageError`, or a `StartError` for a sink. */
export async function tlsReplayCommand(args: readonly string[], world: World): Promise<number> {
  const { console } = world;
  const parsed = parseArguments(args, OPTIONS);
  if (has(parsed, "help")) {
    console.stdout(HELP);
    return 0;
  }
  const [file, extra] = [...parsed.positionals, ...parsed.rest ?? []];
  if (file === undefined) throw new UsageError("the FILE to read is missing: soth-mitm tls-replay FILE");
  if (extra !== undefined) throw new UsageError(`tls-replay reads one FILE; found ${extra} too`);
  const sinks = valuesOf(parsed, "events");
  const log = sinks.length === 0 ? null : await openLog(sinks, world);
  const row = sinks.includes("-") ? () => {} : (one: ReplayedEvent, line: number) => {
    const text = rowOf(one, line);
    if (text !== null) console.stdout(text);
  };
  try {
    return await replay(file, log, row, world);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const reason = error instanceof Deno.errors.NotFound ? "there is no such file" : explainFault(error);
    console.stderr(`soth-mitm: cannot read ${visible(file)}: ${visible(reason)}\n`);
    return 2;
  } finally {
    await log?.close();
  }
}

async function openLog(sinks: readonly string[], { console }: World): Promise<EventLog> {
  const log = await EventLog.open({
    sinks,
    rotateBytes: 0,
    sync: "flush",
    onSinkFailure: "continue",
    // There is no configuration that could have made a difference.
    header: { version: VERSION, configDigest: "replay", openedAt: new Date().toISOString() },
    onFailure: (message) => console.stderr(`soth-mitm: error: ${message}\n`),
  });
  for (const notice of log.notices) console.stderr(`soth-mitm: warning: ${notice}\n`);
  return log;
}

async function replay(
  file: string,
  log: EventLog | null,
  row: (one: ReplayedEvent, line: number) => void,
  { console }: World,
): Promise<number> {
  const failures = new TlsFailureCounters();
  const replayed = new TlsReplay({
    flowIdPrefix: log?.flowIdPrefix ?? "1-",
    countTlsFailure: (host, reason, now) => failures.count(host, reason, now),
  });
  const decoder = new TextDecoder();
  let bad = 0;
  const refuse = (line: number, detail: string) => {
    bad++;
    console.stderr(`soth-mitm: ${visible(file)}:${line}: ${detail}\n`);
  };
  for await (const { bytes, lineNumber } of readLog(file)) {
    if (bytes.length > LINE_BYTES_MAX) {
      refuse(lineNumber, `it is longer than ${LINE_BYTES_MAX} bytes`);
      continue;
    }
    const text = decoder.decode(bytes);
    if (text.trim() === "") continue;
    const read = readTlsCallback(text);
    if (read.type === "error") {
      refuse(lineNumber, read.detail);
      continue;
    }
    for (const one of replayed.take(read.callback)) {
      log?.record(one.context, one.event, one.at);
      row(one, lineNumber);
    }
    if (log?.full) await log.flush();
  }
  for (const one of replayed.finish()) log?.record(one.context, one.event, one.at);
  return bad === 0 ? 0 : 1;
}

/** A row for each handshake that ended. */
function rowOf({ event: { kind, attributes }, context }: ReplayedEvent, line: number): string | null {
  if (kind !== "tls_handshake_failed" && kind !== "tls_handshake_succeeded") return null;
  const failed = kind === "tls_handshake_failed";
  const host = failed ? String(attributes["host"]) : context.serverHost ?? "unknown";
  const said = failed ? attributes["raw_provider_error"] : `${attributes["version"]} ${attributes["cipher"]}`;
  const columns = [
    String(line).padStart(5),
    String(attributes["side"]).padEnd(6),
    String(failed ? attributes["normalized_reason"] : "established").padEnd(15),
    visible(host).padEnd(24),
    visible(String(said)),
  ];
  return `${columns.join("  ")}\n`;
}
