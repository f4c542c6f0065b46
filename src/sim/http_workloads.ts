/** Flows that carry HTTP/1.1: inside TLS, in the clear after CONNECT, and as plain requests to a proxy. */
import type { Action } from "../core/session.ts";
import { join, latin1 } from "./bytes.ts";
import { answers, ends, type Farewell, pauses, says, saysInVain, type Turn } from "./dialogue.ts";
import {
  clearClient,
  connectTurns,
  dialStatus,
  type FlowPlan,
  type Planner,
  server,
  type ServerPlan,
  tlsClient,
  tlsSetup,
  unreachableServer,
} from "./flow_plan.ts";
import {
  EXCHANGE_KINDS,
  type ExchangeKind,
  type ExchangePlan,
  head,
  LAST_EXCHANGE_KINDS,
  type Place,
  planExchange,
  requestHead,
} from "./messages.ts";
import type { Random } from "./random.ts";
import { unlessClosed } from "./script.ts";

const NOTHING = new Uint8Array(0);
type Transport = "tls" | "clear" | "forward";
export const TRANSPORTS: readonly Transport[] = ["tls", "clear", "forward"];

/** Any exchanges in a row, pipelined now and then, to several servers where the transport allows it. */
export function exchanges(planner: Planner): FlowPlan {
  const { random } = planner;
  const transport = random.pick(TRANSPORTS);
  const places = new Places(planner, transport, transport === "forward" ? random.between(1, 3) : 1);
  const plans: ExchangePlan[] = [];
  const count = random.between(1, 5);
  for (let index = 0; index < count; index++) {
    const isLast = index === count - 1 && random.chance(0.5);
    const kind: ExchangeKind = random.pick(isLast ? LAST_EXCHANGE_KINDS : EXCHANGE_KINDS);
    plans.push(planExchange(kind, places.next(), random));
    if (plans.at(-1)!.isLast) break;
  }
  const natural = plans.flatMap((plan) => plan.turns);
  const isPipelined = plans.every((plan) => plan.canBePipelined) && random.chance(0.3);
  const last = plans.at(-1)!;
  const [asks, ...answered] = last.turns;
  // A client may end while it still reads the last response.
  const endsEarly = last.isLast && random.chance(0.4);
  const clientTurns = isPipelined
    ? [...natural.filter((turn) => turn.by === "client"), ...natural.filter((turn) => turn.by !== "client")]
    : endsEarly
    ? [
      ...plans.slice(0, -1).flatMap((plan) => plan.turns),
      asks!,
      pauses("client", random.between(1, 500)),
      ends("client"),
      ...answered,
    ]
    : natural;
  return httpFlow(planner, places, {
    name: `exchanges over ${transport}${isPipelined ? ", pipelined" : ""}`,
    turns: natural,
    clientTurns,
    exchanges: plans,
    farewell: last.isLast ? random.pick(["ends", "waits"]) : "ends",
    reasons: ["complete"],
    // Plain requests that policy tunnels are carried without events.
    actions: transport === "forward" && random.chance(0.3) ? [[places.hosts[0]!, "tunnel"]] : [],
  });
}

/** More requests at once than a relay lets wait for their responses. */
export function pipelinedCrowd(planner: Planner): FlowPlan {
  const { random } = planner;
  const transport = random.pick(TRANSPORTS);
  const places = new Places(planner, transport, 1);
  const plans = Array.from(
    { length: random.between(60, 90) },
    () => planExchange("no_content", places.next(), random),
  );
  const natural = plans.flatMap((plan) => plan.turns);
  return httpFlow(planner, places, {
    name: `a crowd of requests over ${transport}`,
    turns: natural,
    clientTurns: [
      says(
        "client",
        join(...natural.map((turn) => turn.by === "client" && turn.type === "says" ? turn.bytes : NOTHING)),
      ),
      ...natural.filter((turn) => turn.by === "server"),
    ],
    exchanges: plans,
    farewell: "ends",
    reasons: ["complete"],
  });
}

