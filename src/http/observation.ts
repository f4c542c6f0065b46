/**
 * What looks into messages beside their relay, as the relays and the recorder know it; `src/observe` is
 * behind it. It gets what passed and gives events. It cannot send, hold back or alter anything.
 */
import type { Protocol } from "../core/event.ts";
import type { Side } from "../core/side.ts";
import type { Field } from "./fields.ts";
import type { Direction, RequestFacts, ResponseFacts } from "./message.ts";

/** A message whose head is there. */
export interface MessageHead {
  readonly direction: Direction;
  readonly exchangeId: number;
  readonly streamKey: string;
  readonly protocol: Protocol;
  readonly request: RequestFacts;
  /** The response itself where that is the message; null where the request is. */
  readonly response: ResponseFacts | null;
}

/** How much of a message's content was taken out of its content coding; `partial`: not all of it was. */
export interface Decoded {
  readonly bytes: number;
  readonly partial: boolean;
}

/** One message under observation. All bytes are valid during the call only. */
export interface MessageObservation {
  /** Takes the content codings off `content` and gives what comes out, in pieces; as it is where there is none. */
  decode(content: Uint8Array, deliver: (decoded: Uint8Array) => void): void;
  /** `decode` gives on what it is given, at once and in one piece. */
  readonly verbatim: boolean;
  /** Shows decoded content to the observer. */
  observe(decoded: Uint8Array): void;
  /** No more content comes; `cut`: before its end. Called once, before `end`. */
  endContent(cut: boolean, deliver: (decoded: Uint8Array) => void): void;
  /** The message is over. Called once. */
  end(cut: boolean, trailers: readonly Field[]): void;
  /** Null where the content had no coding that was taken off. */
  readonly decoded: Decoded | null;
}

/** A stream that carries another protocol since its final response (RFC 9110 §7.8, RFC 8441). */
export interface UpgradeHead {
  readonly exchangeId: number;
  readonly streamKey: string;
  readonly request: RequestFacts;
  readonly response: ResponseFacts;
}

export interface StreamEnd {
  /** Both sides ended it, each in its time. */
  readonly orderly: boolean;
  /** Who ended it otherwise; null where that is not known. */
  readonly by: Side | "proxy" | null;
}

/** An upgraded stream under observation: what passes both ways, in the order in which it came. */
export interface StreamObservation {
  readonly protocol: Protocol;
  /** Valid during the call only. */
  received(side: Side, bytes: Uint8Array): void;
  /** That side sends no more. */
  ended(side: Side): void;
  /** The stream is over. Called once, and last. */
  closed(end: StreamEnd): void;
}

/** Everything under observation in one flow. */
export interface Observation {
  /** Null where nothing is to be looked into: the content is recorded as it comes. */
  open(head: MessageHead): MessageObservation | null;
  /** Null where what the stream carries is not known. */
  upgrade(head: UpgradeHead): StreamObservation | null;
}

/** For what is relayed and recorded without being looked into. */
export const NO_OBSERVATION: Observation = { open: () => null, upgrade: () => null };
