/**
 * What is measured, each measure against the same origin and by turns: every round runs all contenders, one
 * after the other, and every other round runs them in the opposite order.
 */
import { type Aim, cpuRatio, figure, median, medianOf, pairedRatio, type Sample, table } from "./figures.ts";
import type { Load, LoadCommand, LoadResult, Target } from "./load.ts";
import { Child, startBaseline, type UsageReader } from "./processes.ts";
import { type LogFacts, type ProxySetup, ProxyUnderTest } from "./proxy_under_test.ts";

/** How long and how often. */
export interface Effort {
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly bulkBytes: number;
  /** Over one HTTP/2 stream. */
  readonly http2BulkBytes: number;
  readonly latencyRequests: number;
  readonly memoryRounds: number;
  readonly startRounds: number;
  /** For each round of what is called again and again in one process. */
  readonly callMs: number;
  readonly flatBytes: number;
  readonly flatRequests: number;
  /** Whose memory is watched while they work. */
  readonly flatContenders: readonly ContenderName[];
  /** Over one HTTP/2 connection. */
  readonly http2FlatRequests: number;
}

export const FULL: Effort = {
  rounds: 5,
  seconds: 3,
  warmUpSeconds: 2,
  bulkBytes: 512 << 20,
  http2BulkBytes: 1 << 30,
  latencyRequests: 3000,
  memoryRounds: 3,
  startRounds: 11,
  callMs: 1000,
  flatBytes: 1 << 30,
  flatRequests: 100_000,
  flatContenders: ["raw relay node", "raw relay duplex", "soth-mitm tunnel", "soth-mitm intercept"],
  http2FlatRequests: 1_000_000,
};

export const QUICK: Effort = {
  rounds: 2,
  seconds: 1,
  warmUpSeconds: 1,
  bulkBytes: 128 << 20,
  http2BulkBytes: 128 << 20,
  latencyRequests: 1000,
  memoryRounds: 1,
  startRounds: 3,
  callMs: 300,
  flatBytes: 1 << 30,
  flatRequests: 100_000,
  // The relays buffer what they like; that takes a minute, and changes with the runtime alone.
  flatContenders: ["soth-mitm tunnel", "soth-mitm intercept"],
  http2FlatRequests: 100_000,
};

/** How many connections the load has at once. */
export const CONNECTIONS = { keepalive: 32, connections: 16, http2: 8, websocket: 8, json: 16 } as const;
/** HTTP/2 requests under way at once on each connection. */
export const STREAMS = 32;
const IDLE_FLOWS = 1000;

export interface Bench {
  readonly load: Load;
  readonly usage: UsageReader;
  readonly effort: Effort;
  /** `ticketless`: in TLS too, but it resumes no session. */
  readonly origin: { readonly plain: string; readonly secure: string; readonly ticketless: string };
  /** Files of the benchmark's own authority, which the baselines' certificate is from too. */
  readonly certificates: { readonly root: string; readonly cert: string; readonly key: string };
  readonly folder: string;
  readonly proxy: ProxySetup;
  /** Logs of the proxies that have ended, and how many exchanges and events of some kinds each should hold. */
  readonly logs: {
    readonly path: string;
    readonly exchanges: number | null;
    readonly kinds?: ReadonlyMap<string, number>;
    /** Where it was read before the end. */
    readonly facts?: LogFacts;
  }[];
  print(text: string): void;
}

/** What can stand between the load and the origin. */
export const CONTENDERS = [
  "direct",
  "plain loop",
  "soth-mitm tunnel",
  "direct tls",
  "raw relay node",
  "raw relay starttls",
  "raw relay duplex",
  "soth-mitm intercept",
] as const;
/** These intercept as `soth-mitm intercept` does, with other settings. */
const CAPTURES = {
  "soth-mitm unobserved": "observe = false",
  "soth-mitm bodiless": "body_bytes = 0",
  "soth-mitm bodiless unobserved": "body_bytes = 0\nobserve = false",
} as const;
type CaptureName = keyof typeof CAPTURES;
/** One side of the proxy in TLS, or both; with a peer that keeps or gives tickets, or none. */
export const HANDSHAKES = [
  "client side, no tickets",
  "client side, tickets",
  "server side, no tickets",
  "server side, tickets",
  "both sides, no tickets",
  "both sides, tickets",
] as const;
export type HandshakesName = typeof HANDSHAKES[number];
export type ContenderName = typeof CONTENDERS[number] | CaptureName | HandshakesName;

