/**
 * What each kind of event says in its attributes, as the contract's table has it. Further attributes are
 * allowed (adding one is no breaking change); those named here are there and of their type.
 */
import type { AttributeValue, EventKind } from "../core/event.ts";
import { EXCHANGE_OUTCOMES } from "../core/event.ts";
import { CLOSE_REASONS } from "../core/close_reason.ts";
import { DECISION_REASONS, LEARNING_OUTCOMES, LEARNING_REASONS } from "../core/session.ts";

interface Rule {
  /** Completes "attribute x is not …". */
  readonly expected: string;
  readonly optional?: true;
  test(value: AttributeValue): boolean;
}

/** What is wrong with the attributes of an event; null: nothing. */
export function attributeFault(
  kind: EventKind,
  attributes: Readonly<Record<string, AttributeValue>>,
): { name: string; detail: string } | null {
  const rules = ATTRIBUTE_RULES[kind];
  for (const name in rules) {
    const rule = rules[name]!;
    const value = Object.hasOwn(attributes, name) ? attributes[name]! : undefined;
    if (value === undefined) {
      if (rule.optional) continue;
      return { name, detail: `${kind} has no attribute ${name}` };
    }
    if (!rule.test(value)) return { name, detail: `attribute ${name} of ${kind} is not ${rule.expected}` };
  }
  return null;
}

const text: Rule = { expected: "a string", test: (value) => typeof value === "string" };
const flag: Rule = { expected: "true or false", test: (value) => typeof value === "boolean" };
const count: Rule = { expected: "a whole number from 0 on", test: isCount };
const ordinal: Rule = {
  expected: "a whole number from 1 on",
  test: (value) => isCount(value) && value !== 0,
};
const texts: Rule = {
  expected: "an array of strings",
  test: (value) => Array.isArray(value) && value.every((element) => typeof element === "string"),
};
const fieldLines: Rule = {
  expected: "an array of [name, value]",
  test: (value) =>
    Array.isArray(value) &&
    value.every((line) =>
      Array.isArray(line) && line.length === 2 && line.every((part) => typeof part === "string")
    ),
};
const base64: Rule = {
  expected: "padded base64",
  test: (value) =>
    typeof value === "string" && value.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(value),
};

function oneOf(values: readonly string[]): Rule {
  return {
    expected: `one of ${values.join(", ")}`,
    test: (value) => typeof value === "string" && values.includes(value),
  };
}

function orNull(rule: Rule): Rule {
  return { expected: `${rule.expected} or null`, test: (value) => value === null || rule.test(value) };
}

function optional(rule: Rule): Rule {
  return { ...rule, optional: true };
}

function isCount(value: AttributeValue): boolean {
  return typeof value === "number" && Number.isInteger(value) && value >= 0;
}

const status: Rule = {
  expected: "a status code",
  test: (value) => typeof value === "number" && Number.isInteger(value) && value >= 100 && value <= 999,
};
const side = oneOf(["client", "server"]);
const bodyChunk = {
  exchange_id: ordinal,
  offset: count,
  bytes: ordinal,
  data: optional(text),
  data_base64: optional(base64),
};
const direction = oneOf(["request", "response"]);
/** Something within a message: a line, a frame, an event. */
const unit = {
  exchange_id: ordinal,
  direction,
  bytes: count,
  data: optional(text),
  data_base64: optional(base64),
};
const trailers = { exchange_id: ordinal, headers: fieldLines, tolerated: optional(texts) };

