/**
 * Servers for a browser: a page, a place for what the page reports, and a WebSocket that echoes, of the package `ws`;
 * over HTTP/1.1 upgrades, or in streams of HTTP/2 (RFC 8441).
 */
import { createSecureServer, type ServerHttp2Stream } from "node:http2";
import { createServer } from "node:https";
import type { AddressInfo, Server } from "node:net";
import type { Certificate } from "./certificates.ts";
import { overStream, type WebSocket, WebSocketServer } from "./ws.ts";

const MESSAGE_BYTES_MAX = 100 * 1024 * 1024;
export const SUBPROTOCOL = "echo";

export interface PageServer {
  readonly port: number;
  /** What the page has posted. */
  readonly report: Promise<unknown>;
  close(): Promise<void>;
}

export interface PageOptions {
  readonly certificate: Certificate;
  readonly page: string;
}

interface Posted {
  on(event: "data", listener: (part: Uint8Array) => void): unknown;
  on(event: "end", listener: () => void): unknown;
}

const HTML = { "content-type": "text/html; charset=utf-8", "cache-control": "no-store" };

/** Over HTTP/1.1. Messages are compressed where the client offers it and `deflate` is set. */
export async function startHttp1Pages(
  { certificate, deflate, page }: PageOptions & { readonly deflate: boolean },
): Promise<PageServer> {
  const reported = Promise.withResolvers<unknown>();
  const server = createServer({ cert: certificate.certPem, key: certificate.keyPem }, (request, response) => {
    if (request.method === "POST") collect(request, reported.resolve, () => response.end("thanks\n"));
    else response.writeHead(200, HTML).end(page);
  });
  const sockets = new WebSocketServer({
    server,
    perMessageDeflate: deflate && { threshold: 0 },
    maxPayload: MESSAGE_BYTES_MAX,
  });
  sockets.on("connection", echo);
  const port = await listening(server);
  return { port, report: reported.promise, close: () => (sockets.close(), closed(server)) };
}

/** Over HTTP/2 alone; WebSockets are extended CONNECTs, without compression. */
export async function startHttp2Pages({ certificate, page }: PageOptions): Promise<PageServer> {
  const reported = Promise.withResolvers<unknown>();
  const server = createSecureServer({
    cert: certificate.certPem,
    key: certificate.keyPem,
    settings: { enableConnectProtocol: true },
  });
  server.on("stream", (stream: ServerHttp2Stream, headers: { readonly [name: string]: unknown }) => {
    stream.on("error", () => {});
    if (headers[":protocol"] === "websocket") {
      stream.respond({ ":status": 200, "sec-websocket-protocol": SUBPROTOCOL });
      echo(overStream(stream, MESSAGE_BYTES_MAX));
    } else if (headers[":method"] === "POST") {
      collect(stream, reported.resolve, () => {
        stream.respond({ ":status": 200 });
        stream.end("thanks\n");
      });
    } else {
      stream.respond({ ":status": 200, ...HTML });
      stream.end(page);
    }
  });
  const port = await listening(server);
  return { port, report: reported.promise, close: () => closed(server) };
}

function echo(socket: WebSocket): void {
  socket.on("message", (data, binary) => socket.send(data, { binary, compress: true }));
  socket.on("error", () => {});
}

function collect(body: Posted, done: (value: unknown) => void, answer: () => void): void {
  const decoder = new TextDecoder();
  let text = "";
  body.on("data", (part) => void (text += decoder.decode(part, { stream: true })));
  body.on("end", () => {
    answer();
    done(JSON.parse(text));
  });
}

async function listening(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  return (server.address() as AddressInfo).port;
}

function closed(server: Server): Promise<void> {
  return new Promise<void>((resolve) => server.close(() => resolve()));
}
