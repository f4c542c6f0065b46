/** The answers a session gives on its own behalf, and which fault gets which (README, "Answers on the wire"). */
import { type Authority, formatAuthority } from "../core/authority.ts";
import { unreachable } from "../core/assert.ts";
import type { CloseReason } from "../core/close_reason.ts";
import type { TransportFault } from "../core/session.ts";
import type { Answer } from "../http/answer.ts";
import { type Http1Error, isLimit } from "../http1/errors.ts";
import { formatOrigin, type Origin } from "./origin.ts";

export const BLOCKED_CODE = "blocked";

export function blockedAnswer(authority: Authority, ruleId: string | null): Answer {
  const by = ruleId === null ? "policy" : `rule ${ruleId}`;
  return {
    status: 403,
    code: BLOCKED_CODE,
    detail: `${formatAuthority(authority)} is blocked by ${by}`,
    proxyError: "http_request_denied",
  };
}

export function tooManyFlowsAnswer(maxFlows: number): Answer {
  return {
    status: 503,
    code: "too_many_flows",
    detail: `The proxy already serves ${maxFlows} flows (limits.max_flows)`,
    proxyError: "connection_limit_reached",
  };
}

export function badRequestAnswer(code: string, detail: string): Answer {
  return { status: 400, code, detail, proxyError: "http_request_error" };
}

/** A reverse listener's client that is neither in TLS nor in HTTP, where the origin is in TLS. */
export function notHttpAnswer(origin: Origin): Answer {
  return badRequestAnswer(
    "not_http",
    `This listener relays HTTP to ${formatOrigin(origin)}; what came is not HTTP`,
  );
}

/** For a head that could not be read: 431 where it is over a limit, else 400. */
export function badHeadAnswer(error: Http1Error): Answer {
  const answer = badRequestAnswer(error.code, error.detail);
  return isLimit(error) ? { ...answer, status: 431 } : answer;
}

/** A dial that failed: what the client is told, and how the flow ends. */
export function dialFailure(
  fault: TransportFault,
  authority: Authority,
): { answer: Answer; reason: CloseReason } {
  const target = formatAuthority(authority);
  const reason: CloseReason = "upstream_connect_failed";
  switch (fault.kind) {
    case "self_target":
      return {
        answer: {
          status: 508,
          code: "self_target",
          detail: `${target} is this proxy itself`,
          proxyError: "proxy_loop_detected",
        },
        reason: "route_failed",
      };
    case "timeout":
      return {
        answer: {
          status: 504,
          code: "connect_timeout",
          detail: `Cannot connect to ${target}: ${fault.detail}`,
          proxyError: "connection_timeout",
        },
        reason,
      };
    case "unresolved":
      return badGateway("name_not_resolved", "dns_error");
    case "refused":
    case "reset":
      return badGateway("connection_refused", "connection_refused");
    case "unreachable":
      return badGateway("unreachable", "destination_ip_unroutable");
    case "exhausted":
      return badGateway("descriptors_exhausted", "proxy_internal_error");
    case "tls":
    case "other":
      return badGateway("connect_failed", "destination_unavailable");
    default:
      return unreachable(fault.kind);
  }

  function badGateway(code: string, proxyError: string): { answer: Answer; reason: CloseReason } {
    const detail = `Cannot connect to ${target}: ${fault.detail}`;
    return { answer: { status: 502, code, detail, proxyError }, reason };
  }
}

export function serverTlsFailure(authority: Authority, normalizedReason: string, detail: string): Answer {
  return {
    status: 502,
    code: `server_tls_${normalizedReason}`,
    detail: `TLS with ${formatAuthority(authority)} failed: ${detail}`,
    proxyError: normalizedReason === "unknown_ca" || normalizedReason === "cert_validation"
      ? "tls_certificate_error"
      : "tls_protocol_error",
  };
}
