/**
 * The phases of one flow, each held only as long as it lasts, and how one follows another (`flow_state.ts` has the
 * table): the decision, the dial, what the client begins with, TLS, and at last a tunnel or HTTP that is observed.
 */
import type { CloseReason } from "../core/close_reason.ts";
import type { FlowContext } from "../core/event.ts";
import type { Decision, Effects, TransportFault } from "../core/session.ts";
import { UDP_ESTABLISHED } from "../http1/connect_udp.ts";
import type { StreamObservation } from "../http/observation.ts";
import type { ClientHello } from "../tls/client_hello.ts";
import { blockedAnswer, dialFailure, notHttpAnswer, serverTlsFailure } from "./answers.ts";
import type { DatagramCounts } from "./datagram_relay.ts";
import { DatagramTunnel } from "./datagram_tunnel.ts";
import { FirstRequest } from "./first_request.ts";
import { Flow } from "./flow.ts";
import { FlowPolicy } from "./flow_policy.ts";
import { HandshakeFailures } from "./handshake_failures.ts";
import { HttpRelaying } from "./http_relaying.ts";
import { Interception } from "./interception.ts";
import { LearnedBypass } from "./learned_bypass.ts";
import type { Origin } from "./origin.ts";
import { type ClearProtocol, Peeking } from "./peeking.ts";
import { join } from "./read_ahead.ts";
import { type Refusal, Refusing } from "./refusal.ts";
import type { SessionConfig } from "./session_config.ts";
import { Tunnel } from "./tunnel.ts";

const NOTHING = new Uint8Array(0);
const ESTABLISHED = new TextEncoder().encode("HTTP/1.1 200 Connection Established\r\n\r\n");

export class Phases {
  readonly flow: Flow;
  readonly policy: FlowPolicy;
  readonly failures: HandshakeFailures;
  // Each is there in its phase alone, so that an idle tunnel holds almost nothing.
  firstRequest: FirstRequest | null = null;
  peeking: Peeking | null = null;
  interception: Interception | null = null;
  refusing: Refusing | null = null;
  http: HttpRelaying | null = null;
  tunnel: Tunnel | null = null;
  datagrams: DatagramTunnel | null = null;
  readonly #config: SessionConfig;
  readonly #learnedBypass: LearnedBypass;
  /** What the client of a reverse listener began with in the clear. */
  #began: ClearProtocol = "opaque";

  constructor(context: FlowContext, effects: Effects, config: SessionConfig) {
    this.#config = config;
    this.flow = new Flow(context, effects, config, {
      closing: (reason) => this.#closing(reason),
      closed: () => this.#closed(),
    });
    this.policy = new FlowPolicy(this.flow);
    this.#learnedBypass = new LearnedBypass(this.flow, this.policy);
    this.failures = new HandshakeFailures(this.flow, this.policy, this.#learnedBypass);
    if (config.reverse === null) this.firstRequest = this.#newFirstRequest();
  }

  /** What is asked for is read, or known at a reverse listener. */
  begin(): void {
    if (this.#config.reverse === null) {
      this.flow.arm("client_head", this.#config.limits.headMs);
      return;
    }
    this.flow.aim(this.#config.reverse.authority, "REVERSE");
    if (this.flow.step("deciding")) this.#ask(null);
  }

  #closing(reason: CloseReason): DatagramCounts | null {
    this.tunnel?.closing(reason);
    return this.datagrams?.counts ?? null;
  }

  #closed(): void {
    this.firstRequest = null;
    this.peeking = null;
    this.interception = null;
    this.refusing = null;
    this.http?.closed();
    this.http = null;
    this.tunnel = null;
    this.datagrams = null;
  }

  #newFirstRequest(): FirstRequest {
    return new FirstRequest(this.flow, this.policy, {
      plain: (bytes) => {
        this.firstRequest = null;
        this.#relaying.forward(bytes);
      },
      connect: () => {
        this.firstRequest = null;
        this.#ask(null);
      },
    });
  }

