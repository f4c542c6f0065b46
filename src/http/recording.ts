/** How the exchanges of a connection are recorded, whatever the HTTP version. */
import type { ExchangeOutcome, FlowEvent, Protocol } from "../core/event.ts";
import type { CaptureRules, ExchangeError } from "./exchange_recorder.ts";
import type { Observation } from "./observation.ts";

export interface RecordingOptions {
  readonly capture: CaptureRules;
  readonly observation: Observation;
  readonly scheme: string;
  /** The authority the flow was decided for, used where a request names none. */
  readonly authority: string;
  readonly firstExchangeId: number;
}

export interface UnopenedExchange {
  readonly protocol: Protocol;
  readonly streamKey: string;
  readonly exchangeId: number;
  readonly outcome: ExchangeOutcome;
  readonly error: ExchangeError;
  readonly headBytes: number;
}

/** A request that could not be read has no head in the log, only its end. */
export function unopenedExchangeEvent(exchange: UnopenedExchange): FlowEvent {
  const { protocol, streamKey, exchangeId, outcome, error, headBytes } = exchange;
  return {
    kind: "exchange_completed",
    protocol,
    streamKey,
    attributes: {
      ...(error.answerStatus === undefined ? {} : { answer_status: error.answerStatus }),
      duration_ns: 0,
      error_by: error.by,
      error_code: error.code,
      error_detail: error.detail,
      exchange_id: exchangeId,
      outcome,
      request_body_bytes: 0,
      request_head_bytes: headBytes,
      response_body_bytes: 0,
      response_head_bytes: 0,
      ttfb_ns: null,
    },
  };
}
