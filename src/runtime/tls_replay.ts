/** The library's way to put mitmproxy's TLS callbacks into our words. */
import type { LoggedEvent } from "../core/event.ts";
import { LOG_SCHEMA } from "../log/encode.ts";
import { type ReplayedEvent, TlsReplay } from "../proxy/tls_replay.ts";
import { readTlsCallback } from "../tls/mitmproxy.ts";
import { TlsFailureCounters } from "./tls_failures.ts";

export type TlsReplayResult =
  | {
    readonly type: "event";
    /** The line that it comes from, counted from 1; null for the ends of flows behind the last. */
    readonly line: number | null;
    readonly event: LoggedEvent;
  }
  | { readonly type: "error"; readonly line: number; readonly detail: string };

/**
 * The events of mitmproxy's TLS callbacks, each a line of JSON as `fixtures/mitmproxy/tls_events.py` writes it, in
 * the order of a valid event log. A line that is no callback is an error and does not end the reading; empty lines
 * are nothing.
 */
export async function* replayTlsCallbacks(
  lines: Iterable<string> | AsyncIterable<string>,
): AsyncGenerator<TlsReplayResult> {
  const failures = new TlsFailureCounters();
  const replay = new TlsReplay({
    flowIdPrefix: "1-",
    countTlsFailure: (host, reason, now) => failures.count(host, reason, now),
  });
  const numbering = new Numbering();
  let number = 0;
  for await (const text of lines) {
    number++;
    if (text.trim() === "") continue;
    const read = readTlsCallback(text);
    if (read.type === "error") {
      yield { type: "error", line: number, detail: read.detail };
      continue;
    }
    for (const one of replay.take(read.callback)) {
      yield { type: "event", line: number, event: numbering.logged(one) };
    }
  }
  for (const one of replay.finish()) yield { type: "event", line: null, event: numbering.logged(one) };
}

/** The envelope of a log of its own. */
class Numbering {
  #sequence = 0;
  #timeNs = 0;

  logged({ context, event, at }: ReplayedEvent): LoggedEvent {
    this.#timeNs = Math.max(this.#timeNs + 1, at);
    return {
      schema: LOG_SCHEMA,
      sequence_id: ++this.#sequence,
      flow_id: context.flowId,
      flow_sequence_id: ++context.sequence,
      time_ns: this.#timeNs,
      kind: event.kind,
      protocol: event.protocol,
      stream_key: event.streamKey,
      client_addr: context.clientAddr,
      server_host: context.serverHost,
      server_port: context.serverPort,
      attributes: event.attributes,
    };
  }
}
