/**
 * Policy for the requests of an intercepted connection. Its flow has been decided already, so a request is
 * asked about only where policy looks at single requests, or where the request names another authority than
 * the flow was decided for. That one is decided anew and recorded, or a client could reach what is blocked
 * through a connection to what is not.
 */
import { type Authority, formatAuthority } from "../core/authority.ts";
import type { FlowContext, FlowEvent } from "../core/event.ts";
import type { Decision, HelloFacts, Question } from "../core/session.ts";
import type { RequestGate, Verdict } from "../http/request_gate.ts";
import { parseHostValue } from "../http1/host.ts";
import { blockedAnswer } from "./answers.ts";
import { requestDecisionEvent } from "./events.ts";

export interface RequestPolicyOptions {
  readonly context: FlowContext;
  readonly protocol: "http1" | "http2";
  readonly scheme: string;
  /** What the flow was decided for: the target of the CONNECT, and the name in the ClientHello where it differs. */
  readonly target: Authority;
  readonly sni: string | null;
  readonly hello: HelloFacts | null;
  /** What a request names means nothing: all that is accepted goes to one origin. */
  readonly reverse: boolean;
  /** Policy looks at every request. */
  readonly asksAll: boolean;
  /**
   * A decision to tunnel holds for another authority too. Where a host was named it does not: a client could
   * escape observation by naming a host that is let through.
   */
  readonly tunnelsOthers: boolean;
  /** The same of the name in the ClientHello, where it is the one the flow was decided for last. */
  readonly tunnelsSni: boolean;
  /** Null: the decision comes later, through `decided`. */
  readonly decide: (question: Question) => Decision | null;
  readonly record: (event: FlowEvent) => void;
}

const OBSERVE: Verdict = { type: "observe" };
const RELAY: Verdict = { type: "relay" };

/** A name has at most 253 characters; what a client puts in place of one need not be told whole. */
const SHOWN_LENGTH_MAX = 300;

function shown({ host, port }: Authority): Authority {
  return { host: host.slice(0, SHOWN_LENGTH_MAX), port };
}

interface Asked {
  readonly stream: number;
  readonly authority: Authority;
  readonly differs: boolean;
}

export class RequestPolicy implements RequestGate {
  readonly #options: RequestPolicyOptions;
  /** What the flow was decided for last; what a request without an authority of its own is for. */
  readonly #decidedFor: Authority;
  /** The last authority that was found to agree, as it was written. */
  #agreeing: string | null = null;
  #asked: Asked | null = null;

  constructor(options: RequestPolicyOptions) {
    this.#options = options;
    const { target, sni } = options;
    this.#decidedFor = sni === null ? target : { host: sni, port: target.port };
  }

  ask(stream: number, method: string, authority: string | null, path: string | null): Verdict | null {
    const { asksAll, context, reverse, sni, hello, decide } = this.#options;
    const other = reverse || authority === null || authority === "" || authority === this.#agreeing
      ? null
      : this.#otherThanDecided(authority);
    if (other === null && !asksAll) return OBSERVE;
    const asked: Asked = { stream, authority: other ?? this.#decidedFor, differs: other !== null };
    const decision = decide({
      flowId: context.flowId,
      clientAddr: context.clientAddr,
      authority: asked.authority,
      method,
      path,
      sni,
      ...(hello === null ? {} : { hello }),
    });
    if (decision !== null) return this.#verdict(asked, decision);
    this.#asked = asked;
    return null;
  }

  /** The verdict for the request that waits; null where none does. */
  decided(decision: Decision): Verdict | null {
    const asked = this.#asked;
    if (asked === null) return null;
    this.#asked = null;
    return this.#verdict(asked, decision);
  }

  #verdict({ stream, authority, differs }: Asked, decision: Decision): Verdict {
    const { protocol, record, tunnelsOthers, tunnelsSni, sni } = this.#options;
    if (differs || decision.action !== "intercept") {
      const named = formatAuthority(shown(authority));
      record(requestDecisionEvent(decision, { protocol, stream, authority: named }));
    }
    switch (decision.action) {
      case "block":
        return { type: "refuse", answer: blockedAnswer(shown(authority), decision.ruleId) };
      case "tunnel":
        return (differs ? tunnelsOthers : sni === null || tunnelsSni) ? RELAY : OBSERVE;
      case "intercept":
        return OBSERVE;
    }
  }

  /** Null: it is what the flow was decided for, however it is spelled. */
  #otherThanDecided(text: string): Authority | null {
    const { target, scheme, sni } = this.#options;
    const value = parseHostValue(text);
    // What no reader takes for a name is asked about as it is written.
    const authority: Authority = "type" in value
      ? { host: text.toLowerCase(), port: target.port }
      : { host: value.host, port: value.port ?? (scheme === "http" ? 80 : 443) };
    if (authority.port !== target.port) return authority;
    if (authority.host !== target.host && authority.host !== sni) return authority;
    this.#agreeing = text;
    return null;
  }
}
