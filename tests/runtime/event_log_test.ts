import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import type { FlowContext, FlowEvent, LoggedEvent } from "../../src/core/event.ts";
import { logCommand } from "../../src/cli/log.ts";
import { LOG_START } from "../../src/log/position.ts";
import { EventLog, type EventLogOptions } from "../../src/runtime/event_log.ts";
import { type Batch, type Sink, SinkWriteError } from "../../src/runtime/sinks/sink.ts";
import { StartError } from "../../src/runtime/start_error.ts";
import { closed, decision, received } from "../log/log_builder.ts";
import { linesOf } from "../support/batches.ts";

const WINDOWS = Deno.build.os === "windows";
/** For tests of what is left open: the runner does not look by itself. */
const LEAKS_NOTHING = { sanitizeResources: true, sanitizeOps: true };

interface Failure {
  readonly message: string;
  readonly fatal: boolean;
}

function options(
  sinks: readonly string[],
  overrides: Partial<EventLogOptions> = {},
): EventLogOptions & { failures: Failure[] } {
  const failures: Failure[] = [];
  return {
    sinks,
    rotateBytes: 0,
    sync: "flush",
    onSinkFailure: "stop",
    header: { version: "0.1.0", configDigest: "sha256:00", openedAt: "2026-01-02T03:04:05Z" },
    onFailure: (message, fatal) => failures.push({ message, fatal }),
    ...overrides,
    failures,
  };
}

function flow(log: EventLog, number: number): FlowContext {
  return {
    flowId: log.flowIdPrefix + number,
    clientAddr: "127.0.0.1:5000",
    serverHost: "a.example",
    serverPort: 443,
    sequence: 0,
  };
}

/** A whole tunnelled flow of three events. */
function recordFlow(log: EventLog, number: number, now = number): void {
  const context = flow(log, number);
  for (const event of [received, decision("tunnel"), closed()]) log.record(context, event, now);
}

async function withFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "event_log_" });
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function verify(path: string): Promise<{ code: number; output: string }> {
  let output = "";
  const take = (text: string) => void (output += text);
  const code = await logCommand(["verify", path], { stdout: take, stderr: take, colour: false });
  return { code, output };
}

async function assertValid(path: string, counts: string): Promise<void> {
  const { code, output } = await verify(path);
  assertEquals([code, output.split("\n")[0]], [0, `${path}: valid; ${counts}`], output);
}

/** A sink whose writes are taken one by one. */
class ManualSink implements Sink {
  readonly name = "manual";
  readonly position = LOG_START;
  readonly indexed = false;
  readonly notices: readonly string[] = [];
  readonly batches: (readonly string[])[] = [];
  closes = 0;
  #held: PromiseWithResolvers<void>[] = [];
  #free = true;

  /** From now on each write waits for `release`. */
  hold(): void {
    this.#free = false;
  }

  async write({ data }: Batch): Promise<number> {
    this.batches.push(linesOf(data));
    const { length } = data;
    if (!this.#free) {
      const held = Promise.withResolvers<void>();
      this.#held.push(held);
      await held.promise;
    }
    return length;
  }

  release(fault?: Error): void {
    const held = this.#held.shift()!;
    if (fault === undefined) held.resolve();
    else held.reject(fault);
  }

  close(): Promise<void> {
    this.closes++;
    return Promise.resolve();
  }
}

