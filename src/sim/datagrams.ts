/**
 * The proxy's end of a UDP socket in virtual time, with an echo behind it: what it sends comes back veiled. A network
 * of datagrams may delay each as it likes, so they overtake one another, and a harsh one loses some and brings others
 * twice.
 */
import { type Conn, type ConnHandler, IGNORE_EVENTS } from "../runtime/conn.ts";
import { veil } from "./bytes.ts";
import type { SimClock } from "./clock.ts";
import type { Random } from "./random.ts";

const LOSS = 0.1;
const DELAY_MS_MAX = 20;

export class SimDatagrams implements Conn {
  handler: ConnHandler = IGNORE_EVENTS;
  readonly congested = false;
  pendingBytes = 0;
  isClosed = false;
  /** What the proxy sent, in its order. */
  readonly sent: Uint8Array[] = [];
  /** How many datagrams the proxy was given. */
  received = 0;
  #ending = false;

  constructor(
    private readonly clock: SimClock,
    private readonly random: Random,
    private readonly isHarsh: () => boolean,
  ) {}

  write(data: Uint8Array): void {
    if (this.isClosed || this.#ending) return;
    const datagram = data.slice();
    this.sent.push(datagram);
    this.pendingBytes += datagram.length;
    this.clock.after(0, () => {
      this.pendingBytes -= datagram.length;
      if (this.#ending && this.pendingBytes === 0) this.destroy();
    });
    if (this.isHarsh() && this.random.chance(LOSS)) return;
    const copies = this.isHarsh() && this.random.chance(LOSS) ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      this.clock.after(1 + this.random.below(DELAY_MS_MAX), () => {
        if (this.isClosed) return;
        // One that comes while its socket is let go of is nobody's.
        if (!this.#ending) this.received++;
        this.handler.onData(veil(datagram));
      });
    }
  }

  end(): void {
    this.#ending = true;
    if (this.pendingBytes === 0) this.destroy();
  }

  reset(): void {
    this.destroy();
  }

  destroy(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.clock.after(0, () => this.handler.onClosed());
  }

  setReading(): void {}
}
