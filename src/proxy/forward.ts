/**
 * Plain-HTTP requests in absolute-form (RFC 9112 §3.2.2): each is decided on its own and goes to
 * its own server in origin-form. One server connection at a time; it is kept while the next request
 * asks for the same authority.
 */
import { type Authority, formatAuthority } from "../core/authority.ts";
import { addMilliseconds, type Instant } from "../core/instant.ts";
import type { Decision, Effects, TransportFault } from "../core/session.ts";
import type { CloseReason } from "../core/close_reason.ts";
import type { FlowContext } from "../core/event.ts";
import { isConnect } from "../http1/connect.ts";
import { isConnectUdp } from "../http1/connect_udp.ts";
import type { FieldLimits } from "../http1/field_lines.ts";
import type { Http1Error } from "../http1/errors.ts";
import type { RequestHead } from "../http1/head.ts";
import type { Http1Relay } from "../http1/relay.ts";
import type { Router } from "../http1/router.ts";
import { toOriginForm } from "../http1/rewrite.ts";
import { parseTarget } from "../http1/target.ts";
import { badRequestAnswer, blockedAnswer, dialFailure } from "./answers.ts";
import { connectDecisionEvent, connectParseFailedEvent, connectReceivedEvent } from "./events.ts";

interface Waiting {
  readonly head: RequestHead;
  readonly authority: Authority;
  readonly path: string;
}

export interface ForwardOptions {
  readonly context: FlowContext;
  readonly effects: Effects;
  readonly connectMs: number;
  /** Starts the phase in which the flow serves a CONNECT, with the bytes from its head on. */
  readonly onConnect: (bytes: Uint8Array) => void;
  /** As `onConnect`, for CONNECT-UDP. */
  readonly onConnectUdp: (bytes: Uint8Array) => void;
  readonly limits: FieldLimits;
}

export class ForwardRouter implements Router {
  relay!: Http1Relay;
  now: Instant = 0;
  #waiting: Waiting | null = null;
  #observe = true;
  #stripsAltSvc = false;
  #strictHeaders = true;
  #server: Authority | null = null;
  #serverOpen = false;
  #served = 0;
  #questionId = 0;
  /** The question that is not answered yet. */
  #asked: number | null = null;

  constructor(private readonly options: ForwardOptions) {}

  route(head: RequestHead): void {
    const target = parseTarget(head.target, head.method);
    this.#served++;
    if ("type" in target) {
      this.#refuse(target.code, target.detail);
      return;
    }
    if (target.form !== "absolute") {
      this.#refuse(
        "not_absolute_form",
        "This is a proxy: ask with an absolute http:// target, or with CONNECT for anything else",
      );
      return;
    }
    if (target.scheme !== "http") {
      this.#refuse(
        "unsupported_scheme",
        target.scheme === "https"
          ? "An https:// target cannot be asked for in the clear; use CONNECT"
          : `The scheme ${target.scheme} is not served; http:// and CONNECT are`,
      );
      return;
    }
    const { authority, path } = target;
    const { context, effects } = this.options;
    context.serverHost = authority.host;
    context.serverPort = authority.port;
    this.#waiting = { head, authority, path };
    effects.record(connectReceivedEvent(formatAuthority(authority), head.method));
    this.#asked = ++this.#questionId;
    const decision = effects.decide(this.#asked, {
      flowId: context.flowId,
      clientAddr: context.clientAddr,
      authority,
      method: head.method,
      path,
      sni: null,
    });
    if (decision !== null) this.decided(this.#asked, decision);
  }

  takesOver(head: Uint8Array): boolean {
    return isConnect(head) || isConnectUdp(head, this.options.limits);
  }

  takeOver(bytes: Uint8Array): void {
    this.closeServer();
    if (isConnect(bytes)) this.options.onConnect(bytes);
    else this.options.onConnectUdp(bytes);
  }

  unparsable(error: Http1Error): boolean {
    if (this.#served > 0) return false;
    this.options.effects.record(connectParseFailedEvent(error.code, error.detail));
    return true;
  }

  decided(id: number, decision: Decision): void {
    const waiting = this.#waiting;
    if (waiting === null || id !== this.#asked) return;
    this.#asked = null;
    const { override } = decision;
    this.options.effects.record(connectDecisionEvent(decision, { overrideId: override?.id }));
    if (decision.action === "block") {
      this.#waiting = null;
      this.relay.refused(blockedAnswer(waiting.authority, decision.ruleId), "blocked", "blocked", this.now);
      return;
    }
    this.#observe = decision.action === "intercept";
    this.#stripsAltSvc = override?.stripAltSvc === true;
    this.#strictHeaders = override?.strictHeaders !== false;
    const [malformed] = waiting.head.tolerated;
    if (malformed !== undefined && this.#strictHeaders) {
      this.#waiting = null;
      this.relay.malformed(malformed, this.now);
      return;
    }
    const same = this.#server !== null && this.#server.host === waiting.authority.host &&
      this.#server.port === waiting.authority.port;
    if (this.#serverOpen && same) {
      this.#forward(false);
      return;
    }
    this.closeServer();
    this.#server = waiting.authority;
    this.options.effects.arm("connect", addMilliseconds(this.now, this.options.connectMs));
    this.options.effects.open(waiting.authority);
  }

  opened(): void {
    this.options.effects.disarm("connect");
    this.#serverOpen = true;
    if (this.#waiting !== null) this.#forward(true);
  }

  openFailed(fault: TransportFault): void {
    this.options.effects.disarm("connect");
    const waiting = this.#waiting;
    if (waiting === null) return;
    this.#waiting = null;
    this.#server = null;
    const { answer, reason } = dialFailure(fault, waiting.authority);
    this.relay.refused(answer, fault.kind === "timeout" ? "timeout" : "server_aborted", reason, this.now);
  }

  /** The server side ended or failed; a next request dials anew. */
  serverGone(): void {
    this.closeServer();
  }

  closeServer(): void {
    if (this.#serverOpen) this.options.effects.closeServer();
    this.#serverOpen = false;
    this.#server = null;
  }

  #forward(freshServer: boolean): void {
    const waiting = this.#waiting!;
    this.#waiting = null;
    const bytes = toOriginForm(waiting.head, waiting.path, waiting.authority);
    this.relay.routed(
      bytes,
      {
        freshServer,
        observe: this.#observe,
        stripsAltSvc: this.#stripsAltSvc,
        strictHeaders: this.#strictHeaders,
      },
      this.now,
    );
  }

  #refuse(code: string, detail: string): void {
    const reason: CloseReason = "protocol_error";
    this.relay.refused(badRequestAnswer(code, detail), "protocol_error", reason, this.now);
  }
}
