/** The `reason_code` of `stream_closed`, the last event of each flow. */
export const CLOSE_REASONS = [
  "complete",
  "blocked",
  "connect_parse_failed",
  "tls_handshake_failed",
  "route_failed",
  "upstream_connect_failed",
  "client_reset",
  "server_reset",
  "protocol_error",
  "limit_exceeded",
  "idle_timeout",
  "stage_timeout",
  "shutdown",
  "internal_error",
] as const;

export type CloseReason = typeof CLOSE_REASONS[number];
