/**
 * One flow of the proxy, from its first byte to `stream_closed`: CONNECT or plain requests, the
 * decision, the dial, and then a tunnel or an observed HTTP connection. Synchronous and total; see
 * `core/session.ts` for the contract and `flow_state.ts` for the phases.
 *
 * Here each input is given to the phase that the flow is in. How one follows another is in `phases.ts`, what they
 * have in common in `flow.ts`, what policy has said in `flow_policy.ts`; the phases are `first_request.ts`,
 * `peeking.ts`, `interception.ts`, `refusal.ts`, `http_relaying.ts`, `tunnel.ts` and `datagram_tunnel.ts`.
 */
import { assert } from "../core/assert.ts";
import type { CloseReason } from "../core/close_reason.ts";
import type { FlowContext } from "../core/event.ts";
import type { Instant } from "../core/instant.ts";
import type { Decision, Effects, Secured, Session, Timer, TransportFault } from "../core/session.ts";
import { opposite, type Side } from "../core/side.ts";
import { tooManyFlowsAnswer } from "./answers.ts";
import type { Flow } from "./flow.ts";
import type { FlowState } from "./flow_state.ts";
import { Phases } from "./phases.ts";
import type { SessionConfig } from "./session_config.ts";
import { tunnelIdle } from "./tunnel.ts";

export class ProxySession implements Session {
  readonly #phases: Phases;
  readonly #flow: Flow;

  constructor(
    context: FlowContext,
    effects: Effects,
    private readonly config: SessionConfig,
    private readonly options: { readonly refuse?: "too_many_flows" } = {},
  ) {
    this.#phases = new Phases(context, effects, config);
    this.#flow = this.#phases.flow;
  }

  get state(): FlowState {
    return this.#flow.state;
  }

  /**
   * Without what observers keep: that is theirs to bound (limits.decoder_buffer_bytes), and the rest of a message
   * lets go of it, so that a reader who waited for it to shrink would wait for himself.
   */
  get heldBytes(): number {
    const { datagrams, http, interception, refusing, tunnel } = this.#phases;
    return this.#flow.ahead.bytes + this.#beginningBytes + (interception?.heldBytes ?? 0) +
      (refusing?.heldBytes ?? 0) + (http?.heldBytes ?? 0) + (datagrams?.heldBytes ?? 0) +
      (tunnel?.heldBytes ?? 0);
  }

  get unfinishedBytes(): number {
    const { datagrams, http, tunnel } = this.#phases;
    return this.#beginningBytes + (http?.unfinishedBytes ?? 0) + (datagrams?.heldBytes ?? 0) +
      (tunnel?.heldBytes ?? 0);
  }

