/**
 * What the server of a relayed connection sends: a response for each request, in their order. Heads are parsed
 * strictly and go on as the bytes that came, bodies as they arrive. Where the server switches protocols, the
 * connection is no longer HTTP.
 */
import type { StreamObservation } from "../http/observation.ts";
import { ALT_SVC, type Field } from "../http/fields.ts";
import { BodyReader, type BodySink } from "./body.ts";
import type { Http1Connection } from "./connection.ts";
import { http1Error } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import { parseResponseHead, type RequestHead, responseFraming, type ResponseHead } from "./head.ts";
import { HeadReader } from "./head_reader.ts";
import { withoutFields, withoutTransferCoding } from "./rewrite.ts";
import { bendsLines, type Tolerated, toleratedCodes } from "./tolerance.ts";

/** The requests, as far as the responses have to do with them. */
export interface Turns {
  /** Both messages of the oldest exchange are whole. */
  exchangeDone(exchange: Exchange): void;
  /** Something of a further request is there. */
  readonly hasMore: boolean;
}

const STRIPPED: ReadonlySet<string> = new Set([ALT_SVC]);

export class Responses {
  readonly #connection: Http1Connection;
  readonly #turns: Turns;
  readonly #reader: HeadReader;
  /** Null between responses, and in their heads. */
  #body: BodyReader | null = null;
  /** Forward mode, HTTP/1.0 client, chunked response: the coding is taken off (RFC 9112 §7.1). */
  #unchunking = false;
  #upgraded: StreamObservation | null = null;

