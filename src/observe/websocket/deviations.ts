/**
 * What a peer of a WebSocket can do against RFC 6455, as the log names it. Each would have the other peer fail
 * the connection (§7.1.7); whether it does is its business, and the octets pass on.
 */

/** Deviations after which it is still clear what the octets mean: attributes of the event that has them. */
export const VIOLATIONS = [
  /** §5.1: a client masks every frame, a server none. */
  "unmasked_client_frame",
  "masked_server_frame",
  /** §5.2: a bit that no negotiated extension gives a meaning. */
  "reserved_bits",
  /** RFC 7692 §6: RSV1 belongs on the first frame of a message alone. */
  "misplaced_rsv1",
  /** §5.2: the length is to be written in the shortest way. */
  "non_minimal_length",
  /** §5.5 */
  "fragmented_control",
  /** §8.1 */
  "invalid_utf8",
  /** §7.4 */
  "invalid_close_code",
  /** §5.5.1: a code has two octets. */
  "one_octet_close",
  /** §5.5.1: a side that has sent a close frame sends no more. */
  "frame_after_close",
] as const;
export type Violation = typeof VIOLATIONS[number];

/** Deviations after which it is not: reasons of `decoder_failed`, and that side is read no further. */
export const FRAMING_FAULTS = [
  /** §5.2: opcodes 3 to 7 and 11 to 15. */
  "reserved_opcode",
  /** §5.5: at most 125 octets. */
  "control_too_long",
  /** §5.4: nothing to continue, or something else where a continuation is due. */
  "stray_continuation",
  "interrupted_message",
  /** §5.2: the most significant bit of a 64-bit length is 0. */
  "length_out_of_range",
] as const;
export type FramingFault = typeof FRAMING_FAULTS[number];

/** Deviations of the handshake (§4, RFC 7692 §7.1, RFC 8441 §5). */
export const HANDSHAKE_VIOLATIONS = [
  "method_not_get",
  "upgrade_not_asked",
  "connection_missing",
  "key_missing",
  "key_invalid",
  "version_missing",
  "version_unsupported",
  "accept_missing",
  "accept_mismatch",
  "subprotocol_not_offered",
  "extensions_malformed",
  "extension_not_offered",
  "deflate_parameters",
] as const;
export type HandshakeViolation = typeof HANDSHAKE_VIOLATIONS[number];
