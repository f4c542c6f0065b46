/**
 * Relays HTTP/1.1 (RFC 9112) between a client and a server and records what passes. Heads are
 * parsed strictly and forwarded as the bytes that came; bodies are forwarded as they arrive. What
 * breaks a rule ends the exchange before a byte of the offending message part reaches the other side.
 *
 * With a router the relay serves a forward proxy: each request waits until it was decided and its
 * server is connected, and the next one is read only when the exchange is over. Without one the
 * server is fixed and pipelined requests go through as they come, each once the gate lets it; one that is
 * refused keeps its place among the others until the answer's turn comes.
 */
import type { CloseReason } from "../core/close_reason.ts";
import type { ExchangeOutcome, FlowEvent } from "../core/event.ts";
import { formatAuthority } from "../core/authority.ts";
import { addMilliseconds, type Instant } from "../core/instant.ts";
import { Outbox } from "../core/outbox.ts";
import type { Timer, TransportFault } from "../core/session.ts";
import type { Side } from "../core/side.ts";
import { type CaptureRules, type ExchangeError, ExchangeRecorder } from "../http/exchange_recorder.ts";
import type { Observation, StreamObservation } from "../http/observation.ts";
import { ALT_SVC, type Field } from "../http/fields.ts";
import type { Answer } from "../http/answer.ts";
import type { RequestGate, Verdict } from "../http/request_gate.ts";
import { encodeAnswer } from "./answer.ts";
import { BodyReader, type BodySink } from "./body.ts";
import type { Http1Error } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import {
  parseRequestHead,
  parseResponseHead,
  type RequestHead,
  responseFraming,
  type ResponseHead,
} from "./head.ts";
import { HeadReader } from "./head_reader.ts";
import { withoutFields, withoutH2cOffer, withoutTransferCoding } from "./rewrite.ts";
import { bendsLines, type Tolerated, toleratedCodes } from "./tolerance.ts";

export interface RelayLimits {
  readonly maxHeadBytes: number;
  readonly maxHeaderFields: number;
  readonly headMs: number;
  readonly idleMs: number;
  readonly exchangeIdleMs: number;
}

/** What the relay asks of the session that runs it. */
export interface RelayHost {
  send(side: Side, data: Uint8Array): void;
  reset(side: Side): void;
  pause(side: Side): void;
  resume(side: Side): void;
  arm(timer: Timer, at: Instant): void;
  disarm(timer: Timer): void;
  record(event: FlowEvent): void;
  /** The flow is over. Called once; the relay does nothing afterwards. */
  finish(reason: CloseReason, detail?: string): void;
  /** The connection became opaque (101, or 2xx to CONNECT); `stream` observes what follows, `fromServer` first. */
  upgraded(fromServer: Uint8Array, stream: StreamObservation | null): void;
}

/** Forward-proxy mode: who decides where each request goes. */
export interface Router {
  /** Answered by `routed` or `refused`, now or later. */
  route(head: RequestHead, exchangeId: number): void;
  /** Whether a head is a CONNECT, or the like: the relay's part ends with it. */
  takesOver(head: Uint8Array): boolean;
  /** The bytes from that head on. */
  takeOver(bytes: Uint8Array): void;
  /** The head could not be parsed. True where the session records it itself. */
  unparsable(error: Http1Error): boolean;
}

export interface RelayOptions {
  readonly host: RelayHost;
  readonly limits: RelayLimits;
  readonly capture: CaptureRules;
  readonly observation: Observation;
  readonly scheme: string;
  /** The authority the flow was decided for, used where a request has no Host. */
  readonly authority: string;
  readonly router: Router | null;
  /** Where there is no router: who lets requests through. */
  readonly gate: RequestGate | null;
  readonly firstExchangeId: number;
  /** Where there is no router: responses go on without Alt-Svc. */
  readonly stripsAltSvc: boolean;
  /** What `tolerance.ts` lists is refused. With a router: in requests, before it is known whose they are. */
  readonly strictHeaders: boolean;
}

/** A request whose head could not be taken, with the answer that is due in its turn. */
interface Rejection {
  readonly answer: Answer;
  readonly outcome: ExchangeOutcome;
  readonly reason: CloseReason;
  readonly error: Http1Error;
  /** Null where the session records it itself. */
  readonly exchangeId: number | null;
}

type ClientState = "head" | "routing" | "body" | "discard";
type ServerState = "head" | "body";

const NOTHING = new Uint8Array(0);
const STRIPPED: ReadonlySet<string> = new Set([ALT_SVC]);
const OBSERVE: Verdict = { type: "observe" };

/** So many requests may wait for their responses at a server; further ones wait unread. */
const PIPELINED_MAX = 64;

