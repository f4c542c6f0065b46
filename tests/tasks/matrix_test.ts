import { assertEquals, assertStringIncludes } from "@std/assert";
import { type LaneResult, report, runLane, shownBy, testCounts } from "../../tasks/matrix.ts";
import { type Lane, LANES, REQUIRED_PROTOCOLS } from "../lanes.ts";
import { TOOLS } from "../support/tools.ts";

const LANE: Lane = {
  name: "example",
  kind: "integration",
  protocols: ["http1"],
  tools: [],
  files: [],
  quick: true,
  leavesLogs: false,
  timeoutMs: 30_000,
};

function result(
  name: string,
  status: LaneResult["status"],
  more: Partial<LaneResult & Lane> = {},
): LaneResult {
  const lane = { ...LANE, name, protocols: more.protocols ?? LANE.protocols };
  return { lane, status, passed: 1, failed: 0, ignored: 0, logs: 2, durationMs: 1234.5, reason: "", ...more };
}

/** Runs a lane of one made-up test file. */
async function runLaneOf(source: string, lane: Partial<Lane> = {}): Promise<LaneResult & { output: string }> {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/made_up_test.ts`, source);
    const one = { ...LANE, files: [`${folder}/made_up_test.ts`], ...lane };
    const done = await runLane(one, { reportDir: `${folder}/report`, strictTools: false });
    return { ...done, output: await Deno.readTextFile(`${folder}/report/lanes/example/output.txt`) };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("the manifest names each lane once, and some lane claims each required protocol", () => {
  const names = LANES.map(({ name }) => name);
  assertEquals(new Set(names).size, names.length);
  for (const protocol of REQUIRED_PROTOCOLS) {
    assertEquals(LANES.some(({ protocols, quick }) => quick && protocols.includes(protocol)), true, protocol);
  }
});

Deno.test("report fails on a failed lane, a missing lane and a protocol nobody vouches for, not on a skip", () => {
  assertEquals(report([result("a", "passed"), result("b", "skipped")], ["http1"]).ok, true);
  assertEquals(report([result("a", "passed"), result("b", "failed")], ["http1"]).ok, false);
  assertEquals(report([result("a", "passed"), result("b", "missing")], ["http1"]).ok, false);
  assertEquals(report([result("a", "passed")], ["http1", "tls"]).ok, false);
  assertEquals(report([result("a", "skipped")], ["http1"]).ok, false);
});

Deno.test("report writes a row per lane, and the names of what failed or is missing", () => {
  const { statusAggregate, summary, failedLanes, missingProtocols } = report([
    result("good", "passed"),
    result("bad", "failed", { protocols: ["tls"], passed: 3, failed: 1, reason: "a | b\nc" }),
    result("gone", "missing"),
  ], ["http1", "tls", "tunnel"]);
  const rows = statusAggregate.slice(0, -1).split("\n").map((line) => line.split("\t"));
  assertEquals(rows.length, 4);
  assertEquals(new Set(rows.map((row) => row.length)).size, 1);
  assertEquals(rows[0]?.[0], "lane");
  assertEquals(rows[2], ["bad", "integration", "tls", "", "failed", "3", "1", "0", "2", "1235", "a | b c"]);
  assertStringIncludes(summary, "1 passed, 1 failed, 0 skipped, 1 missing.");
  assertStringIncludes(summary, "| bad | failed | 3/4 | 2 | 1.2 | a \\| b c |");
  assertEquals(failedLanes, "bad\ngone\n");
  assertEquals(missingProtocols, "tls\ntunnel\n");
});

Deno.test("shownBy takes an event for its protocol, and a payload for MsgPack and for the codings it came out of", () => {
  const event = (kind: string, protocol: string, attributes: unknown, stream_key = "h1:1") =>
    shownBy(JSON.stringify({ kind, protocol, stream_key, attributes }));
  assertEquals(event("sse_event", "sse", { data: '"format":"msgpack"' }), ["sse"]);
  assertEquals(event("grpc_headers", "grpc", {}), ["grpc"]);
  assertEquals(event("grpc_headers", "grpc", {}, "h2:3"), ["grpc", "grpc_http2"]);
  const payload = (format: string, stages: string[]) =>
    event("payload_decoded", "http1", { format, stages, value: { stages: ["br"] } });
  assertEquals(payload("msgpack", ["msgpack"]), ["http1", "msgpack"]);
  assertEquals(payload("json", ["json"]), ["http1"]);
  assertEquals(payload("json", ["gzip", "br", "json"]), ["http1", "decoders"]);
  assertEquals(shownBy('{"kind":"payload_dec'), []);
});

Deno.test("testCounts reads the last line of deno test, coloured or not, and knows when there is none", () => {
  assertEquals(testCounts("a ... ok\n\nok | 3 passed (2 steps) | 0 failed | 1 ignored (2s)\n\n"), {
    passed: 3,
    failed: 0,
    ignored: 1,
  });
  assertEquals(testCounts("\x1b[31mFAILED\x1b[0m | 2 passed | 4 failed (1 step) \x1b[38;5;245m(2s)\x1b[0m"), {
    passed: 2,
    failed: 4,
    ignored: 0,
  });
  assertEquals(testCounts("error: Test failed"), null);
});

Deno.test("runLane tells a lane that passes from one that fails, runs nothing, or runs too long", async () => {
  assertEquals((await runLaneOf('Deno.test("a", () => {});')).status, "passed");
  const failed = await runLaneOf(
    'Deno.test("a", () => {}); Deno.test("b", () => { throw new Error("why"); });',
  );
  assertEquals([failed.status, failed.passed, failed.failed], ["failed", 1, 1]);
  assertStringIncludes(failed.output, "why");
  const empty = await runLaneOf('Deno.test({ name: "a", ignore: true, fn() {} });');
  assertEquals([empty.status, empty.ignored, empty.reason], ["failed", 1, "no test ran"]);
  const slow = await runLaneOf('Deno.test("a", () => { for (;;); });', { timeoutMs: 1_000 });
  assertEquals([slow.status, slow.reason], ["failed", "it ran longer than 1000 ms"]);
});

Deno.test("runLane holds a lane that should leave event logs to leaving them", async () => {
  const lane = await runLaneOf('Deno.test("a", () => {});', { leavesLogs: true });
  assertEquals([lane.status, lane.reason], ["failed", "it left no event log"]);
});

Deno.test("runLane wants events of each protocol that a lane claims, of gRPC those that HTTP/2 carried", async () => {
  const leaving = (events: readonly string[]) => {
    const lines = events.map((event) => `{${event}}\n`).join("");
    const path = 'Deno.env.get("LANE_REPORT_DIR") + "/made_up.jsonl"';
    return runLaneOf(`Deno.test("a", () => Deno.writeTextFileSync(${path}, ${JSON.stringify(lines)}));`, {
      leavesLogs: true,
      protocols: ["http1", "grpc_http2"],
    });
  };
  const unclaimed = await leaving(['"protocol":"grpc","stream_key":"h1:1"']);
  assertStringIncludes(unclaimed.reason, "log verify");
  assertStringIncludes(unclaimed.reason, "its logs hold no event of http1, grpc_http2");
  const claimed = await leaving([
    '"protocol":"http1","stream_key":"h1:1"',
    '"protocol":"grpc","stream_key":"h2:1"',
  ]);
  assertEquals(claimed.reason.includes("hold no event"), false, claimed.reason);
});

Deno.test("runLane calls a lane without its files missing, and one without its tool skipped or failed", async () => {
  const reportDir = await Deno.makeTempDir();
  const files = ["tests/tasks/nowhere_test.ts"];
  const missing = await runLane({ ...LANE, files }, { reportDir, strictTools: false });
  assertEquals([missing.status, missing.reason], ["missing", "tests/tasks/nowhere_test.ts does not exist"]);
  const lane: Lane = { ...LANE, tools: ["git"], files: ["tests/lanes.ts"] };
  const find = () => null;
  const skipped = await runLane(lane, { reportDir, strictTools: false, find });
  assertEquals(skipped.status, "skipped");
  assertStringIncludes(skipped.reason, TOOLS.git.howToGet);
  assertEquals((await runLane(lane, { reportDir, strictTools: true, find })).status, "failed");
  await Deno.remove(reportDir, { recursive: true });
});
