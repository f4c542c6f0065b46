/**
 * What is wrong with an HTTP/2 connection (RFC 9113, RFC 7541): a value, never an exception. One
 * table says of each code whether it ends the connection or one stream, with which error code of
 * §7, and the section that forbids it.
 */
import type { Side } from "../core/side.ts";

/** The error codes of RFC 9113 §7 by number. Numbers beyond these are passed on as they are. */
export const ERROR_CODE_NAMES = [
  "NO_ERROR",
  "PROTOCOL_ERROR",
  "INTERNAL_ERROR",
  "FLOW_CONTROL_ERROR",
  "SETTINGS_TIMEOUT",
  "STREAM_CLOSED",
  "FRAME_SIZE_ERROR",
  "REFUSED_STREAM",
  "CANCEL",
  "COMPRESSION_ERROR",
  "CONNECT_ERROR",
  "ENHANCE_YOUR_CALM",
  "INADEQUATE_SECURITY",
  "HTTP_1_1_REQUIRED",
] as const;

export type ErrorCodeName = typeof ERROR_CODE_NAMES[number];

/** The number that goes into RST_STREAM and GOAWAY. */
export function errorCodeNumber(name: ErrorCodeName): number {
  return ERROR_CODE_NAMES.indexOf(name);
}

/** The name of a code that came in RST_STREAM or GOAWAY; codes nobody registered by their number. */
export function errorCodeName(code: number): string {
  return ERROR_CODE_NAMES[code] ?? `0x${code.toString(16)}`;
}

const BENIGN: ReadonlySet<string> = new Set<ErrorCodeName>([
  "NO_ERROR",
  "CANCEL",
  "REFUSED_STREAM",
  "STREAM_CLOSED",
]);

/** Whether a code of RST_STREAM or GOAWAY blames nobody. */
export function isBenign(name: string): boolean {
  return BENIGN.has(name);
}

const BLAMING: ReadonlySet<string> = new Set<ErrorCodeName>([
  "PROTOCOL_ERROR",
  "FLOW_CONTROL_ERROR",
  "STREAM_CLOSED",
  "FRAME_SIZE_ERROR",
]);

/** Whether a code of RST_STREAM says that the other side broke a rule, be it only in what it sent too late. */
export function isBlaming(name: string): boolean {
  return BLAMING.has(name);
}

/** Whether it ends the connection (RFC 9113 §5.4.1) or one stream (§5.4.2). */
export type ErrorScope = "connection" | "stream";

type Rule = readonly [scope: ErrorScope, errorCode: ErrorCodeName, rfc: string];

/**
 * Every deviation that is noticed. ENHANCE_YOUR_CALM stands for a limit of ours and for nothing
 * else; what is over the number of streams is refused, so that it may be asked again. §4.2 and §5.4.1 allow more to be connection errors than must be; where there is a choice,
 * what leaves framing and compression intact is a stream error, so that other streams go on.
 */
