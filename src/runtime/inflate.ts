/**
 * The platform's decompression (`node:zlib`), driven synchronously. Its public synchronous functions want the
 * whole input and its streams are asynchronous, so this goes by the handle below the streams, as libraries
 * that need the same do. Unlike those it keeps what was decoded before a fault, which makes the outcome a
 * function of the octets alone. A test compares it with the public functions.
 */
import zlib from "node:zlib";
import { BrotliDecoder } from "../observe/brotli/decoder.ts";
import { ZstdFrames } from "../observe/zstd_frames.ts";
import type { InflateCoding, Inflater, InflateResult, InflaterFactory } from "../observe/inflate.ts";

/** The window of RFC 1951 and zlib's own state; for zstd what there is without its window. */
const HELD_BYTES = {
  gzip: 40 * 1024,
  deflate: 40 * 1024,
  "deflate-raw": 40 * 1024,
  // Its tables, a block that is not whole yet, and the first of its window.
  zstd: 512 * 1024,
  // The prefix codes that most streams have, and the first of its window.
  br: 256 * 1024,
} as const;

export const INFLATERS: InflaterFactory = {
  heldBytes: HELD_BYTES,
  open: (coding, reserve) =>
    coding === "br"
      ? new BrotliInflater(reserve)
      : coding === "zstd"
      ? new ZstdInflater()
      : new ZlibInflater(coding),
};

/** What lies below a stream of `node:zlib`. */
interface Handle {
  writeSync(
    flush: number,
    input: Uint8Array,
    inputOffset: number,
    inputLength: number,
    output: Uint8Array,
    outputOffset: number,
    outputLength: number,
  ): void;
  reset(): void;
  close(): void;
  onerror: (message: string, code: number) => void;
}

interface ZlibStream {
  readonly _handle: Handle;
  /** After a write: room left in the output, octets left of the input. */
  readonly _writeState: Uint32Array;
}

const OUTPUT_BYTES = 64 * 1024;
/** One for each decoder that is at work at once: what one gives may be what the next one takes. */
const OUTPUTS: Uint8Array[] = [];
let depth = 0;
const NOTHING = new Uint8Array(0);

type ZlibCoding = Exclude<InflateCoding, "br">;

/**
 * Streams that are free again: making one costs half as much as decoding 64 KiB. Not those of zstd, which keep the
 * window of the last message.
 */
const FREE: Readonly<Record<Exclude<ZlibCoding, "zstd">, ZlibStream[]>> = {
  gzip: [],
  deflate: [],
  "deflate-raw": [],
};
const FREE_MAX = 16;

class ZlibInflater implements Inflater {
  readonly #stream: ZlibStream;
  readonly #handle: Handle;
  readonly #state: Uint32Array;
  #error: string | null = null;
  /** The stream has ended, and what comes after it is no further member of a gzip file. */
  #over = false;
  #closed = false;
  #isWriting = false;

  constructor(private readonly coding: ZlibCoding) {
    const free = coding === "zstd" ? undefined : FREE[coding].pop();
    const stream: unknown = free ?? open(coding);
    if (!isZlibStream(stream)) throw new Error("node:zlib has another form than this was written for");
    this.#stream = stream;
    this.#handle = stream._handle;
    this.#state = stream._writeState;
    this.#handle.onerror = (message) => this.#error = message;
  }

