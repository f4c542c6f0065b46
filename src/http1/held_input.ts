/** What a client has sent before its turn came, in the order in which it came. */
import { joinBytes } from "../core/bytes.ts";

const NOTHING = new Uint8Array(0);

export class HeldInput {
  #held: Uint8Array = NOTHING;
  /** What was held and is being read: it is ours, so its rest can be held again without a copy. */
  #reading: Uint8Array | null = null;

  get bytes(): number {
    return this.#held.length;
  }

  /** Nothing is held, nor was what is being read now. */
  get isOver(): boolean {
    return this.#held.length === 0 && this.#reading === null;
  }

  hold(rest: Uint8Array): void {
    if (rest.buffer === this.#reading?.buffer) this.#held = rest;
    else this.#held = joinBytes([this.#held, rest]);
  }

  /** Gives all of it to `read`, which may hold its rest again. */
  release(read: (held: Uint8Array) => void): void {
    const held = this.#held;
    this.#held = NOTHING;
    this.#reading = held;
    read(held);
    this.#reading = null;
  }
}