const RULES = {
  // Preface and order of frames
  invalid_preface: ["connection", "PROTOCOL_ERROR", "RFC 9113 §3.4"],
  missing_settings: ["connection", "PROTOCOL_ERROR", "RFC 9113 §3.4"],
  expected_continuation: ["connection", "PROTOCOL_ERROR", "RFC 9113 §4.3"],
  unexpected_continuation: ["connection", "PROTOCOL_ERROR", "RFC 9113 §6.10"],
  // Flow control
  window_exceeded: ["connection", "FLOW_CONTROL_ERROR", "RFC 9113 §6.9.1"],
  // Single frames
  frame_too_large: ["connection", "FRAME_SIZE_ERROR", "RFC 9113 §4.2"],
  frame_over_held_bytes: ["connection", "ENHANCE_YOUR_CALM", "RFC 9113 §10.5"],
  invalid_frame_length: ["connection", "FRAME_SIZE_ERROR", "RFC 9113 §4.2"],
  invalid_priority_length: ["stream", "FRAME_SIZE_ERROR", "RFC 9113 §6.3"],
  missing_stream_id: ["connection", "PROTOCOL_ERROR", "RFC 9113 §6"],
  unexpected_stream_id: ["connection", "PROTOCOL_ERROR", "RFC 9113 §6"],
  invalid_padding: ["connection", "PROTOCOL_ERROR", "RFC 9113 §6.1"],
  invalid_setting: ["connection", "PROTOCOL_ERROR", "RFC 9113 §6.5.2"],
  invalid_initial_window_size: ["connection", "FLOW_CONTROL_ERROR", "RFC 9113 §6.5.2"],
  frame_flood: ["connection", "ENHANCE_YOUR_CALM", "RFC 9113 §10.5"],
  too_many_unacknowledged_settings: ["connection", "ENHANCE_YOUR_CALM", "RFC 9113 §10.5"],
  push_from_client: ["connection", "PROTOCOL_ERROR", "RFC 9113 §8.4"],
  invalid_promised_stream: ["connection", "PROTOCOL_ERROR", "RFC 9113 §6.6"],
  zero_window_increment: ["stream", "PROTOCOL_ERROR", "RFC 9113 §6.9"],
  window_overflow: ["stream", "FLOW_CONTROL_ERROR", "RFC 9113 §6.9.1"],
  push_disabled: ["connection", "PROTOCOL_ERROR", "RFC 9113 §8.4"],
  // Stream states
  invalid_stream_id: ["connection", "PROTOCOL_ERROR", "RFC 9113 §5.1.1"],
  idle_stream: ["connection", "PROTOCOL_ERROR", "RFC 9113 §5.1"],
  reserved_stream: ["connection", "PROTOCOL_ERROR", "RFC 9113 §5.1"],
  misplaced_promise: ["connection", "PROTOCOL_ERROR", "RFC 9113 §6.6"],
  promised_stream_in_use: ["connection", "PROTOCOL_ERROR", "RFC 9113 §6.6"],
  half_closed_stream: ["stream", "STREAM_CLOSED", "RFC 9113 §5.1"],
  reset_stream: ["stream", "STREAM_CLOSED", "RFC 9113 §5.1"],
  closed_stream: ["connection", "STREAM_CLOSED", "RFC 9113 §5.1"],
  // Field blocks
  field_block_too_large: ["connection", "ENHANCE_YOUR_CALM", "RFC 9113 §10.5.1"],
  too_many_continuations: ["connection", "ENHANCE_YOUR_CALM", "RFC 9113 §10.5.1"],
  header_list_too_large: ["stream", "ENHANCE_YOUR_CALM", "RFC 9113 §10.5.1"],
  too_many_fields: ["stream", "ENHANCE_YOUR_CALM", "RFC 9113 §10.5.1"],
  too_many_streams: ["stream", "REFUSED_STREAM", "RFC 9113 §8.7"],
  stream_after_goaway: ["stream", "REFUSED_STREAM", "RFC 9113 §6.8"],
  // HPACK
  truncated_block: ["connection", "COMPRESSION_ERROR", "RFC 7541 §6"],
  integer_overflow: ["connection", "COMPRESSION_ERROR", "RFC 7541 §5.1"],
  invalid_index: ["connection", "COMPRESSION_ERROR", "RFC 7541 §2.3.3"],
  invalid_huffman_padding: ["connection", "COMPRESSION_ERROR", "RFC 7541 §5.2"],
  huffman_eos: ["connection", "COMPRESSION_ERROR", "RFC 7541 §5.2"],
  misplaced_table_size_update: ["connection", "COMPRESSION_ERROR", "RFC 7541 §4.2"],
  missing_table_size_update: ["connection", "COMPRESSION_ERROR", "RFC 9113 §4.3.1"],
  table_size_over_setting: ["connection", "COMPRESSION_ERROR", "RFC 7541 §6.3"],
  table_size_over_limit: ["connection", "ENHANCE_YOUR_CALM", "RFC 7541 §7.3"],
  // Field sections
  invalid_field_name: ["stream", "PROTOCOL_ERROR", "RFC 9113 §8.2.1"],
  invalid_field_value: ["stream", "PROTOCOL_ERROR", "RFC 9113 §8.2.1"],
  connection_specific_field: ["stream", "PROTOCOL_ERROR", "RFC 9113 §8.2.2"],
  invalid_te: ["stream", "PROTOCOL_ERROR", "RFC 9113 §8.2.2"],
  unknown_pseudo_field: ["stream", "PROTOCOL_ERROR", "RFC 9113 §8.3"],
  misplaced_pseudo_field: ["stream", "PROTOCOL_ERROR", "RFC 9113 §8.3"],
  repeated_pseudo_field: ["stream", "PROTOCOL_ERROR", "RFC 9113 §8.3"],
  missing_pseudo_field: ["stream", "PROTOCOL_ERROR", "RFC 9113 §8.3.1"],
  invalid_method: ["stream", "PROTOCOL_ERROR", "RFC 9110 §9.1"],
  invalid_scheme: ["stream", "PROTOCOL_ERROR", "RFC 9113 §8.3.1"],
  invalid_authority: ["stream", "PROTOCOL_ERROR", "RFC 9113 §8.3.1"],
  invalid_path: ["stream", "PROTOCOL_ERROR", "RFC 9113 §8.3.1"],
  invalid_protocol: ["stream", "PROTOCOL_ERROR", "RFC 8441 §4"],
  invalid_connect: ["stream", "PROTOCOL_ERROR", "RFC 9113 §8.5"],
  invalid_status: ["stream", "PROTOCOL_ERROR", "RFC 9113 §8.3.2"],
  repeated_host: ["stream", "PROTOCOL_ERROR", "RFC 9110 §7.2"],
  host_authority_mismatch: ["stream", "PROTOCOL_ERROR", "RFC 9113 §8.3.1"],
  invalid_host: ["stream", "PROTOCOL_ERROR", "RFC 9110 §7.2"],
  invalid_content_length: ["stream", "PROTOCOL_ERROR", "RFC 9110 §8.6"],
  // Order within a message
  content_length_mismatch: ["stream", "PROTOCOL_ERROR", "RFC 9113 §8.1.1"],
  data_before_headers: ["stream", "PROTOCOL_ERROR", "RFC 9113 §8.1"],
  interim_response_ends_stream: ["stream", "PROTOCOL_ERROR", "RFC 9113 §8.1"],
  trailers_without_end: ["stream", "PROTOCOL_ERROR", "RFC 9113 §8.1"],
} as const satisfies { readonly [code: string]: Rule };

