/**
 * `deno task matrix` runs the lanes of `tests/lanes.ts`, one after the other, and reports.
 *
 *     deno task matrix [--quick] [--lane NAME]... [--list] [--strict-tools] [--report-dir DIR]
 *
 * In the report folder (default `report/`): `status_aggregate.tsv` with a row per lane, `summary.md` to read,
 * `failed_lanes.txt` and `missing_protocols.txt` with a name per line (empty when all is well), and in
 * `lanes/NAME/` each lane's output and the event logs of the proxies it drove.
 *
 * A lane passes when its tests pass, at least one test ran, each of its logs passes `log verify`, and the logs
 * hold events of each protocol it claims. Exit 0 when all selected lanes passed or were skipped for a missing
 * tool, and each required protocol is vouched for by a lane that ran (with `--lane`, only by the lanes asked for).
 */
import { parseArgs } from "@std/cli/parse-args";
import { INFLATE_CODINGS } from "../src/observe/inflate.ts";
import { type Lane, LANES, REQUIRED_PROTOCOLS } from "../tests/lanes.ts";
import { type LogEvent, soth } from "../tests/support/proxy_process.ts";
import { denoEnvironment, findTool, type ToolName, TOOLS } from "../tests/support/tools.ts";

export type LaneStatus = "passed" | "failed" | "skipped" | "missing";

export interface LaneResult {
  readonly lane: Lane;
  readonly status: LaneStatus;
  readonly passed: number;
  readonly failed: number;
  readonly ignored: number;
  readonly logs: number;
  readonly durationMs: number;
  /** Why it did not pass; empty when it did. */
  readonly reason: string;
}

export interface Report {
  readonly statusAggregate: string;
  readonly summary: string;
  readonly failedLanes: string;
  readonly missingProtocols: string;
  readonly ok: boolean;
}

/** What the report files say of `results`, and whether the matrix as a whole holds. */
export function report(results: readonly LaneResult[], requiredProtocols: readonly string[]): Report {
  const fails = results.filter(({ status }) => status === "failed" || status === "missing");
  const vouched = new Set(
    results.filter(({ status }) => status === "passed").flatMap(({ lane }) => lane.protocols),
  );
  const missing = requiredProtocols.filter((protocol) => !(vouched as Set<string>).has(protocol));
  const columns = [
    "lane",
    "kind",
    "protocols",
    "tools",
    "status",
    "passed",
    "failed",
    "ignored",
    "logs",
    "duration_ms",
    "reason",
  ];
  const rows = results.map((result) => [
    result.lane.name,
    result.lane.kind,
    result.lane.protocols.join(","),
    result.lane.tools.join(","),
    result.status,
    ...[result.passed, result.failed, result.ignored, result.logs, Math.round(result.durationMs)].map(String),
    result.reason.replace(/\s+/g, " "),
  ]);
  const count = (status: LaneStatus) => results.filter((result) => result.status === status).length;
  const summary = [
    "# Matrix",
    "",
    `${count("passed")} passed, ${count("failed")} failed, ${count("skipped")} skipped, ${
      count("missing")
    } missing.`,
    missing.length === 0
      ? `Vouched for: ${requiredProtocols.join(", ")}.`
      : `No passing lane vouches for: ${missing.join(", ")}.`,
    "",
    "| lane | status | tests | logs | seconds | |",
    "| --- | --- | --- | --- | --- | --- |",
    ...results.map(({ lane, status, passed, failed, logs, durationMs, reason }) =>
      `| ${lane.name} | ${status} | ${passed}/${passed + failed} | ${logs} | ${
        (durationMs / 1000).toFixed(1)
      } | ${reason.replace(/\s+/g, " ").replaceAll("|", "\\|")} |`
    ),
    "",
  ].join("\n");
  const lines = (names: readonly string[]) => names.map((name) => `${name}\n`).join("");
  return {
    statusAggregate: lines([columns, ...rows].map((row) => row.join("\t"))),
    summary,
    failedLanes: lines(fails.map(({ lane }) => lane.name)),
    missingProtocols: lines(missing),
    ok: fails.length === 0 && missing.length === 0,
  };
}

