/**
 * Takes content codings (RFC 9110 §8.4) off: the second stage of the chain. What comes out is a function of
 * the octets alone. A bomb is met by two bounds, the ratio of decoded to coded octets and a size in all;
 * the ratio is that at the end of the block of coded octets under way.
 */
import type { InflateCoding, Inflater, InflaterFactory } from "./inflate.ts";
import type { BytesBudget } from "./kept_bytes.ts";
import { ZSTD_PIECE_BYTES_MAX } from "./zstd_frames.ts";

/** What a coding is called in `content-encoding`, and how it is decoded. */
const CODINGS: Readonly<Record<string, InflateCoding>> = {
  gzip: "gzip",
  "x-gzip": "gzip",
  deflate: "deflate",
  // RFC 9659 §3: windows of more than 8 MiB are not asked for.
  zstd: "zstd",
  br: "br",
};

/** More codings than this on one message are a way to make decoders work, not a way to save octets. */
export const STACKED_CODINGS_MAX = 4;
/** The steps in which the ratio's allowance grows. */
const BLOCK_BYTES = 4 * 1024;
/** Coded octets that may give nothing at all; a header with a long file name needs some. */
export const BARREN_BYTES_MAX = 4 * BLOCK_BYTES;
/** The same for zstd, which gives a block when all of it is there. */
const ZSTD_BARREN_BYTES_MAX = BARREN_BYTES_MAX + ZSTD_PIECE_BYTES_MAX;
/** Decoded octets from which on what a decoder keeps of them is counted, twofold at a time. */
const WINDOW_FREE_BYTES = 64 * 1024;
/** Decoded octets from which on the ratio counts. */
export const RATIO_FREE_BYTES = 64 * 1024;
/**
 * Events that what is decoded may give whatever its size, and decoded octets for each one beyond them, were the
 * ratio used up. Each is some hundred octets of log, so that lines of one character would be a bomb of their own.
 */
export const EVENTS_FREE = 16 * 1024;
export const DECODED_BYTES_PER_EVENT = 8;

export interface ContentCodingLimits {
  readonly inflateRatio: number;
  readonly inflateBytes: number;
}

/**
 * How much may come out of what was coded, by the ratio. What is compressed piece by piece in one message, as the
 * messages of gRPC are, shares one of these: else each piece would have the free octets anew.
 */
export class RatioAllowance {
  exceeded = false;
  #codedBytes = 0;
  #decodedBytes = 0;

  constructor(private readonly ratio: number) {}

  /** Coded octets that may be taken before the allowance grows; never 0. */
  get blockRoom(): number {
    return BLOCK_BYTES - this.#codedBytes % BLOCK_BYTES;
  }

  /** Decoded octets that may still come. */
  get room(): number {
    // By whole blocks, so that it does not matter how far into one the content has come.
    const coded = Math.ceil(this.#codedBytes / BLOCK_BYTES) * BLOCK_BYTES;
    return Math.max(RATIO_FREE_BYTES, this.ratio * coded) - this.#decodedBytes;
  }

  coded(bytes: number): void {
    this.#codedBytes += bytes;
  }

  decoded(bytes: number): void {
    this.#decodedBytes += bytes;
  }
}

/** The codings of a message in the order in which they were applied; `identity` is none. */
export type ReadCodings =
  | { readonly type: "codings"; readonly codings: readonly string[] }
  | { readonly type: "error"; readonly detail: string };

export function readCodings(names: readonly string[]): ReadCodings {
  const codings = names.filter((name) => name !== "identity");
  if (codings.length > STACKED_CODINGS_MAX) {
    return {
      type: "error",
      detail: `${codings.length} content codings; at most ${STACKED_CODINGS_MAX} are taken off`,
    };
  }
  const unknown = codings.find((name) => !Object.hasOwn(CODINGS, name));
  if (unknown !== undefined) {
    return {
      type: "error",
      detail: `the content coding ${unknown.slice(0, 64)} is not known; known are ${
        Object.keys(CODINGS).join(", ")
      }`,
    };
  }
  return { type: "codings", codings };
}

/** About what the decoders of these codings keep, in octets, and what is kept until they give something. */
export function codingsHeldBytes(codings: readonly string[], inflaters: InflaterFactory): number {
  return codings.reduce((sum, name) => sum + inflaters.heldBytes[CODINGS[name]!], barrenBytesMax(codings));
}

function barrenBytesMax(codings: readonly string[]): number {
  return codings.includes("zstd") ? ZSTD_BARREN_BYTES_MAX : BARREN_BYTES_MAX;
}

/** Decodes the content of one message, or of a piece of it. After the first error it takes no more. */
export class ContentDecoder {
  /** The decoders, the coding that was applied last first. */
  readonly #layers: Layer[];
  readonly #limits: ContentCodingLimits;
  readonly #allowance: RatioAllowance;
  readonly #barrenBytesMax: number;
  codedBytes = 0;
  decodedBytes = 0;
  /** What is wrong with the content, or which limit it went over. */
  error: string | null = null;

