/**
 * TLS over a `Conn`, either role. The runtime's TLSSocket has no backpressure of its own: it takes
 * all the ciphertext there is and keeps the cleartext in native memory. So it never sees the socket:
 * it stands on a `Feed`, which hands it one read at a time and stops when the flow stops reading.
 */
import type { Buffer } from "node:buffer";
import { Duplex } from "node:stream";
import { setImmediate } from "node:timers";
import tls from "node:tls";
import type { Secured, TransportFault } from "../core/session.ts";
import { certificateFault, chainOf } from "./certificate_diagnosis.ts";
import { type Conn, type ConnHandler, IGNORE_EVENTS } from "./conn.ts";
import { tlsFault } from "./faults.ts";
import { keepRead } from "./read_buffer.ts";
import { checkIdentity, checkNotExpired } from "./server_identity.ts";
import { catchUnreadableCertificate } from "./unreadable_certificate.ts";

const ignore = () => {};

/** The ciphertext side of a TLSSocket: a stream over a `Conn`. */
class Feed extends Duplex implements ConnHandler {
  transportEnded = false;
  /** Whether TLS has said anything to the peer. */
  written = false;
  /** Told of a transport fault at once: a TLSSocket with a write under way would keep it to itself. */
  onLost: (error: Error) => void = ignore;
  /** The transport has ended, and whatever TLS makes of it has been made. */
  onEnded: () => void = ignore;
  #begun = false;
  /** What came before the beginning, and so after what was read before. */
  #early: Uint8Array[] = [];
  #endedEarly = false;
  #writeDone: (() => void) | null = null;

  constructor(private readonly conn: Conn) {
    super({ allowHalfOpen: true, autoDestroy: false });
    conn.handler = this;
  }

