/** Builds event logs for tests: a good one with every kind of event, and single events. */
import type { Attributes, EventKind, FlowContext, FlowEvent, Protocol } from "../../src/core/event.ts";
import { encodeEvent, encodeHeader } from "../../src/log/encode.ts";
import { instantAfter } from "../../src/log/position.ts";

export function flowContext(flowId: string, overrides: Partial<FlowContext> = {}): FlowContext {
  return {
    flowId,
    clientAddr: "127.0.0.1:50123",
    serverHost: "api.example.com",
    serverPort: 443,
    sequence: 0,
    ...overrides,
  };
}

export function flowEvent(kind: EventKind, attributes: Attributes, streamKey = "flow"): FlowEvent {
  const protocol: Protocol = streamKey !== "flow" ? "http1" : kind.startsWith("tls") ? "tls" : "connect";
  return { kind, protocol, streamKey, attributes };
}

export class LogBuilder {
  readonly lines: string[] = [];
  #sequence = 0;
  #timeNs = 0;
  #opening = 0;

  open(): this {
    this.#opening++;
    this.lines.push(encodeHeader({
      version: "0.1.0",
      openedAt: "2026-01-02T03:04:05.678Z",
      configDigest: "sha256:0011",
      opening: this.#opening,
      continuesSequenceId: this.#sequence,
      continuesTimeNs: this.#timeNs,
    }));
    return this;
  }

  flow(number: number, overrides: Partial<FlowContext> = {}): FlowContext {
    return flowContext(`${this.#opening}-${number}`, overrides);
  }

