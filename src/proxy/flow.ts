/**
 * What the phases of one flow have in common: where it goes, how far it is, when the input at hand came, what its
 * peers have said before it was their turn, what passed, and its end.
 */
import { assert } from "../core/assert.ts";
import { type Authority, formatAuthority } from "../core/authority.ts";
import type { CloseReason } from "../core/close_reason.ts";
import type { FlowContext, FlowEvent, Protocol } from "../core/event.ts";
import { addMilliseconds, type Instant } from "../core/instant.ts";
import type { Effects, Timer } from "../core/session.ts";
import type { Side } from "../core/side.ts";
import type { Answer } from "../http/answer.ts";
import { encodeAnswer } from "../http1/answer.ts";
import type { DatagramCounts } from "./datagram_relay.ts";
import { connectReceivedEvent, streamClosedEvent } from "./events.ts";
import { FlowState, type Phase } from "./flow_state.ts";
import { ReadAhead } from "./read_ahead.ts";
import type { Refusal } from "./refusal.ts";
import type { SessionConfig } from "./session_config.ts";

/** How a flow came to its target. */
export type FlowMethod = "CONNECT" | "CONNECT-UDP" | "REVERSE";

/** Who runs the phases of the flow. */
export interface FlowPhases {
  /** The flow ends, and what observes it says its last. Gives what a CONNECT-UDP has relayed. */
  closing(reason: CloseReason): DatagramCounts | null;
  /** The flow has ended: what phases hold is let go of. */
  closed(): void;
}

export class Flow {
  readonly state = new FlowState();
  /** What is read ahead waits here for its turn. */
  readonly ahead = new ReadAhead();
  /** Which sides have said all they have to say. */
  readonly ended: Record<Side, boolean> = { client: false, server: false };
  /** When the input at hand came. */
  now: Instant = 0;
  lastActivity: Instant = 0;
  protocol: Protocol = "connect";
  serverOpen = false;
  /** Its handshake is over, with a certificate that was accepted. */
  serverSecured = false;
  /** Its client is not to be served, and has still to be told. */
  refusal: Refusal | null = null;
  /** Why it is tunnelled although it was to be intercepted. */
  tunnelNote: string | undefined;
  #target: Authority | null = null;
  #method: FlowMethod = "CONNECT";
  #startedAt: Instant = 0;
  #bytesFromClient = 0;
  #bytesFromServer = 0;

  constructor(
    readonly context: FlowContext,
    readonly effects: Effects,
    readonly config: SessionConfig,
    private readonly phases: FlowPhases,
  ) {}

  begin(now: Instant): void {
    this.now = now;
    this.#startedAt = now;
    this.lastActivity = now;
  }

  arrived(side: Side, bytes: number, now: Instant): void {
    this.now = now;
    this.lastActivity = now;
    if (side === "client") this.#bytesFromClient += bytes;
    else this.#bytesFromServer += bytes;
  }

  get serverHasSpoken(): boolean {
    return this.#bytesFromServer > 0;
  }

  /** Where the flow is to go is known. */
  aim(target: Authority, method: FlowMethod): void {
    this.#target = target;
    this.#method = method;
    this.context.serverHost = target.host;
    this.context.serverPort = target.port;
    this.record(connectReceivedEvent(formatAuthority(target), method));
  }

  get method(): FlowMethod {
    return this.#method;
  }

  get target(): Authority {
    assert(this.#target !== null, "it is known where the flow goes");
    return this.#target;
  }

  /** As text; empty where each request says itself where it goes. */
  get authority(): string {
    return this.#target === null ? "" : formatAuthority(this.#target);
  }

  arm(timer: Timer, afterMs: number): void {
    this.effects.arm(timer, addMilliseconds(this.now, afterMs));
  }

  record(event: FlowEvent): void {
    this.effects.record(event);
  }

  sendAnswer(answer: Answer): void {
    this.effects.send("client", encodeAnswer(answer, { close: true }));
  }

  /** What comes before its turn is kept, and no more is read. */
  hold(side: Side, data: Uint8Array): void {
    this.ahead.hold(side, data);
    this.effects.pause(side);
  }

  /** What the server said while it was not its turn; now it is read again. */
  releaseServer(): Uint8Array {
    const held = this.ahead.take("server");
    if (held.length > 0) this.effects.resume("server");
    return held;
  }

  /** The client is to be refused: its server is not needed. */
  giveUpServer(): void {
    if (this.serverOpen) this.effects.closeServer();
    this.serverOpen = false;
  }

  /** False where the step is not in the table, and the flow over. */
  step(next: Phase): boolean {
    if (this.state.to(next)) return true;
    const from = this.state.phase;
    if (from !== "closed") this.close("internal_error", `Cannot go from ${from} to ${next}`);
    return false;
  }

  close(reason: CloseReason, detail?: string): void {
    if (this.state.phase === "closed") return;
    this.state.to("closed");
    const datagrams = this.phases.closing(reason);
    this.record(streamClosedEvent({
      protocol: this.protocol,
      reason,
      detail,
      bytesFromClient: this.#bytesFromClient,
      bytesFromServer: this.#bytesFromServer,
      durationNs: this.now - this.#startedAt,
      datagrams,
    }));
    this.phases.closed();
    this.ahead.drop();
    this.effects.close();
  }
}
