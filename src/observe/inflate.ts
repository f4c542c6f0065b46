/**
 * Decompression as the observers know it: synchronous and bounded. The platform's decoders are behind it,
 * given to the session as an argument like everything of the platform.
 */

/** `deflate` has the wrapper of RFC 1950, `deflate-raw` has none (RFC 1951). */
export const INFLATE_CODINGS = ["gzip", "deflate", "deflate-raw", "zstd", "br"] as const;
export type InflateCoding = typeof INFLATE_CODINGS[number];

export type InflateResult =
  /** `unused`: so many octets of the input lie behind the end of what was coded. */
  | { readonly type: "more"; readonly unused: number }
  /** `deliver` wanted no more. */
  | { readonly type: "stopped" }
  | { readonly type: "error"; readonly detail: string };

export interface Inflater {
  /**
   * Decodes all that can be decoded of the input so far and gives it in pieces, valid during the call. What is
   * delivered in all depends on the octets alone, not on how they were cut. `deliver` gives false to stop.
   */
  push(input: Uint8Array, deliver: (output: Uint8Array) => boolean): InflateResult;
  /** No more input: null where it was whole, else what is wrong. */
  end(): string | null;
  /**
   * What may be referred back to, in octets, and so is kept once that much has come out, where the stream says
   * it itself. Missing where `heldBytes` covers it.
   */
  readonly windowBytes?: number;
  /** Frees it. Nothing is called afterwards; closing twice is harmless. */
  close(): void;
}

export interface InflaterFactory {
  /**
   * `reserve`: asked for so many octets more, where a stream makes the decoder keep more than `heldBytes` and its
   * window; where it says no the stream is broken.
   */
  open(coding: InflateCoding, reserve?: (bytes: number) => boolean): Inflater;
  /** About what one keeps, in octets, for the budgets. */
  readonly heldBytes: Readonly<Record<InflateCoding, number>>;
}
