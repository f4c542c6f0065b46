/**
 * `deno task bench` measures soth-mitm against the same origin as the straight way, a plain read/write tunnel
 * loop and raw TLS relays that parse nothing, all in one run, and prints the figures beside their aims.
 *
 *     deno task bench [--quick] [--only NAME]... [--proxy COMMAND] [--profile DIR]
 *
 * NAME is keepalive, connections, tls, bulk, http2, latency, sse, websocket, observers, memory, flat or start. `--proxy`
 * measures another command than the `start` task, an executable for instance. `--profile` runs soth-mitm alone under the CPU profiler and
 * prints where its time goes; the profiles stay in DIR.
 *
 * A missed aim is no failure: exit 0 unless something breaks (1), an option is wrong (2) or Go, in which the
 * origin and the load are written, is missing (3). Figures mean something only on a machine with nothing else
 * to do; the contenders take turns so that what disturbs one disturbs all, and "busy" tells whether the
 * contender itself was the limit. What "CPU" says holds on a busy machine too.
 */
import { parseArgs } from "@std/cli/parse-args";
import { makeAuthority } from "../tests/support/certificates.ts";
import { type Aim, aimRows, figure, median, table } from "./bench/figures.ts";
import { Load } from "./bench/load.ts";
import {
  addedMs,
  ask,
  type Bench,
  CONNECTIONS,
  type Contender,
  FULL,
  measureBulk,
  measureFlatness,
  measureHttp2Flatness,
  measureHttp2Rate,
  measureMemory,
  measureRate,
  measureStart,
  measureTurns,
  QUICK,
  rateAims,
  rateTable,
  startAll,
  startContender,
  startHttp2,
  STREAMS,
} from "./bench/measures.ts";
import {
  askForJson,
  echo,
  observersSection,
  type Section,
  sseSection,
  websocketSection,
} from "./bench/observed.ts";
import { buildPeers, Child, jsonLine, stopEverything, UsageReader } from "./bench/processes.ts";
import { type CpuProfile, topSelfTimes } from "./bench/profile.ts";
import { type ProxySetup, startCommand, verifyLog, withRunOptions } from "./bench/proxy_under_test.ts";
import { tlsSection } from "./bench/tls.ts";

const MEASURES = [
  "keepalive",
  "connections",
  "tls",
  "bulk",
  "http2",
  "latency",
  "sse",
  "websocket",
  "observers",
  "memory",
  "flat",
  "start",
] as const;
type Measure = typeof MEASURES[number];

const MEGABYTE = 1e6;
const PROFILED_SECONDS = 6;
const PROFILE_ENTRIES = 25;

interface Options {
  readonly quick: boolean;
  readonly measures: readonly Measure[];
  readonly command: readonly string[];
  readonly profileDir: string | null;
}

function readOptions(args: readonly string[]): Options | string {
  const unknown: string[] = [];
  const flags = parseArgs([...args], {
    boolean: ["quick"],
    string: ["only", "proxy", "profile"],
    collect: ["only"],
    unknown: (argument: string) => {
      unknown.push(argument);
      return false;
    },
  }) as { quick: boolean; only: string[]; proxy?: string; profile?: string };
  if (unknown.length > 0) {
    return `Unknown option ${unknown[0]}; there are --quick, --only NAME, --proxy COMMAND, --profile DIR`;
  }
  const strangers = flags.only.filter((name) => !(MEASURES as readonly string[]).includes(name));
  if (strangers.length > 0) return `Unknown measure ${strangers[0]}; there are ${MEASURES.join(", ")}`;
  return {
    quick: flags.quick,
    measures: flags.only.length > 0 ? flags.only as Measure[] : MEASURES,
    command: flags.proxy === undefined
      ? startCommand()
      : flags.proxy.split(" ").filter((word) => word !== ""),
    profileDir: flags.profile ?? null,
  };
}

async function main(): Promise<number> {
  const options = readOptions(Deno.args);
  if (typeof options === "string") {
    console.error(options);
    return 2;
  }
  const folder = await Deno.makeTempDir({ prefix: "soth-mitm-bench-" });
  const interrupted = async () => {
    await stopEverything();
    await Deno.remove(folder, { recursive: true });
    Deno.exit(1);
  };
  Deno.addSignalListener("SIGINT", interrupted);
  if (Deno.build.os !== "windows") Deno.addSignalListener("SIGTERM", interrupted);
  try {
    const peers = await buildPeers(folder);
    if (peers === null) {
      console.error(
        "The benchmark's origin and load are written in Go, and there is no go on the PATH; " +
          "get it from https://go.dev/dl, or by: apt-get install golang, brew install go",
      );
      return 3;
    }
    return await withPeers(peers, folder, options);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    return 1;
  } finally {
    await stopEverything();
    await Deno.remove(folder, { recursive: true });
  }
}