export interface Contender {
  readonly name: ContenderName;
  /** Null for the straight way: then there is no process to look at. */
  readonly pid: number | null;
  readonly target: Target;
  /** Exchanges asked for, to be found in its log. */
  exchanges: number;
  /** Events of some kinds that its log has to hold. */
  readonly kinds: Map<string, number>;
  /** What its process has written. */
  said(): string;
  stop(): Promise<void>;
}

export async function startContender(
  bench: Bench,
  name: ContenderName,
  alpn = "http/1.1",
): Promise<Contender> {
  const { origin, certificates: { root, cert, key } } = bench;
  const secure = name !== "direct" && name !== "plain loop" && name !== "soth-mitm tunnel";
  const target: Target = { proxy: "", origin: secure ? origin.secure : origin.plain, secure, ca: root };
  const kinds = new Map<string, number>();
  switch (name) {
    case "direct":
    case "direct tls":
      return { name, pid: null, target, exchanges: 0, kinds, said: () => "", stop: () => Promise.resolve() };
    case "soth-mitm tunnel":
    case "soth-mitm intercept":
    case "soth-mitm unobserved":
    case "soth-mitm bodiless":
    case "soth-mitm bodiless unobserved": {
      const intercepts = name !== "soth-mitm tunnel";
      const proxy = await ProxyUnderTest.start(
        bench.proxy,
        intercepts ? "intercept" : "tunnel",
        name in CAPTURES ? `[capture]\n${CAPTURES[name as CaptureName]}\n` : "",
      );
      const contender: Contender = {
        name,
        pid: proxy.child.pid,
        target: { ...target, proxy: proxy.address, ca: proxy.caPath },
        exchanges: 0,
        kinds,
        said: () => proxy.child.said,
        async stop() {
          await proxy.stop();
          bench.logs.push({ path: proxy.logPath, exchanges: intercepts ? contender.exchanges : null, kinds });
        },
      };
      return contender;
    }
    default: {
      const { child, address } = name === "plain loop"
        ? await startBaseline(name, "plain_loop.ts", [], bench.folder)
        : await startBaseline(
          name,
          "raw_tls_relay.ts",
          [name.slice("raw relay ".length), cert, key, root, alpn],
          bench.folder,
        );
      return {
        name,
        pid: child.pid,
        target: { ...target, proxy: address },
        exchanges: 0,
        kinds,
        said: () => child.said,
        stop: async () => void await child.stop(null),
      };
    }
  }
}

/** Starts these, or those of HTTP/1.1. */
export async function startAll(
  bench: Bench,
  names: readonly ContenderName[] = CONTENDERS,
): Promise<Contender[]> {
  const contenders: Contender[] = [];
  for (const name of names) contenders.push(await startContender(bench, name));
  return contenders;
}

/** Those that HTTP/2 goes through; the relays that parse nothing do not care, but for what they offer. */
const HTTP2_CONTENDERS = ["direct tls", "raw relay node", "raw relay duplex", "soth-mitm intercept"] as const;

export async function startHttp2(bench: Bench): Promise<Contender[]> {
  const contenders: Contender[] = [];
  for (const name of HTTP2_CONTENDERS) contenders.push(await startContender(bench, name, "h2"));
  return contenders;
}

/** Has the load do something; an error names the contender and what its process said. */
export async function ask(
  load: Load,
  contender: Contender,
  work: WorkOf<LoadCommand>,
): Promise<LoadResult> {
  try {
    return await load.run({ ...work, targets: [contender.target] });
  } catch (error) {
    throw new Error(`${contender.name}, ${(error as Error).message}\n${contender.said()}`);
  }
}

/** A command without its targets. */
type WorkOf<Command> = Command extends LoadCommand ? Omit<Command, "targets"> : never;

export type Rounds = ReadonlyMap<ContenderName, readonly Sample[]>;

/** Runs all contenders by turns; `work` gives how much was done and in what time. */
export async function interleave(
  usage: UsageReader,
  contenders: readonly Contender[],
  rounds: number,
  work: (contender: Contender) => Promise<{ count: number; seconds: number; p50Ms: number; p99Ms: number }>,
): Promise<Rounds> {
  const all = new Map<ContenderName, Sample[]>(contenders.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const contender of round % 2 === 0 ? contenders : contenders.toReversed()) {
      const { pid } = contender;
      const before = pid === null ? null : await usage.of(pid);
      const { count, seconds, p50Ms, p99Ms } = await work(contender);
      const after = pid === null ? null : await usage.of(pid);
      const processMs = difference(before?.processMs, after?.processMs);
      const mainThreadMs = difference(before?.mainThreadMs, after?.mainThreadMs);
      all.get(contender.name)!.push({
        rate: count / seconds,
        p50Ms,
        p99Ms,
        cpuNs: processMs === null ? null : processMs * 1e6 / count,
        busy: mainThreadMs === null ? null : mainThreadMs / 1000 / seconds,
      });
    }
  }
  return all;
}

