/**
 * What the two directions of a relayed connection have in common: its exchanges, oldest first, and how one or all
 * of them end otherwise than in order. An answer of the proxy's own stands where the oldest waits for its response.
 */
import type { CloseReason } from "../core/close_reason.ts";
import type { ExchangeOutcome } from "../core/event.ts";
import { addMilliseconds, type Instant } from "../core/instant.ts";
import { Outbox } from "../core/outbox.ts";
import type { Timer } from "../core/session.ts";
import type { Answer } from "../http/answer.ts";
import type { ExchangeError } from "../http/exchange_recorder.ts";
import type { StreamObservation } from "../http/observation.ts";
import type { RecordingOptions } from "../http/recording.ts";
import type { RelayHost } from "../http/relay_host.ts";
import { encodeAnswer } from "./answer.ts";
import { type Http1Error, isLimit } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import { ExchangeRecording } from "./exchange_recording.ts";
import type { Rejection } from "./rejection.ts";

export interface RelayLimits {
  readonly maxHeadBytes: number;
  readonly maxHeaderFields: number;
  readonly headMs: number;
  readonly idleMs: number;
  readonly exchangeIdleMs: number;
}

export interface Http1Host extends RelayHost {
  /** The connection became opaque (101, or 2xx to CONNECT); `stream` observes what follows, `fromServer` first. */
  upgraded(fromServer: Uint8Array, stream: StreamObservation | null): void;
}

export class Http1Connection {
  readonly toClient: Outbox;
  readonly toServer: Outbox;
  readonly exchanges: Exchange[] = [];
  readonly recording: ExchangeRecording;
  /** When the input at hand came. */
  now: Instant;
  /** The flow is over, or no longer the relay's: nothing more is sent or recorded. */
  finished = false;
  draining = false;
  /** Exchanges begun on the present server connection. */
  serverExchanges = 0;
  /** Is answered when its turn comes; no request comes after it. */
  deferred: Rejection | null = null;

  /** `forwards`: each request goes to a server of its own choice. */
  constructor(
    readonly host: Http1Host,
    readonly limits: RelayLimits,
    options: RecordingOptions,
    readonly forwards: boolean,
    now: Instant,
  ) {
    this.now = now;
    this.toClient = new Outbox((data) => host.send("client", data));
    this.toServer = new Outbox((data) => host.send("server", data));
    this.recording = new ExchangeRecording(options, (event) => host.record(event));
    this.arm("idle", limits.idleMs);
  }

  arm(timer: Timer, afterMs: number): void {
    this.host.arm(timer, addMilliseconds(this.now, afterMs));
  }

  flush(): void {
    this.toServer.flush();
    this.toClient.flush();
  }

  finish(reason: CloseReason, detail?: string): void {
    if (this.finished) return;
    this.finished = true;
    if (this.deferred !== null) this.#endRejected(this.deferred, null);
    this.flush();
    this.host.finish(reason, detail);
  }

  /** The turn of a request that could not be taken. */
  answerRejected(rejection: Rejection): void {
    this.deferred = null;
    this.#endRejected(rejection, rejection.answer);
    this.toClient.push(encodeAnswer(rejection.answer, { close: true }));
    this.finish(rejection.reason, rejection.error.detail);
  }

