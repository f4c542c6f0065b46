/**
 * Why a TLS handshake failed, in the words of the event log.
 *
 * What a failure says of itself comes in three grades, tried in this order: the platform's error code,
 * the alert that the error text quotes from the wire, other text. The first two are `authoritative`; text
 * is `inferred`, and so are codes that the platform is known to use for several things.
 *
 * Codes and texts are those of `node:tls` as Deno 2.9 has it: rustls below, OpenSSL's names above
 * (tests/tls/failure_test.ts holds what it was seen to say), and of OpenSSL itself.
 */
import type { Side } from "../core/side.ts";

export const TLS_FAILURE_REASONS = [
  "unknown_ca",
  "cert_validation",
  "handshake",
  "timeout",
  "eof_or_reset",
  "other",
] as const;
export type TlsFailureReason = typeof TLS_FAILURE_REASONS[number];

/** In which failures are counted for each host; it rolls on. */
export const FAILURE_WINDOW_MS = 10 * 60 * 1000;

export interface TlsFailure {
  readonly normalizedReason: TlsFailureReason;
  readonly sourceConfidence: "authoritative" | "inferred";
}

/** `side` is the one whose handshake failed: with the client we are the server, and the other way round. */
export function normalizeTlsFailure(
  { code, detail }: { code: string; detail: string },
  side: Side,
): TlsFailure {
  // A catch-all code (HANDSHAKE_FAILURE stands for each alert without a code of its own) says less than the alert.
  const alerted = alertIn(code, detail);
  if (alerted !== null) return authoritative(reasonOfAlert(alerted, side));
  if (AMBIGUOUS_CODES.has(code)) return inferred("unknown_ca");
  const known = CODES.get(code);
  if (known !== undefined) return authoritative(known);
  if (OPENSSL_CODE.test(code)) return authoritative("handshake");
  return inferred(reasonOfText(detail));
}

/**
 * Deno's `node:tls` gives this code for each certificate that rustls refuses, be it expired, not yet valid
 * or from an unknown issuer; the last is by far the most frequent.
 */
const AMBIGUOUS_CODES: ReadonlySet<string> = new Set(["UNABLE_TO_VERIFY_LEAF_SIGNATURE"]);

