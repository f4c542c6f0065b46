/** The events of a flow outside its exchanges; attributes are built in sorted order. */
import type { CloseReason } from "../core/close_reason.ts";
import type { Attributes, FlowEvent } from "../core/event.ts";
import type { ClientTlsFailure, Decision, LearningKey, LearningNote, Secured } from "../core/session.ts";
import type { Side } from "../core/side.ts";
import type { DatagramCounts } from "./datagram_relay.ts";
import type { Http3Passthrough } from "./http3.ts";
import type { ClientHello } from "../tls/client_hello.ts";
import { FAILURE_WINDOW_MS } from "../tls/failure.ts";
import { groupName, hexCode } from "../tls/named_groups.ts";

export function connectReceivedEvent(authority: string, method: string): FlowEvent {
  return {
    kind: "connect_received",
    protocol: "connect",
    streamKey: "flow",
    attributes: { authority, method },
  };
}

export function connectParseFailedEvent(code: string, detail: string): FlowEvent {
  return {
    kind: "connect_parse_failed",
    protocol: "connect",
    streamKey: "flow",
    attributes: { code, detail },
  };
}

export interface DecisionFacts {
  /** Where the decision was made anew for the name in the ClientHello. */
  readonly sni?: string | null;
  /** Where a rule about ClientHellos made the decision: the fingerprint it was made for. */
  readonly ja4?: string | null;
  /** The override that is in force from here on. */
  readonly overrideId?: string | undefined;
}

export function connectDecisionEvent(
  decision: Decision,
  { sni = null, ja4 = null, overrideId }: DecisionFacts = {},
): FlowEvent {
  return {
    kind: "connect_decision",
    protocol: "connect",
    streamKey: "flow",
    attributes: {
      action: decision.action,
      ...(ja4 === null ? {} : { ja4 }),
      ...(overrideId === undefined ? {} : { override_id: overrideId }),
      reason: decision.reason,
      ...(decision.ruleId === null ? {} : { rule_id: decision.ruleId }),
      ...(sni === null ? {} : { sni }),
    },
  };
}

/** That a flow is HTTP/3, after the decision that this made of the prior one. */
export function http3PassthroughEvent({ hint, priorAction }: Http3Passthrough): FlowEvent {
  return {
    kind: "http3_passthrough",
    protocol: "http3",
    streamKey: "flow",
    attributes: { hint, prior_action: priorAction },
  };
}

/** A decision about one request of an intercepted connection, before the request's own events. */
export function requestDecisionEvent(
  decision: Decision,
  request: { readonly protocol: "http1" | "http2"; readonly stream: number; readonly authority: string },
): FlowEvent {
  return {
    kind: "connect_decision",
    protocol: request.protocol,
    streamKey: `${request.protocol === "http1" ? "h1" : "h2"}:${request.stream}`,
    attributes: {
      action: decision.action,
      authority: request.authority,
      reason: decision.reason,
      ...(decision.ruleId === null ? {} : { rule_id: decision.ruleId }),
    },
  };
}

export interface HelloFacts {
  readonly ja3: string;
  readonly ja4: string;
  /** Why the offers cannot be served, where they cannot. */
  readonly tunnelledBecause: string | null;
  /** What the CONNECT named, where the hello names something else. */
  readonly connectHost: string | null;
}

export function clientHelloEvent(hello: ClientHello, facts: HelloFacts): FlowEvent {
  const { ja3, ja4, tunnelledBecause, connectHost } = facts;
  return {
    kind: "tls_client_hello",
    protocol: "tls",
    streamKey: "flow",
    attributes: {
      alpn: hello.alpn,
      cipher_suites: hello.cipherSuites.map(hexCode),
      ...(connectHost === null ? {} : { connect_host: connectHost }),
      ech_offered: hello.echOffered,
      groups: hello.groups.map(groupName),
      ja3,
      ja4,
      key_shares: hello.keyShareGroups.map(groupName),
      pq_offered: hello.pqOffered,
      ...(hello.sni === null ? {} : { sni: hello.sni }),
      ...(tunnelledBecause === null ? {} : { tunnelled_because: tunnelledBecause }),
      versions: hello.versions,
    },
  };
}

export function handshakeStartedEvent(side: Side, alpn: readonly string[]): FlowEvent {
  return {
    kind: "tls_handshake_started",
    protocol: "tls",
    streamKey: "flow",
    attributes: { alpn_offered: alpn, side },
  };
}

