/**
 * Turns one exchange (RFC 9110: a request and its final response) into its events, whatever the
 * HTTP version. Body events cover fixed spans of 16 KiB and a final remainder, so they are a
 * function of the bytes and not of how reads cut them up; at most `bodyBytes` of each message are
 * kept in them. They are about the content with its content codings taken off, where that is possible.
 */
import { joinBytes } from "../core/bytes.ts";
import type { Attributes, EventKind, ExchangeOutcome, FlowEvent, Protocol } from "../core/event.ts";
import type { Instant } from "../core/instant.ts";
import type { Side } from "../core/side.ts";
import { payloadAttributes } from "../log/payload.ts";
import { redactFields } from "../log/redact.ts";
import type { Field } from "./fields.ts";
import type { Direction, RequestFacts, ResponseFacts } from "./message.ts";
import type { MessageObservation, Observation, StreamObservation } from "./observation.ts";
import { SpanBudget } from "./span_budget.ts";

export const BODY_SPAN_BYTES = 16 * 1024;

export interface CaptureRules {
  readonly bodyBytes: number;
  /** Lower-case names of the fields whose values are not written. */
  readonly redactHeaders: ReadonlySet<string>;
}

/** Why an exchange did not end as `complete`: a peer's deviation, a limit or a timer. */
export interface ExchangeError {
  readonly by: Side | "proxy";
  readonly code: string;
  readonly detail: string;
  /** The status of the proxy's own answer, where the client was given one in place of a response. */
  readonly answerStatus?: number;
}

export class ExchangeRecorder {
  readonly #record: (event: FlowEvent) => void;
  readonly #protocol: Protocol;
  readonly #streamKey: string;
  readonly #capture: CaptureRules;
  readonly #observation: Observation;
  readonly #spanBudget: SpanBudget;
  /** Null until there is something to be said of its content. */
  #request: Message | null = null;
  #response: Message | null = null;
  #requestFacts: RequestFacts | null = null;
  #requestHeadBytes = 0;
  #responseHeadBytes = 0;
  #startedAt: Instant;
  #firstByteAt: Instant | null = null;
  #completed = false;
  #stripped: readonly string[] = [];
  /** What an extended CONNECT opened (RFC 8441): the content of both messages belongs to it. */
  #stream: StreamObservation | null = null;
  #early: EarlyContent | null = null;

  constructor(
    readonly exchangeId: number,
    options: {
      protocol: Protocol;
      streamKey: string;
      capture: CaptureRules;
      observation: Observation;
      /** Shared by the exchanges of a flow that has many at once. */
      spanBudget?: SpanBudget;
      record: (event: FlowEvent) => void;
      now: Instant;
    },
  ) {
    this.#record = options.record;
    this.#spanBudget = options.spanBudget ?? new SpanBudget(2 * BODY_SPAN_BYTES);
    this.#protocol = options.protocol;
    this.#streamKey = options.streamKey;
    this.#capture = options.capture;
    this.#observation = options.observation;
    this.#startedAt = options.now;
  }

  get completed(): boolean {
    return this.#completed;
  }

