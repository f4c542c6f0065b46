/**
 * mitmproxy's TLS callbacks as JSON Lines (`fixtures/mitmproxy/tls_events.py` writes them), and why a handshake
 * failed in the words of the event log.
 *
 * A callback is the TLS stack's own word, so that all of it is authoritative; what is not among the texts that
 * mitmproxy 11 is known to give is `other`. Texts are taken whole or by their beginning, for they hold host names.
 */
import type { Side } from "../core/side.ts";
import { reasonOfAlert, type TlsFailure, type TlsFailureReason } from "./failure.ts";

export const TLS_CALLBACKS = [
  "tls_start_client",
  "tls_established_client",
  "tls_failed_client",
  "tls_start_server",
  "tls_established_server",
  "tls_failed_server",
] as const;
export type TlsCallbackName = typeof TLS_CALLBACKS[number];

/** What is taken of a callback. */
export interface TlsCallback {
  readonly name: TlsCallbackName;
  readonly stage: "start" | "established" | "failed";
  readonly side: Side;
  /** Unix time in seconds; null where the line does not say. */
  readonly time: number | null;
  /** What the callbacks of one client connection have in common. */
  readonly flow: string;
  /** `127.0.0.1:52694`. */
  readonly clientAddr: string;
  readonly server: { readonly host: string; readonly port: number } | null;
  readonly sni: string | null;
  readonly alpn: string | null;
  readonly alpnOffers: readonly string[];
  readonly cipher: string | null;
  readonly version: string | null;
  readonly error: string | null;
}

export type TlsCallbackLine =
  | { readonly type: "callback"; readonly callback: TlsCallback }
  | { readonly type: "error"; readonly detail: string };

/** Longer texts than any name or error are cut, so that no line makes another large. */
const TEXT_MAX = 2_000;
const LIST_MAX = 100;

/** Total: what is no callback is an error that says why. */
export function readTlsCallback(line: string): TlsCallbackLine {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return fault("it is no JSON");
  }
  if (!isTable(value)) return fault("it is no object");
  const event = value["event"];
  const name = TLS_CALLBACKS.find((known) => known === event);
  if (name === undefined) return fault(`event is none of ${TLS_CALLBACKS.join(", ")}`);
  const conn = value["conn"];
  if (!isTable(conn)) return fault("conn is no object");
  const context = isTable(value["context"]) ? value["context"] : {};
  const side: Side = name.endsWith("_client") ? "client" : "server";
  const client = side === "client" ? conn : tableIn(context, "client");
  const server = side === "server" ? conn : tableIn(context, "server");
  const clientAddr = addressText(client["peername"]);
  const flow = textIn(client, "id") ?? (clientAddr === "unknown" ? null : clientAddr) ?? textIn(conn, "id");
  if (flow === null) return fault("it has neither the id nor the peername of its client");
  const error = textIn(conn, "error");
  const stage = name.startsWith("tls_start")
    ? "start"
    : name.startsWith("tls_failed")
    ? "failed"
    : "established";
  if (stage === "failed" && error === null) return fault("conn.error is no text, though it failed");
  const time = value["time"];
  return {
    type: "callback",
    callback: {
      name,
      stage,
      side,
      time: typeof time === "number" && Number.isFinite(time) && time >= 0 ? time : null,
      flow,
      clientAddr,
      server: addressIn(server, "address") ?? addressIn(server, "peername"),
      sni: textIn(conn, "sni") || null,
      // A protocol that was not agreed on is an empty one there.
      alpn: textIn(conn, "alpn") || null,
      alpnOffers: textsIn(conn, "alpn_offers"),
      cipher: textIn(conn, "cipher"),
      version: textIn(conn, "tls_version"),
      error,
    },
  };
}

/** Why a handshake failed of which mitmproxy says this in `conn.error`. */
export function normalizeMitmproxyError(error: string, side: Side): TlsFailure {
  return { normalizedReason: reasonOf(error, side), sourceConfidence: "authoritative" };
}

