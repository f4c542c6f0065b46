/**
 * The first octets of something that comes in pieces, taken from the flow's budget before they are kept. What is
 * taken depends on how much has come, never on the pieces: `reserve` is called for everything, also for what
 * lies in one piece and need not be kept.
 */
import type { ObserverContext } from "./observer.ts";

export type BytesBudget = Pick<ObserverContext, "hold" | "release">;

const NOTHING = new Uint8Array(0);
/** What is reserved grows from here, twofold. */
const FIRST_BYTES = 256;
/**
 * Buffers that were given up, for the next ones of their size: the platform takes longer to make and to collect one
 * than to fill it. Only the common sizes, the powers of two up to this, and few of each.
 */
const POOLED_BYTES_MAX = 64 << 10;
const POOLED_MAX = 4;
const POOLS = new Map<number, Uint8Array<ArrayBuffer>[]>();
for (let size = FIRST_BYTES; size <= POOLED_BYTES_MAX; size *= 2) POOLS.set(size, []);

function takeBuffer(size: number): Uint8Array<ArrayBuffer> {
  return POOLS.get(size)?.pop() ?? new Uint8Array(size);
}

/** Nobody may look at it any more. */
function giveBuffer(bytes: Uint8Array<ArrayBuffer>): void {
  const pool = POOLS.get(bytes.length);
  if (pool !== undefined && pool.length < POOLED_MAX) pool.push(bytes);
}

export class KeptBytes {
  length = 0;
  #bytes = NOTHING;
  #reserved = 0;

  constructor(
    private readonly budget: BytesBudget,
    private bytesMax: number,
  ) {}

  /** At most so many octets are kept. */
  get limit(): number {
    return this.bytesMax;
  }

  /** What is kept, valid until the next call: what is taken of it for longer has to be a copy. */
  get view(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }

  /** Takes what is needed for so many octets in all, as far as they would be kept. False: there is no room. */
  reserve(bytes: number): boolean {
    const size = this.#sizeFor(bytes);
    if (size <= this.#reserved) return true;
    if (!this.budget.hold(size - this.#reserved)) return false;
    this.#reserved = size;
    return true;
  }

  /** As `reserve`; where there is no room, no more is kept than there was room for. */
  reserveWhatFits(bytes: number, tryHold: ObserverContext["tryHold"]): void {
    const size = this.#sizeFor(bytes);
    // By the same steps as if it had come in the smallest pieces.
    while (this.#reserved < size) {
      const next = this.#sizeFor(this.#reserved + 1);
      if (!tryHold(next - this.#reserved)) {
        this.bytesMax = this.#reserved;
        return;
      }
      this.#reserved = next;
    }
  }

  keep(part: Uint8Array): void {
    const taken = part.subarray(0, this.bytesMax - this.length);
    if (this.length + taken.length > this.#bytes.length) {
      const grown = takeBuffer(this.#sizeFor(this.length + taken.length));
      grown.set(this.view);
      giveBuffer(this.#bytes);
      this.#bytes = grown;
    }
    this.#bytes.set(taken, this.length);
    this.length += taken.length;
  }

  /** Keeps nothing any more; the room stays for what comes next. */
  reset(): void {
    this.length = 0;
  }

  /** Keeps nothing any more, and gives back what it took. */
  clear(): void {
    this.budget.release(this.#reserved);
    this.#reserved = 0;
    giveBuffer(this.#bytes);
    this.#bytes = NOTHING;
    this.length = 0;
  }

  #sizeFor(bytes: number): number {
    const needed = Math.min(bytes, this.bytesMax);
    if (needed === 0) return 0;
    let size = FIRST_BYTES;
    while (size < needed) size *= 2;
    return Math.min(size, this.bytesMax);
  }
}
