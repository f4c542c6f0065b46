/**
 * mitmproxy's TLS callbacks as the events of a log: a flow for each client connection, with its handshakes and
 * why they failed, in the words and the order that our own flows have. The flows' `connect_received` has the
 * method `REPLAY`, for what was asked of mitmproxy is not among the callbacks; nor is when a connection ends, so
 * that flows end with the reading, or where more are open than are kept.
 */
import { formatAuthority } from "../core/authority.ts";
import type { FlowContext, FlowEvent } from "../core/event.ts";
import type { Instant } from "../core/instant.ts";
import { normalizeMitmproxyError, type TlsCallback } from "../tls/mitmproxy.ts";
import {
  connectDecisionEvent,
  connectReceivedEvent,
  handshakeFailedEvent,
  handshakeStartedEvent,
  handshakeSucceededEvent,
  streamClosedEvent,
} from "./events.ts";

/** Connections whose callbacks are put together; of more the one that was heard of longest ago is taken for over. */
export const REPLAYED_FLOWS_MAX = 4_096;

export interface ReplayedEvent {
  readonly context: FlowContext;
  readonly event: FlowEvent;
  /** Since the first callback that said its time. */
  readonly at: Instant;
}

export interface TlsReplayOptions {
  /** Put before the number of each flow. */
  readonly flowIdPrefix: string;
  readonly countTlsFailure: (
    host: string,
    reason: string,
    now: Instant,
  ) => { readonly reason: number; readonly total: number };
}

interface ReplayedFlow {
  readonly context: FlowContext;
  readonly startedAt: Instant;
  lastAt: Instant;
  /** How the last handshake failed; null: none did. */
  failure: string | null;
}

export class TlsReplay {
  readonly #flows = new Map<string, ReplayedFlow>();
  #flowNumber = 0;
  #epochSeconds: number | null = null;
  #now: Instant = 0;

  constructor(private readonly options: TlsReplayOptions) {}

  take(callback: TlsCallback): ReplayedEvent[] {
    this.#now = this.#instantOf(callback.time);
    const events: ReplayedEvent[] = [];
    let flow = this.#flows.get(callback.flow);
    this.#flows.delete(callback.flow);
    if (flow === undefined) {
      const oldest = this.#flows.size < REPLAYED_FLOWS_MAX ? undefined : this.#flows.entries().next().value;
      if (oldest !== undefined) {
        this.#flows.delete(oldest[0]);
        events.push(this.#closed(oldest[1]));
      }
      flow = this.#open(callback, events);
    }
    this.#flows.set(callback.flow, flow);
    flow.lastAt = this.#now;
    events.push({ context: flow.context, event: this.#handshakeEvent(callback, flow), at: this.#now });
    return events;
  }

  /** The ends of the flows that are still there. */
  finish(): ReplayedEvent[] {
    const events = [...this.#flows.values()].map((flow) => this.#closed(flow));
    this.#flows.clear();
    return events;
  }

  #open({ clientAddr, server, sni }: TlsCallback, events: ReplayedEvent[]): ReplayedFlow {
    // A port of 0 is nowhere, and what holds a bracket is no host.
    const known = server !== null && server.port > 0 && !/[[\]]/.test(server.host) ? server : null;
    const context: FlowContext = {
      flowId: `${this.options.flowIdPrefix}${++this.#flowNumber}`,
      clientAddr,
      serverHost: known?.host ?? null,
      serverPort: known?.port ?? 0,
      sequence: 0,
    };
    const authority = known === null ? sni ?? "unknown" : formatAuthority(known);
    for (
      const event of [
        connectReceivedEvent(authority, "REPLAY"),
        connectDecisionEvent({ action: "intercept", reason: "default", ruleId: null }),
      ]
    ) events.push({ context, event, at: this.#now });
    return { context, startedAt: this.#now, lastAt: this.#now, failure: null };
  }

  #handshakeEvent(callback: TlsCallback, flow: ReplayedFlow): FlowEvent {
    const { side, stage, alpn, alpnOffers, cipher, version, error } = callback;
    switch (stage) {
      case "start":
        return handshakeStartedEvent(side, alpnOffers);
      case "established":
        return handshakeSucceededEvent(side, {
          alpn,
          cipher: cipher ?? "unknown",
          version: version ?? "unknown",
        });
      case "failed": {
        const rawProviderError = error ?? "";
        const host = hostOf(callback);
        const { normalizedReason, sourceConfidence } = normalizeMitmproxyError(rawProviderError, side);
        flow.failure = `${side}: ${rawProviderError}`;
        return handshakeFailedEvent({
          side,
          normalizedReason,
          rawProviderError,
          sourceConfidence,
          provider: "mitmproxy",
          host,
          hostFailures: this.options.countTlsFailure(host, normalizedReason, this.#now),
        });
      }
    }
  }

  #closed({ context, startedAt, lastAt, failure }: ReplayedFlow): ReplayedEvent {
    const event = streamClosedEvent({
      protocol: "tls",
      reason: failure === null ? "complete" : "tls_handshake_failed",
      detail: failure ?? undefined,
      datagrams: null,
      bytesFromClient: 0,
      bytesFromServer: 0,
      durationNs: Math.max(0, lastAt - startedAt),
    });
    return { context, event, at: this.#now };
  }

  #instantOf(time: number | null): Instant {
    if (time === null) return this.#now;
    this.#epochSeconds ??= time;
    const at = Math.round((time - this.#epochSeconds) * 1e9);
    // Callbacks of several connections may be written out of order; a log's time only goes on.
    return Number.isSafeInteger(at) ? Math.max(this.#now, at) : this.#now;
  }
}

/** The name that the handshake was for. */
export function hostOf({ sni, server }: TlsCallback): string {
  return sni?.toLowerCase() ?? server?.host ?? "unknown";
}
