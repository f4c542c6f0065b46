import { assertEquals } from "@std/assert";
import * as net from "node:net";
import * as tls from "node:tls";
import type { TransportFault } from "../../src/core/session.ts";
import { IGNORE_EVENTS } from "../../src/runtime/conn.ts";
import { TcpConn } from "../../src/runtime/tcp_conn.ts";
import { refuseClientSide, secureClientSide, TlsConn } from "../../src/runtime/tls_conn.ts";
import { makeSelfSigned } from "../support/certificates.ts";

const { certPem: cert, keyPem: key } = makeSelfSigned({ names: ["localhost"] });
const context = tls.createSecureContext({ cert, key });

/** What becomes of the client's side of one connection, secured with `preread` in hand. */
async function secureOne(
  preread: Uint8Array,
  client: (port: number) => net.Socket,
  alpn: readonly string[] = [],
): Promise<{ conn: TlsConn | TransportFault; socket: net.Socket; close: () => void }> {
  const { promise, resolve } = Promise.withResolvers<TlsConn | TransportFault>();
  const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    const conn = TcpConn.accepted(socket);
    conn.setReading(false);
    const options = { context, alpn, preread, certCache: "miss" } as const;
    secureClientSide(conn, options, { secured: resolve, failed: resolve });
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const socket = client((server.address() as net.AddressInfo).port);
  socket.on("error", () => {});
  const conn = await promise;
  return {
    conn,
    socket,
    close: () => {
      if (conn instanceof TlsConn) conn.destroy();
      socket.destroy();
      server.close();
    },
  };
}

/** TLS 1.1, one cipher suite, no extensions: what the TLS library refuses at its first look. */
function oldHello(): Uint8Array {
  const body = [3, 2, ...new Array<number>(32).fill(7), 0, 0, 2, 0xc0, 0x13, 1, 0];
  const handshake = [1, 0, 0, body.length, ...body];
  return Uint8Array.from([22, 3, 1, 0, handshake.length, ...handshake]);
}

Deno.test("secureClientSide fails a hello of TLS 1.1 that was read before, and the process lives", async () => {
  const { conn, close } = await secureOne(oldHello(), (port) => net.connect(port, "127.0.0.1"));
  if (conn instanceof TlsConn) throw new Error("TLS 1.1 was accepted");
  assertEquals(conn.kind, "tls");
  close();
});

Deno.test("secureClientSide tells a client that it refuses why, in an alert, and ends", async () => {
  const received: number[] = [];
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  const { close } = await secureOne(oldHello(), (port) => {
    const socket = net.connect(port, "127.0.0.1");
    socket.on("data", (data: Uint8Array) => received.push(...data));
    socket.once("close", () => resolve());
    return socket;
  });
  await ended;
  // A fatal handshake_failure (RFC 8446 §6.2).
  assertEquals(received, [21, 3, 3, 0, 2, 2, 40]);
  close();
});

Deno.test("secureClientSide tells a client that offers none of its protocols so, as RFC 7301 has it", async () => {
  const told = Promise.withResolvers<string>();
  const { conn, close } = await secureOne(new Uint8Array(0), (port) => {
    const options = { port, host: "127.0.0.1", rejectUnauthorized: false, ALPNProtocols: ["h2"] };
    const socket = tls.connect(options);
    socket.once("error", (error: Error & { code?: string }) => told.resolve(error.code ?? error.message));
    return socket;
  }, ["http/1.1"]);
  if (conn instanceof TlsConn) throw new Error("a protocol was agreed on");
  assertEquals(conn.code, "ERR_SSL_NO_APPLICATION_PROTOCOL");
  assertEquals(await told.promise, "ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL");
  close();
});

Deno.test("secureClientSide fails at once when the client ends in the middle of its handshake", async () => {
  const { conn, close } = await secureOne(new Uint8Array(0), (port) => {
    const socket = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    socket.end(oldHello().subarray(0, 20));
    return socket;
  });
  if (conn instanceof TlsConn) throw new Error("half a hello was accepted");
  assertEquals([conn.kind, conn.code], ["reset", "ECONNRESET"]);
  close();
});

Deno.test("secureClientSide puts what is read while it begins behind what was read before", async () => {
  const { promise, resolve } = Promise.withResolvers<TlsConn | TransportFault>();
  const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    const conn = TcpConn.accepted(socket);
    conn.handler = {
      ...IGNORE_EVENTS,
      onData: (data) => {
        const preread = data.slice(0, 100);
        const options = { context, alpn: [], preread, certCache: "miss" } as const;
        secureClientSide(conn, options, { secured: resolve, failed: resolve });
        conn.handler.onData(data.subarray(100));
      },
    };
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as net.AddressInfo;
  const socket = tls.connect({ port, host: "127.0.0.1", rejectUnauthorized: false });
  socket.on("error", () => {});
  const conn = await promise;
  if (!(conn instanceof TlsConn)) throw new Error(`The handshake failed: ${conn.detail}`);
  conn.destroy();
  socket.destroy();
  server.close();
});

Deno.test("refuseClientSide tells the fault, sends an alert and leaves no connection open", async () => {
  const refused = Promise.withResolvers<TransportFault>();
  const closed = Promise.withResolvers<void>();
  const fault: TransportFault = { kind: "tls", code: "ca_expired", detail: "" };
  const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    const conn = TcpConn.accepted(socket);
    conn.socket.once("close", () => closed.resolve());
    refuseClientSide(conn, fault, { secured: () => {}, failed: refused.resolve });
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const received: number[] = [];
  const socket = net.connect((server.address() as net.AddressInfo).port, "127.0.0.1");
  socket.on("data", (data: Uint8Array) => received.push(...data));
  assertEquals(await refused.promise, fault);
  await closed.promise;
  assertEquals(received, [21, 3, 3, 0, 2, 2, 40]);
  server.close();
});

Deno.test("TlsConn tells of a reset while its writes wait for a client that does not read", async () => {
  let raw!: net.Socket;
  const { conn, close } = await secureOne(new Uint8Array(0), (port) => {
    raw = net.connect(port, "127.0.0.1");
    const secure = tls.connect({ socket: raw, rejectUnauthorized: false });
    secure.once("secureConnect", () => raw.pause());
    return secure;
  });
  if (!(conn instanceof TlsConn)) throw new Error(`The handshake failed: ${conn.detail}`);
  const { promise, resolve } = Promise.withResolvers<TransportFault>();
  conn.handler = { ...IGNORE_EVENTS, onFault: resolve };
  const chunk = new Uint8Array(65536);
  // More than any kernel takes for a connection that nobody reads.
  for (let bytes = 0; bytes < 64 * 1024 * 1024; bytes += chunk.length) conn.write(chunk);
  assertEquals(conn.congested, true);
  raw.resetAndDestroy();
  assertEquals((await promise).kind, "reset");
  close();
});
