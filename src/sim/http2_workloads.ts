/** Flows that carry HTTP/2: inside TLS by ALPN, and with prior knowledge after CONNECT. */
import { join, latin1 } from "./bytes.ts";
import {
  connectTurns,
  type FlowPlan,
  greetedServer,
  type Planner,
  playTurns,
  securedClient,
  type ServerPlan,
  tlsSetup,
} from "./flow_plan.ts";
import { HpackPeer } from "./hpack_peer.ts";
import { Http2Endpoint } from "./http2_endpoint.ts";
import { field, type Http2Plan, planFlawedStream, type PlannedField, planStream } from "./http2_plan.ts";
import {
  CODE,
  END_HEADERS,
  END_STREAM,
  frame,
  FrameCutter,
  PADDED,
  padded,
  PREFACE,
  type RawFrame,
  readUint32,
  settingsFrame,
  TYPE,
  uint32,
} from "./http2_wire.ts";
import type { Random } from "./random.ts";
import { Deviation, type Peer, type Script } from "./script.ts";

const NOTHING = new Uint8Array(0);

/** Streams of every kind, many at once. */
export function http2Streams(planner: Planner): FlowPlan {
  return streamsFlow(planner, 0);
}

/** Among them streams that break a rule, which must cost these streams alone. */
export function http2FlawedStreams(planner: Planner): FlowPlan {
  return streamsFlow(planner, planner.random.between(1, 3));
}

function streamsFlow(planner: Planner, flawed: number): FlowPlan {
  const { random } = planner;
  const place = placeOf(planner);
  const allowsPush = random.chance(0.5);
  const count = random.pick([0, 1, 2, 3, 5, 10, 30]);
  const options = (index: number) => ({ ...place, path: `/${index}`, canPush: allowsPush });
  const streams = Array.from({ length: count }, (_, index) => planStream(options(index), random));
  for (let index = 0; index < flawed; index++) {
    streams.splice(random.below(streams.length + 1), 0, planFlawedStream(options(count + index), random));
  }
  const serverLeavesAfter = flawed === 0 && count > 0 && random.chance(0.2) ? random.between(1, count) : null;
  const endsFirst = serverLeavesAfter === null && flawed === 0 && count > 0
    ? random.pick(["client", "client", "server", "nobody"] as const)
    : random.pick(["client", "nobody"] as const);
  const plan: Http2Plan = {
    ...place,
    streams,
    crowd: random.pick([1, 3, 100]),
    allowsPush,
    serverLeavesAfter,
    endsFirst,
    isVerbatim: flawed === 0,
  };
  const seeds = [random.fork(), random.fork()] as const;
  let served: Http2Endpoint | null = null;
  return http2Flow(planner, place, {
    name: `${count} streams${flawed > 0 ? ` and ${flawed} flawed` : ""}${
      serverLeavesAfter === null ? "" : `, the server leaves after ${serverLeavesAfter}`
    }, ${endsFirst} ends first`,
    plan,
    reasons: endsFirst === "nobody" ? ["idle_timeout"] : ["complete"],
    client: (peer) => new Http2Endpoint("client", peer, seeds[0], plan).play(),
    server: (peer) => {
      served = new Http2Endpoint("server", peer, seeds[1], plan);
      return served.play();
    },
    isOver: () => served?.isOver ?? false,
  });
}

/** What ends the connection as an error, said by either side in the middle of an exchange. */
export function http2Broken(planner: Planner): FlowPlan {
  const { random } = planner;
  const place = placeOf(planner);
  const by = random.pick(["client", "server"] as const);
  const { name, bytes, code } = random.pick(by === "client" ? BROKEN_BY_CLIENT : BROKEN_BY_SERVER);
  // A wrong preface is no HTTP/2 where nothing else says that it is.
  const clear = place.scheme === "http" ? PREFACE : NOTHING;
  const isFirst = name === "preface";
  const said = (own: "client" | "server", good: Uint8Array): Uint8Array =>
    own === by ? join(isFirst ? clear : good, bytes) : good;
  return http2Flow(planner, place, {
    name: `broken by the ${by} (${name})`,
    plan: null,
    reasons: code === CODE.enhance_your_calm ? ["limit_exceeded"] : ["protocol_error"],
    *client(peer) {
      yield* peer.send(said("client", join(PREFACE, settingsFrame([]), getRequest(place))));
      yield* expectGoaway(peer, code);
    },
    *server(peer) {
      yield* peer.send(said("server", settingsFrame([])));
      yield* expectGoaway(peer, code);
    },
    isOver: () => true,
  });
}

