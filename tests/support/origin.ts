/**
 * Origins that live in the test's own process, on loopback, on a port of their own.
 *
 * `startRawOrigin` hands each connection to a script of bytes. `startHttpOrigin` answers HTTP/1.1 by the
 * routes below; it writes its own bytes (not `node:http`), so that case, order, framing and ends are exact.
 *
 * | target                | answer                                                                    |
 * | --------------------- | ------------------------------------------------------------------------- |
 * | `/bytes/N`            | N bytes of `patternBytes`, content-length                                 |
 * | `/chunked/N[/SIZE]`   | the same in chunks of SIZE (default 1000)                                  |
 * | `/trailers`           | a chunked body with two trailer fields                                    |
 * | `/close/N`            | N bytes, delimited by the end of the connection                           |
 * | `/gzip/N`             | N bytes, content-encoding gzip                                            |
 * | `/status/N`           | that status, with a short body where the status allows one                |
 * | `/no-content`         | 204                                                                       |
 * | `/echo`               | the request body, content-length; `/echo-chunked` in chunks               |
 * | `/digest`             | JSON `{bytes, sha256}` of the request body                                |
 * | `/fields`             | JSON array of the request's field lines, as they came                     |
 * | `/hints`              | 103 Early Hints, then 200                                                 |
 * | `/early`              | the final response before the request body is read, then the body is read |
 * | `/refuse-expectation` | 417 to `Expect: 100-continue`                                             |
 * | `/last`               | 200 with `Connection: close`, then the end                                |
 * | `/upgrade`            | 101, then every byte comes back                                           |
 * | `/gate/NAME`          | head and 5 bytes at once, 5 more after `release(NAME)`                    |
 * | `/endless`            | chunks until the client leaves: more than any kernel's buffers hold       |
 * | `/hang`               | nothing, ever                                                             |
 * | `/truncate`           | 50 of 100 promised bytes, then the end; `/reset` a reset instead          |
 *
 * `Expect: 100-continue` is answered with 100 before the body is read. A HEAD gets the head alone.
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import * as net from "node:net";
import * as tls from "node:tls";
import { gzipSync } from "node:zlib";
import type { Certificate } from "./certificates.ts";

export interface OriginOptions {
  /** Serve TLS with this certificate. */
  readonly certificate?: Certificate;
  readonly hostname?: string;
  readonly tls?: Pick<tls.TlsOptions, "minVersion" | "maxVersion" | "ALPNProtocols">;
}

/** What a path of the test's own answers, before the routes are looked at. */
export type Pages = (path: string) => { readonly type: string; readonly body: string | Uint8Array } | null;

export interface RawOrigin {
  readonly host: string;
  readonly port: number;
  /** `host:port`. */
  readonly authority: string;
  /** How many connections were ever accepted; for TLS, how many handshakes finished. */
  connections(): number;
  openConnections(): number;
  close(): Promise<void>;
}

export interface OriginRequest {
  readonly method: string;
  readonly target: string;
  readonly version: string;
  /** Field lines as they came: case, order, repetition. */
  readonly fields: readonly (readonly [string, string])[];
  /** Counts from 0. */
  readonly connection: number;
  bodyBytes: number;
  bodySha256: string;
}

export interface HttpOrigin extends RawOrigin {
  /** `http://…` or `https://…`, without a slash at the end. */
  readonly url: string;
  readonly requests: readonly OriginRequest[];
  release(gate: string): void;
}

