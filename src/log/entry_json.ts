/** An entry of the log as an object for programs: what a readable line says, and the heads. */
import type { Attributes } from "../core/event.ts";
import type { LogEntry } from "./entries.ts";
import { entryId } from "./readable.ts";

/** `time`: how the entry's beginning is written; null where the log does not say. */
export function entryJson(entry: LogEntry, time: (timeNs: number) => string | null): Attributes {
  const { request } = entry;
  return {
    id: entryId(entry),
    flow_id: entry.flowId,
    exchange_id: entry.exchangeId,
    started: time(entry.startNs),
    start_ns: entry.startNs,
    end_ns: entry.endNs,
    duration_ns: entry.durationNs,
    ended: entry.ended,
    outcome: entry.outcome,
    failed: entry.failed,
    method: request?.method ?? (entry.exchangeId === null ? entry.method : null),
    url: entry.url,
    status: entry.status,
    own_answer: entry.ownAnswer,
    bytes_sent: entry.sentBytes,
    bytes_received: entry.receivedBytes,
    protocols: [...entry.protocols],
    client_addr: entry.clientAddr,
    server_host: entry.serverHost,
    server_port: entry.serverPort,
    notes: entry.notes,
    ...(request === null ? {} : { request_headers: request.fields }),
    ...(entry.exchangeId === null ? {} : { response_headers: entry.responseFields }),
  };
}
