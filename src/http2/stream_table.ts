/**
 * The streams of a relayed connection (RFC 9113 §5.1): those that are open with all that is kept of them,
 * the last ones that are over by their state, and of all others whether they were ever opened.
 */
import type { Instant } from "../core/instant.ts";
import type { Side } from "../core/side.ts";
import type { ExchangeRecorder } from "../http/exchange_recorder.ts";
import type { MessageOrder } from "./message_order.ts";
import { isClosed, StreamNumbers, type StreamState } from "./stream_state.ts";

export interface Stream {
  readonly id: number;
  state: StreamState;
  readonly method: string;
  /** Null where nothing of it is recorded. */
  readonly recorder: ExchangeRecorder | null;
  readonly order: Readonly<Record<Side, MessageOrder>>;
  /** The block that opened it went on: both sides know of it. */
  known: boolean;
  /** When a frame of one of its messages last came. WINDOW_UPDATE and PING keep nothing alive. */
  progressAt: Instant;
  /** What each side may send beyond the initial window of its receiver's settings (§6.9.2). */
  readonly granted: Record<Side, number>;
}

/** Streams remembered after their end, for frames that were on their way. */
const CLOSED_STREAMS_MAX = 256;
/** Those that the proxy ended are remembered longer: the other side may not know them. */
const RESET_STREAMS_MAX = 1024;

export class StreamTable {
  readonly numbers = new StreamNumbers();
  readonly #open = new Map<number, Stream>();
  /** Oldest first. */
  readonly #closed = new Map<number, StreamState>();
  readonly #resetByProxy = new Set<number>();

  get size(): number {
    return this.#open.size;
  }

  open(): IterableIterator<Stream> {
    return this.#open.values();
  }

  get(streamId: number): Stream | undefined {
    return this.#open.get(streamId);
  }

  add(stream: Stream): void {
    this.#open.set(stream.id, stream);
  }

  stateOf(streamId: number): StreamState {
    const known = this.#open.get(streamId)?.state ?? this.#closed.get(streamId);
    if (known !== undefined) return known;
    if (this.#resetByProxy.has(streamId)) return "reset_by_proxy";
    return this.numbers.isIdle(streamId) ? "idle" : "forgotten";
  }

  /** It has run its course or was reset, and not by the proxy. */
  isOver(streamId: number): boolean {
    if (this.#open.has(streamId)) return false;
    const state = this.stateOf(streamId);
    return isClosed(state) && state !== "reset_by_proxy";
  }

  setState(streamId: number, state: StreamState): void {
    const stream = this.#open.get(streamId);
    if (stream !== undefined) stream.state = state;
    else if (this.#closed.has(streamId)) this.#closed.set(streamId, state);
  }

  /** The stream is over; one that was cut off half-way is kept as ended. */
  close(stream: Stream): void {
    this.#open.delete(stream.id);
    if (stream.state === "reset_by_proxy") {
      this.resetByProxy(stream.id);
      return;
    }
    this.#closed.set(stream.id, isClosed(stream.state) ? stream.state : "ended");
    dropOldest(this.#closed, CLOSED_STREAMS_MAX);
  }

  /** A stream that was never open here, or is not any more. */
  resetByProxy(streamId: number): void {
    this.#resetByProxy.add(streamId);
    dropOldest(this.#resetByProxy, RESET_STREAMS_MAX);
  }

  /** The most that an open stream's sender was granted beyond the initial window. */
  mostGranted(sender: Side): number {
    let most = -Infinity;
    for (const { granted } of this.#open.values()) most = Math.max(most, granted[sender]);
    return most;
  }

  clear(): void {
    this.#open.clear();
  }
}

function dropOldest(kept: Map<number, unknown> | Set<number>, max: number): void {
  if (kept.size > max) kept.delete(kept.keys().next().value!);
}