/** Serves each connection with `script`; errors of a connection are the script's to see, not the process's. */
export async function startRawOrigin(
  script: (connection: Connection, index: number) => void | Promise<void>,
  options: OriginOptions = {},
): Promise<RawOrigin> {
  const hostname = options.hostname ?? "127.0.0.1";
  const open = new Set<net.Socket>();
  let accepted = 0;
  const accept = (socket: net.Socket) => {
    const index = accepted++;
    open.add(socket);
    socket.on("close", () => open.delete(socket));
    const connection = new Connection(socket);
    Promise.resolve().then(() => script(connection, index)).catch(() => socket.destroy());
  };
  const server = options.certificate === undefined
    ? net.createServer({ allowHalfOpen: true }, accept)
    : tls.createServer(
      {
        cert: options.certificate.certPem,
        key: options.certificate.keyPem,
        allowHalfOpen: true,
        ...options.tls,
      },
      accept,
    );
  server.on("tlsClientError", () => {});
  const raw = new Set<net.Socket>();
  if (options.certificate !== undefined) {
    server.on("connection", (socket: net.Socket) => {
      raw.add(socket);
      socket.on("close", () => raw.delete(socket));
    });
  }
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, hostname, resolve);
  });
  const { port } = server.address() as net.AddressInfo;
  return {
    host: hostname,
    port,
    authority: hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`,
    connections: () => accepted,
    openConnections: () => open.size,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of [...open, ...raw]) socket.destroy();
      }),
  };
}

/** One accepted connection, read on demand. */
export class Connection {
  #buffered: Buffer = Buffer.alloc(0);
  #ended = false;
  #error: Error | null = null;
  #wake: () => void = () => {};

  constructor(readonly socket: net.Socket) {
    socket.on("data", (data: Buffer) => {
      this.#buffered = this.#buffered.length === 0 ? data : Buffer.concat([this.#buffered, data]);
      this.#wake();
    });
    socket.on("end", () => this.#finish(null));
    socket.on("close", () => this.#finish(null));
    socket.on("error", (error: Error) => this.#finish(error));
  }

  /** The next bytes that came, or null once the peer has ended. */
  async read(): Promise<Uint8Array | null> {
    while (this.#buffered.length === 0) {
      if (this.#error !== null) throw this.#error;
      if (this.#ended) return null;
      await this.#more();
    }
    const bytes = this.#buffered;
    this.#buffered = Buffer.alloc(0);
    return bytes;
  }

  /** What has come, at most `count` bytes; throws `EndedEarly` when the peer ends first. */
  async readUpTo(count: number): Promise<Uint8Array> {
    await this.#until(() => this.#buffered.length > 0);
    const bytes = this.#buffered.subarray(0, count);
    this.#buffered = this.#buffered.subarray(bytes.length);
    return bytes;
  }

  async readExactly(count: number): Promise<Uint8Array> {
    await this.#until(() => this.#buffered.length >= count);
    const bytes = this.#buffered.subarray(0, count);
    this.#buffered = this.#buffered.subarray(count);
    return bytes;
  }

  /** Everything up to and including `mark`. */
  async readThrough(mark: string): Promise<string> {
    await this.#until(() => this.#buffered.includes(mark));
    const end = this.#buffered.indexOf(mark) + mark.length;
    const text = this.#buffered.subarray(0, end).toString("latin1");
    this.#buffered = this.#buffered.subarray(end);
    return text;
  }

  /** Everything until the peer ends. */
  async readAll(): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    for (let part = await this.read(); part !== null; part = await this.read()) parts.push(part);
    return Buffer.concat(parts);
  }

  /** Writes, and waits while the socket's own buffer is full. */
  async write(data: string | Uint8Array): Promise<void> {
    const bytes = typeof data === "string" ? Buffer.from(data, "latin1") : data;
    if (this.socket.destroyed) throw new Error("Cannot write: the connection is closed");
    if (this.socket.write(bytes)) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        this.socket.off("drain", done);
        this.socket.off("close", done);
        resolve();
      };
      this.socket.on("drain", done);
      this.socket.on("close", done);
    });
  }

  end(): void {
    this.socket.end();
  }

  /** The peer sees a reset. */
  reset(): void {
    const transport = this.socket as net.Socket & { _parent?: net.Socket };
    (transport._parent ?? transport).resetAndDestroy();
    this.socket.destroy();
  }

  #finish(error: Error | null): void {
    this.#ended = true;
    this.#error ??= error;
    this.#wake();
  }

  #more(): Promise<void> {
    return new Promise((resolve) => this.#wake = resolve);
  }

  async #until(met: () => boolean): Promise<void> {
    while (!met()) {
      if (this.#error !== null) throw this.#error;
      if (this.#ended) throw new EndedEarly();
      await this.#more();
    }
  }
}

/** The peer ended before what was asked for had come. */
export class EndedEarly extends Error {
  override name = "EndedEarly";
}

/** The body of `/bytes/N` and its kin: not compressible to nothing, and every offset is recognisable. */
export function patternBytes(count: number): Uint8Array {
  const bytes = new Uint8Array(count);
  for (let index = 0; index < count; index++) {
    bytes[index] = (index * 31 + (index >> 8) * 17 + (index >> 16)) & 0xff;
  }
  return bytes;
}

export function sha256Hex(data: Uint8Array): string {
  return createHash("sha256").update(data).digest("hex");
}

/** An HTTP/1.1 origin with the routes of the table above, and pages of the test's own. */
export async function startHttpOrigin(
  { pages = () => null, ...options }: OriginOptions & { readonly pages?: Pages } = {},
): Promise<HttpOrigin> {
  const requests: OriginRequest[] = [];
  const gates = new Map<string, PromiseWithResolvers<void>>();
  const gate = (name: string) => {
    const known = gates.get(name) ?? Promise.withResolvers<void>();
    gates.set(name, known);
    return known;
  };
  const raw = await startRawOrigin(async (connection, index) => {
    for (;;) {
      const request = await readHead(connection, index);
      if (request === null) break;
      requests.push(request);
      if (!await answer({ connection, request, pages, waitForGate: (name) => gate(name).promise })) break;
    }
    connection.end();
  }, options);
  const scheme = options.certificate === undefined ? "http" : "https";
  return {
    ...raw,
    url: `${scheme}://${raw.authority}`,
    requests,
    release: (name) => gate(name).resolve(),
  };
}

