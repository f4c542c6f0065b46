/** Flows about CONNECT itself: tunnels, refusals, TLS that fails, names that differ, and peers that stay silent. */
import { join, latin1 } from "./bytes.ts";
import { answers, ends, pauses, says, type Turn } from "./dialogue.ts";
import {
  clearClient,
  connectTurns,
  dialStatus,
  type FlowPlan,
  greetedClient,
  type Planner,
  refusedTurns,
  server,
  type ServerPlan,
  tlsClient,
  type TlsSetup,
  tlsSetup,
  unreachableServer,
} from "./flow_plan.ts";
import type { HelloOptions } from "./hello.ts";
import { rawTurns } from "./http_workloads.ts";
import { planExchange } from "./messages.ts";
import { type Peer, type Script, unlessClosed } from "./script.ts";
import { tlsLine } from "./tls.ts";

const NOTHING = new Uint8Array(0);
const PLAIN: Pick<FlowPlan, "actions" | "hello" | "exchanges"> = {
  actions: new Map(),
  hello: null,
  exchanges: [],
};

/** Bytes of no protocol both ways, by policy or because they are neither TLS nor HTTP. */
export function tunnel(planner: Planner): FlowPlan {
  const { random } = planner;
  const [host, authority] = target(planner);
  const byPolicy = random.chance(0.6);
  const connect = connectTurns(authority, random);
  const banner = says("server", latin1("220 mail ready\r\n"));
  const first = random.pick<readonly Turn[]>([
    [banner],
    [says("client", join(new Uint8Array([0x80]), random.bytes(30)))],
    byPolicy ? [] : [banner, says("client", random.bytes(10))],
  ]);
  const raw = [...first, ...rawTurns(random, random.chance(0.5))];
  // A client may say something before the tunnel is there.
  const isEager = raw[0]?.type === "says" && raw[0].by === "client" && random.chance(0.5);
  return {
    ...PLAIN,
    name: byPolicy ? "tunnel" : "neither TLS nor HTTP",
    client: clearClient(
      isEager ? [connect[0], raw[0]!, connect[1], ...raw.slice(1)] : [...connect, ...raw],
      "ends",
    ),
    servers: new Map([[authority, server(raw, 0)]]),
    actions: new Map(byPolicy ? [[host, "tunnel"]] : []),
    reasons: ["complete"],
  };
}

/** Request, bytes and end at once, before the server is even dialled. */
export function tunnelSaidAtOnce(planner: Planner): FlowPlan {
  const { random } = planner;
  const [host, authority] = target(planner);
  const byPolicy = random.chance(0.5);
  const [asks, granted] = connectTurns(authority, random);
  const question = says("client", join(new Uint8Array([0x80]), random.bytes(random.pick([3, 50_000]))));
  const reply = says("server", random.bytes(random.pick([1, 50_000])));
  return {
    ...PLAIN,
    name: `${byPolicy ? "tunnel" : "neither TLS nor HTTP"}, said at once`,
    client: clearClient([asks, question, ends("client"), granted, reply, ends("server")], "ends"),
    servers: new Map([[authority, server([question, ends("client"), reply, ends("server")], 0)]]),
    actions: new Map(byPolicy ? [[host, "tunnel"]] : []),
    reasons: ["complete"],
  };
}

/** A CONNECT that is not granted: blocked, or its server not reached. */
export function refusedConnect(planner: Planner): FlowPlan {
  const { random } = planner;
  const [host, authority] = target(planner);
  const dial = random.pick(
    ["refused", "unresolved", "unreachable", "self_target", "exhausted", "never", "too_late"] as const,
  );
  const isBlocked = random.chance(0.4);
  const turns = refusedTurns(authority, isBlocked ? 403 : dialStatus(dial), random);
  const isEager = random.chance(0.3);
  return {
    ...PLAIN,
    name: isBlocked ? "blocked CONNECT" : `CONNECT to a server that is ${dial}`,
    client: clearClient(
      isEager ? [turns[0], says("client", random.bytes(50)), turns[1]] : turns,
      random.pick(["ends", "waits"]),
    ),
    servers: new Map([[authority, unreachableServer(dial)]]),
    actions: new Map(isBlocked ? [[host, "block"]] : []),
    reasons: isBlocked ? ["blocked"] : ["upstream_connect_failed", "route_failed"],
  };
}

