/**
 * The contract between a session and whatever drives it: the real driver, the simulator, a playbook.
 *
 * A session is synchronous and total. It learns of the world only by these methods and changes it
 * only through `Effects`; it has no clock, no randomness and no promise. The driver never calls a
 * session from inside an effect: what an effect causes comes as a later input.
 */
import type { Authority } from "./authority.ts";
import type { FlowEvent } from "./event.ts";
import type { Instant } from "./instant.ts";
import type { HostOverride, TlsProfile } from "./settings.ts";
import type { Side } from "./side.ts";

export const TIMERS = [
  "client_head",
  "server_head",
  "connect",
  "tls_handshake",
  "idle",
  "exchange_idle",
  "tunnel_idle",
  "ws_turn_idle",
  "drain",
] as const;
export type Timer = typeof TIMERS[number];

/** Something the transport did to us, named by whoever sits on the socket. */
export interface TransportFault {
  readonly kind:
    | "reset"
    | "timeout"
    | "refused"
    | "unresolved"
    | "unreachable"
    | "self_target"
    | "exhausted"
    | "tls"
    | "other";
  /** The platform's own code, e.g. `ECONNRESET`. */
  readonly code: string;
  readonly detail: string;
  /** What the platform said, where `code` and `detail` are what was found out after it. */
  readonly raw?: string;
  /** Found by the proxy itself: no platform said anything. */
  readonly own?: true;
}

/** What a finished handshake agreed on. */
export interface Secured {
  readonly alpn: string | null;
  /** As TLS names it: `TLSv1.2`, `TLSv1.3`. */
  readonly version: string;
  readonly cipher: string;
  /** An earlier session was resumed. */
  readonly resumed?: boolean;
  /** Client side only: whether the leaf came from the cache. */
  readonly certCache?: "hit" | "miss";
  /** Server side, where the certificate need not verify: what is wrong with it, or null. */
  readonly unverified?: string | null;
}

export interface SecureServer {
  /** The name to ask for and to verify: SNI of the client, else the CONNECT host; may be an IP address. */
  readonly host: string;
  readonly port: number;
  readonly alpn: readonly string[];
  readonly profile: TlsProfile;
  /** False only where the user has said so for this host. */
  readonly verify: boolean;
  /** The override in force, which may have a certificate of its own to show. */
  readonly overrideId: string | null;
}

export interface SecureClient {
  /** Bytes that were read from the client before the handshake: its ClientHello, whole or in part. */
  readonly preread: Uint8Array;
  /** The name the leaf is for. */
  readonly host: string;
  readonly alpn: readonly string[];
  readonly profile: TlsProfile;
}

export type Action = "intercept" | "tunnel" | "block";

export const DECISION_REASONS = [
  "default",
  "rule",
  "ignore_host",
  "block_host",
  "override",
  "http3",
  "learned_bypass",
] as const;
export type DecisionReason = typeof DECISION_REASONS[number];

export interface Question {
  readonly flowId: string;
  readonly clientAddr: string;
  readonly authority: Authority;
  /**
   * `CONNECT`, `CONNECT-UDP`, the method of a request (a plain one, or one on an intercepted connection), or `REVERSE` for what
   * a reverse listener accepted.
   */
  readonly method: string;
  /** The path and query of a request; null for a CONNECT, which has none. */
  readonly path: string | null;
  /**
   * The name in the ClientHello where it differs from the CONNECT host: in the second question about that
   * CONNECT, and in those about the requests of its flow.
   */
  readonly sni: string | null;
  /** What the ClientHello of the flow said; absent before there is one, and where there is none. */
  readonly hello?: HelloFacts;
}

/** What policy may go by in a ClientHello. */
export interface HelloFacts {
  readonly sni: string | null;
  /** Protocol names, in the client's order. */
  readonly alpn: readonly string[];
  readonly ja4: string;
  /** What the CONNECT named, whatever the name in the hello. */
  readonly connectHost: string;
}

export interface Decision {
  readonly action: Action;
  readonly reason: DecisionReason;
  readonly ruleId: string | null;
  /** Made by a rule about ClientHellos, and so in full knowledge of this one: it holds whatever was decided before. */
  readonly onHello?: true;
  /** Some of the requests of this connection are blocked, so that only policy itself may let it through unseen. */
  readonly blocksRequests?: true;
  /** What holds for an intercepted connection in place of the settings. */
  readonly override?: HostOverride;
  /** With the reason `http3`: what would have been decided, which holds where HTTP/3 is not passed through. */
  readonly prior?: Decision;
  /** With `prior`: who designated the flow, where it is no override. */
  readonly http3By?: "rule";
}

/** A client as far as TLS tells it, and the one host that something is learned about. */
export interface LearningKey {
  /** Lower-case, exact: nothing that is learned holds for another host, a parent or a child. */
  readonly host: string;
  /** JA4 of what stays the same between a client's connections; see `lastingJa4`. */
  readonly fingerprint: string;
}