interface Turn {
  readonly connection: Connection;
  readonly request: OriginRequest;
  readonly pages: Pages;
  waitForGate(name: string): Promise<void>;
}

/** Answers one request; true when another may follow on this connection. */
async function answer(turn: Turn): Promise<boolean> {
  const { connection, request } = turn;
  const path = request.target.replace(/^https?:\/\/[^/]+/, "").split("?")[0] ?? "/";
  const [, route = "", first = "", second = ""] = path.split("/");
  const isHead = request.method === "HEAD";
  const reply = (status: number, body: Uint8Array | string, fields: readonly string[] = []) => {
    const bytes = typeof body === "string" ? Buffer.from(body) : body;
    const head = headOf(status, [...fields, `Content-Length: ${bytes.length}`]);
    return connection.write(
      isHead ? Buffer.from(head, "latin1") : Buffer.concat([Buffer.from(head, "latin1"), bytes]),
    );
  };

  if (route === "hang") {
    await connection.readAll();
    return false;
  }
  if (route === "early") {
    await reply(200, "answered early\n");
    await readBody(turn);
    return true;
  }
  if (route === "refuse-expectation") {
    await reply(417, "no\n", ["Connection: close"]);
    return false;
  }
  const body = await readBody(turn);
  const count = Number(first);
  const page = turn.pages(path);
  if (page !== null) {
    await reply(200, page.body, [`Content-Type: ${page.type}`]);
    return keepsAlive(request);
  }
  switch (route) {
    case "bytes":
      await reply(200, patternBytes(count), ["Content-Type: application/octet-stream"]);
      break;
    case "chunked":
      await connection.write(headOf(200, ["Transfer-Encoding: chunked"]));
      if (!isHead) {
        await writeChunked(connection, patternBytes(count), second === "" ? 1000 : Number(second), "");
      }
      break;
    case "trailers":
      await connection.write(headOf(200, ["Transfer-Encoding: chunked", "Trailer: X-Checksum, X-Count"]));
      if (!isHead) {
        await writeChunked(
          connection,
          Buffer.from("with trailers\n"),
          5,
          "X-Checksum: abc\r\nX-Count: 14\r\n",
        );
      }
      break;
    case "close":
      await connection.write(headOf(200, ["Connection: close"]));
      if (!isHead) await connection.write(patternBytes(count));
      return false;
    case "gzip":
      await reply(200, new Uint8Array(gzipSync(patternBytes(count))), ["Content-Encoding: gzip"]);
      break;
    case "status":
      if (count === 204 || count === 304) await connection.write(headOf(count, []));
      else await reply(count, `status ${count}\n`);
      break;
    case "no-content":
      await connection.write(headOf(204, []));
      break;
    case "echo":
      await reply(200, body, ["Content-Type: application/octet-stream"]);
      break;
    case "echo-chunked":
      await connection.write(headOf(200, ["Transfer-Encoding: chunked"]));
      if (!isHead) await writeChunked(connection, body, 4096, "");
      break;
    case "digest":
      await reply(200, JSON.stringify({ bytes: body.length, sha256: sha256Hex(body) }), [
        "Content-Type: application/json",
      ]);
      break;
    case "fields":
      await reply(200, JSON.stringify(request.fields), ["Content-Type: application/json"]);
      break;
    case "hints":
      await connection.write(headOf(103, ["Link: </style.css>; rel=preload"]));
      await reply(200, "after hints\n");
      break;
    case "last":
      await reply(200, "last\n", ["Connection: close"]);
      return false;
    case "upgrade":
      await connection.write(headOf(101, ["Connection: Upgrade", "Upgrade: echo"]));
      for (let part = await connection.read(); part !== null; part = await connection.read()) {
        await connection.write(part);
      }
      return false;
    case "gate":
      await connection.write(headOf(200, ["Content-Length: 10"]) + "first");
      await turn.waitForGate(first);
      await connection.write("final");
      break;
    case "endless": {
      await connection.write(headOf(200, ["Transfer-Encoding: chunked"]));
      const chunk = Buffer.concat([Buffer.from("10000\r\n"), patternBytes(65536), Buffer.from("\r\n")]);
      for (;;) await connection.write(chunk); // ends as `write` throws
    }
    case "truncate":
      await connection.write(headOf(200, ["Content-Length: 100"]));
      await connection.write(patternBytes(50));
      return false;
    case "reset":
      await connection.write(headOf(200, ["Content-Length: 100"]));
      await connection.write(patternBytes(50));
      connection.reset();
      return false;
    case "":
      await reply(200, "<!doctype html><title>origin</title><p id=greeting>hello from the origin</p>\n", [
        "Content-Type: text/html",
      ]);
      break;
    default:
      await reply(404, "not found\n");
  }
  return keepsAlive(request);
}

