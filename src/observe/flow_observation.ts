/**
 * What is observed in one flow: opens the chain for each message (content coding, then the observer that
 * knows the message), hands out the flow's budget, and sees to it that whatever an observer does the relay
 * and the rest of the log do not change.
 */
import type { Attributes, EventKind, FlowEvent, Protocol } from "../core/event.ts";
import type { Instant } from "../core/instant.ts";
import { type Field, listElements } from "../http/fields.ts";
import { fieldValues, mediaTypeOf } from "../http/media_type.ts";
import type {
  Decoded,
  MessageHead,
  MessageObservation,
  Observation,
  StreamObservation,
  UpgradeHead,
} from "../http/observation.ts";
import { Budget, failureReason } from "./budget.ts";
import {
  codingsHeldBytes,
  ContentDecoder,
  DECODED_BYTES_PER_EVENT,
  EVENTS_FREE,
  RatioAllowance,
  readCodings,
} from "./content_coding.ts";
import type { OpenDigest } from "./digest.ts";
import type { InflaterFactory } from "./inflate.ts";
import { type BytesBudget, KeptBytes } from "./kept_bytes.ts";
import type {
  MessageObserver,
  ObserveLimits,
  ObserverContext,
  ObserverDefinition,
  PieceDecoder,
  Stage,
  StreamObserverDefinition,
} from "./observer.ts";
import { ObservedStream } from "./observed_stream.ts";
import { withInOrder } from "./ordered.ts";
import { SilenceClock, type SilenceTimer } from "./silence_clock.ts";

/** What is the same for all flows. */
export interface ObserveConfig {
  readonly observers: readonly ObserverDefinition[];
  readonly streamObservers: readonly StreamObserverDefinition[];
  /** `timeouts.ws_turn_idle`. */
  readonly silenceMs: number;
  /** In hexadecimal. */
  readonly sha1: (text: string) => string;
  readonly limits: ObserveLimits;
  readonly inflaters: InflaterFactory;
  readonly openSha256: OpenDigest;
  /** Lower-case names of the fields whose values are not written. */
  readonly redactHeaders: ReadonlySet<string>;
  /** What the observers of all flows may keep. */
  readonly processBudget: Budget;
}

export interface FlowObservationOptions {
  readonly config: ObserveConfig;
  readonly record: (event: FlowEvent) => void;
  readonly now: () => Instant;
  /** The flow's one timer for streams that fall silent; answered by `expired`. */
  readonly timer: SilenceTimer;
}

/** `content_coding` as `observer_stopped` names it; the others are the observers' own names. */
const DECODER_NAME = "content_coding";
const NOTHING = new Uint8Array(0);
const PAID_FOR: BytesBudget = { hold: () => true, release: () => {} };

export class FlowObservation implements Observation {
  readonly #options: FlowObservationOptions;
  readonly #budget: Budget;
  readonly #silence: SilenceClock<ObservedStream>;

  constructor(options: FlowObservationOptions) {
    this.#options = options;
    this.#silence = new SilenceClock(options.config.silenceMs, options.timer);
    this.#budget = new Budget(options.config.limits.decoderBufferBytes, options.config.processBudget);
  }

  /** The flow is over: whatever is still kept is given back. */
  close(): void {
    this.#budget.close();
  }

  /** What observers and decoders keep, in octets. */
  get heldBytes(): number {
    return this.#budget.held;
  }

  open(head: MessageHead): MessageObservation | null {
    const { config } = this.#options;
    const { fields } = head.response ?? head.request;
    const codings = fieldValues(fields, "content-encoding");
    const mediaType = mediaTypeOf(fields);
    const message = new ObservedMessage(head, this.#options, this.#budget);
    // What is in a coding that cannot be taken off says nothing to an observer.
    if (codings.length > 0 && !message.decodeBy(listElements(codings))) return null;
    for (const definition of config.observers) {
      if (message.observeBy(definition, mediaType)) break;
    }
    return message.idle ? null : message;
  }

  upgrade(head: UpgradeHead): StreamObservation | null {
    const { config, now, record } = this.#options;
    for (const definition of config.streamObservers) {
      const stream = new ObservedStream({
        definition,
        head,
        config,
        record,
        now,
        budget: this.#budget,
        silence: this.#silence,
      });
      if (stream.open()) return stream;
    }
    return null;
  }

  /** The timer has run out. */
  expired(now: Instant): void {
    this.#silence.expired(now, (stream) => stream.silent());
  }
}

class ObservedMessage implements MessageObservation, ObserverContext {
  readonly #head: MessageHead;
  readonly #options: FlowObservationOptions;
  readonly #budget: Budget;
  /** What is to be taken off; nothing where that could not be. */
  #codings: readonly string[] = [];
  #decoder: ContentDecoder | null = null;
  #decoderHeld = 0;
  /** Content was decoded; where nothing could be, the content as it came is recorded instead. */
  #decoded: Decoded | null = null;
  /** What has come in without anything being decoded yet; `codingsHeldBytes` has room for it. */
  #undecoded: KeptBytes | null = null;
  #observer: MessageObserver | null = null;
  #observerName = "";
  /** Events of the observer, while content is decoded. */
  #told = 0;
  /** They were too many. */
  #isMute = false;
  #held = 0;
  /** What is decompressed piece by piece in this message, in all. */
  #pieces: RatioAllowance | null = null;
  #pieceDecoders: Set<PieceDecoder> | null = null;

