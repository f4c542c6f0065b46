/**
 * One flow of the proxy, from its first byte to `stream_closed`: CONNECT or plain requests, the
 * decision, the dial, and then a tunnel or an observed HTTP connection. Synchronous and total; see
 * `core/session.ts` for the contract and `flow_state.ts` for the phases.
 */
import { assert } from "../core/assert.ts";
import { type Authority, formatAuthority } from "../core/authority.ts";
import type { CloseReason } from "../core/close_reason.ts";
import type { FlowContext, FlowEvent, Protocol } from "../core/event.ts";
import { addMilliseconds, type Instant } from "../core/instant.ts";
import type {
  ClientTlsFailure,
  Decision,
  Effects,
  HelloFacts,
  LearningBar,
  LearningKey,
  Secured,
  Session,
  Timer,
  TransportFault,
} from "../core/session.ts";
import type { HostOverride, TlsProfile } from "../core/settings.ts";
import { opposite, type Side } from "../core/side.ts";
import type { Answer } from "../http/answer.ts";
import { encodeAnswer } from "../http1/answer.ts";
import { UDP_ESTABLISHED } from "../http1/connect_udp.ts";
import type { Http1Error } from "../http1/errors.ts";
import { Http1Relay, type RelayHost } from "../http1/relay.ts";
import { Http2Relay } from "../http2/relay.ts";
import { NO_OBSERVATION, type Observation, type StreamObservation } from "../http/observation.ts";
import { FlowObservation } from "../observe/flow_observation.ts";
import { type ClientHello, ClientHelloReader } from "../tls/client_hello.ts";
import { normalizeTlsFailure, type TlsFailure } from "../tls/failure.ts";
import { ja3, ja4, lastingJa4 } from "../tls/fingerprint.ts";
import { isHttp2Preface, isHttp2Settings } from "../tls/sniff.ts";
import { notOffered, preferringHttp1 } from "./alpn.ts";
import {
  badHeadAnswer,
  blockedAnswer,
  dialFailure,
  notHttpAnswer,
  serverTlsFailure,
  tooManyFlowsAnswer,
} from "./answers.ts";
import { DatagramRelay } from "./datagram_relay.ts";
import {
  clientHelloEvent,
  connectDecisionEvent,
  connectParseFailedEvent,
  connectReceivedEvent,
  handshakeFailedEvent,
  handshakeStartedEvent,
  handshakeSucceededEvent,
  http3PassthroughEvent,
  learningAuditEvent,
  streamClosedEvent,
} from "./events.ts";
import { FirstBytes } from "./first_bytes.ts";
import { FirstHead, readConnectUdp } from "./first_head.ts";
import { FlowState } from "./flow_state.ts";
import { ForwardRouter } from "./forward.ts";
import { Handshakes } from "./handshakes.ts";
import type { Origin } from "./origin.ts";
import { join, ReadAhead } from "./read_ahead.ts";
import { connectAlpn, type Http3Hint, type Http3Settled, isHttp3, settleHttp3 } from "./http3.ts";
import { Http1Refuser, Http2Refuser, type Refusal, type Refuser } from "./refusal.ts";
import { RequestPolicy } from "./request_policy.ts";
import type { SessionConfig } from "./session_config.ts";

const NOTHING = new Uint8Array(0);
const OFFERS_HTTP3 = "the client offers HTTP/3";
const ESTABLISHED = new TextEncoder().encode("HTTP/1.1 200 Connection Established\r\n\r\n");

/** The alert of RFC 7301 §3.2, as the runtime names it. */
const NO_APPLICATION_PROTOCOL = "ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL";

export class ProxySession implements Session {
  readonly state = new FlowState();
  #now: Instant = 0;
  #startedAt: Instant = 0;
  #bytesFromClient = 0;
  #bytesFromServer = 0;
  #protocol: Protocol = "connect";
  #target: Authority | null = null;
  #decision: Decision | null = null;
  #override: HostOverride | null = null;
  /** Why this flow is HTTP/3, as far as its client has said. */
  #hint: Http3Hint | null = null;
  #questionId = 0;
  #serverOpen = false;
  #serverSecured = false;
  #ended: { client: boolean; server: boolean } = { client: false, server: false };
  #lastActivity: Instant = 0;
  #tunnelNote: string | undefined;
  #exchangeId = 1;
  // Each lives only as long as its phase, so that an idle tunnel holds almost nothing.
  #firstHead: FirstHead | null;
  readonly #ahead = new ReadAhead();
  #first: FirstBytes | null = null;
  /** What the client of a reverse listener began with in the clear. */
  #began: "http1" | "http2" | "opaque" = "opaque";
  #handshakes: Handshakes | null = null;
  #refusal: Refusal | null = null;
  #refuser: Refuser | null = null;
  #relay: Http1Relay | Http2Relay | null = null;
  #observation: FlowObservation | null = null;
  /** What observes the tunnel that an upgrade made of this flow. */
  #upgraded: StreamObservation | null = null;
  #requestPolicy: RequestPolicy | null = null;
  /** Policy blocks some of this connection's requests. */
  #blocksRequests = false;
  /** The name in the ClientHello, where it was decided anew for that. */
  #sni: string | null = null;
  /** What the ClientHello said, once it is there. */
  #hello: HelloFacts | null = null;
  /** Reads beside the relay what a tunnel's client begins with, until that is known. */
  #tunnelPeek: ClientHelloReader | null = null;
  #router: ForwardRouter | null = null;
  /** A CONNECT-UDP. */
  #isUdp = false;
  #datagrams: DatagramRelay | null = null;

  constructor(
    private readonly context: FlowContext,
    private readonly effects: Effects,
    private readonly config: SessionConfig,
    private readonly options: { readonly refuse?: "too_many_flows" } = {},
  ) {
    this.#firstHead = config.reverse === null ? new FirstHead(config) : null;
  }

