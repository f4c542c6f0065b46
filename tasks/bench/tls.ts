/**
 * What TLS costs: new connections with one side of the proxy in TLS and with both, where peers keep and give
 * session tickets and where they do not, and the parts of it that are the proxy's own: leaves and ClientHellos.
 *
 * A reverse listener takes TLS apart by its sides: it relays TLS to an origin in the clear, and the other way
 * round. How many handshakes resumed a session is counted in the log, never assumed.
 */
import { createHash } from "node:crypto";
import tls from "node:tls";
import { type CertificateAuthority, openCertificateAuthority } from "../../src/runtime/ca_store.ts";
import { settingsFromValues } from "../../src/runtime/config/load.ts";
import { ClientHelloReader } from "../../src/tls/client_hello.ts";
import { ja3, ja4 } from "../../src/tls/fingerprint.ts";
import { type Aim, figure, median, medianOf, pairedRatio, table } from "./figures.ts";
import { chromiumLikeHello, curlLikeHello } from "./hellos.ts";
import type { Target } from "./load.ts";
import {
  ask,
  type Bench,
  CONNECTIONS,
  type Contender,
  HANDSHAKES,
  type HandshakesName,
  interleave,
  type Rounds,
  startContender,
} from "./measures.ts";
import type { Section } from "./observed.ts";
import type { UsageReader } from "./processes.ts";
import { type Handshakes, type LogFacts, ProxyUnderTest, verifyLog } from "./proxy_under_test.ts";

const RELAY = "raw relay duplex";

export async function tlsSection(bench: Bench, section: Section): Promise<Aim[]> {
  return [...await handshakesSection(bench, section), ...await callsSection(bench, section)];
}

// Handshakes of a running proxy.

async function handshakesSection(bench: Bench, section: Section): Promise<Aim[]> {
  const facts = new Map<HandshakesName, LogFacts>();
  const contenders: Contender[] = [];
  let rounds: Rounds;
  try {
    for (const name of HANDSHAKES) {
      contenders.push(await startHandshakes(bench, name, (read) => facts.set(name, read)));
    }
    contenders.push(await startContender(bench, RELAY));
    const run = async (contender: Contender, seconds: number) => {
      const connections = CONNECTIONS.connections;
      const result = await ask(bench.load, contender, { scenario: "connections", connections, seconds });
      contender.exchanges += result.count;
      return result;
    };
    const { effort, usage } = bench;
    for (const contender of contenders) await run(contender, effort.warmUpSeconds);
    rounds = await interleave(usage, contenders, effort.rounds, (one) => run(one, effort.seconds));
  } finally {
    for (const contender of contenders) await contender.stop();
  }
  const rows = [...rounds].map(([name, samples]) => {
    const cpuNs = medianOf(samples, "cpuNs");
    const logged = facts.get(name as HandshakesName)?.handshakes;
    return [
      name,
      figure(medianOf(samples, "rate")),
      figure(medianOf(samples, "p50Ms")),
      figure(cpuNs === null ? null : cpuNs / 1000),
      resumedShare(logged?.client),
      resumedShare(logged?.server),
    ];
  });
  section(
    "TLS: new connections a second, each with a handshake and one request",
    table(["", "conns/s", "p50 ms", "CPU µs/conn", "resumed by clients", "resumed to servers"], rows),
  );
  const ratio = (name: HandshakesName, peer: HandshakesName | typeof RELAY) =>
    pairedRatio(rounds.get(name)!, rounds.get(peer)!);
  return [
    {
      name: "new intercepted connections: with tickets / without",
      value: ratio("both sides, tickets", "both sides, no tickets"),
      unit: "",
      limit: 1.3,
      atMost: false,
    },
    {
      name: `new intercepted connections: no tickets / ${RELAY}`,
      value: ratio("both sides, no tickets", RELAY),
      unit: "",
      limit: 0.9,
      atMost: false,
    },
  ];
}

/** Of the handshakes in a log how many resumed a session; empty where there were none. */
export function resumedShare(handshakes: Handshakes | undefined): string {
  if (handshakes === undefined || handshakes.all === 0) return "";
  const percent = 100 * handshakes.resumed / handshakes.all;
  const rounded = handshakes.resumed === 0 ? "none" : `${figure(percent)}%`;
  return `${rounded} of ${handshakes.all.toLocaleString("en-US")}`;
}

async function startHandshakes(
  bench: Bench,
  name: HandshakesName,
  onLog: (facts: LogFacts) => void,
): Promise<Contender> {
  const { origin } = bench;
  const tickets = !name.endsWith("no tickets");
  const secureOrigin = tickets ? origin.secure : origin.ticketless;
  const behind = name.startsWith("client side")
    ? `http://${origin.plain}`
    : name.startsWith("server side")
    ? `https://${secureOrigin}`
    : null;
  const proxy = await ProxyUnderTest.start(
    bench.proxy,
    "intercept",
    behind === null ? "" : `[route]\nmode = "reverse"\nreverse_origin = "${behind}"\n`,
  );
  const target: Target = {
    proxy: behind === null ? proxy.address : "",
    origin: behind === null ? secureOrigin : proxy.address,
    secure: !name.startsWith("server side"),
    ca: proxy.caPath,
    name: "localhost",
    tickets,
  };
  const contender: Contender = {
    name,
    pid: proxy.child.pid,
    target,
    exchanges: 0,
    kinds: new Map(),
    said: () => proxy.child.said,
    async stop() {
      await proxy.stop();
      const facts = await verifyLog(proxy.logPath);
      bench.logs.push({ path: proxy.logPath, exchanges: contender.exchanges, facts });
      onLog(facts);
    },
  };
  return contender;
}

