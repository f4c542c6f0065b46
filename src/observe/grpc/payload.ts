/**
 * One message of a call on its way: kept up to a limit, taken out of its encoding where it is compressed. What
 * counts against the budget depends on the octets that came, so it is reserved for what lies in one piece, too.
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

export class Payload {
  /** Octets that came so far. */
  bytes = 0;
  readonly #coded: KeptBytes;
  readonly #decoded: KeptBytes;
  #decoder: PieceDecoder | null = null;
  /** The message where it lies in one piece. */
  #whole: Uint8Array | null = null;

  constructor(
    private readonly context: ObserverContext,
    private readonly bytesMax: number,
    private readonly declaredBytes: number,
    /** Null where it is not compressed, or cannot be decoded. */
    private readonly codings: readonly string[] | null,
  ) {
    this.#coded = new KeptBytes(context, bytesMax);
    this.#decoded = new KeptBytes(context, bytesMax);
  }

  /** False: the observer was stopped. `finish` is to be called in the same call where this was the last part. */
  part(bytes: Uint8Array): boolean {
    this.bytes += bytes.length;
    if (!this.#coded.reserve(this.bytes)) return false;
    if (bytes.length === this.declaredBytes) this.#whole = bytes;
    else this.#coded.keep(bytes);
    return this.codings === null || this.#decode(this.codings, bytes);
  }

  /** `cut`: before its end, so that nothing is wrong with what is missing. */
  finish(cut: boolean, use: (result: PayloadResult) => void): void {
    const decoder = this.#decoder;
    if (decoder !== null && !cut) decoder.end();
    const coded = this.#whole?.subarray(0, this.bytesMax) ?? this.#coded.view;
    const common = {
      bytes: this.bytes,
      error: decoder?.error ?? null,
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

  #decode(codings: readonly string[], bytes: Uint8Array): boolean {
    this.#decoder ??= this.context.openDecoder(codings);
    const decoder = this.#decoder;
    if (decoder === null) return false;
    if (decoder.error !== null) return true;
    decoder.push(bytes, (decoded) => this.#decoded.keep(decoded));
    // Afterwards, as a decoder cannot be closed while it delivers; more than the limit is never kept.
    return this.#decoded.reserve(decoder.decodedBytes);
  }
}
