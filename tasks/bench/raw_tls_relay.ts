/**
 * Baseline of the benchmark: TLS ended on both sides and the cleartext relayed unread, with one fixed
 * certificate and no log. What an intercepting proxy on this runtime can at best reach.
 *
 *     deno run --allow-net --allow-read=DIR tasks/bench/raw_tls_relay.ts VARIANT CERT KEY CA [ALPN]
 *
 * - `node`: `TLSSocket` straight on the socket, both sides. Has no backpressure: it buffers what is not read
 *   in native memory, a whole download if need be.
 * - `duplex`: `TLSSocket` on a stream over the socket, both sides, and a side is not read while the other
 *   cannot write. Does what `src/runtime/tls_conn.ts` has to do and no more: the fair peer.
 * - `starttls`: client side as `duplex` but over `Deno.Conn`, server side `Deno.connect` and `Deno.startTls`.
 *
 * Prints its port; ends when standard input does.
 */
import net from "node:net";
import { Duplex } from "node:stream";
import tls from "node:tls";
import { ESTABLISHED, readConnectHead } from "./connect_head.ts";

const BUFFER_BYTES = 64 << 10;

interface Materials {
  readonly leaf: tls.SecureContext;
  readonly trust: tls.SecureContext;
  readonly caPem: string;
  /** The one protocol that both sides speak. */
  readonly alpn: string;
}

/** A TLSSocket's ciphertext side over a socket that can be paused. */
class Feed extends Duplex {
  constructor(readonly socket: net.Socket, preread: Uint8Array) {
    super({ allowHalfOpen: true });
    socket.on("data", (data: Uint8Array) => this.push(data));
    socket.on("end", () => this.push(null));
    socket.on("error", (error: Error) => this.destroy(error));
    socket.on("close", () => this.destroy());
    // The TLSSocket listens too, but not to its very end; a reset must not end the baseline.
    this.on("error", () => {});
    if (preread.length > 0) this.push(preread);
  }

  override _read(): void {}

  override _write(chunk: Uint8Array, _encoding: string, done: () => void): void {
    if (this.socket.write(chunk)) done();
    else this.socket.once("drain", done);
  }

  override _final(done: () => void): void {
    this.socket.end();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.socket.destroy();
    done(error);
  }
}

/** The same over a `Deno.Conn`: reads one buffer ahead. */
class ConnFeed extends Duplex {
  #reading = false;

  constructor(readonly conn: Deno.Conn, preread: Uint8Array) {
    super({ allowHalfOpen: true });
    this.on("error", () => {});
    if (preread.length > 0) this.push(preread);
  }

  override _read(): void {
    if (this.#reading) return;
    this.#reading = true;
    const buffer = new Uint8Array(BUFFER_BYTES);
    this.conn.read(buffer).then((count) => {
      this.#reading = false;
      this.push(count === null ? null : buffer.subarray(0, count));
    }, (error) => this.destroy(error));
  }

  override _write(chunk: Uint8Array, _encoding: string, done: (error?: Error) => void): void {
    writeAll(this.conn, chunk).then(() => done(), done);
  }

  override _final(done: (error?: Error) => void): void {
    this.conn.closeWrite().then(() => done(), done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    closeQuietly(this.conn);
    done(error);
  }
}

async function writeAll(to: Deno.Conn, data: Uint8Array): Promise<void> {
  for (let written = 0; written < data.length;) written += await to.write(data.subarray(written));
}

function closeQuietly(conn: Deno.Conn): void {
  try {
    conn.close();
  } catch {
    // Closed already.
  }
}

function secureClient(ciphertext: Duplex, { leaf, alpn }: Materials): tls.TLSSocket {
  return new tls.TLSSocket(ciphertext as never, {
    isServer: true,
    secureContext: leaf,
    ALPNProtocols: [alpn],
    allowHalfOpen: true,
  } as tls.TLSSocketOptions);
}

function secureServer(ciphertext: Duplex, hostname: string, { trust, alpn }: Materials): tls.TLSSocket {
  return tls.connect(
    {
      socket: ciphertext,
      secureContext: trust,
      host: hostname,
      servername: hostname,
      ALPNProtocols: [alpn],
      allowHalfOpen: true,
    } as tls.ConnectionOptions,
  );
}

/** Relays cleartext; `pause` and `resume` are of whatever has to stop for `from` to stop. */
function pipe(from: Duplex, to: Duplex, gate: { pause(): void; resume(): void } = from): void {
  from.on("data", (data: Uint8Array) => {
    if (!to.write(data)) gate.pause();
  });
  to.on("drain", () => gate.resume());
  from.on("end", () => to.end());
  from.on("error", () => to.destroy());
  from.on("close", () => to.destroy());
}

function acceptNode(ends: (socket: net.Socket, server: net.Socket, hostname: string) => void): net.Server {
  return net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    let seen: Uint8Array = new Uint8Array(0);
    socket.on("error", () => socket.destroy());
    const onData = (data: Uint8Array) => {
      const joined = new Uint8Array(seen.length + data.length);
      joined.set(seen);
      joined.set(data, seen.length);
      seen = joined;
      const head = readConnectHead(seen);
      if (head === null) return;
      socket.off("data", onData);
      socket.pause();
      const server = net.connect({
        host: head.hostname,
        port: head.port,
        allowHalfOpen: true,
        noDelay: true,
      });
      server.on("error", () => socket.destroy());
      server.once("connect", () => {
        // What the load sends ahead of the answer would be lost here; it sends nothing.
        socket.write(ESTABLISHED);
        ends(socket, server, head.hostname);
      });
    };
    socket.on("data", onData);
  });
}

