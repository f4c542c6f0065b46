/** The package `ws`, which comes without types: as much of them as the tests use. */
import { WebSocket as Untyped, WebSocketServer as UntypedServer } from "ws";
import { Buffer } from "node:buffer";
import type { IncomingMessage, Server } from "node:http";
import type { Duplex } from "node:stream";

export interface PerMessageDeflateOptions {
  readonly threshold?: number;
  readonly serverNoContextTakeover?: boolean;
  readonly clientNoContextTakeover?: boolean;
  readonly serverMaxWindowBits?: number;
  readonly clientMaxWindowBits?: number;
}

export interface SendOptions {
  readonly binary?: boolean;
  readonly compress?: boolean;
  readonly fin?: boolean;
}

export interface WebSocketOptions {
  readonly createConnection: () => Duplex;
  readonly perMessageDeflate: boolean | PerMessageDeflateOptions;
  readonly maxPayload: number;
}

export interface WebSocketServerOptions {
  readonly server: Server;
  readonly perMessageDeflate: boolean | PerMessageDeflateOptions;
  readonly maxPayload: number;
}

export interface WebSocket {
  readonly extensions: string;
  send(data: string | Uint8Array, options?: SendOptions): void;
  ping(data: string): void;
  close(code: number, reason: string): void;
  terminate(): void;
  on(event: "message", listener: (data: Buffer, isBinary: boolean) => void): this;
  on(event: "ping" | "pong", listener: (data: Buffer) => void): this;
  on(event: "close", listener: (code: number, reason: Buffer) => void): this;
  on(event: "open", listener: () => void): this;
  on(event: "error", listener: (error: Error) => void): this;
}

export interface WebSocketServer {
  on(event: "connection", listener: (socket: WebSocket, request: IncomingMessage) => void): this;
  close(): void;
}

export const WebSocket: new (url: string, options: WebSocketOptions) => WebSocket = Untyped;
export const WebSocketServer: new (options: WebSocketServerOptions) => WebSocketServer = UntypedServer;

/** The server's end of a WebSocket whose handshake is over, on a stream of any kind. */
export function overStream(stream: Duplex, maxPayload: number): WebSocket {
  const socket: WebSocket & { setSocket(stream: Duplex, head: Uint8Array, options: object): void } =
    new Untyped(null, undefined, {});
  socket.setSocket(stream, Buffer.alloc(0), { maxPayload, skipUTF8Validation: false });
  return socket;
}
