/**
 * Sinks that cannot be continued, and what happens to a log when its process dies: real pipes, sockets,
 * limits and signals. The programs run by themselves, since the tests may open no Unix socket.
 */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { logCommand } from "../../src/cli/log.ts";
import { LogVerifier } from "../../src/log/verify.ts";
import { EventLog, type EventLogOptions } from "../../src/runtime/event_log.ts";
import { StartError } from "../../src/runtime/start_error.ts";
import { flowContext, flowEvent } from "../log/log_builder.ts";

const WINDOWS = Deno.build.os === "windows";
const ROOT = new URL("../../", import.meta.url);

/** An event that may come any number of times. */
const repeatable = flowEvent("observer_stopped", { observer: "sse", reason: "limit" });

const OPTIONS = {
  rotateBytes: 0,
  sync: "flush",
  header: { version: "0.1.0", configDigest: "sha256:00", openedAt: "2026-01-02T03:04:05Z" },
} as const;

function options(sinks: readonly string[], failures: string[] = []): EventLogOptions {
  return { ...OPTIONS, sinks, onSinkFailure: "continue", onFailure: (message) => failures.push(message) };
}

async function withFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "sinks_" });
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function assertLog(text: string, events: number): void {
  const verifier = new LogVerifier();
  text.trimEnd().split("\n").forEach((line, index) =>
    verifier.line(line, { lineNumber: index + 1, byteOffset: 0 })
  );
  const verdict = verifier.finish();
  assertEquals([verdict.violation, verdict.events], [null, events]);
}

async function verify(path: string): Promise<{ code: number; output: string }> {
  let output = "";
  const take = (text: string) => void (output += text);
  const code = await logCommand(["verify", path], { stdout: take, stderr: take, colour: false });
  return { code, output };
}

/** Runs a module that has `EventLog`, `OPTIONS`, `event` and a flow's `context(log)`. */
function program(source: string, ulimit = ""): Deno.ChildProcess {
  const module = `
    import { EventLog } from ${JSON.stringify(new URL("src/runtime/event_log.ts", ROOT).href)};
    const OPTIONS = ${JSON.stringify(OPTIONS)};
    const event = ${JSON.stringify(repeatable)};
    const context = (log) => (
      { flowId: log.flowIdPrefix + "1", clientAddr: "", serverHost: null, serverPort: 0, sequence: 0 }
    );
    ${source}`;
  const args = ["run", "--quiet", "--no-check", "--no-lock", "--no-prompt"];
  args.push("--allow-read", "--allow-write", "--allow-net", "-");
  const stdio = { stdin: "piped", stdout: "piped", stderr: "piped", cwd: ROOT } as const;
  // A shell, where a limit is to be set; SIGXFSZ would kill where the write is to fail.
  const command = ulimit === ""
    ? new Deno.Command(Deno.execPath(), { args, ...stdio })
    : new Deno.Command("sh", {
      args: ["-c", `trap '' XFSZ; ${ulimit}; exec "$0" "$@"`, Deno.execPath(), ...args],
      ...stdio,
    });
  const child = command.spawn();
  const writer = child.stdin.getWriter();
  void writer.write(new TextEncoder().encode(module)).then(() => writer.close());
  return child;
}

/** Writes an event log and tells of its failures on standard error. */
function recorder(sink: string, events: number, ulimit = ""): Deno.ChildProcess {
  return program(
    `
    const log = await EventLog.open({
      ...OPTIONS,
      sinks: [${JSON.stringify(sink)}],
      onSinkFailure: "stop",
      onFailure: (message, fatal) => console.error(fatal + " " + message),
    });
    const flow = context(log);
    for (let count = 1; count <= ${events} && log.counters.sinkFailures === 0; count++) {
      log.record(flow, event, count);
      if (count % 100 === 0) await log.flush();
      if (count === 1000) console.error("going");
    }
    await log.close();`,
    ulimit,
  );
}

