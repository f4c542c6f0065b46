/**
 * What an event log has to tell of each exchange, and of each flow without any, told when it is over. Keeps a
 * little for each open flow and the heads of each open exchange, never a body.
 */
import type { LoggedEvent, Protocol } from "../core/event.ts";
import {
  type FieldLines,
  fieldLinesOf,
  numberOf,
  optionalNumber,
  serverOf,
  textOf,
  urlOf,
} from "./event_attributes.ts";

/** An exchange, or a flow that shows none. Texts are as a peer sent them. */
export interface LogEntry {
  readonly flowId: string;
  /** Null: the entry is of a flow. */
  readonly exchangeId: number | null;
  readonly clientAddr: string;
  readonly serverHost: string | null;
  readonly serverPort: number;
  /** When it began and when it ended, or, where the log says no end, when something was last said of it. */
  readonly startNs: number;
  readonly endNs: number;
  readonly durationNs: number;
  /** Whether the log says its end. */
  readonly ended: boolean;
  /** `gRPC` for a call, `TUNNEL` for a tunnel, `HTTP/3` for one of that; a question mark where it is not known. */
  readonly method: string;
  readonly request: RequestEntry | null;
  /** The response's, or that of the proxy's own answer. */
  readonly status: number | null;
  /** The status is the proxy's, not a server's. */
  readonly ownAnswer: boolean;
  readonly responseFields: FieldLines;
  /** Of the exchange's events and of those of its flow as a whole. */
  readonly protocols: ReadonlySet<Protocol>;
  /** `outcome` of an exchange, `reason_code` of a flow; null where the log says no end. */
  readonly outcome: string | null;
  /** What both sides sent, heads apart; of a WebSocket what its messages hold. */
  readonly sentBytes: number;
  readonly receivedBytes: number;
  /** For a person: what went wrong, and what else there is to say. */
  readonly notes: readonly string[];
  readonly failed: boolean;
  /** The URL, or of a flow its server. */
  readonly url: string;
}

export interface RequestEntry {
  readonly method: string;
  readonly scheme: string;
  readonly authority: string;
  readonly target: string;
  readonly version: string;
  readonly fields: FieldLines;
}

export interface EntriesOptions {
  /** Whether the exchange that opened a WebSocket is over when that is, and not when it was opened. */
  readonly awaitWebSockets?: boolean;
}

export class LogEntries {
  readonly #options: EntriesOptions;
  readonly #flows = new Map<string, Flow>();

  constructor(options: EntriesOptions = {}) {
    this.#options = options;
  }

  /** A further opening of the log: the flows before it are gone. Gives what they left open. */
  opened(): LogEntry[] {
    const entries = this.unfinished();
    this.#flows.clear();
    return entries;
  }

  /** Each exchange, and each flow without one, that the log so far says no end of. */
  unfinished(): LogEntry[] {
    const entries: LogEntry[] = [];
    for (const flow of this.#flows.values()) {
      const end = { ended: false, outcome: null, failed: false, endNs: flow.lastNs, ownAnswer: false };
      for (const exchange of flow.exchanges.values()) {
        entries.push(
          exchange.finished ?? {
            ...exchangeFacts(flow, exchange),
            ...end,
            durationNs: flow.lastNs - exchange.startNs,
            status: exchange.status,
            notes: [NO_END],
          },
        );
      }
      if (flow.exchanges.size > 0 || flow.shown > 0 || flow.server === "-") continue;
      entries.push({
        ...flowFacts(flow),
        ...end,
        durationNs: flow.lastNs - flow.startNs,
        method: flow.method,
        sentBytes: 0,
        receivedBytes: 0,
        notes: [NO_END],
      });
    }
    return entries;
  }

