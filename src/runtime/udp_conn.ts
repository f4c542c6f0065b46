/**
 * A UDP socket as a `Conn` whose every write and every read is one datagram of one peer. It stands on `node:dgram`,
 * which knows connected sockets by name only: anybody may send to it, so what comes from elsewhere is dropped here.
 * Nor can it be paused: what may not pass is dropped by the session, never kept.
 */
import dgram from "node:dgram";
import { formatIpv6, readIpv6 } from "../core/ip_address.ts";
import type { TransportFault } from "../core/session.ts";
import { type Conn, type ConnHandler, IGNORE_EVENTS } from "./conn.ts";
import { transportFault } from "./faults.ts";
import type { Address } from "./resolver.ts";

/** From so many bytes on that the system has not taken yet a sender has to wait. */
const HIGH_WATER_BYTES = 64 * 1024;
/** … or so many datagrams: the empty ones cost something too. */
const QUEUE_MAX = 1024;

export interface UdpCallbacks {
  opened(conn: Conn): void;
  failed(fault: TransportFault): void;
}

/** Binds a socket for datagrams to and from that peer alone. Gives a cancel; after it no callback comes. */
export function openUdp({ address, family }: Address, port: number, callbacks: UdpCallbacks): () => void {
  const local = family === 6 ? "::" : "0.0.0.0";
  let over = false;
  const failed = (fault: TransportFault) => {
    if (over) return;
    over = true;
    callbacks.failed(fault);
  };
  const missing = missingGrant(local, address, port);
  if (missing !== null) {
    failed({ kind: "other", code: "NotCapable", detail: `UDP needs --allow-net=${missing}` });
    return () => {};
  }
  const socket = dgram.createSocket(family === 6 ? "udp6" : "udp4");
  const onError = (error: Error) => {
    failed(transportFault(error));
    close(socket);
  };
  socket.once("error", onError);
  socket.bind(0, local, () => {
    if (over) return;
    over = true;
    socket.off("error", onError);
    callbacks.opened(new UdpConn(socket, address, port));
  });
  return () => {
    if (over) return;
    over = true;
    close(socket);
  };
}

class UdpConn implements Conn {
  handler: ConnHandler = IGNORE_EVENTS;
  /** What is being sent, and what waits behind it. */
  readonly #queue: Uint8Array[] = [];
  #pendingBytes = 0;
  #congested = false;
  #ending = false;
  #closed = false;
  readonly #peer: string;

  constructor(
    private readonly socket: dgram.Socket,
    private readonly address: string,
    readonly port: number,
  ) {
    this.#peer = canonical(address);
    socket.on("message", (data, from) => {
      if (from.port === port && canonical(from.address) === this.#peer) this.handler.onData(data);
    });
    socket.on("error", (error: Error) => {
      this.handler.onFault(transportFault(error));
      this.destroy();
    });
    socket.on("close", () => this.handler.onClosed());
  }

  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  get congested(): boolean {
    return this.#congested;
  }

  write(data: Uint8Array): void {
    if (this.#closed || this.#ending) return;
    this.#pendingBytes += data.length;
    if (this.#queue.length >= QUEUE_MAX || this.#pendingBytes > HIGH_WATER_BYTES) this.#congested = true;
    this.#queue.push(data.slice());
    if (this.#queue.length === 1) this.#sendNext();
  }

  /** One after the other: sends that are under way at once leave the runtime in the opposite order. */
  #sendNext(): void {
    const [data] = this.#queue;
    if (data === undefined || this.#closed) return;
    // A datagram that the system refuses, as one too long for the way, is lost like any that the network loses.
    this.socket.send(data, this.port, this.address, () => {
      this.#queue.shift();
      this.#pendingBytes -= data.length;
      if (this.#closed) return;
      if (this.#queue.length > 0) this.#sendNext();
      else if (this.#ending) this.destroy();
      else if (this.#congested) {
        this.#congested = false;
        this.handler.onDrain();
      }
    });
  }

  /** There is no half of a socket for datagrams: it closes when everything written is out. */
  end(): void {
    this.#ending = true;
    if (this.#queue.length === 0) this.destroy();
  }

  reset(): void {
    this.destroy();
  }

  destroy(): void {
    if (this.#closed) return;
    this.#closed = true;
    close(this.socket);
  }

  setReading(): void {}
}

function close(socket: dgram.Socket): void {
  try {
    socket.close();
  } catch {
    // It was never open, or is closed already.
  }
}

/** One spelling for each address. */
function canonical(address: string): string {
  const bytes = readIpv6(address);
  return bytes === null ? address : formatIpv6(bytes);
}

/** The runtime throws for want of a grant where nobody can catch it, so the grant is looked for before. */
function missingGrant(local: string, address: string, port: number): string | null {
  for (const host of [`${bracketed(local)}:0`, `${bracketed(address)}:${port}`]) {
    try {
      if (Deno.permissions.querySync({ name: "net", host }).state !== "granted") return host;
    } catch {
      // An address that no grant can name, as one with a zone: binding tells what there is to tell.
    }
  }
  return null;
}

function bracketed(address: string): string {
  return address.includes(":") ? `[${address}]` : address;
}