Deno.test({
  name: "a Unix socket takes the log, and its end is reported once with the mend",
  ignore: WINDOWS, // Deno has no Unix sockets there.
  fn: async () => {
    await withFolder(async (folder) => {
      const path = `${folder}/events.sock`;
      const child = program(`
        const path = ${JSON.stringify(path)};
        const listener = Deno.listen({ transport: "unix", path });
        const failures = [];
        const log = await EventLog.open({
          ...OPTIONS,
          sinks: ["unix:" + path, ${JSON.stringify(`${folder}/log.jsonl`)}],
          onSinkFailure: "continue",
          onFailure: (message) => failures.push(message),
        });
        const peer = await listener.accept();
        const flow = context(log);
        for (let count = 1; count <= 10; count++) log.record(flow, event, count);
        await log.flush();
        const buffer = new Uint8Array(65536);
        const taken = new TextDecoder().decode(buffer.subarray(0, await peer.read(buffer)));
        peer.close();
        listener.close();
        for (let count = 11; count <= 20; count++) {
          log.record(flow, event, count);
          await log.flush();
        }
        await log.close();
        console.log(JSON.stringify({ taken, failures, counters: log.counters }));
      `);
      const { stdout, stderr } = await child.output();
      assertEquals(new TextDecoder().decode(stderr), "");
      const { taken, failures, counters } = JSON.parse(new TextDecoder().decode(stdout));
      assertLog(taken, 10);
      assertEquals(failures.length, 1);
      assertStringIncludes(
        failures[0],
        `event sink unix:${path} failed: the reader has gone away; start it again`,
      );
      assertStringIncludes(failures[0], "1 event is lost; the proxy goes on without this sink");
      assertEquals([counters.dropped, counters.sinkFailures], [10, 1]);
      assertLog(await Deno.readTextFile(`${folder}/log.jsonl`), 20);
    });
  },
});

Deno.test({
  name: "a Unix socket that nobody listens on, or given as a file, is refused with the mend",
  ignore: WINDOWS,
  fn: async () => {
    await withFolder(async (folder) => {
      const path = `${folder}/events.sock`;
      const child = program(`
        const path = ${JSON.stringify(path)};
        const open = (sink) => EventLog.open({ ...OPTIONS, sinks: [sink], onSinkFailure: "stop", onFailure() {} });
        const told = [];
        const tell = (error) => told.push(error.name + " " + error.message);
        await open("unix:" + path).catch(tell);
        const listener = Deno.listen({ transport: "unix", path });
        await open(path).catch(tell);
        listener.close();
        console.log(JSON.stringify(told));
      `);
      const { stdout } = await child.output();
      const [absent, asFile] = JSON.parse(new TextDecoder().decode(stdout));
      assertStringIncludes(
        absent,
        `StartError cannot open event sink unix:${path}: nothing listens there; start`,
      );
      assertStringIncludes(
        asFile,
        `StartError cannot open event sink ${path}: it is a Unix socket; write unix:${path}`,
      );
    });
  },
});

Deno.test({
  name: "a Unix socket is refused on Windows with what there is instead",
  ignore: !WINDOWS,
  fn: async () => {
    const error = await assertRejects(() => EventLog.open(options(["unix:C:\\events.sock"])), StartError);
    assertStringIncludes(error.message, "not available on Windows; use a file path or -");
  },
});

Deno.test("a device that is full from the start is a sink that cannot be opened", async () => {
  try {
    await Deno.stat("/dev/full");
  } catch (fault) {
    console.log(
      fault instanceof Deno.errors.NotFound
        ? "skipped: this system has no /dev/full"
        : "skipped: Deno opens /dev/full only with every permission (deno test -A)",
    );
    return;
  }
  const error = await assertRejects(() => EventLog.open(options(["/dev/full"])), StartError);
  assertEquals(error.exitClass, "event_sink_init_failed");
  assertStringIncludes(error.message, "event sink /dev/full failed: the disk is full; free some space");
});