const ATTRIBUTE_RULES: Readonly<Record<EventKind, Readonly<Record<string, Rule>>>> = {
  connect_received: { authority: text, method: text },
  connect_parse_failed: { code: text, detail: text },
  connect_decision: {
    action: oneOf(["intercept", "tunnel", "block"]),
    authority: optional(text),
    ja4: optional(text),
    reason: oneOf(DECISION_REASONS),
    rule_id: optional(text),
    override_id: optional(text),
    sni: optional(text),
  },
  http3_passthrough: {
    hint: oneOf(["connect_alpn", "connect_udp", "client_hello", "rule", "override"]),
    prior_action: oneOf(["intercept", "tunnel"]),
  },
  tls_client_hello: {
    alpn: texts,
    cipher_suites: optional(texts),
    connect_host: optional(text),
    ech_offered: optional(flag),
    groups: optional(texts),
    key_shares: optional(texts),
    ja3: text,
    ja4: text,
    pq_offered: flag,
    sni: optional(text),
    versions: texts,
  },
  tls_handshake_started: { side },
  tls_handshake_succeeded: {
    side,
    alpn: orNull(text),
    cipher: text,
    version: text,
    cert_cache: optional(oneOf(["hit", "miss"])),
    resumed: optional(flag),
    verified: optional(flag),
    verify_error: optional(text),
  },
  tls_handshake_failed: {
    side,
    normalized_reason: oneOf([
      "unknown_ca",
      "cert_validation",
      "handshake",
      "timeout",
      "eof_or_reset",
      "other",
    ]),
    detail: optional(text),
    host_failures: optional(ordinal),
    host_failures_of_reason: optional(ordinal),
    host_failures_window_ms: optional(ordinal),
    raw_provider_error: text,
    provider_identity: text,
    source_confidence: oneOf(["authoritative", "inferred"]),
  },
  tls_learning_audit: {
    expires_in_ms: optional(count),
    failures: count,
    failures_needed: ordinal,
    fingerprint: text,
    host: text,
    normalized_reason: optional(text),
    outcome: oneOf(LEARNING_OUTCOMES),
    reason: oneOf(LEARNING_REASONS),
    source_confidence: optional(oneOf(["authoritative", "inferred"])),
    suggestion: optional(text),
  },
  request_headers: {
    exchange_id: ordinal,
    method: text,
    protocol: optional(text),
    target: text,
    scheme: text,
    authority: text,
    version: text,
    headers: fieldLines,
    tolerated: optional(texts),
  },
  request_body_chunk: bodyChunk,
  request_trailers: trailers,
  response_headers: {
    exchange_id: ordinal,
    status,
    version: text,
    headers: fieldLines,
    interim: optional({ expected: "true", test: (value) => value === true }),
    tolerated: optional(texts),
  },
  response_body_chunk: bodyChunk,
  response_trailers: trailers,
  exchange_completed: {
    answer_status: optional(status),
    exchange_id: ordinal,
    outcome: oneOf(EXCHANGE_OUTCOMES),
    duration_ns: count,
    request_body_bytes: count,
    request_decoded_bytes: optional(count),
    request_head_bytes: count,
    response_body_bytes: count,
    response_decoded_bytes: optional(count),
    response_head_bytes: count,
    stripped: optional(texts),
    ttfb_ns: orNull(count),
  },
  sse_event: {
    ...unit,
    comments: optional(ordinal),
    complete: optional(flag),
    event: optional(text),
    id: optional(text),
    index: count,
    retry_ms: optional(count),
    truncated: optional(flag),
  },
  websocket_opened: {
    exchange_id: ordinal,
    extensions: texts,
    subprotocol: optional(text),
    violations: texts,
  },
  ws_message: {
    ...unit,
    compressed: flag,
    decoded_bytes: optional(count),
    fragments: ordinal,
    index: count,
    opcode: oneOf(["text", "binary"]),
    violation: optional(text),
  },
  ws_control: {
    ...unit,
    code: optional(count),
    opcode: oneOf(["ping", "pong", "close"]),
    reason: optional(text),
    reason_base64: optional(base64),
    truncated: optional(flag),
    violation: optional(text),
  },
  websocket_closed: {
    by: orNull(oneOf(["client", "server", "proxy"])),
    clean: flag,
    client_messages: count,
    code: count,
    duration_ns: count,
    exchange_id: ordinal,
    reason: optional(text),
    reason_base64: optional(base64),
    server_messages: count,
  },
  ws_turn_started: { exchange_id: ordinal, initiator: side, turn_id: ordinal },
  ws_turn_completed: {
    client_bytes: count,
    client_control_frames: count,
    client_frames: count,
    exchange_id: ordinal,
    first_ns: count,
    flush_reason: oneOf(["rollover", "close_frame", "error", "eof", "idle_timeout"]),
    initiator: side,
    last_ns: count,
    server_bytes: count,
    server_control_frames: count,
    server_frames: count,
    turn_id: ordinal,
  },
  ndjson_line: { ...unit, index: count },
  grpc_headers: {
    exchange_id: ordinal,
    direction,
    service: orNull(text),
    method: orNull(text),
    encoding: orNull(text),
    accept_encodings: texts,
    content_subtype: optional(orNull(text)),
    content_type: optional(orNull(text)),
    http_status: optional(status),
    timeout: optional(text),
    timeout_ns: optional(orNull(count)),
    web: optional(flag),
    web_text: optional(flag),
  },
  grpc_message: {
    ...unit,
    index: count,
    compressed: flag,
    complete: optional(flag),
    declared_bytes: optional(count),
    decoded_bytes: optional(count),
    decoded_partly: optional(flag),
    truncated: optional(flag),
  },
  grpc_trailers: {
    exchange_id: ordinal,
    direction,
    grpc_status: orNull(count),
    grpc_status_name: optional(orNull(text)),
    grpc_status_text: optional(text),
    grpc_message: optional(text),
    details_bytes: optional(orNull(count)),
    headers: optional(fieldLines),
    http_status: optional(status),
    implied_status: optional(count),
    implied_status_name: optional(text),
    trailers_only: optional(flag),
  },
  multipart_part: {
    exchange_id: ordinal,
    direction,
    bytes: count,
    complete: optional(flag),
    headers: fieldLines,
    index: count,
    truncated: optional(flag),
  },
  payload_decoded: {
    exchange_id: optional(ordinal),
    direction,
    bytes: ordinal,
    complete: optional(flag),
    format: oneOf(["json", "msgpack", "form", "text", "binary"]),
    guessed: optional(flag),
    index: optional(count),
    sanitized: flag,
    sanitizer: optional(text),
    sha256: optional(text),
    stages: texts,
    value_omitted: optional(flag),
  },
  decoder_failed: {
    exchange_id: ordinal,
    direction,
    reason: text,
    stage: oneOf(["transfer_coding", "content_coding", "framing", "sanitizer", "payload"]),
  },
  observer_stopped: {
    // Absent where it is about more than a message.
    exchange_id: optional(ordinal),
    direction: optional(direction),
    observer: text,
    reason: text,
  },
  stream_closed: {
    bytes_from_client: count,
    bytes_from_server: count,
    capsules_skipped: optional(count),
    datagram_bytes_from_client: optional(count),
    datagram_bytes_from_server: optional(count),
    datagrams_dropped_from_client: optional(count),
    datagrams_dropped_from_server: optional(count),
    datagrams_from_client: optional(count),
    datagrams_from_server: optional(count),
    duration_ns: count,
    reason_code: oneOf(CLOSE_REASONS),
    reason_detail: optional(text),
  },
};
