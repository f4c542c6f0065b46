/**
 * The log for a person: one line for each exchange, and one for each flow that has none. A status with an
 * asterisk is the proxy's own answer. What peers sent is shown with every control character spelled out, so
 * that nothing in a log can steer the terminal.
 */
import type { AttributeValue, LoggedEvent } from "../core/event.ts";
import { visible } from "./visible.ts";

export interface ReadableOptions {
  readonly colour: boolean;
  /** How a line's time is written; seconds since the log was opened where it is not given. */
  readonly clock?: (timeNs: number) => string;
}

/** Follows a log and says what there is to say. Keeps a little for each open flow and exchange. */
export class ReadableLines {
  readonly #options: ReadableOptions;
  readonly #flows = new Map<string, Flow>();

  constructor(options: ReadableOptions) {
    this.#options = options;
  }

  /** A further opening of the log: the flows before it are gone. Gives the lines of what they left open. */
  opened(): string[] {
    const lines = this.unfinished();
    this.#flows.clear();
    return lines;
  }

  /** A line for each exchange, and for each flow without one, that the log so far says no end of. */
  unfinished(): string[] {
    const lines: string[] = [];
    for (const flow of this.#flows.values()) {
      const at = (timeNs: number) => ({ timeNs, durationNs: flow.lastNs - timeNs });
      const end = { ownAnswer: false, note: "no end in the log", failed: false };
      for (const { method, url, status, bytes, timeNs } of flow.exchanges.values()) {
        lines.push(this.#line({ ...at(timeNs), method, status, bytes, url, ...end }));
      }
      if (flow.exchanges.size > 0 || flow.shown > 0 || flow.server === "-") continue;
      lines.push(this.#line({
        ...at(flow.startNs),
        method: flow.method,
        status: null,
        bytes: 0,
        url: flow.server,
        ...end,
      }));
    }
    return lines;
  }

  /** The line, without an end, that this event completes; null for most events. */
  event(event: LoggedEvent): string | null {
    const { attributes, kind } = event;
    let flow = this.#flows.get(event.flow_id);
    if (flow === undefined) {
      flow = {
        ruleId: null,
        method: "CONNECT",
        exchanges: new Map(),
        shown: 0,
        server: "-",
        startNs: event.time_ns,
        lastNs: 0,
      };
      this.#flows.set(event.flow_id, flow);
    }
    flow.server = server(event);
    flow.lastNs = event.time_ns;
    switch (kind) {
      case "connect_received":
        flow.method = text(attributes["method"]);
        return null;
      case "connect_decision":
        flow.ruleId = attributes["rule_id"] === undefined ? null : text(attributes["rule_id"]);
        return null;
      case "request_headers":
        flow.exchanges.set(number(attributes["exchange_id"]), {
          method: text(attributes["method"]),
          url: url(attributes),
          status: null,
          bytes: 0,
          timeNs: event.time_ns,
          grpc: null,
        });
        return null;
      case "response_headers": {
        const exchange = flow.exchanges.get(number(attributes["exchange_id"]));
        if (exchange !== undefined && attributes["interim"] !== true) {
          exchange.status = number(attributes["status"]);
        }
        return null;
      }
      case "response_body_chunk": {
        const exchange = flow.exchanges.get(number(attributes["exchange_id"]));
        if (exchange !== undefined) exchange.bytes += number(attributes["bytes"]);
        return null;
      }
      case "grpc_headers": {
        const exchange = flow.exchanges.get(number(attributes["exchange_id"]));
        if (exchange !== undefined) exchange.method = "gRPC";
        return null;
      }
      case "grpc_trailers": {
        const exchange = flow.exchanges.get(number(attributes["exchange_id"]));
        if (exchange !== undefined) exchange.grpc = grpcEnd(attributes);
        return null;
      }
      case "exchange_completed":
        flow.shown++;
        return this.#exchangeLine(event, flow);
      case "stream_closed":
        this.#flows.delete(event.flow_id);
        return this.#flowLine(event, flow);
      default:
        return null;
    }
  }

  #exchangeLine(event: LoggedEvent, flow: Flow): string {
    const { attributes } = event;
    const id = number(attributes["exchange_id"]);
    const exchange = flow.exchanges.get(id);
    flow.exchanges.delete(id);
    const outcome = text(attributes["outcome"]);
    const sent = number(attributes["request_body_bytes"]);
    const own = number(attributes["answer_status"]);
    const notes = [
      ...(sent > 0 ? [`sent ${formatBytes(sent)}`] : []),
      ...(exchange?.grpc?.notes ?? []),
      ...(outcome === "complete" ? [] : [outcome]),
      ...(attributes["error_detail"] === undefined ? [] : [text(attributes["error_detail"])]),
    ];
    return this.#line({
      timeNs: event.time_ns,
      method: exchange?.method ?? "?",
      status: own > 0 ? own : exchange?.status ?? null,
      ownAnswer: own > 0,
      bytes: number(attributes["response_body_bytes"]),
      durationNs: number(attributes["duration_ns"]),
      url: exchange?.url ?? server(event),
      note: notes.join(": "),
      failed: outcome !== "complete" || exchange?.grpc?.failed === true,
    });
  }

  #flowLine(event: LoggedEvent, flow: Flow): string | null {
    const { attributes } = event;
    const reason = text(attributes["reason_code"]);
    if (flow.shown > 0 && reason !== "internal_error") return null;
    const received = number(attributes["bytes_from_client"]);
    // A connection that was opened and closed without a word is nobody's news.
    if (received === 0 && (reason === "complete" || reason === "idle_timeout")) return null;
    const detail = attributes["reason_detail"];
    const fine = reason === "complete" || reason === "shutdown" || reason === "idle_timeout";
    const rule = reason === "blocked" && detail === undefined && flow.ruleId !== null
      ? `rule ${flow.ruleId}`
      : null;
    return this.#line({
      timeNs: event.time_ns,
      method: event.protocol === "tunnel" ? "TUNNEL" : flow.method,
      status: null,
      ownAnswer: false,
      bytes: number(attributes["bytes_from_server"]),
      durationNs: number(attributes["duration_ns"]),
      url: server(event),
      note: [
        ...(received > 0 && fine ? [`sent ${formatBytes(received)}`] : []),
        ...(reason === "complete" ? [] : [reason]),
        ...(rule === null ? [] : [rule]),
        ...(detail === undefined ? [] : [text(detail)]),
      ].join(": "),
      failed: !fine,
    });
  }

  #line(entry: Entry): string {
    const { colour, clock } = this.#options;
    const paint = colour ? painted : plain;
    const time = clock === undefined ? `${(entry.timeNs / 1e9).toFixed(3)}s` : clock(entry.timeNs);
    const status = (entry.status === null ? "-" : String(entry.status)).padStart(3);
    // The mark of an answer of our own stands in the gap between the columns.
    const statusColumn = entry.ownAnswer
      ? paint(statusColour(entry), `${status}*`)
      : `${paint(statusColour(entry), status)} `;
    const columns = [
      paint(DIM, time),
      paint(BOLD, shorten(visible(entry.method), 12).padEnd(7)),
      `${statusColumn} ${formatBytes(entry.bytes).padStart(8)}`,
      formatDuration(entry.durationNs).padStart(7),
      shorten(visible(entry.url), MAX_URL),
    ];
    if (entry.note !== "") {
      columns.push(paint(entry.failed ? RED : DIM, `(${shorten(visible(entry.note), MAX_NOTE)})`));
    }
    return columns.join("  ");
  }
}