  add(context: FlowContext, ...events: FlowEvent[]): this {
    for (const event of events) {
      this.#timeNs = instantAfter(this.#timeNs + 1000);
      this.lines.push(encodeEvent(++this.#sequence, ++context.sequence, this.#timeNs, context, event));
    }
    return this;
  }

  toString(): string {
    return this.lines.join("");
  }
}

export const received = flowEvent("connect_received", {
  authority: "api.example.com:443",
  method: "CONNECT",
});

export function decision(action: string): FlowEvent {
  return flowEvent("connect_decision", { action, reason: "rule", rule_id: "r1" });
}

export function requestHeaders(id: number, overrides: Attributes = {}): FlowEvent {
  return flowEvent("request_headers", {
    authority: "api.example.com",
    exchange_id: id,
    headers: [["Host", "api.example.com"]],
    method: "GET",
    scheme: "https",
    target: "/v1/items?x=1",
    version: "HTTP/1.1",
    ...overrides,
  }, `h1:${id}`);
}

export function responseHeaders(id: number, status: number): FlowEvent {
  const interim = status < 200 && status !== 101 ? { interim: true } : {};
  return flowEvent(
    "response_headers",
    { exchange_id: id, headers: [["Server", "nginx"]], ...interim, status, version: "HTTP/1.1" },
    `h1:${id}`,
  );
}

export function chunk(
  message: "request" | "response",
  id: number,
  offset: number,
  bytes: number,
  data: Attributes = {},
): FlowEvent {
  const attributes = { bytes, ...data, exchange_id: id, offset };
  return flowEvent(`${message}_body_chunk`, attributes, `h1:${id}`);
}

export function trailers(message: "request" | "response", id: number): FlowEvent {
  return flowEvent(`${message}_trailers`, { exchange_id: id, headers: [["X-Sum", "1"]] }, `h1:${id}`);
}

export function completed(id: number, overrides: Attributes = {}): FlowEvent {
  return flowEvent("exchange_completed", {
    duration_ns: 2_500_000,
    exchange_id: id,
    outcome: "complete",
    request_body_bytes: 0,
    request_head_bytes: 120,
    response_body_bytes: 0,
    response_head_bytes: 90,
    ttfb_ns: 1_000_000,
    ...overrides,
  }, `h1:${id}`);
}

export function closed(reason = "complete", overrides: Attributes = {}): FlowEvent {
  return flowEvent("stream_closed", {
    bytes_from_client: 500,
    bytes_from_server: 2048,
    duration_ns: 3_000_000_000,
    reason_code: reason,
    ...overrides,
  });
}

export const tlsEvents: readonly FlowEvent[] = [
  flowEvent("tls_client_hello", {
    alpn: ["h2", "http/1.1"],
    ja3: "771,4865,0,29,0",
    ja4: "t13d0101h2_0_0",
    pq_offered: true,
    sni: "api.example.com",
    versions: ["TLSv1.3"],
  }),
  flowEvent("tls_handshake_started", { alpn_offered: ["http/1.1"], side: "server" }),
  flowEvent("tls_handshake_succeeded", {
    alpn: "http/1.1",
    cipher: "TLS_AES_128_GCM_SHA256",
    side: "server",
    version: "TLSv1.3",
  }),
  flowEvent("tls_handshake_succeeded", {
    alpn: null,
    cert_cache: "miss",
    cipher: "TLS_AES_128_GCM_SHA256",
    side: "client",
    version: "TLSv1.3",
  }),
];

/** What the observers of a message may say. */
function observed(exchangeId: number, direction: "request" | "response"): FlowEvent[] {
  const of = { direction, exchange_id: exchangeId };
  const key = `h1:${exchangeId}`;
  return [
    flowEvent("payload_decoded", {
      bytes: 2,
      format: "json",
      sanitized: false,
      stages: ["json"],
      value: {},
      ...of,
    }, key),
    flowEvent("multipart_part", { bytes: 2, headers: [["A", "b"]], index: 0, ...of }, key),
    flowEvent("sse_event", { bytes: 1, data: "x", event: "e", id: "7", index: 0, ...of }, key),
    flowEvent("ndjson_line", { bytes: 2, data: "{}", index: 0, ...of }, key),
    flowEvent("grpc_headers", {
      accept_encodings: ["gzip"],
      content_subtype: null,
      encoding: null,
      method: "Get",
      service: "items.Items",
      ...of,
    }, key),
    flowEvent("grpc_message", { bytes: 2, compressed: false, data: "{}", index: 0, ...of }, key),
    flowEvent("grpc_trailers", { grpc_status: 0, grpc_status_name: "OK", ...of }, key),
    flowEvent("decoder_failed", { reason: "not gzip", stage: "content_coding", ...of }, key),
    flowEvent("observer_stopped", { observer: "ndjson", reason: "limit", ...of }, key),
  ];
}

export const webSocketOpened = (id: number) =>
  flowEvent("websocket_opened", { exchange_id: id, extensions: [], violations: [] }, `h1:${id}`);

export function webSocketMessage(id: number, index: number, overrides: Attributes = {}): FlowEvent {
  return flowEvent("ws_message", {
    bytes: 2,
    compressed: false,
    data: "hi",
    direction: "request",
    exchange_id: id,
    fragments: 1,
    index,
    opcode: "text",
    ...overrides,
  }, `h1:${id}`);
}

export const webSocketClosed = (id: number) =>
  flowEvent("websocket_closed", {
    by: "client",
    clean: false,
    client_messages: 1,
    code: 1000,
    duration_ns: 5,
    exchange_id: id,
    reason: "",
    server_messages: 0,
  }, `h1:${id}`);

export const turnStarted = (id: number, turn: number) =>
  flowEvent("ws_turn_started", { exchange_id: id, initiator: "client", turn_id: turn }, `h1:${id}`);

export const turnCompleted = (id: number, turn: number) =>
  flowEvent("ws_turn_completed", {
    client_bytes: 2,
    client_control_frames: 1,
    client_frames: 1,
    exchange_id: id,
    first_ns: 1,
    flush_reason: "close_frame",
    initiator: "client",
    last_ns: 2,
    server_bytes: 0,
    server_control_frames: 0,
    server_frames: 0,
    turn_id: turn,
  }, `h1:${id}`);

/** Every kind of event there is, several flows at once, two openings with a flow cut off between them. */
export function goodLog(): LogBuilder {
  const log = new LogBuilder().open();
  const intercepted = log.flow(1);
  const tunnelled = log.flow(2, { serverHost: "::1", clientAddr: "[::1]:4000" });
  const blocked = log.flow(4);
  log.add(intercepted, received, decision("intercept"), ...tlsEvents)
    .add(
      tunnelled,
      received,
      flowEvent("connect_decision", { action: "tunnel", reason: "http3" }),
      flowEvent("http3_passthrough", { hint: "connect_alpn", prior_action: "intercept" }),
    )
    .add(
      intercepted,
      requestHeaders(1, { method: "POST" }),
      responseHeaders(1, 100),
      chunk("request", 1, 0, 16384, { data: "x".repeat(16384) }),
      chunk("request", 1, 16384, 100, { data_base64: "/wD/" }),
      trailers("request", 1),
      responseHeaders(1, 200),
      ...observed(1, "response"),
      chunk("response", 1, 0, 16384),
    )
    .add(blocked, received, decision("block"), closed("blocked"))
    .add(
      intercepted,
      requestHeaders(2),
      chunk("response", 1, 16384, 16384),
      trailers("response", 1),
      completed(1, { request_body_bytes: 16484, response_body_bytes: 32768 }),
      responseHeaders(2, 204),
      completed(2),
      flowEvent("exchange_completed", {
        answer_status: 400,
        ...completed(3).attributes,
        error_code: "bare_lf",
        outcome: "protocol_error",
        ttfb_ns: null,
      }, "h1:3"),
      closed("protocol_error", { reason_detail: "bare LF" }),
    )
    .add(tunnelled, { ...closed(), protocol: "http3" });

  const unparsed = log.flow(3, { serverHost: null, serverPort: 0 });
  log.add(unparsed, flowEvent("connect_parse_failed", { code: "bare_lf", detail: "line 1" }))
    .add(unparsed, closed("connect_parse_failed"));

  // Plain requests: each decided on its own, the tunnelled one without exchange events.
  const plain = log.flow(5, { serverPort: 80 });
  log.add(
    plain,
    received,
    decision("intercept"),
    requestHeaders(1, { target: "http://api.example.com/a" }),
    responseHeaders(1, 101),
    webSocketOpened(1),
    completed(1),
    turnStarted(1, 1),
    webSocketMessage(1, 0),
    webSocketMessage(1, 0, { direction: "response" }),
    flowEvent("decoder_failed", {
      direction: "response",
      exchange_id: 1,
      reason: "reserved_opcode",
      stage: "framing",
    }, "h1:1"),
    flowEvent("ws_control", {
      bytes: 2,
      code: 1000,
      direction: "request",
      exchange_id: 1,
      opcode: "close",
      reason: "",
    }, "h1:1"),
    turnCompleted(1, 1),
    webSocketClosed(1),
    received,
    decision("tunnel"),
    received,
    decision("block"),
    requestHeaders(3),
    completed(3, { answer_status: 403, outcome: "blocked", ttfb_ns: null }),
    closed("blocked"),
  );

  const cut = log.flow(6);
  log.add(cut, received, decision("intercept"), requestHeaders(1));
  log.open();
  const failed = log.flow(1);
  log.add(
    failed,
    received,
    decision("intercept"),
    tlsEvents[0]!,
    flowEvent("connect_decision", { action: "intercept", reason: "default", sni: "other.example.com" }),
    tlsEvents[1]!,
    flowEvent("tls_learning_audit", {
      expires_in_ms: 900_000,
      failures: 2,
      failures_needed: 2,
      fingerprint: "t13d1516h2_8daaf6152771_e5627efa2ab1",
      host: "other.example.com",
      normalized_reason: "unknown_ca",
      outcome: "suggested",
      reason: "threshold",
      source_confidence: "authoritative",
      suggestion: 'policy.ignore_hosts = ["other.example.com"]',
    }),
    flowEvent("tls_handshake_failed", {
      normalized_reason: "unknown_ca",
      provider_identity: "deno-rustls",
      raw_provider_error: "invalid peer certificate: UnknownIssuer",
      side: "server",
      source_confidence: "authoritative",
    }),
    closed("tls_handshake_failed"),
  );
  return log;
}
