/**
 * What the client of a relayed connection sends: each request waits for the router or the gate, and goes on as the
 * bytes that came. What is sent ahead of its time is held, and the client not read until its turn comes.
 */
import { joinBytes } from "../core/bytes.ts";
import type { CloseReason } from "../core/close_reason.ts";
import type { ExchangeOutcome } from "../core/event.ts";
import type { Answer } from "../http/answer.ts";
import type { ExchangeError } from "../http/exchange_recorder.ts";
import type { Field } from "../http/fields.ts";
import type { RequestGate, Verdict } from "../http/request_gate.ts";
import { encodeAnswer } from "./answer.ts";
import { BodyReader, type BodySink } from "./body.ts";
import { answered, type Http1Connection } from "./connection.ts";
import { type Http1Error, http1Error } from "./errors.ts";
import type { Exchange, Treatment } from "./exchange.ts";
import { askGate } from "./gate_question.ts";
import { parseRequestHead, type RequestHead } from "./head.ts";
import { HeadReader } from "./head_reader.ts";
import { HeldInput } from "./held_input.ts";
import { causeOf, closeReasonOf, rejectionAnswer, type RejectionCause } from "./rejection.ts";
import type { Turns } from "./responses.ts";
import { withoutH2cOffer } from "./rewrite.ts";
import type { Router } from "./router.ts";
import { type Tolerated, toleratedCodes } from "./tolerance.ts";

export interface RequestOptions {
  /** A forward proxy's, which decides on each request. */
  readonly router: Router | null;
  /** Where there is no router: who lets requests through. */
  readonly gate: RequestGate | null;
  /** Where there is no router: responses go on without Alt-Svc. */
  readonly stripsAltSvc: boolean;
  /** What `tolerance.ts` lists is refused. With a router: in requests, before it is known whose they are. */
  readonly strictHeaders: boolean;
}

type State = "head" | "waiting" | "body" | "discard";

/** So many requests may wait for their responses at a server; further ones wait unread. */
const PIPELINED_MAX = 64;

export class Requests implements Turns {
  readonly #connection: Http1Connection;
  readonly #options: RequestOptions;
  readonly #router: Router | null;
  readonly #exchangesMax: number;
  /** Where there is no router: of what the gate lets through. */
  readonly #treatments: Readonly<Record<"observe" | "relay", Treatment>>;
  readonly #reader: HeadReader;
  #state: State = "head";
  /** The head that waits for its decision. */
  #waiting: RequestHead | null = null;
  /** The exchange whose request is being received; always the newest. */
  #receiving: Exchange | null = null;
  #body: BodyReader | null = null;
  /** What the client sent ahead, for when its turn comes. */
  readonly #held = new HeldInput();
  #ended = false;
  #lastRefusal: { reason: CloseReason; detail: string } | null = null;

