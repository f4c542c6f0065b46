/** How the failures of a flow's TLS handshakes go on record: what failed, who says so, how often this host has. */
import type { TransportFault } from "../core/session.ts";
import type { Side } from "../core/side.ts";
import { normalizeTlsFailure } from "../tls/failure.ts";
import { handshakeFailedEvent } from "./events.ts";
import type { Flow } from "./flow.ts";
import type { FlowPolicy } from "./flow_policy.ts";
import type { Handshakes } from "./handshakes.ts";
import type { LearnedBypass } from "./learned_bypass.ts";

export class HandshakeFailures {
  constructor(
    private readonly flow: Flow,
    private readonly policy: FlowPolicy,
    private readonly learnedBypass: LearnedBypass,
  ) {}

  /** `handshakes`: null where they had not begun, or are over. Gives the normalized reason. */
  record(side: Side, fault: TransportFault, handshakes: Handshakes | null): string {
    const target = this.policy.sni ?? this.flow.target.host;
    const { serverName, leafName } = handshakes ?? { serverName: target, leafName: target };
    const host = side === "server" ? serverName : leafName;
    const failure = normalizeTlsFailure(fault, side);
    const { normalizedReason } = failure;
    // What is found out on another connection may not be what was shown on this one.
    const sourceConfidence = fault.raw === undefined ? failure.sourceConfidence : "inferred";
    const rawProviderError = fault.raw ?? `${fault.code}: ${fault.detail}`;
    this.flow.record(
      handshakeFailedEvent({
        side,
        normalizedReason,
        rawProviderError,
        provider: fault.own === true ? "soth-mitm" : "deno-rustls",
        detail: fault.raw === undefined ? undefined : fault.detail,
        sourceConfidence,
        host,
        hostFailures: this.flow.effects.countTlsFailure(host, normalizedReason),
      }),
    );
    // A client is known by its hello, and one that was cut short is nobody's.
    if (side === "client" && handshakes !== null) {
      this.learnedBypass.learn(handshakes, { normalizedReason, sourceConfidence }, rawProviderError);
    }
    return normalizedReason;
  }

  /** A client began with a hello, but not with a sound one. */
  recordMalformedHello(detail: string): void {
    const { host } = this.flow.target;
    this.flow.record(
      handshakeFailedEvent({
        side: "client",
        normalizedReason: "handshake",
        rawProviderError: `malformed ClientHello: ${detail}`,
        provider: "soth-mitm",
        sourceConfidence: "authoritative",
        host,
        hostFailures: this.flow.effects.countTlsFailure(host, "handshake"),
      }),
    );
  }
}