/** What mitmproxy puts around what OpenSSL says of a client. */
const CLIENT_WRAPPING = /^The client (?:does|may) not trust the proxy's certificate for \S+ \((.*)\)$/s;
const VERIFY_FAILED = /^Certificate verify failed: (.*)$/s;
/** As OpenSSL 1.1, 3.0 and 3.2 begin the text of an alert that came from the peer. */
const ALERT = /^(?:sslv3|tlsv1|tlsv13|ssl\/tls) (?:alert )?([a-z0-9 ]+)$/;
/** The last entry of OpenSSL's queue, as Python shows it: `('SSL routines', '', 'reason')`. */
const LAST_OF_QUEUE = /\('SSL routines', '[^']*', '([^']*)'\)\]\)$/;

const BEGINNINGS: readonly (readonly [string, TlsFailureReason])[] = [
  ["The client disconnected during the handshake.", "eof_or_reset"],
  ["connection closed", "eof_or_reset"],
  ["Cannot parse ClientHello", "handshake"],
  ["Client and mitmproxy cannot agree on a TLS version", "handshake"],
  ["The remote server and mitmproxy cannot agree on a TLS version", "handshake"],
  ["The remote server does not speak TLS", "handshake"],
  ["OpenSSL SysCallError", "eof_or_reset"],
  ["OpenSSL ZeroReturnError", "eof_or_reset"],
];

function reasonOf(whole: string, side: Side): TlsFailureReason {
  const error = CLIENT_WRAPPING.exec(whole)?.[1] ?? whole;
  for (const [beginning, reason] of BEGINNINGS) if (error.startsWith(beginning)) return reason;
  const verified = VERIFY_FAILED.exec(error)?.[1];
  if (verified !== undefined) return UNKNOWN_ISSUERS.has(verified) ? "unknown_ca" : "cert_validation";
  const queued = error.startsWith("OpenSSL Error(") ? LAST_OF_QUEUE.exec(error)?.[1] : undefined;
  const said = queued ?? error;
  const alerted = ALERT.exec(said)?.[1];
  if (alerted !== undefined) return reasonOfAlert(alerted.replaceAll(" ", ""), side);
  if (queued === undefined) return error.startsWith("OpenSSL Error(") ? "handshake" : "other";
  if (queued === "unexpected eof while reading") return "eof_or_reset";
  return queued === "certificate verify failed" ? "cert_validation" : "handshake";
}

/** `X509_verify_cert_error_string`, where no root vouches for the chain; the rest is wrong with the certificate. */
const UNKNOWN_ISSUERS: ReadonlySet<string> = new Set([
  "self signed certificate",
  "self-signed certificate",
  "self signed certificate in certificate chain",
  "self-signed certificate in certificate chain",
  "unable to get issuer certificate",
  "unable to get local issuer certificate",
  "unable to verify the first certificate",
  "certificate not trusted",
]);

type Table = Readonly<Record<string, unknown>>;

function isTable(value: unknown): value is Table {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function tableIn(table: Table, key: string): Table {
  const value = table[key];
  return isTable(value) ? value : {};
}

function textIn(table: Table, key: string): string | null {
  const value = table[key];
  return typeof value === "string" ? value.slice(0, TEXT_MAX) : null;
}

function textsIn(table: Table, key: string): string[] {
  const value = table[key];
  if (!Array.isArray(value)) return [];
  return value.slice(0, LIST_MAX).filter((item) => typeof item === "string").map((item) =>
    item.slice(0, TEXT_MAX)
  );
}

function addressIn(table: Table, key: string): { host: string; port: number } | null {
  const value = table[key];
  if (!Array.isArray(value)) return null;
  const [host, port] = value as readonly unknown[];
  if (typeof host !== "string" || host === "" || typeof port !== "number") return null;
  if (!Number.isInteger(port) || port < 0 || port > 65_535) return null;
  return { host: host.slice(0, TEXT_MAX).toLowerCase(), port };
}

function addressText(peername: unknown): string {
  const address = addressIn({ peername }, "peername");
  if (address === null) return "unknown";
  const { host, port } = address;
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function fault(detail: string): TlsCallbackLine {
  return { type: "error", detail };
}
