/**
 * The TLS of an intercepted flow: its ClientHello is considered, then the server is secured with what the client
 * offers, and at last the client with what the server chose. Where the server's handshake fails, the client's is
 * made to tell it. Behind a reverse listener, one of the two may be in the clear.
 */
import type { Decision, Secured, Timer, TransportFault } from "../core/session.ts";
import type { Side } from "../core/side.ts";
import type { ClientHello } from "../tls/client_hello.ts";
import { lastingJa4 } from "../tls/fingerprint.ts";
import { notOffered, preferringHttp1 } from "./alpn.ts";
import { serverTlsFailure } from "./answers.ts";
import { handshakeStartedEvent, handshakeSucceededEvent } from "./events.ts";
import type { Flow } from "./flow.ts";
import type { FlowPolicy } from "./flow_policy.ts";
import type { HandshakeFailures } from "./handshake_failures.ts";
import { type HandshakeParties, Handshakes } from "./handshakes.ts";
import type { LearnedBypass } from "./learned_bypass.ts";
import { join } from "./read_ahead.ts";
import type { Refusal } from "./refusal.ts";

/** The alert of RFC 7301 §3.2, as the runtime names it. */
const NO_APPLICATION_PROTOCOL = "ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL";

/** How it goes on. */
export interface AfterInterception {
  /** Policy is to be asked again; `sni` is the other name in the hello. */
  ask(sni: string | null): void;
  /** The server is to be dialled, and then secured. */
  open(): void;
  /** Nothing is secured, and the client's bytes go on as they came. */
  letThrough(preread: Uint8Array): void;
  /** Both sides are secured. */
  secured(alpn: string | null): void;
  /** The origin is, and the client in the clear. */
  originSecured(alpn: string | null): void;
  /** The client is to be told, in what it speaks. */
  refuse(refusal: Refusal): void;
  /** The client's handshake was made to tell it. */
  refusing(alpn: string | null): void;
}

export class Interception {
  readonly handshakes: Handshakes;

  constructor(
    private readonly flow: Flow,
    private readonly policy: FlowPolicy,
    private readonly failures: HandshakeFailures,
    private readonly learnedBypass: LearnedBypass,
    private readonly next: AfterInterception,
    parties: HandshakeParties,
  ) {
    this.handshakes = new Handshakes(parties);
  }

  get heldBytes(): number {
    return this.handshakes.preread.length;
  }

  /** The client began with TLS. */
  get hasHello(): boolean {
    return this.handshakes.hello !== null;
  }

  /** Where the client is in the clear: what it speaks is what the server is offered. */
  offer(protocol: string): void {
    this.handshakes.offer(protocol);
  }

  /** The client began with this. */
  beginWith(hello: ClientHello): void {
    const { config, effects, refusal } = this.flow;
    this.flow.protocol = "tls";
    const unserved = this.handshakes.settleOffers(this.policy.http2Enabled);
    const because = refusal === null ? unserved : null;
    const facts = this.policy.recordHello(hello, because);
    this.handshakes.fingerprint = lastingJa4(hello, facts.ja4, config.sha256, "t");
    effects.pause("client");
    this.policy.considerHello(hello);
    if (refusal !== null) this.next.refuse(refusal);
    else if (this.policy.asksAgain) {
      if (this.flow.step("reconsidering")) this.next.ask(this.policy.sni);
    } else this.#goOn(this.policy.passHttp3Through() ?? because);
  }

  /** What policy said in the knowledge of the hello. */
  reconsidered(decision: Decision): void {
    const verdict = this.policy.reconsidered(decision);
    switch (verdict.type) {
      case "tunnel":
        this.#letThrough(verdict.because);
        return;
      case "block":
        this.flow.close("blocked", verdict.detail);
        return;
      case "go_on":
        this.#goOn(this.handshakes.settleOffers(this.policy.http2Enabled));
        return;
    }
  }

