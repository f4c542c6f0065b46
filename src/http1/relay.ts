/**
 * Relays HTTP/1.1 (RFC 9112) between a client and a server and records what passes. Heads are
 * parsed strictly and forwarded as the bytes that came; bodies are forwarded as they arrive. What
 * breaks a rule ends the exchange before a byte of the offending message part reaches the other side.
 *
 * With a router the relay serves a forward proxy: each request waits until it was decided and its
 * server is connected, and the next one is read only when the exchange is over. Without one the
 * server is fixed and pipelined requests go through as they come, each once the gate lets it; one that is
 * refused keeps its place among the others until the answer's turn comes.
 *
 * Here inputs and timers are dealt with; what the client sends is in `requests.ts`, what the server sends in
 * `responses.ts`, how exchanges and the connection end in `connection.ts`.
 */
import type { CloseReason } from "../core/close_reason.ts";
import type { ExchangeOutcome } from "../core/event.ts";
import { addMilliseconds, type Instant } from "../core/instant.ts";
import type { Timer, TransportFault } from "../core/session.ts";
import type { Side } from "../core/side.ts";
import type { Answer } from "../http/answer.ts";
import type { RecordingOptions } from "../http/recording.ts";
import type { Verdict } from "../http/request_gate.ts";
import { Http1Connection, type Http1Host, type RelayLimits } from "./connection.ts";
import type { Http1Error } from "./errors.ts";
import type { Treatment } from "./exchange.ts";
import { type RequestOptions, Requests } from "./requests.ts";
import { Responses } from "./responses.ts";

export interface RelayOptions extends RecordingOptions, RequestOptions {
  readonly host: Http1Host;
  readonly limits: RelayLimits;
}

export class Http1Relay {
  readonly #connection: Http1Connection;
  readonly #requests: Requests;
  readonly #responses: Responses;
  #lastActivity: Instant;

  constructor(options: RelayOptions, now: Instant) {
    this.#connection = new Http1Connection(
      options.host,
      options.limits,
      options,
      options.router !== null,
      now,
    );
    this.#requests = new Requests(this.#connection, options);
    this.#responses = new Responses(this.#connection, this.#requests);
    this.#lastActivity = now;
  }

  get heldBytes(): number {
    return this.#requests.heldBytes + this.#responses.heldBytes;
  }

  /** The beginnings of heads. */
  get unfinishedBytes(): number {
    return this.#requests.unfinishedBytes + this.#responses.heldBytes;
  }

  get nextExchangeId(): number {
    return this.#connection.recording.nextId;
  }

  /** Nothing is under way: the connection only waits for a next request. */
  get idle(): boolean {
    return this.#requests.idle;
  }

  received(side: Side, data: Uint8Array, now: Instant): void {
    this.#connection.now = now;
    this.#lastActivity = now;
    if (side === "server") this.#responses.received(data);
    else this.#requests.received(data);
    this.#connection.flush();
  }

  ended(side: Side, now: Instant, truncated = false): void {
    this.#connection.now = now;
    if (side === "client") this.#requests.ended();
    else if (!this.#connection.finished) this.#responses.ended(truncated);
    this.#connection.flush();
  }

  failed(side: Side, { code, detail }: TransportFault, now: Instant): void {
    this.#connection.now = now;
    if (this.#connection.finished) return;
    if (side === "client") this.#connection.clientGone(code, detail);
    else this.#connection.serverGone({ by: "server", code, detail });
    this.#connection.flush();
  }

  expired(timer: Timer, now: Instant): void {
    const connection = this.#connection;
    connection.now = now;
    if (connection.finished) return;
    const { exchangeIdleMs, headMs, idleMs } = connection.limits;
    switch (timer) {
      case "client_head":
        this.#requests.headTimedOut();
        break;
      case "server_head":
        connection.timeout("stage_timeout", `The response head was not whole within ${headMs} ms`);
        break;
      case "idle":
        if (this.idle) connection.finish("idle_timeout", `No request for ${idleMs} ms`);
        break;
      case "exchange_idle": {
        if (connection.exchanges.length === 0) break;
        const due = addMilliseconds(this.#lastActivity, exchangeIdleMs);
        if (now < due) connection.host.arm("exchange_idle", due);
        else connection.timeout("idle_timeout", `No byte for ${exchangeIdleMs} ms in an exchange`);
        break;
      }
      default:
        break;
    }
    connection.flush();
  }

  drain(now: Instant): void {
    const connection = this.#connection;
    connection.now = now;
    connection.draining = true;
    if (connection.exchanges.length === 0 && !this.#requests.waits) connection.finish("shutdown");
  }

  abort(reason: CloseReason, code: string, detail: string, now: Instant): void {
    this.#connection.now = now;
    this.#connection.abort(reason, code, detail);
  }

  /** Forward mode: the waiting request goes out as `bytes`, to the server that is now connected. */
  routed(
    bytes: Uint8Array,
    options: Treatment & { readonly freshServer: boolean },
    now: Instant,
  ): void {
    const connection = this.#connection;
    connection.now = now;
    if (!this.#requests.waits || connection.finished) return;
    if (options.freshServer) {
      connection.serverExchanges = 0;
      this.#responses.startAnew();
    }
    this.#requests.routed(bytes, options);
    connection.flush();
  }

  /** Forward mode: the waiting request is not to be tolerated for where it goes. */
  malformed(error: Http1Error, now: Instant): void {
    this.#connection.now = now;
    this.#requests.malformed(error);
    this.#connection.flush();
  }

  /** Forward mode: the waiting request is answered by the proxy itself. */
  refused(answer: Answer, outcome: ExchangeOutcome, reason: CloseReason, now: Instant): void {
    this.#connection.now = now;
    this.#requests.refused(answer, outcome, reason);
    this.#connection.flush();
  }

  /** The gate's answer for the request that waits. */
  decided(verdict: Verdict, now: Instant): void {
    this.#connection.now = now;
    this.#requests.decided(verdict);
    this.#connection.flush();
  }
}
