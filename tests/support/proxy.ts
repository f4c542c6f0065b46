/**
 * A real proxy on loopback for tests: started through the library in a state directory of its own,
 * its events collected, and its log verified when the test is over.
 */
import { assertEquals } from "@std/assert";
import * as net from "node:net";
import * as tls from "node:tls";
import { type LoggedEvent, type MitmOptions, type MitmProxy, startMitm } from "../../mod.ts";
import { LogVerifier } from "../../src/log/verify.ts";
import { Connection } from "./origin.ts";

export interface TestProxy {
  readonly mitm: MitmProxy;
  readonly host: string;
  readonly port: number;
  readonly caCertPem: string;
  /** Its event log; all of it is there once `mitm` is stopped. */
  readonly log: string;
  readonly events: readonly LoggedEvent[];
  /** Resolves with the first event that fits, whether it has happened already or not. */
  event(fits: (event: LoggedEvent) => boolean): Promise<LoggedEvent>;
  /** The `stream_closed` of the flow with that number, counted from 1. */
  closed(flow: number): Promise<LoggedEvent>;
  of(kind: string, flow?: number): LoggedEvent[];
  /** A connection to the proxy. */
  connect(): Promise<Connection>;
  /** A connection to the proxy on which CONNECT was answered with 200. */
  tunnel(authority: string): Promise<Connection>;
  /** TLS through the proxy, trusting its CA. */
  tls(authority: string, options?: tls.ConnectionOptions): Promise<Connection & { socket: tls.TLSSocket }>;
}

export async function withProxy(
  options: MitmOptions,
  work: (proxy: TestProxy) => Promise<void>,
): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "soth-mitm-test-" });
  const log = `${directory}/events.jsonl`;
  const events: LoggedEvent[] = [];
  const waiting = new Set<{ fits: (event: LoggedEvent) => boolean; resolve: (event: LoggedEvent) => void }>();
  const sockets = new Set<net.Socket>();
  const mitm = await startMitm({
    ...options,
    settings: {
      listen: ["127.0.0.1:0"],
      state_dir: `${directory}/state`,
      ...options.settings,
      events: { sinks: [log], ...(options.settings?.["events"] as Record<string, unknown> | undefined) },
    },
    onEvent: (event) => {
      events.push(event);
      for (const one of [...waiting]) {
        if (!one.fits(event)) continue;
        waiting.delete(one);
        one.resolve(event);
      }
      return options.onEvent?.(event);
    },
  });
  const port = Number(mitm.listen[0]!.split(":").at(-1));
  const connect = async (): Promise<Connection> => {
    const socket = net.connect({ host: "127.0.0.1", port, allowHalfOpen: true, noDelay: true });
    sockets.add(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", () => resolve());
      socket.once("error", reject);
    });
    return new Connection(socket);
  };
  const event = (fits: (event: LoggedEvent) => boolean) => {
    const found = events.find(fits);
    if (found !== undefined) return Promise.resolve(found);
    return new Promise<LoggedEvent>((resolve) => waiting.add({ fits, resolve }));
  };
  const tunnel = async (authority: string) => {
    const connection = await connect();
    await connection.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
    const head = await connection.readThrough("\r\n\r\n");
    assertEquals(head.split("\r\n")[0], "HTTP/1.1 200 Connection Established");
    return connection;
  };
  const proxy: TestProxy = {
    mitm,
    host: "127.0.0.1",
    port,
    caCertPem: mitm.caCertPem,
    log,
    events,
    event,
    closed: (flow) => event(({ kind, flow_id }) => kind === "stream_closed" && flow_id === `1-${flow}`),
    of: (kind, flow) =>
      events.filter((one) => one.kind === kind && (flow === undefined || one.flow_id === `1-${flow}`)),
    connect,
    tunnel,
    tls: async (authority, tlsOptions = {}) => {
      const { socket } = await tunnel(authority);
      socket.removeAllListeners("data");
      const host = authority.slice(0, authority.lastIndexOf(":")).replace(/[[\]]/g, "");
      const secure = tls.connect({
        socket,
        ca: mitm.caCertPem,
        host,
        servername: net.isIP(host) === 0 ? host : "",
        ALPNProtocols: ["http/1.1"],
        ...tlsOptions,
      });
      await new Promise<void>((resolve, reject) => {
        secure.once("secureConnect", () => resolve());
        secure.once("error", reject);
      });
      return new Connection(secure) as Connection & { socket: tls.TLSSocket };
    },
  };
  try {
    await work(proxy);
  } finally {
    for (const socket of sockets) socket.destroy();
    await mitm.stop();
    assertEquals(mitm.counters.bugs, 0, "no exception was caught in our own code");
    assertEquals(mitm.counters.connectedFlows, 0);
    assertEquals(mitm.counters.inFlightBytes, 0);
    await verifyLog(log);
    await Deno.remove(directory, { recursive: true });
  }
}

/** Every invariant of the log holds, and every flow in it is closed. */
export async function verifyLog(path: string): Promise<void> {
  const verifier = new LogVerifier();
  const lines = (await Deno.readTextFile(path)).split("\n");
  assertEquals(lines.pop(), "", "the last line is whole");
  let offset = 0;
  for (const [index, line] of lines.entries()) {
    const violation = verifier.line(line, { lineNumber: index + 1, byteOffset: offset });
    assertEquals(violation, null, `${JSON.stringify(violation)} in ${line}`);
    offset += new TextEncoder().encode(line).length + 1;
  }
}
