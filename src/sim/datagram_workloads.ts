/** Flows of CONNECT-UDP: datagrams in capsules to an echo and back, refused, cut off, or broken. */
import { join, latin1, textOf, veil } from "./bytes.ts";
import { dialStatus, type FlowPlan, type Planner, type ServerPlan, unreachableServer } from "./flow_plan.ts";
import { Deviation, type Peer, type Script } from "./script.ts";

const GRANTED = latin1(
  "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: connect-udp\r\n" +
    "Capsule-Protocol: ?1\r\n\r\n",
);
/** Every echo is back after this, if it comes at all. */
const ECHO_MS = 400;

export function connectUdp({ random, flow }: Planner): FlowPlan {
  const host = `f${flow}-udp.test`;
  const port = random.between(1, 65_535);
  const head = latin1(
    `GET /.well-known/masque/udp/${host}/${port}/ HTTP/1.1\r\nHost: proxy.test\r\n` +
      "Connection: Upgrade\r\nUpgrade: connect-udp\r\nCapsule-Protocol: ?1\r\n\r\n",
  );
  const dial = random.chance(0.8)
    ? "accepts"
    : random.pick(["unresolved", "self_target", "exhausted", "never"] as const);
  const isBlocked = random.chance(0.1);
  const isBroken = random.chance(0.1);
  const refusal = isBlocked ? 403 : dial === "accepts" ? null : dialStatus(dial);
  const payloads = Array.from(
    { length: random.between(1, 15) },
    () => random.bytes(random.pick([0, 1, 63, 1200])),
  );
  const capsules = payloads.map((payload) => capsule(payload, random.chance(0.2) ? [0x21] : [0]));
  const sent = payloads.filter((_, index) => capsules[index]![0] === 0);
  const isEager = random.chance(0.3);
  const server: ServerPlan = unreachableServer(dial);
  return {
    name: refusal === null
      ? (isBroken ? "broken CONNECT-UDP" : "CONNECT-UDP")
      : `CONNECT-UDP answered ${refusal}`,
    *client(peer) {
      yield* peer.send(isEager ? join(head, ...capsules) : head);
      if (refusal !== null) {
        const status = yield* peer.expectAnswer();
        if (status !== refusal) throw new Deviation("answered", String(status));
        peer.end.end();
        yield* peer.expectEnd();
        return;
      }
      yield* peer.expect(GRANTED);
      if (!isEager) {
        for (const one of capsules) {
          yield* peer.send(one);
          if (random.chance(0.3)) yield* peer.sleep(random.between(1, 50));
        }
      }
      yield* peer.sleep(ECHO_MS);
      // A datagram without even a context.
      if (isBroken) yield* peer.send(Uint8Array.of(0, 0));
      else peer.end.end();
      yield* echoes(peer, sent);
    },
    servers: new Map([[`${host}:${port}`, server]]),
    actions: new Map(isBlocked ? [[host, "block"]] : []),
    hello: null,
    datagrams: true,
    reasons: refusal === null
      ? [isBroken ? "protocol_error" : "complete"]
      : isBlocked
      ? ["blocked"]
      : ["upstream_connect_failed", "route_failed"],
    exchanges: [],
  };
}

/** Some may be lost and some come twice; none is anything but an echo of what was sent. */
function* echoes(peer: Peer, sent: readonly Uint8Array[]): Script {
  const { datagrams } = readCapsules(yield* peer.readToEnd());
  const expected = new Set(sent.map((payload) => textOf(veil(payload))));
  const stranger = datagrams.find((datagram) => !expected.has(textOf(datagram)));
  if (stranger !== undefined) {
    throw new Deviation("mismatch", `a datagram of ${stranger.length} octets that nobody sent`);
  }
}

/** Of a context where it is a datagram. */
function capsule(payload: Uint8Array, type: readonly number[]): Uint8Array {
  const content = type[0] === 0 ? join(Uint8Array.of(0), payload) : payload;
  const { length } = content;
  const size = length < 64 ? [length] : [0x40 | length >> 8, length & 0xff];
  return join(Uint8Array.from([...type, ...size]), content);
}

/** The payloads of the capsules that are there whole; the proxy writes no others, and its lengths in two octets at most. */
export function readCapsules(octets: Uint8Array): { datagrams: Uint8Array[]; rest: number } {
  const datagrams: Uint8Array[] = [];
  let at = 0;
  for (;;) {
    const first = octets[at + 1];
    if (first === undefined) break;
    const length = first < 0x40 ? first : (first & 0x3f) << 8 | (octets[at + 2] ?? 0);
    const content = at + (first < 0x40 ? 2 : 3);
    if (octets.length < content + length) break;
    if (octets[at] !== 0 || octets[content] !== 0) {
      throw new Deviation("mismatch", `a capsule of type ${octets[at]} in context ${octets[content]}`);
    }
    datagrams.push(octets.slice(content + 1, content + length));
    at = content + length;
  }
  return { datagrams, rest: octets.length - at };
}

/** The payloads in what a client said, its head before them and capsules of another type between them. */
export function readClientDatagrams(parts: readonly Uint8Array[]): Uint8Array[] {
  const octets = join(...parts);
  const payloads: Uint8Array[] = [];
  let at = textOf(octets).indexOf("\r\n\r\n") + 4;
  for (let first = octets[at + 1]; first !== undefined; first = octets[at + 1]) {
    const length = first < 0x40 ? first : (first & 0x3f) << 8 | (octets[at + 2] ?? 0);
    const content = at + (first < 0x40 ? 2 : 3);
    if (octets[at] === 0) payloads.push(octets.slice(content + 1, content + length));
    at = content + length;
  }
  return payloads;
}

/** What a client is told before the capsules begin. */
export const GRANTED_BYTES = GRANTED.length;