  readonly #sink: BodySink = {
    raw: (bytes) => {
      if (!this.#unchunking) this.#connection.toClient.push(bytes);
    },
    content: (bytes) => {
      if (this.#unchunking) this.#connection.toClient.push(bytes);
      this.#connection.exchanges[0]?.recorder?.responseContent(bytes);
    },
    trailers: (fields: readonly Field[], tolerated: Tolerated) =>
      this.#connection.exchanges[0]?.recorder?.responseTrailers(fields, toleratedCodes(tolerated)),
  };

  constructor(connection: Http1Connection, turns: Turns) {
    this.#connection = connection;
    this.#turns = turns;
    this.#reader = new HeadReader({ maxHeadBytes: connection.limits.maxHeadBytes });
  }

  /** The beginning of a head. */
  get heldBytes(): number {
    return this.#reader.buffered;
  }

  /** The server is another one. */
  startAnew(): void {
    this.#reader.reset();
    this.#body = null;
  }

  received(data: Uint8Array): void {
    const connection = this.#connection;
    let offset = 0;
    while (offset < data.length && !connection.finished) {
      const exchange = connection.exchanges[0];
      if (exchange === undefined || exchange.responseDone) {
        const detail = "The server sent bytes that answer no request";
        connection.badResponse(http1Error("unsolicited_response", detail, offset, "RFC 9112 §9.2"));
        return;
      }
      if (this.#body === null) {
        if (this.#reader.buffered === 0) {
          connection.arm("server_head", connection.limits.headMs);
          this.#reader.tolerate(exchange.strictHeaders ? "none" : "lines");
        }
        const read = this.#reader.push(data, offset);
        if (read.type === "more") return;
        connection.host.disarm("server_head");
        if (read.type === "error") {
          connection.badResponse(read);
          return;
        }
        offset = read.next;
        if (this.#head(exchange, read.bytes)) {
          this.#becomeOpaque(data.subarray(offset));
          return;
        }
      } else {
        const read = this.#body.read(data, offset, this.#sink);
        if (read.type === "more") return;
        if (read.type === "error") {
          connection.badResponse(read);
          return;
        }
        offset = read.next;
        this.#done(exchange);
      }
    }
  }

  /** The server ended its side. `truncated`: TLS did not vouch for that. */
  ended(truncated: boolean): void {
    const connection = this.#connection;
    const exchange = connection.exchanges[0];
    if (exchange === undefined) {
      // An idle server connection that closes ends an intercepted flow; a forward proxy dials anew when needed.
      if (!connection.forwards) connection.finish("complete");
      return;
    }
    const whole = this.#body?.end(this.#sink).type === "done";
    if (whole && truncated) {
      // RFC 9112 §9.8: only the end delimits this response, and TLS did not vouch for it.
      connection.serverGone({
        by: "server",
        code: "tls_truncated",
        detail:
          "The server's connection ended without the end of TLS in a response that only its end delimits",
      });
      return;
    }
    if (whole) {
      exchange.keepAlive = false;
      this.#done(exchange);
      if (connection.finished) return;
    }
    connection.serverGone({
      by: "server",
      code: "truncated_message",
      detail: exchange.responseStarted
        ? "The server ended in the middle of a response"
        : "The server ended without a response",
    });
  }

  /** Handles a response head; true if the connection becomes opaque with it. */
  #head(exchange: Exchange, bytes: Uint8Array): boolean {
    const connection = this.#connection;
    const head = parseResponseHead(bytes, connection.limits, exchange.strictHeaders ? "none" : "lines");
    if (head.type === "error") {
      connection.badResponse(head);
      return false;
    }
    const { request } = exchange;
    const switching = isSwitching(head, request);
    if (switching && !this.#maySwitch(exchange, head)) {
      const detail = request.upgrade
        ? "The server switched protocols while the client had already sent another request"
        : "The server switched protocols although the client did not ask for it";
      connection.badResponse(http1Error("unexpected_upgrade", detail, 0, "RFC 9110 §15.2.2"));
      return false;
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
      exchange.recorder?.responseHead(facts, connection.now);
      exchange.responseStarted = true;
      connection.toClient.push(this.#forClient(exchange, head));
      if (head.status === 101) this.#upgraded = exchange.recorder?.upgraded(facts) ?? null;
      exchange.recorder?.complete("complete", connection.now);
      connection.exchanges.shift();
      return true;
    }
    const framed = responseFraming(head, request.method);
    if ("type" in framed) {
      connection.badResponse(framed);
      return false;
    }
    exchange.recorder?.responseHead(facts, connection.now);
    if (head.status < 200) {
      // An HTTP/1.0 client cannot take an interim response (RFC 9110 §15.2); only a forward proxy has to care.
      if (!connection.forwards || request.version === "HTTP/1.1") {
        exchange.responseStarted = true;
        connection.toClient.push(this.#forClient(exchange, head));
      }
      return false;
    }
    exchange.responseStarted = true;
    if (!framed.keepAlive) exchange.keepAlive = false;
    this.#unchunking = connection.forwards && request.version === "HTTP/1.0" &&
      framed.framing.type === "chunked";
    if (this.#unchunking) exchange.keepAlive = false;
    connection.toClient.push(this.#forClient(exchange, head));
    if (framed.framing.type === "none") this.#done(exchange);
    else {
      const tolerance = exchange.strictHeaders ? "none" : "values";
      this.#body = new BodyReader(framed.framing, connection.limits, tolerance);
    }
    return false;
  }

  /** Nothing that was meant as HTTP may be taken for what follows, and the client has to have asked for it. */
  #maySwitch({ request, requestDone }: Exchange, { status }: ResponseHead): boolean {
    const { deferred, exchanges } = this.#connection;
    const alone = exchanges.length === 1 && requestDone && !this.#turns.hasMore && this.heldBytes === 0 &&
      deferred === null;
    return alone && (status !== 101 || request.upgrade);
  }

  #becomeOpaque(rest: Uint8Array): void {
    const connection = this.#connection;
    connection.flush();
    connection.finished = true;
    connection.host.disarm("exchange_idle");
    connection.host.upgraded(rest, this.#upgraded);
  }

  #forClient(exchange: Exchange, head: ResponseHead): Uint8Array {
    const strips = exchange.stripsAltSvc && head.fields.some(([name]) => name.toLowerCase() === ALT_SVC);
    if (strips) exchange.recorder?.stripped(ALT_SVC);
    if (this.#unchunking) return withoutTransferCoding(head, strips ? STRIPPED : undefined);
    return strips ? withoutFields(head, STRIPPED) : head.bytes;
  }

  #done(exchange: Exchange): void {
    exchange.responseDone = true;
    exchange.recorder?.responseFinished();
    this.#body = null;
    if (exchange.requestDone) this.#turns.exchangeDone(exchange);
  }
}

function isSwitching({ status }: ResponseHead, { method }: RequestHead): boolean {
  return status === 101 || (method === "CONNECT" && status >= 200 && status < 300);
}
