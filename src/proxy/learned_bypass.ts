/**
 * What is learned of clients that refuse the CA, from the side of one flow: its failure is told, and a client that
 * comes back is let through where that was learned. Both only where nothing speaks against it.
 */
import type { ClientTlsFailure, LearningBar, LearningKey } from "../core/session.ts";
import type { TlsFailure } from "../tls/failure.ts";
import { connectDecisionEvent, learningAuditEvent } from "./events.ts";
import type { Flow } from "./flow.ts";
import type { FlowPolicy } from "./flow_policy.ts";
import type { Handshakes } from "./handshakes.ts";

export class LearnedBypass {
  constructor(
    private readonly flow: Flow,
    private readonly policy: FlowPolicy,
  ) {}

  /** A client that is known to refuse the CA for this very host is let through; gives why, null where it is not. */
  reasonFor(handshakes: Handshakes): string | null {
    if (this.#bar() !== null) return null;
    const client = learningKey(handshakes);
    const note = this.flow.effects.learned(client);
    if (note === null) return null;
    this.flow.record(learningAuditEvent(client, note));
    if (note.outcome !== "bypassed") return null;
    const decision = { action: "tunnel", reason: "learned_bypass", ruleId: null } as const;
    this.flow.record(connectDecisionEvent(decision, { sni: this.policy.sni }));
    return `its client refuses the CA for ${client.host} (learned bypass)`;
  }

  /** The client's handshake has failed. `error`: what the TLS stack said. */
  learn(handshakes: Handshakes, { normalizedReason, sourceConfidence }: TlsFailure, error: string): void {
    const client = learningKey(handshakes);
    const bar = this.#bar();
    const failure: ClientTlsFailure = { ...client, normalizedReason, sourceConfidence, error, bar };
    const note = this.flow.effects.learn(failure);
    if (note !== null) this.flow.record(learningAuditEvent(client, note, failure));
  }

  /** Why nothing is to be learned of this flow, nor what was learned holds for it. */
  #bar(): LearningBar | null {
    if (this.flow.refusal !== null) return "refused_flow";
    if (this.flow.config.reverse?.tls === false) return "not_tunnelable";
    if (this.policy.blocksRequests) return "requests_blocked";
    return this.policy.namesDiffer ? "names_differ" : null;
  }
}

function learningKey({ leafName, fingerprint }: Handshakes): LearningKey {
  return { host: leafName, fingerprint };
}