export function badConnect(planner: Planner): FlowPlan {
  const { random } = planner;
  const [bytes, status] = random.pick(BAD_CONNECTS);
  const isTruncated = !bytes.endsWith("\n\r\n") && !bytes.includes("\n\n") && bytes.length < 10_000;
  return {
    ...PLAIN,
    name: "bad CONNECT",
    client: clearClient([
      says("client", latin1(bytes)),
      ...(isTruncated ? [ends("client")] : []),
      answers(status),
    ], random.pick(["ends", "waits"])),
    servers: new Map(),
    reasons: ["connect_parse_failed", "limit_exceeded"],
  };
}

const BAD_CONNECTS: readonly (readonly [string, number])[] = [
  ["CONNECT a.test HTTP/1.1\r\n\r\n", 400],
  ["CONNECT a.test:0 HTTP/1.1\r\n\r\n", 400],
  ["CONNECT a.test:65536 HTTP/1.1\r\n\r\n", 400],
  ["CONNECT a.test:+443 HTTP/1.1\r\n\r\n", 400],
  ["CONNECT u@a.test:443 HTTP/1.1\r\n\r\n", 400],
  ["CONNECT https://a.test:443 HTTP/1.1\r\n\r\n", 400],
  ["CONNECT ::1:443 HTTP/1.1\r\n\r\n", 400],
  ["CONNECT a.test:443 x HTTP/1.1\r\n\r\n", 400],
  ["CONNECT a.test:443 HTTP/2\r\n\r\n", 400],
  ["connect a.test:443 HTTP/1.1\r\n\r\n", 400],
  ["CONNECT a.test:443 HTTP/1.1\n\n", 400],
  ["CONNECT\ta.test:443 HTTP/1.1\r\n\r\n", 400],
  ["CONNECT\r\n\r\n", 400],
  ["CONNECT a.test:443 HTTP/1.1\r\nX: a\r\n b\r\n\r\n", 400],
  ["CONNECT a.test:443 HTTP/1.1\r\nHost: a", 400],
  [`CONNECT a.test:443 HTTP/1.1\r\nX: ${"y".repeat(20_000)}\r\n\r\n`, 431],
];

/** TLS in which no HTTP/1.1 was offered is carried through untouched. */
export function onlyHttp2(planner: Planner): FlowPlan {
  return { ...carriedThrough(planner, { alpn: ["h2"] }), name: "TLS for HTTP/2 only" };
}

/** TLS of a client that is known to refuse the CA for this host. */
export function learnedBypass(planner: Planner): FlowPlan {
  const plan = carriedThrough(planner, {});
  return { ...plan, name: "a client that is known to refuse the CA", learned: true };
}

function carriedThrough(planner: Planner, options: Partial<HelloOptions>): FlowPlan {
  const { random } = planner;
  const [host, authority] = target(planner);
  const setup = tlsSetup(host, random, options);
  const connect = connectTurns(authority, random);
  const raw = [
    says("client", setup.hello),
    says("server", random.bytes(500)),
    ...rawTurns(random, random.chance(0.5)),
  ];
  return {
    ...PLAIN,
    name: "TLS that is carried through",
    client: clearClient([...connect, ...raw], "ends"),
    servers: new Map([[authority, server(raw, 0)]]),
    hello: setup.hello,
    reasons: ["complete"],
  };
}

