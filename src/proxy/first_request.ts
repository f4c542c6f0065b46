/** The first phase of a flow at a forward proxy: its first head, whole in time, says what is asked for. */
import { connectAlpn, isHttp3 } from "./http3.ts";
import type { Authority } from "../core/authority.ts";
import type { Http1Error } from "../http1/errors.ts";
import { badHeadAnswer } from "./answers.ts";
import { connectParseFailedEvent } from "./events.ts";
import { FirstHead, readConnectUdp } from "./first_head.ts";
import type { Flow, FlowMethod } from "./flow.ts";
import type { FlowPolicy } from "./flow_policy.ts";

/** What was asked for. */
export interface FirstAsked {
  /** A plain request, of which these are all bytes that have come. */
  plain(bytes: Uint8Array): void;
  /** A CONNECT or CONNECT-UDP: the flow is aimed, and policy is to be asked. */
  connect(): void;
}

export class FirstRequest {
  readonly #head: FirstHead;

  constructor(
    private readonly flow: Flow,
    private readonly policy: FlowPolicy,
    private readonly next: FirstAsked,
  ) {
    this.#head = new FirstHead(flow.config);
  }

  /** What is there of the head. */
  get heldBytes(): number {
    return this.#head.bytes;
  }

  received(data: Uint8Array): void {
    const read = this.#head.push(data);
    if (read.type === "more") return;
    this.flow.effects.disarm("client_head");
    switch (read.type) {
      case "plain":
        this.next.plain(read.bytes);
        return;
      case "error":
        this.#failed(read);
        return;
      case "connect":
        if (isHttp3(connectAlpn(read.head.fields))) this.policy.designate("connect_alpn");
        this.#connect(read.head.authority, "CONNECT", read.rest);
        return;
    }
  }

  /** A CONNECT-UDP comes as a plain request; its head is whole. */
  receivedConnectUdp(bytes: Uint8Array): void {
    const read = readConnectUdp(bytes, this.flow.config.limits);
    if (read.type === "error") {
      this.#failed(read);
      return;
    }
    this.policy.designate("connect_udp");
    this.#connect(read.authority, "CONNECT-UDP", read.rest);
  }

  ended(): void {
    if (this.heldBytes === 0) {
      this.flow.close("complete");
      return;
    }
    this.#failed({
      type: "error",
      code: "truncated_message",
      detail: "The client ended in the middle of its first head",
      offset: this.heldBytes,
      rfc: "RFC 9112 §8",
    });
  }

  /** `timeouts.head` is over. */
  expired(): void {
    const detail = `The first head was not whole within ${this.flow.config.limits.headMs} ms (timeouts.head)`;
    if (this.heldBytes > 0) {
      this.flow.sendAnswer({
        status: 408,
        code: "head_timeout",
        detail,
        proxyError: "connection_read_timeout",
      });
    }
    this.flow.close("stage_timeout", detail);
  }

  drain(): void {
    if (this.heldBytes === 0) this.flow.close("shutdown");
  }

  /** `rest` came behind the head. */
  #connect(target: Authority, method: FlowMethod, rest: Uint8Array): void {
    this.flow.aim(target, method);
    if (!this.flow.step("deciding")) return;
    if (rest.length > 0) this.flow.hold("client", rest);
    this.next.connect();
  }

  #failed(error: Http1Error): void {
    this.flow.record(connectParseFailedEvent(error.code, error.detail));
    const answer = badHeadAnswer(error);
    this.flow.sendAnswer(answer);
    this.flow.close(answer.status === 431 ? "limit_exceeded" : "connect_parse_failed", error.detail);
  }
}
