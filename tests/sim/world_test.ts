import { assert, assertEquals } from "@std/assert";
import type { FlowContext, FlowEvent } from "../../src/core/event.ts";
import { LogVerifier } from "../../src/log/verify.ts";
import { CHECKERS } from "../../src/sim/checkers.ts";
import { SimClock } from "../../src/sim/clock.ts";
import { differenceOfEvents } from "../../src/sim/event_difference.ts";
import { chooseOptions, withoutFaults } from "../../src/sim/options.ts";
import { Random } from "../../src/sim/random.ts";
import { SimLog } from "../../src/sim/sim_log.ts";
import { WORKLOADS } from "../../src/sim/workloads.ts";
import { type SimFlow, SimWorld } from "../../src/sim/world.ts";

const MINUTES = 60 * 1_000_000_000;

async function calmWorld(): Promise<SimWorld> {
  const world = new SimWorld(withoutFaults(chooseOptions(1)), new Random(1));
  const random = new Random(2);
  world.accept(WORKLOADS.exchanges({ random, flow: 1 }), false, random);
  world.accept(WORKLOADS.tunnel({ random, flow: 2 }), false, random);
  await world.clock.run(10 * MINUTES);
  return world;
}

function reports(checker: keyof typeof CHECKERS, world: unknown): string[] {
  const found: string[] = [];
  CHECKERS[checker](world as SimWorld, (detail) => found.push(detail));
  return found;
}

Deno.test("a calm world plays its flows to their end and leaves nothing behind", async () => {
  const world = await calmWorld();
  assertEquals(world.flows.map(({ outcome, isGone }) => [outcome, isGone]), [["done", true], ["done", true]]);
  assertEquals([world.aliveFlows, world.openConns, world.timer.pending, world.budget.bytes], [0, 0, 0, 0]);
  for (const name of Object.keys(CHECKERS) as (keyof typeof CHECKERS)[]) {
    assertEquals(reports(name, world), []);
  }
});

Deno.test("bytes_delivered tells of an end that a reading peer of a complete flow never got", async () => {
  const world = await calmWorld();
  const [flow] = world.flows;
  const conn = flow!.client;
  const withPeer = (peer: object) => ({
    flows: [{ ...flow, events: flow!.events, client: { ...conn, peer }, servers: [] }],
  });
  conn.raw.written(new Uint8Array(5));
  const end = { isClosed: false, isReading: true };
  assertEquals(reports("bytes_delivered", withPeer({ end, wasReset: false })).length, 1);
  for (
    const excuse of [{ end: { ...end, isReading: false } }, { end, wasReset: true }, {
      end: { ...end, isClosed: true },
    }]
  ) {
    assertEquals(reports("bytes_delivered", withPeer({ wasReset: false, ...excuse })), []);
  }
});

const CONTEXT = (): FlowContext => ({
  flowId: "1-1",
  clientAddr: "x",
  serverHost: null,
  serverPort: 0,
  sequence: 0,
});

function closed(attributes: FlowEvent["attributes"] = {}): FlowEvent {
  return {
    kind: "stream_closed",
    protocol: "connect",
    streamKey: "flow",
    attributes: {
      bytes_from_client: 0,
      bytes_from_server: 0,
      duration_ns: 1,
      reason_code: "complete",
      ...attributes,
    },
  };
}

Deno.test("SimLog writes lines that verify, hashes them, and is full while its sink is slow", async () => {
  const clock = new SimClock();
  const log = new SimLog(clock, new Random(1));
  log.speed = { highWaterBytes: 10, takesEveryMsMax: 50 };
  const before = log.sha256();
  assert(!log.full(() => {}));
  log.record(CONTEXT(), closed(), 0);
  let woken = 0;
  assert(log.full(() => woken++));
  await clock.run(MINUTES);
  assertEquals([woken, log.full(() => {})], [1, false]);
  assert(log.sha256() !== before);
  const verifier = new LogVerifier();
  log.lines.forEach((line, index) => verifier.line(line.slice(0, -1), { lineNumber: index, byteOffset: 0 }));
  assertEquals(verifier.finish().violation, null);
});

Deno.test("differenceOfEvents ignores time and how directions interleave, and nothing else", () => {
  const flow = (...events: FlowEvent[]) => ({ events }) as unknown as SimFlow;
  const request: FlowEvent = {
    kind: "request_headers",
    protocol: "http1",
    streamKey: "h1:1",
    attributes: { a: 1 },
  };
  const response: FlowEvent = {
    kind: "response_headers",
    protocol: "http1",
    streamKey: "h1:1",
    attributes: { a: 1 },
  };
  assertEquals(differenceOfEvents(flow(request, response), flow(response, request)), null);
  assertEquals(differenceOfEvents(flow(closed({ duration_ns: 5 })), flow(closed())), null);
  assert(differenceOfEvents(flow(closed({ bytes_from_client: 5 })), flow(closed())) !== null);
  assert(differenceOfEvents(flow(request, closed()), flow(closed())) !== null);
  const early = { reason_code: "protocol_error" };
  assertEquals(
    differenceOfEvents(flow(closed({ ...early, bytes_from_client: 5 })), flow(closed(early))),
    null,
  );
});