  requestHead(facts: RequestFacts): void {
    this.#requestFacts = facts;
    this.#requestHeadBytes = facts.headBytes;
    this.#emitFields("request_headers", {
      authority: facts.authority,
      exchange_id: this.exchangeId,
      headers: redactFields(facts.fields, this.#capture.redactHeaders),
      method: facts.method,
      ...(facts.protocol === undefined ? {} : { protocol: facts.protocol }),
      scheme: facts.scheme,
      target: facts.target,
      version: facts.version,
    }, facts.tolerated);
    if (facts.protocol !== undefined) {
      this.#early = new EarlyContent(this.#spanBudget);
      return;
    }
    const observation = this.#open("request", null);
    if (observation !== null) this.#requestMessage().observation = observation;
  }

  responseHead(facts: ResponseFacts, now: Instant): void {
    if (this.#firstByteAt === null) this.#firstByteAt = now;
    this.#responseHeadBytes += facts.headBytes;
    const headers = redactFields(facts.fields, this.#capture.redactHeaders);
    const interim = facts.status < 200 && facts.status !== 101;
    this.#emitFields(
      "response_headers",
      interim
        ? { exchange_id: this.exchangeId, headers, interim, status: facts.status, version: facts.version }
        : { exchange_id: this.exchangeId, headers, status: facts.status, version: facts.version },
      facts.tolerated,
    );
    if (interim) return;
    const early = this.#early;
    this.#early = null;
    const granted = early !== null && facts.status < 300;
    const stream = granted && early.whole ? this.upgraded(facts) : null;
    if (granted && !early.whole) {
      const reason = early.noRoom
        ? "the flow's budget has no room for what the client sent before it was granted (limits.decoder_buffer_bytes)"
        : `the client sent more before it was granted than the ${BODY_SPAN_BYTES} octets that are kept`;
      this.#emit("observer_stopped", { exchange_id: this.exchangeId, observer: "upgrade", reason });
    }
    if (early === null || stream === null) {
      early?.drop();
      const observation = this.#open("response", facts);
      if (observation !== null) this.#responseMessage().observation = observation;
      return;
    }
    this.#stream = stream;
    this.#requestMessage().captureNoMore();
    this.#responseMessage().captureNoMore();
    if (early.bytes.length > 0) stream.received("client", early.bytes);
    early.drop();
    if (early.ended) stream.ended("client");
  }

  /** The exchange is what opened a stream of another protocol, which `facts`, its final response, granted. */
  upgraded(facts: ResponseFacts): StreamObservation | null {
    if (this.#requestFacts === null) return null;
    return this.#observation.upgrade({
      exchangeId: this.exchangeId,
      streamKey: this.#streamKey,
      request: this.#requestFacts,
      response: facts,
    });
  }

  /** `last`: no content follows, so that these octets need not be kept for the log. */
  requestContent(bytes: Uint8Array, last = false): void {
    this.#requestMessage().content(bytes, last);
    this.#early?.push(bytes);
    this.#stream?.received("client", bytes);
  }

  responseContent(bytes: Uint8Array, last = false): void {
    this.#responseMessage().content(bytes, last);
    this.#stream?.received("server", bytes);
  }

  /** `blockBytes`: what the trailers add to the bytes of the head. */
  requestTrailers(fields: readonly Field[], tolerated?: readonly string[], blockBytes = 0): void {
    this.#requestHeadBytes += blockBytes;
    const message = this.#requestMessage();
    message.contentFinished(false);
    message.trailers = fields;
    this.#emitTrailers("request_trailers", fields, tolerated);
  }

  responseTrailers(fields: readonly Field[], tolerated?: readonly string[], blockBytes = 0): void {
    this.#responseHeadBytes += blockBytes;
    const message = this.#responseMessage();
    message.contentFinished(false);
    message.trailers = fields;
    this.#emitTrailers("response_trailers", fields, tolerated);
  }

  /** The request is whole: its last span is written. */
  requestFinished(): void {
    this.#request?.finish(false);
    if (this.#early !== null) this.#early.ended = true;
    this.#stream?.ended("client");
  }

  responseFinished(): void {
    this.#response?.finish(false);
    this.#stream?.ended("server");
  }

  /** Of the response, as it was received, this field did not go on to the client. */
  stripped(name: string): void {
    if (!this.#stripped.includes(name)) this.#stripped = [...this.#stripped, name];
  }

  /** Ends the exchange; later calls change nothing. */
  complete(outcome: ExchangeOutcome, now: Instant, error?: ExchangeError): void {
    if (this.#completed) return;
    this.#completed = true;
    this.#early?.drop();
    this.#early = null;
    const request = this.#request;
    const response = this.#response;
    request?.finish(true);
    response?.finish(true);
    this.#stream?.closed({ orderly: outcome === "complete", by: error?.by ?? null });
    this.#stream = null;
    const attributes: Attributes = {
      duration_ns: now - this.#startedAt,
      exchange_id: this.exchangeId,
      outcome,
      request_body_bytes: request?.bytes ?? 0,
      request_head_bytes: this.#requestHeadBytes,
      response_body_bytes: response?.bytes ?? 0,
      response_head_bytes: this.#responseHeadBytes,
      ttfb_ns: this.#firstByteAt === null ? null : this.#firstByteAt - this.#startedAt,
    };
    // Most exchanges have nothing more to say; an object that is spread into another costs much more to write.
    const whole = error === undefined && this.#stripped.length === 0 && !request?.isDecoded &&
      !response?.isDecoded;
    this.#emit("exchange_completed", whole ? attributes : this.#withMore(attributes, error));
  }

  #withMore(attributes: Attributes, error: ExchangeError | undefined): Attributes {
    const all: Attributes = {
      ...attributes,
      ...this.#request?.decodedAttributes("request"),
      ...this.#response?.decodedAttributes("response"),
      ...(this.#stripped.length === 0 ? {} : { stripped: this.#stripped }),
      ...(error === undefined
        ? {}
        : { error_by: error.by, error_code: error.code, error_detail: error.detail }),
      ...(error?.answerStatus === undefined ? {} : { answer_status: error.answerStatus }),
    };
    return Object.fromEntries(Object.entries(all).sort(([a], [b]) => a < b ? -1 : 1));
  }

  #requestMessage(): Message {
    return this.#request ??= new Message(
      this.#capture.bodyBytes,
      this.#spanBudget,
      (span) => this.#emitSpan("request_body_chunk", span),
    );
  }

  #responseMessage(): Message {
    return this.#response ??= new Message(
      this.#capture.bodyBytes,
      this.#spanBudget,
      (span) => this.#emitSpan("response_body_chunk", span),
    );
  }

  #open(direction: Direction, response: ResponseFacts | null): MessageObservation | null {
    const request = this.#requestFacts;
    if (request === null) return null;
    return this.#observation.open({
      direction,
      exchangeId: this.exchangeId,
      streamKey: this.#streamKey,
      protocol: this.#protocol,
      request,
      response,
    });
  }

  #emitSpan(kind: EventKind, { offset, bytes, captured, dropped }: Span): void {
    const exchange_id = this.exchangeId;
    if (dropped) {
      this.#emit(kind, { bytes, data_dropped: true, exchange_id, offset });
      return;
    }
    if (captured === null) {
      this.#emit(kind, { bytes, exchange_id, offset });
      return;
    }
    const payload = payloadAttributes(captured);
    this.#emit(
      kind,
      "data" in payload
        ? { bytes, data: payload.data, exchange_id, offset }
        : { bytes, data_base64: payload.data_base64, exchange_id, offset },
    );
  }

  #emitTrailers(kind: EventKind, fields: readonly Field[], tolerated?: readonly string[]): void {
    this.#emitFields(kind, {
      exchange_id: this.exchangeId,
      headers: redactFields(fields, this.#capture.redactHeaders),
    }, tolerated);
  }

  #emitFields(kind: EventKind, attributes: Attributes, tolerated: readonly string[] | undefined): void {
    this.#emit(kind, tolerated === undefined ? attributes : { ...attributes, tolerated });
  }

  #emit(kind: EventKind, attributes: Attributes): void {
    this.#record({ kind, protocol: this.#protocol, streamKey: this.#streamKey, attributes });
  }
}

