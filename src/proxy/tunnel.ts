/**
 * A flow whose bytes pass as they come: what policy tunnels, what is neither TLS nor HTTP, and what follows an
 * upgrade. What its client offers in TLS is read beside the relay without delaying it, for as long as a handshake
 * may take: a hello that is never finished would be kept for as long as its tunnel.
 */
import type { CloseReason } from "../core/close_reason.ts";
import { addMilliseconds } from "../core/instant.ts";
import { opposite, type Side } from "../core/side.ts";
import type { StreamObservation } from "../http/observation.ts";
import { type ClientHello, ClientHelloReader } from "../tls/client_hello.ts";
import type { Flow } from "./flow.ts";

/** Who is told of a ClientHello that passes; null where one is known already, or none is looked for. */
export type HelloListener = ((hello: ClientHello) => void) | null;

export class Tunnel {
  /** Reads what the client begins with, until that is known. */
  #peek: ClientHelloReader | null = null;
  #hasBegunHello = false;

  constructor(
    private readonly flow: Flow,
    /** What observes the tunnel that an upgrade made of the flow. */
    private readonly upgraded: StreamObservation | null,
    private readonly onHello: HelloListener,
  ) {}

  /** What was read ahead goes out first; an end that came before the tunnel is carried on after it. */
  begin(fromClient: Uint8Array, fromServer: Uint8Array): void {
    const { effects, ended } = this.flow;
    effects.disarm("idle");
    effects.disarm("tls_handshake");
    this.flow.arm("tunnel_idle", this.flow.config.tunnelIdleMs);
    if (fromClient.length > 0) effects.send("server", fromClient);
    if (fromServer.length > 0) effects.send("client", fromServer);
    if (ended.client) effects.end("server");
    if (ended.server) effects.end("client");
    if (this.upgraded !== null) this.#beginObserving(this.upgraded, fromServer);
    else if (this.onHello !== null) {
      this.#peek = new ClientHelloReader();
      this.#peekAt(fromClient);
    }
    this.#closeIfEnded();
  }

  /** Octets of a hello that is not whole. */
  get heldBytes(): number {
    return this.#hasBegunHello ? this.#peek?.bytes.length ?? 0 : 0;
  }

  received(side: Side, data: Uint8Array): void {
    this.flow.effects.send(opposite(side), data);
    this.upgraded?.received(side, data);
    if (side === "client") this.#peekAt(data);
  }

  ended(side: Side): void {
    this.flow.effects.end(opposite(side));
    this.upgraded?.ended(side);
    this.#closeIfEnded();
  }

  /** The flow ends: what observes it is told how. */
  closing(reason: CloseReason): void {
    this.upgraded?.closed({ orderly: reason === "complete", by: closedBy(reason) });
  }

  #beginObserving(stream: StreamObservation, fromServer: Uint8Array): void {
    const { ended } = this.flow;
    this.flow.protocol = stream.protocol;
    if (fromServer.length > 0) stream.received("server", fromServer);
    if (ended.client) stream.ended("client");
    if (ended.server) stream.ended("server");
  }

  /** What a client offers is on record whatever was decided; it has gone out before it is looked at. */
  #peekAt(data: Uint8Array): void {
    if (this.#peek === null || data.length === 0) return;
    const read = this.#peek.push(data);
    if (read.type === "more") {
      if (!this.#hasBegunHello) this.flow.arm("tls_handshake", this.flow.config.tlsHandshakeMs);
      this.#hasBegunHello = true;
      return;
    }
    if (this.#hasBegunHello) this.flow.effects.disarm("tls_handshake");
    this.#peek = null;
    if (read.type === "hello") this.onHello?.(read.hello);
  }

  /** `timeouts.tls_handshake` is over for a hello that had begun. */
  helloTimedOut(): void {
    this.#peek = null;
  }

  #closeIfEnded(): void {
    const { ended, tunnelNote } = this.flow;
    if (ended.client && ended.server) this.flow.close("complete", tunnelNote);
  }
}

/** `timeouts.tunnel_idle` is over: the flow as well, unless something has passed since it was armed. */
export function tunnelIdle(flow: Flow): void {
  const { tunnelIdleMs } = flow.config;
  const due = addMilliseconds(flow.lastActivity, tunnelIdleMs);
  if (flow.now < due) flow.effects.arm("tunnel_idle", due);
  else flow.close("idle_timeout", `No byte for ${tunnelIdleMs} ms (timeouts.tunnel_idle)`);
}

/** Who ended an upgraded flow otherwise than by ending it in order. */
function closedBy(reason: CloseReason): Side | "proxy" | null {
  if (reason === "complete") return null;
  return reason === "client_reset" ? "client" : reason === "server_reset" ? "server" : "proxy";
}