  get #relaying(): HttpRelaying {
    return this.http ??= new HttpRelaying(this.flow, this.policy, {
      upgraded: (fromServer, stream) => this.#beginTunnel(NOTHING, fromServer, stream),
      connect: (bytes) => this.#awaitAnotherHead()?.received(bytes),
      connectUdp: (bytes) => this.#awaitAnotherHead()?.receivedConnectUdp(bytes),
    });
  }

  #awaitAnotherHead(): FirstRequest | null {
    if (!this.flow.step("awaiting_head")) return null;
    return this.firstRequest = this.#newFirstRequest();
  }

  #ask(sni: string | null): void {
    const decision = this.policy.ask(sni);
    if (decision !== null) this.decided(decision);
  }

  /** Policy's answer to the last question about the flow. */
  decided(decision: Decision): void {
    const { phase } = this.flow.state;
    if (phase === "reconsidering") this.interception!.reconsidered(decision);
    if (phase !== "deciding") return;
    const { action, ruleId } = this.policy.decided(decision);
    const refusal: Refusal | null = action === "block"
      ? { answer: blockedAnswer(this.flow.target, ruleId), reason: "blocked" }
      : null;
    if (this.#config.reverse !== null && action !== "tunnel") {
      // What the client speaks decides how it is told of a refusal, and what the origin is asked for.
      this.flow.refusal = refusal;
      this.#beginPeeking();
    } else if (refusal !== null) this.#answer(refusal);
    else this.#open();
  }

  #open(): void {
    const { effects, method, target } = this.flow;
    if (!this.flow.step("opening")) return;
    this.flow.arm("connect", this.#config.connectMs);
    if (method === "CONNECT-UDP") effects.openDatagrams(target);
    else effects.open(target);
  }

  /** The server is connected. */
  opened(): void {
    const { effects, method } = this.flow;
    this.flow.serverOpen = true;
    effects.disarm("connect");
    if (this.#config.reverse !== null) this.#originOpened(this.#config.reverse);
    else if (method === "CONNECT-UDP") {
      effects.send("client", UDP_ESTABLISHED);
      this.#beginDatagrams();
    } else {
      effects.send("client", ESTABLISHED);
      if (this.policy.tunnelled && !this.#config.decidesHellos) this.#beginTunnelWithHeld();
      else this.#beginPeeking();
    }
  }

  openFailed(fault: TransportFault): void {
    const refusal = dialFailure(fault, this.flow.target);
    if (this.#config.reverse === null) this.#answer(refusal);
    else this.#refuse(refusal);
  }

  #beginDatagrams(): void {
    if (!this.flow.step("datagrams")) return;
    this.flow.protocol = this.policy.opaqueProtocol;
    this.datagrams = new DatagramTunnel(this.flow);
    this.datagrams.begin();
  }

  #beginPeeking(): void {
    this.peeking = new Peeking(this.flow, this.policy, this.failures, {
      tls: (hello, bytes) => this.#intercept(hello, bytes),
      clear: (protocol, bytes) => {
        this.peeking = null;
        if (this.#config.reverse === null) this.#relayInClear(protocol, bytes);
        else this.#originWanted(protocol, bytes, this.#config.reverse);
      },
      tunnelled: (fromClient, fromServer) => this.#beginTunnel(fromClient, fromServer),
    });
    this.peeking.begin();
  }

  #intercept(hello: ClientHello, bytes: Uint8Array): void {
    this.peeking = null;
    this.interception = this.#newInterception(hello, bytes);
    this.interception.beginWith(hello);
  }

  #newInterception(hello: ClientHello | null, preread: Uint8Array): Interception {
    return new Interception(
      this.flow,
      this.policy,
      this.failures,
      this.#learnedBypass,
      {
        ask: (sni) => this.#ask(sni),
        open: () => this.#open(),
        letThrough: (bytes) => this.#letThrough(bytes),
        secured: (alpn) => {
          this.interception = null;
          this.#relaying.intercept(alpn === "h2" ? "http2" : "http1", "https", null);
        },
        originSecured: (alpn) => this.#originSecured(alpn),
        refuse: (refusal) => this.#refuse(refusal),
        refusing: (alpn) => this.#beginRefusing(alpn === "h2" ? "http2" : "http1"),
      },
      { hello, preread, targetHost: this.flow.target.host, origin: this.#config.reverse },
    );
  }

  /** What began with TLS, or was to be secured, goes on untouched. */
  #letThrough(preread: Uint8Array): void {
    const { ahead, effects, serverOpen } = this.flow;
    this.interception = null;
    if (!serverOpen) {
      this.flow.hold("client", preread);
      this.#open();
      return;
    }
    effects.resume("client");
    this.#beginTunnel(join(preread, ahead.take("client")), this.flow.releaseServer());
  }

  #relayInClear(protocol: ClearProtocol, bytes: Uint8Array): void {
    if (protocol === "opaque") {
      this.flow.tunnelNote = "neither TLS nor HTTP";
      this.#beginTunnel(bytes, this.flow.releaseServer());
    } else this.#relaying.intercept(protocol, "http", bytes);
  }

  #beginTunnelWithHeld(): void {
    this.flow.effects.resume("client");
    this.#beginTunnel(this.flow.ahead.take("client"), NOTHING);
  }

  #beginTunnel(
    fromClient: Uint8Array,
    fromServer: Uint8Array,
    upgraded: StreamObservation | null = null,
  ): void {
    if (!this.flow.step("tunnel")) return;
    this.flow.protocol = this.policy.opaqueProtocol;
    this.peeking = null;
    const isHelloKnown = this.policy.hello !== null;
    this.tunnel = new Tunnel(
      this.flow,
      upgraded,
      isHelloKnown ? null : (hello) => this.policy.recordHello(hello, null),
    );
    this.tunnel.begin(fromClient, fromServer);
  }

  // Behind a reverse listener

  /** A client has begun in the clear: how the origin is reached follows from that. */
  #originWanted(protocol: ClearProtocol, bytes: Uint8Array, origin: Origin): void {
    const { refusal } = this.flow;
    this.#began = protocol;
    this.flow.hold("client", bytes);
    if (refusal !== null) this.#refuse(refusal);
    else if (origin.tls && protocol === "opaque") {
      this.#answer({ answer: notHttpAnswer(origin), reason: "protocol_error" });
    } else {
      if (origin.tls) {
        this.interception = this.#newInterception(null, NOTHING);
        this.interception.offer(protocol === "http2" ? "h2" : "http/1.1");
      }
      this.#open();
    }
  }

  #originOpened(origin: Origin): void {
    const { tunnelled } = this.policy;
    if (tunnelled && this.#config.decidesHellos) this.#beginPeeking();
    else if (tunnelled || (this.#began === "opaque" && this.interception === null)) {
      if (!tunnelled) this.flow.tunnelNote ??= "neither TLS nor HTTP";
      this.#beginTunnelWithHeld();
    } else if (origin.tls) this.interception!.secureServer();
    else if (this.interception !== null) this.interception.secureClient("securing_client");
    else this.#relayToOrigin();
  }

  #originSecured(alpn: string | null): void {
    if (this.#began === "http2" && alpn !== "h2") {
      const detail = "it did not choose h2, which the client speaks";
      const answer = serverTlsFailure(this.flow.target, "handshake", detail);
      this.#refuse({ answer, reason: "protocol_error" });
      return;
    }
    this.interception = null;
    this.#relayToOrigin();
  }

  #relayToOrigin(): void {
    this.flow.effects.resume("client");
    this.#relayInClear(this.#began, this.flow.ahead.take("client"));
  }

  // Telling the client

  /** Before it has begun with anything else. */
  #answer({ answer, reason }: Refusal): void {
    this.flow.sendAnswer(answer);
    this.flow.close(reason, answer.detail);
  }

  /** In TLS where it began with that. */
  #refuse(refusal: Refusal): void {
    if (this.interception?.hasHello === true) {
      this.interception.refuse(refusal);
      return;
    }
    const { ahead, effects, ended } = this.flow;
    this.flow.giveUpServer();
    this.flow.refusal = refusal;
    if (this.#began === "opaque") {
      // There is no telling it in a protocol that is not known.
      effects.reset("client");
      this.flow.close(refusal.reason, refusal.answer.detail);
      return;
    }
    effects.resume("client");
    this.#beginRefusing(this.#began);
    this.refusing?.received(ahead.take("client"));
    if (ended.client) this.refusing?.close();
  }

  #beginRefusing(version: "http1" | "http2"): void {
    if (!this.flow.step("refusing")) return;
    this.refusing = new Refusing(this.flow, this.flow.refusal!, version);
  }
}