  readonly #sink: BodySink = {
    raw: (bytes) => this.#connection.toServer.push(bytes),
    content: (bytes) => this.#receiving?.recorder?.requestContent(bytes),
    trailers: (fields: readonly Field[], tolerated: Tolerated) =>
      this.#receiving?.recorder?.requestTrailers(fields, toleratedCodes(tolerated)),
  };

  constructor(connection: Http1Connection, options: RequestOptions) {
    this.#connection = connection;
    this.#options = options;
    this.#router = options.router;
    this.#exchangesMax = options.router === null ? PIPELINED_MAX : 1;
    const { stripsAltSvc, strictHeaders } = options;
    this.#treatments = {
      observe: { observe: true, stripsAltSvc, strictHeaders },
      relay: { observe: false, stripsAltSvc, strictHeaders },
    };
    this.#reader = new HeadReader({
      maxHeadBytes: connection.limits.maxHeadBytes,
      allowLeadingCrlf: true,
      tolerance: toleranceOf(options),
    });
  }

  get heldBytes(): number {
    return this.#held.bytes + this.#reader.buffered;
  }

  /** The beginning of a head. */
  get unfinishedBytes(): number {
    return this.#reader.buffered;
  }

  /** A request waits for the router or the gate. */
  get waits(): boolean {
    return this.#waiting !== null;
  }

  get hasMore(): boolean {
    return this.heldBytes > 0 || this.#waiting !== null;
  }

  /** Nothing is under way: the connection only waits for a next request. */
  get idle(): boolean {
    return this.#connection.exchanges.length === 0 && this.#reader.buffered === 0 && this.#state === "head";
  }

  received(data: Uint8Array): void {
    // Reads under way when the client was paused wait behind what is held: they must not overtake it.
    if (this.#held.bytes > 0) this.#hold(data);
    else this.#read(data);
  }

  ended(): void {
    const connection = this.#connection;
    if (connection.finished) return;
    this.#ended = true;
    if (this.#held.bytes > 0) return;
    if (this.#body !== null) {
      connection.clientGone("truncated_message", "The client ended in the middle of a request body");
    } else if (this.#reader.buffered > 0) {
      const detail = "The client ended in the middle of a request head";
      this.#badHead(http1Error("truncated_message", detail, this.#reader.buffered, "RFC 9112 §8"));
    } else if (connection.exchanges.length === 0 && this.#waiting === null) this.#finishServed();
  }

  /** `timeouts.head` is over. */
  headTimedOut(): void {
    const { headMs } = this.#connection.limits;
    const detail = `The request head was not whole within ${headMs} ms (timeouts.head)`;
    this.#reject(
      http1Error("head_timeout", detail, this.#reader.buffered, "RFC 9110 §15.5.9"),
      "timeout",
    );
  }

  /** The router's word: the waiting request goes out as `bytes`. */
  routed(bytes: Uint8Array, treatment: Treatment): void {
    const head = this.#takeWaiting();
    if (head === null) return;
    this.#begin(head, bytes, treatment);
    this.#pump();
  }

  /** The router's word: the waiting request is not to be tolerated for where it goes. */
  malformed(error: Http1Error): void {
    this.#waiting = null;
    this.#badHead(error);
  }

  /** The router's word: the waiting request is answered by the proxy itself. */
  refused(answer: Answer, outcome: ExchangeOutcome, reason: CloseReason): void {
    const head = this.#takeWaiting();
    if (head === null) return;
    const connection = this.#connection;
    const recorder = connection.recording.begin(head, connection.now);
    const close = head.framing.type !== "none" || !head.keepAlive || connection.draining;
    connection.toClient.push(encodeAnswer(answer, { method: head.method, close }));
    recorder.complete(outcome, connection.now, answered(refusal(answer), answer));
    this.#lastRefusal = { reason, detail: answer.detail };
    if (close || this.#hasSaidAll) {
      connection.finish(reason, answer.detail);
      return;
    }
    this.#state = "head";
    this.#becomeIdle();
    this.#pump();
  }

  /** The gate's word on the waiting request. */
  decided(verdict: Verdict): void {
    const head = this.#takeWaiting();
    if (head === null) return;
    this.#apply(verdict, head);
    this.#pump();
  }

  #takeWaiting(): RequestHead | null {
    const head = this.#waiting;
    if (this.#connection.finished) return null;
    this.#waiting = null;
    return head;
  }

  #read(data: Uint8Array): void {
    const connection = this.#connection;
    let offset = 0;
    while (offset < data.length && !connection.finished) {
      switch (this.#state) {
        case "discard":
          return;
        case "waiting":
          this.#hold(data.subarray(offset));
          return;
        case "head": {
          if (connection.exchanges.length >= this.#exchangesMax) {
            this.#hold(data.subarray(offset));
            return;
          }
          if (this.#reader.buffered === 0) {
            connection.host.disarm("idle");
            connection.arm("client_head", connection.limits.headMs);
          }
          const read = this.#reader.push(data, offset);
          if (read.type === "more") return;
          connection.host.disarm("client_head");
          if (read.type === "error") {
            this.#badHead(read);
            return;
          }
          offset = read.next;
          if (this.#router?.takesOver(read.bytes)) {
            connection.finished = true;
            connection.flush();
            this.#router.takeOver(joinBytes([read.bytes, data.subarray(offset)]));
            return;
          }
          this.#head(read.bytes);
          break;
        }
        case "body": {
          const read = this.#body!.read(data, offset, this.#sink);
          if (read.type === "more") return;
          if (read.type === "error") {
            connection.badRequestBody(this.#receiving!, read);
            return;
          }
          offset = read.next;
          this.#done();
          break;
        }
      }
    }
  }

  #head(bytes: Uint8Array): void {
    const connection = this.#connection;
    // A head that has to wait for its route outlives this read.
    const head = parseRequestHead(
      this.#router === null ? bytes : bytes.slice(),
      connection.limits,
      toleranceOf(this.#options),
    );
    if (head.type === "error") {
      this.#badHead(head);
      return;
    }
    if (this.#router !== null) {
      this.#state = "waiting";
      this.#waiting = head;
      connection.arm("exchange_idle", connection.limits.exchangeIdleMs);
      // It may replace the server at once; what is for the one before goes out first.
      connection.flush();
      this.#router.route(head, connection.recording.nextId);
      return;
    }
    const verdict = askGate(this.#options.gate, connection.recording.nextId, head);
    if (verdict !== null) {
      this.#apply(verdict, head);
      return;
    }
    this.#state = "waiting";
    this.#waiting = { ...head, bytes: bytes.slice() };
  }

  #apply(verdict: Verdict, head: RequestHead): void {
    if (verdict.type === "refuse") {
      this.#refuse(head, verdict.answer);
      return;
    }
    const { bytes, upgrade } = withoutH2cOffer(head);
    const asked = upgrade === head.upgrade ? head : { ...head, upgrade };
    this.#begin(asked, bytes, this.#treatments[verdict.type]);
  }

  /** The gate's refusal keeps its place among the others until the answer's turn comes. */
  #refuse(head: RequestHead, answer: Answer): void {
    const { exchanges, now, recording } = this.#connection;
    const exchange: Exchange = {
      id: recording.nextId,
      request: head,
      recorder: recording.begin(head, now),
      refusal: answer,
      stripsAltSvc: false,
      strictHeaders: true,
      requestDone: true,
      responseStarted: false,
      responseDone: false,
      // The body that follows is not read: the connection ends with the answer.
      keepAlive: head.keepAlive && head.framing.type === "none",
    };
    exchanges.push(exchange);
    this.#state = exchange.keepAlive ? "head" : "discard";
    if (exchanges.length === 1) this.#answerRefused(exchange, answer);
  }

  /** The turn of a request that was refused. */
  #answerRefused({ keepAlive, recorder, request }: Exchange, answer: Answer): void {
    const connection = this.#connection;
    const close = !keepAlive || (connection.draining && connection.exchanges.length === 1);
    connection.toClient.push(encodeAnswer(answer, { method: request.method, close }));
    recorder?.complete("blocked", connection.now, answered(refusal(answer), answer));
    this.#lastRefusal = { reason: "blocked", detail: answer.detail };
    connection.exchanges.shift();
    if (close) connection.finish("blocked", answer.detail);
    else this.#next();
  }

  #begin(head: RequestHead, bytes: Uint8Array, treatment: Treatment): void {
    const connection = this.#connection;
    const { exchanges, limits, recording } = connection;
    const exchange: Exchange = {
      id: recording.nextId,
      request: head,
      recorder: treatment.observe ? recording.begin(head, connection.now) : null,
      refusal: null,
      stripsAltSvc: treatment.stripsAltSvc,
      strictHeaders: treatment.strictHeaders,
      requestDone: false,
      responseStarted: false,
      responseDone: false,
      keepAlive: head.keepAlive,
    };
    if (!treatment.observe) recording.skip();
    this.#lastRefusal = null;
    if (exchanges.length === 0) connection.arm("exchange_idle", limits.exchangeIdleMs);
    exchanges.push(exchange);
    connection.serverExchanges++;
    this.#receiving = exchange;
    connection.toServer.push(bytes);
    if (head.framing.type === "none") this.#done();
    else {
      this.#body = new BodyReader(head.framing, limits, toleranceOf(treatment));
      this.#state = "body";
    }
  }

  /** The whole request has been relayed. */
  #done(): void {
    const exchange = this.#receiving!;
    exchange.requestDone = true;
    exchange.recorder?.requestFinished();
    this.#receiving = null;
    this.#body = null;
    // RFC 9112 §9.6: nothing after a request with `close` is a request on this connection.
    this.#state = exchange.keepAlive ? "head" : "discard";
    if (exchange.responseDone) this.exchangeDone(exchange);
  }

  exchangeDone(exchange: Exchange): void {
    const connection = this.#connection;
    exchange.recorder?.complete("complete", connection.now);
    connection.exchanges.shift();
    this.#lastRefusal = null;
    if (exchange.keepAlive) {
      this.#next();
      return;
    }
    connection.completeAll("server_aborted", {
      by: "server",
      code: "connection_closed",
      detail: "The connection ended with the response before this one",
    });
    connection.finish("complete");
  }

  /** An exchange is over, in order. */
  #next(): void {
    const connection = this.#connection;
    const { deferred, draining, exchanges } = connection;
    const next = exchanges[0];
    if (next !== undefined) {
      if (next.refusal !== null) this.#answerRefused(next, next.refusal);
      // Not at each response: what is held would be gone through again and again.
      else if (exchanges.length <= PIPELINED_MAX / 2) this.#pump();
      return;
    }
    // A request that is being decided is none of these yet, and goes on from there.
    if (this.#waiting !== null) return;
    if (deferred !== null) connection.answerRejected(deferred);
    else if (this.#hasSaidAll) this.#finishServed();
    else if (draining) connection.finish("shutdown");
    else {
      if (this.#reader.buffered === 0) this.#becomeIdle();
      this.#pump();
    }
  }

  #becomeIdle(): void {
    const connection = this.#connection;
    connection.host.disarm("exchange_idle");
    connection.arm("idle", connection.limits.idleMs);
  }

  #hold(rest: Uint8Array): void {
    this.#held.hold(rest);
    this.#connection.host.pause("client");
  }

  /** Goes on with what was held, and with an end that came after it. */
  #pump(): void {
    const connection = this.#connection;
    if (connection.finished || this.#held.bytes === 0) return;
    connection.host.resume("client");
    this.#held.release((held) => this.#read(held));
    if (this.#ended) this.ended();
  }

  get #hasSaidAll(): boolean {
    return this.#ended && this.#held.isOver;
  }

  /** All that the client asked for was served, or refused at last. */
  #finishServed(): void {
    this.#connection.finish(this.#lastRefusal?.reason ?? "complete", this.#lastRefusal?.detail);
  }

  #badHead(error: Http1Error): void {
    this.#reject(error, causeOf(error));
  }

  /** A request that never became an exchange: answered in its turn, after the responses before it. */
  #reject(error: Http1Error, cause: RejectionCause): void {
    const connection = this.#connection;
    if (connection.finished || connection.deferred !== null) return;
    this.#state = "discard";
    const recordedByRouter = this.#router !== null && this.#router.unparsable(error);
    const rejection = {
      answer: rejectionAnswer(error, cause),
      outcome: cause,
      reason: closeReasonOf(cause, recordedByRouter),
      error,
      exchangeId: recordedByRouter ? null : connection.recording.skip(),
    };
    if (connection.exchanges.length > 0) connection.deferred = rejection;
    else connection.answerRejected(rejection);
  }
}

/** Of heads and trailer sections of requests. */
function toleranceOf({ strictHeaders }: { readonly strictHeaders: boolean }): "none" | "values" {
  return strictHeaders ? "none" : "values";
}

function refusal({ code, detail }: Answer): ExchangeError {
  return { by: "proxy", code, detail };
}
