/** One exchange on an HTTP/1.1 connection: the state the relay keeps between its heads and bodies. */
import type { ExchangeRecorder } from "../http/exchange_recorder.ts";
import type { Answer } from "../http/answer.ts";
import type { RequestHead } from "./head.ts";

/** How an exchange is dealt with, as was decided about it. */
export interface Treatment {
  /** It is recorded. */
  readonly observe: boolean;
  readonly stripsAltSvc: boolean;
  readonly strictHeaders: boolean;
}

export interface Exchange {
  readonly id: number;
  readonly request: RequestHead;
  /** Null where policy asked for metadata only. */
  readonly recorder: ExchangeRecorder | null;
  /** The answer in place of a response, where the request was refused and reaches no server. */
  readonly refusal: Answer | null;
  /** Its responses go on without Alt-Svc. */
  readonly stripsAltSvc: boolean;
  /** Its messages are refused where their fields break a rule; see `tolerance.ts`. */
  readonly strictHeaders: boolean;
  /** The whole request has been relayed. */
  requestDone: boolean;
  /** A byte of a response, interim ones included, has gone to the client. */
  responseStarted: boolean;
  /** The whole final response has been relayed. */
  responseDone: boolean;
  /** Both messages allow another exchange on this connection (RFC 9112 §9.3). */
  keepAlive: boolean;
}