function difference(before: number | null | undefined, after: number | null | undefined): number | null {
  return before == null || after == null ? null : after - before;
}

/** HTTP/2 requests a second: 8 connections with 32 streams each under way. */
export async function measureHttp2Rate(bench: Bench, contenders: readonly Contender[]): Promise<Rounds> {
  const { load, usage, effort } = bench;
  const run = async (contender: Contender, seconds: number) => {
    const work = {
      scenario: "keepalive",
      connections: CONNECTIONS.http2,
      streams: STREAMS,
      seconds,
    } as const;
    const result = await ask(load, contender, work);
    contender.exchanges += result.count;
    return result;
  };
  for (const contender of contenders) await run(contender, effort.warmUpSeconds);
  return await interleave(usage, contenders, effort.rounds, (contender) => run(contender, effort.seconds));
}

/** Resident memory while so many HTTP/2 requests go over one connection, after a warm-up on another. */
export async function measureHttp2Flatness(bench: Bench): Promise<FlatFigures | null> {
  const { load, effort } = bench;
  const contender = await startContender(bench, "soth-mitm intercept", "h2");
  try {
    const exchange = (requests: number) =>
      ask(load, contender, { scenario: "keepalive", connections: 1, streams: STREAMS, requests });
    const warmUpRequests = effort.http2FlatRequests / 10;
    await exchange(warmUpRequests);
    const figures = await watchMemory(
      bench.usage,
      contender.pid!,
      () => exchange(effort.http2FlatRequests),
    );
    contender.exchanges += warmUpRequests + effort.http2FlatRequests;
    return figures;
  } finally {
    await contender.stop();
  }
}

/** Requests a second on kept-alive connections, or new connections a second. */
export async function measureRate(
  bench: Bench,
  contenders: readonly Contender[],
  scenario: "keepalive" | "connections",
): Promise<Rounds> {
  const { load, usage, effort } = bench;
  const connections = CONNECTIONS[scenario];
  const run = async (contender: Contender, seconds: number) => {
    const result = await ask(load, contender, { scenario, connections, seconds });
    contender.exchanges += result.count;
    return result;
  };
  for (const contender of contenders) await run(contender, effort.warmUpSeconds);
  return await interleave(usage, contenders, effort.rounds, (contender) => run(contender, effort.seconds));
}

/** `streams`: 1 for one stream of HTTP/2, 0 for HTTP/1.1. */
export async function measureBulk(
  bench: Bench,
  contenders: readonly Contender[],
  scenario: "download" | "upload",
  streams = 0,
): Promise<Rounds> {
  const { load, effort } = bench;
  const allBytes = streams === 0 ? effort.bulkBytes : effort.http2BulkBytes;
  const run = async (contender: Contender, bytes: number) => {
    const result = await ask(load, contender, { scenario, bytes, streams });
    contender.exchanges++;
    return result;
  };
  for (const contender of contenders) await run(contender, allBytes / 8);
  return await interleave(
    bench.usage,
    contenders,
    effort.rounds,
    (contender) => run(contender, allBytes),
  );
}