Deno.test("EventLog writes a log that verifies, with time that increases even where the clock does not", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/log.jsonl`;
    const setup = options([path]);
    const log = await EventLog.open(setup);
    assertEquals([log.flowIdPrefix, log.notices], ["1-", []]);
    for (let number = 1; number <= 50; number++) recordFlow(log, number, 7);
    await log.close();
    await assertValid(path, "150 events, 50 flows, 0 exchanges, 1 opening");
    const { size } = await Deno.stat(path);
    assertEquals(log.counters, { events: 150, bytes: size, dropped: 0, sinkFailures: 0 });
    assertEquals(setup.failures, []);
  });
});

Deno.test("EventLog without sinks and consumers counts and encodes nothing", async () => {
  const log = await EventLog.open(options([]));
  const context = flow(log, 1);
  const untouchable: FlowEvent = {
    kind: "connect_received",
    protocol: "connect",
    streamKey: "flow",
    get attributes(): never {
      throw new Error("the attributes were looked at");
    },
  };
  log.record(context, untouchable, 1);
  log.record(context, untouchable, 2);
  assertEquals([context.sequence, log.counters.events, log.full], [2, 2, false]);
  await log.close();
});

Deno.test("EventLog leaves no gap where attributes cannot be encoded", async () => {
  const sink = new ManualSink();
  const log = await EventLog.over([sink], options([]));
  const context = flow(log, 1);
  const cyclic: { [key: string]: never } = {};
  (cyclic as Record<string, unknown>)["a"] = cyclic;
  let threw = false;
  try {
    log.record(context, { ...received, attributes: cyclic }, 1);
  } catch {
    threw = true;
  }
  log.record(context, received, 2);
  await log.close();
  assertEquals([threw, context.sequence, log.counters.events], [true, 1, 1]);
  assertStringIncludes(sink.batches[1]![0]!, '"sequence_id":1,');
});

Deno.test("EventLog goes on with an existing log: sequence, time, flow ids and a further log_opened", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/log.jsonl`;
    for (let opening = 1; opening <= 3; opening++) {
      const log = await EventLog.open(options([path]));
      assertEquals(log.flowIdPrefix, `${opening}-`);
      recordFlow(log, 1);
      await log.close();
    }
    await assertValid(path, "9 events, 3 flows, 0 exchanges, 3 openings");
  });
});

Deno.test("EventLog numbers each sink's log by itself; flow ids and time are the same in all", async () => {
  await withFolder(async (folder) => {
    const [old, young] = [`${folder}/old.jsonl`, `${folder}/young.jsonl`];
    const first = await EventLog.open(options([old]));
    recordFlow(first, 1, 1_000_000);
    await first.close();
    const log = await EventLog.open(options([young, old]));
    recordFlow(log, 1);
    await log.close();
    await assertValid(old, "6 events, 2 flows, 0 exchanges, 2 openings");
    await assertValid(young, "3 events, 1 flow, 0 exchanges, 1 opening");
    const last = async (path: string) =>
      JSON.parse((await Deno.readTextFile(path)).trimEnd().split("\n").at(-1)!);
    const [inOld, inYoung] = [await last(old), await last(young)];
    assertEquals([inOld.sequence_id, inYoung.sequence_id], [6, 3]);
    assertEquals([inOld.flow_id, inOld.time_ns], [inYoung.flow_id, inYoung.time_ns]);
    assert(inOld.time_ns > 1_000_000);
  });
});

Deno.test("EventLog sets a torn last line aside, wherever the process was killed, and goes on", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/log.jsonl`;
    const log = await EventLog.open(options([path]));
    recordFlow(log, 1);
    await log.close();
    const whole = await Deno.readFile(path);
    const lastLine = whole.lastIndexOf(10, whole.length - 2) + 1;
    const firstLine = whole.indexOf(10) + 1;
    const cuts = [1, 40, firstLine - 1, firstLine + 1, lastLine + 1, lastLine + 60, whole.length - 1];
    for (const cut of cuts) {
      await Deno.writeFile(path, whole.subarray(0, cut));
      const again = await EventLog.open(options([path]));
      assertStringIncludes(again.notices.join(), `were moved to ${path}.torn`);
      recordFlow(again, 1);
      await again.close();
      const { code, output } = await verify(path);
      assertEquals(code, 0, `cut at ${cut}: ${output}`);
      const torn = await Deno.readFile(`${path}.torn`);
      const start = whole.lastIndexOf(10, cut - 1) + 1;
      assertEquals(torn, new Uint8Array([...whole.subarray(start, cut), 10]), `cut at ${cut}`);
      await Deno.remove(`${path}.torn`);
    }
  });
});

Deno.test("EventLog keeps earlier torn lines when there is another", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/log.jsonl`;
    await Deno.writeTextFile(path, '{"schema":');
    await (await EventLog.open(options([path]))).close();
    await Deno.writeTextFile(path, '{"schema":"soth', { append: true });
    await (await EventLog.open(options([path]))).close();
    assertEquals(await Deno.readTextFile(`${path}.torn`), '{"schema":\n{"schema":"soth\n');
    await assertValid(path, "0 events, 0 flows, 0 exchanges, 2 openings");
  });
});

