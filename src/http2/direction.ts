/**
 * What one side of a relayed connection sends: how it is read, and how it goes on to the other side.
 *
 * Frames go on as the octets that came. The proxy's own stand only between them: inside a frame that is
 * half-sent they would be taken for its payload, so they wait for its end; nor may they precede SETTINGS. A field block that is withheld
 * leaves the receiver's table behind the sender's; from then on blocks are written anew as literals, which
 * need no table.
 */
import { Outbox } from "../core/outbox.ts";
import type { Side } from "../core/side.ts";
import type { FramePiece } from "./frame_reader.ts";
import { FrameReader } from "./frame_reader.ts";
import { encodeHeaders, encodePushPromise, encodeSettings, encodeWindowUpdate } from "./frame_writer.ts";
import { FRAME_HEADER_BYTES } from "./frames.ts";
import { type HeaderBlock, HeaderBlockAssembler } from "./header_block.ts";
import { HpackDecoder } from "./hpack_decoder.ts";
import { encodeFieldBlock } from "./hpack_encoder.ts";
import type { HpackField } from "./hpack_table.ts";
import type { Http2Limits } from "./limits.ts";
import { INITIAL_SETTINGS, MAX_WINDOW_SIZE, SettingsTracker } from "./settings.ts";

/** A compressed block may be this much larger than the list it is allowed to hold. */
const BLOCK_SLACK_BYTES = 16 * 1024;
/** What a frame may have besides its part of the block: pad length, padding, and a priority or a promised stream. */
const BLOCK_FRAME_SLACK_BYTES = 1 + 255 + 5;
/** Frames without a part of a block may be as long. */
const HELD_FRAME_BYTES_MIN = 64 * 1024;

export class Direction {
  readonly reader: FrameReader;
  readonly decoder: HpackDecoder;
  readonly assembler: HeaderBlockAssembler;
  /** The settings this side sent; they bind the other. */
  readonly settings: SettingsTracker;
  /** A frame that must not go on is being swallowed. */
  swallowing = false;
  /** A frame of DATA that does not fit its receiver's window is being held. */
  holding = false;
  /**
   * What this side may still send on the connection (RFC 9113 §6.9), as far as the octets say that have
   * passed: never more than its receiver believes, so an overflow here is the receiver's own.
   */
  connectionWindow = INITIAL_SETTINGS.initialWindowSize;
  readonly #out: Outbox;
  #rewriting = false;
  /** The receiver was told to drop its table. */
  #emptied = false;
  #halfSent = false;
  /** SETTINGS went out, before which nothing else may (RFC 9113 §3.4). */
  #greeted = false;
  /** Frames of the proxy's own that wait, and the window it gives back for what it has swallowed. */
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #waitingWindow = 0;

  constructor(readonly by: Side, limits: Http2Limits, send: (data: Uint8Array) => void) {
    const { maxHeaderListSize, maxHeaderFields, maxTableBytes, maxContinuations } = limits;
    const maxBlockBytes = 2 * maxHeaderListSize + BLOCK_SLACK_BYTES;
    // A block is as good in one frame as in many: Go sends any head in one where the receiver takes it.
    const maxHeldBytes = Math.max(HELD_FRAME_BYTES_MIN, maxBlockBytes + BLOCK_FRAME_SLACK_BYTES);
    this.reader = new FrameReader({ by, maxHeldBytes });
    this.decoder = new HpackDecoder(by, { maxHeaderListSize, maxHeaderFields, maxTableBytes });
    this.assembler = new HeaderBlockAssembler(by, { maxBlockBytes, maxContinuations });
    this.settings = new SettingsTracker(by, limits.floods.maxSettings);
    this.#out = new Outbox(send);
  }

  get heldBytes(): number {
    return this.unfinishedBytes + this.#waitingBytes;
  }

  /** Of a frame or field block that is not whole. */
  get unfinishedBytes(): number {
    return this.reader.heldBytes + this.assembler.heldBytes;
  }

  /** A frame that must be whole, or the field block it belongs to, is not. */
  get inHeldFrame(): boolean {
    return this.assembler.heldBytes > 0 || this.reader.heldBytes >= FRAME_HEADER_BYTES;
  }

  /** The preface of a client, or a whole frame. */
  forward(raw: Uint8Array): void {
    this.#out.push(raw);
  }

  /** The first SETTINGS lets through what the proxy has to add. */
  forwardSettings(raw: Uint8Array): void {
    this.#out.push(raw);
    this.#greeted = true;
    this.#sendWaiting();
  }

  /** Lets out what waits for a receiver that has not heard of any peer and will not: SETTINGS are the proxy's own. */
  greet(): void {
    if (!this.#greeted && this.#waiting.length > 0) this.forwardSettings(encodeSettings([]));
  }

  forwardPiece(piece: FramePiece): void {
    this.#out.push(piece.raw);
    this.#halfSent = !piece.ends;
    if (piece.ends) this.#sendWaiting();
  }

  /**
   * A block as it came, or as literals once one was withheld. `maxFrameSize` is the receiver's. `inAnyOrder`:
   * it may overtake another or be overtaken, so each of them must tell of the empty table.
   */
  blockToForward(
    fields: readonly HpackField[],
    { opening, raw }: HeaderBlock,
    maxFrameSize: number,
    inAnyOrder = false,
  ): Uint8Array {
    if (!this.#rewriting) return raw;
    const block = encodeFieldBlock(fields, { emptyTable: !this.#emptied || inAnyOrder });
    this.#emptied = true;
    return opening.type === "headers"
      ? encodeHeaders(opening.streamId, block, {
        endStream: opening.endStream,
        priority: opening.priority,
        maxFrameSize,
      })
      : encodePushPromise(opening.streamId, opening.promisedStreamId, block, maxFrameSize);
  }

  /** A block does not go on. */
  withhold(): void {
    this.#rewriting = true;
  }

  /** The receiver has sent SETTINGS: one that sets its table anew must be told again that it stays empty. */
  receiverSettingsChanged(): void {
    this.#emptied = false;
  }

  /** Sends a frame of the proxy's own between those of this side. */
  add(frame: Uint8Array): void {
    if (this.#halfSent || !this.#greeted) {
      this.#waiting.push(frame);
      this.#waitingBytes += frame.length;
    } else this.#out.push(frame);
  }

  /** Gives the receiver back what was taken from its window for the connection by DATA that was swallowed. */
  addWindow(bytes: number): void {
    this.#waitingWindow += bytes;
    if (!this.#halfSent && this.#greeted) this.#sendWindow();
  }

  flush(): void {
    this.#out.flush();
  }

  #sendWaiting(): void {
    if (this.#waiting.length > 0) {
      for (const frame of this.#waiting) this.#out.push(frame);
      this.#waiting = [];
      this.#waitingBytes = 0;
    }
    this.#sendWindow();
  }

  #sendWindow(): void {
    while (this.#waitingWindow > 0) {
      const increment = Math.min(this.#waitingWindow, MAX_WINDOW_SIZE);
      this.#out.push(encodeWindowUpdate(0, increment));
      this.#waitingWindow -= increment;
    }
  }
}