/** A median and a 99th percentile, in milliseconds. */
export interface Times {
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export type TurnTimes = ReadonlyMap<ContenderName, readonly Times[]>;

/** The contenders take turns, one request at a time: what that took, for each contender and round. */
export async function measureTurns(
  bench: Bench,
  contenders: readonly Contender[],
  scenario: "latency" | "events" | "round_trips",
  /** Called with what each contender was asked, warming up included. */
  asked: (contender: Contender, requests: number) => void,
): Promise<TurnTimes> {
  const { load, effort } = bench;
  const all = new Map<ContenderName, Times[]>(contenders.map(({ name }) => [name, []]));
  for (let round = -1; round < effort.rounds; round++) {
    const order = round % 2 === 0 ? contenders : contenders.toReversed();
    // The first is for warming up.
    const requests = round < 0 ? Math.ceil(effort.latencyRequests / 4) : effort.latencyRequests;
    const { turnP50Ms = [], turnP99Ms = [] } = await load.run({
      scenario,
      targets: order.map(({ target }) => target),
      requests,
    });
    order.forEach((contender, index) => {
      asked(contender, requests);
      if (round < 0) return;
      all.get(contender.name)!.push({ p50Ms: turnP50Ms[index]!, p99Ms: turnP99Ms[index]! });
    });
  }
  return all;
}

/** What is more in the median of the rounds than the straight way's. */
export function addedMs(times: readonly Times[], straight: readonly Times[], key: keyof Times): number {
  return median(times.map((time, round) => time[key] - straight[round]![key]));
}

export interface MemoryFigures {
  /** After start, before the first flow. */
  readonly freshBytes: number;
  /** After some traffic, when it is over. */
  readonly idleBytes: number;
  readonly perFlowBytes: number;
}

const WARM_UP_FLOWS = 200;

/** Resident memory of fresh processes, and what each of 1,000 flows adds that had one exchange and then idle. */
export async function measureMemory(
  bench: Bench,
): Promise<ReadonlyMap<ContenderName, readonly MemoryFigures[]> | null> {
  const names = CONTENDERS.filter((name) => !name.startsWith("direct"));
  const all = new Map<ContenderName, MemoryFigures[]>(names.map((name) => [name, []]));
  for (let round = 0; round < bench.effort.memoryRounds; round++) {
    for (const name of names) {
      const contender = await startContender(bench, name);
      const { pid } = contender;
      const fresh = await settledMemory(bench.usage, pid!);
      await ask(bench.load, contender, { scenario: "connections", connections: 4, requests: WARM_UP_FLOWS });
      const idle = await settledMemory(bench.usage, pid!);
      await ask(bench.load, contender, { scenario: "hold", connections: IDLE_FLOWS });
      const holding = await settledMemory(bench.usage, pid!);
      await bench.load.run({ scenario: "release", targets: [] });
      contender.exchanges += WARM_UP_FLOWS + IDLE_FLOWS;
      await contender.stop();
      if (fresh === null || idle === null || holding === null) return null;
      all.get(name)!.push({
        freshBytes: fresh,
        idleBytes: idle,
        perFlowBytes: (holding - idle) / IDLE_FLOWS,
      });
    }
  }
  return all;
}

/** Until the heap and the buffers have the size that traffic gives them. */
const FLAT_WARM_UP_BYTES = 256 << 20;

export interface FlatFigures {
  readonly startBytes: number;
  readonly peakBytes: number;
  readonly endBytes: number;
}

/** Resident memory while 1 GB goes through, and while 100,000 exchanges do; each after a warm-up of its kind. */
export async function measureFlatness(
  bench: Bench,
  name: ContenderName,
): Promise<{ idleBytes: number; download: FlatFigures; exchanges: FlatFigures } | null> {
  const { load, effort } = bench;
  const contender = await startContender(bench, name);
  const { pid } = contender;
  try {
    const idleBytes = await settledMemory(bench.usage, pid!);
    await ask(load, contender, { scenario: "download", bytes: FLAT_WARM_UP_BYTES });
    const download = await watchMemory(
      bench.usage,
      pid!,
      () => ask(load, contender, { scenario: "download", bytes: effort.flatBytes }),
    );
    const exchange = (requests: number) =>
      ask(load, contender, { scenario: "keepalive", connections: CONNECTIONS.keepalive, requests });
    const warmUpRequests = effort.flatRequests / 10;
    await exchange(warmUpRequests);
    const exchanges = await watchMemory(bench.usage, pid!, () => exchange(effort.flatRequests));
    contender.exchanges += 2 + warmUpRequests + effort.flatRequests;
    if (idleBytes === null || download === null || exchanges === null) return null;
    return { idleBytes, download, exchanges };
  } finally {
    await contender.stop();
  }
}

const SETTLE_STEP_MS = 100;
const SETTLE_LIMIT_MS = 4_000;
const SETTLED_SPREAD_BYTES = 256 << 10;

/** Resident memory once it has stopped moving. */
async function settledMemory(usage: UsageReader, pid: number): Promise<number | null> {
  const last: number[] = [];
  for (let waitedMs = 0; waitedMs < SETTLE_LIMIT_MS; waitedMs += SETTLE_STEP_MS) {
    const { residentBytes: bytes } = await usage.of(pid);
    if (bytes === null) return null;
    last.push(bytes);
    if (last.length > 10) last.shift();
    if (last.length === 10 && Math.max(...last) - Math.min(...last) < SETTLED_SPREAD_BYTES) break;
    await delay(SETTLE_STEP_MS);
  }
  return last.at(-1)!;
}

async function watchMemory(
  usage: UsageReader,
  pid: number,
  work: () => Promise<unknown>,
): Promise<FlatFigures | null> {
  const start = await settledMemory(usage, pid);
  if (start === null) return null;
  let peak = start;
  let working = true;
  const watch = (async () => {
    while (working) {
      peak = Math.max(peak, (await usage.of(pid)).residentBytes ?? 0);
      await delay(25);
    }
  })();
  try {
    await work();
  } finally {
    working = false;
    await watch;
  }
  return { startBytes: start, peakBytes: peak, endBytes: (await settledMemory(usage, pid))! };
}

export interface StartFigures {
  /** The first run in a state directory, which makes the certificate authority. */
  readonly firstMs: number;
  readonly readyMs: number;
  /** The same runtime with the smallest program, for comparison. */
  readonly emptyMs: number;
}

export async function measureStart(bench: Bench): Promise<StartFigures> {
  const setup = { ...bench.proxy, folder: await Deno.makeTempDir({ dir: bench.folder }) };
  const emptyPath = `${setup.folder}/empty.ts`;
  await Deno.writeTextFile(emptyPath, `console.log("{}");`);
  const ready: number[] = [];
  const empty: number[] = [];
  for (let round = 0; round <= bench.effort.startRounds; round++) {
    const proxy = await ProxyUnderTest.start(setup, "intercept");
    ready.push(proxy.readyMs);
    await proxy.stop();
    bench.logs.push({ path: proxy.logPath, exchanges: 0 });
    const child = new Child("empty program", [Deno.execPath(), "run", "--no-prompt", emptyPath], "stdout");
    await child.line((line) => line === "{}" ? performance.now() : null)
      .then((at) => empty.push(at - child.startedAt));
    await child.stop(null);
  }
  return { firstMs: ready[0]!, readyMs: median(ready.slice(1)), emptyMs: median(empty.slice(1)) };
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

// How the figures are told.

/** What a contender is compared with; else the same work without looking at a byte, with the same backpressure. */
export type Peers = Readonly<Partial<Record<ContenderName, ContenderName>>>;
const PEERS: Peers = { "soth-mitm tunnel": "plain loop", "soth-mitm intercept": "raw relay duplex" };

/** `unit` names a rate, `scale` is what the plain rate is divided by. */
export function rateTable(
  rounds: Rounds,
  unit: string,
  scale: number,
  perUnit: string,
  peersOf: Peers = PEERS,
): string {
  const withTimes = [...rounds.values()].some((samples) => samples.some(({ p50Ms }) => p50Ms > 0));
  const times = withTimes ? ["p50 ms", "p99 ms"] : [];
  const rows = [...rounds].map(([name, samples]) => {
    const cpuNs = medianOf(samples, "cpuNs");
    const busy = medianOf(samples, "busy");
    const peer = peersOf[name];
    const peers = peer === undefined ? undefined : rounds.get(peer);
    return [
      name,
      figure(medianOf(samples, "rate")! / scale),
      ...(withTimes ? [figure(medianOf(samples, "p50Ms")), figure(medianOf(samples, "p99Ms"))] : []),
      figure(cpuNs === null ? null : cpuNs * (perUnit === "MB" ? 1e6 : 1) / 1000),
      busy === null ? "-" : `${Math.round(busy * 100)}%`,
      peers === undefined ? "" : figure(pairedRatio(samples, peers)),
      peers === undefined ? "" : figure(cpuRatio(samples, peers)),
    ];
  });
  return table(["", unit, ...times, `CPU µs/${perUnit}`, "busy", "of its peer", "by CPU"], rows);
}

/** Ratios that aims are set on. */
export function rateAims(what: string, rounds: Rounds, interceptAim: number): Aim[] {
  const pairs = [["soth-mitm tunnel", 0.9], ["soth-mitm intercept", interceptAim]] as const;
  return pairs.flatMap(([name, limit]) => {
    const peer = PEERS[name]!;
    const samples = rounds.get(name);
    const peers = rounds.get(peer);
    if (samples === undefined || peers === undefined) return [];
    return [{
      name: `${what}: ${name} / ${peer}`,
      value: pairedRatio(samples, peers),
      unit: "",
      limit,
      atMost: false,
    }];
  });
}