  /** The server's side comes first; a reverse listener has still to reach it. */
  #goOn(tunnelledBecause: string | null): void {
    const because = tunnelledBecause ?? this.learnedBypass.reasonFor(this.handshakes);
    if (because !== null) this.#letThrough(because);
    else if (this.flow.serverOpen) this.secureServer();
    else this.next.open();
  }

  #letThrough(because: string | undefined): void {
    this.flow.tunnelNote = because;
    this.next.letThrough(this.handshakes.preread);
  }

  secureServer(): void {
    const { ahead, config, effects, target } = this.flow;
    const { hello, offers, serverName } = this.handshakes;
    if (ahead.has("server")) {
      this.#letThrough("the server spoke first");
      return;
    }
    if (!this.flow.step("securing_server")) return;
    this.flow.record(handshakeStartedEvent("server", offers));
    const nameless = config.reverse === null && hello?.sni === null;
    if (config.upstreamSniMode === "required" && nameless) {
      this.failed("server", {
        kind: "tls",
        code: "SNI_REQUIRED",
        detail: "the client sent no server name and tls.upstream_sni_mode is required",
        own: true,
      });
      return;
    }
    this.flow.arm("tls_handshake", config.tlsHandshakeMs);
    const { override, tlsProfile } = this.policy;
    effects.secureServer({
      host: serverName,
      port: target.port,
      alpn: offers,
      profile: tlsProfile,
      verify: override?.skipUpstreamVerify !== true,
      overrideId: override?.id ?? null,
    });
  }

  secureClient(phase: "securing_client" | "securing_refusal"): void {
    const { ahead, config, effects } = this.flow;
    const { chosen, leafName } = this.handshakes;
    if (!this.flow.step(phase)) return;
    this.flow.record(handshakeStartedEvent("client", chosen));
    this.flow.arm("tls_handshake", config.tlsHandshakeMs);
    effects.secureClient({
      preread: join(this.handshakes.takePreread(), ahead.take("client")),
      host: leafName,
      alpn: chosen,
      profile: this.policy.tlsProfile,
    });
    effects.resume("client");
  }

  serverSecured(info: Secured): void {
    this.flow.serverSecured = true;
    this.flow.record(handshakeSucceededEvent("server", info));
    this.handshakes.chosen = info.alpn === null ? [] : [info.alpn];
    if (this.hasHello) this.secureClient("securing_client");
    else {
      this.flow.effects.disarm("tls_handshake");
      this.next.originSecured(info.alpn);
    }
  }

  clientSecured(info: Secured): void {
    this.flow.record(handshakeSucceededEvent("client", info));
    this.flow.effects.disarm("tls_handshake");
    if (this.flow.state.phase === "securing_refusal") this.next.refusing(info.alpn);
    else this.next.secured(info.alpn);
  }

  /** A handshake has failed. */
  failed(side: Side, fault: TransportFault): void {
    const normalizedReason = this.failures.record(side, fault, this.handshakes);
    this.flow.effects.disarm("tls_handshake");
    const { refusal, state } = this.flow;
    if (side === "server" && state.phase === "securing_server") this.#serverFailed(normalizedReason, fault);
    else if (refusal !== null) this.flow.close(refusal.reason, refusal.answer.detail);
    else this.flow.close("tls_handshake_failed", `client: ${fault.detail}`);
  }

  #serverFailed(normalizedReason: string, fault: TransportFault): void {
    const { offers, offeredAll, serverName } = this.handshakes;
    const authority = { host: serverName, port: this.flow.target.port };
    if (fault.code !== NO_APPLICATION_PROTOCOL || !offeredAll) {
      const answer = serverTlsFailure(authority, normalizedReason, fault.detail);
      this.next.refuse({ answer, reason: "tls_handshake_failed" });
      return;
    }
    // All that the client offers was refused: it gets the failure that it would get from the server itself.
    const detail = `the server speaks none of the protocols that the client offers (${offers.join(", ")})`;
    const answer = serverTlsFailure(authority, normalizedReason, detail);
    this.#refuse({ answer, reason: "tls_handshake_failed" }, [notOffered(offers)]);
  }

  /** A client that began with TLS is told inside TLS: its handshake is made to tell it. */
  refuse(refusal: Refusal): void {
    this.#refuse(refusal, preferringHttp1(this.handshakes.offers));
  }

  #refuse(refusal: Refusal, chosen: readonly string[]): void {
    this.handshakes.chosen = chosen;
    this.flow.giveUpServer();
    this.flow.refusal = refusal;
    this.secureClient("securing_refusal");
  }

  ended(side: Side): void {
    const { phase } = this.flow.state;
    // In the clear an end is no more than that: the client has said all it has to say.
    if (phase === "securing_server" && side === "client" && !this.hasHello) return;
    if (phase === "securing_refusal" && side === "server") return;
    const detail = `The ${side} ended during TLS setup`;
    if (side === "client") this.broken({ kind: "reset", code: "EOF", detail });
    this.flow.close(side === "client" ? "client_reset" : "server_reset", detail);
  }

  expired(timer: Timer): void {
    const { config, state } = this.flow;
    if (timer !== "tls_handshake" || state.phase === "reconsidering") return;
    this.failed(state.phase === "securing_server" ? "server" : "client", {
      kind: "timeout",
      code: "ETIMEDOUT",
      detail: `The handshake took longer than ${config.tlsHandshakeMs} ms (timeouts.tls_handshake)`,
      own: true,
    });
  }

  /** The client's connection is lost: if it had begun a handshake, that failed. */
  broken(fault: TransportFault): void {
    if (!this.hasHello || this.flow.state.phase === "refusing") return;
    this.flow.protocol = "tls";
    this.failures.record("client", fault, this.handshakes);
  }
}
