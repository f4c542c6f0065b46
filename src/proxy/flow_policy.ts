/**
 * What policy says of one flow: asked when it is known where it is to go, and asked again when its ClientHello
 * names another host or there are rules about hellos. What it has said decides how the flow is dealt with.
 */
import type { Protocol } from "../core/event.ts";
import type { Decision, HelloFacts } from "../core/session.ts";
import type { HostOverride, TlsProfile } from "../core/settings.ts";
import type { Verdict } from "../http/request_gate.ts";
import type { ClientHello } from "../tls/client_hello.ts";
import { ja3, ja4 } from "../tls/fingerprint.ts";
import { clientHelloEvent, connectDecisionEvent, http3PassthroughEvent } from "./events.ts";
import type { Flow } from "./flow.ts";
import { type Http3Hint, type Http3Settled, isHttp3, settleHttp3 } from "./http3.ts";
import { RequestPolicy } from "./request_policy.ts";

const OFFERS_HTTP3 = "the client offers HTTP/3";

/** What becomes of a flow whose decision was made in the knowledge of its ClientHello. */
export type Reconsidered =
  /** `because`: where it was to be intercepted. */
  | { readonly type: "tunnel"; readonly because: string | undefined }
  | { readonly type: "block"; readonly detail: string }
  | { readonly type: "go_on" };

export class FlowPolicy {
  #decision: Decision | null = null;
  #override: HostOverride | null = null;
  /** Why this flow is HTTP/3, as far as its client has said. */
  #hint: Http3Hint | null = null;
  #questionId = 0;
  #blocksRequests = false;
  /** The name in the ClientHello, where it is another than the flow was decided for. */
  #sni: string | null = null;
  /** What the ClientHello said, once it is there. */
  #hello: HelloFacts | null = null;
  #requests: RequestPolicy | null = null;

  constructor(private readonly flow: Flow) {}

  get sni(): string | null {
    return this.#sni;
  }

  get hello(): HelloFacts | null {
    return this.#hello;
  }

  get override(): HostOverride | null {
    return this.#override;
  }

  /** Some of this connection's requests are blocked. */
  get blocksRequests(): boolean {
    return this.#blocksRequests;
  }

  get tunnelled(): boolean {
    return this.#decision?.action === "tunnel";
  }

  /** What a tunnel is on record as. */
  get opaqueProtocol(): Protocol {
    return this.#decision?.reason === "http3" ? "http3" : "tunnel";
  }

  get http2Enabled(): boolean {
    return this.flow.config.http2Enabled && this.#override?.disableH2 !== true;
  }

  get tlsProfile(): TlsProfile {
    return this.#override?.profile ?? this.flow.config.tlsProfile;
  }

  /** A name in a hello lets nobody out of what a CONNECT to another name was decided for. */
  get namesDiffer(): boolean {
    return this.#sni !== null && !isIpAddress(this.flow.target.host);
  }

  /** The client says that this flow is HTTP/3. */
  designate(hint: Http3Hint): void {
    this.#hint = hint;
  }

  /** Null: the decision comes later. */
  ask(sni: string | null): Decision | null {
    const { context, effects, method, target } = this.flow;
    return effects.decide(++this.#questionId, {
      flowId: context.flowId,
      clientAddr: context.clientAddr,
      authority: sni === null ? target : { host: sni, port: target.port },
      method,
      path: null,
      sni,
      ...(this.#hello === null ? {} : { hello: this.#hello }),
    });
  }

  /** Whether it is the last question that is answered. */
  asked(id: number): boolean {
    return id === this.#questionId;
  }

  /** The decision on where the flow goes; gives what it comes to. */
  decided(decision: Decision): Decision {
    this.#blocksRequests = decision.blocksRequests === true;
    return this.#settle(settleHttp3(decision, this.#hint, this.flow.config.http3Passthrough));
  }