function serveNode(materials: Materials): net.Server {
  return acceptNode((socket, serverSocket, hostname) => {
    const server = secureServer(serverSocket, hostname, materials);
    const client = secureClient(socket, materials);
    pipe(client, server);
    pipe(server, client);
    socket.resume();
  });
}

function serveDuplex(materials: Materials): net.Server {
  return acceptNode((socket, serverSocket, hostname) => {
    const server = secureServer(new Feed(serverSocket, new Uint8Array(0)), hostname, materials);
    const client = secureClient(new Feed(socket, new Uint8Array(0)), materials);
    pipe(client, server, socket);
    pipe(server, client, serverSocket);
    socket.resume();
  });
}

async function serveStartTls(materials: Materials): Promise<number> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serve = async (conn: Deno.TcpConn) => {
    conn.setNoDelay(true);
    const buffer = new Uint8Array(4096);
    let filled = 0;
    let head = null;
    while (head === null) {
      const count = await conn.read(buffer.subarray(filled));
      if (count === null) return conn.close();
      filled += count;
      head = readConnectHead(buffer.subarray(0, filled));
    }
    const { hostname, port, rest } = head;
    // Beside startTls, Deno.connect waits 50 ms for a name to resolve; the baseline is to be at its best.
    const plain = await Deno.connect({ hostname: hostname === "localhost" ? "127.0.0.1" : hostname, port });
    plain.setNoDelay(true);
    await writeAll(conn, ESTABLISHED);
    const client = secureClient(new ConnFeed(conn, rest), materials);
    client.on("error", () => client.destroy());
    const server = await Deno.startTls(plain, {
      hostname,
      caCerts: [materials.caPem],
      alpnProtocols: [materials.alpn],
    });
    client.on("close", () => closeQuietly(server));
    client.on("end", () => void server.closeWrite().catch(() => {}));
    // Writes to the server are chained, and the client is not read while one is under way.
    let pending = 0;
    let chain = Promise.resolve();
    client.on("data", (data: Uint8Array) => {
      if (++pending === 1) client.pause();
      chain = chain.then(() => writeAll(server, data)).then(() => {
        if (--pending === 0) client.resume();
      }, () => void client.destroy());
    });
    for (;;) {
      const chunk = new Uint8Array(BUFFER_BYTES);
      const count = await server.read(chunk);
      if (count === null) break;
      if (!client.write(chunk.subarray(0, count))) {
        await new Promise((resolve) => {
          client.once("drain", resolve);
          client.once("close", resolve);
        });
      }
    }
    client.end();
  };
  (async () => {
    for await (const conn of listener) serve(conn).catch(() => closeQuietly(conn));
  })();
  return await Promise.resolve(listener.addr.port);
}

function listen(server: net.Server): Promise<number> {
  return new Promise((resolve) => {
    server.listen({ host: "127.0.0.1", port: 0, backlog: 4096 }, () => {
      resolve((server.address() as net.AddressInfo).port);
    });
  });
}

async function main(): Promise<void> {
  const [variant = "", certPath = "", keyPath = "", caPath = "", alpn = "http/1.1"] = Deno.args;
  const caPem = Deno.readTextFileSync(caPath);
  const materials: Materials = {
    leaf: tls.createSecureContext({
      cert: Deno.readTextFileSync(certPath),
      key: Deno.readTextFileSync(keyPath),
    }),
    trust: tls.createSecureContext({ ca: caPem }),
    caPem,
    alpn,
  };
  let port: number;
  if (variant === "node") port = await listen(serveNode(materials));
  else if (variant === "duplex") port = await listen(serveDuplex(materials));
  else if (variant === "starttls") port = await serveStartTls(materials);
  else throw new Error(`There is no variant ${JSON.stringify(variant)}; there are node, duplex, starttls`);
  console.log(JSON.stringify({ port }));
  Deno.stdin.readable.pipeTo(new WritableStream()).then(() => Deno.exit(0));
}

if (import.meta.main) await main();
