/**
 * What observation costs: the first server-sent event of a response, WebSockets, and JSON in gzip with observers
 * and without. The contenders take turns as in `measures.ts`.
 */
import { type Aim, figure, median, pairedRatio, table } from "./figures.ts";
import {
  addedMs,
  ask,
  type Bench,
  CONNECTIONS,
  type Contender,
  type ContenderName,
  interleave,
  measureTurns,
  type Peers,
  rateAims,
  rateTable,
  type Rounds,
  startAll,
  type TurnTimes,
} from "./measures.ts";

export type Section = (title: string, text: string) => void;

const STRAIGHT = "direct tls";
const RELAYED: readonly ContenderName[] = [STRAIGHT, "raw relay duplex", "soth-mitm intercept"];
/** WebSocket messages under way at once on each connection. */
const WINDOW = 16;

export async function sseSection(bench: Bench, section: Section): Promise<Aim[]> {
  return await withContenders(bench, RELAYED, async (contenders) => {
    const times = await measureTurns(bench, contenders, "events", (contender, requests) => {
      contender.exchanges += requests;
      expect(contender, "sse_event", requests);
    });
    section("First server-sent event of a response that stays open, one at a time", turnTable(times));
    return [{
      name: "added latency of the first event: soth-mitm intercept",
      value: addedMs(times.get("soth-mitm intercept")!, times.get(STRAIGHT)!, "p50Ms"),
      unit: " ms",
      limit: 0.5,
      atMost: true,
    }];
  });
}

export async function websocketSection(bench: Bench, section: Section): Promise<Aim[]> {
  return await withContenders(bench, RELAYED, async (contenders) => {
    const times = await measureTurns(bench, contenders, "round_trips", (contender, requests) => {
      contender.exchanges++;
      expectMessages(contender, 1, requests);
    });
    section("WebSocket round trip, 1 KiB, one message at a time", turnTable(times));
    const { effort, usage } = bench;
    for (const contender of contenders) await echo(bench, contender, effort.warmUpSeconds);
    const rounds = await interleave(
      usage,
      contenders,
      effort.rounds,
      (contender) => echo(bench, contender, effort.seconds),
    );
    section(
      `WebSocket messages a second, sent and sent back, 1 KiB, ${CONNECTIONS.websocket} connections with ` +
        `${WINDOW} under way`,
      rateTable(rounds, "messages/s", 1, "message"),
    );
    return rateAims("WebSocket messages", rounds, 0.6);
  });
}

/** Messages that came back. */
export async function echo(bench: Bench, contender: Contender, seconds: number) {
  const connections = CONNECTIONS.websocket;
  const result = await ask(bench.load, contender, {
    scenario: "messages",
    connections,
    window: WINDOW,
    seconds,
  });
  contender.exchanges += connections;
  expectMessages(contender, connections, result.count);
  return result;
}

/** The bodiless ones show what decoding costs without the writing of what was decoded. */
const UNOBSERVED: Peers = {
  "soth-mitm intercept": "soth-mitm unobserved",
  "soth-mitm bodiless": "soth-mitm bodiless unobserved",
};
const JSON_CONTENDERS: readonly ContenderName[] = [
  ...RELAYED,
  "soth-mitm unobserved",
  "soth-mitm bodiless",
  "soth-mitm bodiless unobserved",
];

export async function observersSection(bench: Bench, section: Section): Promise<Aim[]> {
  return await withContenders(bench, JSON_CONTENDERS, async (contenders) => {
    const { effort, usage } = bench;
    for (const contender of contenders) await askForJson(bench, contender, effort.warmUpSeconds);
    const rounds: Rounds = await interleave(
      usage,
      contenders,
      effort.rounds,
      (contender) => askForJson(bench, contender, effort.seconds),
    );
    section(
      `64 KiB of JSON in gzip, ${CONNECTIONS.json} kept-alive connections; unobserved: capture.observe = false, ` +
        "bodiless: capture.body_bytes = 0",
      rateTable(rounds, "responses/s", 1, "response", UNOBSERVED),
    );
    return [{
      name: "throughput of JSON in gzip: observers on / off",
      value: pairedRatio(rounds.get("soth-mitm intercept")!, rounds.get("soth-mitm unobserved")!),
      unit: "",
      limit: 0.75,
      atMost: false,
    }];
  });
}

export async function askForJson(bench: Bench, contender: Contender, seconds: number) {
  const result = await ask(bench.load, contender, {
    scenario: "keepalive",
    connections: CONNECTIONS.json,
    path: "/json",
    seconds,
  });
  contender.exchanges += result.count;
  expect(contender, "payload_decoded", contender.name === "soth-mitm intercept" ? result.count : 0);
  return result;
}

async function withContenders(
  bench: Bench,
  names: readonly ContenderName[],
  work: (contenders: readonly Contender[]) => Promise<Aim[]>,
): Promise<Aim[]> {
  const contenders = await startAll(bench, names);
  try {
    return await work(contenders);
  } finally {
    for (const contender of contenders) await contender.stop();
  }
}

/** Each message is one event for each way it went. */
function expectMessages(contender: Contender, sockets: number, messages: number): void {
  expect(contender, "websocket_closed", sockets);
  expect(contender, "ws_message", 2 * messages);
}

function expect({ kinds }: Contender, kind: string, count: number): void {
  kinds.set(kind, (kinds.get(kind) ?? 0) + count);
}

function turnTable(all: TurnTimes): string {
  const straight = all.get(STRAIGHT)!;
  const rows = [...all].map(([name, times]) => {
    const added = (key: "p50Ms" | "p99Ms") => name === STRAIGHT ? "" : figure(addedMs(times, straight, key));
    return [
      name,
      figure(median(times.map(({ p50Ms }) => p50Ms))),
      figure(median(times.map(({ p99Ms }) => p99Ms))),
      added("p50Ms"),
      added("p99Ms"),
    ];
  });
  return table(["", "p50 ms", "p99 ms", "added at p50", "added at p99"], rows);
}
