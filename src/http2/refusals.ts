/**
 * The proxy's own answers beside the responses that it relays to a client, within the client's flow-control
 * windows (RFC 9113 §5.2), which are a server's to use and of whose use by anybody else it does not know.
 *
 * An answer's DATA is taken from the client's window for the connection, so the server believes in more than
 * there is: by `debt`. What the client gives back goes to paying that debt before the server hears of it. Until
 * then the server may send what does not fit: those frames are held back, and what follows on their streams
 * behind them. Flow control bounds them: they are never more than what the window and the debt make together.
 */
import { joinBytes } from "../core/bytes.ts";
import type { Answer } from "../http/answer.ts";
import { encodeHttp2Answer } from "./answer.ts";
import type { FramePiece } from "./frame_reader.ts";
import { encodeData, encodeRstStream } from "./frame_writer.ts";
import type { SettingsTracker } from "./settings.ts";

/** What goes to the client. */
export interface ToClient {
  /** What is left of the client's window for the connection; what is granted is added before it is told here. */
  connectionWindow: number;
  /** Sends whole frames between the others. */
  add(frame: Uint8Array): void;
}

/** An answer whose content is not all sent. */
interface Unsent {
  content: Uint8Array;
  /** What the client gave its stream beyond the initial window, less what was sent. */
  granted: number;
  requestEnded: boolean;
}

/** A server's frame, or a piece of one, that waits. */
interface Held {
  readonly streamId: number;
  readonly bytes: Uint8Array;
  /** What it takes of the connection's window. */
  readonly windowBytes: number;
}

interface Pieces {
  readonly streamId: number;
  readonly parts: Uint8Array[];
  readonly windowBytes: number;
  /** Its stream was reset: what is still to come of it is not kept. */
  dropped: boolean;
}

/** What becomes of a server's DATA: `overrun` where it is more than the server could believe in. */
export type Admission = "pass" | "hold" | "overrun";

export class Refusals {
  /** How much more the server believes in. */
  #debt = 0;
  readonly #unsent = new Map<number, Unsent>();
  /** Those of `#unsent` that wait for the connection's window, oldest first. */
  readonly #waiting = new Set<number>();
  #held: Held[] = [];
  readonly #heldPerStream = new Map<number, number>();
  #heldWindowBytes = 0;
  /** The frame that is being held and is not whole yet. */
  #pieces: Pieces | null = null;
  #heldBytes = 0;

  constructor(
    private readonly clientSettings: SettingsTracker,
    private readonly toClient: ToClient,
  ) {}

  /** Answers that are not sent in full. */
  get size(): number {
    return this.#unsent.size;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  answer(streamId: number, answer: Answer, request: { method: string; ended: boolean }): void {
    const { headers, content } = encodeHttp2Answer(answer, streamId, request.method);
    this.toClient.add(headers);
    if (content.length === 0) {
      this.#answered(streamId, request.ended);
      return;
    }
    this.#heldBytes += content.length;
    this.#unsent.set(streamId, { content, granted: 0, requestEnded: request.ended });
    this.#proceed(streamId);
  }

  /** The client ended the request that was answered. */
  requestEnded(streamId: number): void {
    const unsent = this.#unsent.get(streamId);
    if (unsent !== undefined) unsent.requestEnded = true;
  }

  /** The stream was reset: the rest of its answer is not sent. */
  reset(streamId: number): void {
    const unsent = this.#unsent.get(streamId);
    if (unsent === undefined) return;
    this.#heldBytes -= unsent.content.length;
    this.#unsent.delete(streamId);
    this.#waiting.delete(streamId);
  }

  /** The client's WINDOW_UPDATE for a stream. */
  grantedStream(streamId: number, increment: number): void {
    const unsent = this.#unsent.get(streamId);
    if (unsent === undefined) return;
    unsent.granted += increment;
    this.#proceed(streamId);
  }