export type Http2ErrorCode = keyof typeof RULES;

export const HTTP2_ERROR_CODES = Object.keys(RULES) as readonly Http2ErrorCode[];

export interface Http2Error {
  readonly type: "error";
  readonly code: Http2ErrorCode;
  readonly scope: ErrorScope;
  /** The stream it was found on; 0 where it concerns none. */
  readonly streamId: number;
  /** What the answer says: RST_STREAM for the scope `stream`, GOAWAY for `connection`. */
  readonly errorCode: ErrorCodeName;
  /** Who deviates. */
  readonly by: Side;
  readonly detail: string;
  /** Where it was found: in the octets this side sent, or in the field block for HPACK; 0 where it has no place. */
  readonly offset: number;
  readonly rfc: string;
}

/** A stream error on stream 0 has no stream to end, so it ends the connection (RFC 9113 §5.4.2). */
export function http2Error(
  code: Http2ErrorCode,
  by: Side,
  streamId: number,
  detail: string,
  offset = 0,
): Http2Error {
  const [scope, errorCode, rfc] = RULES[code];
  return {
    type: "error",
    code,
    scope: streamId === 0 ? "connection" : scope,
    streamId,
    errorCode,
    by,
    detail,
    offset,
    rfc,
  };
}

/** Whether a limit of ours was exceeded; everything else breaks a rule of the protocol. */
export function isLimit(error: Http2Error): boolean {
  return error.errorCode === "ENHANCE_YOUR_CALM" || error.code === "too_many_streams";
}