/** Why a client's failure is no evidence, whatever it says. */
export type LearningBar = "names_differ" | "not_tunnelable" | "refused_flow" | "requests_blocked";

/** A client's failed handshake. */
export interface ClientTlsFailure extends LearningKey {
  readonly normalizedReason: string;
  readonly sourceConfidence: "authoritative" | "inferred";
  /** What the TLS stack said. */
  readonly error: string;
  readonly bar: LearningBar | null;
}

export const LEARNING_OUTCOMES = [
  "counted",
  "suggested",
  "learned",
  "bypassed",
  "expired",
  "ignored",
] as const;
export const LEARNING_REASONS = [
  "below_threshold",
  "threshold",
  "bypass",
  "ttl",
  "inferred",
  "not_unknown_ca",
  "already_learned",
  "already_suggested",
  "names_differ",
  "not_tunnelable",
  "refused_flow",
  "requests_blocked",
] as const;

/** What became of a failure, or what is known of a client that comes back; see `policy/learning.ts`. */
export interface LearningNote {
  readonly outcome: typeof LEARNING_OUTCOMES[number];
  readonly reason: typeof LEARNING_REASONS[number];
  /** Failures that count so far, of those that are needed. */
  readonly failures: number;
  readonly failuresNeeded: number;
  /** How long a bypass or a suggestion still holds. */
  readonly expiresInMs?: number;
}

export interface Effects {
  /** Dials the server; answered by `opened` or `openFailed`. Replaces a server side that is closed. */
  open(target: Authority): void;
  /**
   * As `open`, for UDP: each `send` to the server is one datagram from then on, and each `received` from it is one.
   */
  openDatagrams(target: Authority): void;
  /** Gives up the server side (end after what was sent is out), so that another can be opened. */
  closeServer(): void;
  secureServer(options: SecureServer): void;
  secureClient(options: SecureClient): void;
  /** Queues bytes. The driver stops reading the other side while they are pending. */
  send(side: Side, data: Uint8Array): void;
  /** Whether there is room for more to this side, within the budgets: for datagrams, which need not arrive. */
  admits(side: Side): boolean;
  /** Half-closes after everything sent before is out. */
  end(side: Side): void;
  /** Aborts the connection at once: the peer sees a reset. */
  reset(side: Side): void;
  /** The session's own wish, beside the driver's backpressure. Both sides start resumed. */
  pause(side: Side): void;
  resume(side: Side): void;
  /** Gives the decision where it is there at once; null: it comes as `decided`. */
  decide(id: number, question: Question): Decision | null;
  /** (Re)arms the flow's one timer of that name. */
  arm(timer: Timer, at: Instant): void;
  disarm(timer: Timer): void;
  record(event: FlowEvent): void;
  /** The flow is over: nothing more is called on this session. Pending bytes still go out, within a linger time. */
  close(): void;
  /** Counts one failed handshake of this host; gives how many there were in the rolling window, with this one. */
  countTlsFailure(host: string, reason: string): { readonly reason: number; readonly total: number };
  /** Tells of a client's failed handshake; gives what became of it, null where nothing is learned. */
  learn(failure: ClientTlsFailure): LearningNote | null;
  /** Whether this client is to be let through to this host, for what was learned; null: nothing was. */
  learned(client: LearningKey): LearningNote | null;
}

export interface Session {
  /** Bytes the session itself holds back (an unfinished head, a request that waits), for the budgets. */
  readonly heldBytes: number;
  /** Those of them that are the beginning of a head or of a datagram: bounded, and let go of only when the rest of it is read. */
  readonly unfinishedBytes: number;
  begin(now: Instant): void;
  /** `data` is valid during the call only, for the next read may reuse its memory: copy what is kept. */
  received(side: Side, data: Uint8Array, now: Instant): void;
  /**
   * The peer half-closed. `truncated`: the transport ended without the end that TLS would have given
   * (RFC 8446 §6.1), so a message that only the end delimits cannot be taken for whole.
   */
  ended(side: Side, now: Instant, truncated?: boolean): void;
  failed(side: Side, fault: TransportFault, now: Instant): void;
  opened(now: Instant): void;
  openFailed(fault: TransportFault, now: Instant): void;
  secured(side: Side, info: Secured, now: Instant): void;
  secureFailed(side: Side, fault: TransportFault, now: Instant): void;
  decided(id: number, decision: Decision, now: Instant): void;
  expired(timer: Timer, now: Instant): void;
  /** Finish what is under way; the driver sends `abort` when `timeouts.drain` is over. */
  drain(now: Instant): void;
  /** End at once, as `shutdown`. */
  abort(now: Instant): void;
  /** A bug of ours was caught while handling an input; end as `internal_error`. */
  crashed(detail: string, now: Instant): void;
}
