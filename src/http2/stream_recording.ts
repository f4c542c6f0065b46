/**
 * The exchanges of a relayed connection: a recorder for each stream whose request could be read, and the end
 * alone of one that could not. They are numbered in the order of their requests.
 */
import type { ExchangeOutcome, FlowEvent } from "../core/event.ts";
import type { Instant } from "../core/instant.ts";
import { type ExchangeError, ExchangeRecorder } from "../http/exchange_recorder.ts";
import { type RecordingOptions, unopenedExchangeEvent } from "../http/recording.ts";
import { SpanBudget } from "../http/span_budget.ts";
import type { RequestSection } from "./field_section.ts";

export class StreamRecording {
  readonly #options: RecordingOptions;
  readonly #record: (event: FlowEvent) => void;
  readonly #spanBudget: SpanBudget;
  #nextExchangeId: number;

  /** `maxSpanBytes`: what the bodies of all streams may hold for the log. */
  constructor(options: RecordingOptions, maxSpanBytes: number, record: (event: FlowEvent) => void) {
    this.#options = options;
    this.#record = record;
    this.#spanBudget = new SpanBudget(maxSpanBytes);
    this.#nextExchangeId = options.firstExchangeId;
  }

  /** An exchange that is not recorded is counted all the same. */
  skip(): void {
    this.#nextExchangeId++;
  }

  /** `id` is that of the stream, `headBytes` what the request's head took of the connection. */
  begin(id: number, request: RequestSection, headBytes: number, now: Instant): ExchangeRecorder {
    const exchangeId = this.#nextExchangeId++;
    const recorder = new ExchangeRecorder(exchangeId, {
      protocol: "http2",
      streamKey: `h2:${id}`,
      capture: this.#options.capture,
      observation: this.#options.observation,
      spanBudget: this.#spanBudget,
      record: this.#record,
      now,
    });
    const authority = request.authority ?? request.host ?? this.#options.authority;
    recorder.requestHead({
      method: request.method,
      target: request.path ?? authority,
      ...(request.protocol === null ? {} : { protocol: request.protocol }),
      scheme: request.scheme ?? this.#options.scheme,
      authority,
      version: "HTTP/2",
      fields: request.fields,
      headBytes,
      tolerated: request.tolerated,
    });
    return recorder;
  }

  /** A request that could not be read has no head in the log, only its end. */
  unopened(streamId: number, outcome: ExchangeOutcome, error: ExchangeError, headBytes: number): void {
    const exchangeId = this.#nextExchangeId++;
    // A promise is a request, whoever sends it.
    const streamKey = `h2:${streamId}`;
    this.#record(
      unopenedExchangeEvent({ protocol: "http2", streamKey, exchangeId, outcome, error, headBytes }),
    );
  }
}
