/**
 * TLS without cryptography: as many turns as the real one, each a line of text, then every octet veiled, so
 * that bytes which bypass the layer, or pass it twice, are noticed by whoever reads them.
 *
 *   client → proxy   ClientHello (a real one: the session reads it), then `finished`
 *   proxy → client   `hello HOST ALPN`: whom the leaf is for and what was chosen; `-` for none
 *   proxy → server   `hello HOST ALPN,…`: whom we ask for and what we offer
 *   server → proxy   `hello ALPN`
 *   any              `alert CODE`: the sender gives up
 *
 * What the proxy read ahead of a client must come back whole: `preread` begins with the very ClientHello.
 */
import type { SecureClient, Secured, SecureServer, TransportFault } from "../core/session.ts";
import { type Conn, type ConnHandler, IGNORE_EVENTS } from "../runtime/conn.ts";
import type { SecureCallbacks } from "../runtime/flow_driver.ts";
import { latin1, textOf, veil } from "./bytes.ts";
import type { SimClock } from "./clock.ts";
import type { LinkEnd, Tap } from "./link.ts";
import type { Random } from "./random.ts";

const LINE_BYTES_MAX = 1000;

export function tlsLine(...words: readonly string[]): Uint8Array {
  return latin1(`${words.join(" ")}\n`);
}

/** What is given to the driver once a side is secured. */
export class SimTlsConn implements Conn {
  handler: ConnHandler = IGNORE_EVENTS;
  tap: Tap | null = null;
  #late: Uint8Array[] = [];

  constructor(
    private readonly raw: LinkEnd,
    private readonly clock: SimClock,
    private readonly random: Random,
  ) {
    raw.handler = {
      onData: (data) => this.#read(veil(data)),
      onEnd: () => {
        this.#deliverLate();
        this.handler.onEnd(this.raw.endsAbruptly);
      },
      onDrain: () => this.handler.onDrain(),
      onFault: (fault) => this.handler.onFault(fault),
      onClosed: () => this.handler.onClosed(),
    };
  }

  get pendingBytes(): number {
    return this.raw.pendingBytes;
  }

  get congested(): boolean {
    return this.raw.congested;
  }

  write(data: Uint8Array): void {
    if (!this.raw.isClosed) this.tap?.written(data.slice());
    this.raw.write(veil(data));
  }

  end(): void {
    this.raw.end();
  }

  reset(): void {
    this.#late = [];
    this.raw.reset();
  }

  destroy(): void {
    this.#late = [];
    this.raw.destroy();
  }

  setReading(reading: boolean): void {
    this.raw.setReading(reading);
  }

  /** Veiled bytes that came together with the end of the handshake. */
  begin(rest: Uint8Array): void {
    if (rest.length === 0) return;
    this.#late.push(veil(rest));
    this.clock.after(0, () => this.#deliverLate());
  }

  /** A TLS stack hands out what it has decrypted, in pieces of its own, also after reading was stopped. */
  #read(data: Uint8Array): void {
    this.#deliverLate();
    if (data.length < 2 || !this.random.chance(0.2)) {
      this.#deliver(data);
      return;
    }
    const cut = this.random.between(1, data.length - 1);
    this.#late.push(data.subarray(cut));
    this.clock.after(0, () => this.#deliverLate());
    this.#deliver(data.subarray(0, cut));
  }

  #deliverLate(): void {
    const late = this.#late;
    this.#late = [];
    for (const data of late) this.#deliver(data);
  }

  #deliver(data: Uint8Array): void {
    if (this.raw.isClosed) return;
    this.tap?.received(data.slice());
    this.handler.onData(data);
    data.fill(0xee);
  }
}

export interface TlsWorld {
  readonly clock: SimClock;
  readonly random: Random;
  readonly tap: Tap | null;
}