/** The counts of the last line `deno test` writes: `ok | 3 passed (1 step) | 0 failed | 1 ignored (2s)`. */
export function testCounts(output: string): { passed: number; failed: number; ignored: number } | null {
  // deno-lint-ignore no-control-regex
  const plain = output.replace(/\x1b\[[0-9;]*m/g, "");
  const line = plain.split("\n").findLast((one) => /^(ok|FAILED) \| \d+ passed/.test(one));
  if (line === undefined) return null;
  const count = (word: string) => Number(new RegExp(`(\\d+) ${word}`).exec(line)?.[1] ?? 0);
  return { passed: count("passed"), failed: count("failed"), ignored: count("ignored") };
}

export interface MatrixOptions {
  readonly reportDir: string;
  readonly strictTools: boolean;
  /** How to look for a tool, where not on the PATH. */
  readonly find?: (name: ToolName) => string | null;
}

export async function runLane(lane: Lane, options: MatrixOptions): Promise<LaneResult> {
  const nothing = { lane, passed: 0, failed: 0, ignored: 0, logs: 0, durationMs: 0 };
  const absent = lane.files.filter((file) => !exists(file));
  if (absent.length > 0) {
    return { ...nothing, status: "missing", reason: `${absent.join(", ")} does not exist` };
  }
  const lacking = lane.tools.filter((name) => (options.find ?? findTool)(name) === null);
  if (lacking.length > 0) {
    const how = lacking.map((name) => `${name} is not on the PATH; get it by: ${TOOLS[name].howToGet}`).join(
      "; ",
    );
    return { ...nothing, status: options.strictTools ? "failed" : "skipped", reason: how };
  }
  const folder = `${options.reportDir}/lanes/${lane.name}`;
  await removeIfThere(folder);
  await Deno.mkdir(folder, { recursive: true });
  const startedAt = performance.now();
  const { code, output, timedOut } = await runTests(lane, await Deno.realPath(folder));
  await Deno.writeTextFile(`${folder}/output.txt`, output);
  const counts = testCounts(output) ?? { passed: 0, failed: 0, ignored: 0 };
  const logs = await logsIn(folder);
  const reasons: string[] = [];
  if (timedOut) reasons.push(`it ran longer than ${lane.timeoutMs} ms`);
  else if (code !== 0) reasons.push(`${counts.failed} tests failed (exit ${code}), see ${folder}/output.txt`);
  else if (counts.passed === 0) reasons.push("no test ran");
  if (lane.leavesLogs) reasons.push(...await logFaults(lane, logs));
  return {
    lane,
    ...counts,
    failed: Math.max(counts.failed, reasons.length > 0 ? 1 : 0),
    status: reasons.length === 0 ? "passed" : "failed",
    logs: logs.length,
    durationMs: performance.now() - startedAt,
    reason: reasons.join("; "),
  };
}

async function runTests(lane: Lane, reportDir: string) {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["test", "-P=test", "--no-prompt", ...lane.files],
    env: denoEnvironment({ LANE_REPORT_DIR: reportDir }),
    clearEnv: true,
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    child.kill("SIGKILL");
  }, lane.timeoutMs);
  const { code, stdout, stderr } = await child.output();
  clearTimeout(timer);
  const output = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  return { code, output, timedOut };
}

async function logsIn(folder: string): Promise<string[]> {
  const names = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
  return names.filter((name) => name.endsWith(".jsonl")).sort().map((name) => `${folder}/${name}`);
}

/** What the lane's logs lack: each must verify, and together they must show each protocol the lane claims. */
async function logFaults(lane: Lane, logs: readonly string[]): Promise<string[]> {
  if (logs.length === 0) return ["it left no event log"];
  const faults: string[] = [];
  const seen = new Set<string>();
  for (const log of logs) {
    const { code, stdout, stderr } = await soth("log", ["verify", log]);
    if (code !== 0) faults.push(`log verify ${log}: ${(stdout + stderr).trim()}`);
    for await (const line of linesOf(log)) for (const protocol of shownBy(line)) seen.add(protocol);
  }
  const unseen = lane.protocols.filter((protocol) => !seen.has(protocol));
  if (unseen.length > 0) faults.push(`its logs hold no event of ${unseen.join(", ")}`);
  return faults;
}

