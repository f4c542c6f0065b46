/**
 * The exchanges of a relayed connection as the log has them: a recorder for each request that could be taken, and
 * the end alone of one that could not. They are numbered in the order of their requests.
 */
import type { ExchangeOutcome, FlowEvent } from "../core/event.ts";
import type { Instant } from "../core/instant.ts";
import { type ExchangeError, ExchangeRecorder } from "../http/exchange_recorder.ts";
import { type RecordingOptions, unopenedExchangeEvent } from "../http/recording.ts";
import type { RequestHead } from "./head.ts";
import { toleratedCodes } from "./tolerance.ts";

export class ExchangeRecording {
  readonly #options: RecordingOptions;
  readonly #record: (event: FlowEvent) => void;
  #nextId: number;

  constructor(options: RecordingOptions, record: (event: FlowEvent) => void) {
    this.#options = options;
    this.#record = record;
    this.#nextId = options.firstExchangeId;
  }

  get nextId(): number {
    return this.#nextId;
  }

  /** Takes a number for what is not recorded as an exchange, or not at all. */
  skip(): number {
    return this.#nextId++;
  }

  begin(head: RequestHead, now: Instant): ExchangeRecorder {
    const id = this.#nextId++;
    const recorder = new ExchangeRecorder(id, {
      protocol: "http1",
      streamKey: `h1:${id}`,
      capture: this.#options.capture,
      observation: this.#options.observation,
      record: this.#record,
      now,
    });
    recorder.requestHead({
      method: head.method,
      target: head.target,
      scheme: this.#options.scheme,
      authority: head.host === "" ? this.#options.authority : head.host,
      version: head.version,
      fields: head.fields,
      headBytes: head.bytes.length,
      tolerated: toleratedCodes(head.tolerated),
    });
    return recorder;
  }

  /** A request that could not be taken has no head in the log, only its end. */
  unopened(exchangeId: number, outcome: ExchangeOutcome, error: ExchangeError): void {
    const streamKey = `h1:${exchangeId}`;
    this.#record(
      unopenedExchangeEvent({ protocol: "http1", streamKey, exchangeId, outcome, error, headBytes: 0 }),
    );
  }
}