/** Our server role, towards the client. `hello` is what the client sent; `mismatch` tells that it was not given back. */
export function secureClientSide(
  raw: LinkEnd,
  options: SecureClient,
  callbacks: SecureCallbacks,
  world: TlsWorld & { readonly hello: Uint8Array | null; mismatch(detail: string): void },
): () => void {
  const { preread } = options;
  const { hello } = world;
  if (hello === null || !startsWith(preread, hello)) {
    world.mismatch(`${preread.length} bytes were given back of a ClientHello of ${hello?.length ?? 0}`);
  }
  const alpn = options.alpn[0] ?? null;
  return handshake(raw, callbacks, world, {
    says: tlsLine("hello", options.host, alpn ?? "-"),
    alreadyRead: preread.subarray(hello?.length ?? preread.length),
    understands: ([word]) => word === "finished" ? { alpn, certCache: "miss" } : null,
  });
}

/** Our client role, towards the server. */
export function secureServerSide(
  raw: LinkEnd,
  options: SecureServer,
  callbacks: SecureCallbacks,
  world: TlsWorld,
): () => void {
  const offers = options.alpn.length === 0 ? "-" : options.alpn.join(",");
  return handshake(raw, callbacks, world, {
    says: tlsLine("hello", options.host, offers),
    alreadyRead: new Uint8Array(0),
    understands: ([word, alpn]) =>
      word === "hello" && alpn !== undefined ? { alpn: alpn === "-" ? null : alpn } : null,
  });
}

interface Turn {
  readonly says: Uint8Array;
  readonly alreadyRead: Uint8Array;
  /** Null: not what belongs here. */
  understands(words: readonly string[]): Pick<Secured, "alpn" | "certCache"> | null;
}

/** Says its line and waits for the peer's; like the real one it owns the connection meanwhile. */
function handshake(raw: LinkEnd, callbacks: SecureCallbacks, world: TlsWorld, turn: Turn): () => void {
  let isOver = false;
  let read = textOf(turn.alreadyRead);
  const fail = (fault: TransportFault) => {
    if (isOver) return;
    isOver = true;
    raw.handler = IGNORE_EVENTS;
    raw.destroy();
    callbacks.failed(fault);
  };
  const feed = (data: Uint8Array) => {
    if (isOver) return;
    read += textOf(data);
    const end = read.indexOf("\n");
    if (end < 0) {
      if (read.length > LINE_BYTES_MAX) fail(tlsFault("ERR_SSL_UNEXPECTED_MESSAGE"));
      return;
    }
    const words = read.slice(0, end).split(" ");
    if (words[0] === "alert") {
      fail(tlsFault(words[1] ?? "ERR_SSL_HANDSHAKE_FAILURE"));
      return;
    }
    const agreed = turn.understands(words);
    if (agreed === null) {
      fail(tlsFault("ERR_SSL_UNEXPECTED_MESSAGE"));
      return;
    }
    isOver = true;
    const conn = new SimTlsConn(raw, world.clock, world.random);
    conn.tap = world.tap;
    conn.begin(latin1(read.slice(end + 1)));
    callbacks.secured(conn, { ...agreed, version: "TLSv1.3", cipher: "TLS_SIMULATED" });
  };
  raw.handler = {
    onData: feed,
    onEnd: () => fail(CLOSED_EARLY),
    onDrain() {},
    onFault: fail,
    onClosed: () => fail(CLOSED_EARLY),
  };
  raw.write(turn.says);
  if (read !== "") world.clock.after(0, () => feed(new Uint8Array(0)));
  raw.setReading(true);
  return () => {
    if (isOver) return;
    isOver = true;
    raw.destroy();
  };
}

const CLOSED_EARLY: TransportFault = {
  kind: "reset",
  code: "ECONNRESET",
  detail: "The peer closed during the TLS handshake",
};

function tlsFault(code: string): TransportFault {
  return { kind: "tls", code, detail: `The handshake failed with ${code}` };
}

function startsWith(data: Uint8Array, start: Uint8Array): boolean {
  return data.length >= start.length && start.every((octet, index) => data[index] === octet);
}