  /** Starts with what was read before. */
  begin(preread: Uint8Array): void {
    if (this.destroyed) return;
    this.#begun = true;
    if (preread.length > 0) this.push(preread);
    for (const data of this.#early) this.push(data);
    this.#early = [];
    this.conn.setReading(true);
    if (this.#endedEarly) this.onEnd();
  }

  onData(data: Uint8Array): void {
    if (!this.#begun) {
      this.#early.push(data.slice());
      return;
    }
    this.push(data);
    // While the TLSSocket flows it has taken the ciphertext by now; otherwise it waits in the stream.
    if (this.readableLength > 0) keepRead(data);
  }

  /**
   * The transport ended. An end inside TLS (close_notify, RFC 8446 §6.1) that came with the last bytes
   * shows at the TLSSocket some ticks later; if none does, the peer or somebody between cut TLS off.
   */
  onEnd(): void {
    if (!this.#begun) {
      this.#endedEarly = true;
      return;
    }
    setImmediate(() => {
      this.transportEnded = true;
      if (!this.destroyed) this.push(null);
      setImmediate(() => this.onEnded());
    });
  }

  onDrain(): void {
    const done = this.#writeDone;
    this.#writeDone = null;
    done?.();
  }

  onFault(fault: TransportFault): void {
    const error = Object.assign(new Error(fault.detail), { code: fault.code });
    this.onLost(error);
    this.destroy(error);
  }

  onClosed(): void {
    if (!this.destroyed) this.destroy();
  }

  override _read(): void {}

  /**
   * The runtime writes one piece of ciphertext, waits for its callback and writes the next, so the queue of a
   * stream would be work for nothing; and it writes once more after the end, where a stream makes an error of it.
   */
  override write(chunk: Uint8Array, ...rest: unknown[]): boolean {
    const done = rest.at(-1);
    if (!this.destroyed) this._write(chunk, "", typeof done === "function" ? () => done() : ignore);
    return this.#writeDone === null;
  }

  override _write(chunk: Uint8Array, _encoding: string, done: () => void): void {
    this.written = true;
    this.conn.write(chunk);
    if (this.conn.congested) this.#writeDone = done;
    else done();
  }

  override _final(done: () => void): void {
    this.conn.end();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    done(error);
  }
}

export interface TlsCallbacks {
  secured(conn: TlsConn, info: Secured): void;
  failed(fault: TransportFault): void;
}

export class TlsConn implements Conn {
  handler: ConnHandler = IGNORE_EVENTS;
  #congested = false;
  #destroying = false;
  #faulted = false;
  #ended = false;

  constructor(private readonly raw: Conn, readonly socket: tls.TLSSocket, feed: Feed) {
    socket.on("data", (data: Uint8Array) => this.handler.onData(data));
    socket.on("end", () => {
      if (this.#ended || this.#faulted) return;
      this.#ended = true;
      this.handler.onEnd(feed.transportEnded);
    });
    socket.on("drain", () => {
      this.#congested = false;
      this.handler.onDrain();
    });
    const fault = (error: Error) => {
      if (this.#faulted) return;
      this.#faulted = true;
      this.handler.onFault(tlsFault(error));
    };
    socket.on("error", fault);
    feed.onLost = fault;
    socket.on("close", () => {
      this.raw.destroy();
      this.handler.onClosed();
    });
  }

  get pendingBytes(): number {
    return this.socket.writableLength + this.raw.pendingBytes;
  }

  get congested(): boolean {
    return this.#congested;
  }

  write(data: Uint8Array): void {
    if (this.socket.destroyed || this.socket.writableEnded) return;
    if (!this.socket.write(data)) this.#congested = true;
    if (this.socket.writableLength > 0) keepRead(data);
  }

  end(): void {
    if (!this.socket.destroyed && !this.socket.writableEnded) this.socket.end();
  }

  reset(): void {
    this.raw.reset();
    this.socket.destroy();
  }

  /** After `end` a few ticks later: the end of TLS is only then on its way, and waits for no peer. */
  destroy(): void {
    if (this.#destroying) return;
    this.#destroying = true;
    const destroy = () => {
      this.raw.destroy();
      this.socket.destroy();
    };
    if (this.socket.writableEnded && !this.socket.writableFinished) setImmediate(destroy);
    else destroy();
  }

  setReading(reading: boolean): void {
    this.raw.setReading(reading);
  }
}

/** Waits for the handshake of either role; gives a cancel. */
function handshake(
  raw: Conn,
  feed: Feed,
  socket: tls.TLSSocket,
  securedEvent: "secure" | "secureConnect",
  callbacks: TlsCallbacks,
  begin: () => void,
  extra: (socket: tls.TLSSocket) => Partial<Secured> | Error,
  giveUp: (fault: TransportFault) => void = () => raw.destroy(),
): () => void {
  let settled = false;
  const fail = (error: unknown) => {
    if (settled) return;
    settled = true;
    const fault = tlsFault(error);
    callbacks.failed(fault);
    giveUp(fault);
    socket.destroy();
  };
  if (securedEvent === "secureConnect") catchUnreadableCertificate(socket, fail);
  socket.on("error", fail);
  feed.onLost = fail;
  const closed = () => {
    if (settled) return;
    fail(Object.assign(new Error("The peer closed during the TLS handshake"), { code: "ECONNRESET" }));
  };
  socket.on("close", closed);
  // In the server's role the runtime would wait on.
  feed.onEnded = closed;
  socket.once(securedEvent, () => {
    if (settled) return;
    const more = extra(socket);
    if (more instanceof Error) {
      fail(more);
      return;
    }
    settled = true;
    socket.off("error", fail);
    socket.off("close", closed);
    // A function made here would keep what the handshake knew for as long as the connection lives.
    feed.onEnded = ignore;
    callbacks.secured(new TlsConn(raw, socket, feed), {
      alpn: typeof socket.alpnProtocol === "string" ? socket.alpnProtocol : null,
      version: socket.getProtocol() ?? "unknown",
      cipher: socket.getCipher()?.name ?? "unknown",
      resumed: socket.isSessionReused(),
      ...more,
    });
  });
  // Not before the TLSSocket has started, some ticks from now: a hello it refuses while it is still being set up
  // (TLS 1.1, say) is an exception inside the runtime that nobody can catch.
  setImmediate(() => {
    if (!settled) begin();
  });
  return () => {
    if (settled) return;
    settled = true;
    raw.destroy();
    socket.destroy();
  };
}

/** The server role, towards the client. `preread` is what was read of its ClientHello. */
export function secureClientSide(
  raw: Conn,
  options: {
    readonly context: tls.SecureContext;
    readonly alpn: readonly string[];
    readonly preread: Uint8Array;
    readonly certCache: "hit" | "miss";
  },
  callbacks: TlsCallbacks,
): () => void {
  const feed = new Feed(raw);
  const socket = new tls.TLSSocket(
    feed as never,
    {
      isServer: true,
      secureContext: options.context,
      allowHalfOpen: true,
      ...(options.alpn.length === 0 ? {} : { ALPNProtocols: [...options.alpn] }),
    } as tls.TLSSocketOptions,
  );
  const begin = () => feed.begin(options.preread);
  const extra = () => ({ certCache: options.certCache });
  return handshake(raw, feed, socket, "secure", callbacks, begin, extra, (fault) => {
    if (fault.kind === "tls" && !feed.written) refuseHello(raw, fault);
    else raw.destroy();
  });
}

/** In place of a handshake that cannot begin, for want of a leaf: the connection is not left open. */
export function refuseClientSide(raw: Conn, fault: TransportFault, callbacks: TlsCallbacks): () => void {
  let cancelled = false;
  setImmediate(() => {
    if (cancelled) return;
    callbacks.failed(fault);
    refuseHello(raw, fault);
  });
  return () => {
    cancelled = true;
    raw.destroy();
  };
}

const ALERT_LINGER_MS = 1_000;

/**
 * Over a stream the runtime keeps to itself why it refuses a hello, and the client would see nothing but an
 * end. While nothing is encrypted yet, the alert (RFC 8446 §6) can be said for it.
 */
function refuseHello(raw: Conn, fault: TransportFault): void {
  const protocolVersion = 70;
  const handshakeFailure = 40;
  const noApplicationProtocol = 120;
  const alert = fault.code === "ERR_SSL_NO_APPLICATION_PROTOCOL"
    ? noApplicationProtocol
    : /SupportedVersions|Tls1\dNot/.test(fault.detail)
    ? protocolVersion
    : handshakeFailure;
  const linger = setTimeout(() => raw.destroy(), ALERT_LINGER_MS);
  raw.handler = { ...IGNORE_EVENTS, onEnd: () => raw.destroy(), onClosed: () => clearTimeout(linger) };
  raw.write(Uint8Array.of(21, 3, 3, 0, 2, 2, alert));
  raw.end();
  raw.setReading(true);
}

/** Of the range for documentation (RFC 5737): never dialled, it only stands where a name would be sent. */
const UNSENT_ADDRESS = "192.0.2.1";

/** The client role, towards the server; the certificate is verified for `host`, unless `verify` is false. */
export function secureServerSide(
  raw: Conn,
  options: {
    readonly context: tls.SecureContext;
    readonly host: string;
    readonly sendSni: boolean;
    readonly alpn: readonly string[];
    readonly verify: boolean;
    /** Of an earlier connection to the same host, verified as this one is to be. */
    readonly session: Buffer | null;
  },
  callbacks: TlsCallbacks,
): () => void {
  const feed = new Feed(raw);
  const isIp = options.host.includes(":") || /^[0-9.]+$/.test(options.host);
  const socket = tls.connect(
    {
      socket: feed,
      secureContext: options.context,
      // The runtime sends any name it is given; an address goes without SNI (RFC 6066 §3), and the name is
      // verified all the same.
      ...(options.sendSni
        ? { host: options.host, servername: isIp ? "" : options.host }
        : { host: UNSENT_ADDRESS, servername: "" }),
      checkServerIdentity: (_host: string, certificate: tls.DetailedPeerCertificate) => {
        if (!options.verify) return undefined;
        // A session may outlive the certificate that it began with.
        return checkIdentity(options.host, certificate) ??
          (socket.isSessionReused() ? checkNotExpired(certificate, Date.now()) : undefined);
      },
      ...(options.session === null ? {} : { session: options.session }),
      rejectUnauthorized: options.verify,
      allowHalfOpen: true,
      ...(options.alpn.length === 0 ? {} : { ALPNProtocols: [...options.alpn] }),
    } as unknown as tls.ConnectionOptions,
  );
  const begin = () => feed.begin(new Uint8Array(0));
  return handshake(raw, feed, socket, "secureConnect", callbacks, begin, (secured) => {
    if (!options.verify) return { unverified: whatIsWrong(options.host, secured) };
    // Checked here too, whatever the platform did: no request goes to a server that was not verified.
    if (secured.authorized !== true) {
      return Object.assign(new Error("the certificate was not verified"), {
        code: `${secured.authorizationError ?? "CERT_NOT_VERIFIED"}`,
      });
    }
    return {};
  });
}

/** Of a certificate that was taken without being verified; null: nothing. */
function whatIsWrong(host: string, socket: tls.TLSSocket): string | null {
  if (socket.authorized) {
    const fault = checkIdentity(host, socket.getPeerCertificate());
    return fault === undefined ? null : fault.message;
  }
  const fault = certificateFault(chainOf(socket), Date.now());
  return fault === null ? String(socket.authorizationError) : `${fault.code}: ${fault.detail}`;
}
