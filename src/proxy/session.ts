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
import type { Decision, Effects, Secured, Session, Timer, TransportFault } from "../core/session.ts";
import { opposite, type Side } from "../core/side.ts";
import type { Answer } from "../http/answer.ts";
import { encodeAnswer } from "../http1/answer.ts";
import { isConnect, parseConnectHead } from "../http1/connect.ts";
import type { Http1Error } from "../http1/errors.ts";
import { HeadReader } from "../http1/head_reader.ts";
import { Http1Relay, type RelayHost } from "../http1/relay.ts";
import { Http2Relay } from "../http2/relay.ts";
import { FlowObservation } from "../observe/flow_observation.ts";
import { type ClientHello, ClientHelloReader } from "../tls/client_hello.ts";
import { normalizeTlsFailure } from "../tls/failure.ts";
import { ja3, ja4 } from "../tls/fingerprint.ts";
import { isHttp2Preface, type Likeness, looksLikeHttp } from "../tls/sniff.ts";
import {
  badHeadAnswer,
  blockedAnswer,
  dialFailure,
  serverTlsFailure,
  tooManyFlowsAnswer,
} from "./answers.ts";
import {
  clientHelloEvent,
  connectDecisionEvent,
  connectParseFailedEvent,
  connectReceivedEvent,
  handshakeFailedEvent,
  handshakeStartedEvent,
  handshakeSucceededEvent,
  streamClosedEvent,
} from "./events.ts";
import { FlowState } from "./flow_state.ts";
import { ForwardRouter } from "./forward.ts";
import type { SessionConfig } from "./session_config.ts";

const NOTHING = new Uint8Array(0);
const NOTHING_HELD: Readonly<Record<Side, Uint8Array>> = { client: NOTHING, server: NOTHING };
const ESTABLISHED = new TextEncoder().encode("HTTP/1.1 200 Connection Established\r\n\r\n");
/** What an intercepted connection is served in beside `h2`; `curl --http1.0` offers the second alone. */
const HTTP1_ALPN: readonly string[] = ["http/1.1", "http/1.0"];

/** What is known once the client's hello has been read, until both handshakes are over. */
interface Handshakes {
  readonly hello: ClientHello;
  readonly preread: Uint8Array;
  /** The name the leaf is for and the server is asked for. */
  readonly host: string;
  readonly offers: readonly string[];
  chosen: readonly string[];
  refusal: { readonly answer: Answer; readonly detail: string } | null;
}

export class ProxySession implements Session {
  readonly state = new FlowState();
  #now: Instant = 0;
  #startedAt: Instant = 0;
  #bytesFromClient = 0;
  #bytesFromServer = 0;
  #protocol: Protocol = "connect";
  #target: Authority | null = null;
  #decision: Decision | null = null;
  #questionId = 0;
  #serverOpen = false;
  #ended: { client: boolean; server: boolean } = { client: false, server: false };
  #lastActivity: Instant = 0;
  #tunnelNote: string | undefined;
  #exchangeId = 1;
  // Each lives only as long as its phase, so that an idle tunnel holds almost nothing.
  #headReader: HeadReader | null;
  /** The beginning of the first head until it tells whether that is a CONNECT: a few octets. */
  #firstOctets = NOTHING;
  #held = NOTHING_HELD;
  #helloReader: ClientHelloReader | null = null;
  #handshakes: Handshakes | null = null;
  #relay: Http1Relay | Http2Relay | null = null;
  #observation: FlowObservation | null = null;
  #router: ForwardRouter | null = null;

  constructor(
    private readonly context: FlowContext,
    private readonly effects: Effects,
    private readonly config: SessionConfig,
    private readonly options: { readonly refuse?: "too_many_flows" } = {},
  ) {
    this.#headReader = this.#newHeadReader();
  }

