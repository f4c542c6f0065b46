/**
 * The invariants inside one flow: decisions come before what they allow, exchanges and their bodies are
 * whole and in order, and the flow ends with nothing left open. Holds what is open, never what is done.
 */
import type { AttributeValue, EventKind } from "../core/event.ts";

/** Completes `Violation`: which rule, and what was found. */
export interface Fault {
  readonly invariant: Invariant;
  readonly detail: string;
}

/** Every rule that `log verify` checks, as it is named to the user. */
export const INVARIANTS = [
  "utf8",
  "line_end",
  "json_object",
  "schema",
  "header_first",
  "header_keys",
  "header_continues",
  "envelope_keys",
  "canonical_form",
  "sequence_id",
  "flow_id",
  "flow_sequence_id",
  "time_ns",
  "kind",
  "protocol",
  "stream_key",
  "client_addr",
  "server",
  "attributes",
  "stream_closed",
  "decision",
  "exchange_id",
  "exchange_order",
  "exchange_completed",
  "body_spans",
  "body_data",
  "byte_counts",
  "websocket",
  "index",
] as const;
export type Invariant = typeof INVARIANTS[number];

export interface CheckedEvent {
  readonly kind: EventKind;
  readonly protocol: string;
  readonly streamKey: string;
  readonly attributes: Readonly<Record<string, AttributeValue>>;
}

/** Body events cover fixed spans of this size and a final remainder. */
const SPAN_BYTES = 16 * 1024;

type Message = "request" | "response";

interface OpenExchange {
  requestHeaders: boolean;
  /** The final response's; interim ones come before. */
  responseHeaders: boolean;
  status: number;
  readonly bodies: Readonly<Record<Message, Body>>;
}

/** A WebSocket between its opening and its end; over HTTP/1.1 its exchange is complete by then. */
interface OpenWebSocket {
  readonly messages: Record<Message, number>;
  turn: number;
  turnOpen: boolean;
}

interface Body {
  bytes: number;
  /** Its last span or its trailers have been seen. */
  ended: boolean;
  grpcMessages: number;
}

export class FlowChecker {
  #decisionPending = false;
  /** A client of a reverse listener is told inside TLS that it is blocked. */
  #reverse = false;
  /** Of the last decision that was made for the whole request, not for the name in a ClientHello. */
  #action: string | null = null;
  #lastAction: string | null = null;
  #clientHello = false;
  /** The last decision was one about HTTP/3, and what was decided before is still to be said. */
  #toPassThrough = false;
  /** Whether a learned bypass may come, or after what it may not. */
  #bypass: "none" | "possible" | "a handshake" | "a learned bypass" = "none";
  #lastExchangeId = 0;
  /** Plain requests that policy tunnelled: they have an exchange id and no events. */
  #unrecorded = 0;
  readonly #exchanges = new Map<number, OpenExchange>();
  readonly #webSockets = new Map<number, OpenWebSocket>();