/** The ClientHello names another host than the CONNECT: policy is asked again. */
export function otherName(planner: Planner): FlowPlan {
  const { random, flow } = planner;
  const host = random.chance(0.5) ? `10.0.${flow >> 8}.${flow & 255}` : `f${flow}-front.test`;
  const authority = `${host}:443`;
  const other = `f${flow}-back.test`;
  const action = random.pick(["block", "tunnel", "intercept"] as const);
  const onlyHttp2 = action === "intercept" && random.chance(0.3);
  const setup = tlsSetup(host, random, onlyHttp2 ? { sni: other, alpn: ["h2"] } : { sni: other });
  const connect = connectTurns(authority, random);
  const shared = { ...PLAIN, actions: new Map([[other, action]]), hello: setup.hello };
  if (action === "block") {
    return {
      ...shared,
      name: "a server name that is blocked",
      client: clearClient([...connect, says("client", setup.hello)], "waits"),
      servers: new Map([[authority, server([], 0)]]),
      reasons: ["blocked"],
    };
  }
  if (onlyHttp2 || (action === "tunnel" && host.startsWith("10."))) {
    const hello = says("client", setup.hello);
    const raw = rawTurns(random, random.chance(0.5));
    // Whatever the phase in which such a server begins to speak, it is heard.
    const banner = says("server", latin1("220 ready\r\n"));
    const greets = !onlyHttp2 && random.chance(0.5);
    return {
      ...shared,
      ...(greets ? { dependsOnTime: true } : {}),
      name: `a server name that is tunnelled${greets ? ", and a server that greets" : ""}`,
      client: clearClient([...connect, hello, ...(greets ? [banner] : []), ...raw], "ends"),
      servers: new Map([[
        authority,
        server(greets ? [pauses("server", random.below(300)), banner, hello, ...raw] : [hello, ...raw], 0),
      ]]),
      reasons: ["complete"],
    };
  }
  const exchange = planExchange("post", { host: other, path: "/other", server: 0, toProxy: false }, random);
  return {
    ...shared,
    name: "another server name",
    client: tlsClient(connect, setup, exchange.turns, { farewell: "ends", isEager: random.chance(0.3) }),
    servers: new Map([[authority, server(exchange.turns, 0, setup)]]),
    reasons: ["complete"],
    exchanges: [exchange],
  };
}