Deno.test(
  "EventLog refuses a sink it cannot open, naming it and the mend, and leaves the file as it was",
  LEAKS_NOTHING,
  async () => {
    await withFolder(async (folder) => {
      await Deno.writeTextFile(`${folder}/notes.txt`, "shopping list");
      await Deno.writeTextFile(
        `${folder}/damaged.jsonl`,
        `{"schema":"soth-mitm-event-log-v2","kind":"log_opened"}\n`,
      );
      const refused: readonly [sinks: string[], parts: string[]][] = [
        [[`${folder}/none/log.jsonl`], [`${folder}/none/log.jsonl`, "create the folder"]],
        [[folder], [folder, "name a file in it"]],
        [[`${folder}/notes.txt`], [`${folder}/notes.txt`, "not an event log", "name another file"]],
        [[`${folder}/damaged.jsonl`], [`${folder}/damaged.jsonl`, "log verify"]],
        [[`${folder}/a`, `${folder}/a`], ["given twice"]],
        [[""], ["empty"]],
        [["nats://localhost"], ['"nats"', "unix:/path"]],
        [["unix:"], ["path is missing"]],
      ];
      for (const [sinks, parts] of refused) {
        const error = await assertRejects(() => EventLog.open(options(sinks)), StartError);
        assertEquals(error.exitClass, "event_sink_init_failed");
        for (const part of parts) assertStringIncludes(error.message, part);
      }
      assertEquals(await Deno.readTextFile(`${folder}/notes.txt`), "shopping list");
      // The first of two sinks was let go again: it can be opened at once.
      await assertRejects(() => EventLog.open(options([`${folder}/a`, folder])), StartError);
      await (await EventLog.open(options([`${folder}/a`]))).close();
    });
  },
);

Deno.test("EventLog is not open when a sink cannot take its first line", LEAKS_NOTHING, async () => {
  const [full, other] = [new ManualSink(), new ManualSink()];
  full.hold();
  const setup = options([]);
  const opening = EventLog.over([full, other], setup);
  full.release(new SinkWriteError("event sink manual failed: the disk is full", 0));
  const error = await assertRejects(() => opening, StartError);
  assertEquals([error.exitClass, error.message], [
    "event_sink_init_failed",
    "event sink manual failed: the disk is full",
  ]);
  assertEquals([setup.failures, full.closes > 0, other.closes], [[], true, 1]);
});