  /** The client's WINDOW_UPDATE for the connection; gives how much of it the server is to hear of. */
  grantedConnection(increment: number): number {
    const repaid = Math.min(this.#debt, increment);
    this.#debt -= repaid;
    this.#release();
    this.#proceedWaiting();
    return increment - repaid;
  }

  /** The client's settings in force are others. */
  settingsChanged(): void {
    for (const streamId of [...this.#unsent.keys()]) this.#proceed(streamId);
  }

  /** Takes a server's DATA frame of this payload from the window, or says that it is to be held. */
  admit(length: number): Admission {
    if (this.#debt === 0 && this.#heldWindowBytes === 0) {
      // The server knows all of the window: what is over it is between the two.
      this.toClient.connectionWindow -= length;
      return "pass";
    }
    if (this.#heldWindowBytes === 0 && length <= this.toClient.connectionWindow) {
      this.toClient.connectionWindow -= length;
      return "pass";
    }
    return this.#heldWindowBytes + length > this.toClient.connectionWindow + this.#debt ? "overrun" : "hold";
  }

  /** Whether a frame of this stream has to wait behind another. */
  holds(streamId: number): boolean {
    return this.#heldPerStream.size > 0 && this.#heldPerStream.has(streamId);
  }

  /** Something is still to be sent to the client once it gives window for it. */
  get waitForClient(): boolean {
    return this.#unsent.size > 0 || this.holdsAny;
  }

  get holdsAny(): boolean {
    return this.#heldPerStream.size > 0;
  }

  /** Holds a piece of a frame of DATA that was not let pass. */
  holdPiece({ header: { length: windowBytes, streamId }, raw, ends }: FramePiece): void {
    const pieces = this.#pieces ??= { streamId, parts: [], windowBytes, dropped: false };
    if (ends) this.#pieces = null;
    if (pieces.dropped) return;
    if (pieces.parts.length === 0) {
      this.#heldWindowBytes += windowBytes;
      this.#count(streamId, 1);
    }
    pieces.parts.push(raw.slice());
    this.#heldBytes += raw.length;
    if (!ends) return;
    this.#held.push({ streamId, bytes: wholeOf(pieces), windowBytes: pieces.windowBytes });
    this.#release();
  }

  /** Holds a whole frame, or block of frames, behind those of its stream. */
  hold(streamId: number, raw: Uint8Array): void {
    this.#held.push({ streamId, bytes: raw.slice(), windowBytes: 0 });
    this.#heldBytes += raw.length;
    this.#count(streamId, 1);
  }

  /** Drops what is held of a stream that was reset; gives how much the server spent on it for nothing. */
  drop(streamId: number): number {
    if (!this.holds(streamId)) return 0;
    const dropped = this.#held.filter((held) => held.streamId === streamId);
    this.#held = this.#held.filter((held) => held.streamId !== streamId);
    const pieces = this.#pieces;
    if (pieces !== null && pieces.streamId === streamId && !pieces.dropped) {
      pieces.dropped = true;
      dropped.push({ streamId, bytes: wholeOf(pieces), windowBytes: pieces.windowBytes });
    }
    let windowBytes = 0;
    for (const held of dropped) {
      this.#forget(held);
      windowBytes += held.windowBytes;
    }
    this.#release();
    return windowBytes;
  }

  #release(): void {
    let count = 0;
    for (const held of this.#held) {
      if (held.windowBytes > this.toClient.connectionWindow) break;
      this.toClient.connectionWindow -= held.windowBytes;
      this.#forget(held);
      this.toClient.add(held.bytes);
      count++;
    }
    if (count > 0) this.#held = this.#held.slice(count);
  }

  #forget({ streamId, bytes, windowBytes }: Held): void {
    this.#heldWindowBytes -= windowBytes;
    this.#heldBytes -= bytes.length;
    this.#count(streamId, -1);
  }

  #count(streamId: number, change: number): void {
    const count = (this.#heldPerStream.get(streamId) ?? 0) + change;
    if (count === 0) this.#heldPerStream.delete(streamId);
    else this.#heldPerStream.set(streamId, count);
  }

  #proceedWaiting(): void {
    for (const streamId of this.#waiting) {
      if (this.toClient.connectionWindow <= 0 || this.#heldWindowBytes > 0) return;
      this.#proceed(streamId);
    }
  }

  /** Sends of an answer what both windows take. */
  #proceed(streamId: number): void {
    const unsent = this.#unsent.get(streamId)!;
    const { content, granted, requestEnded } = unsent;
    const ofStream = this.clientSettings.smallestInitialWindowSize + granted;
    const ofConnection = this.#heldWindowBytes > 0 ? 0 : this.toClient.connectionWindow;
    const size = Math.min(content.length, ofStream, ofConnection);
    if (size > 0) {
      this.toClient.add(encodeData(streamId, content.subarray(0, size), size === content.length));
      this.toClient.connectionWindow -= size;
      this.#debt += size;
      this.#heldBytes -= size;
      unsent.granted -= size;
      unsent.content = content.subarray(size);
    }
    if (unsent.content.length === 0) {
      this.#unsent.delete(streamId);
      this.#waiting.delete(streamId);
      this.#answered(streamId, requestEnded);
    } else if (ofStream > Math.max(size, 0)) this.#waiting.add(streamId);
    else this.#waiting.delete(streamId);
  }

  /** RFC 9113 §8.1: who has answered in full may ask the client to stop sending. */
  #answered(streamId: number, requestEnded: boolean): void {
    if (!requestEnded) this.toClient.add(encodeRstStream(streamId, "NO_ERROR"));
  }
}

function wholeOf({ parts }: Pieces): Uint8Array {
  return parts.length === 1 ? parts[0]! : joinBytes(parts);
}