  constructor(head: MessageHead, options: FlowObservationOptions, budget: Budget) {
    this.#head = head;
    this.#options = options;
    this.#budget = budget;
  }

  /** Nothing is to be done with this message. */
  get idle(): boolean {
    return this.#codings.length === 0 && this.#observer === null;
  }

  get decoded(): Decoded | null {
    return this.#decoded;
  }

  get verbatim(): boolean {
    return this.#codings.length === 0 && this.#decoder === null && this.#decoded === null;
  }

  // The chain

  /** False where these codings cannot be taken off. */
  decodeBy(names: readonly string[]): boolean {
    const read = readCodings(names);
    if (read.type === "error") {
      this.#failed("content_coding", read.detail);
      return false;
    }
    this.#codings = read.codings;
    return true;
  }

  /** Whether this observer has taken the message. */
  observeBy(definition: ObserverDefinition, mediaType: ReturnType<typeof mediaTypeOf>): boolean {
    try {
      this.#observer = definition.open(this.#head, mediaType, this);
    } catch (error) {
      this.#stopped(definition.name, failureReason(error));
      return true;
    }
    this.#observerName = definition.name;
    return this.#observer !== null;
  }

  decode(content: Uint8Array, deliver: (decoded: Uint8Array) => void): void {
    // Nothing is no beginning of a coded content: DATA frames may be empty, also of a response to HEAD.
    if (content.length === 0) return;
    if (this.#codings.length > 0 && this.#decoder === null) this.#openDecoder();
    const decoder = this.#decoder;
    if (decoder === null) {
      // Content that was decoded in part has nothing more to say; how long it is the exchange tells.
      if (this.#decoded === null) deliver(content);
      return;
    }
    decoder.push(content, (decoded) => {
      this.#undecoded?.clear();
      deliver(decoded);
    });
    if (decoder.error !== null) this.#decodingFailed(decoder, content, deliver);
    else if (decoder.decodedBytes === 0) {
      (this.#undecoded ??= new KeptBytes(PAID_FOR, Infinity)).keep(content);
    }
  }

  observe(decoded: Uint8Array): void {
    const observer = this.#observer;
    if (observer === null) return;
    try {
      observer.content(decoded);
    } catch (error) {
      this.#stop(failureReason(error));
    }
  }

  endContent(cut: boolean, deliver: (decoded: Uint8Array) => void): void {
    const decoder = this.#decoder;
    if (decoder === null) return;
    if (!cut) decoder.end();
    if (decoder.error !== null) {
      this.#decodingFailed(decoder, NOTHING, deliver);
    } else if (decoder.decodedBytes === 0 && cut) {
      this.#recordUndecoded(NOTHING, deliver);
    } else {
      this.#decoded = { bytes: decoder.decodedBytes, partial: cut };
      this.#undecoded?.clear();
      this.#closeDecoder();
    }
  }

  end(cut: boolean, trailers: readonly Field[]): void {
    const observer = this.#observer;
    if (observer === null) return;
    try {
      observer.end(cut, trailers);
    } catch (error) {
      this.#stop(failureReason(error));
    }
    this.#detach();
  }

  #openDecoder(): void {
    const { inflaters, limits } = this.#options.config;
    const held = codingsHeldBytes(this.#codings, inflaters);
    if (!this.#budget.hold(held)) {
      this.#codings = [];
      this.#stopped(DECODER_NAME, this.#budget.refusal);
      this.#detach();
      return;
    }
    this.#decoderHeld = held;
    this.#decoder = new ContentDecoder(this.#codings, inflaters, limits, this.#budget);
  }

  #decodingFailed(
    decoder: ContentDecoder,
    content: Uint8Array,
    deliver: (decoded: Uint8Array) => void,
  ): void {
    this.#failed("content_coding", decoder.error!);
    if (decoder.decodedBytes === 0) {
      this.#recordUndecoded(content, deliver);
      return;
    }
    this.#decoded = { bytes: decoder.decodedBytes, partial: true };
    this.#codings = [];
    this.#detach();
    this.#closeDecoder();
  }

  /** Nothing of it could be decoded, so it is recorded as it is. */
  #recordUndecoded(content: Uint8Array, deliver: (decoded: Uint8Array) => void): void {
    this.#codings = [];
    this.#closeDecoder();
    this.#detach();
    const undecoded = this.#undecoded;
    if (undecoded !== null && undecoded.length > 0) deliver(undecoded.view);
    undecoded?.clear();
    if (content.length > 0) deliver(content);
  }

  #closeDecoder(): void {
    this.#decoder?.close();
    this.#decoder = null;
    this.#budget.release(this.#decoderHeld);
    this.#decoderHeld = 0;
  }