  /** The entry that this event completes; null for most events. */
  event(event: LoggedEvent): LogEntry | null {
    const { attributes, kind } = event;
    const flow = this.#flowOf(event);
    const id = numberOf(attributes["exchange_id"]);
    if (event.stream_key === "flow") flow.protocols.add(event.protocol);
    const exchange = flow.exchanges.get(id);
    if (exchange !== undefined && event.stream_key !== "flow") exchange.protocols.add(event.protocol);
    switch (kind) {
      case "connect_received":
        flow.method = textOf(attributes["method"]);
        return null;
      case "connect_decision":
        flow.ruleId = attributes["rule_id"] === undefined ? null : textOf(attributes["rule_id"]);
        return null;
      case "tls_learning_audit":
        flow.learned = learnedNote(attributes);
        return null;
      case "request_headers":
        flow.exchanges.set(id, openExchange(id, event));
        return null;
      case "response_headers":
        if (exchange !== undefined && attributes["interim"] !== true) {
          exchange.status = numberOf(attributes["status"]);
          exchange.responseFields = fieldLinesOf(attributes["headers"]);
        }
        return null;
      case "request_body_chunk":
        if (exchange !== undefined) exchange.sentBytes += numberOf(attributes["bytes"]);
        return null;
      case "response_body_chunk":
        if (exchange !== undefined) exchange.receivedBytes += numberOf(attributes["bytes"]);
        return null;
      case "grpc_headers":
        if (exchange !== undefined) exchange.method = "gRPC";
        return null;
      case "grpc_trailers":
        if (exchange !== undefined) exchange.grpc = grpcEnd(attributes);
        return null;
      case "websocket_opened":
        if (exchange !== undefined) exchange.webSocket = newWebSocket();
        return null;
      case "ws_message":
        if (exchange?.webSocket) {
          const { webSocket } = exchange;
          webSocket.messages++;
          if (attributes["direction"] === "request") webSocket.sentBytes += numberOf(attributes["bytes"]);
          else webSocket.receivedBytes += numberOf(attributes["bytes"]);
        }
        return null;
      case "ws_turn_completed":
        if (exchange?.webSocket) exchange.webSocket.turns++;
        return null;
      case "websocket_closed":
        return exchange?.webSocket ? this.#webSocketClosed(event, flow, exchange, exchange.webSocket) : null;
      case "exchange_completed":
        return this.#completed(event, flow, exchange ?? unknownExchange(id, event));
      case "stream_closed":
        this.#flows.delete(event.flow_id);
        return flowEntry(event, flow);
      default:
        return null;
    }
  }

  #flowOf(event: LoggedEvent): Flow {
    let flow = this.#flows.get(event.flow_id);
    if (flow === undefined) {
      flow = {
        flowId: event.flow_id,
        clientAddr: textOf(event.client_addr),
        serverHost: null,
        serverPort: 0,
        ruleId: null,
        learned: null,
        method: "CONNECT",
        exchanges: new Map(),
        protocols: new Set(),
        shown: 0,
        server: "-",
        startNs: event.time_ns,
        lastNs: 0,
      };
      this.#flows.set(event.flow_id, flow);
    }
    flow.serverHost = event.server_host;
    flow.serverPort = event.server_port;
    flow.server = serverOf(event);
    flow.lastNs = event.time_ns;
    return flow;
  }

  #completed(event: LoggedEvent, flow: Flow, exchange: OpenExchange): LogEntry | null {
    const { attributes } = event;
    flow.shown++;
    const entry = completedEntry(event, flow, exchange);
    const { webSocket } = exchange;
    if (webSocket !== null && this.#options.awaitWebSockets === true) {
      if (!webSocket.closed) {
        exchange.finished = { ...entry, ended: false, notes: [NO_END] };
        exchange.completed = attributes;
        return null;
      }
      flow.exchanges.delete(exchange.id);
      return withWebSocket(entry, webSocket, event.time_ns);
    }
    flow.exchanges.delete(exchange.id);
    return entry;
  }

  #webSocketClosed(
    event: LoggedEvent,
    flow: Flow,
    exchange: OpenExchange,
    webSocket: WebSocketCounts,
  ): LogEntry | null {
    webSocket.closed = true;
    webSocket.code = numberOf(event.attributes["code"]);
    if (exchange.finished === null || exchange.completed === null) return null;
    flow.exchanges.delete(exchange.id);
    const entry = completedEntry({ ...event, attributes: exchange.completed }, flow, exchange);
    return withWebSocket(entry, webSocket, event.time_ns);
  }
}