async function withPeers(peers: string, folder: string, options: Options): Promise<number> {
  const certificates = await writeCertificates(folder);
  const origin = new Child("origin", [peers, "origin", certificates.cert, certificates.key], "stdout");
  const { plainPort, securePort, ticketlessPort } = await origin.line(
    jsonLine<{ plainPort: number; securePort: number; ticketlessPort: number }>,
  );
  const load = Load.start(peers);
  const bench: Bench = {
    load,
    usage: new UsageReader(peers),
    effort: options.quick ? QUICK : FULL,
    origin: {
      plain: `localhost:${plainPort}`,
      secure: `localhost:${securePort}`,
      ticketless: `localhost:${ticketlessPort}`,
    },
    certificates,
    folder,
    proxy: { command: options.command, folder, trustPath: certificates.root },
    logs: [],
    print: (text) => console.log(text),
  };
  if (options.profileDir !== null) await profile(bench, options.measures, options.profileDir);
  else await measure(bench, options.measures);
  return await verifyLogs(bench) ? 0 : 1;
}

async function writeCertificates(folder: string): Promise<Bench["certificates"]> {
  const root = makeAuthority("soth-mitm bench root");
  const leaf = root.issue({ names: ["localhost"] });
  const paths = { root: `${folder}/root.pem`, cert: `${folder}/leaf.pem`, key: `${folder}/leaf.key` };
  await Deno.writeTextFile(paths.root, root.certPem);
  await Deno.writeTextFile(paths.cert, leaf.certPem);
  await Deno.writeTextFile(paths.key, leaf.keyPem, { mode: 0o600 });
  return paths;
}

async function measure(bench: Bench, measures: readonly Measure[]): Promise<void> {
  const aims: Aim[] = [];
  const section = (title: string, text: string) => bench.print(`\n${title}\n\n${text}`);
  if (measures.some((name) => ["keepalive", "connections", "bulk", "latency"].includes(name))) {
    const contenders = await startAll(bench);
    try {
      if (measures.includes("keepalive")) {
        const rounds = await measureRate(bench, contenders, "keepalive");
        section(
          "Requests a second, kept-alive connections, 1 KiB",
          rateTable(rounds, "requests/s", 1, "request"),
        );
        aims.push(...rateAims("requests", rounds, 0.7));
      }
      if (measures.includes("connections")) {
        const rounds = await measureRate(bench, contenders, "connections");
        section(
          "New connections a second: connect, CONNECT, TLS, one request",
          rateTable(rounds, "conns/s", 1, "conn"),
        );
        aims.push(...rateAims("new connections", rounds, 0.9));
      }
      if (measures.includes("bulk")) {
        for (const direction of ["download", "upload"] as const) {
          const rounds = await measureBulk(bench, contenders, direction);
          section(`Bulk ${direction}, one connection`, rateTable(rounds, "MB/s", MEGABYTE, "MB"));
          aims.push(...rateAims(`bulk ${direction}`, rounds, 0.9));
        }
      }
      if (measures.includes("latency")) aims.push(...await latencySection(bench, contenders, section));
    } finally {
      for (const contender of contenders) await contender.stop();
    }
  }
  if (measures.includes("tls")) aims.push(...await tlsSection(bench, section));
  if (measures.includes("http2")) aims.push(...await http2Section(bench, section));
  if (measures.includes("sse")) aims.push(...await sseSection(bench, section));
  if (measures.includes("websocket")) aims.push(...await websocketSection(bench, section));
  if (measures.includes("observers")) aims.push(...await observersSection(bench, section));
  if (measures.includes("memory")) aims.push(...await memorySection(bench, section));
  if (measures.includes("flat")) aims.push(...await flatSection(bench, section));
  if (measures.includes("start")) {
    const { readyMs, firstMs, emptyMs } = await measureStart(bench);
    section(
      "Time from spawn to ready",
      table(["", "ms"], [
        ["soth-mitm", figure(readyMs)],
        ["soth-mitm, first run (makes its CA)", figure(firstMs)],
        ["deno run of an empty program", figure(emptyMs)],
      ]),
    );
    aims.push({ name: "ready to serve", value: readyMs, unit: " ms", limit: 300, atMost: true });
  }
  section("Aims", table(["", "value", "aim", ""], aimRows(aims)));
}