  // What the observer is given

  get limits(): ObserveLimits {
    return this.#options.config.limits;
  }

  get redactHeaders(): ReadonlySet<string> {
    return this.#options.config.redactHeaders;
  }

  get openSha256(): OpenDigest {
    return this.#options.config.openSha256;
  }

  get passed(): readonly string[] {
    const { protocol, request, response } = this.#head;
    const transfer = protocol === "http1"
      ? fieldValues((response ?? request).fields, "transfer-encoding").map((value) => value.toLowerCase())
      : [];
    return [...listElements(transfer), ...this.#codings.toReversed()];
  }

  get now(): Instant {
    return this.#options.now();
  }

  emit(kind: EventKind, attributes: Attributes, protocol?: Protocol): void {
    if (this.#mayTell()) this.#record(kind, attributes, protocol);
  }

  /** Of what is decoded: whether it is worth another event. One that is stopped here says what it likes to nobody. */
  #mayTell(): boolean {
    const decoder = this.#decoder;
    if (this.#isMute || decoder === null || ++this.#told <= decoder.eventsMax) return !this.#isMute;
    this.#isMute = true;
    this.#stop(
      `more than ${EVENTS_FREE} events and one for each ${DECODED_BYTES_PER_EVENT} octets that limits.inflate_ratio allows`,
    );
    return false;
  }

  #record(kind: EventKind, attributes: Attributes, protocol: Protocol = this.#head.protocol): void {
    const { direction, exchangeId, streamKey } = this.#head;
    this.#options.record({
      kind,
      protocol,
      streamKey,
      attributes: withInOrder(attributes, [["direction", direction], ["exchange_id", exchangeId]]),
    });
  }

  hold(bytes: number): boolean {
    if (this.tryHold(bytes)) return true;
    this.#stop(this.#budget.refusal);
    return false;
  }

  tryHold(bytes: number): boolean {
    if (this.#observer === null || !this.#budget.hold(bytes)) return false;
    this.#held += bytes;
    return true;
  }

  release(bytes: number): void {
    // What one that was stopped had taken is given back already.
    if (this.#observer === null) return;
    this.#held -= bytes;
    this.#budget.release(bytes);
  }

  openDecoder(codings: readonly string[]): PieceDecoder | null {
    const { inflaters, limits } = this.#options.config;
    const held = codingsHeldBytes(codings, inflaters);
    if (!this.tryHold(held)) return null;
    const allowance = this.#pieces ??= new RatioAllowance(limits.inflateRatio);
    const content = new ContentDecoder(codings, inflaters, limits, this.#budget, allowance);
    const open = this.#pieceDecoders ??= new Set();
    const release = () => this.release(held);
    const decoder: PieceDecoder = {
      push: (coded, deliver) => content.push(coded, deliver),
      end: () => content.end(),
      close() {
        if (!open.delete(this)) return;
        content.close();
        release();
      },
      get decodedBytes() {
        return content.decodedBytes;
      },
      get error() {
        return content.error;
      },
      get exhausted() {
        return allowance.exceeded;
      },
    };
    open.add(decoder);
    return decoder;
  }

  report(stage: Stage, reason: string, attributes: Attributes = {}): void {
    if (this.#observer !== null && this.#mayTell()) this.#failed(stage, reason, attributes);
  }

  fail(stage: Stage, reason: string): void {
    if (this.#observer === null) return;
    this.#failed(stage, reason);
    this.#detach();
  }

  #stop(reason: string): void {
    if (this.#observer === null) return;
    this.#detach();
    this.#stopped(this.#observerName, reason);
  }

  #detach(): void {
    if (this.#pieceDecoders !== null) { for (const decoder of this.#pieceDecoders) decoder.close(); }
    this.#observer = null;
    this.#budget.release(this.#held);
    this.#held = 0;
  }

  #failed(stage: Stage, reason: string, attributes: Attributes = {}): void {
    this.#record("decoder_failed", { ...attributes, reason, stage });
  }

  #stopped(observer: string, reason: string): void {
    this.#record("observer_stopped", { observer, reason });
  }
}