  /** Of a head, or of what tells what a client has begun with. */
  get #beginningBytes(): number {
    const { firstRequest, peeking } = this.#phases;
    return (firstRequest?.heldBytes ?? 0) + (peeking?.heldBytes ?? 0);
  }

  begin(now: Instant): void {
    this.#flow.begin(now);
    if (this.options.refuse === "too_many_flows") {
      const answer = tooManyFlowsAnswer(this.config.maxFlows);
      this.#flow.sendAnswer(answer);
      this.#flow.close("limit_exceeded", answer.detail);
    } else this.#phases.begin();
  }

  received(side: Side, data: Uint8Array, now: Instant): void {
    this.#flow.arrived(side, data.length, now);
    switch (this.#flow.state.phase) {
      case "tunnel":
        this.#phases.tunnel!.received(side, data);
        return;
      case "http1":
      case "http2":
        this.#phases.http!.received(side, data);
        return;
      case "closed":
        return;
      case "datagrams":
        this.#phases.datagrams!.received(side, data);
        return;
      case "awaiting_head":
        if (side === "client") this.#phases.firstRequest!.received(data);
        return;
      case "peeking":
        this.#phases.peeking!.received(side, data);
        return;
      case "refusing":
        if (side === "client") this.#phases.refusing!.received(data);
        return;
      default:
        // Deciding, opening, securing: what a peer sends ahead waits its turn, and no more is read.
        this.#flow.hold(side, data);
        return;
    }
  }

  ended(side: Side, now: Instant, truncated = false): void {
    this.#flow.now = now;
    this.#flow.ended[side] = true;
    switch (this.#flow.state.phase) {
      case "tunnel":
        this.#phases.tunnel!.ended(side);
        return;
      case "http1":
      case "http2":
        this.#phases.http!.ended(side, truncated);
        return;
      case "closed":
        return;
      case "datagrams":
        this.#phases.datagrams!.ended(side);
        return;
      case "awaiting_head":
        if (side === "client") this.#phases.firstRequest!.ended();
        return;
      case "deciding":
      case "opening":
        // The client may have sent all it has to say; whether the server is reached is still to be told.
        return;
      case "peeking":
        this.#phases.peeking!.ended();
        return;
      case "reconsidering":
      case "securing_server":
      case "securing_client":
      case "securing_refusal":
        this.#phases.interception!.ended(side);
        return;
      case "refusing":
        if (side === "client") this.#flow.close("client_reset", "The client ended during TLS setup");
        return;
    }
  }

  failed(side: Side, fault: TransportFault, now: Instant): void {
    this.#flow.now = now;
    this.#flow.ended[side] = true;
    const { effects, serverHasSpoken, serverOpen, serverSecured, state: { phase } } = this.#flow;
    // In TLS 1.3 a server judges its client when that has long been done (RFC 8446 §4.4.2.4).
    const silent = serverSecured && !serverHasSpoken && phase !== "closed";
    if (silent && side === "server" && fault.kind === "tls") {
      this.#phases.failures.record("server", fault, this.#phases.interception?.handshakes ?? null);
    }
    switch (phase) {
      case "closed":
        return;
      case "http1":
      case "http2":
        this.#phases.http!.failed(side, fault);
        return;
      case "securing_refusal":
      case "refusing":
        if (side === "server") return;
        break;
      default:
        break;
    }
    if (side === "client") {
      this.#phases.peeking?.broken(fault);
      this.#phases.interception?.broken(fault);
    }
    if (serverOpen || side === "server") effects.reset(opposite(side));
    this.#flow.close(side === "client" ? "client_reset" : "server_reset", `${fault.code}: ${fault.detail}`);
  }

  opened(now: Instant): void {
    this.#flow.now = now;
    // An earlier server's end says nothing of this one.
    this.#flow.ended.server = false;
    const { phase } = this.#flow.state;
    if (phase === "http1") this.#phases.http!.opened();
    else if (phase === "opening") this.#phases.opened();
  }

  openFailed(fault: TransportFault, now: Instant): void {
    this.#flow.now = now;
    const { phase } = this.#flow.state;
    if (phase === "http1") this.#phases.http!.openFailed(fault);
    else if (phase === "opening") this.#phases.openFailed(fault);
  }

  secured(side: Side, info: Secured, now: Instant): void {
    this.#flow.now = now;
    switch (this.#flow.state.phase) {
      case "securing_server":
        assert(side === "server", "the server is secured first");
        this.#phases.interception?.serverSecured(info);
        return;
      case "securing_client":
      case "securing_refusal":
        this.#phases.interception?.clientSecured(info);
        return;
      default:
        return;
    }
  }

  secureFailed(side: Side, fault: TransportFault, now: Instant): void {
    this.#flow.now = now;
    if (this.#flow.state.phase !== "closed") this.#phases.interception?.failed(side, fault);
  }

  decided(id: number, decision: Decision, now: Instant): void {
    this.#flow.now = now;
    const { phase } = this.#flow.state;
    if (phase === "http1" || phase === "http2") this.#phases.http!.decided(id, decision);
    else if (this.#phases.policy.asked(id)) this.#phases.decided(decision);
  }

  expired(timer: Timer, now: Instant): void {
    this.#flow.now = now;
    if (timer === "ws_turn_idle") {
      this.#phases.http?.silent();
      return;
    }
    switch (this.#flow.state.phase) {
      case "closed":
        return;
      case "http1":
      case "http2":
        if (timer === "connect") this.#phases.http!.dialTimedOut(this.#connectTimeout());
        else this.#phases.http!.expired(timer);
        return;
      case "tunnel":
      case "datagrams":
        if (timer === "tunnel_idle") tunnelIdle(this.#flow);
        else if (timer === "tls_handshake") this.#phases.tunnel?.helloTimedOut();
        return;
      case "awaiting_head":
        if (timer === "client_head") this.#phases.firstRequest!.expired();
        return;
      case "opening":
        if (timer === "connect") {
          // The dial is given up: it must not succeed while the client is being told.
          if (this.config.reverse !== null) this.#flow.effects.closeServer();
          this.openFailed(this.#connectTimeout(), now);
        }
        return;
      case "peeking":
        this.#phases.peeking!.expired(timer);
        return;
      case "securing_server":
      case "securing_client":
      case "securing_refusal":
        this.#phases.interception!.expired(timer);
        return;
      case "refusing":
        if (timer === "client_head") this.#phases.refusing!.close();
        return;
      case "deciding":
      case "reconsidering":
        return;
    }
  }

  #connectTimeout(): TransportFault {
    return {
      kind: "timeout",
      code: "ETIMEDOUT",
      detail: `no connection within ${this.config.connectMs} ms (timeouts.connect)`,
    };
  }

  drain(now: Instant): void {
    this.#flow.now = now;
    switch (this.#flow.state.phase) {
      case "http1":
      case "http2":
        this.#phases.http!.drain();
        return;
      case "awaiting_head":
        this.#phases.firstRequest!.drain();
        return;
      case "peeking":
        this.#phases.peeking!.drain();
        return;
      default:
        return;
    }
  }

  abort(now: Instant): void {
    this.#abortWith("shutdown", "shutdown", "The proxy was stopped", now);
  }

  crashed(detail: string, now: Instant): void {
    this.#abortWith("internal_error", "internal_error", detail, now);
  }

  #abortWith(reason: CloseReason, code: string, detail: string, now: Instant): void {
    this.#flow.now = now;
    this.#phases.http?.abort(reason, code, detail);
    this.#flow.close(reason, detail);
  }
}