export function formatBytes(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  let value = bytes;
  let unit = 0;
  // The next unit as soon as three digits would round up to 1024: "1.0 MiB", never "1024 KiB".
  while (value >= 1023.5 && unit < UNITS.length) {
    value /= 1024;
    unit++;
  }
  return `${value < 9.95 ? value.toFixed(1) : value.toFixed(0)} ${UNITS[unit - 1]}`;
}

export function formatDuration(nanoseconds: number): string {
  const milliseconds = nanoseconds / 1e6;
  if (milliseconds < 9.95) return `${milliseconds.toFixed(1)} ms`;
  if (milliseconds < 999.5) return `${milliseconds.toFixed(0)} ms`;
  const seconds = milliseconds / 1000;
  if (seconds < 99.5) return `${seconds.toFixed(1)} s`;
  const minutes = seconds / 60;
  return minutes < 99.5 ? `${minutes.toFixed(0)} min` : `${(minutes / 60).toFixed(0)} h`;
}

interface Flow {
  ruleId: string | null;
  /** Of the last `connect_received`. */
  method: string;
  readonly exchanges: Map<number, OpenExchange>;
  shown: number;
  server: string;
  readonly startNs: number;
  lastNs: number;
}

interface OpenExchange {
  method: string;
  readonly url: string;
  readonly timeNs: number;
  status: number | null;
  bytes: number;
  /** How a gRPC call ended. */
  grpc: GrpcEnd | null;
}

interface GrpcEnd {
  readonly notes: readonly string[];
  readonly failed: boolean;
}

interface Entry {
  readonly timeNs: number;
  readonly method: string;
  readonly status: number | null;
  /** The status is the proxy's, not a server's. */
  readonly ownAnswer: boolean;
  readonly bytes: number;
  readonly durationNs: number;
  readonly url: string;
  readonly note: string;
  readonly failed: boolean;
}

const UNITS = ["KiB", "MiB", "GiB", "TiB", "PiB"];
const MAX_URL = 400;
const MAX_NOTE = 200;

const BOLD = "1";
const DIM = "2";
const RED = "31";
const GREEN = "32";
const YELLOW = "33";
const CYAN = "36";

function statusColour({ status, failed }: Entry): string {
  if (failed || (status !== null && status >= 500)) return RED;
  if (status === null) return DIM;
  return status >= 400 ? YELLOW : status >= 300 ? CYAN : GREEN;
}

function painted(code: string, content: string): string {
  return `\x1b[${code}m${content}\x1b[0m`;
}

function plain(_code: string, content: string): string {
  return content;
}

function url(attributes: LoggedEvent["attributes"]): string {
  const target = text(attributes["target"]);
  const relative = target.startsWith("/") || target === "*";
  return relative ? `${text(attributes["scheme"])}://${text(attributes["authority"])}${target}` : target;
}

function grpcEnd(attributes: LoggedEvent["attributes"]): GrpcEnd {
  const status = attributes["grpc_status"];
  const message = text(attributes["grpc_message"]);
  const said = typeof status === "number"
    ? `grpc ${status} ${text(attributes["grpc_status_name"])}`.trimEnd()
    : "no grpc status";
  return { notes: message === "" ? [said] : [said, message], failed: status !== 0 };
}

function server({ server_host: host, server_port: port }: LoggedEvent): string {
  return host === null ? "-" : host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

// A log that was not verified may hold anything; what is not of its type shows as nothing.
function text(value: AttributeValue | undefined): string {
  return typeof value === "string" ? value : "";
}

function number(value: AttributeValue | undefined): number {
  return typeof value === "number" ? value : 0;
}

function shorten(content: string, length: number): string {
  return content.length > length ? content.slice(0, length - 1) + "…" : content;
}