  #settle({ decision, passthrough }: Http3Settled, sni: string | null = null): Decision {
    this.#decision = decision;
    this.#override = decision.override ?? null;
    this.flow.record(connectDecisionEvent(decision, { sni, overrideId: this.#override?.id }));
    if (passthrough !== null) this.flow.record(http3PassthroughEvent(passthrough));
    return decision;
  }

  /** What a client offers is on record, whatever becomes of it. `tunnelledBecause`: the offers cannot be served. */
  recordHello(hello: ClientHello, tunnelledBecause: string | null): HelloFacts {
    const { md5, sha256, reverse } = this.flow.config;
    const { host } = this.flow.target;
    const facts = { sni: hello.sni, alpn: hello.alpn, ja4: ja4(hello, sha256, "t"), connectHost: host };
    this.#hello = facts;
    // Behind a reverse listener nobody named a host before.
    const connectHost = reverse !== null || hello.sni === null || hello.sni === host ? null : host;
    this.flow.record(
      clientHelloEvent(hello, { ja3: ja3(hello, md5), ja4: facts.ja4, tunnelledBecause, connectHost }),
    );
    return facts;
  }

  /** The flow is to be secured, unless this hello says otherwise; it is on record. */
  considerHello(hello: ClientHello): void {
    const { config, target } = this.flow;
    if (hello.sni !== null && hello.sni !== target.host) this.#sni = hello.sni;
    // An origin in the clear has nothing that could take a ClientHello.
    if (isHttp3(hello.alpn) && config.reverse?.tls !== false && !this.tunnelled) this.#hint = "client_hello";
  }

  /** It is to be asked again, now that the hello is known. */
  get asksAgain(): boolean {
    return this.#sni !== null || this.flow.config.decidesHellos;
  }

  /** A flow about which nobody is asked again is passed through if it is HTTP/3; gives why, null where it is not. */
  passHttp3Through(): string | null {
    if (this.#hint === null || !this.flow.config.http3Passthrough) return null;
    this.#settle(settleHttp3(this.#decision!, this.#hint, true));
    return OFFERS_HTTP3;
  }

  /**
   * The decision in the knowledge of the ClientHello. One for another name in it is taken over only where it is a
   * block, or where the CONNECT named an address: else a client could escape observation by naming a host that is
   * let through. One that a rule about hellos made holds in any case.
   */
  reconsidered(given: Decision): Reconsidered {
    const decision = given.prior ?? given;
    const { action, onHello = false } = decision;
    this.#blocksRequests ||= decision.blocksRequests === true;
    const { host } = this.flow.target;
    const sni = this.#sni;
    const named = sni ?? host;
    // What a name says of TLS holds for the server that is verified for it.
    const { reverse, http3Passthrough } = this.flow.config;
    const isAddress = isIpAddress(host);
    const passesThrough = this.#decision?.reason === "http3" || (this.#hint !== null && http3Passthrough);
    if (this.tunnelled && action !== "block" && (!onHello || passesThrough || reverse !== null)) {
      return { type: "tunnel", because: undefined };
    }
    const holds = onHello || action === "block" || (isAddress && reverse?.tls !== false);
    const settled = settleHttp3(holds ? given : this.#decision!, this.#hint, http3Passthrough);
    if (settled.passthrough !== null) {
      this.#settle(settled, sni);
      return { type: "tunnel", because: this.#hint === null ? `${named} is tunnelled` : OFFERS_HTTP3 };
    }
    if (onHello || action === "block" || sni !== null) {
      if (reverse === null) {
        this.#override = decision.override ?? (isAddress || sni === null ? this.#override : null);
      }
      const ja4 = onHello || sni === null ? this.#hello!.ja4 : null;
      this.flow.record(connectDecisionEvent(decision, { sni, ja4, overrideId: this.#override?.id }));
    }
    if (onHello) this.#decision = decision;
    if (action === "block") return { type: "block", detail: `${named} is blocked` };
    if (action === "tunnel" && (isAddress || onHello) && reverse?.tls !== false) {
      return { type: "tunnel", because: onHello ? `rule ${decision.ruleId}` : `${named} is tunnelled` };
    }
    return { type: "go_on" };
  }

  /** Who lets the requests of this flow through, now that it is intercepted. */
  openGate(protocol: "http1" | "http2", scheme: string): RequestPolicy {
    const { config, context, effects, target } = this.flow;
    const sni = this.#sni;
    return this.#requests = new RequestPolicy({
      context,
      protocol,
      scheme,
      target,
      sni,
      hello: this.#hello,
      reverse: config.reverse !== null,
      asksAll: config.decidesRequests,
      tunnelsOthers: sni === null && isIpAddress(target.host),
      tunnelsSni: isIpAddress(target.host),
      decide: (question) => effects.decide(++this.#questionId, question),
      record: (event) => this.flow.record(event),
    });
  }

  /** The verdict for the request that waits at the gate; null where none does. */
  requestDecided(decision: Decision): Verdict | null {
    return this.#requests!.decided(decision);
  }
}

function isIpAddress(host: string): boolean {
  return host.includes(":") || /^[0-9.]+$/.test(host);
}