const CODES: ReadonlyMap<string, TlsFailureReason> = new Map([
  ...reasons("unknown_ca", [
    "CERT_UNTRUSTED",
    "DEPTH_ZERO_SELF_SIGNED_CERT",
    "SELF_SIGNED_CERT_IN_CHAIN",
    "UNABLE_TO_GET_ISSUER_CERT",
    "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  ]),
  ...reasons("cert_validation", [
    "CERT_CHAIN_TOO_LONG",
    "CERT_HAS_EXPIRED",
    // Ours: the platform let a handshake end without vouching for the certificate.
    "CERT_NOT_VERIFIED",
    "CERT_NOT_YET_VALID",
    "CERT_REJECTED",
    "CERT_REVOKED",
    "CERT_SIGNATURE_FAILURE",
    "CRL_HAS_EXPIRED",
    "CRL_NOT_YET_VALID",
    "CRL_SIGNATURE_FAILURE",
    "ERROR_IN_CERT_NOT_AFTER_FIELD",
    "ERROR_IN_CERT_NOT_BEFORE_FIELD",
    "ERR_SSL_CERTIFICATE_VERIFY_FAILED",
    "ERR_TLS_CERT_ALTNAME_FORMAT",
    "ERR_TLS_CERT_ALTNAME_INVALID",
    "HOSTNAME_MISMATCH",
    "INVALID_CA",
    "INVALID_PURPOSE",
    "PATH_LENGTH_EXCEEDED",
    "UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY",
    "UNABLE_TO_DECRYPT_CERT_SIGNATURE",
    "UNABLE_TO_GET_CRL",
  ]),
  ...reasons("timeout", ["ERR_TLS_HANDSHAKE_TIMEOUT", "ERR_SOCKET_CONNECTION_TIMEOUT", "ETIMEDOUT"]),
  ...reasons("eof_or_reset", [
    "ECONNABORTED",
    "ECONNRESET",
    "EOF",
    "EPIPE",
    "ERR_SSL_UNEXPECTED_EOF_WHILE_READING",
    "ERR_STREAM_PREMATURE_CLOSE",
  ]),
  ...reasons("handshake", [
    "EPROTO",
    "ERR_TLS_DH_PARAM_SIZE",
    "ERR_TLS_INVALID_PROTOCOL_VERSION",
    "ERR_TLS_PROTOCOL_VERSION_CONFLICT",
    "ERR_TLS_REQUIRED_SERVER_NAME",
    // Ours: tls.upstream_sni_mode is required.
    "SNI_REQUIRED",
    "ERR_TLS_SNI_FROM_SERVER",
  ]),
]);

function reasons(reason: TlsFailureReason, codes: readonly string[]): [string, TlsFailureReason][] {
  return codes.map((code) => [code, reason]);
}

/** Anything else that the TLS engine itself reports is about the handshake: versions, suites, malformed messages. */
const OPENSSL_CODE = /^ERR_SSL_[A-Z0-9_]+$/;
const ALERT_CODE = /^ERR_SSL_(?:SSLV3|TLSV1|TLSV13)_ALERT_([A-Z0-9_]+)$/;
/** rustls quotes the alert by its name in RFC 8446 §6, in camel case. */
const ALERT_TEXT = /^received fatal alert: ([A-Za-z]+)/;

/** The alert that the peer sent, in lower case without separators (`unknownca`), if it was one. */
function alertIn(code: string, detail: string): string | null {
  const quoted = ALERT_TEXT.exec(detail)?.[1];
  if (quoted !== undefined) return quoted.toLowerCase();
  const named = ALERT_CODE.exec(code)?.[1];
  // The catch-all is also used for what we found fault with ourselves.
  if (named === undefined || named === "HANDSHAKE_FAILURE") return null;
  return named.toLowerCase().replaceAll("_", "");
}

/**
 * An alert about a certificate speaks of the one that its receiver sent. From the client that is our leaf; from the
 * server it is our client certificate or the want of one, which says nothing of the server's: it is the handshake.
 */
export function reasonOfAlert(name: string, side: Side): TlsFailureReason {
  if (name === "closenotify" || name === "usercanceled" || name === "usercancelled") return "eof_or_reset";
  if (side === "server") return "handshake";
  if (name === "unknownca") return "unknown_ca";
  return CERTIFICATE_ALERTS.has(name) ? "cert_validation" : "handshake";
}

const CERTIFICATE_ALERTS: ReadonlySet<string> = new Set([
  "badcertificate",
  "badcertificatehashvalue",
  "badcertificatestatusresponse",
  "certificateexpired",
  "certificaterevoked",
  "certificateunknown",
  "unsupportedcertificate",
]);

/**
 * Whole phrases only, each of several words: texts contain host names, and a host may well be called
 * `geoffrey.example`, `concert.example` or `timeout`; but no host name contains a space.
 */
const PHRASES: readonly (readonly [TlsFailureReason, RegExp])[] = [
  ["unknown_ca", /\binvalid peer certificate: UnknownIssuer\b/],
  ["unknown_ca", /\bself[- ]signed certificate(?= in certificate chain|[.;,]|$)/i],
  ["unknown_ca", /\bunable to (?:get (?:local )?issuer certificate|verify the first certificate)\b/i],
  ["cert_validation", /\binvalid peer certificate: /],
  ["cert_validation", /\bcertificate (?:has expired|is not yet valid|verify failed)\b/i],
  ["cert_validation", /\bdoes not match certificate's altnames\b/],
  ["timeout", /\b(?:handshake|connection|operation) (?:has )?timed out\b/i],
  ["eof_or_reset", /\b(?:tls handshake|unexpected) eof\b/i],
  ["eof_or_reset", /\bunexpected end of file\b/i],
  ["eof_or_reset", /\bconnection (?:was )?reset by peer\b/i],
  ["eof_or_reset", /\bpeer closed (?:connection|during)\b/i],
  ["eof_or_reset", /\bsocket disconnected before secure TLS connection was established\b/],
  ["handshake", /\bpeer (?:is incompatible|misbehaved): /],
  ["handshake", /\breceived (?:corrupt|unexpected) (?:handshake )?message\b/],
];

function reasonOfText(detail: string): TlsFailureReason {
  for (const [reason, phrase] of PHRASES) {
    if (phrase.test(detail)) return reason;
  }
  return "other";
}

function authoritative(normalizedReason: TlsFailureReason): TlsFailure {
  return { normalizedReason, sourceConfidence: "authoritative" };
}

function inferred(normalizedReason: TlsFailureReason): TlsFailure {
  return { normalizedReason, sourceConfidence: "inferred" };
}