// Calls in this process.

interface Call {
  readonly name: string;
  /** Called with 0, 1, 2 … */
  readonly work: (index: number) => void;
  readonly aim?: (cost: Cost) => Aim;
}

/** What one call took. */
interface Cost {
  readonly us: number;
}

async function callsSection(bench: Bench, section: Section): Promise<Aim[]> {
  const folder = await Deno.makeTempDir({ dir: bench.folder });
  const { settings } = settingsFromValues({ values: { state_dir: folder }, env: {}, cwd: folder });
  const ca = await openCertificateAuthority(settings);
  const aims: Aim[] = [];
  const rows: string[][] = [];
  for (const { name, work, aim } of [...leafCalls(ca), ...helloCalls()]) {
    const costs: number[] = [];
    for (let round = 0; round < bench.effort.rounds; round++) {
      costs.push(await microsecondsOf(bench.usage, work, bench.effort.callMs));
    }
    const us = median(costs);
    rows.push([name, figure(us), figure(1e6 / us)]);
    if (aim !== undefined) aims.push(aim({ us }));
  }
  section(
    "TLS: what is done for a connection, one call at a time, by CPU time",
    table(["", "µs", "a second"], rows),
  );
  return aims;
}

/** Fewer than the cache holds by default. */
const KNOWN_LEAVES = 500;

function leafCalls(ca: CertificateAuthority): Call[] {
  const known = Array.from({ length: KNOWN_LEAVES }, (_, at) => `known-${at}.example`);
  const leafOf = (host: string) => {
    const leaf = ca.leaf(host);
    if ("error" in leaf) throw new Error(`No leaf for ${host}: ${leaf.detail}`);
    return leaf;
  };
  // Names never come twice, rounds included: the cache must not help.
  let fresh = 0;
  for (const host of known) leafOf(host);
  return [
    // First, while all of them are in the cache.
    { name: "leaf from the cache", work: (index) => void leafOf(known[index % known.length]!) },
    {
      name: "leaf made",
      work: () => void leafOf(`fresh-${fresh++}.example`),
      aim: ({ us }) => ({
        name: "leaves made",
        value: 1e6 / us,
        unit: " a second",
        limit: 1500,
        atMost: false,
      }),
    },
    {
      name: "leaf made, and a TLS context with it",
      work: () => {
        const { certPem, keyPem } = leafOf(`fresh-${fresh++}.example`);
        tls.createSecureContext({ cert: certPem, key: keyPem, minVersion: "TLSv1.2" });
      },
    },
  ];
}

function helloCalls(): Call[] {
  const hellos = [
    ["Chromium-like", chromiumLikeHello("www.example.com")],
    ["curl-like", curlLikeHello("www.example.com")],
  ] as const;
  const md5 = (text: string) => createHash("md5").update(text).digest("hex");
  const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");
  return hellos.flatMap(([client, bytes]): Call[] => {
    const title = `${client} ClientHello, ${bytes.length.toLocaleString("en-US")} bytes`;
    const halves = [bytes.subarray(0, 1400), bytes.subarray(1400)];
    return [
      {
        name: title,
        work: () => void readHello([bytes]),
        aim: ({ us }) => ({
          name: `${client} ClientHello parsed`,
          value: us,
          unit: " µs",
          limit: 30,
          atMost: true,
        }),
      },
      { name: `${title}, in two reads`, work: () => void readHello(halves) },
      {
        name: `${title}, with JA3 and JA4`,
        work: () => {
          const hello = readHello([bytes]);
          ja3(hello, md5);
          ja4(hello, sha256, "t");
        },
      },
    ];
  });
}

function readHello(reads: readonly Uint8Array[]) {
  const reader = new ClientHelloReader();
  let result = reader.push(reads[0]!);
  for (const data of reads.slice(1)) result = reader.push(data);
  if (result.type !== "hello") throw new Error(`The benchmark's ClientHello is ${result.type}`);
  return result.hello;
}

const WARM_UP_SHARE = 0.2;
const CALLS_BETWEEN_LOOKS = 16;

/**
 * CPU time of the calling thread for one call, in microseconds; by the clock where the platform does not tell. It
 * is told in hundredths of a second, so anything below a few hundred milliseconds is too short.
 */
export async function microsecondsOf(
  usage: Pick<UsageReader, "of">,
  work: (index: number) => void,
  ms: number,
): Promise<number> {
  repeat(work, ms * WARM_UP_SHARE);
  const before = await usage.of(Deno.pid);
  const { count, tookMs } = repeat(work, ms);
  const after = await usage.of(Deno.pid);
  const cpuMs = before.mainThreadMs === null || after.mainThreadMs === null
    ? tookMs
    : after.mainThreadMs - before.mainThreadMs;
  return cpuMs * 1000 / count;
}

function repeat(work: (index: number) => void, ms: number): { count: number; tookMs: number } {
  const startedAt = performance.now();
  let count = 0;
  let tookMs = 0;
  while (tookMs < ms) {
    for (let i = 0; i < CALLS_BETWEEN_LOOKS; i++) work(count++);
    tookMs = performance.now() - startedAt;
  }
  return { count, tookMs };
}