interface Broken {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly code: number;
}

const { protocol_error, frame_size_error, compression_error, flow_control_error } = CODE;
const BROKEN_BY_EITHER: readonly Broken[] = [
  ["PING on a stream", frame(TYPE.ping, 0, 1, new Uint8Array(8)), protocol_error],
  ["PING of 7 octets", frame(TYPE.ping, 0, 0, new Uint8Array(7)), frame_size_error],
  ["DATA on stream 0", frame(TYPE.data, 0, 0, latin1("x")), protocol_error],
  ["DATA on an idle stream", frame(TYPE.data, 0, 99, latin1("x")), protocol_error],
  ["RST_STREAM on an idle stream", frame(TYPE.rst_stream, 0, 99, uint32(8)), protocol_error],
  ["CONTINUATION of nothing", frame(TYPE.continuation, END_HEADERS, 1), protocol_error],
  [
    "PING in a block",
    join(frame(TYPE.headers, 0, 1), frame(TYPE.ping, 0, 0, new Uint8Array(8))),
    protocol_error,
  ],
  ["a frame that is too large", frame(TYPE.headers, 0, 1, new Uint8Array(16_385)), frame_size_error],
  ["WINDOW_UPDATE of 3 octets", frame(TYPE.window_update, 0, 0, [0, 0, 1]), frame_size_error],
  ["WINDOW_UPDATE of 0", frame(TYPE.window_update, 0, 0, uint32(0)), protocol_error],
  ["SETTINGS of 5 octets", frame(TYPE.settings, 0, 0, new Uint8Array(5)), frame_size_error],
  ["a window that is too large", settingsFrame([[4, 0x8000_0000]]), flow_control_error],
  ["a frame size that is too small", settingsFrame([[5, 100]]), protocol_error],
  ["padding that does not fit", frame(TYPE.data, PADDED, 1, Uint8Array.of(9, 0)), protocol_error],
  ["an index of nothing", frame(TYPE.headers, END_HEADERS, 1, Uint8Array.of(0xff, 0x70)), compression_error],
  [
    "a table too large",
    frame(TYPE.headers, END_HEADERS, 1, Uint8Array.of(0x3f, 0xff, 0x7f)),
    compression_error,
  ],
].map(([name, bytes, code]) => ({ name, bytes, code }) as Broken);

const BROKEN_BY_CLIENT: readonly Broken[] = [
  ...BROKEN_BY_EITHER,
  { name: "preface", bytes: latin1("PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n"), code: protocol_error },
  {
    name: "an even stream",
    bytes: frame(TYPE.headers, END_HEADERS | END_STREAM, 2, Uint8Array.of(0x82)),
    code: protocol_error,
  },
  {
    name: "a promise",
    bytes: frame(TYPE.push_promise, END_HEADERS, 1, [...uint32(2), 0x82]),
    code: protocol_error,
  },
];

const BROKEN_BY_SERVER: readonly Broken[] = [
  ...BROKEN_BY_EITHER,
  {
    name: "HEADERS on an idle stream",
    bytes: frame(TYPE.headers, END_HEADERS, 77, Uint8Array.of(0x88)),
    code: protocol_error,
  },
  {
    name: "an odd promise",
    bytes: frame(TYPE.push_promise, END_HEADERS | PADDED, 1, padded(Uint8Array.of(0, 0, 0, 7, 0x82), 3)),
    code: protocol_error,
  },
];

/** Peers that stop in the middle: the right timer ends the flow. */
export function http2Silence(planner: Planner): FlowPlan {
  const { random } = planner;
  const place = placeOf(planner);
  const how = random.pick(["idle", "half_frame", "half_block", "no_response", "no_window"] as const);
  const request = getRequest(place);
  const bytes = {
    idle: NOTHING,
    half_frame: request.subarray(0, 12),
    half_block: frame(TYPE.headers, END_STREAM, 1, request.subarray(9)),
    no_response: request,
    no_window: request,
  }[how];
  return http2Flow(planner, place, {
    name: `silence (${how})`,
    plan: null,
    reasons: how.startsWith("half") ? ["stage_timeout", "idle_timeout"] : ["idle_timeout"],
    *client(peer) {
      yield* peer.send(join(PREFACE, settingsFrame([]), bytes));
      yield* expectGoaway(peer, CODE.no_error);
    },
    *server(peer) {
      yield* peer.send(settingsFrame([]));
      if (how === "no_window") {
        yield* peer.hear();
        const status = frame(TYPE.headers, END_HEADERS, 1, Uint8Array.of(0x88));
        let isAsked = false;
        const cutter = new FrameCutter();
        for (let heard = 0; !isAsked && !peer.ended && !peer.wasReset;) {
          const data = peer.take();
          const skipped = Math.min(data.length, PREFACE.length - heard);
          heard += skipped;
          isAsked = cutter.push(data.subarray(skipped)).some(({ type }) => type === TYPE.headers);
          if (!isAsked) yield* peer.hear();
        }
        if (isAsked) {
          yield* peer.send(
            join(status, ...Array.from({ length: 4 }, () => frame(TYPE.data, 0, 1, random.bytes(16_000)))),
          );
        }
      }
      yield* expectGoaway(peer, CODE.no_error);
    },
    isOver: () => true,
  });
}