/** Another protocol after 101, opaque both ways. */
export function upgrade(planner: Planner): FlowPlan {
  const { random } = planner;
  const transport = random.pick(TRANSPORTS);
  const places = new Places(planner, transport, 1);
  const before = random.chance(0.5) ? [planExchange("get", places.next(), random)] : [];
  const place = places.next();
  const asks = requestHead("GET", place, "HTTP/1.1", [
    ["Connection", "Upgrade"],
    ["Upgrade", "echo"],
  ], random);
  const switches = head("HTTP/1.1 101 Switching Protocols", [["Connection", "upgrade"], ["Upgrade", "echo"]]);
  const clientEndsFirst = random.chance(0.5);
  const endsEarly = random.chance(0.2);
  const rest = endsEarly
    ? [ends("client"), says("server", random.bytes(50)), ends("server")]
    : rawTurns(random, clientEndsFirst);
  const first = before.flatMap((plan) => plan.turns);
  const request = says("client", asks.bytes, 0, asks.arrives);
  const granted = says("server", join(switches, random.chance(0.5) ? random.bytes(20) : NOTHING));
  return httpFlow(planner, places, {
    name: `upgrade over ${transport}${endsEarly ? ", ended before it was granted" : ""}`,
    turns: [
      ...first,
      request,
      ...(endsEarly ? [pauses("server", 100)] : []),
      granted,
      ...rest,
    ],
    ...(endsEarly ? { clientTurns: [...first, request, ends("client"), granted, ...rest.slice(1)] } : {}),
    exchanges: before,
    farewell: "ends",
    reasons: ["complete"],
  });
}

/** Bytes of no protocol both ways, then both ends. */
export function rawTurns(random: Random, clientEndsFirst: boolean): Turn[] {
  const turns: Turn[] = [];
  for (let count = random.between(0, 6); count > 0; count--) {
    turns.push(says(random.pick(["client", "server"]), random.bytes(random.pick([1, 100, 5000, 70_000]))));
  }
  const first = clientEndsFirst ? "client" : "server";
  const second = clientEndsFirst ? "server" : "client";
  const last = random.chance(0.5) ? [says(second, random.bytes(random.pick([1, 3000, 100_000])))] : [];
  return [...turns, ends(first), ...last, ends(second)];
}

/** A request that breaks a rule: nothing of it reaches the server, and the answer comes in its turn. */
export function badRequest(planner: Planner): FlowPlan {
  const { random } = planner;
  const transport = random.pick(TRANSPORTS);
  const places = new Places(planner, transport, 1);
  const before = random.chance(0.5) ? [planExchange("get", places.next(), random)] : [];
  const place = places.next();
  const [lines, status] = random.pick(BAD_REQUESTS);
  const start = place.toProxy ? `http://${place.host}${place.path}` : place.path;
  // Some begin like a CONNECT.
  const likeConnect = random.chance(0.2) ? lines.replace(/^[A-Z]+/, "CONN") : lines;
  const bytes = latin1(likeConnect.replaceAll("HOST", place.host).replace("TARGET", start));
  const natural = before.flatMap((plan) => plan.turns);
  const isPipelined = random.chance(0.5);
  const asks = says("client", bytes, 0, NOTHING);
  const turns = [...natural, asks, answers(status)];
  return httpFlow(planner, places, {
    name: `bad request over ${transport}`,
    turns,
    clientTurns: isPipelined
      ? [
        ...natural.filter((turn) => turn.by === "client"),
        asks,
        ...natural.filter((turn) => turn.by !== "client"),
        answers(status),
      ]
      : turns,
    exchanges: before,
    farewell: random.pick(["ends", "waits"]),
    reasons: ["protocol_error", "limit_exceeded", "connect_parse_failed"],
  });
}