Deno.test("EventLog lets one process write a log at a time", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/log.jsonl`;
    const log = await EventLog.open(options([path]));
    const error = await assertRejects(() => EventLog.open(options([path])), StartError);
    assertStringIncludes(error.message, "another process is writing this log; stop it or name another file");
    recordFlow(log, 1);
    await log.close();
    await (await EventLog.open(options([path]))).close();
    await assertValid(path, "3 events, 1 flow, 0 exchanges, 2 openings");
  });
});

Deno.test({
  name: "EventLog makes its files for the user alone, and says so where an existing log is not",
  ignore: WINDOWS, // There modes mean nothing.
  fn: async () => {
    await withFolder(async (folder) => {
      const path = `${folder}/log.jsonl`;
      const log = await EventLog.open(options([path], { rotateBytes: 500 }));
      recordFlow(log, 1);
      await log.close();
      await Deno.writeTextFile(`${path}.part00001`, '{"schema"', { append: true });
      await (await EventLog.open(options([path], { rotateBytes: 500 }))).close();
      const modes = [];
      for await (const { name } of Deno.readDir(folder)) {
        modes.push(`${name} ${((await Deno.stat(`${folder}/${name}`)).mode! & 0o777).toString(8)}`);
      }
      assertEquals(modes.filter((mode) => !mode.endsWith(" 600")), []);
      assert(modes.length >= 4, modes.join());

      await Deno.chmod(path, 0o644);
      const again = await EventLog.open(options([path]));
      assertStringIncludes(again.notices.join(), "(mode 644)");
      await again.close();
      assertEquals((await Deno.stat(path)).mode! & 0o777, 0o644);
    });
  },
});

Deno.test("EventLog is full while a sink lags behind and calls onReady once it has caught up", async () => {
  const sink = new ManualSink();
  const limits = { highWaterBytes: 4000, lowWaterBytes: 1000, highWaterEvents: 10, lowWaterEvents: 2 };
  const log = await EventLog.over([sink], options([], { limits }));
  let ready = 0;
  log.onReady = () => ready++;
  sink.hold();
  const context = flow(log, 1);
  while (!log.full) log.record(context, received, 1);
  const flushed = log.flush();
  // What peers still had in flight is taken even now: nothing is dropped.
  for (let extra = 0; extra < 20; extra++) log.record(context, received, 1);
  sink.release();
  const all = log.flush();
  while (sink.batches.length < 3) await Promise.resolve();
  assertEquals([ready, log.full], [0, true], "the second batch is not out yet");
  sink.release();
  await Promise.all([flushed, all]);
  assertEquals([ready, log.full], [1, false]);
  const lines = sink.batches.flat();
  assertEquals(lines.length, log.counters.events + 1);
  assertEquals(log.counters.dropped, 0);
  await log.close();
});

for (const policy of ["stop", "continue"] as const) {
  Deno.test(`EventLog reports a sink that fails once, counts what is lost, and obeys on_sink_failure = ${policy}`, async () => {
    const [failing, other] = [new ManualSink(), new ManualSink()];
    const setup = options([], { onSinkFailure: policy });
    const log = await EventLog.over([failing, other], setup);
    failing.hold();
    const context = flow(log, 1);
    for (let count = 0; count < 5; count++) log.record(context, received, 1);
    const flushed = log.flush();
    for (let count = 0; count < 3; count++) log.record(context, received, 1);
    failing.release(new SinkWriteError("event sink /var/log/x failed: the disk is full; free some space", 2));
    await flushed;
    log.record(context, received, 1);
    await log.flush();
    assertEquals(setup.failures.length, 1);
    const { message, fatal } = setup.failures[0]!;
    assertEquals(fatal, policy === "stop");
    assertStringIncludes(message, "/var/log/x failed: the disk is full; free some space; 6 events are lost");
    assertStringIncludes(message, fatal ? "the proxy stops" : "goes on without this sink");
    // 3 of the batch, 3 queued behind it, 1 afterwards.
    assertEquals(log.counters.dropped, 7);
    assertEquals(log.counters.sinkFailures, 1);
    assertEquals(other.batches.flat().length, 10);
    await log.close();
    assert(failing.closes >= 1);
    assertEquals(other.closes, 1);
  });
}

Deno.test("EventLog is not full for a sink that failed", async () => {
  const sink = new ManualSink();
  const limits = { highWaterBytes: 1000, lowWaterBytes: 100, highWaterEvents: 10, lowWaterEvents: 2 };
  const log = await EventLog.over([sink], options([], { limits, onSinkFailure: "continue" }));
  let ready = 0;
  log.onReady = () => ready++;
  sink.hold();
  while (!log.full) log.record(flow(log, 1), received, 1);
  const flushed = log.flush();
  sink.release(new Error("gone"));
  await flushed;
  assertEquals([ready, log.full], [1, false]);
  await log.close();
});

Deno.test("EventLog.close is idempotent, gives up a sink that takes nothing and counts later events as dropped", async () => {
  const sink = new ManualSink();
  const setup = options([], { closeTimeoutMs: 10 });
  const log = await EventLog.over([sink], setup);
  sink.hold();
  recordFlow(log, 1);
  const closing = log.close();
  assertEquals(log.close(), closing);
  await closing;
  assertStringIncludes(setup.failures[0]!.message, "took nothing for 10 ms while closing; 3 events are lost");
  recordFlow(log, 2);
  assertEquals([log.counters.dropped, log.counters.events, setup.failures.length], [6, 3, 1]);
});

Deno.test("EventLog.subscribe gives events in order as objects with the log's numbers", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/log.jsonl`;
    const first = await EventLog.open(options([path]));
    recordFlow(first, 1);
    await first.close();
    const log = await EventLog.open(options([path]));
    const events: LoggedEvent[] = [];
    const detach = log.subscribe((event) => void events.push(event));
    recordFlow(log, 1);
    detach();
    recordFlow(log, 2);
    await log.close();
    const lines = (await Deno.readTextFile(path)).trimEnd().split("\n");
    assertEquals(events, lines.slice(5, 8).map((line) => JSON.parse(line)));
  });
});