  /**
   * Without what observers keep: that is theirs to bound (limits.decoder_buffer_bytes), and the rest of a message
   * lets go of it, so that a reader who waited for it to shrink would wait for himself.
   */
  get heldBytes(): number {
    const first = this.#first?.bytes ?? this.#handshakes?.preread ?? NOTHING;
    return this.#ahead.bytes + this.#headBytes + first.length +
      (this.#relay?.heldBytes ?? 0) + (this.#datagrams?.heldBytes ?? 0) + (this.#refuser?.heldBytes ?? 0);
  }

  get unfinishedBytes(): number {
    return this.#headBytes + (this.#first?.bytes.length ?? 0) + (this.#relay?.unfinishedBytes ?? 0) +
      (this.#datagrams?.heldBytes ?? 0);
  }

  begin(now: Instant): void {
    this.#now = now;
    this.#startedAt = now;
    this.#lastActivity = now;
    if (this.options.refuse === "too_many_flows") {
      const answer = tooManyFlowsAnswer(this.config.maxFlows);
      this.#sendAnswer(answer);
      this.#close("limit_exceeded", answer.detail);
      return;
    }
    if (this.config.reverse === null) {
      this.effects.arm("client_head", addMilliseconds(now, this.config.limits.headMs));
      return;
    }
    this.#aim(this.config.reverse.authority);
    if (this.#step("deciding")) this.#ask(null);
  }

  received(side: Side, data: Uint8Array, now: Instant): void {
    this.#now = now;
    this.#lastActivity = now;
    if (side === "client") this.#bytesFromClient += data.length;
    else this.#bytesFromServer += data.length;
    switch (this.state.phase) {
      case "tunnel":
        this.effects.send(opposite(side), data);
        this.#upgraded?.received(side, data);
        if (side === "client") this.#peekInTunnel(data);
        return;
      case "http1":
      case "http2":
        if (this.#router !== null) this.#router.now = now;
        this.#relay!.received(side, data, now);
        return;
      case "closed":
        return;
      case "datagrams":
        this.#relayDatagrams(side, data);
        return;
      case "awaiting_head":
        if (side === "client") this.#readFirstHead(data);
        return;
      case "peeking":
        if (side === "client") this.#peek(data);
        else this.#serverSpokeFirst(data);
        return;
      case "refusing":
        if (side === "client") this.#refuse(data);
        return;
      default:
        // Deciding, opening, securing: what a peer sends ahead waits its turn, and no more is read.
        this.#hold(side, data);
        return;
    }
  }

  ended(side: Side, now: Instant, truncated = false): void {
    this.#now = now;
    this.#ended[side] = true;
    switch (this.state.phase) {
      case "tunnel":
        this.effects.end(opposite(side));
        this.#upgraded?.ended(side);
        if (this.#ended.client && this.#ended.server) this.#close("complete", this.#tunnelNote);
        return;
      case "http1":
      case "http2":
        if (this.#router !== null) {
          this.#router.now = now;
          this.#relay!.ended(side, now, truncated);
          // The relay may have ended the flow, and the router with it.
          if (side === "server") this.#router?.serverGone();
        } else {
          this.#relay!.ended(side, now, truncated);
        }
        return;
      case "closed":
        return;
      case "datagrams":
        if (side === "server") return;
        if (this.#datagrams!.isWithinCapsule) {
          this.#close("client_reset", "The client ended within a capsule");
        } else this.#close("complete");
        return;
      case "awaiting_head":
        if (side === "server") return;
        if (this.#headBytes > 0) {
          this.#connectFailed({
            type: "error",
            code: "truncated_message",
            detail: "The client ended in the middle of its first head",
            offset: this.#headBytes,
            rfc: "RFC 9112 §8",
          });
        } else {
          this.#close("complete");
        }
        return;
      case "deciding":
      case "opening":
        // The client may have sent all it has to say; whether the server is reached is still to be told.
        return;
      case "peeking":
        this.#endedWhilePeeking();
        return;
      case "securing_server":
        // In the clear an end is no more than that: the client has said all it has to say.
        if (side === "client" && this.#handshakes?.hello === null) return;
        break;
      case "securing_refusal":
      case "refusing":
        if (side === "server") return;
        break;
      case "reconsidering":
      case "securing_client":
        break;
    }
    const detail = `The ${side} ended during TLS setup`;
    if (side === "client") this.#clientHandshakeBroken({ kind: "reset", code: "EOF", detail });
    this.#close(side === "client" ? "client_reset" : "server_reset", detail);
  }

  failed(side: Side, fault: TransportFault, now: Instant): void {
    this.#now = now;
    this.#ended[side] = true;
    // In TLS 1.3 a server judges its client when that has long been done (RFC 8446 §4.4.2.4).
    const silent = this.#serverSecured && this.#bytesFromServer === 0 && this.state.phase !== "closed";
    if (silent && side === "server" && fault.kind === "tls") {
      this.#recordTlsFailure("server", fault);
    }
    switch (this.state.phase) {
      case "closed":
        return;
      case "http1":
      case "http2":
        if (this.#router !== null) this.#router.now = now;
        this.#relay!.failed(side, fault, now);
        if (side === "server") this.#router?.serverGone();
        return;
      case "securing_refusal":
      case "refusing":
        if (side === "server") return;
        break;
      default:
        break;
    }
    if (side === "client") this.#clientHandshakeBroken(fault);
    if (this.#serverOpen || side === "server") this.effects.reset(opposite(side));
    this.#close(side === "client" ? "client_reset" : "server_reset", `${fault.code}: ${fault.detail}`);
  }

  opened(now: Instant): void {
    this.#now = now;
    // An earlier server's end says nothing of this one.
    this.#ended.server = false;
    if (this.state.phase === "http1" && this.#router !== null) {
      this.#router.now = now;
      this.#router.opened();
      return;
    }
    if (this.state.phase !== "opening") return;
    this.#serverOpen = true;
    this.effects.disarm("connect");
    if (this.config.reverse !== null) {
      this.#originOpened(this.config.reverse);
      return;
    }
    if (this.#isUdp) {
      this.effects.send("client", UDP_ESTABLISHED);
      this.#beginDatagrams();
      return;
    }
    this.effects.send("client", ESTABLISHED);
    if (this.#tunnelled && !this.config.decidesHellos) {
      this.effects.resume("client");
      this.#tunnel(this.#ahead.take("client"));
    } else this.#beginPeeking();
  }

  openFailed(fault: TransportFault, now: Instant): void {
    this.#now = now;
    if (this.state.phase === "http1" && this.#router !== null) {
      this.#router.now = now;
      this.#router.openFailed(fault);
      return;
    }
    if (this.state.phase !== "opening") return;
    const { answer, reason } = dialFailure(fault, this.#target!);
    if (this.config.reverse === null) {
      this.#sendAnswer(answer);
      this.#close(reason, answer.detail);
    } else this.#tellRefusal({ answer, reason });
  }

  secured(side: Side, info: Secured, now: Instant): void {
    this.#now = now;
    const handshakes = this.#handshakes;
    if (handshakes === null) return;
    switch (this.state.phase) {
      case "securing_server":
        assert(side === "server", "the server is secured first");
        this.#serverSecured = true;
        this.#record(handshakeSucceededEvent("server", info));
        handshakes.chosen = info.alpn === null ? [] : [info.alpn];
        if (handshakes.hello !== null) this.#secureClient("securing_client");
        else this.#originSecured(info.alpn);
        return;
      case "securing_client":
        this.#record(handshakeSucceededEvent("client", info));
        this.effects.disarm("tls_handshake");
        this.#handshakes = null;
        if (info.alpn === "h2") this.#observeHttp2("https");
        else this.#observeHttp("https");
        return;
      case "securing_refusal":
        this.#record(handshakeSucceededEvent("client", info));
        this.effects.disarm("tls_handshake");
        this.#awaitRefusedRequest(info.alpn === "h2" ? "http2" : "http1");
        return;
      default:
        return;
    }
  }

  secureFailed(side: Side, fault: TransportFault, now: Instant): void {
    this.#now = now;
    const handshakes = this.#handshakes;
    if (handshakes === null || this.state.phase === "closed") return;
    const detail = this.#recordTlsFailure(side, fault);
    this.effects.disarm("tls_handshake");
    if (side === "server" && this.state.phase === "securing_server") {
      this.#serverTlsFailed(handshakes, detail.normalizedReason, fault);
      return;
    }
    if (this.#refusal !== null) this.#close(this.#refusal.reason, this.#refusal.answer.detail);
    else this.#close("tls_handshake_failed", `client: ${fault.detail}`);
  }

  decided(id: number, decision: Decision, now: Instant): void {
    this.#now = now;
    if (this.state.phase === "http1" && this.#router !== null) {
      this.#router.now = now;
      this.#router.decided(id, decision);
      return;
    }
    if (id !== this.#questionId) return;
    if (this.state.phase === "http1" || this.state.phase === "http2") {
      const verdict = this.#requestPolicy!.decided(decision);
      if (verdict !== null) this.#relay!.decided(verdict, now);
      return;
    }
    if (this.state.phase === "reconsidering") {
      this.#reconsidered(decision);
      return;
    }
    if (this.state.phase !== "deciding") return;
    this.#blocksRequests = decision.blocksRequests === true;
    const { action, ruleId } = this.#settle(settleHttp3(decision, this.#hint, this.config.http3Passthrough));
    const refusal: Refusal | null = action === "block"
      ? { answer: blockedAnswer(this.#target!, ruleId), reason: "blocked" }
      : null;
    if (this.config.reverse !== null && action !== "tunnel") {
      // What the client speaks decides how it is told of a refusal, and what the origin is asked for.
      this.#refusal = refusal;
      this.#beginPeeking();
    } else if (refusal !== null) {
      this.#sendAnswer(refusal.answer);
      this.#close(refusal.reason, refusal.answer.detail);
    } else this.#open();
  }

  /** The decision on the whole flow. */
  #settle({ decision, passthrough }: Http3Settled, sni: string | null = null): Decision {
    this.#decision = decision;
    this.#override = decision.override ?? null;
    this.#record(connectDecisionEvent(decision, { sni, overrideId: this.#override?.id }));
    if (passthrough !== null) this.#record(http3PassthroughEvent(passthrough));
    return decision;
  }

  expired(timer: Timer, now: Instant): void {
    this.#now = now;
    if (timer === "ws_turn_idle") {
      this.#observation?.expired(now);
      return;
    }
    switch (this.state.phase) {
      case "closed":
        return;
      case "http1":
      case "http2":
        if (timer === "connect") {
          this.#router!.now = now;
          // The dial is given up: were it to succeed later, it would be taken for the next request's.
          this.effects.closeServer();
          this.#router!.openFailed(this.#connectTimeout());
        } else {
          this.#relay!.expired(timer, now);
        }
        return;
      case "tunnel":
      case "datagrams":
        if (timer === "tunnel_idle") this.#tunnelIdle();
        return;
      case "awaiting_head":
        if (timer === "client_head") this.#headTimeout();
        return;
      case "opening":
        if (timer === "connect") {
          // The dial is given up: it must not succeed while the client is being told.
          if (this.config.reverse !== null) this.effects.closeServer();
          this.openFailed(this.#connectTimeout(), now);
        }
        return;
      case "peeking":
        if (timer !== "idle" && timer !== "tls_handshake") return;
        if (this.#tunnelled) this.#tunnel(this.#first!.bytes, this.#releaseServer());
        else {
          const detail = this.#first!.beganTls
            ? "The ClientHello was not whole in time (timeouts.tls_handshake)"
            : "The client did not begin a protocol";
          this.#clientHandshakeBroken({ kind: "timeout", code: "ETIMEDOUT", detail, own: true });
          this.#close(timer === "idle" ? "idle_timeout" : "stage_timeout", detail);
        }
        return;
      case "securing_server":
      case "securing_client":
      case "securing_refusal":
        if (timer === "tls_handshake") {
          this.secureFailed(
            this.state.phase === "securing_server" ? "server" : "client",
            {
              kind: "timeout",
              code: "ETIMEDOUT",
              detail:
                `The handshake took longer than ${this.config.tlsHandshakeMs} ms (timeouts.tls_handshake)`,
              own: true,
            },
            now,
          );
        }
        return;
      case "refusing":
        if (timer === "client_head") this.#close(this.#refusal!.reason, this.#refusal!.answer.detail);
        return;
      case "deciding":
      case "reconsidering":
        return;
    }
  }

  drain(now: Instant): void {
    this.#now = now;
    switch (this.state.phase) {
      case "http1":
      case "http2":
        this.#relay!.drain(now);
        return;
      case "awaiting_head":
        if (this.#headBytes === 0) this.#close("shutdown");
        return;
      case "peeking":
        if (this.#first === null || this.#first.bytes.length === 0) this.#close("shutdown");
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
    this.#now = now;
    if (this.state.phase === "closed") return;
    if (this.#relay !== null) this.#relay.abort(reason, code, detail, now);
    this.#close(reason, detail);
  }

  #readFirstHead(data: Uint8Array): void {
    const read = this.#firstHead!.push(data);
    if (read.type === "more") return;
    this.effects.disarm("client_head");
    this.#firstHead = null;
    switch (read.type) {
      case "plain":
        this.#forwardHttp(read.bytes);
        return;
      case "error":
        this.#connectFailed(read);
        return;
      case "connect":
        this.#aim(read.head.authority);
        if (isHttp3(connectAlpn(read.head.fields))) this.#hint = "connect_alpn";
        if (!this.#step("deciding")) return;
        if (read.rest.length > 0) this.#hold("client", read.rest);
        this.#ask(null);
        return;
    }
  }

  #connectUdp(bytes: Uint8Array): void {
    const read = readConnectUdp(bytes, this.config.limits);
    if (read.type === "error") {
      this.#connectFailed(read);
      return;
    }
    this.#isUdp = true;
    this.#hint = "connect_udp";
    this.#aim(read.authority);
    if (!this.#step("deciding")) return;
    if (read.rest.length > 0) this.#hold("client", read.rest);
    this.#ask(null);
  }

  #beginDatagrams(): void {
    if (!this.#step("datagrams")) return;
    this.#protocol = this.#opaqueProtocol;
    this.#datagrams = new DatagramRelay(this.effects);
    this.effects.resume("client");
    this.effects.arm("tunnel_idle", addMilliseconds(this.#now, this.config.tunnelIdleMs));
    const held = this.#ahead.take("client");
    if (held.length > 0) this.#relayDatagrams("client", held);
    if (this.#ended.client) this.ended("client", this.#now);
  }

  #relayDatagrams(side: Side, data: Uint8Array): void {
    const fault = this.#datagrams!.received(side, data);
    if (fault === null) return;
    // RFC 9297 §3.3: the stream is as malformed as its capsules.
    this.effects.reset("client");
    this.#close("protocol_error", `The client sent ${fault}`);
  }

  get #opaqueProtocol(): Protocol {
    return this.#decision?.reason === "http3" ? "http3" : "tunnel";
  }

  /** Where the flow is to go is known. */
  #aim(target: Authority): void {
    this.#target = target;
    this.context.serverHost = target.host;
    this.context.serverPort = target.port;
    this.#record(connectReceivedEvent(formatAuthority(target), this.#method));
  }

  get #method(): string {
    if (this.#isUdp) return "CONNECT-UDP";
    return this.config.reverse === null ? "CONNECT" : "REVERSE";
  }

  #ask(sni: string | null): void {
    const decision = this.effects.decide(++this.#questionId, {
      flowId: this.context.flowId,
      clientAddr: this.context.clientAddr,
      authority: sni === null ? this.#target! : { host: sni, port: this.#target!.port },
      method: this.#method,
      path: null,
      sni,
      ...(this.#hello === null ? {} : { hello: this.#hello }),
    });
    if (decision !== null) this.decided(this.#questionId, decision, this.#now);
  }

  /** Who lets the requests of this intercepted flow through. */
  #newGate(protocol: "http1" | "http2", scheme: string): RequestPolicy {
    const target = this.#target!;
    const sni = this.#sni;
    return this.#requestPolicy = new RequestPolicy({
      context: this.context,
      protocol,
      scheme,
      target,
      sni,
      hello: this.#hello,
      reverse: this.config.reverse !== null,
      asksAll: this.config.decidesRequests,
      tunnelsOthers: sni === null && isIpAddress(target.host),
      tunnelsSni: isIpAddress(target.host),
      decide: (question) => this.effects.decide(++this.#questionId, question),
      record: (event) => this.#record(event),
    });
  }

  #open(): void {
    if (!this.#step("opening")) return;
    this.effects.arm("connect", addMilliseconds(this.#now, this.config.connectMs));
    if (this.#isUdp) this.effects.openDatagrams(this.#target!);
    else this.effects.open(this.#target!);
  }

  #connectFailed(error: Http1Error): void {
    this.#record(connectParseFailedEvent(error.code, error.detail));
    const answer = badHeadAnswer(error);
    this.#sendAnswer(answer);
    this.#close(answer.status === 431 ? "limit_exceeded" : "connect_parse_failed", error.detail);
  }

  #headTimeout(): void {
    const detail = `The first head was not whole within ${this.config.limits.headMs} ms (timeouts.head)`;
    if (this.#headBytes > 0) {
      this.#sendAnswer({ status: 408, code: "head_timeout", detail, proxyError: "connection_read_timeout" });
    }
    this.#close("stage_timeout", detail);
  }

  #connectTimeout(): TransportFault {
    return {
      kind: "timeout",
      code: "ETIMEDOUT",
      detail: `no connection within ${this.config.connectMs} ms (timeouts.connect)`,
    };
  }

  #forwardHttp(data: Uint8Array): void {
    const router = new ForwardRouter({
      context: this.context,
      effects: this.effects,
      connectMs: this.config.connectMs,
      limits: this.config.limits,
      onConnect: (bytes) => {
        leaveRelay();
        if (!this.#step("awaiting_head")) return;
        this.#firstHead = new FirstHead(this.config);
        this.#readFirstHead(bytes);
      },
      onConnectUdp: (bytes) => {
        leaveRelay();
        if (this.#step("awaiting_head")) this.#connectUdp(bytes);
      },
    });
    const leaveRelay = () => {
      this.#exchangeId = router.relay.nextExchangeId;
      this.#relay = null;
      this.#router = null;
      this.#protocol = "connect";
      this.effects.disarm("idle");
      this.effects.disarm("exchange_idle");
      this.effects.resume("client");
    };
    this.#router = router;
    router.now = this.#now;
    if (!this.#step("http1")) return;
    this.#protocol = "http1";
    router.relay = this.#newRelay("http", router);
    this.#relay = router.relay;
    this.#relay.received("client", data, this.#now);
  }

  #newRelay(scheme: string, router: ForwardRouter | null): Http1Relay {
    const host: RelayHost = {
      send: (side, data) => this.effects.send(side, data),
      reset: (side) => this.effects.reset(side),
      pause: (side) => this.effects.pause(side),
      resume: (side) => this.effects.resume(side),
      arm: (timer, at) => this.effects.arm(timer, at),
      disarm: (timer) => this.effects.disarm(timer),
      record: (event) => this.effects.record(event),
      finish: (reason, detail) => this.#close(reason, detail),
      upgraded: (fromServer, stream) => {
        this.#relay = null;
        this.#router = null;
        this.effects.disarm("idle");
        this.#upgraded = stream;
        this.#tunnel(NOTHING, fromServer);
      },
    };
    return new Http1Relay({
      host,
      limits: this.config.limits,
      capture: this.config.capture,
      observation: this.#observe(),
      scheme,
      authority: this.#target === null ? "" : formatAuthority(this.#target),
      router,
      gate: router === null ? this.#newGate("http1", scheme) : null,
      firstExchangeId: this.#exchangeId,
      stripsAltSvc: this.#override?.stripAltSvc === true,
    }, this.#now);
  }

  #beginPeeking(): void {
    if (!this.#step("peeking")) return;
    this.effects.resume("client");
    this.#first = new FirstBytes(this.#http2Enabled);
    this.effects.arm("idle", addMilliseconds(this.#now, this.config.limits.idleMs));
    const held = this.#ahead.take("client");
    if (held.length > 0) this.#peek(held);
    if (this.#ended.client && this.#first !== null) this.#endedWhilePeeking();
  }

  #peek(data: Uint8Array): void {
    const first = this.#first!;
    if (first.bytes.length === 0) {
      this.effects.disarm("idle");
      this.effects.arm("tls_handshake", addMilliseconds(this.#now, this.config.tlsHandshakeMs));
    }
    const beginning = first.push(data);
    const mayBeHello = beginning.type === "hello" || (beginning.type === "more" && first.mayBeTls);
    if (this.#tunnelled && !mayBeHello) {
      this.#tunnel(first.bytes, this.#releaseServer());
      return;
    }
    if (beginning.type === "more") return;
    this.#first = null;
    this.effects.disarm("tls_handshake");
    switch (beginning.type) {
      case "hello":
        this.#clientHello(beginning.hello, first.bytes);
        return;
      case "malformed":
        this.#malformedHello(beginning.detail, first.bytes);
        return;
      case "http1":
      case "http2":
      case "opaque":
        if (this.config.reverse !== null) {
          this.#originWanted(beginning.type, first.bytes, this.config.reverse);
        } else this.#observePlain(beginning.type, first.bytes);
        return;
    }
  }

  #observePlain(began: "http1" | "http2" | "opaque", bytes: Uint8Array): void {
    if (began === "http1") this.#observeHttp("http", bytes);
    else if (began === "http2") this.#observeHttp2("http", bytes);
    else {
      this.#tunnelNote = "neither TLS nor HTTP";
      this.#tunnel(bytes, this.#releaseServer());
    }
  }

  /** What was peeked at is neither a whole ClientHello nor a whole request: it is carried through. */
  #endedWhilePeeking(): void {
    const first = this.#first!;
    const { reverse } = this.config;
    if (this.#tunnelled || (reverse === null && !first.beganTls)) {
      this.#tunnel(first.bytes, this.#releaseServer());
    } else if (reverse === null || first.mayBeTls) {
      if (first.bytes.length === 0) {
        this.#close("complete");
        return;
      }
      const detail = "The client ended during TLS setup";
      this.#clientHandshakeBroken({ kind: "reset", code: "EOF", detail });
      this.#close("client_reset", detail);
    } else {
      this.#first = null;
      this.effects.disarm("tls_handshake");
      this.#originWanted("opaque", first.bytes, reverse);
    }
  }

  /** The connection of a client that had begun a handshake is lost, or has said nothing for too long. */
  #clientHandshakeBroken(fault: TransportFault): void {
    const begun = this.#first?.beganTls === true || (this.#handshakes?.hello ?? null) !== null;
    if (!begun || this.state.phase === "refusing") return;
    this.#protocol = "tls";
    this.#recordTlsFailure("client", fault);
  }

  /** A reverse listener's client has begun in the clear: how the origin is reached follows from that. */
  #originWanted(began: "http1" | "http2" | "opaque", bytes: Uint8Array, origin: Origin): void {
    this.#began = began;
    this.#hold("client", bytes);
    if (this.#refusal !== null) {
      this.#tellRefusal(this.#refusal);
      return;
    }
    if (origin.tls && began === "opaque") {
      const answer = notHttpAnswer(origin);
      this.#sendAnswer(answer);
      this.#close("protocol_error", answer.detail);
      return;
    }
    if (origin.tls) {
      const targetHost = origin.authority.host;
      this.#handshakes = new Handshakes({ hello: null, preread: NOTHING, targetHost, origin });
      this.#handshakes.offer(began === "http2" ? "h2" : "http/1.1");
    }
    this.#open();
  }

  #originOpened(origin: Origin): void {
    const tunnelled = this.#tunnelled;
    if (tunnelled && this.config.decidesHellos) this.#beginPeeking();
    else if (tunnelled || (this.#began === "opaque" && this.#handshakes === null)) {
      if (!tunnelled) this.#tunnelNote ??= "neither TLS nor HTTP";
      this.effects.resume("client");
      this.#tunnel(this.#ahead.take("client"));
    } else if (origin.tls) this.#secureServer();
    else if (this.#handshakes !== null) this.#secureClient("securing_client");
    else this.#relayToOrigin();
  }

  #originSecured(alpn: string | null): void {
    this.effects.disarm("tls_handshake");
    if (this.#began === "http2" && alpn !== "h2") {
      const answer = serverTlsFailure(
        this.#target!,
        "handshake",
        "it did not choose h2, which the client speaks",
      );
      this.#tellRefusal({ answer, reason: "protocol_error" });
      return;
    }
    this.#handshakes = null;
    this.#relayToOrigin();
  }

  #relayToOrigin(): void {
    this.effects.resume("client");
    this.#observePlain(this.#began, this.#ahead.take("client"));
  }

  /** A protocol in which the server speaks first (SMTP, SSH) is neither TLS nor HTTP. */
  #serverSpokeFirst(data: Uint8Array): void {
    const peeked = this.#first?.bytes ?? NOTHING;
    const said = join(this.#ahead.take("server"), data);
    // A server of HTTP/2 need not wait for the client's preface, which still decides what this is.
    const http2 = !this.#tunnelled && this.config.http2Enabled && isHttp2Preface(peeked) === "more"
      ? isHttp2Settings(said)
      : "no";
    if (http2 !== "no") {
      this.#ahead.hold("server", said);
      if (http2 === "yes") this.effects.pause("server");
      return;
    }
    this.#first = null;
    this.#tunnelNote = "the server spoke first";
    this.#tunnel(peeked, said);
  }

  #malformedHello(detail: string, preread: Uint8Array): void {
    this.#protocol = "tls";
    this.#record(
      handshakeFailedEvent({
        side: "client",
        normalizedReason: "handshake",
        rawProviderError: `malformed ClientHello: ${detail}`,
        provider: "soth-mitm",
        sourceConfidence: "authoritative",
        host: this.#target!.host,
        hostFailures: this.effects.countTlsFailure(this.#target!.host, "handshake"),
      }),
    );
    this.#close("tls_handshake_failed", `malformed ClientHello (${preread.length} bytes): ${detail}`);
  }

  #clientHello(hello: ClientHello, preread: Uint8Array): void {
    this.#protocol = "tls";
    const target = this.#target!;
    const origin = this.config.reverse;
    const handshakes = new Handshakes({ hello, preread, targetHost: target.host, origin });
    this.#handshakes = handshakes;
    const unserved = handshakes.settleOffers(this.#http2Enabled);
    const because = this.#refusal === null ? unserved : null;
    this.#recordHello(hello, because);
    handshakes.fingerprint = lastingJa4(hello, this.#hello!.ja4, this.config.sha256, "t");
    this.effects.pause("client");
    if (hello.sni !== null && hello.sni !== target.host) this.#sni = hello.sni;
    // An origin in the clear has nothing that could take a ClientHello.
    if (isHttp3(hello.alpn) && origin?.tls !== false && !this.#tunnelled) this.#hint = "client_hello";
    if (this.#refusal !== null) this.#tellRefusal(this.#refusal);
    else if (this.#sni !== null || this.config.decidesHellos) {
      if (this.#step("reconsidering")) this.#ask(this.#sni);
    } else if (this.#hint !== null && this.config.http3Passthrough) {
      this.#settle(settleHttp3(this.#decision!, this.#hint, true));
      this.#tunnelHello(OFFERS_HTTP3);
    } else this.#goOn(because);
  }

  #recordHello(hello: ClientHello, tunnelledBecause: string | null): void {
    const { md5, sha256, reverse } = this.config;
    const { host } = this.#target!;
    this.#hello = { sni: hello.sni, alpn: hello.alpn, ja4: ja4(hello, sha256, "t"), connectHost: host };
    // Behind a reverse listener nobody named a host before.
    const connectHost = reverse !== null || hello.sni === null || hello.sni === host ? null : host;
    const facts = { ja3: ja3(hello, md5), ja4: this.#hello.ja4, tunnelledBecause, connectHost };
    this.#record(clientHelloEvent(hello, facts));
  }

  /**
   * The decision in the knowledge of the ClientHello. One for another name in it is taken over only where it is a
   * block, or where the CONNECT named an address: else a client could escape observation by naming a host that is
   * let through. One that a rule about hellos made holds in any case.
   */
  #reconsidered(given: Decision): void {
    const handshakes = this.#handshakes!;
    const decision = given.prior ?? given;
    const { action, onHello = false } = decision;
    this.#blocksRequests ||= decision.blocksRequests === true;
    const sni = this.#sni;
    const named = sni ?? this.#target!.host;
    // What a name says of TLS holds for the server that is verified for it.
    const { reverse, http3Passthrough } = this.config;
    const isAddress = isIpAddress(this.#target!.host);
    const passesThrough = this.#decision?.reason === "http3" || (this.#hint !== null && http3Passthrough);
    if (this.#tunnelled && action !== "block" && (!onHello || passesThrough || reverse !== null)) {
      this.#tunnelHello();
      return;
    }
    const holds = onHello || action === "block" || (isAddress && reverse?.tls !== false);
    const settled = settleHttp3(holds ? given : this.#decision!, this.#hint, http3Passthrough);
    if (settled.passthrough !== null) {
      this.#settle(settled, sni);
      this.#tunnelHello(this.#hint === null ? `${named} is tunnelled` : OFFERS_HTTP3);
      return;
    }
    if (onHello || action === "block" || sni !== null) {
      if (reverse === null) {
        this.#override = decision.override ?? (isAddress || sni === null ? this.#override : null);
      }
      const ja4 = onHello || sni === null ? this.#hello!.ja4 : null;
      this.#record(connectDecisionEvent(decision, { sni, ja4, overrideId: this.#override?.id }));
    }
    if (onHello) this.#decision = decision;
    const because = handshakes.settleOffers(this.#http2Enabled);
    if (action === "block") this.#close("blocked", `${named} is blocked`);
    else if (action === "tunnel" && (isAddress || onHello) && reverse?.tls !== false) {
      this.#tunnelHello(onHello ? `rule ${decision.ruleId}` : `${named} is tunnelled`);
    } else this.#goOn(because);
  }

  #goOn(unserved: string | null): void {
    if (unserved !== null) this.#tunnelHello(unserved);
    else this.#secureBoth();
  }

  get #tunnelled(): boolean {
    return this.#decision?.action === "tunnel";
  }

  get #http2Enabled(): boolean {
    return this.config.http2Enabled && this.#override?.disableH2 !== true;
  }

  get #tlsProfile(): TlsProfile {
    return this.#override?.profile ?? this.config.tlsProfile;
  }

  /** The server's side comes first; a reverse listener has still to reach it. */
  #secureBoth(): void {
    if (this.#bypassLearned()) return;
    if (this.#serverOpen) this.#secureServer();
    else this.#open();
  }

  /** A client that is known to refuse the CA for this very host is let through: nothing is secured yet. */
  #bypassLearned(): boolean {
    if (this.#learningBar() !== null) return false;
    const client = this.#learningKey();
    const note = this.effects.learned(client);
    if (note === null) return false;
    this.#record(learningAuditEvent(client, note));
    if (note.outcome !== "bypassed") return false;
    const decision = { action: "tunnel", reason: "learned_bypass", ruleId: null } as const;
    this.#record(connectDecisionEvent(decision, { sni: this.#sni }));
    this.#tunnelHello(`its client refuses the CA for ${client.host} (learned bypass)`);
    return true;
  }

  #learningKey(): LearningKey {
    const { leafName, fingerprint } = this.#handshakes!;
    return { host: leafName, fingerprint };
  }

  /** Why nothing is to be learned of this flow, nor what was learned holds for it. */
  #learningBar(): LearningBar | null {
    if (this.#refusal !== null) return "refused_flow";
    if (this.config.reverse?.tls === false) return "not_tunnelable";
    if (this.#blocksRequests) return "requests_blocked";
    // As with policy: by the name in its ClientHello nobody escapes what the CONNECT was decided for.
    return this.#sni !== null && !isIpAddress(this.#target!.host) ? "names_differ" : null;
  }

  #learn({ normalizedReason, sourceConfidence }: TlsFailure, error: string): void {
    const client = this.#learningKey();
    const bar = this.#learningBar();
    const failure: ClientTlsFailure = { ...client, normalizedReason, sourceConfidence, error, bar };
    const note = this.effects.learn(failure);
    if (note !== null) this.#record(learningAuditEvent(client, note, failure));
  }

  #tunnelHello(because?: string): void {
    const { preread } = this.#handshakes!;
    this.#handshakes = null;
    this.#tunnelNote = because;
    if (!this.#serverOpen) {
      this.#hold("client", preread);
      this.#open();
      return;
    }
    this.effects.resume("client");
    this.#tunnel(join(preread, this.#ahead.take("client")), this.#releaseServer());
  }

  #secureServer(): void {
    const handshakes = this.#handshakes!;
    if (this.#ahead.has("server")) {
      this.#tunnelHello("the server spoke first");
      return;
    }
    if (!this.#step("securing_server")) return;
    this.#record(handshakeStartedEvent("server", handshakes.offers));
    const nameless = this.config.reverse === null && handshakes.hello?.sni === null;
    if (this.config.upstreamSniMode === "required" && nameless) {
      this.secureFailed("server", {
        kind: "tls",
        code: "SNI_REQUIRED",
        detail: "the client sent no server name and tls.upstream_sni_mode is required",
        own: true,
      }, this.#now);
      return;
    }
    this.effects.arm("tls_handshake", addMilliseconds(this.#now, this.config.tlsHandshakeMs));
    this.effects.secureServer({
      host: handshakes.serverName,
      port: this.#target!.port,
      alpn: handshakes.offers,
      profile: this.#tlsProfile,
      verify: this.#override?.skipUpstreamVerify !== true,
      overrideId: this.#override?.id ?? null,
    });
  }

  #secureClient(next: "securing_client" | "securing_refusal"): void {
    const handshakes = this.#handshakes!;
    if (!this.#step(next)) return;
    this.#record(handshakeStartedEvent("client", handshakes.chosen));
    this.effects.arm("tls_handshake", addMilliseconds(this.#now, this.config.tlsHandshakeMs));
    this.effects.secureClient({
      preread: join(handshakes.preread, this.#ahead.take("client")),
      host: handshakes.leafName,
      alpn: handshakes.chosen,
      profile: this.#tlsProfile,
    });
    this.effects.resume("client");
  }

  #recordTlsFailure(side: Side, fault: TransportFault): { normalizedReason: string } {
    const target = this.#sni ?? this.#target!.host;
    const { serverName, leafName } = this.#handshakes ?? { serverName: target, leafName: target };
    const host = side === "server" ? serverName : leafName;
    const failure = normalizeTlsFailure(fault, side);
    const { normalizedReason } = failure;
    // What is found out on another connection may not be what was shown on this one.
    const sourceConfidence = fault.raw === undefined ? failure.sourceConfidence : "inferred";
    const rawProviderError = fault.raw ?? `${fault.code}: ${fault.detail}`;
    this.#record(
      handshakeFailedEvent({
        side,
        normalizedReason,
        rawProviderError,
        provider: fault.own === true ? "soth-mitm" : "deno-rustls",
        detail: fault.raw === undefined ? undefined : fault.detail,
        sourceConfidence,
        host,
        hostFailures: this.effects.countTlsFailure(host, normalizedReason),
      }),
    );
    // A client is known by its hello, and one that was cut short is nobody's.
    if (side === "client" && this.#handshakes !== null) {
      this.#learn({ normalizedReason, sourceConfidence }, rawProviderError);
    }
    return { normalizedReason };
  }

  #serverTlsFailed(handshakes: Handshakes, normalizedReason: string, fault: TransportFault): void {
    const authority = { host: handshakes.serverName, port: this.#target!.port };
    const { offers, offeredAll } = handshakes;
    if (fault.code !== NO_APPLICATION_PROTOCOL || !offeredAll) {
      const answer = serverTlsFailure(authority, normalizedReason, fault.detail);
      this.#tellRefusal({ answer, reason: "tls_handshake_failed" });
      return;
    }
    // All that the client offers was refused: it gets the failure that it would get from the server itself.
    const detail = `the server speaks none of the protocols that the client offers (${offers.join(", ")})`;
    const answer = serverTlsFailure(authority, normalizedReason, detail);
    handshakes.chosen = [notOffered(offers)];
    this.#refuseInTls({ answer, reason: "tls_handshake_failed" });
  }

  /** A client that began with TLS is told inside TLS: its handshake is made to tell it. */
  #tellRefusal(refusal: Refusal): void {
    const handshakes = this.#handshakes;
    if (handshakes !== null && handshakes.hello !== null) {
      handshakes.chosen = preferringHttp1(handshakes.offers);
      this.#refuseInTls(refusal);
      return;
    }
    this.#giveUpServer();
    this.#refusal = refusal;
    if (this.#began === "opaque") {
      // There is no telling it in a protocol that is not known.
      this.effects.reset("client");
      this.#close(refusal.reason, refusal.answer.detail);
      return;
    }
    this.effects.resume("client");
    this.#awaitRefusedRequest(this.#began);
    this.#refuse(this.#ahead.take("client"));
    if (this.#ended.client) this.#close(refusal.reason, refusal.answer.detail);
  }

  #refuseInTls(refusal: Refusal): void {
    this.#giveUpServer();
    this.#refusal = refusal;
    this.#secureClient("securing_refusal");
  }

  #giveUpServer(): void {
    if (this.#serverOpen) this.effects.closeServer();
    this.#serverOpen = false;
  }

  #awaitRefusedRequest(version: "http1" | "http2"): void {
    if (!this.#step("refusing")) return;
    const send = (data: Uint8Array) => this.effects.send("client", data);
    const { answer } = this.#refusal!;
    this.#refuser = version === "http2"
      ? new Http2Refuser(answer, this.config, send)
      : new Http1Refuser(answer, this.config, send);
    this.effects.arm("client_head", addMilliseconds(this.#now, this.config.limits.headMs));
  }

  #refuse(data: Uint8Array): void {
    const { answer, reason } = this.#refusal!;
    if (this.#refuser!.push(data)) this.#close(reason, answer.detail);
  }

  #observe(): Observation {
    if (!this.config.observes) return NO_OBSERVATION;
    return this.#observation ??= new FlowObservation({
      config: this.config.observe,
      record: (event) => this.effects.record(event),
      now: () => this.#now,
      timer: {
        arm: (at) => this.effects.arm("ws_turn_idle", at),
        disarm: () => this.effects.disarm("ws_turn_idle"),
      },
    });
  }

  #observeHttp(scheme: string, preread?: Uint8Array): void {
    if (!this.#step("http1")) return;
    this.#protocol = "http1";
    this.#relay = this.#newRelay(scheme, null);
    this.#feedRelay(preread);
  }

  #observeHttp2(scheme: string, preread?: Uint8Array): void {
    if (!this.#step("http2")) return;
    this.#protocol = "http2";
    this.#relay = new Http2Relay({
      host: {
        send: (side, data) => this.effects.send(side, data),
        reset: (side) => this.effects.reset(side),
        pause: (side) => this.effects.pause(side),
        resume: (side) => this.effects.resume(side),
        arm: (timer, at) => this.effects.arm(timer, at),
        disarm: (timer) => this.effects.disarm(timer),
        record: (event) => this.effects.record(event),
        finish: (reason, detail) => this.#close(reason, detail),
      },
      limits: this.config.http2Limits,
      capture: this.config.capture,
      observation: this.#observe(),
      scheme,
      authority: this.#target === null ? "" : formatAuthority(this.#target),
      gate: this.#newGate("http2", scheme),
      firstExchangeId: this.#exchangeId,
      stripsAltSvc: this.#override?.stripAltSvc === true,
    }, this.#now);
    this.#feedRelay(preread);
  }

  /** What came before the relay did; each of these may end it. */
  #feedRelay(fromClient: Uint8Array = NOTHING): void {
    if (fromClient.length > 0) this.#relay?.received("client", fromClient, this.#now);
    const early = this.#releaseServer();
    if (early.length > 0) this.#relay?.received("server", early, this.#now);
    if (this.#ended.client) this.#relay?.ended("client", this.#now);
  }

  /** What was read ahead goes out first; an end that came before the tunnel is carried on after it. */
  #tunnel(fromClient: Uint8Array = NOTHING, fromServer: Uint8Array = NOTHING): void {
    if (!this.#step("tunnel")) return;
    this.#protocol = this.#opaqueProtocol;
    this.#first = null;
    this.effects.disarm("idle");
    this.effects.disarm("tls_handshake");
    this.effects.arm("tunnel_idle", addMilliseconds(this.#now, this.config.tunnelIdleMs));
    if (fromClient.length > 0) this.effects.send("server", fromClient);
    if (fromServer.length > 0) this.effects.send("client", fromServer);
    if (this.#ended.client) this.effects.end("server");
    if (this.#ended.server) this.effects.end("client");
    if (this.#upgraded !== null) this.#observeUpgraded(this.#upgraded, fromServer);
    if (this.#upgraded === null && this.#hello === null) {
      this.#tunnelPeek = new ClientHelloReader();
      this.#peekInTunnel(fromClient);
    }
    if (this.#ended.client && this.#ended.server) this.#close("complete", this.#tunnelNote);
  }

  /** What a client offers is on record whatever was decided; it has gone out before it is looked at. */
  #peekInTunnel(data: Uint8Array): void {
    if (this.#tunnelPeek === null || data.length === 0) return;
    const read = this.#tunnelPeek.push(data);
    if (read.type === "more") return;
    this.#tunnelPeek = null;
    if (read.type === "hello") this.#recordHello(read.hello, null);
  }

  #observeUpgraded(stream: StreamObservation, fromServer: Uint8Array): void {
    this.#protocol = stream.protocol;
    if (fromServer.length > 0) stream.received("server", fromServer);
    if (this.#ended.client) stream.ended("client");
    if (this.#ended.server) stream.ended("server");
  }

  #tunnelIdle(): void {
    const due = addMilliseconds(this.#lastActivity, this.config.tunnelIdleMs);
    if (this.#now < due) this.effects.arm("tunnel_idle", due);
    else this.#close("idle_timeout", `No byte for ${this.config.tunnelIdleMs} ms (timeouts.tunnel_idle)`);
  }

  #hold(side: Side, data: Uint8Array): void {
    this.#ahead.hold(side, data);
    this.effects.pause(side);
  }

  /** What the server said while it was not its turn; now it is read again. */
  #releaseServer(): Uint8Array {
    const held = this.#ahead.take("server");
    if (held.length > 0) this.effects.resume("server");
    return held;
  }

  /** What is there of the first head. */
  get #headBytes(): number {
    return this.#firstHead?.bytes ?? 0;
  }

  #sendAnswer(answer: Answer): void {
    this.effects.send("client", encodeAnswer(answer, { close: true }));
  }

  #record(event: FlowEvent): void {
    this.effects.record(event);
  }

  #step(next: Parameters<FlowState["to"]>[0]): boolean {
    if (this.state.to(next)) return true;
    const from = this.state.phase;
    if (from !== "closed") this.#close("internal_error", `Cannot go from ${from} to ${next}`);
    return false;
  }

  #close(reason: CloseReason, detail?: string): void {
    if (this.state.phase === "closed") return;
    this.state.to("closed");
    this.#upgraded?.closed({ orderly: reason === "complete", by: closedBy(reason) });
    this.#record(streamClosedEvent({
      protocol: this.#protocol,
      reason,
      detail,
      bytesFromClient: this.#bytesFromClient,
      bytesFromServer: this.#bytesFromServer,
      durationNs: this.#now - this.#startedAt,
      datagrams: this.#datagrams?.counts ?? null,
    }));
    this.#datagrams = null;
    this.#firstHead = null;
    this.#first = null;
    this.#handshakes = null;
    this.#relay = null;
    this.#observation?.close();
    this.#observation = null;
    this.#upgraded = null;
    this.#tunnelPeek = null;
    this.#router = null;
    this.#ahead.drop();
    this.#refuser = null;
    this.effects.close();
  }
}

/** Who ended an upgraded flow otherwise than by ending it in order. */
function closedBy(reason: CloseReason): Side | "proxy" | null {
  if (reason === "complete") return null;
  return reason === "client_reset" ? "client" : reason === "server_reset" ? "server" : "proxy";
}

function isIpAddress(host: string): boolean {
  return host.includes(":") || /^[0-9.]+$/.test(host);
}