const REASONS: { readonly [status: number]: string } = {
  101: "Switching Protocols",
  103: "Early Hints",
  200: "OK",
  204: "No Content",
  304: "Not Modified",
  404: "Not Found",
  417: "Expectation Failed",
};

function headOf(status: number, fields: readonly string[]): string {
  return [`HTTP/1.1 ${status} ${REASONS[status] ?? "Status"}`, ...fields, "", ""].join("\r\n");
}

async function writeChunked(
  connection: Connection,
  body: Uint8Array,
  size: number,
  trailers: string,
): Promise<void> {
  for (let offset = 0; offset < body.length; offset += size) {
    const chunk = body.subarray(offset, offset + size);
    const line = Buffer.from(`${chunk.length.toString(16)}\r\n`);
    await connection.write(Buffer.concat([line, chunk, Buffer.from("\r\n")]));
  }
  await connection.write(`0\r\n${trailers}\r\n`);
}

async function readHead(connection: Connection, index: number): Promise<OriginRequest | null> {
  let text: string;
  try {
    text = await connection.readThrough("\r\n\r\n");
  } catch {
    return null; // The client left between requests, or was cut off; there is nobody to answer.
  }
  const [requestLine = "", ...lines] = text.slice(0, -4).split("\r\n");
  const [method = "", target = "", version = ""] = requestLine.split(" ");
  const fields = lines.map((line): [string, string] => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon), line.slice(colon + 1).trim()];
  });
  return {
    method,
    target,
    version,
    fields,
    connection: index,
    bodyBytes: 0,
    bodySha256: sha256Hex(new Uint8Array()),
  };
}

async function readBody({ connection, request }: Turn): Promise<Uint8Array> {
  if (fieldOf(request, "expect")?.toLowerCase() === "100-continue") {
    await connection.write("HTTP/1.1 100 Continue\r\n\r\n");
  }
  const parts: Uint8Array[] = [];
  if (fieldOf(request, "transfer-encoding")?.toLowerCase() === "chunked") {
    for (;;) {
      const size = parseInt(await connection.readThrough("\r\n"), 16);
      if (size === 0) break;
      parts.push(await connection.readExactly(size));
      await connection.readExactly(2);
    }
    while (await connection.readThrough("\r\n") !== "\r\n");
  } else {
    let left = Number(fieldOf(request, "content-length") ?? 0);
    while (left > 0) {
      const part = await connection.readUpTo(left);
      parts.push(part);
      left -= part.length;
    }
  }
  const body = Buffer.concat(parts);
  request.bodyBytes = body.length;
  request.bodySha256 = sha256Hex(body);
  return body;
}

function keepsAlive(request: OriginRequest): boolean {
  const connection = (fieldOf(request, "connection") ?? "").toLowerCase();
  return request.version === "HTTP/1.1" ? connection !== "close" : connection === "keep-alive";
}

function fieldOf(request: OriginRequest, name: string): string | undefined {
  return request.fields.find(([fieldName]) => fieldName.toLowerCase() === name)?.[1];
}