/** Reads to the end, of which GOAWAY is the last that is said. */
function* expectGoaway(peer: Peer, code: number): Script {
  const cutter = new FrameCutter();
  let start: Uint8Array = NOTHING;
  let last: RawFrame | null = null;
  for (;;) {
    const data = peer.take();
    if (start.length < PREFACE.length) {
      const room = PREFACE.length - start.length;
      const before = start.length;
      start = join(start, data.subarray(0, room));
      if (start.length === PREFACE.length) {
        // A server hears a preface first, a client does not.
        const isPreface = start.every((octet, index) => octet === PREFACE[index]);
        last =
          cutter.push(isPreface ? data.subarray(PREFACE.length - before) : join(start, data.subarray(room)))
            .at(-1) ?? last;
      }
    } else last = cutter.push(data).at(-1) ?? last;
    if (peer.unread === 0 && (peer.ended || peer.wasReset)) break;
    yield* peer.hear();
  }
  if (start.length < PREFACE.length) last = cutter.push(start).at(-1) ?? null;
  const isGoaway = last !== null && last.type === TYPE.goaway;
  if (!isGoaway && peer.wasReset && !peer.ended) throw new Deviation("reset", "instead of GOAWAY");
  if (!isGoaway) throw new Deviation("ended", "without GOAWAY");
  const found = readUint32(last!.payload, 4);
  if (found !== code) throw new Deviation("answered", `GOAWAY with code ${found}, expected ${code}`);
  peer.end.end();
}

function getRequest({ authority, scheme }: Place): Uint8Array {
  const writer = new HpackPeer();
  const fields: PlannedField[] = [
    field(":method", "GET"),
    field(":scheme", scheme),
    field(":authority", authority),
    field(":path", "/"),
  ];
  const block = fields.flatMap(({ name, value }) =>
    writer.field({ name, value, as: "indexed", huffman: true, nameByIndex: true })
  );
  return frame(TYPE.headers, END_HEADERS | END_STREAM, 1, block);
}

interface Place {
  readonly host: string;
  readonly authority: string;
  readonly scheme: string;
}

function placeOf({ random, flow }: Planner): Place {
  const host = `f${flow}.test`;
  const isTls = random.chance(0.6);
  return { host, authority: `${host}:${isTls ? 443 : 8080}`, scheme: isTls ? "https" : "http" };
}

interface Http2Flow {
  readonly name: string;
  readonly plan: Http2Plan | null;
  readonly reasons: FlowPlan["reasons"];
  client(peer: Peer): Script;
  server(peer: Peer): Script;
  isOver(): boolean;
}

function http2Flow({ random }: Planner, { host, authority, scheme }: Place, flow: Http2Flow): FlowPlan {
  const setup = scheme === "https" ? tlsSetup(host, random, tlsOptions(random)) : null;
  const connect = connectTurns(authority, random);
  const server: ServerPlan = {
    dial: "accepts",
    isOver: () => flow.isOver(),
    *script(peer) {
      if (setup !== null) yield* greetedServer(peer, setup);
      yield* flow.server(peer);
    },
  };
  return {
    name: `HTTP/2 over ${scheme}: ${flow.name}`,
    client: setup === null
      ? function* (peer) {
        yield* playTurns(peer, connect);
        yield* flow.client(peer);
      }
      : securedClient(connect, setup, (peer) => flow.client(peer), random.chance(0.3)),
    servers: new Map([[authority, server]]),
    actions: new Map(),
    hello: setup?.hello ?? null,
    reasons: flow.reasons,
    // Which streams meet where, and so how blocks are compressed, is a matter of time.
    dependsOnTime: true,
    exchanges: [],
    http2: flow.plan,
  };
}

function tlsOptions(random: Random) {
  return { http2: true, prefers: "h2", alpn: random.pick([["h2"], ["h2", "http/1.1"], ["http/1.1", "h2"]]) };
}