export class Http1Relay {
  readonly #host: RelayHost;
  readonly #limits: RelayLimits;
  readonly #capture: CaptureRules;
  readonly #options: RelayOptions;
  readonly #router: Router | null;
  readonly #toClient: Outbox;
  readonly #toServer: Outbox;
  readonly #requestReader: HeadReader;
  readonly #responseReader: HeadReader;
  readonly #exchanges: Exchange[] = [];
  #clientState: ClientState = "head";
  #serverState: ServerState = "head";
  #requestBody: BodyReader | null = null;
  #responseBody: BodyReader | null = null;
  /** The exchange whose request is being received; always the newest. */
  #receiving: Exchange | null = null;
  /** Forward mode, HTTP/1.0 client, chunked response: the coding is taken off (RFC 9112 §7.1). */
  #unchunking = false;
  /** What the client sent ahead, for when its turn comes. */
  #held: Uint8Array = NOTHING;
  #deferred: Rejection | null = null;
  #upgraded: StreamObservation | null = null;
  #clientEnded = false;
  #draining = false;
  #finished = false;
  #nextExchangeId: number;
  /** Exchanges begun on the present server connection. */
  #serverExchanges = 0;
  #lastActivity: Instant;
  #lastRefusal: { reason: CloseReason; detail: string } | null = null;
  #now: Instant;

