/** The vocabulary of the event log: what a session records, before the log adds its envelope. */

import type { RawNumber } from "./exact_json.ts";

export const PROTOCOLS = [
  "connect",
  "tunnel",
  "tls",
  "http1",
  "http2",
  "http3",
  "websocket",
  "sse",
  "grpc",
] as const;
export type Protocol = typeof PROTOCOLS[number];

/** The kinds that exist today; a kind is added together with the code that records it. */
export const EVENT_KINDS = [
  "connect_received",
  "connect_parse_failed",
  "connect_decision",
  "http3_passthrough",
  "tls_client_hello",
  "tls_handshake_started",
  "tls_handshake_succeeded",
  "tls_handshake_failed",
  "tls_learning_audit",
  "request_headers",
  "request_body_chunk",
  "request_trailers",
  "response_headers",
  "response_body_chunk",
  "response_trailers",
  "exchange_completed",
  "sse_event",
  "websocket_opened",
  "ws_message",
  "ws_control",
  "websocket_closed",
  "ws_turn_started",
  "ws_turn_completed",
  "ndjson_line",
  "grpc_headers",
  "grpc_message",
  "grpc_trailers",
  "multipart_part",
  "payload_decoded",
  "decoder_failed",
  "observer_stopped",
  "stream_closed",
] as const;
export type EventKind = typeof EVENT_KINDS[number];

export type AttributeValue =
  | string
  | number
  | RawNumber
  | boolean
  | null
  | readonly AttributeValue[]
  | { readonly [key: string]: AttributeValue };

/** Keys are written in sorted order; the log sorts where the session did not. */
export type Attributes = { readonly [key: string]: AttributeValue };

export const EXCHANGE_OUTCOMES = [
  "complete",
  "client_aborted",
  "server_aborted",
  "reset",
  "blocked",
  "protocol_error",
  "limit",
  "timeout",
] as const;
export type ExchangeOutcome = typeof EXCHANGE_OUTCOMES[number];

/** One thing that happened in a flow, as the session says it. */
export interface FlowEvent {
  readonly kind: EventKind;
  readonly protocol: Protocol;
  /** `flow`, `h1:EXCHANGE` or `h2:STREAM`. */
  readonly streamKey: string;
  readonly attributes: Attributes;
}

/** What the envelope needs to know of the flow. The session updates the server, the log counts. */
export interface FlowContext {
  readonly flowId: string;
  readonly clientAddr: string;
  serverHost: string | null;
  serverPort: number;
  /** The last `flow_sequence_id` given out; 0 before the first event. */
  sequence: number;
}

/** One line of the event log as an object, keys in the order they are written. */
export interface LoggedEvent {
  readonly schema: "soth-mitm-event-log-v2";
  readonly sequence_id: number;
  readonly flow_id: string;
  readonly flow_sequence_id: number;
  readonly time_ns: number;
  readonly kind: EventKind;
  readonly protocol: Protocol;
  readonly stream_key: string;
  readonly client_addr: string;
  readonly server_host: string | null;
  readonly server_port: number;
  readonly attributes: Attributes;
}
