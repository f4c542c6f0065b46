/**
 * Exchanges as entries of an HTTP Archive (HAR 1.2), each when it is over; that of a WebSocket when the WebSocket is.
 * What HAR has no place for is in fields that begin with an underscore, those of Chromium where it has some:
 * `_webSocketMessages`, `_eventSourceMessages`, and `_error` in a response that did not come whole.
 *
 * Keeps, for each open exchange, what was captured of it.
 */
import type { Attributes, AttributeValue, LoggedEvent } from "../core/event.ts";
import {
  type FieldLines,
  fieldLinesOf,
  numberOf,
  octetsOf,
  optionalNumber,
  textOf,
  urlOf,
} from "./event_attributes.ts";
import { fieldValue, formPairs, harHeaders, queryOf, requestCookies, responseCookies } from "./har_fields.ts";

export interface HarClock {
  /** Milliseconds since 1970. */
  wallMs(timeNs: number): number;
  isoTime(wallMs: number): string;
  /** A date as fields have it, as an ISO time; null where it is none. */
  isoDate(date: string): string | null;
}

/** How many characters of messages and events are kept of one exchange. */
export const HAR_MESSAGE_CHARACTERS_MAX = 16 * 1024 * 1024;

export class HarEntries {
  readonly #clock: HarClock;
  readonly #flows = new Map<string, Flow>();

  constructor(clock: HarClock) {
    this.#clock = clock;
  }

  /** The entry that this event completes. */
  event(event: LoggedEvent): Attributes | null {
    const { attributes, kind } = event;
    const flow = this.#flowOf(event.flow_id);
    const id = numberOf(attributes["exchange_id"]);
    const exchange = flow.exchanges.get(id);
    switch (kind) {
      case "connect_decision":
        if (event.stream_key === "flow") flow.decidedNs = event.time_ns;
        return null;
      case "tls_handshake_started":
        if (attributes["side"] === "server") flow.tlsStartedNs = event.time_ns;
        return null;
      case "tls_handshake_succeeded":
        if (attributes["side"] === "server") flow.tlsEndedNs = event.time_ns;
        return null;
      case "request_headers":
        flow.exchanges.set(id, newExchange(id, event, flow));
        forgetConnecting(flow);
        return null;
      case "exchange_completed": {
        const completed = exchange ?? newExchange(id, event, flow);
        completed.completed = event;
        if (completed.webSocket === "open") return null;
        return this.#finish(flow, completed);
      }
      case "websocket_closed":
        if (exchange === undefined) return null;
        exchange.webSocket = "closed";
        return exchange.completed === null ? null : this.#finish(flow, exchange);
      case "stream_closed":
        this.#flows.delete(event.flow_id);
        return null;
      default:
        if (exchange !== undefined) this.#exchangeEvent(event, exchange);
        return null;
    }
  }

  /** A further opening of the log: what was open has no end. */
  opened(): Attributes[] {
    const entries = this.unfinished();
    this.#flows.clear();
    return entries;
  }