  event(event: CheckedEvent): Fault | null {
    switch (event.kind) {
      case "connect_received":
        if (this.#decisionPending) return decisionMissing(event.kind);
        this.#decisionPending = true;
        this.#reverse = event.attributes["method"] === "REVERSE";
        this.#clientHello = false;
        this.#bypass = "none";
        return flowKey(event);
      case "connect_parse_failed":
        return flowKey(event);
      case "connect_decision":
        if (event.streamKey !== "flow") return this.#requestDecided(event.attributes);
        return this.#decided(event.attributes);
      case "http3_passthrough":
        return flowKey(event) ?? this.#passedThrough(event.attributes);
      case "tls_client_hello":
      case "tls_handshake_started":
      case "tls_handshake_succeeded":
      case "tls_handshake_failed":
      case "tls_learning_audit":
        return flowKey(event) ?? this.#tls(event.kind);
      case "request_headers":
      case "request_body_chunk":
      case "request_trailers":
      case "response_headers":
      case "response_body_chunk":
      case "response_trailers":
      case "exchange_completed":
        return this.#exchangeKey(event) ?? this.#exchangeEvent(event);
      case "websocket_opened":
      case "ws_message":
      case "ws_control":
      case "websocket_closed":
      case "ws_turn_started":
      case "ws_turn_completed":
        return this.#exchangeKey(event) ?? this.#webSocket(event);
      case "sse_event":
      case "ndjson_line":
      case "grpc_headers":
      case "grpc_message":
      case "grpc_trailers":
      case "multipart_part":
      case "payload_decoded":
      case "decoder_failed":
      case "observer_stopped":
        return this.#observed(event);
      case "stream_closed":
        return flowKey(event) ?? this.#closed(event.attributes);
    }
  }

  #decided(attributes: CheckedEvent["attributes"]): Fault | null {
    const action = attributes["action"] as string;
    if (attributes["reason"] === "learned_bypass") return this.#bypassed(action);
    const isHttp3 = attributes["reason"] === "http3";
    if (isHttp3 && action === "intercept") return fault("decision", "a decision about HTTP/3 is intercept");
    this.#toPassThrough = isHttp3 && action === "tunnel";
    const onHello = Object.hasOwn(attributes, "ja4");
    // That a client offers HTTP/3 may show in its ClientHello.
    if (onHello || Object.hasOwn(attributes, "sni") || (this.#toPassThrough && this.#clientHello)) {
      if (!this.#clientHello) {
        return fault("decision", "a decision for a server name comes before any ClientHello");
      }
      this.#clientHello = false;
      // A rule about hellos may also have a tunnel intercepted.
      if (onHello && action === "intercept") this.#action = action;
    } else {
      if (!this.#decisionPending) return fault("decision", "a decision that no connect_received asked for");
      this.#decisionPending = false;
      this.#action = action;
      if (action === "tunnel") this.#unrecorded++;
    }
    this.#lastAction = action;
    return null;
  }

  /** A known client is let through: once its hello is there, and before either side is secured. */
  #bypassed(action: string): Fault | null {
    const where = this.#bypass === "possible"
      ? null
      : this.#bypass === "none"
      ? "no ClientHello"
      : this.#bypass;
    if (where !== null) return fault("decision", `a learned bypass after ${where}`);
    if (action !== "tunnel") return fault("decision", `a learned bypass is a tunnel, found ${action}`);
    this.#bypass = "a learned bypass";
    this.#lastAction = action;
    return null;
  }

  /** About one request of an intercepted connection, before that request's own events. */
  #requestDecided(attributes: CheckedEvent["attributes"]): Fault | null {
    if (!Object.hasOwn(attributes, "authority")) {
      return fault("decision", "a decision about a request does not say its authority");
    }
    if (this.#action !== "intercept") {
      return fault(
        "decision",
        `a decision about a request in a flow whose decision is ${this.#action ?? "missing"}, not intercept`,
      );
    }
    this.#lastAction = attributes["action"] as string;
    if (this.#lastAction === "tunnel") this.#unrecorded++;
    return null;
  }

  #passedThrough(attributes: CheckedEvent["attributes"]): Fault | null {
    const hint = attributes["hint"] as string;
    if (!this.#toPassThrough) {
      return fault("decision", `HTTP/3 (${hint}) is passed through without a decision`);
    }
    this.#toPassThrough = false;
    return null;
  }

  #tls(kind: EventKind): Fault | null {
    if (this.#decisionPending) return decisionMissing(kind);
    // A tunnel is looked into no further than its first message.
    const inTunnel = this.#action === "tunnel" && kind === "tls_client_hello";
    if (this.#action !== "intercept" && !inTunnel && !(this.#reverse && this.#action === "block")) {
      return fault(
        "decision",
        `${kind} in a flow whose decision is ${this.#action ?? "missing"}, not intercept`,
      );
    }
    if (kind === "tls_client_hello") {
      this.#clientHello = true;
      this.#bypass = "possible";
    } else if (kind === "tls_handshake_started") {
      if (this.#bypass === "a learned bypass") return fault("decision", `${kind} after a learned bypass`);
      this.#bypass = "a handshake";
    }
    return null;
  }

  #exchangeKey({ kind, protocol, streamKey, attributes }: CheckedEvent): Fault | null {
    const id = attributes["exchange_id"] as number;
    const fits = protocol === "http1" ? streamKey === `h1:${id}` : streamKey !== "flow";
    return fits
      ? null
      : fault("stream_key", `${kind} of exchange ${id} (${protocol}) has the stream key ${streamKey}`);
  }

  #exchangeEvent({ kind, attributes }: CheckedEvent): Fault | null {
    const id = attributes["exchange_id"] as number;
    let exchange = this.#exchanges.get(id);
    if (exchange === undefined) {
      const begun = this.#begin(kind, id, attributes);
      if ("invariant" in begun) return begun;
      exchange = begun;
    }
    switch (kind) {
      case "request_headers":
        if (this.#decisionPending) return decisionMissing(kind);
        if (exchange.requestHeaders) return order(kind, id, "comes a second time");
        exchange.requestHeaders = true;
        return null;
      case "response_headers":
        return this.#responseHeaders(exchange, id, attributes);
      case "request_body_chunk":
        return this.#bodyChunk(exchange, "request", id, attributes);
      case "response_body_chunk":
        return this.#bodyChunk(exchange, "response", id, attributes);
      case "request_trailers":
        return this.#trailers(exchange, "request", id);
      case "response_trailers":
        return this.#trailers(exchange, "response", id);
      case "exchange_completed":
        return this.#completed(exchange, id, attributes);
      default:
        return null;
    }
  }