/** The server's handshake fails: the client learns it inside TLS. */
export function serverTlsFails(planner: Planner): FlowPlan {
  const { random } = planner;
  const [host, authority] = target(planner);
  const setup = tlsSetup(host, random);
  const how = random.pick([
    "CERT_HAS_EXPIRED",
    "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
    "ends",
    "resets",
    "silent",
    "rubbish",
  ]);
  const asks = says("client", latin1(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`));
  return {
    ...PLAIN,
    name: `server TLS that fails (${how})`,
    client: tlsClient(connectTurns(authority, random), setup, [asks, answers(502)], {
      farewell: random.pick(["ends", "waits"]),
      isEager: random.chance(0.3),
    }),
    servers: new Map([[authority, failingTlsServer(how)]]),
    hello: setup.hello,
    reasons: ["tls_handshake_failed"],
  };
}

function failingTlsServer(how: string): ServerPlan {
  return {
    dial: "accepts",
    isOver: () => true,
    *script(peer) {
      yield* peer.readLine();
      if (how === "resets") peer.end.reset();
      else if (how === "ends") peer.end.end();
      else if (how === "rubbish") yield* peer.send(latin1("HTTP/1.1 400 Bad Request\r\n\r\n"));
      else if (how !== "silent") yield* peer.send(tlsLine("alert", how));
      yield* peer.readToEnd();
      peer.end.end();
    },
  };
}

/** The client does not take our leaf, or does not finish. */
export function clientTlsFails(planner: Planner): FlowPlan {
  const { random } = planner;
  const [host, authority] = target(planner);
  const setup = tlsSetup(host, random);
  const how = random.pick(["alert", "ends", "resets", "silent"] as const);
  const connect = connectTurns(authority, random);
  return {
    ...PLAIN,
    name: `client TLS that fails (${how})`,
    client: function* (peer) {
      yield* clearTurns(peer, [...connect, says("client", setup.hello)]);
      yield* peer.readLine();
      if (how === "resets") {
        peer.end.reset();
        return;
      }
      if (how === "alert") yield* peer.send(tlsLine("alert", "ERR_SSL_TLSV1_ALERT_UNKNOWN_CA"));
      if (how !== "silent") peer.end.end();
      yield* peer.readToEnd();
      peer.end.end();
    },
    servers: new Map([[authority, server([], 0, setup)]]),
    hello: setup.hello,
    reasons: ["tls_handshake_failed"],
  };
}

function* clearTurns(peer: Peer, turns: readonly Turn[]): Script {
  for (const turn of turns) {
    if (turn.type !== "says") continue;
    if (turn.by === "client") yield* peer.send(turn.bytes);
    else yield* peer.expect(turn.arrives);
  }
}

/** A server inside TLS that speaks before it was asked. */
export function serverSpeaksInTls(planner: Planner): FlowPlan {
  const { random } = planner;
  const [host, authority] = target(planner);
  const setup = tlsSetup(host, random);
  const connect = connectTurns(authority, random);
  const greeting = [says("server", latin1("220 smtps ready\r\n"), 0, NOTHING)];
  return {
    ...PLAIN,
    name: "a server inside TLS that speaks first",
    client: function* (peer) {
      yield* clearTurns(peer, [...connect, says("client", setup.hello)]);
      // The proxy may have given up before the client's handshake was over.
      yield* unlessClosed(greetedClient(peer, setup));
      yield* peer.expectEnd();
      peer.end.end();
    },
    servers: new Map([[authority, server(greeting, 0, setup)]]),
    hello: setup.hello,
    reasons: ["protocol_error"],
  };
}

export function badHello(planner: Planner): FlowPlan {
  const { random } = planner;
  const [, authority] = target(planner);
  const hello = latin1("\x16\x03\x01\x00\x06\x01\x00\x00\x02\x00\x00");
  return {
    ...PLAIN,
    name: "a ClientHello that cannot be read",
    client: clearClient([...connectTurns(authority, random), says("client", hello)], "waits"),
    servers: new Map([[authority, server([], 0)]]),
    hello,
    reasons: ["tls_handshake_failed"],
  };
}

/** Peers that stop speaking before any exchange: the timer of their phase ends the flow. */
export function silence(planner: Planner): FlowPlan {
  const { random } = planner;
  const [host, authority] = target(planner);
  const connect = connectTurns(authority, random);
  const setup: TlsSetup = tlsSetup(host, random);
  const nothing = new Map([[authority, server([], 0)]]);
  switch (
    random.pick(["first", "half_connect", "half_plain", "peeking", "half_hello", "tls", "tunnel"] as const)
  ) {
    case "first":
      return {
        ...PLAIN,
        name: "a client that says nothing",
        client: clearClient([], "waits"),
        servers: new Map(),
        reasons: ["stage_timeout"],
      };
    case "half_connect":
      return {
        ...PLAIN,
        name: "half a CONNECT",
        client: clearClient([says("client", latin1(`CONNECT ${authority} HT`)), answers(408)], "waits"),
        servers: new Map(),
        reasons: ["stage_timeout"],
      };
    case "half_plain":
      return {
        ...PLAIN,
        name: "half a plain request",
        client: clearClient(
          [says("client", latin1(`GET http://${host}/ HTTP/1.1\r\nHo`)), answers(408)],
          "waits",
        ),
        servers: new Map(),
        reasons: ["stage_timeout"],
      };
    case "peeking":
      return {
        ...PLAIN,
        name: "silence after CONNECT",
        client: clearClient(connect, "waits"),
        servers: nothing,
        reasons: ["idle_timeout"],
      };
    case "half_hello":
      return {
        ...PLAIN,
        name: "half a ClientHello",
        client: clearClient([...connect, says("client", setup.hello.subarray(0, 20))], "waits"),
        // Where the client ends instead, its half is carried through.
        servers: new Map([[authority, { ...server([], 0), script: (peer) => readAway(peer) }]]),
        reasons: ["stage_timeout"],
      };
    case "tls":
      return {
        ...PLAIN,
        name: "silence inside TLS",
        client: tlsClient(connect, setup, [], { farewell: "waits", isEager: false }),
        servers: new Map([[authority, server([], 0, setup)]]),
        hello: setup.hello,
        reasons: ["idle_timeout"],
      };
    case "tunnel": {
      const question = says("client", random.bytes(10));
      return {
        ...PLAIN,
        name: "a silent tunnel",
        client: clearClient([...connect, question], "waits"),
        servers: new Map([[authority, server([question], 0)]]),
        actions: new Map([[host, "tunnel"]]),
        reasons: ["idle_timeout"],
      };
    }
  }
}

function* readAway(peer: Peer): Script {
  yield* peer.readToEnd();
  peer.end.end();
}

function target({ flow, random }: Planner): [host: string, authority: string] {
  const host = `f${flow}.test`;
  return [host, `${host}:${random.pick([443, 8443, 25])}`];
}