  unfinished(): Attributes[] {
    return [...this.#flows.values()].flatMap((flow) =>
      [...flow.exchanges.values()].map((exchange) => entryOf(exchange, this.#clock))
    );
  }

  #finish(flow: Flow, exchange: Exchange): Attributes {
    flow.exchanges.delete(exchange.id);
    return entryOf(exchange, this.#clock);
  }

  #exchangeEvent(event: LoggedEvent, exchange: Exchange): void {
    const { attributes } = event;
    exchange.lastNs = event.time_ns;
    switch (event.kind) {
      case "response_headers":
        if (attributes["interim"] !== true) exchange.response = event;
        break;
      case "request_body_chunk":
        exchange.requestSentNs = event.time_ns;
        keepBody(exchange.requestBody, event);
        break;
      case "response_body_chunk":
        keepBody(exchange.responseBody, event);
        break;
      case "websocket_opened":
        exchange.webSocket = "open";
        exchange.webSocketMessages = [];
        break;
      case "ws_message":
      case "ws_control":
        exchange.webSocketMessages ??= [];
        this.#keepMessage(exchange, exchange.webSocketMessages, webSocketMessage(event), event);
        break;
      case "sse_event":
        exchange.serverSentEvents ??= [];
        // Without data there was none: only comments, or what a stream's end left over.
        if (attributes["data"] === undefined) break;
        this.#keepMessage(exchange, exchange.serverSentEvents, {
          eventName: textOf(attributes["event"]) || "message",
          eventId: textOf(attributes["id"]),
          data: textOf(attributes["data"]),
        }, event);
        break;
      default:
        break;
    }
  }

  #keepMessage(
    exchange: Exchange,
    messages: Attributes[],
    message: Attributes & { readonly data: string },
    { time_ns }: LoggedEvent,
  ): void {
    exchange.messageCharacters += message.data.length + MESSAGE_OVERHEAD;
    if (exchange.messageCharacters > HAR_MESSAGE_CHARACTERS_MAX) exchange.messagesLeftOut++;
    else messages.push({ time: Math.round(this.#clock.wallMs(time_ns) * 1000) / 1e6, ...message });
  }

  #flowOf(flowId: string): Flow {
    let flow = this.#flows.get(flowId);
    if (flow === undefined) {
      flow = { exchanges: new Map(), decidedNs: null, tlsStartedNs: null, tlsEndedNs: null };
      this.#flows.set(flowId, flow);
    }
    return flow;
  }
}

/** What a message costs beside its data. */
const MESSAGE_OVERHEAD = 100;

interface Flow {
  readonly exchanges: Map<number, Exchange>;
  /** Of what came before its next exchange; null: nothing that is known. */
  decidedNs: number | null;
  tlsStartedNs: number | null;
  tlsEndedNs: number | null;
}

interface Exchange {
  readonly id: number;
  readonly flowId: string;
  readonly serverHost: string | null;
  /** Null where the proxy refused what it could not read. */
  readonly request: LoggedEvent | null;
  readonly startNs: number;
  readonly connecting: Connecting | null;
  response: LoggedEvent | null;
  readonly requestBody: Body;
  readonly responseBody: Body;
  requestSentNs: number | null;
  lastNs: number;
  completed: LoggedEvent | null;
  webSocket: "none" | "open" | "closed";
  webSocketMessages: Attributes[] | null;
  serverSentEvents: Attributes[] | null;
  messageCharacters: number;
  messagesLeftOut: number;
}

/** How long it took until there was a connection to the server, of which TLS took `tlsNs`. */
interface Connecting {
  readonly startNs: number;
  readonly connectNs: number;
  readonly tlsNs: number;
}

interface Body {
  bytes: number;
  capturedBytes: number;
  readonly parts: Uint8Array[];
}

function newExchange(id: number, event: LoggedEvent, flow: Flow): Exchange {
  const isRequest = event.kind === "request_headers";
  const { decidedNs, tlsStartedNs, tlsEndedNs } = flow;
  const known = isRequest && decidedNs !== null && tlsStartedNs !== null && tlsEndedNs !== null;
  return {
    id,
    flowId: event.flow_id,
    serverHost: event.server_host,
    request: isRequest ? event : null,
    startNs: isRequest ? event.time_ns : event.time_ns - numberOf(event.attributes["duration_ns"]),
    connecting: known && decidedNs <= tlsStartedNs && tlsStartedNs <= tlsEndedNs
      ? { startNs: decidedNs, connectNs: tlsEndedNs - decidedNs, tlsNs: tlsEndedNs - tlsStartedNs }
      : null,
    response: null,
    requestBody: newBody(),
    responseBody: newBody(),
    requestSentNs: null,
    lastNs: event.time_ns,
    completed: null,
    webSocket: "none",
    webSocketMessages: null,
    serverSentEvents: null,
    messageCharacters: 0,
    messagesLeftOut: 0,
  };
}

/** The next exchange finds the connection there. */
function forgetConnecting(flow: Flow): void {
  flow.decidedNs = flow.tlsStartedNs = flow.tlsEndedNs = null;
}

function newBody(): Body {
  return { bytes: 0, capturedBytes: 0, parts: [] };
}

function keepBody(body: Body, event: LoggedEvent): void {
  // What follows a gap is not kept: a body is captured from its beginning.
  const whole = body.capturedBytes === body.bytes;
  body.bytes += numberOf(event.attributes["bytes"]);
  const octets = whole ? octetsOf(event) : null;
  if (octets === null) return;
  body.parts.push(octets);
  body.capturedBytes += octets.length;
}

function webSocketMessage({ attributes }: LoggedEvent): Attributes & { readonly data: string } {
  const opcode = textOf(attributes["opcode"]);
  const base64 = attributes["data_base64"];
  const isBinary = opcode === "binary" || typeof base64 === "string";
  const data = textOf(attributes["data"]);
  return {
    type: attributes["direction"] === "request" ? "send" : "receive",
    opcode: OPCODES[opcode] ?? 0,
    data: opcode === "close"
      ? textOf(attributes["reason"])
      : typeof base64 === "string"
      ? base64
      : isBinary
      ? encoder.encode(data).toBase64()
      : data,
    ...(opcode === "close" ? { _code: optionalNumber(attributes["code"]) } : {}),
    ...(attributes["truncated"] === true ? { _bytes: numberOf(attributes["bytes"]) } : {}),
  };
}

/** RFC 6455 §5.2. */
const OPCODES: Readonly<Record<string, number>> = { text: 1, binary: 2, close: 8, ping: 9, pong: 10 };

const encoder = new TextEncoder();

function entryOf(exchange: Exchange, clock: HarClock): Attributes {
  const { connecting, completed } = exchange;
  const end = completed?.attributes ?? {};
  const timings = timingsOf(exchange);
  const { blocked, connect, send, wait, receive } = timings;
  const startNs = connecting?.startNs ?? exchange.startNs;
  const isAddress = exchange.serverHost !== null &&
    /^([0-9.]+|[0-9a-f:.]*:[0-9a-f:.]*)$/.test(exchange.serverHost);
  const comments = [
    ...(optionalNumber(end["answer_status"]) === null ? [] : ["answered by the proxy itself"]),
    ...(exchange.messagesLeftOut === 0 ? [] : [`${exchange.messagesLeftOut} messages are left out`]),
  ];
  return {
    startedDateTime: clock.isoTime(clock.wallMs(startNs)),
    time: thousandths(
      [blocked, connect, send, wait, receive].reduce((sum, part) => sum + Math.max(0, part), 0),
    ),
    request: requestOf(exchange, end),
    response: responseOf(exchange, end, clock),
    cache: {},
    timings: { ...timings },
    ...(isAddress ? { serverIPAddress: exchange.serverHost } : {}),
    connection: exchange.flowId,
    ...(comments.length === 0 ? {} : { comment: comments.join("; ") }),
    _exchange: `${exchange.flowId}/${exchange.id}`,
    ...(exchange.webSocketMessages === null
      ? {}
      : { _resourceType: "websocket", _webSocketMessages: exchange.webSocketMessages }),
    ...(exchange.serverSentEvents === null
      ? {}
      : { _resourceType: "eventsource", _eventSourceMessages: exchange.serverSentEvents }),
  };
}

/** Milliseconds; -1: not known, or not a part of this exchange. TLS is a part of connecting, and so are names. */
function timingsOf({ connecting, startNs, requestSentNs, completed, lastNs }: Exchange) {
  const end = completed?.attributes;
  const total = end === undefined ? Math.max(0, lastNs - startNs) : numberOf(end["duration_ns"]);
  const firstByte = Math.min(optionalNumber(end?.["ttfb_ns"]) ?? total, total);
  const send = Math.min(Math.max(0, (requestSentNs ?? startNs) - startNs), firstByte);
  const waited = connecting === null ? 0 : startNs - connecting.startNs - connecting.connectNs;
  return {
    blocked: connecting === null ? -1 : milliseconds(Math.max(0, waited)),
    dns: -1,
    connect: connecting === null ? -1 : milliseconds(connecting.connectNs),
    ssl: connecting === null ? -1 : milliseconds(connecting.tlsNs),
    send: milliseconds(send),
    wait: milliseconds(firstByte - send),
    receive: milliseconds(total - firstByte),
  };
}

function milliseconds(nanoseconds: number): number {
  return thousandths(nanoseconds / 1e6);
}

function thousandths(value: number): number {
  return Math.round(value * 1000) / 1000;
}

function requestOf({ request, requestBody }: Exchange, end: Attributes): Attributes {
  const attributes = request?.attributes ?? {};
  const fields = fieldLinesOf(attributes["headers"]);
  const url = harUrl(attributes);
  return {
    method: textOf(attributes["method"]),
    url,
    httpVersion: textOf(attributes["version"]),
    cookies: requestCookies(fields),
    headers: harHeaders(fields),
    queryString: queryOf(url),
    ...(requestBody.bytes === 0 ? {} : { postData: postData(requestBody, fields) }),
    headersSize: optionalNumber(end["request_head_bytes"]) ?? -1,
    bodySize: optionalNumber(end["request_body_bytes"]) ?? -1,
  };
}

/** HAR wants one, also of a request that could not be read or whose target is none. */
function harUrl(attributes: Attributes): string {
  const origin = `${textOf(attributes["scheme"])}://${textOf(attributes["authority"])}/`;
  const url = [urlOf(attributes), origin].find((candidate) => URL_START.test(candidate));
  return url === undefined ? "about:invalid" : url.replace(NOT_IN_URLS, percentEncoded);
}

const URL_START = /^[a-z][a-z0-9+.-]*:\/\/[^/]/i;
const NOT_IN_URLS = /[^!#$%&'()*+,\-./0-9:;=?@A-Z[\]_a-z~]/gu;

/** RFC 3986 §2.1, of the octet that a character of a head is. */
function percentEncoded(character: string): string {
  const code = character.codePointAt(0)!;
  if (code > 0xff) return "%EF%BF%BD";
  return `%${code.toString(16).toUpperCase().padStart(2, "0")}`;
}

/** HAR has no base64 here; a field of our own says it. */
function postData(body: Body, fields: FieldLines): Attributes {
  const mimeType = fieldValue(fields, "content-type") ?? "";
  const { encoding, ...captured } = capturedContent(body);
  const isForm = /^application\/x-www-form-urlencoded *(;|$)/i.test(mimeType) && encoding === undefined;
  return {
    mimeType,
    ...(isForm ? { params: formPairs(textOf(captured.text)) } : {}),
    text: "",
    ...captured,
    ...(encoding === undefined ? {} : { _encoding: encoding }),
  };
}

function responseOf(exchange: Exchange, end: Attributes, clock: HarClock): Attributes {
  const error = errorOf(exchange, end);
  const own = optionalNumber(end["answer_status"]);
  const { response, responseBody } = exchange;
  if (response === null) {
    return {
      status: own ?? 0,
      statusText: "",
      httpVersion: "",
      cookies: [],
      headers: [],
      content: { size: 0, mimeType: NO_TYPE },
      redirectURL: "",
      headersSize: -1,
      bodySize: -1,
      ...(error === null ? {} : { _error: error }),
    };
  }
  const { attributes } = response;
  const fields = fieldLinesOf(attributes["headers"]);
  const transferred = optionalNumber(end["response_body_bytes"]) ?? -1;
  const size = responseBody.bytes;
  const isDecoded = optionalNumber(end["response_decoded_bytes"]) !== null;
  return {
    status: numberOf(attributes["status"]),
    statusText: "",
    httpVersion: textOf(attributes["version"]),
    cookies: responseCookies(fields, clock.isoDate),
    headers: harHeaders(fields),
    content: {
      size,
      ...(isDecoded && transferred >= 0 ? { compression: size - transferred } : {}),
      mimeType: fieldValue(fields, "content-type") ?? NO_TYPE,
      ...capturedContent(responseBody),
    },
    redirectURL: fieldValue(fields, "location") ?? "",
    headersSize: optionalNumber(end["response_head_bytes"]) ?? -1,
    bodySize: transferred,
    ...(error === null ? {} : { _error: error }),
  };
}

/** As Chromium has it where there is no type. */
const NO_TYPE = "x-unknown";

function errorOf({ completed }: Exchange, end: Attributes): string | null {
  if (completed === null) return "no end in the log";
  const outcome = textOf(end["outcome"]);
  if (outcome === "complete") return null;
  const detail: AttributeValue | undefined = end["error_detail"];
  return typeof detail === "string" ? `${outcome}: ${detail}` : outcome;
}

interface CapturedContent {
  readonly text?: string;
  readonly encoding?: "base64";
  readonly comment?: string;
}

function capturedContent(body: Body): CapturedContent {
  const { bytes, capturedBytes } = body;
  const isCut = capturedBytes < bytes;
  const comment = isCut ? { comment: `the first ${capturedBytes} of ${bytes} bytes were captured` } : {};
  if (capturedBytes === 0) return comment;
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  try {
    // The end of what was captured may be within a character.
    const text = body.parts.map((part) => decoder.decode(part, { stream: true })).join("") +
      (isCut ? "" : decoder.decode());
    return { text, ...comment };
  } catch {
    const whole = new Uint8Array(capturedBytes);
    let at = 0;
    for (const part of body.parts) {
      whole.set(part, at);
      at += part.length;
    }
    return { text: whole.toBase64(), encoding: "base64", ...comment };
  }
}
