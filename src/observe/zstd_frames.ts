/**
 * Cuts a stream of Zstandard (RFC 8878 §3.1) into what a decoder can be given at once: the header of a frame, a block,
 * a checksum. A decoder that gets the same pieces whatever the reads were gives the same, faults included; and
 * only the framing tells whether the stream is whole.
 */

/** RFC 8878 §3.1.1.1.2 and RFC 9659: what every decoder takes, and what a content coding may ask for. */
export const ZSTD_WINDOW_BYTES_MAX = 8 * 1024 * 1024;
/** Block_Maximum_Size, and a block's header. */
export const ZSTD_PIECE_BYTES_MAX = 128 * 1024 + 3;

/** Gives null, or what is wrong with the piece; then it gets no more. */
export type OnZstdPiece = (piece: Uint8Array) => string | null;

type Part =
  | "magic"
  | "descriptor"
  | "header"
  | "block_header"
  | "block"
  | "checksum"
  | "skip_length"
  | "skip";

const MAGIC = 0xfd2fb528;
const FIRST_BYTES = 256;

export class ZstdFrames {
  /** What the frame under way may refer back to, in octets. */
  windowBytes = 0;
  #part: Part = "magic";
  /** Of the piece under way; one that lies in one read is not kept. */
  #kept = new Uint8Array(FIRST_BYTES);
  #keptBytes = 0;
  /** How long the piece has to be for its next part to be known. */
  #needed = 4;
  #lastBlock = false;
  #hasChecksum = false;
  #skipBytes = 0;

  /** Gives null, or what is wrong with the stream. */
  push(input: Uint8Array, onPiece: OnZstdPiece): string | null {
    let at = 0;
    while (at < input.length) {
      if (this.#isSkipping) {
        const skipped = Math.min(this.#skipBytes, input.length - at);
        at += skipped;
        this.#skipBytes -= skipped;
        if (this.#skipBytes === 0) this.#next("magic", 4);
        continue;
      }
      const taken = Math.min(this.#needed - this.#keptBytes, input.length - at);
      this.#keep(input.subarray(at, at + taken));
      at += taken;
      while (this.#keptBytes === this.#needed && !this.#isSkipping) {
        const fault = this.#partDone(this.#kept.subarray(0, this.#needed), onPiece);
        if (fault !== null) return fault;
      }
    }
    return null;
  }

  /** The input is over: null where it ended between two frames. */
  end(): string | null {
    return this.#part === "magic" && this.#keptBytes === 0 ? null : "unexpected end of file";
  }

  get #isSkipping(): boolean {
    return this.#part === "skip";
  }

  #keep(part: Uint8Array): void {
    if (this.#keptBytes + part.length > this.#kept.length) {
      const grown = new Uint8Array(Math.max(this.#needed, 2 * this.#kept.length));
      grown.set(this.#kept.subarray(0, this.#keptBytes));
      this.#kept = grown;
    }
    this.#kept.set(part, this.#keptBytes);
    this.#keptBytes += part.length;
  }

  /** The piece goes on: so many octets of it are needed now. */
  #more(part: Part, needed: number): null {
    this.#part = part;
    this.#needed = needed;
    return null;
  }

  /** Another piece begins. */
  #next(part: Part, needed: number): null {
    this.#keptBytes = 0;
    return this.#more(part, needed);
  }

  #partDone(piece: Uint8Array, onPiece: OnZstdPiece): string | null {
    switch (this.#part) {
      case "magic": {
        const magic = numberOf(piece, 0, 4);
        if (magic === MAGIC) return this.#more("descriptor", 5);
        if (magic >>> 4 === 0x184d2a5) return this.#more("skip_length", 8);
        return "no frame begins here";
      }
      case "skip_length":
        this.#skipBytes = numberOf(piece, 4, 4);
        return this.#skipBytes === 0 ? this.#next("magic", 4) : this.#next("skip", 0);
      case "descriptor":
        return this.#more("header", 5 + headerBytes(piece[4]!));
      case "header": {
        const detail = this.#header(piece);
        return detail ?? onPiece(piece) ?? this.#next("block_header", 3);
      }
      case "block_header": {
        const header = numberOf(piece, 0, 3);
        const size = header >>> 3;
        const type = (header >>> 1) & 3;
        if (type === 3) return "a block of a reserved type";
        if (size > ZSTD_PIECE_BYTES_MAX - 3) return `a block of ${size} octets`;
        this.#lastBlock = (header & 1) === 1;
        this.#more("block", 3 + (type === 1 ? 1 : size));
        return null;
      }
      case "block": {
        const fault = onPiece(piece);
        if (fault !== null || !this.#lastBlock) return fault ?? this.#next("block_header", 3);
        return this.#hasChecksum ? this.#next("checksum", 4) : this.#next("magic", 4);
      }
      case "checksum":
        return onPiece(piece) ?? this.#next("magic", 4);
      case "skip":
        return null;
    }
  }

  /** RFC 8878 §3.1.1.1. */
  #header(piece: Uint8Array): string | null {
    const descriptor = piece[4]!;
    if ((descriptor & 8) !== 0) return "a reserved bit is set";
    if ((descriptor & 3) !== 0) return "a dictionary is needed";
    this.#hasChecksum = (descriptor & 4) !== 0;
    this.windowBytes = (descriptor & 0x20) === 0 ? windowOf(piece[5]!) : contentSize(piece);
    return this.windowBytes <= ZSTD_WINDOW_BYTES_MAX
      ? null
      : `a window of ${this.windowBytes} octets; at most ${ZSTD_WINDOW_BYTES_MAX} are kept`;
  }
}

/** Octets of a frame's header behind its descriptor. */
function headerBytes(descriptor: number): number {
  const singleSegment = (descriptor & 0x20) !== 0;
  const sizeFlag = descriptor >>> 6;
  const sizeBytes = sizeFlag === 0 ? (singleSegment ? 1 : 0) : 1 << sizeFlag;
  return (singleSegment ? 0 : 1) + [0, 1, 2, 4][descriptor & 3]! + sizeBytes;
}

function windowOf(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >>> 3));
  return base + (base / 8) * (descriptor & 7);
}

/** Of a single segment, whose content is its window; without a dictionary. */
function contentSize(piece: Uint8Array): number {
  const bytes = piece.length - 5;
  return numberOf(piece, 5, bytes) + (bytes === 2 ? 256 : 0);
}

/** Little-endian. */
function numberOf(octets: Uint8Array, start: number, count: number): number {
  let value = 0;
  for (let index = count - 1; index >= 0; index--) value = value * 256 + octets[start + index]!;
  return value;
}