async function latencySection(
  bench: Bench,
  contenders: Awaited<ReturnType<typeof startAll>>,
  section: Section,
): Promise<Aim[]> {
  const figures = await measureTurns(
    bench,
    contenders,
    "latency",
    (contender, requests) => contender.exchanges += requests,
  );
  const added = new Map(
    [...figures].map(([name, times]) => {
      const direct = figures.get(
        name === "plain loop" || name === "soth-mitm tunnel" ? "direct" : "direct tls",
      )!;
      return [name, addedMs(times, direct, "p50Ms")];
    }),
  );
  const rows = [...figures].map(([name, times]) => [
    name,
    figure(median(times.map(({ p50Ms }) => p50Ms))),
    name.startsWith("direct") ? "" : figure(added.get(name)!),
  ]);
  section("Median time to the first byte, one request at a time", table(["", "ms", "added ms"], rows));
  return (["soth-mitm tunnel", "soth-mitm intercept"] as const).map((name) => ({
    name: `added first-byte latency: ${name}`,
    value: added.get(name) ?? NaN,
    unit: " ms",
    limit: 0.5,
    atMost: true,
  }));
}

async function http2Section(bench: Bench, section: Section): Promise<Aim[]> {
  const aims: Aim[] = [];
  const contenders = await startHttp2(bench);
  try {
    const rounds = await measureHttp2Rate(bench, contenders);
    section(
      `HTTP/2 requests a second, ${CONNECTIONS.http2} connections with ${STREAMS} streams under way, 1 KiB`,
      rateTable(rounds, "requests/s", 1, "request"),
    );
    aims.push(...rateAims("HTTP/2 requests", rounds, 0.6));
    for (const direction of ["download", "upload"] as const) {
      const bulk = await measureBulk(bench, contenders, direction, 1);
      section(`HTTP/2 bulk ${direction}, one stream`, rateTable(bulk, "MB/s", MEGABYTE, "MB"));
      aims.push(...rateAims(`HTTP/2 bulk ${direction}`, bulk, 0.9));
    }
  } finally {
    for (const contender of contenders) await contender.stop();
  }
  const figures = await measureHttp2Flatness(bench);
  if (figures === null) return aims;
  const { startBytes, peakBytes, endBytes } = figures;
  const requests = bench.effort.http2FlatRequests.toLocaleString("en-US");
  section(
    `Resident memory, ${requests} requests over one HTTP/2 connection, MB`,
    table(["", "start", "peak", "end", "growth"], [[
      "soth-mitm intercept",
      ...[startBytes, peakBytes, endBytes, peakBytes - startBytes].map((bytes) => figure(bytes / MEGABYTE)),
    ]]),
  );
  aims.push({
    name: `memory growth, ${requests} HTTP/2 requests`,
    value: (peakBytes - startBytes) / MEGABYTE,
    unit: " MB",
    limit: 20,
    atMost: true,
  });
  return aims;
}

async function memorySection(bench: Bench, section: Section): Promise<Aim[]> {
  const figures = await measureMemory(bench);
  if (figures === null) {
    section("Resident memory", "This platform does not tell the resident memory of another process.");
    return [];
  }
  const perFlow = (name: string) =>
    median(
      [...figures].find(([one]) => one === name)?.[1].map(({ perFlowBytes }) => perFlowBytes / 1000) ?? [],
    );
  const rows = [...figures].map(([name, rounds]) => [
    name,
    figure(median(rounds.map(({ freshBytes }) => freshBytes / MEGABYTE))),
    figure(median(rounds.map(({ idleBytes }) => idleBytes / MEGABYTE))),
    figure(perFlow(name)),
  ]);
  section("Resident memory, 1,000 idle flows", table(["", "fresh MB", "idle MB", "KB a flow"], rows));
  return [
    {
      name: "memory of an idle tunnel",
      value: perFlow("soth-mitm tunnel"),
      unit: " KB",
      limit: 40,
      atMost: true,
    },
    {
      name: "memory of an idle intercepted flow",
      value: perFlow("soth-mitm intercept"),
      unit: " KB",
      limit: 120,
      atMost: true,
    },
  ];
}

async function flatSection(bench: Bench, section: Section): Promise<Aim[]> {
  const rows: string[][] = [];
  const aims: Aim[] = [];
  for (
    const name of bench.effort.flatContenders
  ) {
    const figures = await measureFlatness(bench, name);
    if (figures === null) return [];
    const { idleBytes, download, exchanges } = figures;
    for (const [title, one] of [["1 GB download", download], ["100,000 exchanges", exchanges]] as const) {
      const { startBytes, peakBytes, endBytes } = one;
      const columns = [idleBytes, startBytes, peakBytes, endBytes, peakBytes - startBytes];
      rows.push([`${name}, ${title}`, ...columns.map((bytes) => figure(bytes / MEGABYTE))]);
      if (!name.startsWith("soth-mitm")) continue;
      aims.push({
        name: `memory growth, ${title}: ${name}`,
        value: (peakBytes - startBytes) / MEGABYTE,
        unit: " MB",
        limit: 20,
        atMost: true,
      });
    }
  }
  section(
    "Resident memory under load, MB: before any traffic, after a warm-up, and from there",
    table(["", "idle", "start", "peak", "end", "growth"], rows),
  );
  return aims;
}

