/**
 * Connects to servers: resolves the name once, refuses what turns out to be one of the proxy's own
 * listeners, and races the address families. Gives a `Conn` or a named fault, never an exception.
 */
import dns from "node:dns";
import net from "node:net";
import type { Authority } from "../core/authority.ts";
import type { TransportFault } from "../core/session.ts";
import type { ConnCallbacks } from "./flow_driver.ts";
import { transportFault } from "./faults.ts";
import { readBuffer } from "./read_buffer.ts";
import { type Address, Resolver } from "./resolver.ts";
import { TcpConn } from "./tcp_conn.ts";
import { openUdp } from "./udp_conn.ts";

export interface DialerOptions {
  /** Is this address and port one of our own listeners? */
  isSelf(address: string, port: number): boolean;
  /** The platform ran out of descriptors: accepting has to wait too. */
  onExhausted(): void;
}

export class Dialer {
  readonly #resolver = new Resolver(
    (host, callback) =>
      dns.lookup(host, { all: true, verbatim: true }, (error, found) => callback(error, found)),
    () => performance.now(),
  );

  constructor(private readonly options: DialerOptions) {}

  /** Gives a cancel; after it no callback comes. */
  dial(target: Authority, callbacks: ConnCallbacks): () => void {
    let cancelled = false;
    let socket: net.Socket | null = null;
    let conn: TcpConn | null = null;
    const failed = (fault: TransportFault) => {
      if (cancelled) return;
      cancelled = true;
      if (fault.kind === "exhausted") this.options.onExhausted();
      callbacks.failed(fault);
    };
    const connect = (addresses: readonly Address[]) => {
      if (cancelled) return;
      if (addresses.some(({ address }) => this.options.isSelf(address, target.port))) {
        failed({ kind: "self_target", code: "SELF_TARGET", detail: "the target is this proxy" });
        return;
      }
      try {
        socket = net.connect({
          // One address needs no race between families.
          ...(addresses.length === 1
            ? { host: addresses[0]!.address }
            : { host: target.host, lookup: lookupOf(addresses) }),
          port: target.port,
          allowHalfOpen: true,
          noDelay: true,
          onread: {
            buffer: readBuffer,
            callback: (bytes: number, buffer: Uint8Array) => {
              conn?.receive(buffer.subarray(0, bytes));
              return true;
            },
          },
        } as unknown as net.NetConnectOpts);
      } catch (error) {
        failed(transportFault(error));
        return;
      }
      const connecting = socket;
      const onError = (error: Error) => failed(transportFault(error));
      connecting.on("error", onError);
      connecting.once("connect", () => {
        if (cancelled) return;
        cancelled = true;
        connecting.off("error", onError);
        conn = new TcpConn(connecting);
        callbacks.opened(conn);
      });
    };
    if (net.isIP(target.host) !== 0) {
      connect([{ address: target.host, family: net.isIP(target.host) }]);
    } else {
      this.#resolver.resolve(target.host, (error, addresses) => {
        if (error !== null) failed(transportFault(error));
        else connect(addresses);
      });
    }
    return () => {
      cancelled = true;
      socket?.destroy();
    };
  }

  /** As `dial`, for UDP: nothing tells whether anybody listens there. */
  dialDatagrams(target: Authority, callbacks: ConnCallbacks): () => void {
    let cancel: (() => void) | null = null;
    let cancelled = false;
    const failed = (fault: TransportFault) => {
      if (fault.kind === "exhausted") this.options.onExhausted();
      if (!cancelled) callbacks.failed(fault);
    };
    const open = (addresses: readonly Address[]) => {
      if (cancelled) return;
      if (addresses.some(({ address }) => this.options.isSelf(address, target.port))) {
        failed({ kind: "self_target", code: "SELF_TARGET", detail: "the target is this proxy" });
        return;
      }
      cancel = openUdp(addresses[0]!, target.port, { opened: callbacks.opened, failed });
    };
    const family = net.isIP(target.host);
    if (family !== 0) open([{ address: target.host, family }]);
    else {
      this.#resolver.resolve(target.host, (error, addresses) => {
        if (error !== null) failed(transportFault(error));
        else open(addresses);
      });
    }
    return () => {
      cancelled = true;
      cancel?.();
    };
  }
}

type LookupCallback = (
  error: Error | null,
  addresses: readonly Address[] | string | undefined,
  family?: number,
) => void;

/** The addresses that were resolved and checked are the ones that are dialled. */
function lookupOf(addresses: readonly Address[]) {
  return (_host: string, options: { all?: boolean }, callback: LookupCallback): void => {
    if (options.all) callback(null, addresses);
    else callback(null, addresses[0]?.address, addresses[0]?.family);
  };
}