Deno.test({
  name: "a file that may not grow leaves whole lines, ends the log and is reported once",
  ignore: WINDOWS, // No resource limits.
  fn: async () => {
    await withFolder(async (folder) => {
      const path = `${folder}/log.jsonl`;
      // 64 blocks of 512 bytes; some shells count in KiB.
      const child = recorder(path, 1_000_000, "ulimit -f 64");
      const { stderr } = await child.output();
      const lines = new TextDecoder().decode(stderr).trimEnd().split("\n");
      assertEquals(lines.length, 1, lines.join("\n"));
      assertStringIncludes(
        lines[0]!,
        `true event sink ${path} failed: the file may not grow further; raise the limit`,
      );
      assertStringIncludes(lines[0]!, "events are lost; the proxy stops");
      const { size } = await Deno.stat(path);
      assert(size > 30_000 && size <= 65_536, String(size));
      const { code, output } = await verify(path);
      assertEquals([code, output.includes("never finished")], [0, false], output);
    });
  },
});

Deno.test("a process that is killed leaves a log that verifies and is gone on with", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/log.jsonl`;
    const child = recorder(path, 100_000_000);
    const reader = child.stderr.getReader();
    const { value } = await reader.read();
    assertEquals(new TextDecoder().decode(value), "going\n");
    child.kill("SIGKILL");
    await child.status;
    reader.releaseLock();
    await Promise.all([child.stderr.cancel(), child.stdout.cancel()]);

    const { code, output } = await verify(path);
    assertEquals(code, 0, output);
    assertStringIncludes(output, "note: 1 flow open at its end");
    const log = await EventLog.open(options([path]));
    assertEquals(log.flowIdPrefix, "2-");
    log.record(flowContext("2-1"), repeatable, 1);
    await log.close();
    const after = await verify(path);
    assertEquals(after.code, 0, after.output);
    assertStringIncludes(after.output, "note: 1 flow cut off where the log was opened again");
  });
});

Deno.test("another process that opens a log in use is refused, and may have it afterwards", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/log.jsonl`;
    const log = await EventLog.open(options([path]));
    const refused = await recorder(path, 1).output();
    assertStringIncludes(
      new TextDecoder().decode(refused.stderr),
      "another process is writing this log; stop it",
    );
    await log.close();
    assertEquals((await recorder(path, 1).output()).code, 0);
    const { code, output } = await verify(path);
    assertEquals(code, 0);
    assertStringIncludes(output, "valid; 1 event, 1 flow, 0 exchanges, 2 openings");
  });
});

Deno.test("standard output takes the log, and a reader that goes away is reported once", async () => {
  const whole = await recorder("-", 50).output();
  assertEquals(new TextDecoder().decode(whole.stderr), "");
  assertLog(new TextDecoder().decode(whole.stdout), 50);

  const child = recorder("-", 100_000_000);
  const reader = child.stdout.getReader();
  await reader.read();
  await reader.cancel();
  const [stderr, { code }] = await Promise.all([new Response(child.stderr).text(), child.status]);
  const failures = stderr.trimEnd().split("\n").filter((line) => line !== "going");
  assertEquals([failures.length, code], [1, 0], stderr);
  assertStringIncludes(failures[0]!, "event sink - failed: the reader has gone away");
});

Deno.test({
  name: "a named pipe takes the log for a reader of the same machine",
  ignore: WINDOWS,
  fn: async () => {
    await withFolder(async (folder) => {
      const path = `${folder}/pipe`;
      const made = await new Deno.Command("mkfifo", { args: [path] }).output();
      assert(made.success, "mkfifo made a pipe");
      const read = Deno.readTextFile(path);
      const log = await EventLog.open(options([path]));
      const context = flowContext(`${log.flowIdPrefix}1`);
      for (let count = 1; count <= 10; count++) log.record(context, repeatable, count);
      await log.close();
      assertLog(await read, 10);
    });
  },
});