  get heldBytes(): number {
    const hello = this.#helloReader?.bytes ?? this.#handshakes?.preread ?? NOTHING;
    return this.#held.client.length + this.#held.server.length + this.#headBytes + hello.length +
      (this.#relay?.heldBytes ?? 0) + (this.#observation?.heldBytes ?? 0);
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
    this.effects.arm("client_head", addMilliseconds(now, this.config.limits.headMs));
  }

  received(side: Side, data: Uint8Array, now: Instant): void {
    this.#now = now;
    this.#lastActivity = now;
    if (side === "client") this.#bytesFromClient += data.length;
    else this.#bytesFromServer += data.length;
    switch (this.state.phase) {
      case "tunnel":
        this.effects.send(opposite(side), data);
        return;
      case "http1":
      case "http2":
        if (this.#router !== null) this.#router.now = now;
        this.#relay!.received(side, data, now);
        return;
      case "closed":
        return;
      case "awaiting_head":
        if (side === "client") this.#firstHead(data);
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
      case "reconsidering":
      case "securing_server":
      case "securing_client":
      case "securing_refusal":
      case "refusing":
        if (side === "server" && this.#handshakes?.refusal !== null) return;
        this.#close(
          side === "client" ? "client_reset" : "server_reset",
          `The ${side} ended during TLS setup`,
        );
        return;
    }
  }

  failed(side: Side, fault: TransportFault, now: Instant): void {
    this.#now = now;
    this.#ended[side] = true;
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
    this.effects.send("client", ESTABLISHED);
    this.effects.resume("client");
    const held = this.#takeHeld("client");
    if (this.#decision!.action === "tunnel") {
      this.#tunnel(held);
      return;
    }
    if (!this.#step("peeking")) return;
    this.#helloReader = new ClientHelloReader();
    this.effects.arm("idle", addMilliseconds(now, this.config.limits.idleMs));
    if (held.length > 0) this.#peek(held);
    if (this.#ended.client && this.#helloReader !== null) this.#endedWhilePeeking();
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
    this.#sendAnswer(answer);
    this.#close(reason, answer.detail);
  }

  secured(side: Side, info: Secured, now: Instant): void {
    this.#now = now;
    const handshakes = this.#handshakes;
    if (handshakes === null) return;
    switch (this.state.phase) {
      case "securing_server":
        assert(side === "server", "the server is secured first");
        this.#record(handshakeSucceededEvent("server", info));
        handshakes.chosen = info.alpn === null ? [] : [info.alpn];
        this.#secureClient("securing_client");
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
        if (!this.#step("refusing")) return;
        this.#headReader = this.#newHeadReader();
        this.effects.arm("client_head", addMilliseconds(now, this.config.limits.headMs));
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
      this.#serverTlsFailed(handshakes, detail.normalizedReason, fault.detail);
      return;
    }
    this.#close("tls_handshake_failed", handshakes.refusal?.detail ?? `client: ${fault.detail}`);
  }

  decided(id: number, decision: Decision, now: Instant): void {
    this.#now = now;
    if (this.state.phase === "http1" && this.#router !== null) {
      this.#router.now = now;
      this.#router.decided(id, decision);
      return;
    }
    if (id !== this.#questionId) return;
    if (this.state.phase === "reconsidering") {
      this.#reconsidered(decision);
      return;
    }
    if (this.state.phase !== "deciding") return;
    this.#decision = decision;
    this.#record(connectDecisionEvent(decision));
    if (decision.action === "block") {
      const answer = blockedAnswer(this.#target!, decision.ruleId);
      this.#sendAnswer(answer);
      this.#close("blocked", answer.detail);
      return;
    }
    if (!this.#step("opening")) return;
    this.effects.arm("connect", addMilliseconds(now, this.config.connectMs));
    this.effects.open(this.#target!);
  }

  expired(timer: Timer, now: Instant): void {
    this.#now = now;
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
        if (timer === "tunnel_idle") this.#tunnelIdle();
        return;
      case "awaiting_head":
        if (timer === "client_head") this.#headTimeout();
        return;
      case "opening":
        if (timer === "connect") this.openFailed(this.#connectTimeout(), now);
        return;
      case "peeking":
        if (timer === "idle" || timer === "tls_handshake") {
          this.#close(
            timer === "idle" ? "idle_timeout" : "stage_timeout",
            "The client did not begin a protocol",
          );
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
            },
            now,
          );
        }
        return;
      case "refusing":
        if (timer === "client_head") this.#close("tls_handshake_failed", this.#handshakes!.refusal!.detail);
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
        if (this.#helloReader === null || this.#helloReader.bytes.length === 0) this.#close("shutdown");
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

  #firstHead(data: Uint8Array): void {
    const reader = this.#headReader!;
    let bytes = data;
    if (reader.buffered === 0) {
      // What is no CONNECT is the plain-HTTP relay's business from its first byte on, however that came.
      bytes = join(this.#firstOctets, data);
      const likeness = connectLikeness(bytes);
      this.#firstOctets = likeness === "more" ? bytes.slice() : NOTHING;
      if (likeness === "more") return;
      if (likeness === "no") {
        this.#headReader = null;
        this.effects.disarm("client_head");
        this.#forwardHttp(bytes);
        return;
      }
    }
    const read = reader.push(bytes, 0);
    if (read.type === "more") return;
    this.effects.disarm("client_head");
    this.#headReader = null;
    if (read.type === "error") {
      this.#connectFailed(read);
      return;
    }
    const rest = bytes.subarray(read.next);
    const connect = parseConnectHead(read.bytes, this.config.connectParseMode, this.config.limits);
    if (connect.type === "error") {
      this.#connectFailed(connect);
      return;
    }
    this.#target = connect.authority;
    this.context.serverHost = connect.authority.host;
    this.context.serverPort = connect.authority.port;
    this.#record(connectReceivedEvent(formatAuthority(connect.authority), "CONNECT"));
    if (!this.#step("deciding")) return;
    if (rest.length > 0) this.#hold("client", rest);
    this.#ask(null);
  }

  #ask(sni: string | null): void {
    this.effects.decide(++this.#questionId, {
      flowId: this.context.flowId,
      clientAddr: this.context.clientAddr,
      authority: sni === null ? this.#target! : { host: sni, port: this.#target!.port },
      method: "CONNECT",
      path: null,
      sni,
    });
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
      onConnect: (bytes) => {
        this.#exchangeId = router.relay.nextExchangeId;
        this.#relay = null;
        this.#router = null;
        this.#protocol = "connect";
        this.effects.disarm("idle");
        this.effects.disarm("exchange_idle");
        this.effects.resume("client");
        if (!this.#step("awaiting_head")) return;
        this.#headReader = this.#newHeadReader();
        this.#firstHead(bytes);
      },
    });
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
      upgraded: (fromClient, fromServer) => {
        this.#relay = null;
        this.#router = null;
        this.effects.disarm("idle");
        this.#tunnel(fromClient, fromServer);
      },
    };
    return new Http1Relay({
      host,
      limits: this.config.limits,
      capture: this.config.capture,
      observation: this.#observation ??= this.#observe(),
      scheme,
      authority: this.#target === null ? "" : formatAuthority(this.#target),
      router,
      firstExchangeId: this.#exchangeId,
    }, this.#now);
  }

  #peek(data: Uint8Array): void {
    const reader = this.#helloReader!;
    if (reader.bytes.length === 0) {
      this.effects.disarm("idle");
      this.effects.arm("tls_handshake", addMilliseconds(this.#now, this.config.tlsHandshakeMs));
    }
    const read = reader.push(data);
    switch (read.type) {
      case "more":
        return;
      case "hello":
        this.#helloReader = null;
        this.effects.disarm("tls_handshake");
        this.#clientHello(read.hello, reader.bytes);
        return;
      case "malformed":
        this.#malformedHello(read.detail, reader.bytes);
        return;
      case "not_tls": {
        const http2 = this.config.http2Enabled ? isHttp2Preface(reader.bytes) : "no";
        const http = looksLikeHttp(reader.bytes);
        if (http === "more" || http2 === "more") return;
        this.#helloReader = null;
        this.effects.disarm("tls_handshake");
        if (http2 === "yes") this.#observeHttp2("http", reader.bytes);
        else if (http === "yes") this.#observeHttp("http", reader.bytes);
        else {
          this.#tunnelNote = "neither TLS nor HTTP";
          this.#tunnel(reader.bytes);
        }
        return;
      }
    }
  }

  /** What was peeked at is neither a whole ClientHello nor a whole request: it is carried through. */
  #endedWhilePeeking(): void {
    this.#tunnel(this.#helloReader?.bytes ?? NOTHING);
  }

  /** A protocol in which the server speaks first (SMTP, SSH) is neither TLS nor HTTP. */
  #serverSpokeFirst(data: Uint8Array): void {
    const peeked = this.#helloReader?.bytes ?? NOTHING;
    this.#helloReader = null;
    this.#tunnelNote = "the server spoke first";
    this.#tunnel(peeked, data);
  }

  #malformedHello(detail: string, preread: Uint8Array): void {
    this.#protocol = "tls";
    this.#record(
      handshakeFailedEvent({
        side: "client",
        normalizedReason: "handshake",
        rawProviderError: `malformed ClientHello: ${detail}`,
        sourceConfidence: "authoritative",
        host: this.#target!.host,
        hostFailures: this.effects.countTlsFailure(this.#target!.host, "handshake"),
      }),
    );
    this.#close("tls_handshake_failed", `malformed ClientHello (${preread.length} bytes): ${detail}`);
  }

  #clientHello(hello: ClientHello, preread: Uint8Array): void {
    this.#protocol = "tls";
    const fingerprints = { ja3: ja3(hello, this.config.md5), ja4: ja4(hello, this.config.sha256, "t") };
    const offers = hello.alpn.filter((protocol) =>
      HTTP1_ALPN.includes(protocol) || (protocol === "h2" && this.config.http2Enabled)
    );
    const servable = hello.alpn.length === 0 || offers.length > 0;
    const because = servable ? null : `the client offers only ${hello.alpn.join(", ")}`;
    this.#record(clientHelloEvent(hello, fingerprints, because));
    const target = this.#target!;
    this.#handshakes = {
      hello,
      preread,
      host: hello.sni ?? target.host,
      offers,
      chosen: [],
      refusal: null,
    };
    this.effects.pause("client");
    if (hello.sni !== null && hello.sni !== target.host) {
      if (!this.#step("reconsidering")) return;
      this.#ask(hello.sni);
      return;
    }
    if (because !== null) this.#tunnelHello(because);
    else this.#secureServer();
  }

  /**
   * The decision for the name in the ClientHello. Where the CONNECT named a host, only a block is
   * taken over: else a client could escape observation by naming a host that is let through.
   */
  #reconsidered(decision: Decision): void {
    const { hello, offers } = this.#handshakes!;
    this.#record(connectDecisionEvent(decision, hello.sni ?? undefined));
    if (decision.action === "block") {
      this.#close("blocked", `${hello.sni} is blocked`);
      return;
    }
    if (decision.action === "tunnel" && isIpAddress(this.#target!.host)) {
      this.#tunnelHello(`${hello.sni} is tunnelled`);
      return;
    }
    if (hello.alpn.length > 0 && offers.length === 0) {
      this.#tunnelHello(`the client offers only ${hello.alpn.join(", ")}`);
      return;
    }
    this.#secureServer();
  }

  #tunnelHello(because: string): void {
    const { preread } = this.#handshakes!;
    this.#handshakes = null;
    this.#tunnelNote = because;
    this.effects.resume("client");
    this.#tunnel(join(preread, this.#takeHeld("client")), this.#releaseServer());
  }

  #secureServer(): void {
    const handshakes = this.#handshakes!;
    if (this.#held.server.length > 0) {
      this.#tunnelHello("the server spoke first");
      return;
    }
    if (!this.#step("securing_server")) return;
    this.#record(handshakeStartedEvent("server", handshakes.offers));
    if (this.config.upstreamSniMode === "required" && handshakes.hello.sni === null) {
      this.secureFailed("server", {
        kind: "tls",
        code: "SNI_REQUIRED",
        detail: "the client sent no server name and tls.upstream_sni_mode is required",
      }, this.#now);
      return;
    }
    this.effects.arm("tls_handshake", addMilliseconds(this.#now, this.config.tlsHandshakeMs));
    this.effects.secureServer({
      host: handshakes.host,
      port: this.#target!.port,
      alpn: handshakes.offers,
    });
  }

  #secureClient(next: "securing_client" | "securing_refusal"): void {
    const handshakes = this.#handshakes!;
    if (!this.#step(next)) return;
    this.#record(handshakeStartedEvent("client", handshakes.chosen));
    this.effects.arm("tls_handshake", addMilliseconds(this.#now, this.config.tlsHandshakeMs));
    this.effects.secureClient({
      preread: join(handshakes.preread, this.#takeHeld("client")),
      host: handshakes.host,
      alpn: handshakes.chosen,
    });
    this.effects.resume("client");
  }

  #recordTlsFailure(side: Side, fault: TransportFault): { normalizedReason: string } {
    const host = this.#handshakes!.host;
    const { normalizedReason, sourceConfidence } = normalizeTlsFailure(fault, side);
    this.#record(
      handshakeFailedEvent({
        side,
        normalizedReason,
        rawProviderError: `${fault.code}: ${fault.detail}`,
        sourceConfidence,
        host,
        hostFailures: this.effects.countTlsFailure(host, normalizedReason),
      }),
    );
    return { normalizedReason };
  }

  /** The 200 is out, so the honest status goes inside TLS: the client's handshake is made to tell it. */
  #serverTlsFailed(handshakes: Handshakes, normalizedReason: string, detail: string): void {
    const answer = serverTlsFailure(
      { host: handshakes.host, port: this.#target!.port },
      normalizedReason,
      detail,
    );
    handshakes.refusal = { answer, detail: answer.detail };
    // The refusal is told in HTTP/1.1.
    handshakes.chosen = handshakes.offers.filter((protocol) => HTTP1_ALPN.includes(protocol));
    this.effects.closeServer();
    this.#serverOpen = false;
    this.#secureClient("securing_refusal");
  }

  #refuse(data: Uint8Array): void {
    const read = this.#headReader!.push(data, 0);
    if (read.type === "more") return;
    const { answer, detail } = this.#handshakes!.refusal!;
    if (read.type === "error") this.#sendAnswer(badHeadAnswer(read));
    else this.effects.send("client", encodeAnswer(answer, { close: true, method: methodOf(read.bytes) }));
    this.#close("tls_handshake_failed", detail);
  }

  #observe(): FlowObservation {
    return new FlowObservation({
      config: this.config.observe,
      record: (event) => this.effects.record(event),
      now: () => this.#now,
    });
  }

  #observeHttp(scheme: string, preread?: Uint8Array): void {
    if (!this.#step("http1")) return;
    this.#protocol = "http1";
    this.#relay = this.#newRelay(scheme, null);
    if (preread !== undefined) this.#relay.received("client", preread, this.#now);
    const early = this.#releaseServer();
    if (early.length > 0) this.#relay?.received("server", early, this.#now);
  }

  #observeHttp2(scheme: string, preread?: Uint8Array): void {
    if (!this.#step("http2")) return;
    this.#protocol = "http2";
    this.#relay = new Http2Relay({
      host: {
        send: (side, data) => this.effects.send(side, data),
        reset: (side) => this.effects.reset(side),
        arm: (timer, at) => this.effects.arm(timer, at),
        disarm: (timer) => this.effects.disarm(timer),
        record: (event) => this.effects.record(event),
        finish: (reason, detail) => this.#close(reason, detail),
      },
      limits: this.config.http2Limits,
      capture: this.config.capture,
      observation: this.#observation ??= this.#observe(),
      scheme,
      authority: this.#target === null ? "" : formatAuthority(this.#target),
      firstExchangeId: this.#exchangeId,
    }, this.#now);
    if (preread !== undefined) this.#relay.received("client", preread, this.#now);
    const early = this.#releaseServer();
    if (early.length > 0) this.#relay?.received("server", early, this.#now);
  }

  /** What was read ahead goes out first; an end that came before the tunnel is carried on after it. */
  #tunnel(fromClient: Uint8Array = NOTHING, fromServer: Uint8Array = NOTHING): void {
    if (!this.#step("tunnel")) return;
    this.#protocol = "tunnel";
    this.#helloReader = null;
    this.effects.disarm("idle");
    this.effects.disarm("tls_handshake");
    this.effects.arm("tunnel_idle", addMilliseconds(this.#now, this.config.tunnelIdleMs));
    if (fromClient.length > 0) this.effects.send("server", fromClient);
    if (fromServer.length > 0) this.effects.send("client", fromServer);
    if (this.#ended.client) this.effects.end("server");
    if (this.#ended.server) this.effects.end("client");
    if (this.#ended.client && this.#ended.server) this.#close("complete", this.#tunnelNote);
  }

  #tunnelIdle(): void {
    const due = addMilliseconds(this.#lastActivity, this.config.tunnelIdleMs);
    if (this.#now < due) this.effects.arm("tunnel_idle", due);
    else this.#close("idle_timeout", `No byte for ${this.config.tunnelIdleMs} ms (timeouts.tunnel_idle)`);
  }

  #hold(side: Side, data: Uint8Array): void {
    const before = this.#held[side];
    const held = new Uint8Array(before.length + data.length);
    held.set(before);
    held.set(data, before.length);
    this.#held = { ...this.#held, [side]: held };
    this.effects.pause(side);
  }

  #takeHeld(side: Side): Uint8Array {
    const held = this.#held[side];
    if (held.length > 0) this.#held = { ...this.#held, [side]: NOTHING };
    return held;
  }

  /** What the server said while it was not its turn; now it is read again. */
  #releaseServer(): Uint8Array {
    const held = this.#takeHeld("server");
    if (held.length > 0) this.effects.resume("server");
    return held;
  }

  /** What is there of the first head. */
  get #headBytes(): number {
    return this.#firstOctets.length + (this.#headReader?.buffered ?? 0);
  }

  #newHeadReader(): HeadReader {
    return new HeadReader({ maxHeadBytes: this.config.limits.maxHeadBytes });
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
    this.#record(streamClosedEvent({
      protocol: this.#protocol,
      reason,
      detail,
      bytesFromClient: this.#bytesFromClient,
      bytesFromServer: this.#bytesFromServer,
      durationNs: this.#now - this.#startedAt,
    }));
    this.#headReader = null;
    this.#helloReader = null;
    this.#handshakes = null;
    this.#relay = null;
    this.#observation = null;
    this.#router = null;
    this.#held = NOTHING_HELD;
    this.#firstOctets = NOTHING;
    this.effects.close();
  }
}

const CONNECT = "connect";

/** Whether these first octets are meant as a CONNECT, as `isConnect` has it of whole heads. */
function connectLikeness(bytes: Uint8Array): Likeness {
  for (let index = 0; index < Math.min(bytes.length, CONNECT.length); index++) {
    if ((bytes[index]! | 0x20) !== CONNECT.charCodeAt(index)) return "no";
  }
  if (bytes.length <= CONNECT.length) return "more";
  return isConnect(bytes) ? "yes" : "no";
}

/** The method of a head that is whole, for an answer that does not need the rest of it. */
function methodOf(head: Uint8Array): string {
  return String.fromCharCode(...head.subarray(0, Math.max(0, head.indexOf(0x20))));
}

function isIpAddress(host: string): boolean {
  return host.includes(":") || /^[0-9.]+$/.test(host);
}

function join(first: Uint8Array, second: Uint8Array): Uint8Array {
  if (first.length === 0) return second;
  if (second.length === 0) return first;
  const joined = new Uint8Array(first.length + second.length);
  joined.set(first);
  joined.set(second, first.length);
  return joined;
}
