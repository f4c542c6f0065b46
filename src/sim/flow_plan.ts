/** What one flow is meant to be: its client, its servers, what policy says of them, and how it ends undisturbed. */
import type { CloseReason } from "../core/close_reason.ts";
import type { Action, TransportFault } from "../core/session.ts";
import type { Origin } from "../proxy/origin.ts";
import { latin1 } from "./bytes.ts";
import { answers, type Farewell, playClient, says, ServerPart, type Turn } from "./dialogue.ts";
import { clientHello, type HelloOptions } from "./hello.ts";
import type { Http2Plan } from "./http2_plan.ts";
import { type ExchangePlan } from "./messages.ts";
import type { WebSocketPlan } from "./websocket_workloads.ts";
import type { Random } from "./random.ts";
import { Deviation, type Peer, type Script } from "./script.ts";
import { tlsLine } from "./tls.ts";

export interface FlowPlan {
  readonly name: string;
  client(peer: Peer): Script;
  /** By authority, as `formatAuthority` writes it. */
  readonly servers: ReadonlyMap<string, ServerPlan>;
  /** By host; others are intercepted. */
  readonly actions: ReadonlyMap<string, Action>;
  /** What the client says to begin TLS. */
  readonly hello: Uint8Array | null;
  /** Its client has refused the CA before, often enough. */
  readonly learned?: true;
  /** Where a reverse listener sends it. */
  readonly reverse?: Origin;
  /** How the flow ends if nothing disturbs it. */
  readonly reasons: readonly CloseReason[];
  /** What happens depends on how much is on its way, not only on what is said. */
  readonly dependsOnTime?: true;
  /** The exchanges that are answered by a server, by target. */
  readonly exchanges: readonly ExchangePlan[];
  /** What the messages of the WebSocket hold that the flow becomes. */
  readonly webSocket?: WebSocketPlan;
  /** Its servers take datagrams and send them back. */
  readonly datagrams?: true;
  /** What is on the streams of an HTTP/2 connection; null for none that is played to its end. */
  readonly http2?: Http2Plan | null;
}

export interface ServerPlan {
  /** `never`: nobody answers; `too_late`: somebody does, but after the connect timeout. */
  readonly dial: "accepts" | "never" | "too_late" | TransportFault["kind"];
  /** Plays the server's part on one connection. */
  script(peer: Peer): Script;
  /** Everything was said and heard. */
  isOver(): boolean;
}

/** Timeouts as short as the run's settings have them, for peers that sit them out. */
export interface Planner {
  readonly random: Random;
  /** Makes names that no other flow has. */
  readonly flow: number;
  /** The proxy observes HTTP/2, so it offers what the client offers of it. */
  readonly http2?: boolean;
}

export type TlsSetup = {
  readonly hello: Uint8Array;
  /** The name that the leaf is for and the server is asked for. */
  readonly host: string;
  readonly offers: readonly string[];
  /** What the server takes of them. */
  readonly chooses: string | null;
};

export interface TlsOptions extends HelloOptions {
  readonly http2: boolean;
  /** What the server prefers; else HTTP/1.1. */
  readonly prefers: string;
}

export function tlsSetup(host: string, random: Random, options: Partial<TlsOptions> = {}): TlsSetup {
  const sni = options.sni === undefined ? (isAddress(host) ? null : host) : options.sni;
  const alpn = options.alpn ?? random.pick([[], ["http/1.1"], ["h2", "http/1.1"]]);
  const recordBytesMax = random.pick([50, 16_384]);
  const offers = alpn.filter((name) => name === "http/1.1" || (name === "h2" && options.http2 === true));
  const prefers = options.prefers ?? "http/1.1";
  return {
    hello: clientHello({ sni, alpn, recordBytesMax, ...options }, random),
    host: sni ?? host,
    offers,
    chooses: offers.includes(prefers) ? prefers : null,
  };
}

const ESTABLISHED = latin1("HTTP/1.1 200 Connection Established\r\n\r\n");

export function connectHead(authority: string, random: Random): Uint8Array {
  const host = random.chance(0.8) ? `Host: ${authority}\r\n` : "";
  const version = random.chance(0.9) ? "HTTP/1.1" : "HTTP/1.0";
  return latin1(`CONNECT ${authority} ${version}\r\n${host}User-Agent: sim\r\n\r\n`);
}

/** The client's part of a CONNECT that is granted; `eager` bytes do not wait for the answer. */
export function connectTurns(authority: string, random: Random): [Turn, Turn] {
  const nobody = -1;
  return [
    says("client", connectHead(authority, random), nobody, new Uint8Array(0)),
    says("server", ESTABLISHED, nobody),
  ];
}

