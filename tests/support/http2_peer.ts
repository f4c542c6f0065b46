/**
 * A peer of HTTP/2 that says exactly the frames it is told to, valid or not, over a socket: for what no
 * library lets a program say. It acknowledges SETTINGS and PING by itself unless told otherwise, and
 * counts and describes what it hears.
 */
import * as net from "node:net";
import * as tls from "node:tls";
import { opposite, type Side } from "../../src/core/side.ts";
import { encodePingAck, encodeSettings, encodeSettingsAck } from "../../src/http2/frame_writer.ts";
import { CLIENT_PREFACE } from "../../src/http2/frames.ts";
import type { Setting } from "../../src/http2/settings.ts";
import type { Certificate } from "./certificates.ts";
import { type Heard, Http2Ear } from "./http2_ear.ts";

export interface Http2PeerOptions {
  readonly settings?: readonly Setting[];
  /** Whether SETTINGS and PING are acknowledged; true. */
  readonly acknowledges?: boolean;
  readonly onHeard?: (heard: Heard, peer: Http2Peer) => void;
}

export class Http2Peer {
  /** How many frames of each type were heard. */
  readonly counts: Record<string, number> = {};
  /** The highest stream that was heard of. */
  highestStream = 0;
  goaway: string | null = null;
  contentBytes = 0;
  closed = false;
  readonly done: Promise<void>;
  readonly #ear: Http2Ear;
  readonly #waiting = new Set<() => void>();
  readonly #heard: string[] = [];

  constructor(readonly socket: net.Socket, role: Side, private readonly options: Http2PeerOptions = {}) {
    this.#ear = new Http2Ear(opposite(role));
    const { promise, resolve } = Promise.withResolvers<void>();
    this.done = promise;
    socket.on("data", (data: Uint8Array) => {
      this.#ear.hear(data, (heard) => this.#hear(heard));
      this.#wake();
    });
    socket.on("error", () => {});
    const over = () => {
      this.closed = true;
      this.#wake();
      resolve();
    };
    socket.on("end", over);
    socket.on("close", over);
    if (role === "client") this.send(CLIENT_PREFACE);
    this.send(encodeSettings(options.settings ?? []));
  }

  /** False where the socket asks for patience. */
  send(...frames: readonly Uint8Array[]): boolean {
    let ready = true;
    for (const frame of frames) if (!this.socket.destroyed) ready = this.socket.write(frame);
    return ready;
  }

  /** Waits until the socket takes more, or the connection is closed. */
  async flushed(): Promise<void> {
    if (this.socket.destroyed || !this.socket.writableNeedDrain) return;
    await Promise.race([
      new Promise<void>((resolve) => this.socket.once("drain", () => resolve())),
      this.done,
    ]);
  }

  /** Waits until `met` holds; false where the connection was closed before. It is looked at after each read. */
  async until(met: () => boolean): Promise<boolean> {
    while (!met()) {
      if (this.closed) return false;
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
    return true;
  }

  /** Waits until it has heard something that begins so, from the beginning on. */
  async hears(beginning: string): Promise<boolean> {
    return await this.until(() => this.#heard.some((said) => said.startsWith(beginning)));
  }

  /** All that was heard, DATA excepted, up to some thousand. */
  get heard(): readonly string[] {
    return this.#heard;
  }

  close(): void {
    this.socket.destroy();
  }

  #hear(heard: Heard): void {
    const { said, type, streamId, content, frame } = heard;
    this.counts[type] = (this.counts[type] ?? 0) + 1;
    this.contentBytes += content.length;
    if (type === "HEADERS") this.highestStream = Math.max(this.highestStream, streamId);
    if (type !== "DATA" && this.#heard.length < 5000) this.#heard.push(said);
    if (frame?.type === "goaway") this.goaway = said;
    if (this.options.acknowledges !== false) {
      if (frame?.type === "settings" && !frame.ack) this.send(encodeSettingsAck());
      if (frame?.type === "ping" && !frame.ack) this.send(encodePingAck(frame.opaque));
    }
    this.options.onHeard?.(heard, this);
  }

  #wake(): void {
    for (const wake of [...this.#waiting]) {
      this.#waiting.delete(wake);
      wake();
    }
  }
}

export interface RawHttp2Origin {
  readonly port: number;
  /** The peer of the next connection that nobody has asked for yet. */
  next(): Promise<Http2Peer>;
  close(): Promise<void>;
}

/** A server whose connections are peers of the test's own. */
export async function startRawHttp2Origin(
  certificate: Certificate,
  options: Http2PeerOptions = {},
): Promise<RawHttp2Origin> {
  const sockets = new Set<net.Socket>();
  const peers: Http2Peer[] = [];
  const waiting: ((peer: Http2Peer) => void)[] = [];
  const server = tls.createServer(
    { cert: certificate.certPem, key: certificate.keyPem, ALPNProtocols: ["h2"] },
    (socket) => {
      const peer = new Http2Peer(socket, "server", options);
      const wanted = waiting.shift();
      if (wanted === undefined) peers.push(peer);
      else wanted(peer);
    },
  );
  server.on("connection", (socket: net.Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => {});
  });
  server.on("tlsClientError", () => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as net.AddressInfo).port,
    next: () => {
      const peer = peers.shift();
      return peer === undefined ? new Promise((resolve) => waiting.push(resolve)) : Promise.resolve(peer);
    },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

/** TLS with ALPN h2 to `localhost:port` through the proxy at `proxy`, whose CA is `ca`. */
export async function connectThrough(
  proxy: { readonly host: string; readonly port: number },
  port: number,
  ca: string,
): Promise<tls.TLSSocket> {
  const raw = net.connect({ host: proxy.host, port: proxy.port, noDelay: true });
  raw.on("error", () => {});
  raw.write(`CONNECT localhost:${port} HTTP/1.1\r\nHost: localhost:${port}\r\n\r\n`);
  let head = "";
  await new Promise<void>((resolve, reject) => {
    const onData = (data: Uint8Array) => {
      head += new TextDecoder("latin1").decode(data);
      if (!head.includes("\r\n\r\n")) return;
      raw.off("data", onData);
      if (head.startsWith("HTTP/1.1 200 ")) resolve();
      else reject(new Error(head));
    };
    raw.on("data", onData);
    raw.on("close", () => reject(new Error(`CONNECT ended: ${head}`)));
  });
  raw.pause();
  const socket = tls.connect({ socket: raw, ca, servername: "localhost", ALPNProtocols: ["h2"] });
  await new Promise<void>((resolve, reject) => {
    socket.once("secureConnect", () => resolve());
    socket.once("error", reject);
  });
  return socket;
}
