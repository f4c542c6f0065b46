/** WebSockets of the package `ws`: a server that echoes, and clients that reach it through a proxy process. */
import { createServer } from "node:https";
import * as net from "node:net";
import * as tls from "node:tls";
import type { Certificate } from "./certificates.ts";
import type { ProxyProcess } from "./proxy_process.ts";
import { type PerMessageDeflateOptions, WebSocket, WebSocketServer } from "./ws.ts";

const MESSAGE_BYTES_MAX = 100 * 1024 * 1024;

export interface EchoServer {
  readonly port: number;
  close(): Promise<void>;
}

/** Sends each message back as it came; compressed where that was agreed on. */
export function startEcho(
  certificate: Certificate,
  perMessageDeflate: boolean | PerMessageDeflateOptions,
): Promise<EchoServer> {
  return startWebSockets(certificate, perMessageDeflate, (socket) => {
    socket.on("message", (data, binary) => socket.send(data, { binary, compress: true }));
  });
}

export async function startWebSockets(
  certificate: Certificate,
  perMessageDeflate: boolean | PerMessageDeflateOptions,
  serve: (socket: WebSocket) => void,
): Promise<EchoServer> {
  const server = createServer({ cert: certificate.certPem, key: certificate.keyPem });
  const sockets = new WebSocketServer({ server, perMessageDeflate, maxPayload: MESSAGE_BYTES_MAX });
  sockets.on("connection", (socket) => {
    serve(socket);
    // What breaks the rules it closes for; the error is told here, too.
    socket.on("error", () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  return {
    port: (server.address() as net.AddressInfo).port,
    close: () => {
      sockets.close();
      return new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

/** Where a proxy listens, and the file of its CA. */
export type ProxyPlace = Pick<ProxyProcess, "host" | "port" | "caPath">;

/** TLS to a server through the proxy. */
export async function connectThrough(proxy: ProxyPlace, port: number): Promise<tls.TLSSocket> {
  const socket = net.connect({ host: proxy.host, port: proxy.port, noDelay: true });
  await new Promise<void>((resolve, reject) => {
    socket.once("error", reject);
    socket.once("data", () => resolve());
    socket.write(`CONNECT localhost:${port} HTTP/1.1\r\nHost: localhost:${port}\r\n\r\n`);
  });
  const ca = await Deno.readTextFile(proxy.caPath);
  const secure = tls.connect({ socket, ca, servername: "localhost", ALPNProtocols: ["http/1.1"] });
  await new Promise<void>((resolve, reject) => {
    secure.once("secureConnect", () => resolve());
    secure.once("error", reject);
  });
  return secure;
}

export interface Peer {
  readonly socket: WebSocket;
  /** The next message, as text or octets. */
  message(): Promise<string | Uint8Array>;
  close(): Promise<void>;
}

export async function openThrough(
  proxy: ProxyPlace,
  port: number,
  path: string,
  perMessageDeflate: boolean | PerMessageDeflateOptions,
): Promise<Peer> {
  const connection = await connectThrough(proxy, port);
  const socket = new WebSocket(`wss://localhost:${port}${path}`, {
    createConnection: () => connection,
    perMessageDeflate,
    maxPayload: MESSAGE_BYTES_MAX,
  });
  const received: (string | Uint8Array)[] = [];
  let wake = () => {};
  socket.on("message", (data, binary) => {
    received.push(binary ? data : data.toString());
    wake();
  });
  await new Promise<void>((resolve, reject) => {
    socket.on("open", () => resolve());
    socket.on("error", reject);
  });
  const closed = new Promise<void>((resolve) => socket.on("close", () => resolve()));
  return {
    socket,
    async message() {
      while (received.length === 0) await new Promise<void>((resolve) => wake = resolve);
      return received.shift()!;
    },
    close() {
      socket.close(1000, "done");
      return closed;
    },
  };
}
