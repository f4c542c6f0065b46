/** What peers have said before it was their turn. */
import { joinBytes } from "../core/bytes.ts";
import type { Side } from "../core/side.ts";

const NOTHING: Uint8Array = new Uint8Array(0);

export class ReadAhead {
  readonly #held: Record<Side, Uint8Array> = { client: NOTHING, server: NOTHING };

  get bytes(): number {
    return this.#held.client.length + this.#held.server.length;
  }

  has(side: Side): boolean {
    return this.#held[side].length > 0;
  }

  /** Copies the data. */
  hold(side: Side, data: Uint8Array): void {
    const before = this.#held[side];
    this.#held[side] = before.length === 0 ? data.slice() : join(before, data);
  }

  take(side: Side): Uint8Array {
    const held = this.#held[side];
    this.#held[side] = NOTHING;
    return held;
  }

  drop(): void {
    this.#held.client = NOTHING;
    this.#held.server = NOTHING;
  }
}

/** One of the two where the other is empty. */
export function join(first: Uint8Array, second: Uint8Array): Uint8Array {
  if (first.length === 0) return second;
  if (second.length === 0) return first;
  return joinBytes([first, second]);
}
