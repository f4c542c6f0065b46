/** `soth-mitm run` as a process: what it says, how it stops, and what it may still do once it runs. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { launch } from "../../src/cli/launch.ts";
import { parseArguments } from "../../src/cli/options.ts";
import { Reporter } from "../../src/cli/reporter.ts";
import { RUN_OPTIONS } from "../../src/cli/run_options.ts";
import { makeAuthority } from "../support/certificates.ts";
import { startHttpOrigin } from "../support/origin.ts";
import { ProxyProcess, taskCommand } from "../support/proxy_process.ts";
import { testWorld } from "../support/test_world.ts";
import { plainEnvironment, run } from "../support/tools.ts";

const ON_WINDOWS = Deno.build.os === "windows";

async function withDirectory(run: (directory: string) => Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "soth_mitm_run_" });
  try {
    await run(await Deno.realPath(directory));
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** `soth-mitm ARGS` to its end. */
function soth(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  return run(Deno.execPath(), [...taskCommand("start"), ...args], { env });
}

function statuses(stderr: string): Record<string, unknown>[] {
  return stderr.split("\n").filter((line) => line.startsWith("SOTH_MITM_STATUS\t"))
    .map((line) => JSON.parse(line.slice("SOTH_MITM_STATUS\t".length)));
}

Deno.test("run says startup, ready and exit, with the real address, the CA and the process", async () => {
  await using proxy = await ProxyProcess.start("run-status");
  const [startup, ready] = proxy.statuses;
  assertEquals([startup?.stage, startup?.outcome], ["startup", "in_progress"]);
  assertEquals([ready?.stage, ready?.outcome], ["running", "ready"]);
  assertEquals(Object.keys(ready?.detail ?? {}), ["listen", "ca_cert_path", "pid"]);
  assertMatch(proxy.authority, /^127\.0\.0\.1:[1-9]\d*$/);
  assertStringIncludes(await Deno.readTextFile(proxy.caPath), "-----BEGIN CERTIFICATE-----");
  await proxy.stop();
  assertEquals(proxy.statuses.length, 3);
  const exit = proxy.statuses[2];
  assertEquals([exit?.stage, exit?.outcome, exit?.exit_code, exit?.exit_class], ["exit", "ok", 0, "ok"]);
});

Deno.test("run ends with the class of what kept it from starting", () =>
  withDirectory(async (directory) => {
    const taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const common = ["--status-lines", "--state-dir", `${directory}/state`];
    const cases: [string[], number, string][] = [
      [["--listen", "nowhere"], 20, "config_invalid"],
      [["--listen", "127.0.0.1:0", "--config", `${directory}/none.toml`], 20, "config_invalid"],
      [["--listen", "127.0.0.1:0", "--events", `${directory}/none/e.jsonl`], 21, "event_sink_init_failed"],
      [["--listen", `127.0.0.1:${taken.addr.port}`], 22, "proxy_init_failed"],
    ];
    try {
      for (const [args, code, exitClass] of cases) {
        const ended = await soth([...common, ...args]);
        assertEquals(ended.code, code, ended.stderr);
        const last = statuses(ended.stderr).at(-1);
        assertEquals([last?.["stage"], last?.["outcome"], last?.["exit_code"], last?.["exit_class"]], [
          "exit",
          "error",
          code,
          exitClass,
        ]);
        const { message } = last?.["detail"] as { message: string };
        assertStringIncludes(ended.stderr, `soth-mitm: ${message}\n`);
      }
    } finally {
      taken.close();
    }
  }));

Deno.test({
  name: "run drains on the first signal and ends at once on the second, and the log is whole",
  ignore: ON_WINDOWS,
  async fn() {
    const origin = await startHttpOrigin();
    await using proxy = await ProxyProcess.start("run-signals", { config: '[timeouts]\ndrain = "1h"\n' });
    const client = await Deno.connect({ hostname: "127.0.0.1", port: proxy.port });
    try {
      const request = `GET ${origin.url}/gate/drain HTTP/1.1\r\nHost: ${origin.authority}\r\n\r\n`;
      await client.write(new TextEncoder().encode(request));
      const { flow_id } = await proxy.eventually("a response", ({ kind }) => kind === "response_headers");
      Deno.kill(proxy.pid, "SIGTERM");
      await refused(proxy.port);
      assertEquals(await proxy.kill("SIGINT"), 0);
      const closed = (await proxy.events())
        .filter((event) => event.kind === "stream_closed" && event.flow_id === flow_id);
      assertEquals(closed.map(({ attributes }) => attributes["reason_code"]), ["shutdown"]);
      await proxy.verifyLog();
    } finally {
      client.close();
      await origin.close();
    }
  },
});