  /** `answer` is null where the flow ended before its turn came. */
  #endRejected({ exchangeId, outcome, error }: Rejection, answer: Answer | null): void {
    if (exchangeId === null) return;
    const reported: ExchangeError = { by: "client", code: error.code, detail: error.detail };
    this.recording.unopened(exchangeId, outcome, answered(reported, answer));
  }

  /** A client that has its whole answer may leave the rest of its request unsent (RFC 9112 §9.5). */
  completeAnswered(): void {
    const exchange = this.exchanges[0];
    if (exchange === undefined || !exchange.responseDone) return;
    exchange.recorder?.complete("complete", this.now);
    this.exchanges.shift();
  }

  /** Ends every exchange that is still open, oldest first; an answer is the oldest's. */
  completeAll(outcome: ExchangeOutcome, error: ExchangeError, answer: Answer | null = null): void {
    for (const [index, exchange] of this.exchanges.entries()) {
      exchange.recorder?.complete(outcome, this.now, index === 0 ? answered(error, answer) : error);
    }
    this.exchanges.length = 0;
  }

  /** The client side is lost. */
  clientGone(code: string, detail: string): void {
    this.completeAnswered();
    this.completeAll("client_aborted", { by: "client", code, detail });
    this.host.reset("server");
    this.finish("client_reset", detail);
  }

  /** The server side is lost while exchanges are under way, or between them. */
  serverGone(error: ExchangeError): void {
    const exchange = this.exchanges[0];
    if (exchange === undefined) {
      if (!this.forwards) this.finish("server_reset", error.detail);
      return;
    }
    if (exchange.responseDone) {
      // An early final response: the server need not read the rest of the request (RFC 9112 §9.5).
      exchange.recorder?.complete("complete", this.now);
      this.exchanges.shift();
      this.completeAll("server_aborted", error);
      this.finish("complete");
      return;
    }
    const answer: Answer | null = exchange.responseStarted || this.serverExchanges > 1 ? null : {
      status: 502,
      code: error.code === "truncated_message" ? "server_closed" : "server_reset",
      detail: error.detail,
      proxyError: "connection_terminated",
    };
    this.completeAll("server_aborted", error, answer);
    if (answer !== null) this.#answer(exchange, answer);
    else if (error.code !== "truncated_message") {
      // A reset is carried as one. An end is carried as an end, and on a connection that has served
      // before the client sees the same race it would see without a proxy, and may retry.
      this.flush();
      this.host.reset("client");
    }
    this.finish("server_reset", error.detail);
  }

  timeout(reason: CloseReason, detail: string): void {
    const exchange = this.exchanges[0];
    if (exchange === undefined) {
      this.finish(reason, detail);
      return;
    }
    const answer: Answer | null = exchange.responseStarted
      ? null
      : { status: 504, code: "timeout", detail, proxyError: "http_response_timeout" };
    this.completeAll("timeout", { by: "proxy", code: "timeout", detail }, answer);
    this.host.reset("server");
    if (answer === null) this.host.reset("client");
    else this.#answer(exchange, answer);
    this.finish(reason, detail);
  }

  /** The body of this request breaks its framing. */
  badRequestBody(current: Exchange, error: Http1Error): void {
    const first = this.exchanges[0]!;
    const reported: ExchangeError = { by: "client", code: error.code, detail: error.detail };
    const answer: Answer | null = first.responseStarted
      ? null
      : { status: 400, code: error.code, detail: error.detail, proxyError: "http_request_error" };
    // The answer stands where the oldest request waits for its response, which need not be the bad one.
    const ofCurrent = current === first ? answered(reported, answer) : reported;
    current.recorder?.complete("protocol_error", this.now, ofCurrent);
    this.completeAll("client_aborted", reported, answer);
    this.host.reset("server");
    if (answer !== null) this.#answer(first, answer);
    else if (!first.responseDone) this.host.reset("client");
    this.finish("protocol_error", error.detail);
  }

  /** What the server says cannot be relayed as a response. */
  badResponse(error: Http1Error): void {
    const exchange = this.exchanges[0];
    const limit = isLimit(error);
    const reported: ExchangeError = { by: "server", code: error.code, detail: error.detail };
    const answer: Answer | null = exchange === undefined || exchange.responseStarted ? null : {
      status: 502,
      code: error.code,
      detail: error.detail,
      proxyError: limit ? "http_response_header_section_size" : "http_protocol_error",
    };
    const outcome = limit ? "limit" : "protocol_error";
    exchange?.recorder?.complete(outcome, this.now, answered(reported, answer));
    this.completeAll("server_aborted", reported);
    this.host.reset("server");
    if (exchange !== undefined && answer !== null) this.#answer(exchange, answer);
    else if (exchange !== undefined && !exchange.responseDone) {
      this.flush();
      this.host.reset("client");
    }
    this.finish(limit ? "limit_exceeded" : "protocol_error", error.detail);
  }

  abort(reason: CloseReason, code: string, detail: string): void {
    const exchange = this.exchanges[0];
    const inResponse = exchange !== undefined && exchange.responseStarted && !exchange.responseDone;
    this.completeAll("reset", { by: "proxy", code, detail });
    if (inResponse) {
      // An end would make a body that only the end delimits look whole.
      this.flush();
      this.host.reset("client");
    }
    this.finish(reason, detail);
  }

  #answer(exchange: Exchange, answer: Answer): void {
    this.toClient.push(encodeAnswer(answer, { method: exchange.request.method, close: true }));
  }
}

/** An error that the client was told of by this answer, where it was. */
export function answered(error: ExchangeError, answer: Answer | null): ExchangeError {
  return answer === null ? error : { ...error, answerStatus: answer.status };
}
