/** A request whose head could not be taken, with the answer that is due in its turn. */
import type { CloseReason } from "../core/close_reason.ts";
import type { ExchangeOutcome } from "../core/event.ts";
import type { Answer } from "../http/answer.ts";
import { type Http1Error, isLimit } from "./errors.ts";

/** Why it could not: it broke a rule or a limit, or was not whole in time. */
export type RejectionCause = Extract<ExchangeOutcome, "protocol_error" | "limit" | "timeout">;

export interface Rejection {
  readonly answer: Answer;
  readonly outcome: RejectionCause;
  readonly reason: CloseReason;
  readonly error: Http1Error;
  /** Null where the session records it itself. */
  readonly exchangeId: number | null;
}

export function causeOf(error: Http1Error): RejectionCause {
  return isLimit(error) ? "limit" : "protocol_error";
}

/** The answer tells what the client may do about it. */
export function rejectionAnswer({ code, detail }: Http1Error, cause: RejectionCause): Answer {
  return {
    status: cause === "limit" ? 431 : cause === "timeout" ? 408 : 400,
    code,
    detail,
    proxyError: cause === "timeout" ? "connection_read_timeout" : "http_request_error",
  };
}

/** How the flow ends with it. `isFirst`: nothing was asked for before, as `connect_parse_failed` says. */
export function closeReasonOf(cause: RejectionCause, isFirst: boolean): CloseReason {
  switch (cause) {
    case "limit":
      return "limit_exceeded";
    case "timeout":
      return "stage_timeout";
    case "protocol_error":
      return isFirst ? "connect_parse_failed" : "protocol_error";
  }
}