Deno.test("run resumes its sessions with servers, permissions given up, and the log says so", () =>
  withDirectory(async (directory) => {
    const authority = makeAuthority();
    await Deno.writeTextFile(`${directory}/root.pem`, authority.certPem);
    const origin = await startHttpOrigin({ certificate: authority.issue({ names: ["localhost"] }) });
    try {
      await using proxy = await ProxyProcess.start("run-resumption", {
        config: `[tls]\nupstream_trust = ${JSON.stringify(`${directory}/root.pem`)}\n` +
          `[route]\nmode = "reverse"\nreverse_origin = "https://localhost:${origin.port}"\n`,
      });
      for (let round = 0; round < 3; round++) {
        const client = await Deno.connect({ hostname: "127.0.0.1", port: proxy.port });
        const request = "GET /bytes/1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        await client.write(new TextEncoder().encode(request));
        assertMatch(await new Response(client.readable).text(), /^HTTP\/1\.1 200 /);
      }
      await proxy.stop();
      const resumed = (await proxy.events())
        .filter(({ kind, attributes }) => kind === "tls_handshake_succeeded" && attributes.side === "server")
        .map(({ attributes }) => attributes.resumed);
      assertEquals(resumed, [false, true, true]);
    } finally {
      await origin.close();
    }
  }));

/** Resolves when nothing accepts on the port any more. */
async function refused(port: number): Promise<void> {
  const limit = performance.now() + 10_000;
  while (performance.now() < limit) {
    try {
      (await Deno.connect({ hostname: "127.0.0.1", port })).close();
    } catch (error) {
      if (error instanceof Deno.errors.ConnectionRefused) return;
      // It was queued at the very moment the listener closed: the reset comes while connecting, or right after it,
      // when the runtime asks for the addresses of a connection that is no more.
      const cut = error instanceof Deno.errors.ConnectionReset || error instanceof Deno.errors.NotConnected;
      if (!cut) throw error;
    }
  }
  throw new Error("the proxy still accepts");
}

Deno.test("run with --events - writes events to standard output, and nothing else there", () =>
  withDirectory(async (directory) => {
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        ...taskCommand("start"),
        ...["--listen", "127.0.0.1:0", "--state-dir", directory, "--events", "-", "--status-lines"],
      ],
      env: plainEnvironment(),
      clearEnv: true,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    let asked = false;
    const stdout = new Response(child.stdout).text();
    let stderr = "";
    for await (const part of child.stderr.pipeThrough(new TextDecoderStream())) {
      stderr += part;
      const ready = statuses(stderr.slice(0, stderr.lastIndexOf("\n") + 1)).find(({ outcome }) =>
        outcome === "ready"
      );
      if (ready === undefined || asked) continue;
      asked = true;
      const { listen } = ready["detail"] as { listen: string[] };
      await answerOf(listen[0] ?? "", "GET / HTTP/1.1\r\n\r\n");
      child.kill(ON_WINDOWS ? "SIGKILL" : "SIGTERM");
    }
    await child.status;
    const lines = (await stdout).split("\n").filter((line) => line !== "");
    assertEquals(JSON.parse(lines[0] ?? "").kind, "log_opened");
    assert(lines.length > 1);
    for (const line of lines) assertEquals(JSON.parse(line).schema, "soth-mitm-event-log-v2");
  }));

Deno.test("run reports what nobody caught and goes on serving everybody else", () =>
  withDirectory(async (directory) => {
    const source = new URL("../../src/cli/", import.meta.url).href;
    // The program itself, with exceptions thrown from inside once it says that it is ready.
    await Deno.writeTextFile(
      `${directory}/inside.ts`,
      `import { EventEmitter } from "node:events";
      import { nextTick } from "node:process";
      import { main } from "${source}main.ts";
      import { systemWorld } from "${source}world.ts";
      const world = systemWorld();
      const bug = (name) => () => {
        throw new Error(name + " \\x1b[2J");
      };
      const askAndLeave = async (authority) => {
        const [hostname, port] = authority.split(":");
        const connection = await Deno.connect({ hostname, port: Number(port) });
        await connection.write(new TextEncoder().encode("GET / HTTP/1.1\\r\\n\\r\\n"));
        world.console.stdout((await new Response(connection.readable).text()).split("\\r\\n")[0]);
        Deno.exit(0);
      };
      const stderr = (text) => {
        world.console.stderr(text);
        if (!text.includes('"outcome":"ready"')) return;
        setTimeout(bug("timer"), 0);
        queueMicrotask(bug("microtask"));
        void Promise.reject(new Error("rejection"));
        void Promise.reject(undefined);
        nextTick(bug("tick"));
        nextTick(() => new EventEmitter().emit("error", new Error("emitter")));
        const { listen } = JSON.parse(text.split("\\t")[1]).detail;
        setTimeout(() => askAndLeave(listen[0]), 20);
      };
      await main(Deno.args, { ...world, console: { ...world.console, stderr } });`,
    );
    const task = taskCommand("start");
    const args = task.with(task.indexOf("src/cli/soth_mitm.ts"), `${directory}/inside.ts`);
    args.splice(1, 0, "--config", "deno.json");
    const { code, stdout, stderr } = await run(Deno.execPath(), [
      ...args,
      ...["--listen", "127.0.0.1:0", "--state-dir", `${directory}/state`, "--status-lines"],
    ]);
    assertEquals([code, stdout], [0, "HTTP/1.1 400 Bad Request"], stderr);
    for (const name of ["timer", "microtask", "rejection", "undefined", "tick", "emitter"]) {
      assertMatch(stderr, new RegExp(`error: this is a bug in soth-mitm, .*: (Error: )?${name}`));
    }
    assertEquals(stderr.includes("\x1b"), false);
  }));

