/** The phase of a CONNECT-UDP (RFC 9298) whose target has a socket: how it begins, and what ends it. */
import type { Side } from "../core/side.ts";
import { type DatagramCounts, DatagramRelay } from "./datagram_relay.ts";
import type { Flow } from "./flow.ts";

export class DatagramTunnel {
  readonly #relay: DatagramRelay;

  constructor(private readonly flow: Flow) {
    this.#relay = new DatagramRelay(flow.effects);
  }

  get heldBytes(): number {
    return this.#relay.heldBytes;
  }

  get counts(): DatagramCounts {
    return this.#relay.counts;
  }

  /** What the client sent ahead is read first. */
  begin(): void {
    this.flow.effects.resume("client");
    this.flow.arm("tunnel_idle", this.flow.config.tunnelIdleMs);
    const held = this.flow.ahead.take("client");
    if (held.length > 0) this.received("client", held);
    if (this.flow.ended.client && this.flow.state.phase !== "closed") this.ended("client");
  }

  received(side: Side, data: Uint8Array): void {
    const fault = this.#relay.received(side, data);
    if (fault === null) return;
    // RFC 9297 §3.3: the stream is as malformed as its capsules.
    this.flow.effects.reset("client");
    this.flow.close("protocol_error", `The client sent ${fault}`);
  }

  ended(side: Side): void {
    if (side === "server") return;
    if (this.#relay.isWithinCapsule) this.flow.close("client_reset", "The client ended within a capsule");
    else this.flow.close("complete");
  }
}
