/**
 * Takes permessage-deflate (RFC 7692) off the messages of one side. One decoder serves them all, as with
 * context takeover it must; without it a message just does not look back. Windows smaller than 32 KiB are
 * no matter to a decoder. Bounded for each message as content codings are for theirs.
 */
import type { Inflater, InflaterFactory } from "../inflate.ts";
import type { ObserveLimits } from "../observer.ts";
import { RATIO_FREE_BYTES } from "../content_coding.ts";

/** §7.2.2: what the sender left out at a message's end. */
const TAIL = Uint8Array.of(0x00, 0x00, 0xff, 0xff);
/** The steps in which the ratio's allowance grows, so that it does not matter how the octets were cut. */
const BLOCK_BYTES = 4 * 1024;
/** Blocks that are the last of their stream (§7.2.3.4) in one message; each costs a new decoder. */
const FINAL_BLOCKS_MAX = 8;

export class MessageInflater {
  #inflater: Inflater | null = null;
  #codedBytes = 0;
  #finalBlocks = 0;
  #decoding = false;
  /** Of the message under way. */
  decodedBytes = 0;
  /** Why the message under way could not be decoded, or which limit it went over. */
  error: string | null = null;

  /** `takeover`: a message may look back into those before it, so that one which is lost takes all with it. */
  constructor(
    private readonly inflaters: InflaterFactory,
    private readonly limits: Pick<ObserveLimits, "inflateBytes" | "inflateRatio">,
    private readonly takeover: boolean,
  ) {}

  /** Begins a message. False where what it would look back into was lost. */
  begin(): boolean {
    if (this.error !== null) {
      if (this.takeover) return false;
      this.error = null;
    }
    this.#codedBytes = 0;
    this.#finalBlocks = 0;
    this.decodedBytes = 0;
    this.#inflater ??= this.inflaters.open("deflate-raw");
    return true;
  }

  push(coded: Uint8Array, deliver: (decoded: Uint8Array) => void): void {
    for (let start = 0; start < coded.length && this.error === null;) {
      const end = Math.min(coded.length, start + BLOCK_BYTES - this.#codedBytes % BLOCK_BYTES);
      this.#codedBytes += end - start;
      this.#decode(coded.subarray(start, end), deliver);
      start = end;
    }
  }

  /** The message is over; what it still holds back comes out. */
  end(deliver: (decoded: Uint8Array) => void): void {
    if (this.error === null) this.#decode(TAIL, deliver);
    // A stream that has ended leaves nothing to look back into.
    if (this.#finalBlocks > 0) this.#close();
  }

  /** Nothing more is decoded. It may be called from within `deliver`. */
  stop(): void {
    this.error ??= "stopped";
    if (!this.#decoding) this.#close();
  }

  #close(): void {
    this.#inflater?.close();
    this.#inflater = null;
  }

  #decode(coded: Uint8Array, deliver: (decoded: Uint8Array) => void): void {
    for (let input = coded; this.error === null;) {
      this.#inflater ??= this.inflaters.open("deflate-raw");
      this.#decoding = true;
      const result = this.#inflater.push(input, (output) => this.#deliver(output, deliver));
      this.#decoding = false;
      if (result.type === "error") this.#failed(result.detail);
      else if (result.type === "stopped") this.#failed(this.#overLimit());
      if (result.type !== "more" || result.unused === 0) return;
      this.#close();
      if (++this.#finalBlocks > FINAL_BLOCKS_MAX) {
        this.#failed(`more than ${FINAL_BLOCKS_MAX} final blocks in one message`);
      }
      input = input.subarray(input.length - result.unused);
    }
  }

  #failed(detail: string): void {
    this.error ??= `permessage-deflate: ${detail}`;
    this.#close();
  }

  #deliver(output: Uint8Array, deliver: (decoded: Uint8Array) => void): boolean {
    const taken = output.subarray(0, this.#allowance - this.decodedBytes);
    this.decodedBytes += taken.length;
    if (taken.length > 0) deliver(taken);
    return taken.length === output.length && this.error === null;
  }

  get #allowance(): number {
    const coded = Math.ceil(this.#codedBytes / BLOCK_BYTES) * BLOCK_BYTES;
    return Math.min(this.limits.inflateBytes, Math.max(RATIO_FREE_BYTES, this.limits.inflateRatio * coded));
  }

  #overLimit(): string {
    const { inflateBytes, inflateRatio } = this.limits;
    return this.decodedBytes >= inflateBytes
      ? `more than ${inflateBytes} decoded octets (limits.inflate_bytes)`
      : `more than ${inflateRatio} decoded octets for each coded one (limits.inflate_ratio)`;
  }
}