/** What a line of a log vouches for; one that is no event, for nothing. */
export function shownBy(line: string): string[] {
  const event = eventOf(line);
  if (event === null) return [];
  const { kind, protocol, stream_key, attributes } = event;
  const shown = [protocol];
  if (protocol === "grpc" && stream_key.startsWith("h2:")) shown.push("grpc_http2");
  if (kind === "payload_decoded") {
    if (attributes.format === "msgpack") shown.push("msgpack");
    // What has come out of a coding has been through the whole chain.
    const stages = attributes.stages as readonly string[];
    if (INFLATE_CODINGS.some((coding) => stages.includes(coding))) shown.push("decoders");
  }
  return shown;
}

function eventOf(line: string): LogEvent | null {
  try {
    return JSON.parse(line) as LogEvent;
  } catch {
    return null;
  }
}

async function* linesOf(path: string): AsyncIterable<string> {
  let rest = "";
  for await (const text of (await Deno.open(path)).readable.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

async function removeIfThere(path: string): Promise<void> {
  try {
    await Deno.remove(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

async function main(): Promise<number> {
  const unknown: string[] = [];
  const flags = parseArgs(Deno.args, {
    boolean: ["quick", "list", "strict-tools"],
    string: ["lane", "report-dir"],
    collect: ["lane"],
    default: { "report-dir": "report" },
    unknown: (argument: string) => {
      unknown.push(argument);
      return false;
    },
  }) as { quick: boolean; list: boolean; "strict-tools": boolean; lane: string[]; "report-dir": string };
  const names = LANES.map(({ name }) => name);
  const strangers = flags.lane.filter((name) => !names.includes(name));
  if (unknown.length > 0 || strangers.length > 0) {
    for (const argument of unknown) {
      console.error(
        `Unknown option ${argument}; there are --quick, --lane NAME, --list, --strict-tools, --report-dir DIR`,
      );
    }
    for (const name of strangers) console.error(`Unknown lane ${name}; there are ${names.join(", ")}`);
    return 2;
  }
  const selected = LANES.filter(({ name, quick }) =>
    flags.lane.length > 0 ? flags.lane.includes(name) : quick || !flags.quick
  );
  if (flags.list) {
    for (const { name, kind, protocols, tools, quick } of selected) {
      console.log(
        [name, kind, protocols.join(","), tools.join(",") || "-", quick ? "quick" : "-"].join("\t"),
      );
    }
    return 0;
  }
  const reportDir = flags["report-dir"];
  const results: LaneResult[] = [];
  for (const lane of selected) {
    const result = await runLane(lane, { reportDir, strictTools: flags["strict-tools"] });
    results.push(result);
    const seconds = (result.durationMs / 1000).toFixed(1);
    console.log(
      `${result.status.padEnd(8)} ${
        lane.name.padEnd(16)
      } ${result.passed} passed ${result.logs} logs ${seconds} s  ${result.reason}`,
    );
  }
  const required = flags.lane.length > 0
    ? REQUIRED_PROTOCOLS.filter((protocol) => selected.some((lane) => lane.protocols.includes(protocol)))
    : REQUIRED_PROTOCOLS;
  const { statusAggregate, summary, failedLanes, missingProtocols, ok } = report(results, required);
  await Deno.mkdir(reportDir, { recursive: true });
  await Deno.writeTextFile(`${reportDir}/status_aggregate.tsv`, statusAggregate);
  await Deno.writeTextFile(`${reportDir}/summary.md`, summary);
  await Deno.writeTextFile(`${reportDir}/failed_lanes.txt`, failedLanes);
  await Deno.writeTextFile(`${reportDir}/missing_protocols.txt`, missingProtocols);
  for (const protocol of missingProtocols.trim().split("\n").filter((line) => line !== "")) {
    console.log(`missing  protocol ${protocol}: no passing lane vouches for it`);
  }
  const passed = results.filter(({ status }) => status === "passed").length;
  const failed = failedLanes.split("\n").length - 1 + missingProtocols.split("\n").length - 1;
  const skipped = results.filter(({ status }) => status === "skipped").length;
  console.log(`matrix: ${passed} lanes passed, ${failed} failed, ${skipped} skipped; report in ${reportDir}`);
  return ok ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main());