  readonly #requestSink: BodySink = {
    raw: (bytes) => this.#toServer.push(bytes),
    content: (bytes) => this.#receiving?.recorder?.requestContent(bytes),
    trailers: (fields: readonly Field[], tolerated: Tolerated) =>
      this.#receiving?.recorder?.requestTrailers(fields, toleratedCodes(tolerated)),
  };
  readonly #responseSink: BodySink = {
    raw: (bytes) => {
      if (!this.#unchunking) this.#toClient.push(bytes);
    },
    content: (bytes) => {
      if (this.#unchunking) this.#toClient.push(bytes);
      this.#exchanges[0]?.recorder?.responseContent(bytes);
    },
    trailers: (fields: readonly Field[], tolerated: Tolerated) =>
      this.#exchanges[0]?.recorder?.responseTrailers(fields, toleratedCodes(tolerated)),
  };

  constructor(options: RelayOptions, now: Instant) {
    this.#options = options;
    this.#host = options.host;
    this.#limits = options.limits;
    this.#capture = options.capture;
    this.#router = options.router;
    this.#nextExchangeId = options.firstExchangeId;
    this.#now = now;
    this.#lastActivity = now;
    this.#toClient = new Outbox((data) => this.#host.send("client", data));
    this.#toServer = new Outbox((data) => this.#host.send("server", data));
    this.#requestReader = new HeadReader({
      maxHeadBytes: options.limits.maxHeadBytes,
      allowLeadingCrlf: true,
      tolerance: options.strictHeaders ? "none" : "values",
    });
    this.#responseReader = new HeadReader({ maxHeadBytes: options.limits.maxHeadBytes });
    this.#host.arm("idle", addMilliseconds(now, options.limits.idleMs));
  }

  get heldBytes(): number {
    return this.#held.length + this.#requestReader.buffered + this.#responseReader.buffered;
  }

  /** The beginnings of heads. */
  get unfinishedBytes(): number {
    return this.#requestReader.buffered + this.#responseReader.buffered;
  }

  get nextExchangeId(): number {
    return this.#nextExchangeId;
  }

  /** Nothing is under way: the connection only waits for a next request. */
  get idle(): boolean {
    return this.#exchanges.length === 0 && this.#requestReader.buffered === 0 &&
      this.#clientState === "head";
  }

  received(side: Side, data: Uint8Array, now: Instant): void {
    this.#now = now;
    this.#lastActivity = now;
    if (side === "server") this.#fromServer(data);
    // Reads under way when the client was paused wait behind what is held: they must not overtake it.
    else if (this.#held.length > 0) this.#hold(data);
    else this.#fromClient(data);
    this.#flush();
  }

  ended(side: Side, now: Instant, truncated = false): void {
    this.#now = now;
    if (side === "client") this.#clientEnd();
    else this.#serverEnd(truncated);
    this.#flush();
  }

  failed(side: Side, fault: TransportFault, now: Instant): void {
    this.#now = now;
    if (this.#finished) return;
    if (side === "client") {
      this.#completeAnswered();
      this.#completeAll("client_aborted", { by: "client", code: fault.code, detail: fault.detail });
      this.#host.reset("server");
      this.#finish("client_reset", fault.detail);
    } else {
      this.#serverGone("server_reset", { by: "server", code: fault.code, detail: fault.detail });
    }
    this.#flush();
  }

  expired(timer: Timer, now: Instant): void {
    this.#now = now;
    if (this.#finished) return;
    switch (timer) {
      case "client_head":
        this.#rejectRequest(
          {
            type: "error",
            code: "head_timeout",
            detail: `The request head was not whole within ${this.#limits.headMs} ms (timeouts.head)`,
            offset: this.#requestReader.buffered,
            rfc: "RFC 9110 §15.5.9",
          },
          "timeout",
          "stage_timeout",
        );
        break;
      case "server_head":
        this.#timeout("stage_timeout", `The response head was not whole within ${this.#limits.headMs} ms`);
        break;
      case "idle":
        if (this.idle) this.#finish("idle_timeout", `No request for ${this.#limits.idleMs} ms`);
        break;
      case "exchange_idle": {
        if (this.#exchanges.length === 0) break;
        const due = addMilliseconds(this.#lastActivity, this.#limits.exchangeIdleMs);
        if (now < due) this.#host.arm("exchange_idle", due);
        else this.#timeout("idle_timeout", `No byte for ${this.#limits.exchangeIdleMs} ms in an exchange`);
        break;
      }
      default:
        break;
    }
    this.#flush();
  }

  drain(now: Instant): void {
    this.#now = now;
    this.#draining = true;
    if (this.#exchanges.length === 0 && this.#routing === null) this.#finish("shutdown");
  }

  abort(reason: CloseReason, code: string, detail: string, now: Instant): void {
    this.#now = now;
    const exchange = this.#exchanges[0];
    const inResponse = exchange !== undefined && exchange.responseStarted && !exchange.responseDone;
    this.#completeAll("reset", { by: "proxy", code, detail });
    if (inResponse) {
      // An end would make a body that only the end delimits look whole.
      this.#flush();
      this.#host.reset("client");
    }
    this.#finish(reason, detail);
  }

  /** Forward mode: the waiting request goes out as `bytes`, to the server that is now connected. */
  routed(
    bytes: Uint8Array,
    options: { freshServer: boolean; observe: boolean; stripsAltSvc: boolean; strictHeaders: boolean },
    now: Instant,
  ): void {
    this.#now = now;
    const head = this.#routing;
    if (head === null || this.#finished) return;
    this.#routing = null;
    if (options.freshServer) {
      this.#serverExchanges = 0;
      this.#responseReader.reset();
      this.#serverState = "head";
    }
    this.#beginExchange(head, bytes, options);
    this.#pump();
    this.#flush();
  }

  /** Forward mode: the waiting request is not to be tolerated for where it goes. */
  malformed(error: Http1Error, now: Instant): void {
    this.#now = now;
    this.#routing = null;
    this.#badRequestHead(error);
    this.#flush();
  }

  /** Forward mode: the waiting request is answered by the proxy itself. */
  refused(
    answer: Answer,
    outcome: ExchangeOutcome,
    reason: CloseReason,
    now: Instant,
  ): void {
    this.#now = now;
    const head = this.#routing;
    if (head === null || this.#finished) return;
    this.#routing = null;
    const recorder = this.#recorderFor(head);
    const close = head.framing.type !== "none" || !head.keepAlive || this.#draining;
    this.#toClient.push(encodeAnswer(answer, { method: head.method, close }));
    recorder.complete(
      outcome,
      now,
      answered({ by: "proxy", code: answer.code, detail: answer.detail }, answer),
    );
    this.#lastRefusal = { reason, detail: answer.detail };
    if (close) {
      this.#flush();
      this.#finish(reason, answer.detail);
      return;
    }
    if (this.#clientEnded && this.#held.length === 0 && this.#pumped === null) {
      this.#finish(reason, answer.detail);
      return;
    }
    this.#clientState = "head";
    this.#becomeIdle();
    this.#pump();
    this.#flush();
  }

  /** The head that waits for its decision, in forward mode. */
  #routing: RequestHead | null = null;

  #flush(): void {
    this.#toServer.flush();
    this.#toClient.flush();
  }

  #fromClient(data: Uint8Array): void {
    let offset = 0;
    while (offset < data.length && !this.#finished) {
      switch (this.#clientState) {
        case "discard":
          return;
        case "routing":
          this.#hold(data.subarray(offset));
          return;
        case "head": {
          if (this.#exchanges.length >= (this.#router === null ? PIPELINED_MAX : 1)) {
            this.#hold(data.subarray(offset));
            return;
          }
          if (this.#requestReader.buffered === 0) {
            this.#host.disarm("idle");
            this.#host.arm("client_head", addMilliseconds(this.#now, this.#limits.headMs));
          }
          const read = this.#requestReader.push(data, offset);
          if (read.type === "more") return;
          this.#host.disarm("client_head");
          if (read.type === "error") {
            this.#badRequestHead(read);
            return;
          }
          offset = read.next;
          if (this.#router?.takesOver(read.bytes)) {
            this.#finished = true;
            this.#flush();
            this.#router.takeOver(concat(read.bytes, data.subarray(offset)));
            return;
          }
          this.#requestHead(read.bytes);
          break;
        }
        case "body": {
          const read = this.#requestBody!.read(data, offset, this.#requestSink);
          if (read.type === "more") return;
          if (read.type === "error") {
            this.#badRequestBody(read);
            return;
          }
          offset = read.next;
          this.#requestDone();
          break;
        }
      }
    }
  }

  #requestHead(bytes: Uint8Array): void {
    // A head that has to wait for its route outlives this read.
    const head = parseRequestHead(
      this.#router === null ? bytes : bytes.slice(),
      this.#limits,
      this.#options.strictHeaders ? "none" : "values",
    );
    if (head.type === "error") {
      this.#badRequestHead(head);
      return;
    }
    if (this.#router !== null) {
      this.#clientState = "routing";
      this.#routing = head;
      this.#host.arm("exchange_idle", addMilliseconds(this.#now, this.#limits.exchangeIdleMs));
      // It may replace the server at once; what is for the one before goes out first.
      this.#flush();
      this.#router.route(head, this.#nextExchangeId);
      return;
    }
    const verdict = this.#askGate(head);
    if (verdict !== null) {
      this.#apply(verdict, head);
      return;
    }
    this.#clientState = "routing";
    this.#routing = { ...head, bytes: bytes.slice() };
  }

  #askGate(head: RequestHead): Verdict | null {
    const gate = this.#options.gate;
    if (gate === null) return OBSERVE;
    const { method, parsedTarget } = head;
    const stream = this.#nextExchangeId;
    switch (parsedTarget.form) {
      case "origin":
        return gate.ask(stream, method, head.host, parsedTarget.path);
      case "asterisk":
        return gate.ask(stream, method, head.host, "*");
      case "absolute":
        return gate.ask(stream, method, formatAuthority(parsedTarget.authority), parsedTarget.path);
      case "authority":
        return gate.ask(stream, method, formatAuthority(parsedTarget.authority), null);
    }
  }

  /** The gate's answer for the request that waits. */
  decided(verdict: Verdict, now: Instant): void {
    this.#now = now;
    const head = this.#routing;
    if (head === null || this.#finished) return;
    this.#routing = null;
    this.#apply(verdict, head);
    this.#pump();
    this.#flush();
  }

  #apply(verdict: Verdict, head: RequestHead): void {
    if (verdict.type !== "refuse") {
      const { bytes, upgrade } = withoutH2cOffer(head);
      const asked = upgrade === head.upgrade ? head : { ...head, upgrade };
      const { stripsAltSvc, strictHeaders } = this.#options;
      this.#beginExchange(asked, bytes, { observe: verdict.type === "observe", stripsAltSvc, strictHeaders });
      return;
    }
    const exchange: Exchange = {
      id: this.#nextExchangeId,
      request: head,
      recorder: this.#recorderFor(head),
      refusal: verdict.answer,
      stripsAltSvc: false,
      strictHeaders: true,
      requestDone: true,
      responseStarted: false,
      responseDone: false,
      // The body that follows is not read: the connection ends with the answer.
      keepAlive: head.keepAlive && head.framing.type === "none",
    };
    this.#exchanges.push(exchange);
    this.#clientState = exchange.keepAlive ? "head" : "discard";
    if (this.#exchanges.length === 1) this.#answerRefused(exchange, verdict.answer);
  }

  /** The turn of a request that was refused. */
  #answerRefused(exchange: Exchange, answer: Answer): void {
    const { keepAlive, recorder, request } = exchange;
    const close = !keepAlive || (this.#draining && this.#exchanges.length === 1);
    this.#toClient.push(encodeAnswer(answer, { method: request.method, close }));
    const error: ExchangeError = { by: "proxy", code: answer.code, detail: answer.detail };
    recorder?.complete("blocked", this.#now, answered(error, answer));
    this.#lastRefusal = { reason: "blocked", detail: answer.detail };
    this.#exchanges.shift();
    if (close) this.#finish("blocked", answer.detail);
    else this.#nextExchange();
  }

  #recorderFor(head: RequestHead): ExchangeRecorder {
    const id = this.#nextExchangeId++;
    const recorder = new ExchangeRecorder(id, {
      protocol: "http1",
      streamKey: `h1:${id}`,
      capture: this.#capture,
      observation: this.#options.observation,
      record: this.#record,
      now: this.#now,
    });
    recorder.requestHead({
      method: head.method,
      target: head.target,
      scheme: this.#options.scheme,
      authority: head.host === "" ? this.#options.authority : head.host,
      version: head.version,
      fields: head.fields,
      headBytes: head.bytes.length,
      tolerated: toleratedCodes(head.tolerated),
    });
    return recorder;
  }

  readonly #record = (event: FlowEvent): void => this.#host.record(event);

  #beginExchange(
    head: RequestHead,
    bytes: Uint8Array,
    { observe, stripsAltSvc, strictHeaders }: {
      observe: boolean;
      stripsAltSvc: boolean;
      strictHeaders: boolean;
    },
  ): void {
    const exchange: Exchange = {
      id: this.#nextExchangeId,
      request: head,
      recorder: observe ? this.#recorderFor(head) : null,
      refusal: null,
      stripsAltSvc,
      strictHeaders,
      requestDone: false,
      responseStarted: false,
      responseDone: false,
      keepAlive: head.keepAlive,
    };
    if (!observe) this.#nextExchangeId++;
    this.#lastRefusal = null;
    if (this.#exchanges.length === 0) {
      this.#host.arm("exchange_idle", addMilliseconds(this.#now, this.#limits.exchangeIdleMs));
    }
    this.#exchanges.push(exchange);
    this.#serverExchanges++;
    this.#receiving = exchange;
    this.#toServer.push(bytes);
    if (head.framing.type === "none") {
      this.#requestDone();
    } else {
      this.#requestBody = new BodyReader(head.framing, this.#limits, strictHeaders ? "none" : "values");
      this.#clientState = "body";
    }
  }

  #requestDone(): void {
    const exchange = this.#receiving!;
    exchange.requestDone = true;
    exchange.recorder?.requestFinished();
    this.#receiving = null;
    this.#requestBody = null;
    // RFC 9112 §9.6: nothing after a request with `close` is a request on this connection.
    this.#clientState = exchange.keepAlive ? "head" : "discard";
    if (exchange.responseDone) this.#exchangeDone(exchange);
  }

  #hold(rest: Uint8Array): void {
    if (rest.buffer !== this.#pumped?.buffer) this.#held = concat(this.#held, rest);
    else this.#held = rest;
    this.#host.pause("client");
  }

  /** Goes on with what was held, and with an end that came after it. */
  #pump(): void {
    if (this.#finished || this.#held.length === 0) return;
    const held = this.#held;
    this.#held = NOTHING;
    this.#host.resume("client");
    this.#pumped = held;
    this.#fromClient(held);
    this.#pumped = null;
    if (this.#clientEnded) this.#clientEnd();
  }

  /** What is being pumped: it is ours, so its rest can be held again without a copy. */
  #pumped: Uint8Array | null = null;

  #fromServer(data: Uint8Array): void {
    let offset = 0;
    while (offset < data.length && !this.#finished) {
      const exchange = this.#exchanges[0];
      if (exchange === undefined || exchange.responseDone) {
        this.#badResponse({
          type: "error",
          code: "unsolicited_response",
          detail: "The server sent bytes that answer no request",
          offset,
          rfc: "RFC 9112 §9.2",
        });
        return;
      }
      if (this.#serverState === "head") {
        if (this.#responseReader.buffered === 0) {
          this.#host.arm("server_head", addMilliseconds(this.#now, this.#limits.headMs));
          this.#responseReader.tolerate(exchange.strictHeaders ? "none" : "lines");
        }
        const read = this.#responseReader.push(data, offset);
        if (read.type === "more") return;
        this.#host.disarm("server_head");
        if (read.type === "error") {
          this.#badResponse(read);
          return;
        }
        offset = read.next;
        if (this.#responseHead(exchange, read.bytes)) {
          this.#flush();
          this.#finished = true;
          this.#host.disarm("exchange_idle");
          this.#host.upgraded(data.subarray(offset), this.#upgraded);
          return;
        }
      } else {
        const read = this.#responseBody!.read(data, offset, this.#responseSink);
        if (read.type === "more") return;
        if (read.type === "error") {
          this.#badResponse(read);
          return;
        }
        offset = read.next;
        this.#responseDone(exchange);
      }
    }
  }

  /** Handles a response head; true if the connection becomes opaque with it. */
  #responseHead(exchange: Exchange, bytes: Uint8Array): boolean {
    const head = parseResponseHead(bytes, this.#limits, exchange.strictHeaders ? "none" : "lines");
    if (head.type === "error") {
      this.#badResponse(head);
      return false;
    }
    const { method } = exchange.request;
    const switching = head.status === 101 ||
      (method === "CONNECT" && head.status >= 200 && head.status < 300);
    if (switching) {
      const alone = this.#exchanges.length === 1 && exchange.requestDone && this.heldBytes === 0 &&
        this.#routing === null && this.#deferred === null;
      if (!alone || (head.status === 101 && !exchange.request.upgrade)) {
        this.#badResponse({
          type: "error",
          code: "unexpected_upgrade",
          detail: exchange.request.upgrade
            ? "The server switched protocols while the client had already sent another request"
            : "The server switched protocols although the client did not ask for it",
          offset: 0,
          rfc: "RFC 9110 §15.2.2",
        });
        return false;
      }
    }
    const facts = {
      status: head.status,
      version: head.version,
      fields: head.fields,
      headBytes: bytes.length,
      tolerated: toleratedCodes(head.tolerated),
    };
    if (bendsLines(head.tolerated)) exchange.keepAlive = false;
    if (switching) {
      exchange.recorder?.responseHead(facts, this.#now);
      exchange.responseStarted = true;
      this.#toClient.push(this.#headForClient(exchange, head));
      if (head.status === 101) this.#upgraded = exchange.recorder?.upgraded(facts) ?? null;
      exchange.recorder?.complete("complete", this.#now);
      this.#exchanges.shift();
      return true;
    }
    const framed = responseFraming(head, method);
    if ("type" in framed) {
      this.#badResponse(framed);
      return false;
    }
    if (head.status < 200) {
      exchange.recorder?.responseHead(facts, this.#now);
      // An HTTP/1.0 client cannot take an interim response (RFC 9110 §15.2); only a forward proxy has to care.
      if (this.#router === null || exchange.request.version === "HTTP/1.1") {
        exchange.responseStarted = true;
        this.#toClient.push(this.#headForClient(exchange, head));
      }
      return false;
    }
    exchange.recorder?.responseHead(facts, this.#now);
    exchange.responseStarted = true;
    if (!framed.keepAlive) exchange.keepAlive = false;
    this.#unchunking = this.#router !== null && exchange.request.version === "HTTP/1.0" &&
      framed.framing.type === "chunked";
    if (this.#unchunking) exchange.keepAlive = false;
    this.#toClient.push(this.#headForClient(exchange, head));
    if (framed.framing.type === "none") {
      this.#responseDone(exchange);
    } else {
      this.#responseBody = new BodyReader(
        framed.framing,
        this.#limits,
        exchange.strictHeaders ? "none" : "values",
      );
      this.#serverState = "body";
    }
    return false;
  }

  #headForClient(exchange: Exchange, head: ResponseHead): Uint8Array {
    const strips = exchange.stripsAltSvc && head.fields.some(([name]) => name.toLowerCase() === ALT_SVC);
    if (strips) exchange.recorder?.stripped(ALT_SVC);
    if (this.#unchunking) return withoutTransferCoding(head, strips ? STRIPPED : undefined);
    return strips ? withoutFields(head, STRIPPED) : head.bytes;
  }

  #responseDone(exchange: Exchange): void {
    exchange.responseDone = true;
    exchange.recorder?.responseFinished();
    this.#responseBody = null;
    this.#serverState = "head";
    if (exchange.requestDone) this.#exchangeDone(exchange);
  }

  #exchangeDone(exchange: Exchange): void {
    exchange.recorder?.complete("complete", this.#now);
    this.#exchanges.shift();
    this.#lastRefusal = null;
    if (!exchange.keepAlive) {
      this.#completeAll("server_aborted", {
        by: "server",
        code: "connection_closed",
        detail: "The connection ended with the response before this one",
      });
      this.#finish("complete");
      return;
    }
    this.#nextExchange();
  }

  #nextExchange(): void {
    const next = this.#exchanges[0];
    if (next !== undefined) {
      if (next.refusal !== null) this.#answerRefused(next, next.refusal);
      // Not at each response: what is held would be gone through again and again.
      else if (this.#exchanges.length <= PIPELINED_MAX / 2) this.#pump();
      return;
    }
    // A request that is being decided is none of these yet, and goes on from there.
    if (this.#routing !== null) return;
    if (this.#deferred !== null) {
      this.#answerRejected(this.#deferred);
      return;
    }
    if (this.#clientEnded && this.#held.length === 0 && this.#pumped === null) {
      this.#finish(this.#lastRefusal?.reason ?? "complete", this.#lastRefusal?.detail);
      return;
    }
    if (this.#draining) {
      this.#finish("shutdown");
      return;
    }
    if (this.#requestReader.buffered === 0) this.#becomeIdle();
    this.#pump();
  }

  #becomeIdle(): void {
    this.#host.disarm("exchange_idle");
    this.#host.arm("idle", addMilliseconds(this.#now, this.#limits.idleMs));
  }

  #clientEnd(): void {
    if (this.#finished) return;
    this.#clientEnded = true;
    if (this.#held.length > 0) return;
    if (this.#requestBody !== null) {
      const detail = "The client ended in the middle of a request body";
      this.#completeAnswered();
      this.#completeAll("client_aborted", { by: "client", code: "truncated_message", detail });
      this.#host.reset("server");
      this.#finish("client_reset", detail);
    } else if (this.#requestReader.buffered > 0) {
      this.#badRequestHead({
        type: "error",
        code: "truncated_message",
        detail: "The client ended in the middle of a request head",
        offset: this.#requestReader.buffered,
        rfc: "RFC 9112 §8",
      });
    } else if (this.#exchanges.length === 0 && this.#routing === null) {
      this.#finish(this.#lastRefusal?.reason ?? "complete", this.#lastRefusal?.detail);
    }
  }

  #serverEnd(truncated: boolean): void {
    if (this.#finished) return;
    const exchange = this.#exchanges[0];
    if (exchange === undefined) {
      // An idle server connection that closes ends an intercepted flow; a forward proxy dials anew when needed.
      if (this.#router === null) this.#finish("complete");
      return;
    }
    const whole = this.#responseBody?.end(this.#responseSink).type === "done";
    if (whole && truncated) {
      // RFC 9112 §9.8: only the end delimits this response, and TLS did not vouch for it.
      this.#serverGone("server_reset", {
        by: "server",
        code: "tls_truncated",
        detail:
          "The server's connection ended without the end of TLS in a response that only its end delimits",
      });
      return;
    }
    if (whole) {
      exchange.keepAlive = false;
      this.#responseDone(exchange);
      if (this.#finished) return;
    }
    this.#serverGone("server_reset", {
      by: "server",
      code: "truncated_message",
      detail: exchange.responseStarted
        ? "The server ended in the middle of a response"
        : "The server ended without a response",
    });
  }

  /** The server side is lost while exchanges are under way, or between them. */
  #serverGone(reason: CloseReason, error: ExchangeError): void {
    const exchange = this.#exchanges[0];
    if (exchange === undefined) {
      if (this.#router !== null) return;
      this.#finish(reason, error.detail);
      return;
    }
    if (exchange.responseDone) {
      // An early final response: the server need not read the rest of the request (RFC 9112 §9.5).
      exchange.recorder?.complete("complete", this.#now);
      this.#exchanges.shift();
      this.#completeAll("server_aborted", error);
      this.#finish("complete");
      return;
    }
    const answer: Answer | null = exchange.responseStarted || this.#serverExchanges > 1 ? null : {
      status: 502,
      code: error.code === "truncated_message" ? "server_closed" : "server_reset",
      detail: error.detail,
      proxyError: "connection_terminated",
    };
    this.#completeAll("server_aborted", error, answer);
    if (answer !== null) this.#answer(exchange, answer);
    else if (error.code !== "truncated_message") {
      // A reset is carried as one. An end is carried as an end, and on a connection that has served
      // before the client sees the same race it would see without a proxy, and may retry.
      this.#flush();
      this.#host.reset("client");
    }
    this.#finish(reason, error.detail);
  }

  #timeout(reason: CloseReason, detail: string): void {
    const exchange = this.#exchanges[0];
    if (exchange === undefined) {
      this.#finish(reason, detail);
      return;
    }
    const answer: Answer | null = exchange.responseStarted
      ? null
      : { status: 504, code: "timeout", detail, proxyError: "http_response_timeout" };
    this.#completeAll("timeout", { by: "proxy", code: "timeout", detail }, answer);
    this.#host.reset("server");
    if (answer === null) this.#host.reset("client");
    else this.#answer(exchange, answer);
    this.#finish(reason, detail);
  }

  #badRequestHead(error: Http1Error): void {
    const limit = error.code === "head_too_large" || error.code === "too_many_fields";
    this.#rejectRequest(
      error,
      limit ? "limit" : "protocol_error",
      limit ? "limit_exceeded" : "protocol_error",
    );
  }

  /** A request that never became an exchange: answered in its turn, after the responses before it. */
  #rejectRequest(error: Http1Error, outcome: ExchangeOutcome, reason: CloseReason): void {
    if (this.#finished || this.#deferred !== null) return;
    this.#clientState = "discard";
    const answer: Answer = {
      status: outcome === "limit" ? 431 : outcome === "timeout" ? 408 : 400,
      code: error.code,
      detail: error.detail,
      proxyError: outcome === "timeout" ? "connection_read_timeout" : "http_request_error",
    };
    const recordedByRouter = this.#router !== null && this.#router.unparsable(error);
    const closeReason = recordedByRouter && outcome !== "timeout" && outcome !== "limit"
      ? "connect_parse_failed"
      : reason;
    const exchangeId = recordedByRouter ? null : this.#nextExchangeId++;
    const rejection: Rejection = { answer, outcome, reason: closeReason, error, exchangeId };
    if (this.#exchanges.length > 0) this.#deferred = rejection;
    else this.#answerRejected(rejection);
  }

  #answerRejected(rejection: Rejection): void {
    this.#deferred = null;
    this.#recordRejected(rejection, rejection.answer.status);
    this.#toClient.push(encodeAnswer(rejection.answer, { close: true }));
    this.#finish(rejection.reason, rejection.error.detail);
  }

  /** `answerStatus` is undefined where the flow ended before the answer's turn came. */
  #recordRejected({ exchangeId, outcome, error }: Rejection, answerStatus?: number): void {
    if (exchangeId === null) return;
    this.#host.record({
      kind: "exchange_completed",
      protocol: "http1",
      streamKey: `h1:${exchangeId}`,
      attributes: {
        ...(answerStatus === undefined ? {} : { answer_status: answerStatus }),
        duration_ns: 0,
        error_by: "client",
        error_code: error.code,
        error_detail: error.detail,
        exchange_id: exchangeId,
        outcome,
        request_body_bytes: 0,
        request_head_bytes: 0,
        response_body_bytes: 0,
        response_head_bytes: 0,
        ttfb_ns: null,
      },
    });
  }

  #badRequestBody(error: Http1Error): void {
    const current = this.#receiving!;
    const first = this.#exchanges[0]!;
    const reported: ExchangeError = { by: "client", code: error.code, detail: error.detail };
    const answer: Answer | null = first.responseStarted
      ? null
      : { status: 400, code: error.code, detail: error.detail, proxyError: "http_request_error" };
    // The answer stands where the oldest request waits for its response, which need not be the bad one.
    const ofCurrent = current === first ? answered(reported, answer) : reported;
    current.recorder?.complete("protocol_error", this.#now, ofCurrent);
    this.#completeAll("client_aborted", reported, answer);
    this.#host.reset("server");
    if (answer !== null) this.#answer(first, answer);
    else if (!first.responseDone) this.#host.reset("client");
    this.#finish("protocol_error", error.detail);
  }

  #badResponse(error: Http1Error): void {
    const exchange = this.#exchanges[0];
    const limit = error.code === "head_too_large" || error.code === "too_many_fields";
    const reported: ExchangeError = { by: "server", code: error.code, detail: error.detail };
    const answer: Answer | null = exchange === undefined || exchange.responseStarted ? null : {
      status: 502,
      code: error.code,
      detail: error.detail,
      proxyError: limit ? "http_response_header_section_size" : "http_protocol_error",
    };
    const outcome = limit ? "limit" : "protocol_error";
    exchange?.recorder?.complete(outcome, this.#now, answered(reported, answer));
    this.#completeAll("server_aborted", reported);
    this.#host.reset("server");
    if (exchange !== undefined && answer !== null) this.#answer(exchange, answer);
    else if (exchange !== undefined && !exchange.responseDone) {
      this.#flush();
      this.#host.reset("client");
    }
    this.#finish(limit ? "limit_exceeded" : "protocol_error", error.detail);
  }

  #answer(exchange: Exchange, answer: Answer): void {
    this.#toClient.push(encodeAnswer(answer, { method: exchange.request.method, close: true }));
  }

  /** A client that has its whole answer may leave the rest of its request unsent (RFC 9112 §9.5). */
  #completeAnswered(): void {
    const exchange = this.#exchanges[0];
    if (exchange === undefined || !exchange.responseDone) return;
    exchange.recorder?.complete("complete", this.#now);
    this.#exchanges.shift();
  }

  /** Ends every exchange that is still open, oldest first; an answer is the oldest's. */
  #completeAll(outcome: ExchangeOutcome, error: ExchangeError, answer: Answer | null = null): void {
    for (const [index, exchange] of this.#exchanges.entries()) {
      exchange.recorder?.complete(outcome, this.#now, index === 0 ? answered(error, answer) : error);
    }
    this.#exchanges.length = 0;
  }

  #finish(reason: CloseReason, detail?: string): void {
    if (this.#finished) return;
    this.#finished = true;
    if (this.#deferred !== null) this.#recordRejected(this.#deferred);
    this.#flush();
    this.#host.finish(reason, detail);
  }
}

function answered(error: ExchangeError, answer: Answer | null): ExchangeError {
  return answer === null ? error : { ...error, answerStatus: answer.status };
}

function concat(first: Uint8Array, second: Uint8Array): Uint8Array {
  const joined = new Uint8Array(first.length + second.length);
  joined.set(first);
  joined.set(second, first.length);
  return joined;
}
