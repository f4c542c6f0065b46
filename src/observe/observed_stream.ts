/** One upgraded stream and what observes it: the guard that whatever that does changes nothing else. */
import type { Attributes, EventKind, FlowEvent, Protocol } from "../core/event.ts";
import type { Instant } from "../core/instant.ts";
import type { Side } from "../core/side.ts";
import type { Direction } from "../http/message.ts";
import type { StreamEnd, StreamObservation, UpgradeHead } from "../http/observation.ts";
import { type Budget, failureReason } from "./budget.ts";
import type { InflaterFactory } from "./inflate.ts";
import type {
  ObserveLimits,
  Stage,
  StreamContext,
  StreamObserver,
  StreamObserverDefinition,
} from "./observer.ts";
import { withInOrder } from "./ordered.ts";
import type { SilenceClock } from "./silence_clock.ts";

export interface ObservedStreamOptions {
  readonly definition: StreamObserverDefinition;
  readonly head: UpgradeHead;
  readonly config: {
    readonly limits: ObserveLimits;
    readonly redactHeaders: ReadonlySet<string>;
    readonly inflaters: InflaterFactory;
    readonly sha1: (text: string) => string;
  };
  readonly record: (event: FlowEvent) => void;
  readonly now: () => Instant;
  readonly budget: Budget;
  readonly silence: SilenceClock<ObservedStream>;
}

export class ObservedStream implements StreamObservation, StreamContext {
  readonly #options: ObservedStreamOptions;
  #observer: StreamObserver | null = null;
  #held = 0;
  #stopped = false;

  constructor(options: ObservedStreamOptions) {
    this.#options = options;
  }

  get protocol(): Protocol {
    return this.#options.definition.protocol;
  }

  /** Whether the observer takes the stream. */
  open(): boolean {
    try {
      this.#observer = this.#options.definition.open(this.#options.head, this);
    } catch (error) {
      this.#stop(failureReason(error));
    }
    return this.#observer !== null;
  }

  received(side: Side, bytes: Uint8Array): void {
    if (!this.#stopped) this.#guard((observer) => observer.received(side, bytes));
  }

  ended(side: Side): void {
    if (!this.#stopped) this.#guard((observer) => observer.ended(side));
  }

  silent(): void {
    if (!this.#stopped) this.#guard((observer) => observer.silent());
  }

  closed(end: StreamEnd): void {
    this.#guard((observer) => observer.closed(end));
    this.#observer = null;
    this.#options.silence.forget(this);
    this.#giveBack();
  }

  #guard(work: (observer: StreamObserver) => void): void {
    if (this.#observer === null) return;
    try {
      work(this.#observer);
    } catch (error) {
      this.#stop(failureReason(error));
    }
  }

  #stop(reason: string): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#giveBack();
    this.emit("observer_stopped", { observer: this.#options.definition.name, reason });
    this.#guard((observer) => observer.stopped());
    this.#options.silence.forget(this);
  }

  #giveBack(): void {
    this.#options.budget.release(this.#held);
    this.#held = 0;
  }

  // What the observer is given

  get limits(): ObserveLimits {
    return this.#options.config.limits;
  }

  get redactHeaders(): ReadonlySet<string> {
    return this.#options.config.redactHeaders;
  }

  get inflaters(): InflaterFactory {
    return this.#options.config.inflaters;
  }

  get sha1(): (text: string) => string {
    return this.#options.config.sha1;
  }

  get now(): Instant {
    return this.#options.now();
  }

  emit(kind: EventKind, attributes: Attributes): void {
    const { definition, head, record } = this.#options;
    record({
      kind,
      protocol: definition.protocol,
      streamKey: head.streamKey,
      attributes: withInOrder(attributes, [["exchange_id", head.exchangeId]]),
    });
  }

  failed(direction: Direction, stage: Stage, reason: string, attributes: Attributes = {}): void {
    this.emit("decoder_failed", { ...attributes, direction, reason, stage });
  }

  hold(bytes: number): boolean {
    if (this.#stopped) return false;
    if (this.#options.budget.hold(bytes)) {
      this.#held += bytes;
      return true;
    }
    this.#stop(this.#options.budget.refusal);
    return false;
  }

  release(bytes: number): void {
    if (this.#stopped) return;
    this.#held -= bytes;
    this.#options.budget.release(bytes);
  }

  silentSince(since: Instant | null): void {
    if (since === null) this.#options.silence.heard(this);
    else if (!this.#stopped) this.#options.silence.since(this, since);
  }
}