  push(input: Uint8Array, deliver: (output: Uint8Array) => boolean): InflateResult {
    if (this.#error !== null) return { type: "error", detail: this.#error };
    if (this.#over) return { type: "more", unused: input.length };
    return this.#write(zlib.constants.Z_SYNC_FLUSH, input, deliver);
  }

  end(): string | null {
    if (this.#error !== null || this.#over || this.#closed) return this.#error;
    let extra = 0;
    this.#write(zlib.constants.Z_FINISH, NOTHING, (output) => {
      extra += output.length;
      return extra === 0;
    });
    return this.#error;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    // One that is closed by what it delivers is still being read from.
    if (!this.#isWriting) this.#free();
  }

  #free(): void {
    const free = this.coding === "zstd" ? null : FREE[this.coding];
    if (free === null || free.length >= FREE_MAX) {
      this.#handle.close();
      return;
    }
    this.#handle.reset();
    this.#handle.onerror = () => {};
    free.push(this.#stream);
  }

  #write(flush: number, input: Uint8Array, deliver: (output: Uint8Array) => boolean): InflateResult {
    if (this.#closed) return { type: "stopped" };
    const output = OUTPUTS[depth] ??= new Uint8Array(OUTPUT_BYTES);
    depth++;
    this.#isWriting = true;
    try {
      return this.#writeTo(output, flush, input, deliver);
    } finally {
      this.#isWriting = false;
      depth--;
      if (this.#closed) this.#free();
    }
  }

  #writeTo(
    output: Uint8Array,
    flush: number,
    input: Uint8Array,
    deliver: (output: Uint8Array) => boolean,
  ): InflateResult {
    let left = input.length;
    while (true) {
      try {
        this.#handle.writeSync(flush, input, input.length - left, left, output, 0, output.length);
      } catch (error) {
        // The handle throws where its own error cannot be told; nothing was decoded by this call.
        this.#error = error instanceof Error ? error.message : String(error);
        return { type: "error", detail: this.#error };
      }
      const room = this.#state[0]!;
      left = this.#state[1]!;
      const goesOn = room === output.length || deliver(output.subarray(0, output.length - room));
      if (!goesOn || this.#closed) return { type: "stopped" };
      if (this.#error !== null) return { type: "error", detail: this.#error };
      // Output that was filled to its end means that there may be more.
      if (room > 0) {
        // Input is left where a stream has ended. The handle would forget that with the next write, and take what
        // follows a filling of zeros for a further member only if a write happens to begin there.
        this.#over = left > 0;
        return { type: "more", unused: left };
      }
    }
  }
}

/**
 * Zstandard. What the platform's decoder says of a fault, of a second frame and of a missing end depends on how its
 * input was cut; so it is given the pieces of the framing one by one, always the same.
 */
class ZstdInflater implements Inflater {
  readonly #frames = new ZstdFrames();
  readonly #decoder = new ZlibInflater("zstd");

  get windowBytes(): number {
    return this.#frames.windowBytes;
  }

  push(input: Uint8Array, deliver: (output: Uint8Array) => boolean): InflateResult {
    let stopped = false;
    const fault = this.#frames.push(input, (piece) => {
      const result = this.#decoder.push(piece, deliver);
      stopped = result.type === "stopped";
      return result.type === "more" ? null : result.type === "error" ? result.detail : "stopped";
    });
    if (fault === null) return { type: "more", unused: 0 };
    return stopped ? { type: "stopped" } : { type: "error", detail: fault };
  }

  end(): string | null {
    return this.#frames.end();
  }

  close(): void {
    this.#decoder.close();
  }
}

/** Brotli is decoded here: the platform's decoder reports no error, and loses what it has not given when there is one. */
class BrotliInflater extends BrotliDecoder implements Inflater {
  close(): void {}
}

function open(coding: ZlibCoding): object {
  switch (coding) {
    case "gzip":
      return zlib.createGunzip();
    case "deflate":
      return zlib.createInflate();
    case "deflate-raw":
      return zlib.createInflateRaw();
    case "zstd":
      return zlib.createZstdDecompress();
  }
}

function isZlibStream(stream: unknown): stream is ZlibStream {
  if (typeof stream !== "object" || stream === null) return false;
  if (!("_handle" in stream) || !("_writeState" in stream)) return false;
  const handle = stream._handle;
  return typeof handle === "object" && handle !== null && "writeSync" in handle && "reset" in handle &&
    "onerror" in handle &&
    "close" in handle && stream._writeState instanceof Uint32Array;
}
