/**
 * The contract of an observer: it is shown one message's content, content codings taken off, and says
 * what it holds, as events. It is synchronous; any chunking of the content must give the same events.
 *
 * What it keeps it takes from the flow's budget first. It ends itself with `fail` when it meets what it
 * cannot make sense of. One that throws is a bug of ours: it is caught, named in `observer_stopped`, and
 * the relay goes on as it does in every other case.
 */
import type { Attributes, EventKind, Protocol } from "../core/event.ts";
import type { Instant } from "../core/instant.ts";
import type { OpenDigest } from "./digest.ts";
import type { Field } from "../http/fields.ts";
import type { MediaType } from "../http/media_type.ts";
import type { MessageHead, StreamObservation, UpgradeHead } from "../http/observation.ts";
import type { Direction } from "../http/message.ts";
import type { InflaterFactory } from "./inflate.ts";

/** The chain that content goes through, in this order; what fails names its stage. */
export const STAGES = ["transfer_coding", "content_coding", "framing", "sanitizer", "payload"] as const;
export type Stage = typeof STAGES[number];

export interface ObserveLimits {
  /** `capture.body_bytes`: of each message, and of each unit within one. */
  readonly captureBytes: number;
  /** `capture.payload_bytes`, at most `capture.body_bytes`: longer payloads are not read. */
  readonly payloadBytes: number;
  /** `limits.decoder_buffer_bytes`: what all observers and decoders of a flow may keep. */
  readonly decoderBufferBytes: number;
  /** `limits.inflate_ratio`: decoded to coded octets, beyond the first 64 KiB. */
  readonly inflateRatio: number;
  /** `limits.inflate_bytes`: decoded octets of one message. */
  readonly inflateBytes: number;
}

/** Takes codings off one piece of a message, within the limits of the whole. */
export interface PieceDecoder {
  push(coded: Uint8Array, deliver: (decoded: Uint8Array) => void): void;
  /** The piece is over: tells by `error` whether all of it was there. */
  end(): void;
  /** Gives back what it took of the budget. Closing twice is harmless. */
  close(): void;
  readonly decodedBytes: number;
  /** What is wrong with the piece, or which limit it went over. */
  readonly error: string | null;
  /** The message has used up its ratio: no further piece of it can be decoded. */
  readonly exhausted: boolean;
}

/** What an observer is given. */
export interface ObserverContext {
  readonly limits: ObserveLimits;
  /** Lower-case names of the fields whose values are not written. */
  readonly redactHeaders: ReadonlySet<string>;
  readonly now: Instant;
  /** The codings that were taken off the content, in the order in which they came off. */
  readonly passed: readonly string[];
  readonly openSha256: OpenDigest;
  /** Records an event of this message; `exchange_id` and the stream key are added, and `direction`. */
  emit(kind: EventKind, attributes: Attributes, protocol?: Protocol): void;
  /** Takes so many octets of the flow's budget. False: there is no room, and the observer is stopped. */
  hold(bytes: number): boolean;
  /** The same for what the observer can do without: without room nothing happens to it. */
  tryHold(bytes: number): boolean;
  release(bytes: number): void;
  /**
   * A decoder for codings that `readCodings` knows, paid for from the flow's budget until it is closed. Null: there
   * is no room for it. An observer that is stopped has its decoders closed.
   */
  openDecoder(codings: readonly string[]): PieceDecoder | null;
  /** Something at this stage makes no sense: it is recorded as `decoder_failed`, and the observer goes on. */
  report(stage: Stage, reason: string, attributes?: Attributes): void;
  /** As `report`, and the observer is stopped. */
  fail(stage: Stage, reason: string): void;
}

export interface MessageObserver {
  /** Content, valid during the call only. Not called after `fail` or a `hold` that was refused. */
  content(bytes: Uint8Array): void;
  /** The message is over; `cut`: before its end. */
  end(cut: boolean, trailers: readonly Field[]): void;
}

/** An entry of the registry. */
export interface ObserverDefinition {
  /** As `observer_stopped` names it, and the folder of its fixtures. */
  readonly name: string;
  /** Null where the message is not of its kind. */
  open(head: MessageHead, mediaType: MediaType | null, context: ObserverContext): MessageObserver | null;
  /** A message of its kind, for the tests and the simulator that try every observer. */
  readonly example: { readonly mediaType: string; readonly content: string };
}

/** What an observer of a stream that carries another protocol is given. */
export interface StreamContext
  extends Pick<ObserverContext, "limits" | "redactHeaders" | "now" | "hold" | "release"> {
  readonly inflaters: InflaterFactory;
  /** In hexadecimal. */
  readonly sha1: (text: string) => string;
  /** Records an event of this stream; `exchange_id`, the stream key and the protocol are added. */
  emit(kind: EventKind, attributes: Attributes): void;
  /** Something at this stage makes no sense. The observer goes on as it sees fit. */
  failed(direction: Direction, stage: Stage, reason: string, attributes?: Attributes): void;
  /** `silent` is called when that has been so for `timeouts.ws_turn_idle`; null takes it back. */
  silentSince(since: Instant | null): void;
}

export interface StreamObserver extends Omit<StreamObservation, "protocol"> {
  /** Out of budget, or failed: what it holds has been given back. Only `closed` is called afterwards. */
  stopped(): void;
  silent(): void;
}

/** An entry of the registry of streams. */
export interface StreamObserverDefinition {
  readonly name: string;
  readonly protocol: Protocol;
  /** Null where the stream is not of its kind. */
  open(head: UpgradeHead, context: StreamContext): StreamObserver | null;
}