const NO_END = "no end in the log";

interface Flow {
  readonly flowId: string;
  readonly clientAddr: string;
  serverHost: string | null;
  serverPort: number;
  ruleId: string | null;
  /** What the failure of its client came to. */
  learned: string | null;
  /** Of the last `connect_received`. */
  method: string;
  readonly exchanges: Map<number, OpenExchange>;
  readonly protocols: Set<Protocol>;
  shown: number;
  server: string;
  readonly startNs: number;
  lastNs: number;
}

interface OpenExchange {
  readonly id: number;
  method: string;
  readonly url: string;
  readonly request: RequestEntry | null;
  readonly startNs: number;
  readonly protocols: Set<Protocol>;
  status: number | null;
  responseFields: FieldLines;
  sentBytes: number;
  receivedBytes: number;
  /** How a gRPC call ended. */
  grpc: GrpcEnd | null;
  webSocket: WebSocketCounts | null;
  /** The exchange is complete, but not the WebSocket that it opened. */
  finished: LogEntry | null;
  completed: LoggedEvent["attributes"] | null;
}

interface WebSocketCounts {
  messages: number;
  turns: number;
  sentBytes: number;
  receivedBytes: number;
  closed: boolean;
  code: number;
}

interface GrpcEnd {
  readonly notes: readonly string[];
  readonly failed: boolean;
}

function newWebSocket(): WebSocketCounts {
  return { messages: 0, turns: 0, sentBytes: 0, receivedBytes: 0, closed: false, code: 0 };
}

function openExchange(id: number, event: LoggedEvent): OpenExchange {
  const { attributes } = event;
  const request: RequestEntry = {
    method: textOf(attributes["method"]),
    scheme: textOf(attributes["scheme"]),
    authority: textOf(attributes["authority"]),
    target: textOf(attributes["target"]),
    version: textOf(attributes["version"]),
    fields: fieldLinesOf(attributes["headers"]),
  };
  return {
    ...unknownExchange(id, event),
    method: request.method,
    url: urlOf(attributes),
    request,
    startNs: event.time_ns,
  };
}

/** One that was refused before its request could be read. */
function unknownExchange(id: number, event: LoggedEvent): OpenExchange {
  return {
    id,
    method: "?",
    url: serverOf(event),
    request: null,
    startNs: event.time_ns - numberOf(event.attributes["duration_ns"]),
    protocols: new Set([event.protocol]),
    status: null,
    responseFields: [],
    sentBytes: 0,
    receivedBytes: 0,
    grpc: null,
    webSocket: null,
    finished: null,
    completed: null,
  };
}

function exchangeFacts(flow: Flow, exchange: OpenExchange) {
  return {
    flowId: flow.flowId,
    exchangeId: exchange.id,
    clientAddr: flow.clientAddr,
    serverHost: flow.serverHost,
    serverPort: flow.serverPort,
    startNs: exchange.startNs,
    method: exchange.method,
    request: exchange.request,
    responseFields: exchange.responseFields,
    protocols: exchange.protocols.union(flow.protocols),
    sentBytes: exchange.sentBytes,
    receivedBytes: exchange.receivedBytes,
    url: exchange.url,
  };
}

function flowFacts(flow: Flow) {
  return {
    flowId: flow.flowId,
    exchangeId: null,
    clientAddr: flow.clientAddr,
    serverHost: flow.serverHost,
    serverPort: flow.serverPort,
    startNs: flow.startNs,
    request: null,
    status: null,
    responseFields: [],
    protocols: flow.protocols,
    url: flow.server,
  };
}