/** What a client sends of another protocol before that was granted, for when it is. */
class EarlyContent {
  ended = false;
  noRoom = false;
  #kept: Uint8Array | null = null;
  #bytes = 0;

  constructor(private readonly budget: SpanBudget) {}

  /** False where there was more than is kept. */
  get whole(): boolean {
    return this.#bytes <= BODY_SPAN_BYTES && !this.noRoom;
  }

  get bytes(): Uint8Array {
    return this.#kept?.subarray(0, this.#bytes) ?? NOTHING;
  }

  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    const start = this.#bytes;
    this.#bytes += bytes.length;
    // All of it at once: whether there is room must not depend on the cut.
    if (start === 0 && !this.budget.take(BODY_SPAN_BYTES)) this.noRoom = true;
    else if (start === 0) this.#kept = new Uint8Array(BODY_SPAN_BYTES);
    if (this.whole) this.#kept!.set(bytes, start);
    else this.drop();
  }

  drop(): void {
    if (this.#kept !== null) this.budget.give(BODY_SPAN_BYTES);
    this.#kept = null;
  }
}

const NOTHING = new Uint8Array(0);
const NO_TRAILERS: readonly Field[] = [];

/** One message of the exchange: its content's way into the log, through whatever observes it. */
class Message {
  /** The content as it was transferred, without the transfer coding. */
  bytes = 0;
  trailers = NO_TRAILERS;
  observation: MessageObservation | null = null;
  readonly #spans: BodySpans;
  /** What is decoded now is all that is still to come. */
  #lastComes = false;
  #contentFinished = false;
  #finished = false;

  constructor(captureBytes: number, budget: SpanBudget, emit: EmitSpan) {
    this.#spans = new BodySpans(captureBytes, budget, emit);
  }

  captureNoMore(): void {
    this.#spans.captureNoMore();
  }

