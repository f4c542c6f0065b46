/** Names what the platform reports: node error codes to `TransportFault`. */
import type { TransportFault } from "../core/session.ts";

const KINDS: Readonly<Record<string, TransportFault["kind"]>> = {
  ECONNRESET: "reset",
  EPIPE: "reset",
  ECONNABORTED: "reset",
  ECONNREFUSED: "refused",
  ENOENT: "refused",
  ETIMEDOUT: "timeout",
  ENOTFOUND: "unresolved",
  EAI_AGAIN: "unresolved",
  EAI_FAIL: "unresolved",
  EAI_NODATA: "unresolved",
  EAI_NONAME: "unresolved",
  ENODATA: "unresolved",
  EHOSTUNREACH: "unreachable",
  ENETUNREACH: "unreachable",
  EADDRNOTAVAIL: "unreachable",
  EINVAL: "unreachable",
  EMFILE: "exhausted",
  ENFILE: "exhausted",
};

export function transportFault(error: unknown): TransportFault {
  if (!(error instanceof Error)) return { kind: "other", code: "UNKNOWN", detail: String(error) };
  // Happy eyeballs reports all attempts at once; the first one speaks for them.
  if (error instanceof AggregateError && error.errors.length > 0) return transportFault(error.errors[0]);
  const code = "code" in error && typeof error.code === "string" ? error.code : error.name;
  return { kind: KINDS[code] ?? "other", code, detail: error.message || code };
}

export function tlsFault(error: unknown): TransportFault {
  const fault = transportFault(error);
  return fault.kind === "other" ? { ...fault, kind: "tls" } : fault;
}