/** A client that plays its turns in the clear, those of a CONNECT included. */
export function clearClient(turns: readonly Turn[], farewell: Farewell): (peer: Peer) => Script {
  return (peer) => playClient(peer, turns, farewell);
}

/** A client that sets up TLS after the turns of its CONNECT. */
export function tlsClient(
  connect: readonly Turn[],
  setup: TlsSetup,
  turns: readonly Turn[],
  options: { readonly farewell: Farewell; readonly isEager: boolean },
): (peer: Peer) => Script {
  return securedClient(connect, setup, (peer) => playClient(peer, turns, options.farewell), options.isEager);
}

/** The same for any script inside TLS. */
export function securedClient(
  connect: readonly Turn[],
  setup: TlsSetup,
  script: (peer: Peer) => Script,
  isEager: boolean,
): (peer: Peer) => Script {
  return function* (peer) {
    const [asks, granted] = connect;
    if (isEager && asks?.type === "says" && granted?.type === "says") {
      yield* peer.send(asks.bytes);
      yield* peer.send(setup.hello);
      yield* peer.expect(granted.bytes);
    } else {
      yield* playTurns(peer, connect);
      yield* peer.send(setup.hello);
    }
    yield* greetedClient(peer, setup);
    yield* script(peer);
  };
}

/** After the hello: checks whom the proxy claims to be, and finishes. */
export function* greetedClient(peer: Peer, setup: TlsSetup): Script {
  const line = yield* peer.readLine();
  // At a reverse listener nothing has been asked of the proxy before, and it makes no handshake to say this.
  if (line.startsWith("HTTP/1.1 503 ")) throw new Deviation("answered", "503 in place of a handshake");
  const [word, host, alpn] = line.split(" ");
  const chosen = alpn === "-" ? null : alpn ?? "";
  const isOffered = chosen === null || setup.offers.includes(chosen);
  if (word !== "hello" || host !== setup.host || !isOffered) {
    throw new Deviation("mismatch", `the proxy's side of TLS says ${JSON.stringify(line)} to ${setup.host}`);
  }
  // The proxy refuses in HTTP/1.1.
  if (setup.chooses === "h2" && chosen !== "h2") throw new Deviation("answered", `${alpn} instead of h2`);
  yield* peer.send(tlsLine("finished"));
  peer.startTls();
}

export function* playTurns(peer: Peer, turns: readonly Turn[]): Script {
  for (const turn of turns) {
    if (turn.type !== "says") continue;
    if (turn.by === "client") yield* peer.send(turn.bytes);
    else yield* peer.expect(turn.arrives);
  }
}

/** A server that plays its turns, after TLS if there is any. */
export function server(turns: readonly Turn[], index: number, tls: TlsSetup | null = null): ServerPlan {
  const part = new ServerPart(turns, index);
  return {
    dial: "accepts",
    isOver: () => part.isOver,
    *script(peer) {
      if (tls !== null) yield* greetedServer(peer, tls);
      yield* part.play(peer);
    },
  };
}

/** Checks whom the proxy asks for and what it offers, and chooses. */
export function* greetedServer(peer: Peer, tls: TlsSetup): Script {
  const line = yield* peer.readLine();
  // A hello whose client left before it was whole is carried through as it is.
  if (line.startsWith("\x16\x03")) throw new Deviation("ended", "in the middle of the client's hello");
  const offers = tls.offers.length === 0 ? "-" : tls.offers.join(",");
  if (line !== `hello ${tls.host} ${offers}`) {
    throw new Deviation("mismatch", `the proxy asks ${JSON.stringify(line)} of the server for ${tls.host}`);
  }
  yield* peer.send(tlsLine("hello", tls.chooses ?? "-"));
  peer.startTls();
}

/** A server that is not reached. */
export function unreachableServer(dial: ServerPlan["dial"]): ServerPlan {
  return { dial, isOver: () => true, *script() {} };
}

/** What a dial that fails so is answered with. */
export function dialStatus(dial: ServerPlan["dial"]): number {
  if (dial === "never" || dial === "too_late" || dial === "timeout") return 504;
  return dial === "self_target" ? 508 : 502;
}

export function refusedTurns(authority: string, status: number, random: Random): [Turn, Turn] {
  const [asks] = connectTurns(authority, random);
  return [asks, answers(status)];
}

function isAddress(host: string): boolean {
  return /^[0-9.]+$/.test(host) || host.includes(":");
}