export function handshakeSucceededEvent(side: Side, info: Secured): FlowEvent {
  return {
    kind: "tls_handshake_succeeded",
    protocol: "tls",
    streamKey: "flow",
    attributes: {
      alpn: info.alpn,
      ...(info.certCache === undefined ? {} : { cert_cache: info.certCache }),
      cipher: info.cipher,
      ...(info.resumed === undefined ? {} : { resumed: info.resumed }),
      side,
      ...(info.unverified === undefined ? {} : { verified: info.unverified === null }),
      ...(typeof info.unverified === "string" ? { verify_error: info.unverified } : {}),
      version: info.version,
    },
  };
}

export interface HandshakeFailure {
  readonly side: Side;
  readonly normalizedReason: string;
  readonly rawProviderError: string;
  /** Who said so. */
  readonly provider: "deno-rustls" | "soth-mitm" | "mitmproxy";
  /** What was found out beyond that. */
  readonly detail?: string | undefined;
  readonly sourceConfidence: string;
  readonly host: string;
  readonly hostFailures: { readonly reason: number; readonly total: number };
}

export function handshakeFailedEvent(failure: HandshakeFailure): FlowEvent {
  return {
    kind: "tls_handshake_failed",
    protocol: "tls",
    streamKey: "flow",
    attributes: {
      ...(failure.detail === undefined ? {} : { detail: failure.detail }),
      host: failure.host,
      host_failures: failure.hostFailures.total,
      host_failures_of_reason: failure.hostFailures.reason,
      host_failures_window_ms: FAILURE_WINDOW_MS,
      normalized_reason: failure.normalizedReason,
      provider_identity: failure.provider,
      raw_provider_error: failure.rawProviderError,
      side: failure.side,
      source_confidence: failure.sourceConfidence,
    },
  };
}

/** `failure`: the signal this is about, where it is one; else a client came back. */
export function learningAuditEvent(
  client: LearningKey,
  note: LearningNote,
  failure?: ClientTlsFailure,
): FlowEvent {
  return {
    kind: "tls_learning_audit",
    protocol: "tls",
    streamKey: "flow",
    attributes: {
      ...(note.expiresInMs === undefined ? {} : { expires_in_ms: note.expiresInMs }),
      failures: note.failures,
      failures_needed: note.failuresNeeded,
      fingerprint: client.fingerprint,
      host: client.host,
      ...(failure === undefined ? {} : { normalized_reason: failure.normalizedReason }),
      outcome: note.outcome,
      reason: note.reason,
      ...(failure === undefined ? {} : { source_confidence: failure.sourceConfidence }),
      // What goes into policy, where a person finds it good.
      ...(note.outcome === "suggested" ? { suggestion: `policy.ignore_hosts = ["${client.host}"]` } : {}),
    },
  };
}

export interface StreamClosed {
  readonly protocol: FlowEvent["protocol"];
  readonly reason: CloseReason;
  readonly detail: string | undefined;
  readonly bytesFromClient: number;
  readonly bytesFromServer: number;
  readonly durationNs: number;
  /** Of a CONNECT-UDP that was granted. */
  readonly datagrams: DatagramCounts | null;
}

export function streamClosedEvent(closed: StreamClosed): FlowEvent {
  return {
    kind: "stream_closed",
    protocol: closed.protocol,
    streamKey: "flow",
    attributes: {
      bytes_from_client: closed.bytesFromClient,
      bytes_from_server: closed.bytesFromServer,
      ...(closed.datagrams === null ? {} : datagramAttributes(closed.datagrams)),
      duration_ns: closed.durationNs,
      reason_code: closed.reason,
      ...(closed.detail === undefined ? {} : { reason_detail: closed.detail }),
    },
  };
}

function datagramAttributes(
  { datagrams, datagramBytes, dropped, skippedCapsules }: DatagramCounts,
): Attributes {
  return {
    capsules_skipped: skippedCapsules,
    datagram_bytes_from_client: datagramBytes.client,
    datagram_bytes_from_server: datagramBytes.server,
    datagrams_dropped_from_client: dropped.client,
    datagrams_dropped_from_server: dropped.server,
    datagrams_from_client: datagrams.client,
    datagrams_from_server: datagrams.server,
  };
}
