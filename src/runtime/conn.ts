/**
 * One side of a flow as the driver sees it: bytes in, bytes out, with callbacks instead of promises
 * because a promise per read is the dearest part of a relay. Real sockets, TLS over them and the
 * simulator's links all are a `Conn`.
 */
import type { TransportFault } from "../core/session.ts";

export interface ConnHandler {
  /** `data` is valid during the call only (see `read_buffer.ts`); `Conn.write` may keep it. */
  onData(data: Uint8Array): void;
  /** The peer half-closed; `truncated` where TLS was cut off without its own end. */
  onEnd(truncated?: boolean): void;
  /** No longer congested. */
  onDrain(): void;
  /** The connection broke; `onClosed` follows. */
  onFault(fault: TransportFault): void;
  onClosed(): void;
}

export interface Conn {
  handler: ConnHandler;
  /** Bytes that were written and have not reached the kernel yet. */
  readonly pendingBytes: number;
  /** More is pending than is good; `onDrain` tells when that has passed. */
  readonly congested: boolean;
  write(data: Uint8Array): void;
  /** Half-closes after everything written is out. */
  end(): void;
  /** Aborts: the peer sees a reset. */
  reset(): void;
  /** Gives the connection up, pending bytes included. */
  destroy(): void;
  setReading(reading: boolean): void;
}

export const IGNORE_EVENTS: ConnHandler = {
  onData() {},
  onEnd() {},
  onDrain() {},
  onFault() {},
  onClosed() {},
};