function completedEntry(event: LoggedEvent, flow: Flow, exchange: OpenExchange): LogEntry {
  const { attributes } = event;
  const outcome = textOf(attributes["outcome"]);
  const own = numberOf(attributes["answer_status"]);
  const detail = attributes["error_detail"];
  return {
    ...exchangeFacts(flow, exchange),
    endNs: event.time_ns,
    durationNs: numberOf(attributes["duration_ns"]),
    ended: true,
    status: own > 0 ? own : exchange.status,
    ownAnswer: own > 0,
    outcome,
    sentBytes: optionalNumber(attributes["request_body_bytes"]) ?? exchange.sentBytes,
    receivedBytes: optionalNumber(attributes["response_body_bytes"]) ?? exchange.receivedBytes,
    notes: [
      ...(exchange.grpc?.notes ?? []),
      ...(outcome === "complete" ? [] : [outcome]),
      ...(detail === undefined ? [] : [textOf(detail)]),
    ],
    failed: outcome !== "complete" || exchange.grpc?.failed === true,
  };
}

function withWebSocket(entry: LogEntry, webSocket: WebSocketCounts, endNs: number): LogEntry {
  const { messages, turns, code, sentBytes, receivedBytes } = webSocket;
  return {
    ...entry,
    endNs,
    durationNs: Math.max(entry.durationNs, endNs - entry.startNs),
    sentBytes,
    receivedBytes,
    notes: [
      `${plural(messages, "message")} in ${plural(turns, "turn")}, closed with ${code}`,
      ...entry.notes,
    ],
  };
}

function flowEntry(event: LoggedEvent, flow: Flow): LogEntry | null {
  const { attributes } = event;
  const reason = textOf(attributes["reason_code"]);
  if (flow.shown > 0 && reason !== "internal_error") return null;
  const received = numberOf(attributes["bytes_from_client"]);
  // A connection that was opened and closed without a word is nobody's news.
  if (received === 0 && (reason === "complete" || reason === "idle_timeout")) return null;
  const detail = attributes["reason_detail"];
  const fine = reason === "complete" || reason === "shutdown" || reason === "idle_timeout";
  const rule = reason === "blocked" && detail === undefined && flow.ruleId !== null
    ? `rule ${flow.ruleId}`
    : null;
  return {
    ...flowFacts(flow),
    endNs: event.time_ns,
    durationNs: numberOf(attributes["duration_ns"]),
    ended: true,
    method: event.protocol === "http3" ? "HTTP/3" : event.protocol === "tunnel" ? "TUNNEL" : flow.method,
    ownAnswer: false,
    outcome: reason,
    sentBytes: received,
    receivedBytes: numberOf(attributes["bytes_from_server"]),
    notes: [
      ...(reason === "complete" ? [] : [reason]),
      ...(rule === null ? [] : [rule]),
      ...(detail === undefined ? [] : [textOf(detail)]),
      ...(flow.learned === null ? [] : [flow.learned]),
    ],
    failed: !fine,
  };
}

function learnedNote(attributes: LoggedEvent["attributes"]): string | null {
  const outcome = textOf(attributes["outcome"]);
  if (outcome === "suggested") return `${textOf(attributes["suggestion"])} lets it through`;
  return outcome === "learned" ? "let through from now on, for a while" : null;
}

function grpcEnd(attributes: LoggedEvent["attributes"]): GrpcEnd {
  const status = attributes["grpc_status"];
  const message = textOf(attributes["grpc_message"]);
  const said = typeof status === "number"
    ? `grpc ${status} ${textOf(attributes["grpc_status_name"])}`.trimEnd()
    : "no grpc status";
  return { notes: message === "" ? [said] : [said, message], failed: status !== 0 };
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