  content(bytes: Uint8Array, last: boolean): void {
    this.bytes += bytes.length;
    const { observation } = this;
    if (observation === null) {
      this.#spans.push(bytes, last);
    } else {
      this.#lastComes = last && observation.verbatim;
      observation.decode(bytes, this.#deliver);
    }
    if (last) this.contentFinished(false);
  }

  /** No more content comes: the last span is written. Only the first call counts. */
  contentFinished(cut: boolean): void {
    if (this.#contentFinished) return;
    this.#contentFinished = true;
    this.observation?.endContent(cut, this.#deliver);
    this.#spans.finish();
  }

  /** `cut`: before its end. Only the first call counts. */
  finish(cut: boolean): void {
    if (this.#finished) return;
    this.#finished = true;
    this.contentFinished(cut);
    this.observation?.end(cut, this.trailers);
  }

  /** A content coding was taken off. */
  get isDecoded(): boolean {
    return this.observation !== null && this.observation.decoded !== null;
  }

  decodedAttributes(direction: Direction): Attributes {
    const decoded = this.observation?.decoded ?? null;
    if (decoded === null) return {};
    const { bytes, partial } = decoded;
    return {
      [`${direction}_decoded_bytes`]: bytes,
      ...(partial ? { [`${direction}_decoded_partly`]: true } : {}),
    };
  }

  /** The observer sees the content of a span before the span is written, however the content came in. */
  readonly #deliver = (decoded: Uint8Array): void => {
    for (let start = 0; start < decoded.length;) {
      const piece = decoded.subarray(start, start + this.#spans.room);
      this.observation!.observe(piece);
      start += piece.length;
      this.#spans.push(piece, this.#lastComes && start === decoded.length);
    }
  };
}

interface Span {
  readonly offset: number;
  readonly bytes: number;
  readonly captured: Uint8Array | null;
  /** What would have been captured had no room in the flow's budget. */
  readonly dropped: boolean;
}

type EmitSpan = (span: Span) => void;

/** How many pieces of a span are kept apart before they are joined, so that tiny reads cost few objects. */
const MAX_SPAN_PARTS = 8;

/** Cuts a body into fixed spans. Keeps at most one span of bytes, and none beyond the capture limit. */
class BodySpans {
  total = 0;
  #spanOffset = 0;
  #parts: Uint8Array[] = [];
  #partBytes = 0;
  /** All of a span that lay in one piece of content: valid during the call that writes it. */
  #lent: Uint8Array | null = null;
  #dropped = false;

  constructor(
    private captureBytes: number,
    private readonly budget: SpanBudget,
    private readonly emit: EmitSpan,
  ) {}

  /** From here on spans only count. */
  captureNoMore(): void {
    this.captureBytes = Math.min(this.captureBytes, this.total);
  }

  /** What is missing of the span under way; never 0. */
  get room(): number {
    return this.#spanOffset + BODY_SPAN_BYTES - this.total;
  }

  /** `last`: `finish` follows at once. */
  push(bytes: Uint8Array, last = false): void {
    let start = 0;
    while (start < bytes.length) {
      const spanEnd = this.#spanOffset + BODY_SPAN_BYTES;
      const end = Math.min(bytes.length, start + spanEnd - this.total);
      const captureEnd = Math.min(end, start + this.captureBytes - this.total);
      this.total += end - start;
      const written = this.total === spanEnd || last;
      if (captureEnd > start && !this.#dropped) this.#keep(bytes.subarray(start, captureEnd), written);
      start = end;
      if (this.total === spanEnd) this.#emitSpan();
    }
  }

  finish(): void {
    if (this.total > this.#spanOffset) this.#emitSpan();
  }

  /** `written`: the span is written before the call is over, so its last part need not be copied. */
  #keep(part: Uint8Array, written: boolean): void {
    if (!this.budget.take(part.length)) {
      // A span with a hole in it would be taken for a whole one.
      this.#dropped = true;
      this.#letGo();
      return;
    }
    if (written && this.#parts.length === 0) {
      // It had to have room all the same: whether it has must not depend on the cut.
      this.budget.give(part.length);
      this.#lent = part;
      return;
    }
    this.#parts.push(part.slice());
    this.#partBytes += part.length;
    if (this.#parts.length >= MAX_SPAN_PARTS) this.#parts = [joinBytes(this.#parts)];
  }

  #emitSpan(): void {
    const captured = this.#parts.length === 0
      ? this.#lent
      : this.#parts.length === 1
      ? this.#parts[0]!
      : joinBytes(this.#parts);
    const dropped = this.#dropped;
    this.#dropped = false;
    this.#lent = null;
    this.#letGo();
    this.emit({ offset: this.#spanOffset, bytes: this.total - this.#spanOffset, captured, dropped });
    this.#spanOffset = this.total;
  }

  #letGo(): void {
    this.budget.give(this.#partBytes);
    this.#parts = [];
    this.#partBytes = 0;
  }
}