  #begin(kind: EventKind, id: number, attributes: CheckedEvent["attributes"]): OpenExchange | Fault {
    if (id <= this.#lastExchangeId) return order(kind, id, "comes after its exchange_completed");
    const skipped = id - this.#lastExchangeId - 1;
    if (skipped > this.#unrecorded) {
      return fault("exchange_id", `found exchange ${id}, expected ${this.#lastExchangeId + 1}`);
    }
    // A request whose head could not be read has no request_headers, only its end.
    const unreadable = kind === "exchange_completed" && attributes["outcome"] !== "complete";
    if (kind !== "request_headers" && !unreadable) return order(kind, id, "comes before request_headers");
    this.#unrecorded -= skipped;
    this.#lastExchangeId = id;
    const exchange: OpenExchange = {
      requestHeaders: false,
      responseHeaders: false,
      status: 0,
      bodies: { request: newBody(), response: newBody() },
    };
    this.#exchanges.set(id, exchange);
    return exchange;
  }

  #responseHeaders(exchange: OpenExchange, id: number, attributes: CheckedEvent["attributes"]): Fault | null {
    const status = attributes["status"] as number;
    if (exchange.responseHeaders) return order("response_headers", id, "comes after the final response's");
    if (attributes["interim"] === true) {
      return status < 200 ? null : order("response_headers", id, `is called interim with status ${status}`);
    }
    // 101 is the one informational response that nothing follows (RFC 9110 §15.2.2).
    if (status < 200 && status !== 101) {
      return order("response_headers", id, `with status ${status} is not marked interim`);
    }
    exchange.responseHeaders = true;
    exchange.status = status;
    return null;
  }

  #bodyChunk(
    exchange: OpenExchange,
    message: Message,
    id: number,
    attributes: CheckedEvent["attributes"],
  ): Fault | null {
    const kind = `${message}_body_chunk` as const;
    if (message === "response" && !exchange.responseHeaders) {
      return order(kind, id, "comes before the final response_headers");
    }
    const body = exchange.bodies[message];
    const offset = attributes["offset"] as number;
    const bytes = attributes["bytes"] as number;
    if (body.ended) return fault("body_spans", `${kind} of exchange ${id} comes after the body's last span`);
    if (offset !== body.bytes) {
      return fault("body_spans", `${kind} of exchange ${id} has offset ${offset}, expected ${body.bytes}`);
    }
    if (bytes > SPAN_BYTES) {
      return fault("body_spans", `${kind} of exchange ${id} covers ${bytes} bytes; a span is ${SPAN_BYTES}`);
    }
    body.bytes += bytes;
    body.ended = bytes < SPAN_BYTES;
    return dataFault(kind, id, bytes, attributes);
  }

  #trailers(exchange: OpenExchange, message: Message, id: number): Fault | null {
    const kind = `${message}_trailers` as const;
    if (message === "response" && !exchange.responseHeaders) {
      return order(kind, id, "comes before the final response_headers");
    }
    const body = exchange.bodies[message];
    body.ended = true;
    return null;
  }

  #completed(exchange: OpenExchange, id: number, attributes: CheckedEvent["attributes"]): Fault | null {
    this.#exchanges.delete(id);
    for (const message of ["request", "response"] as const) {
      // Where a content coding was taken off, the body events are about what came out.
      const decoded = `${message}_decoded_bytes`;
      const name = Object.hasOwn(attributes, decoded) ? decoded : `${message}_body_bytes`;
      const stated = attributes[name];
      const seen = exchange.bodies[message].bytes;
      if (stated === seen) continue;
      return fault("byte_counts", `exchange ${id} says ${name} ${stated}, its body events cover ${seen}`);
    }
    if (attributes["outcome"] === "complete" && !exchange.responseHeaders) {
      return fault("exchange_completed", `exchange ${id} is called complete without a final response`);
    }
    if (Object.hasOwn(attributes, "answer_status") && exchange.responseHeaders) {
      return fault(
        "exchange_completed",
        `exchange ${id} has an answer of the proxy beside the server's final response`,
      );
    }
    const ttfb = attributes["ttfb_ns"] as number | null;
    if (ttfb !== null && ttfb > (attributes["duration_ns"] as number)) {
      return fault("exchange_completed", `exchange ${id} has its first byte after its end`);
    }
    return null;
  }

  /** What an observer says belongs to a message that has begun and is not over. */
  #observed({ kind, attributes }: CheckedEvent): Fault | null {
    if (!Object.hasOwn(attributes, "exchange_id")) return null;
    const id = attributes["exchange_id"] as number;
    if (this.#webSockets.has(id)) return null;
    const exchange = this.#exchanges.get(id);
    const direction = attributes["direction"] as Message;
    const begun = direction === "request" ? exchange?.requestHeaders : exchange?.responseHeaders;
    if (exchange === undefined || !begun) {
      return order(kind, id, `is about a ${direction} that is not under way`);
    }
    if (kind !== "grpc_message") return null;
    const expected = exchange.bodies[direction].grpcMessages++;
    return attributes["index"] === expected
      ? null
      : order(kind, id, `is the ${direction}'s message ${attributes["index"]}, expected ${expected}`);
  }

  #webSocket({ kind, attributes }: CheckedEvent): Fault | null {
    const id = attributes["exchange_id"] as number;
    const open = this.#webSockets.get(id);
    if (kind === "websocket_opened") {
      const status = this.#exchanges.get(id)?.status ?? 0;
      if (status !== 101 && (status < 200 || status > 299)) {
        return webSocketFault(id, "is opened without a response that grants it");
      }
      if (open !== undefined) return webSocketFault(id, "is opened a second time");
      this.#webSockets.set(id, { messages: { request: 0, response: 0 }, turn: 0, turnOpen: false });
      return null;
    }
    if (open === undefined) return webSocketFault(id, `is not open, but there is ${kind}`);
    switch (kind) {
      case "ws_message": {
        const direction = attributes["direction"] as Message;
        const expected = open.messages[direction]++;
        const index = attributes["index"] as number;
        return index === expected
          ? null
          : webSocketFault(id, `has ${direction} message ${index}, expected ${expected}`);
      }
      case "ws_turn_started":
        if (open.turnOpen) return webSocketFault(id, "has a turn begin inside another");
        open.turnOpen = true;
        return attributes["turn_id"] === ++open.turn
          ? null
          : webSocketFault(id, `has turn ${attributes["turn_id"]}, expected ${open.turn}`);
      case "ws_turn_completed":
        if (!open.turnOpen || attributes["turn_id"] !== open.turn) {
          return webSocketFault(id, `completes turn ${attributes["turn_id"]}, which is not under way`);
        }
        open.turnOpen = false;
        return null;
      case "websocket_closed":
        this.#webSockets.delete(id);
        return open.turnOpen ? webSocketFault(id, "is closed with a turn under way") : null;
      default:
        return null;
    }
  }

  #closed(attributes: CheckedEvent["attributes"]): Fault | null {
    const reason = attributes["reason_code"] as string;
    const [webSocket] = this.#webSockets.keys();
    if (webSocket !== undefined) return webSocketFault(webSocket, "has no websocket_closed");
    const [open] = this.#exchanges.keys();
    if (open !== undefined) {
      return fault("exchange_completed", `the flow ends, but exchange ${open} has no exchange_completed`);
    }
    if (this.#decisionPending && (reason === "complete" || reason === "blocked")) {
      return fault(
        "decision",
        `the flow ends as ${reason} without the decision its connect_received asked for`,
      );
    }
    if (reason === "blocked" && this.#lastAction !== "block") {
      return fault(
        "decision",
        `the flow ends as blocked, but its decision is ${this.#lastAction ?? "missing"}`,
      );
    }
    return null;
  }
}

