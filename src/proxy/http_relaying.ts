/**
 * A flow that is relayed as HTTP and observed: plain requests, each to a server of its own choice, or one
 * intercepted connection in HTTP/1.1 or HTTP/2. It may turn into a tunnel (an upgrade) and plain requests into a
 * CONNECT.
 */
import type { CloseReason } from "../core/close_reason.ts";
import type { Decision, Timer, TransportFault } from "../core/session.ts";
import type { Side } from "../core/side.ts";
import { NO_OBSERVATION, type Observation, type StreamObservation } from "../http/observation.ts";
import type { Http1Host } from "../http1/connection.ts";
import { Http1Relay } from "../http1/relay.ts";
import { Http2Relay } from "../http2/relay.ts";
import { FlowObservation } from "../observe/flow_observation.ts";
import type { Flow } from "./flow.ts";
import type { FlowPolicy } from "./flow_policy.ts";
import { ForwardRouter } from "./forward.ts";

/** What may follow; the relay's part is over with it. */
export interface AfterHttp {
  /** The connection became opaque; `stream` observes what passes, `fromServer` first. */
  upgraded(fromServer: Uint8Array, stream: StreamObservation | null): void;
  /** A plain request was followed by a CONNECT, with the bytes from its head on. */
  connect(bytes: Uint8Array): void;
  /** The same of a CONNECT-UDP, whose head is whole. */
  connectUdp(bytes: Uint8Array): void;
}

export class HttpRelaying {
  #relay: Http1Relay | Http2Relay | null = null;
  /** Where the requests are plain. */
  #router: ForwardRouter | null = null;
  /** Goes on beside the tunnel that an upgrade makes of the flow. */
  #observation: FlowObservation | null = null;
  #exchangeId = 1;

  constructor(
    private readonly flow: Flow,
    private readonly policy: FlowPolicy,
    private readonly next: AfterHttp,
  ) {}

  get heldBytes(): number {
    return this.#relay?.heldBytes ?? 0;
  }

  get unfinishedBytes(): number {
    return this.#relay?.unfinishedBytes ?? 0;
  }

  /** Plain requests, of which `data` is the beginning. */
  forward(data: Uint8Array): void {
    const { config, context, effects } = this.flow;
    const router = new ForwardRouter({
      context,
      effects,
      connectMs: config.connectMs,
      limits: config.limits,
      onConnect: (bytes) => {
        this.#leave(router);
        this.next.connect(bytes);
      },
      onConnectUdp: (bytes) => {
        this.#leave(router);
        this.next.connectUdp(bytes);
      },
    });
    this.#router = router;
    router.now = this.flow.now;
    if (!this.flow.step("http1")) return;
    this.flow.protocol = "http1";
    router.relay = this.#newHttp1Relay("http", router);
    this.#relay = router.relay;
    this.#relay.received("client", data, this.flow.now);
  }

  /** One intercepted connection. `preread`: what its client has sent. */
  intercept(protocol: "http1" | "http2", scheme: string, preread: Uint8Array | null): void {
    if (!this.flow.step(protocol)) return;
    this.flow.protocol = protocol;
    this.#relay = protocol === "http1" ? this.#newHttp1Relay(scheme, null) : this.#newHttp2Relay(scheme);
    this.#feed(preread);
  }