Deno.test("EventLog waits for a consumer that returns a promise: one event at a time, full at the high-water mark", async () => {
  const limits = { highWaterBytes: 1 << 20, lowWaterBytes: 1 << 10, highWaterEvents: 4, lowWaterEvents: 2 };
  const log = await EventLog.over([], options([], { limits }));
  const taken: number[] = [];
  let settle = Promise.withResolvers<void>();
  let ready = 0;
  log.onReady = () => ready++;
  log.subscribe((event) => {
    taken.push(event.sequence_id);
    return settle.promise;
  });
  const context = flow(log, 1);
  for (let count = 1; count <= 6; count++) {
    log.record(context, received, count);
    assertEquals(log.full, count >= 4);
  }
  assertEquals(taken, [1]);
  for (let count = 2; count <= 6; count++) {
    const { resolve } = settle;
    settle = Promise.withResolvers();
    resolve();
    while (taken.length < count) await Promise.resolve();
    assertEquals(taken.length, count);
    assertEquals([log.full, ready], count < 5 ? [true, 0] : [false, 1], `after ${count}`);
  }
  settle.resolve();
  await log.flush();
  assertEquals(taken, [1, 2, 3, 4, 5, 6]);
  await log.close();
});

Deno.test("EventLog detaches a consumer that throws or rejects, reports it, and records on", async () => {
  for (const asynchronous of [false, true]) {
    const setup = options([]);
    const log = await EventLog.over([], setup);
    let calls = 0;
    const others: number[] = [];
    log.subscribe(() => {
      calls++;
      if (asynchronous) return Promise.reject(new Error("no such table"));
      throw new Error("no such table");
    });
    log.subscribe((event) => void others.push(event.sequence_id));
    recordFlow(log, 1);
    await log.flush();
    recordFlow(log, 2);
    await log.close();
    assertEquals([calls, others, log.full], [1, [1, 2, 3, 4, 5, 6], false]);
    assertEquals(setup.failures, [{
      message: "an event consumer threw and gets no more events: no such table",
      fatal: false,
    }]);
    assertEquals(log.counters.sinkFailures, 0);
  }
});

Deno.test("EventLog.close does not wait for ever for a consumer", async () => {
  const setup = options([], { closeTimeoutMs: 10 });
  const log = await EventLog.over([], setup);
  log.subscribe(() => new Promise(() => {}));
  recordFlow(log, 1);
  await log.close();
  assertStringIncludes(setup.failures[0]!.message, "did not take its last 3 events within 10 ms");
});

Deno.test("EventLog syncs each batch when told to", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/log.jsonl`;
    const log = await EventLog.open(options([path], { sync: "fsync", rotateBytes: 700 }));
    for (let number = 1; number <= 10; number++) recordFlow(log, number);
    await log.close();
    await assertValid(path, "30 events, 10 flows, 0 exchanges, 1 opening");
  });
});
