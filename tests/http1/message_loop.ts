/**
 * Reads a connection's one direction with the engine, as a relay would, and writes down what came
 * of it: heads, forwarded octets, content, trailers, and the error that ended it.
 */
import { joinBytes } from "../../src/core/bytes.ts";
import type { Field } from "../../src/http/fields.ts";
import { BodyReader, type BodyResult } from "../../src/http1/body.ts";
import { type ConnectHead, isConnect, parseConnectHead } from "../../src/http1/connect.ts";
import type { Http1Error } from "../../src/http1/errors.ts";
import {
  type Framing,
  parseRequestHead,
  parseResponseHead,
  type RequestHead,
  responseFraming,
  type ResponseHead,
} from "../../src/http1/head.ts";
import { HeadReader } from "../../src/http1/head_reader.ts";

export interface LoopOptions {
  readonly direction: "request" | "response";
  readonly maxHeadBytes?: number;
  readonly maxHeaderFields?: number;
  /** The method that responses answer. */
  readonly requestMethod?: string;
  /** Stop after so many messages; what follows stays unread. */
  readonly messages?: number;
  /** Whether bytes after a response that closes the connection are an error. */
  readonly closing?: boolean;
}

export interface Message {
  readonly head: RequestHead | ResponseHead | ConnectHead;
  readonly framing: Framing;
  readonly keepAlive: boolean;
  /** Head and body as they would be sent on. */
  forwarded: Uint8Array;
  content: Uint8Array;
  trailers: readonly Field[];
  complete: boolean;
}

export class MessageLoop {
  readonly messages: Message[] = [];
  error: Http1Error | null = null;
  /** Octets after the last message that was asked for, or after the one that made the connection opaque. */
  rest = 0;
  readonly #options: LoopOptions;
  readonly #limits: { maxHeadBytes: number; maxHeaderFields: number };
  readonly #heads: HeadReader;
  #body: BodyReader | null = null;
  #opaque = false;

  constructor(options: LoopOptions) {
    this.#options = options;
    this.#limits = {
      maxHeadBytes: options.maxHeadBytes ?? 65536,
      maxHeaderFields: options.maxHeaderFields ?? 256,
    };
    this.#heads = new HeadReader({
      maxHeadBytes: this.#limits.maxHeadBytes,
      allowLeadingCrlf: options.direction === "request",
    });
  }

  /** Nothing is under way: every message that began has ended. */
  get between(): boolean {
    return this.error === null && this.#body === null && this.#heads.buffered === 0;
  }

  /** No more messages are read. */
  get finished(): boolean {
    return this.#opaque || this.messages.length === this.#options.messages && this.#body === null;
  }

  push(data: Uint8Array): void {
    let offset = 0;
    while (offset < data.length && this.error === null) {
      if (this.finished) {
        this.rest += data.length - offset;
        return;
      }
      const next = this.#body === null ? this.#readHead(data, offset) : this.#readBody(data, offset);
      if (next === null) return;
      offset = next;
    }
  }

  end(): void {
    if (this.#body === null || this.error !== null) return;
    const result = this.#body.end();
    if (result.type === "error") this.error = result;
    else this.#complete();
  }

  #readHead(data: Uint8Array, offset: number): number | null {
    const last = this.messages.at(-1);
    if (this.#options.closing && last !== undefined && !last.keepAlive) {
      this.error = {
        type: "error",
        code: "unsolicited_response",
        detail: "bytes follow a message that closes the connection",
        offset: 0,
        rfc: "RFC 9112 §9.6",
      };
      return null;
    }
    const read = this.#heads.push(data, offset);
    if (read.type === "more") return null;
    const started = read.type === "error" ? read : this.#startMessage(read.bytes);
    if ("type" in started) {
      this.error = started;
      return null;
    }
    this.messages.push(started);
    if (started.framing.type === "none") this.#complete();
    else this.#body = new BodyReader(started.framing, this.#limits);
    return read.type === "head" ? read.next : null;
  }

  #startMessage(bytes: Uint8Array): Message | Http1Error {
    const common = {
      forwarded: bytes,
      content: new Uint8Array(0),
      trailers: [],
      complete: false,
    };
    if (this.#options.direction === "response") {
      const head = parseResponseHead(bytes, this.#limits);
      if (head.type === "error") return head;
      if (head.status === 101) this.#opaque = true;
      const framed = responseFraming(head, this.#options.requestMethod ?? "GET");
      return "type" in framed ? framed : { head, ...framed, ...common };
    }
    if (isConnect(bytes)) {
      const head = parseConnectHead(bytes, "strict", this.#limits);
      if (head.type === "error") return head;
      this.#opaque = true;
      return { head, framing: { type: "none" }, keepAlive: false, ...common };
    }
    const head = parseRequestHead(bytes, this.#limits);
    if (head.type === "error") return head;
    return { head, framing: head.framing, keepAlive: head.keepAlive, ...common };
  }

  #readBody(data: Uint8Array, offset: number): number | null {
    const message = this.messages.at(-1)!;
    const result: BodyResult | Http1Error = this.#body!.read(data, offset, {
      raw: (bytes) => message.forwarded = joinBytes([message.forwarded, bytes]),
      content: (bytes) => message.content = joinBytes([message.content, bytes]),
      trailers: (fields) => message.trailers = fields,
    });
    switch (result.type) {
      case "more":
        return null;
      case "error":
        this.error = result;
        return null;
      case "done":
        this.#complete();
        return result.next;
    }
  }

  #complete(): void {
    this.messages.at(-1)!.complete = true;
    this.#body = null;
  }
}