  received(side: Side, data: Uint8Array): void {
    const { now } = this.flow;
    if (this.#router !== null) this.#router.now = now;
    this.#relay!.received(side, data, now);
  }

  ended(side: Side, truncated: boolean): void {
    const { now } = this.flow;
    if (this.#router !== null) this.#router.now = now;
    this.#relay!.ended(side, now, truncated);
    // The relay may have ended the flow, and the router with it.
    if (side === "server") this.#router?.serverGone();
  }

  failed(side: Side, fault: TransportFault): void {
    const { now } = this.flow;
    if (this.#router !== null) this.#router.now = now;
    this.#relay!.failed(side, fault, now);
    if (side === "server") this.#router?.serverGone();
  }

  /** The server of a plain request is there. */
  opened(): void {
    if (this.#router === null) return;
    this.#router.now = this.flow.now;
    this.#router.opened();
  }

  openFailed(fault: TransportFault): void {
    if (this.#router === null) return;
    this.#router.now = this.flow.now;
    this.#router.openFailed(fault);
  }

  /** The dial is given up: were it to succeed later, it would be taken for the next request's. */
  dialTimedOut(fault: TransportFault): void {
    this.flow.effects.closeServer();
    this.openFailed(fault);
  }

  decided(id: number, decision: Decision): void {
    const { now } = this.flow;
    if (this.#router !== null) {
      this.#router.now = now;
      this.#router.decided(id, decision);
      return;
    }
    if (!this.policy.asked(id)) return;
    const verdict = this.policy.requestDecided(decision);
    if (verdict !== null) this.#relay!.decided(verdict, now);
  }

  expired(timer: Timer): void {
    this.#relay!.expired(timer, this.flow.now);
  }

  /** Streams that were observed have been silent for `timeouts.ws_turn_idle`. */
  silent(): void {
    this.#observation?.expired(this.flow.now);
  }

  drain(): void {
    this.#relay!.drain(this.flow.now);
  }

  abort(reason: CloseReason, code: string, detail: string): void {
    this.#relay?.abort(reason, code, detail, this.flow.now);
  }

  /** The flow is over. */
  closed(): void {
    this.#relay = null;
    this.#router = null;
    this.#observation?.close();
    this.#observation = null;
  }

  /** What came before the relay did; each of these may end it. */
  #feed(fromClient: Uint8Array | null): void {
    const { ended, now } = this.flow;
    if (fromClient !== null && fromClient.length > 0) this.#relay?.received("client", fromClient, now);
    const early = this.flow.releaseServer();
    if (early.length > 0) this.#relay?.received("server", early, now);
    if (ended.client) this.#relay?.ended("client", now);
  }

  #leave({ relay }: ForwardRouter): void {
    const { effects } = this.flow;
    this.#exchangeId = relay.nextExchangeId;
    this.#relay = null;
    this.#router = null;
    this.flow.protocol = "connect";
    effects.disarm("idle");
    effects.disarm("exchange_idle");
    effects.resume("client");
  }

  #newHttp1Relay(scheme: string, router: ForwardRouter | null): Http1Relay {
    return new Http1Relay({
      ...this.#options(scheme),
      // Where a plain request goes is known when it is read.
      ...(router === null ? {} : { strictHeaders: this.flow.config.strictHeaders }),
      limits: this.flow.config.limits,
      router,
      gate: router === null ? this.policy.openGate("http1", scheme) : null,
    }, this.flow.now);
  }

  #newHttp2Relay(scheme: string): Http2Relay {
    return new Http2Relay({
      ...this.#options(scheme),
      limits: this.flow.config.http2Limits,
      gate: this.policy.openGate("http2", scheme),
    }, this.flow.now);
  }

  #options(scheme: string) {
    return {
      host: this.#newHost(),
      capture: this.flow.config.capture,
      observation: this.#observe(),
      scheme,
      authority: this.flow.authority,
      firstExchangeId: this.#exchangeId,
      stripsAltSvc: this.policy.override?.stripAltSvc === true,
      strictHeaders: this.policy.override?.strictHeaders !== false,
    };
  }

  #newHost(): Http1Host {
    const { effects } = this.flow;
    return {
      send: (side, data) => effects.send(side, data),
      reset: (side) => effects.reset(side),
      pause: (side) => effects.pause(side),
      resume: (side) => effects.resume(side),
      arm: (timer, at) => effects.arm(timer, at),
      disarm: (timer) => effects.disarm(timer),
      record: (event) => effects.record(event),
      finish: (reason, detail) => this.flow.close(reason, detail),
      upgraded: (fromServer, stream) => {
        this.#relay = null;
        this.#router = null;
        effects.disarm("idle");
        this.next.upgraded(fromServer, stream);
      },
    };
  }

  #observe(): Observation {
    const { config, effects } = this.flow;
    if (!config.observes) return NO_OBSERVATION;
    return this.#observation ??= new FlowObservation({
      config: config.observe,
      record: (event) => effects.record(event),
      now: () => this.flow.now,
      timer: {
        arm: (at) => effects.arm("ws_turn_idle", at),
        disarm: () => effects.disarm("ws_turn_idle"),
      },
    });
  }
}