  constructor(
    codings: readonly string[],
    inflaters: InflaterFactory,
    limits: ContentCodingLimits,
    /** For the windows of decoders, which grow; what they keep otherwise the caller has taken already. */
    budget: BytesBudget,
    allowance = new RatioAllowance(limits.inflateRatio),
  ) {
    this.#limits = limits;
    this.#allowance = allowance;
    this.#barrenBytesMax = barrenBytesMax(codings);
    this.#layers = codings.toReversed().map((name) => new Layer(name, inflaters, budget));
  }

  push(content: Uint8Array, deliver: (decoded: Uint8Array) => void): void {
    let start = 0;
    while (start < content.length && this.error === null) {
      const barrenMax = this.#barrenBytesMax;
      const barrenRoom = this.codedBytes < barrenMax ? barrenMax - this.codedBytes : Infinity;
      const end = Math.min(content.length, start + this.#allowance.blockRoom, start + barrenRoom);
      this.codedBytes += end - start;
      this.#allowance.coded(end - start);
      this.#decode(0, content.subarray(start, end), deliver);
      start = end;
      if (this.codedBytes === barrenMax && this.decodedBytes === 0) {
        this.error ??= `nothing decoded from ${barrenMax} octets`;
      }
    }
  }

  /** How many events the content so far may give. */
  get eventsMax(): number {
    const blocks = Math.ceil(this.codedBytes / BLOCK_BYTES);
    return EVENTS_FREE +
      Math.ceil(blocks * BLOCK_BYTES * this.#limits.inflateRatio / DECODED_BYTES_PER_EVENT);
  }

  /** No more content: tells whether all of it was there. */
  end(): void {
    for (const layer of this.#layers) {
      if (this.error !== null) return;
      const detail = layer.end();
      if (detail !== null) this.error = `${layer.name}: ${detail}`;
    }
  }

  close(): void {
    for (const layer of this.#layers) layer.close();
  }

  #decode(index: number, input: Uint8Array, deliver: (decoded: Uint8Array) => void): boolean {
    const layer = this.#layers[index];
    if (layer === undefined) return this.#deliver(input, deliver);
    const fault = layer.push(input, (output) => this.#decode(index + 1, output, deliver));
    if (fault !== null) this.error ??= `${layer.name}: ${fault}`;
    return this.error === null;
  }

  #deliver(output: Uint8Array, deliver: (decoded: Uint8Array) => void): boolean {
    const { inflateBytes, inflateRatio } = this.#limits;
    const taken = output.subarray(0, Math.min(inflateBytes - this.decodedBytes, this.#allowance.room));
    this.decodedBytes += taken.length;
    this.#allowance.decoded(taken.length);
    if (taken.length > 0) deliver(taken);
    if (taken.length === output.length) return true;
    if (this.decodedBytes >= inflateBytes) {
      this.error = `more than ${inflateBytes} decoded octets (limits.inflate_bytes)`;
    } else {
      this.#allowance.exceeded = true;
      this.error = `more than ${inflateRatio} decoded octets for each coded one (limits.inflate_ratio)`;
    }
    return false;
  }
}

const NOTHING = new Uint8Array(0);

/** One coding on its way off. `deflate` is met with its wrapper and, against RFC 9110 §8.4.1.2, without. */
class Layer {
  #inflater: Inflater | null = null;
  #first: number | null = null;
  #outBytes = 0;
  /** How much of what came out is paid for as kept. */
  #windowHeld = WINDOW_FREE_BYTES;
  /** What the decoder has asked for beside it. */
  #reserved = 0;
  readonly #inflaters: InflaterFactory;

  constructor(readonly name: string, inflaters: InflaterFactory, private readonly budget: BytesBudget) {
    this.#inflaters = inflaters;
    const coding = CODINGS[name]!;
    if (coding !== "deflate") this.#inflater = inflaters.open(coding, this.#reserve);
  }

  /** Gives what is wrong, or null. */
  push(input: Uint8Array, deliver: (output: Uint8Array) => boolean): string | null {
    const inflater = this.#inflater;
    if (inflater === null) return this.#begin(input, deliver);
    let refused = false;
    const result = inflater.push(input, (output) => {
      for (let start = 0; start < output.length;) {
        const room = this.#windowRoom(inflater);
        if (room === 0) {
          refused = true;
          return false;
        }
        const part = output.subarray(start, start + room);
        this.#outBytes += part.length;
        if (!deliver(part)) return false;
        start += part.length;
      }
      return true;
    });
    if (refused) return "its window is more than the observers of this flow may keep";
    if (result.type === "error") return result.detail;
    // A filling of zeros may follow. Anything else would pass unseen, however much of it.
    const rest = result.type === "more" ? input.subarray(input.length - result.unused) : NOTHING;
    return rest.some((octet) => octet !== 0) ? "octets after the end of the stream" : null;
  }

  end(): string | null {
    if (this.#inflater !== null) return this.#inflater.end();
    return this.#first === null ? null : "unexpected end of file";
  }

  close(): void {
    this.#inflater?.close();
    this.budget.release(this.#windowHeld - WINDOW_FREE_BYTES + this.#reserved);
    this.#windowHeld = WINDOW_FREE_BYTES;
    this.#reserved = 0;
  }

  readonly #reserve = (bytes: number): boolean => {
    if (!this.budget.hold(bytes)) return false;
    this.#reserved += bytes;
    return true;
  };

  /** How much may come out before more of it has to be paid for; 0 where there is no room for it. */
  #windowRoom({ windowBytes = 0 }: Inflater): number {
    if (windowBytes <= this.#windowHeld) return Infinity;
    if (this.#outBytes >= this.#windowHeld) {
      let size = this.#windowHeld;
      while (size <= this.#outBytes && size < windowBytes) size = Math.min(2 * size, windowBytes);
      if (!this.budget.hold(size - this.#windowHeld)) return 0;
      this.#windowHeld = size;
      // A window that is paid for whole may come round as often as it likes.
      if (windowBytes <= size) return Infinity;
    }
    return this.#windowHeld - this.#outBytes;
  }

  /** RFC 1950 §2.2: the wrapper's first two octets tell that it is one. */
  #begin(input: Uint8Array, deliver: (output: Uint8Array) => boolean): string | null {
    const all = this.#first === null ? input : Uint8Array.of(this.#first, ...input);
    if (all.length < 2) {
      this.#first = all[0] ?? null;
      return null;
    }
    const wrapped = (all[0]! & 0x0f) === 8 && (all[0]! * 256 + all[1]!) % 31 === 0;
    this.#inflater = this.#inflaters.open(wrapped ? "deflate" : "deflate-raw");
    return this.push(all, deliver);
  }
}
