/**
 * One message of a call on its way: kept up to a limit, taken out of its encoding where it is compressed. What
 * counts against the budget depends on the octets that came, so it is reserved for what lies in one piece, too.
 * Where the budget has no room, less of the message is kept; the call and its status are still told.
 */
import { KeptBytes } from "../kept_bytes.ts";
import type { ObserverContext, PieceDecoder } from "../observer.ts";

export interface PayloadResult {
  /** What was kept, decoded where that was possible; valid during the call. */
  readonly data: Uint8Array;
  /** Octets that came. */
  readonly bytes: number;
  /** What `data` is the beginning of. */
  readonly dataBytes: number;
  readonly decodedBytes: number | null;
  /** Why it could not be decoded, or not all of it. */
  readonly error: string | null;
  /** No further message can be decoded. */
  readonly exhausted: boolean;
}

const NO_ROOM = "the flow's budget has no room for a decoder (limits.decoder_buffer_bytes)";

const BLOCK_BYTES = 1024;

export class Payload {
  /** Octets that came so far. */
  bytes = 0;
  readonly #coded: KeptBytes;
  readonly #decoded: KeptBytes;
  #decoder: PieceDecoder | null = null;
  /** There was none for a decoder when the message began. */
  #noRoom = false;
  /** The message where it lies in one piece. */
  #whole: Uint8Array | null = null;

  constructor(
    private readonly context: ObserverContext,
    bytesMax: number,
    private readonly declaredBytes: number,
    /** Null where it is not compressed, or cannot be decoded. */
    private readonly codings: readonly string[] | null,
  ) {
    this.#coded = new KeptBytes(context, bytesMax);
    this.#decoded = new KeptBytes(context, bytesMax);
  }

  readonly #tryHold = (bytes: number): boolean => this.context.tryHold(bytes);

  /** `finish` is to be called in the same call where this was the last part. */
  part(bytes: Uint8Array): void {
    if (bytes.length === this.declaredBytes) this.#whole = bytes;
    // By blocks of the message, room for what came before room for what comes out of it: in the order of the
    // octets, and not of the pieces they came in.
    for (let start = 0; start < bytes.length;) {
      const block = bytes.subarray(start, start + BLOCK_BYTES - this.bytes % BLOCK_BYTES);
      this.#coded.reserveWhatFits(
        Math.min(this.declaredBytes, this.bytes - this.bytes % BLOCK_BYTES + BLOCK_BYTES),
        this.#tryHold,
      );
      this.bytes += block.length;
      start += block.length;
      if (this.#whole === null) this.#coded.keep(block);
      if (this.codings !== null && !this.#noRoom) this.#decode(this.codings, block);
    }
  }

  /** `cut`: before its end, so that nothing is wrong with what is missing. */
  finish(cut: boolean, use: (result: PayloadResult) => void): void {
    const decoder = this.#decoder;
    if (decoder !== null && !cut) decoder.end();
    const coded = this.#whole?.subarray(0, this.#coded.limit) ?? this.#coded.view;
    const common = {
      bytes: this.bytes,
      error: this.#noRoom ? NO_ROOM : decoder?.error ?? null,
      exhausted: decoder?.exhausted ?? false,
    };
    // Of what is compressed and not whole nothing may have come out yet.
    const decoded = decoder !== null && (decoder.decodedBytes > 0 || decoder.error === null && !cut);
    use(
      decoded
        ? {
          ...common,
          data: this.#decoded.view,
          dataBytes: decoder.decodedBytes,
          decodedBytes: decoder.decodedBytes,
        }
        : { ...common, data: coded, dataBytes: this.bytes, decodedBytes: null },
    );
    decoder?.close();
    this.#coded.clear();
    this.#decoded.clear();
    this.#whole = null;
  }

  #decode(codings: readonly string[], bytes: Uint8Array): void {
    const decoder = this.#decoder ??= this.context.openDecoder(codings);
    if (decoder === null) {
      this.#noRoom = true;
      return;
    }
    if (decoder.error !== null) return;
    decoder.push(bytes, (decoded) => {
      this.#decoded.reserveWhatFits(this.#decoded.length + decoded.length, this.#tryHold);
      this.#decoded.keep(decoded);
    });
  }
}
