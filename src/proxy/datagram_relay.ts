/**
 * What CONNECT-UDP (RFC 9298 §5) relays: the client's DATAGRAM capsules to the server as datagrams, and back. One
 * that the other side has no room for is dropped and counted, as a network does, so that nothing piles up. Contexts
 * other than 0 belong to extensions that nobody has agreed on: theirs are dropped too.
 */
import type { Side } from "../core/side.ts";
import { CapsuleReader, DATAGRAM_CAPSULE, readVarint, writeVarint } from "../http/capsules.ts";

/** RFC 9298 §5: what a UDP datagram can carry at most; a longer one ends the flow. */
export const UDP_PAYLOAD_BYTES_MAX = 65_527;
/** The context of whole UDP payloads (RFC 9298 §4). */
const UDP_PAYLOADS = 0;
/** The longest encoding of a context. */
const CONTEXT_BYTES_MAX = 8;

export interface DatagramHost {
  /** To the server each call is one datagram. */
  send(side: Side, data: Uint8Array): void;
  /** There is room for more to this side. */
  admits(side: Side): boolean;
}

export interface DatagramCounts {
  readonly datagrams: Record<Side, number>;
  readonly datagramBytes: Record<Side, number>;
  readonly dropped: Record<Side, number>;
  readonly skippedCapsules: number;
}

export class DatagramRelay {
  readonly #datagrams = { client: 0, server: 0 };
  readonly #bytes = { client: 0, server: 0 };
  readonly #dropped = { client: 0, server: 0 };
  #skippedCapsules = 0;
  #fault: string | null = null;
  readonly #capsules = new CapsuleReader({
    datagram: (content) => this.#fromClient(content),
    skipped: () => {
      if (this.#fault === null) this.#skippedCapsules++;
    },
  }, UDP_PAYLOAD_BYTES_MAX + CONTEXT_BYTES_MAX);

  constructor(private readonly host: DatagramHost) {}

  get heldBytes(): number {
    return this.#capsules.heldBytes;
  }

  /** The client has begun a capsule that is not over. */
  get isWithinCapsule(): boolean {
    return this.#capsules.isWithin;
  }

  /** Datagrams and their bytes by the side they came from; `dropped` are among them. */
  get counts(): DatagramCounts {
    return {
      datagrams: this.#datagrams,
      datagramBytes: this.#bytes,
      dropped: this.#dropped,
      skippedCapsules: this.#skippedCapsules,
    };
  }

  /** From the server `data` is one datagram. Gives what the client has done wrong, which ends the flow. */
  received(side: Side, data: Uint8Array): string | null {
    if (side === "client") {
      const fault = this.#capsules.push(data);
      return this.#fault ??= fault;
    }
    this.#count("server", data.length);
    if (!this.host.admits("client")) this.#dropped.server++;
    else this.host.send("client", datagramCapsule(data));
    return null;
  }

  #fromClient(content: Uint8Array): void {
    const context = readVarint(content, 0);
    if (context === null) this.#fault ??= "a datagram without a context";
    if (context === null || this.#fault !== null) return;
    const payload = content.subarray(context.next);
    if (payload.length > UDP_PAYLOAD_BYTES_MAX) {
      this.#fault = `a datagram of ${payload.length} octets; the most is ${UDP_PAYLOAD_BYTES_MAX}`;
      return;
    }
    this.#count("client", payload.length);
    if (context.value !== UDP_PAYLOADS || !this.host.admits("server")) this.#dropped.client++;
    else this.host.send("server", payload);
  }

  #count(side: Side, bytes: number): void {
    this.#datagrams[side]++;
    this.#bytes[side] += bytes;
  }
}

/** A UDP payload as the client gets it. */
export function datagramCapsule(payload: Uint8Array): Uint8Array {
  const length = writeVarint(payload.length + 1);
  const capsule = new Uint8Array(1 + length.length + 1 + payload.length);
  capsule[0] = DATAGRAM_CAPSULE;
  capsule.set(length, 1);
  capsule[1 + length.length] = UDP_PAYLOADS;
  capsule.set(payload, 2 + length.length);
  return capsule;
}
