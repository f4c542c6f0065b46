/**
 * Joins HEADERS or PUSH_PROMISE and the CONTINUATION behind it into one field block (RFC 9113
 * §4.3), within bounds: a sender may go on with CONTINUATION for ever, and empty ones cost it
 * next to nothing, so both octets and frames are counted (§10.5.1).
 *
 * The frames are kept as they came beside the block, since they are what is forwarded once the block
 * has been judged.
 */
import type { Side } from "../core/side.ts";
import { type Http2Error, http2Error } from "./errors.ts";
import type { ContinuationFrame, ControlFrame, HeadersFrame, PushPromiseFrame } from "./frames.ts";

export interface HeaderBlockLimits {
  /**
   * Octets of the block as it is compressed. More than the list may have uncompressed, so that a
   * list over that limit costs its stream alone.
   */
  readonly maxBlockBytes: number;
  readonly maxContinuations: number;
}

export interface HeaderBlock {
  readonly type: "block";
  /** The frame that began it. Its own fragment is only a part where CONTINUATION follows. */
  readonly opening: HeadersFrame | PushPromiseFrame;
  /** The whole block, for the decoder. */
  readonly bytes: Uint8Array;
  /** All of its frames as they came. Views of the last read, like `bytes`, where one frame was enough. */
  readonly raw: Uint8Array;
}

export type BlockFrame = HeadersFrame | PushPromiseFrame | ContinuationFrame;

export function isBlockFrame(frame: ControlFrame): frame is BlockFrame {
  return frame.type === "headers" || frame.type === "push_promise" || frame.type === "continuation";
}

export class HeaderBlockAssembler {
  readonly #by: Side;
  readonly #limits: HeaderBlockLimits;
  #opening: HeadersFrame | PushPromiseFrame | null = null;
  #continuations = 0;
  readonly #bytes = new Joined();
  readonly #raw = new Joined();

  constructor(by: Side, limits: HeaderBlockLimits) {
    this.#by = by;
    this.#limits = limits;
  }

  /** Octets of an unfinished block that are held. */
  get heldBytes(): number {
    return this.#bytes.length + this.#raw.length;
  }

  /**
   * Takes a frame as the reader gave it, which has seen to their order. Null while the block goes
   * on. An error ends the connection, as the block is then never decoded.
   */
  push(frame: BlockFrame, raw: Uint8Array): HeaderBlock | null | Http2Error {
    const begun = this.#opening;
    if (frame.type !== "continuation") {
      if (begun !== null) return this.#outOfOrder(frame, "expected_continuation");
      const error = this.#checkBytes(frame);
      if (error !== null) return error;
      if (frame.endHeaders) return { type: "block", opening: frame, bytes: frame.fragment, raw };
      // The frame's views end with this read.
      this.#opening = { ...frame, fragment: frame.fragment.slice() };
    } else {
      if (begun === null) return this.#outOfOrder(frame, "unexpected_continuation");
      if (begun.streamId !== frame.streamId) return this.#outOfOrder(frame, "expected_continuation");
      const error = this.#checkBytes(frame) ?? this.#countContinuation(frame);
      if (error !== null) return error;
    }
    this.#bytes.push(frame.fragment);
    this.#raw.push(raw);
    if (begun === null || !frame.endHeaders) return null;
    this.#opening = null;
    this.#continuations = 0;
    return { type: "block", opening: begun, bytes: this.#bytes.take(), raw: this.#raw.take() };
  }

  #checkBytes({ streamId, fragment }: BlockFrame): Http2Error | null {
    const { maxBlockBytes } = this.#limits;
    if (this.#bytes.length + fragment.length <= maxBlockBytes) return null;
    return http2Error(
      "field_block_too_large",
      this.#by,
      streamId,
      `a field block is over ${maxBlockBytes} bytes, more than a list within ` +
        `http.http2_max_header_list_size needs`,
    );
  }

  #countContinuation({ streamId }: BlockFrame): Http2Error | null {
    const { maxContinuations } = this.#limits;
    if (++this.#continuations <= maxContinuations) return null;
    return http2Error(
      "too_many_continuations",
      this.#by,
      streamId,
      `a field block has more than ${maxContinuations} CONTINUATION frames (http.http2_max_continuations)`,
    );
  }

  #outOfOrder(
    { type, streamId }: BlockFrame,
    code: "expected_continuation" | "unexpected_continuation",
  ): Http2Error {
    return http2Error(
      code,
      this.#by,
      streamId,
      `${type.toUpperCase()} on stream ${streamId} is out of order`,
    );
  }
}

/** Octets that come in parts, copied into one piece of memory that doubles as it fills. */
class Joined {
  length = 0;
  #memory = new Uint8Array(0);

  push(part: Uint8Array): void {
    const length = this.length + part.length;
    if (length > this.#memory.length) {
      const grown = new Uint8Array(Math.max(length, 2 * this.#memory.length));
      grown.set(this.#memory.subarray(0, this.length));
      this.#memory = grown;
    }
    this.#memory.set(part, this.length);
    this.length = length;
  }

  take(): Uint8Array {
    const taken = this.#memory.subarray(0, this.length);
    this.#memory = new Uint8Array(0);
    this.length = 0;
    return taken;
  }
}