const BAD_REQUESTS: readonly (readonly [string, number])[] = [
  [
    "POST TARGET HTTP/1.1\r\nHost: HOST\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    400,
  ],
  ["POST TARGET HTTP/1.1\r\nHost: HOST\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde", 400],
  ["POST TARGET HTTP/1.1\r\nHost: HOST\r\nContent-Length: +4\r\n\r\nabcd", 400],
  ["POST TARGET HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400],
  ["POST TARGET HTTP/1.0\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400],
  ["GET TARGET HTTP/1.1\r\nHost : HOST\r\n\r\n", 400],
  ["GET TARGET HTTP/1.1\r\nHost: HOST\r\nX-Folded: a\r\n b\r\n\r\n", 400],
  ["GET TARGET HTTP/1.1\r\nHost: HOST\r\nX-Bare: a\rb\r\n\r\n", 400],
  ["GET TARGET HTTP/1.1\r\nHost: HOST\r\nX-Nul: a\0b\r\n\r\n", 400],
  ["GET TARGET HTTP/1.1\nHost: HOST\n\n", 400],
  ["GET TARGET HTTP/1.1\r\nAccept: */*\r\n\r\n", 400],
  ["GET TARGET HTTP/1.1\r\nHost: HOST\r\nHost: HOST\r\n\r\n", 400],
  ["GET TARGET HTTP/2.0\r\nHost: HOST\r\n\r\n", 400],
  [`GET TARGET HTTP/1.1\r\nHost: HOST\r\n${"X: y\r\n".repeat(300)}\r\n`, 431],
  [`GET TARGET HTTP/1.1\r\nHost: HOST\r\nX: ${"y".repeat(20_000)}\r\n\r\n`, 431],
];

/** A request body whose framing breaks in the middle, before or after the response has begun. */
export function badRequestBody(planner: Planner): FlowPlan {
  const { random } = planner;
  const transport = random.pick(TRANSPORTS);
  const places = new Places(planner, transport, 1);
  const asks = requestHead("POST", places.next(), "HTTP/1.1", [["Transfer-Encoding", "chunked"]], random);
  const valid = latin1("5\r\nhello\r\n");
  const bad = latin1(random.pick(BAD_CHUNKS));
  // Where the data of a chunk is too long, what is of the right length has gone out before that is known. A
  // trailer section is held back, the size line before it is not.
  const partly = bad[0] === 0x33 ? latin1("3\r\nabc") : bad[0] === 0x30 ? latin1("0\r\n") : NOTHING;
  const shared = { exchanges: [], farewell: "waits", reasons: ["protocol_error"] } as const;
  if (random.chance(0.5)) {
    return httpFlow(planner, places, {
      ...shared,
      name: `bad request body over ${transport}`,
      turns: [
        saysInVain("client", join(asks.bytes, valid, bad), 0, join(asks.arrives, valid, partly)),
        answers(400),
      ],
    });
  }
  const begins = says("client", join(asks.bytes, valid), 0, join(asks.arrives, valid));
  const goesOn = saysInVain("client", bad, 0, partly);
  const answersWhole = random.chance(0.5);
  const answer = latin1(`HTTP/1.1 200 OK\r\nContent-Length: ${answersWhole ? 4 : 9}\r\n\r\nhalf`);
  const turns = [begins, says("server", answer), goesOn];
  return httpFlow(planner, places, {
    ...shared,
    name: `bad request body after ${answersWhole ? "the" : "half a"} response over ${transport}`,
    turns,
    // Half a response is cut off.
    clientTurns: answersWhole ? turns : [...turns, saysInVain("server", NOTHING, 0, NOTHING)],
  });
}

const BAD_CHUNKS = [
  "zz\r\n",
  "5\nhello",
  " 5\r\n",
  "5 ;x\r\n",
  "3\r\nabcd\r\n",
  "0\r\nBad Trailer: x\r\n\r\n",
];

/** A response that breaks a rule: 502 while nothing of it went out, else a reset. */
export function badResponse(planner: Planner): FlowPlan {
  const { random } = planner;
  const transport = random.pick(TRANSPORTS);
  const places = new Places(planner, transport, 1);
  const place = places.next();
  const asks = requestHead("GET", place, "HTTP/1.1", [], random);
  const request = says("client", asks.bytes, 0, asks.arrives);
  const shared = { exchanges: [], farewell: "waits", reasons: ["protocol_error", "limit_exceeded"] } as const;
  if (random.chance(0.6)) {
    return httpFlow(planner, places, {
      ...shared,
      name: `bad response head over ${transport}`,
      turns: [request, says("server", latin1(random.pick(BAD_RESPONSES)), 0, NOTHING), answers(502)],
    });
  }
  if (random.chance(0.3)) {
    const whole = head("HTTP/1.1 204 No Content", []);
    return httpFlow(planner, places, {
      ...shared,
      name: `unsolicited response over ${transport}`,
      turns: [
        request,
        says("server", whole),
        pauses("server", 300),
        says("server", latin1("HTTP/1.1 200 OK\r\n\r\n"), 0, NOTHING),
      ],
    });
  }
  const begins = join(head("HTTP/1.1 200 OK", [["Transfer-Encoding", "chunked"]]), latin1("5\r\nhello\r\n"));
  return httpFlow(planner, places, {
    ...shared,
    name: `bad response body over ${transport}`,
    turns: [request, saysInVain("server", join(begins, latin1("zz\r\n")), 0, begins)],
  });
}

const BAD_RESPONSES = [
  "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  "HTTP/1.1 200 OK\r\nContent-Length: 4, 5\r\n\r\nabcde",
  "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
  "HTTP/1.1 99 Low\r\n\r\n",
  "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  "HTTP/1.1 200 OK\r\n X: folded\r\n\r\n",
  "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
  "SSH-2.0-OpenSSH_9.9\r\n\r\n",
  `HTTP/1.1 200 OK\r\nX: ${"y".repeat(20_000)}\r\n\r\n`,
];

/** Plain requests of which one is answered by the proxy, between others that are not. */
export function forwardRefusals(planner: Planner): FlowPlan {
  const { random } = planner;
  const places = new Places(planner, "forward", 1);
  const before = random.chance(0.5) ? [planExchange("get", places.next(), random)] : [];
  const after = random.chance(0.7) ? [planExchange("get", places.next(), random)] : [];
  const kind = random.pick(["blocked", "dial", "dial", "origin_form", "https"] as const);
  const host = `f${planner.flow}-other.test`;
  const dial = random.pick(
    ["refused", "unresolved", "unreachable", "self_target", "never", "too_late"] as const,
  );
  const [target, status] = kind === "origin_form"
    ? ["/plain", 400]
    : kind === "https"
    ? [`https://${host}/secret`, 400]
    : [`http://${host}/`, kind === "blocked" ? 403 : dialStatus(dial)];
  // A request with a body takes the connection with it: nobody reads the body.
  const hasBody = after.length === 0 && random.chance(0.5);
  const refused = latin1(
    hasBody
      ? `POST ${target} HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 3\r\n\r\nabc`
      : `GET ${target} HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
  );
  const isLast = after.length === 0;
  return httpFlow(planner, places, {
    name: `refused plain request (${kind === "dial" ? dial : kind})`,
    turns: [
      ...before.flatMap((plan) => plan.turns),
      says("client", refused, -1, NOTHING),
      answers(status),
      ...after.flatMap((plan) => plan.turns),
    ],
    exchanges: [...before, ...after],
    farewell: "ends",
    reasons: !isLast
      ? ["complete"]
      : kind === "blocked"
      ? ["blocked"]
      : kind === "dial"
      ? ["upstream_connect_failed", "route_failed"]
      : ["protocol_error"],
    moreServers: [[`${host}:80`, unreachableServer(dial)]],
    actions: kind === "blocked" ? [[host, "block"]] : [],
  });
}

/** A CONNECT on a connection that has served plain requests, and what comes with it. */
export function connectAfterForward(planner: Planner): FlowPlan {
  const { random } = planner;
  const places = new Places(planner, "forward", 1);
  const before = planExchange("get", places.next(), random);
  const host = `f${planner.flow}-tunnel.test`;
  const raw = rawTurns(random, random.chance(0.5)).map((turn) =>
    "server" in turn ? { ...turn, server: 1 } : turn
  );
  const connect = connectTurns(`${host}:99`, random);
  const first = before.turns.filter((turn) => turn.by === "client");
  const rest = before.turns.filter((turn) => turn.by !== "client");
  const isPipelined = random.chance(0.5);
  const letsGo = !isPipelined && random.chance(0.5) ? [ends("server")] : [];
  const wait = letsGo.length > 0 ? [pauses("client", 1000)] : [];
  const turns = [...before.turns, ...letsGo, ...connect, ...raw];
  return httpFlow(planner, places, {
    name: "CONNECT after a plain request",
    turns,
    clientTurns: isPipelined
      ? [...first, connect[0], ...rest, connect[1], ...raw]
      : [...before.turns, ...wait, ...connect, ...raw],
    exchanges: [before],
    farewell: "ends",
    reasons: ["complete"],
    moreServers: [[`${host}:99`, server(turns, 1)]],
    actions: [[host, "tunnel"]],
  });
}

/** Peers that stop in the middle of an exchange or between two: the right timer ends the flow. */
export function silentExchange(planner: Planner): FlowPlan {
  const { random } = planner;
  const transport = random.pick(TRANSPORTS);
  const places = new Places(planner, transport, 1);
  const plan = planExchange("get", places.next(), random);
  const asks = plan.turns[0]!;
  const upload = requestHead("POST", places.next(), "HTTP/1.1", [["Content-Length", "100"]], random);
  const shared = { exchanges: [], farewell: "waits", reasons: ["idle_timeout"] } as const;
  switch (
    random.pick(["idle", "no_response", "half_head", "half_body", "half_upload", "half_request"] as const)
  ) {
    case "idle":
      return httpFlow(planner, places, {
        ...shared,
        name: `kept alive and idle over ${transport}`,
        turns: plan.turns,
        exchanges: [plan],
      });
    case "no_response":
      return httpFlow(planner, places, {
        ...shared,
        name: `no response over ${transport}`,
        turns: [asks, answers(504)],
      });
    case "half_head":
      return httpFlow(planner, places, {
        ...shared,
        name: `half a response head over ${transport}`,
        turns: [asks, says("server", latin1("HTTP/1.1 200 OK\r\nX: "), 0, NOTHING), answers(504)],
        reasons: ["stage_timeout", "idle_timeout"],
      });
    case "half_body": {
      const half = latin1("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
      return httpFlow(planner, places, {
        ...shared,
        name: `half a response over ${transport}`,
        turns: [asks, saysInVain("server", half, 0, half)],
      });
    }
    case "half_upload":
      return httpFlow(planner, places, {
        ...shared,
        name: `half a request over ${transport}`,
        turns: [
          saysInVain("client", join(upload.bytes, latin1("half")), 0, join(upload.arrives, latin1("half"))),
          answers(504),
        ],
      });
    case "half_request":
      return httpFlow(planner, places, {
        ...shared,
        name: `half a request head over ${transport}`,
        turns: [
          ...plan.turns,
          says("client", latin1("GET /never HTTP/1.1\r\nHost: "), 0, NOTHING),
          answers(408),
        ],
        exchanges: [plan],
        reasons: ["stage_timeout"],
      });
  }
}

interface HttpFlow {
  readonly name: string;
  /** In the order the servers see them. */
  readonly turns: readonly Turn[];
  readonly clientTurns?: readonly Turn[];
  readonly exchanges: readonly ExchangePlan[];
  readonly farewell: Farewell;
  readonly reasons: FlowPlan["reasons"];
  readonly moreServers?: readonly (readonly [string, ServerPlan])[];
  readonly actions?: readonly (readonly [string, Action])[];
}

export function httpFlow(planner: Planner, places: Places, flow: HttpFlow): FlowPlan {
  const { random } = planner;
  const { transport } = places;
  const clientTurns = flow.clientTurns ?? flow.turns;
  const setup = transport === "tls"
    ? tlsSetup(places.hosts[0]!, random, { http2: planner.http2 === true })
    : null;
  const connect = transport === "forward" ? [] : connectTurns(places.authorities[0]!, random);
  return {
    name: flow.name,
    client: setup === null
      ? clearClient([...connect, ...clientTurns], flow.farewell)
      : tlsClient(connect, setup, clientTurns, { farewell: flow.farewell, isEager: random.chance(0.3) }),
    servers: new Map([
      ...places.authorities.map((authority, index) => [authority, server(flow.turns, index, setup)] as const),
      ...flow.moreServers ?? [],
    ]),
    actions: new Map(flow.actions ?? []),
    hello: setup?.hello ?? null,
    reasons: flow.reasons,
    exchanges: flow.exchanges,
  };
}

/** Where the requests of one flow go. */
export class Places {
  readonly hosts: readonly string[];
  readonly authorities: readonly string[];
  readonly #random: Random;
  #path = 0;

  constructor({ random, flow }: Planner, readonly transport: Transport, count: number) {
    this.#random = random;
    const port = transport === "tls" ? 443 : random.pick([80, 8080]);
    this.hosts = Array.from({ length: count }, (_, index) => `f${flow}-${index}.test`);
    this.authorities = this.hosts.map((host) => `${host}:${port}`);
  }

  next(): Place {
    return this.at(this.#random.below(this.hosts.length));
  }

  at(server: number): Place {
    const authority = this.authorities[server]!;
    const isDefaultPort = this.transport === "forward" && authority.endsWith(":80");
    return {
      host: isDefaultPort ? this.hosts[server]! : authority,
      path: `/${++this.#path}?q=${this.#random.below(100)}`,
      server,
      toProxy: this.transport === "forward",
    };
  }
}

/** A forward exchange whose server lets its idle connection go before the next one. */
export function serverLetsGo(planner: Planner): FlowPlan {
  const { random } = planner;
  const places = new Places(planner, "forward", 1);
  const first = planExchange("post", places.next(), random);
  const second = planExchange("chunked", places.next(), random);
  const turns = [...first.turns, ends("server"), ...second.turns];
  return httpFlow(planner, places, {
    name: "a server that lets an idle connection go",
    turns,
    clientTurns: [...first.turns, pauses("client", 1000), ...second.turns],
    exchanges: [first, second],
    farewell: "ends",
    reasons: ["complete"],
  });
}

/** Everything the client has to say is out, its end included, before the proxy has answered. */
export function saidAtOnce(planner: Planner): FlowPlan {
  const { random } = planner;
  const transport = random.pick(["clear", "forward"] as const);
  const places = new Places(planner, transport, 1);
  const plans = [planExchange("get", places.next(), random), planExchange("get", places.next(), random)];
  const natural = plans.flatMap((plan) => plan.turns);
  const plan = httpFlow(planner, places, {
    name: `said at once over ${transport}`,
    turns: natural,
    exchanges: plans,
    farewell: "ends",
    reasons: ["complete"],
  });
  const connect = transport === "forward" ? [] : connectTurns(places.authorities[0]!, random);
  const all = [...connect, ...natural];
  return {
    ...plan,
    client: clearClient([
      ...all.filter((turn) => turn.by === "client"),
      ends("client"),
      ...all.filter((turn) => turn.by !== "client"),
    ], "ends"),
  };
}

/** A server that answers early and reads no more, while the client goes on to another server. */
export function answersAndStopsReading(planner: Planner): FlowPlan {
  const { random } = planner;
  const places = new Places(planner, "forward", 2);
  const [first, second] = [places.at(0), places.at(1)];
  // On a narrow link a little more than the network takes, and less than makes the proxy stop reading.
  const body = random.bytes(random.between(4_000, 4_900));
  const asks = requestHead("POST", first, "HTTP/1.1", [["Content-Length", `${body.length + 5}`]], random);
  const begin = join(asks.arrives, latin1("begin"));
  const early = head("HTTP/1.1 204 No Content", []);
  const answer = says("server", early);
  const before = says("client", join(asks.bytes, latin1("begin")), 0, begin);
  const after = planExchange("get", second, random);
  const plan = httpFlow(planner, places, {
    name: "a server that answers and stops reading",
    turns: [before, answer, ...after.turns],
    clientTurns: [before, answer, says("client", body), ...after.turns],
    exchanges: [after],
    farewell: "ends",
    // While bytes for the deaf server are pending, the client is not read.
    reasons: ["complete", "idle_timeout"],
  });
  const deaf: ServerPlan = {
    dial: "accepts",
    isOver: () => true,
    *script(peer) {
      yield* peer.expect(begin);
      peer.end.setReading(false);
      yield* peer.send(early);
    },
  };
  const other = { ...plan.servers.get(places.authorities[1]!)!, isOver: () => true };
  return {
    ...plan,
    dependsOnTime: true,
    client: (peer) => unlessClosed(plan.client(peer)),
    servers: new Map([[places.authorities[0]!, deaf], [places.authorities[1]!, other]]),
  };
}
