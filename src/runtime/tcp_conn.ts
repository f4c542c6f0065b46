/**
 * A TCP or Unix socket as a `Conn`. It stands on `node:net` because that is the only API of the
 * runtime that can abort a connection (see README.md here); reading stops by pausing the socket.
 */
import type { Socket } from "node:net";
import { withReadBuffer } from "./accepted_socket.ts";
import { type Conn, type ConnHandler, IGNORE_EVENTS } from "./conn.ts";
import { transportFault } from "./faults.ts";
import { keepRead } from "./read_buffer.ts";

export class TcpConn implements Conn {
  handler: ConnHandler = IGNORE_EVENTS;
  #congested = false;
  #reading = true;
  #faulted = false;

  /** `socket` gives what it reads to `receive`, not to listeners. */
  constructor(readonly socket: Socket) {
    socket.on("end", () => this.handler.onEnd());
    socket.on("drain", () => {
      this.#congested = false;
      this.handler.onDrain();
    });
    socket.on("error", (error: Error) => {
      if (this.#faulted) return;
      this.#faulted = true;
      this.handler.onFault(transportFault(error));
    });
    socket.on("close", () => this.handler.onClosed());
  }

  /** A connection that a server with `pauseOnConnect` has accepted. */
  static accepted(socket: Socket): TcpConn {
    let conn: TcpConn | null = null;
    conn = new TcpConn(withReadBuffer(socket, (data) => conn?.receive(data)));
    conn.socket.resume();
    return conn;
  }

  receive(data: Uint8Array): void {
    this.handler.onData(data);
  }

  get pendingBytes(): number {
    return this.socket.writableLength;
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
    if (this.socket.destroyed) return;
    // A Unix socket has no reset; the peer sees its end without what was pending.
    if (this.socket.remoteAddress === undefined) this.socket.destroy();
    else this.socket.resetAndDestroy();
  }

  destroy(): void {
    this.socket.destroy();
  }

  setReading(reading: boolean): void {
    if (reading === this.#reading) return;
    this.#reading = reading;
    if (reading) this.socket.resume();
    else this.socket.pause();
  }
}
