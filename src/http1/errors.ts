/**
 * What is wrong with an HTTP/1.1 message (RFC 9112): a value, never an exception. The code is
 * stable and shown to users; the detail says what was found and what is allowed.
 */
export const HTTP1_ERROR_CODES = [
  // Octets and lines
  "bare_lf",
  "bare_cr",
  "nul_byte",
  "control_byte",
  "truncated_message",
  // Start-line
  "malformed_start_line",
  "invalid_method",
  "invalid_version",
  "invalid_status_line",
  // Request target and authority
  "invalid_target",
  "unsupported_scheme",
  "scheme_not_allowed",
  "userinfo_not_allowed",
  "invalid_authority",
  "missing_port",
  "invalid_port",
  // Field lines
  "whitespace_before_fields",
  "obs_fold",
  "whitespace_before_colon",
  "missing_colon",
  "invalid_field_name",
  "invalid_field_value",
  "head_too_large",
  "too_many_fields",
  // Host
  "missing_host",
  "repeated_host",
  "invalid_host",
  "host_target_mismatch",
  // Framing
  "invalid_content_length",
  "conflicting_content_length",
  "content_length_with_transfer_encoding",
  "invalid_transfer_encoding",
  "transfer_encoding_in_http10",
  // Chunked coding
  "invalid_chunk_size",
  "chunk_too_large",
  "invalid_chunk_extension",
  "chunk_line_too_long",
  "invalid_chunk_terminator",
  "invalid_trailer",
  "trailer_too_large",
  // Order and time of messages
  "unsolicited_response",
  "unexpected_upgrade",
  "head_timeout",
] as const;

export type Http1ErrorCode = typeof HTTP1_ERROR_CODES[number];

export interface Http1Error {
  readonly type: "error";
  readonly code: Http1ErrorCode;
  readonly detail: string;
  /** Byte offset where it was found, from the beginning of the head or of the body; 0 where it has no place. */
  readonly offset: number;
  /** The section that forbids it, e.g. `RFC 9112 §6.3`. */
  readonly rfc: string;
}

export function http1Error(code: Http1ErrorCode, detail: string, offset: number, rfc: string): Http1Error {
  return { type: "error", code, detail, offset, rfc };
}

/** The message is larger than it may be; nothing else is wrong with it. */
export function isLimit({ code }: Http1Error): boolean {
  return code === "head_too_large" || code === "too_many_fields";
}

/** One octet for a message, e.g. `0x0b`. */
export function quoteOctet(octet: number): string {
  return `0x${octet.toString(16).padStart(2, "0")}`;
}