/** Speed that is bought with a broken log is none. */
async function verifyLogs(bench: Bench): Promise<boolean> {
  let events = 0;
  let bytes = 0;
  const faults: string[] = [];
  for (const { path, exchanges, kinds, facts = await verifyLog(path) } of bench.logs) {
    events += facts.events;
    bytes += facts.bytes;
    faults.push(...facts.faults.map((fault) => `${path}: ${fault}`));
    if (exchanges !== null && facts.exchanges !== exchanges) {
      faults.push(`${path}: ${facts.exchanges} exchanges are logged, the load made ${exchanges}`);
    }
    for (const [kind, count] of kinds ?? []) {
      const logged = facts.kinds.get(kind) ?? 0;
      if (logged !== count) faults.push(`${path}: ${logged} ${kind} are logged, there were ${count}`);
    }
  }
  const size = `${events.toLocaleString("en-US")} events, ${figure(bytes / MEGABYTE)} MB`;
  bench.print(`\nlog verify: ${bench.logs.length} logs, ${size}, ${faults.length} faults`);
  for (const fault of faults) bench.print(`  ${fault}`);
  return faults.length === 0;
}

/** What soth-mitm does under the profiler. */
interface ProfiledScenario {
  readonly name: string;
  /** A tunnel does not know what goes through it: most differ in interception alone. */
  readonly tunnelled?: true;
  run(bench: Bench, contender: Contender): Promise<unknown>;
}

const PROFILED: { readonly [measure in Measure]?: readonly ProfiledScenario[] } = {
  keepalive: [profiledRate("keepalive", 0)],
  connections: [profiledRate("connections", 0)],
  bulk: [profiledBulk("download"), profiledBulk("upload")],
  http2: [profiledRate("http2", STREAMS)],
  websocket: [{ name: "websocket", run: (bench, contender) => echo(bench, contender, PROFILED_SECONDS) }],
  observers: [{
    name: "observers",
    run: (bench, contender) => askForJson(bench, contender, PROFILED_SECONDS),
  }],
};

function profiledRate(name: "keepalive" | "connections" | "http2", streams: number): ProfiledScenario {
  return {
    name,
    ...(streams === 0 ? { tunnelled: true } : {}),
    async run({ load }, contender) {
      const scenario = name === "http2" ? "keepalive" : name;
      const work = { scenario, connections: CONNECTIONS[name], streams, seconds: PROFILED_SECONDS };
      contender.exchanges += (await ask(load, contender, work)).count;
    },
  };
}

function profiledBulk(scenario: "download" | "upload"): ProfiledScenario {
  return {
    name: scenario,
    tunnelled: true,
    async run({ load, effort }, contender) {
      await ask(load, contender, { scenario, bytes: effort.flatBytes });
      contender.exchanges++;
    },
  };
}

/** Runs soth-mitm alone, under the profiler, once for each kind of work. */
async function profile(bench: Bench, measures: readonly Measure[], directory: string): Promise<void> {
  await Deno.mkdir(directory, { recursive: true });
  for (const scenario of measures.flatMap((name) => PROFILED[name] ?? [])) {
    for (const decision of scenario.tunnelled ? ["tunnel", "intercept"] as const : ["intercept"] as const) {
      const file = `${decision}-${scenario.name}.cpuprofile`;
      const command = withRunOptions(bench.proxy.command, [
        "--cpu-prof",
        `--cpu-prof-dir=${directory}`,
        `--cpu-prof-name=${file}`,
        "--cpu-prof-interval=500",
      ]);
      const proxy: ProxySetup = { ...bench.proxy, command };
      const contender = await startContender({ ...bench, proxy }, `soth-mitm ${decision}`);
      await scenario.run(bench, contender);
      await contender.stop();
      const text = await Deno.readTextFile(`${directory}/${file}`);
      const rows = topSelfTimes(JSON.parse(text) as CpuProfile, PROFILE_ENTRIES).map((entry) => [
        entry.name,
        `${(entry.share * 100).toFixed(1)}%`,
        figure(entry.selfMs),
        entry.place,
      ]);
      bench.print(
        `\nSelf time, ${decision}, ${scenario.name}\n\n${table(["", "share", "ms", "place"], rows)}`,
      );
    }
  }
}

if (import.meta.main) Deno.exit(await main());