function newBody(): Body {
  return { bytes: 0, ended: false, grpcMessages: 0 };
}

function dataFault(
  kind: string,
  id: number,
  bytes: number,
  attributes: CheckedEvent["attributes"],
): Fault | null {
  const data = attributes["data"] as string | undefined;
  const base64 = attributes["data_base64"] as string | undefined;
  if (data !== undefined && base64 !== undefined) {
    return fault("body_data", `${kind} of exchange ${id} has both data and data_base64`);
  }
  const captured = data !== undefined ? utf8Length(data) : base64 !== undefined ? base64Length(base64) : 0;
  return captured <= bytes
    ? null
    : fault("body_data", `${kind} of exchange ${id} holds ${captured} bytes of data, but covers ${bytes}`);
}

const encoder = new TextEncoder();

function utf8Length(text: string): number {
  return encoder.encode(text).length;
}

function base64Length(text: string): number {
  return text.length / 4 * 3 - (text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0);
}

function flowKey({ kind, streamKey }: CheckedEvent): Fault | null {
  return streamKey === "flow"
    ? null
    : fault("stream_key", `${kind} has the stream key ${streamKey}, expected flow`);
}

function decisionMissing(kind: EventKind): Fault {
  return fault("decision", `${kind} comes before the connect_decision that connect_received asked for`);
}

function webSocketFault(id: number, detail: string): Fault {
  return fault("websocket", `the WebSocket of exchange ${id} ${detail}`);
}

function order(kind: EventKind, id: number, detail: string): Fault {
  return fault("exchange_order", `${kind} of exchange ${id} ${detail}`);
}

function fault(invariant: Invariant, detail: string): Fault {
  return { invariant, detail };
}