/** What a proxy answers to these bytes, to the end of the connection. */
async function answerOf(authority: string, request: string): Promise<string> {
  const [hostname = "", port] = authority.split(":");
  const connection = await Deno.connect({ hostname, port: Number(port) });
  await connection.write(new TextEncoder().encode(request));
  return await new Response(connection.readable).text();
}

Deno.test("a running proxy is left with the network alone", () =>
  withDirectory(async (directory) => {
    const source = new URL("../../src/cli/", import.meta.url).href;
    // The program itself, looked at from inside at the moment it says that it is ready.
    await Deno.writeTextFile(
      `${directory}/inside.ts`,
      `import { main } from "${source}main.ts";
      import { systemWorld } from "${source}world.ts";
      const world = systemWorld();
      const works = async (attempt) => {
        try {
          await attempt();
          return true;
        } catch (error) {
          return error instanceof Deno.errors.NotCapable ? false : String(error);
        }
      };
      const stderr = async (text) => {
        world.console.stderr(text);
        if (!text.includes('"outcome":"ready"')) return;
        const found = {
          env: await works(() => Deno.env.get("HOME")),
          read: await works(() => Deno.readTextFile(${JSON.stringify(`${directory}/inside.ts`)})),
          ownKey: await works(() => Deno.readTextFile(${JSON.stringify(`${directory}/state/ca/ca.key`)})),
          write: await works(() => Deno.writeTextFile(${JSON.stringify(`${directory}/written`)}, "")),
          run: await works(() => new Deno.Command(Deno.execPath()).output()),
          sys: await works(() => Deno.hostname()),
          net: await works(() => Deno.listen({ port: 0, hostname: "127.0.0.1" }).close()),
        };
        world.console.stdout(JSON.stringify(found));
        Deno.exit(0);
      };
      await main(Deno.args, { ...world, console: { ...world.console, stderr } });`,
    );
    const task = taskCommand("start");
    const entry = task.indexOf("src/cli/soth_mitm.ts");
    const args = task.with(entry, `${directory}/inside.ts`);
    args.splice(1, 0, "--config", "deno.json");
    const { stdout, stderr } = await run(Deno.execPath(), [
      ...args,
      ...["--listen", "127.0.0.1:0", "--state-dir", `${directory}/state`, "--status-lines"],
      ...["--events", `${directory}/e.jsonl`],
    ]);
    assert(stdout !== "", stderr);
    assertEquals(JSON.parse(stdout), {
      env: false,
      read: false,
      ownKey: false,
      write: false,
      run: false,
      sys: false,
      net: true,
    });
  }));

Deno.test("launch starts a proxy with the settings of flags, environment and file", () =>
  withDirectory(async (directory) => {
    await Deno.writeTextFile(`${directory}/c.toml`, 'state_dir = "state"\n[timeouts]\nhead = "3s"\n');
    const world = testWorld({ cwd: directory, env: { SOTH_MITM_TIMEOUTS_IDLE: "4s" } });
    const reporter = new Reporter(world.console, { statusLines: true, quiet: true, logLevel: "error" });
    const parsed = parseArguments(["--config", "c.toml", "--listen", "127.0.0.1:0"], RUN_OPTIONS);
    const { proxy, settings, needed, linesShown } = await launch({
      parsed,
      reporter,
      world,
      alsoKeep: { run: true },
    });
    try {
      assertEquals([settings.timeouts.headMs, settings.timeouts.idleMs], [3_000, 4_000]);
      assertEquals(settings.stateDir, await Deno.realPath(`${directory}/state`));
      assertEquals(needed.run, false);
      assertEquals(world.dropped, [{ ...needed, run: true }]);
      assertEquals(statuses(world.said.stderr).map(({ outcome }) => outcome), ["in_progress", "ready"]);
    } finally {
      await proxy.stop();
      await linesShown();
    }
    assertEquals(await proxy.ended, { reason: "stopped", detail: "" });
  }));
