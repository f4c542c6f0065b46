/** `soth-mitm exec` as a process: commands that know nothing of the proxy are seen by it, and trust it. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { UsageError } from "../../src/cli/usage_error.ts";
import { execCommand } from "../../src/cli/exec.ts";
import { makeAuthority } from "../support/certificates.ts";
import { type HttpOrigin, startHttpOrigin } from "../support/origin.ts";
import { taskCommand } from "../support/proxy_process.ts";
import { testWorld } from "../support/test_world.ts";
import { plainEnvironment, run } from "../support/tools.ts";

const ON_WINDOWS = Deno.build.os === "windows";

let directory: string;
let origin: HttpOrigin;
let plain: HttpOrigin;
let logs = 0;

Deno.test.beforeAll(async () => {
  const authority = makeAuthority();
  directory = await Deno.realPath(await Deno.makeTempDir({ prefix: "soth_mitm_exec_" }));
  await Deno.writeTextFile(`${directory}/root.pem`, authority.certPem);
  origin = await startHttpOrigin({ certificate: authority.issue({ names: ["localhost", "127.0.0.1"] }) });
  plain = await startHttpOrigin();
  await Deno.writeTextFile(
    `${directory}/c.toml`,
    `state_dir = "state"\n[tls]\nupstream_ca_bundle = "root.pem"\n`,
  );
});

Deno.test.afterAll(async () => {
  await origin.close();
  await plain.close();
  await Deno.remove(directory, { recursive: true });
});

interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** `METHOD URL` of each request that the proxy saw in the clear. */
  readonly seen: string[];
}

async function exec(
  command: readonly string[],
  options: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Promise<Ran> {
  const log = `${directory}/events-${++logs}.jsonl`;
  const [program = "", ...args] = [
    Deno.execPath(),
    ...taskCommand("exec"),
    ...["--config", `${directory}/c.toml`, "--events", log, ...options, "--", ...command],
  ];
  const { code, stdout, stderr } = await run(program, args, { env });
  const events = (await Deno.readTextFile(log)).trimEnd().split("\n").map((line) => JSON.parse(line));
  const seen = events.filter(({ kind }) => kind === "request_headers")
    .map(({ attributes: { method, scheme, authority, target } }) =>
      `${method} ${target.startsWith("/") ? `${scheme}://${authority}` : ""}${target}`
    );
  return { code, stdout, stderr, seen };
}

const DENO = "const r = await fetch(Deno.args[0]); console.log(r.status, await r.text())";

/** A client that is always there; the lane of tools has curl, git, Node and Python do the same. */
const fetchOf = (url: string) => [Deno.execPath(), "eval", "--no-config", DENO, url];

Deno.test("exec has a command go through the proxy and trust it, over http and https", async () => {
  for (const url of [`https://localhost:${origin.port}/status/203`, `${plain.url}/status/203`]) {
    const { code, stdout, stderr, seen } = await exec(fetchOf(url), ["--quiet"]);
    assertEquals(code, 0, stderr);
    assertStringIncludes(stdout, "203");
    assertEquals(seen, [`GET ${url}`], stderr);
  }
});

Deno.test("exec's bundle verifies a tunnelled host, which shows its own certificate", async () => {
  const url = `https://localhost:${origin.port}/status/200`;
  const additions = { DENO_CERT: `${directory}/root.pem` };
  const { code, stderr, seen } = await exec(fetchOf(url), ["--tunnel", "localhost"], additions);
  assertEquals(code, 0, stderr);
  assertEquals(seen, []);
});

Deno.test("exec sees hosts that the user's NO_PROXY would hide", async () => {
  const url = `${plain.url}/status/200`;
  const { stderr, seen } = await exec(fetchOf(url), [], { NO_PROXY: "*", no_proxy: "localhost" });
  assertEquals(seen, [`GET ${url}`]);
  assertStringIncludes(stderr, "warning: NO_PROXY and no_proxy emptied for the command");
});

Deno.test({
  name: "exec ends with the status of its command, also of one that is killed, missing or not runnable",
  ignore: ON_WINDOWS,
  async fn() {
    const cases: [string[], number][] = [
      [["sh", "-c", "exit 0"], 0],
      [["sh", "-c", "exit 42"], 42],
      [["sh", "-c", "kill -9 $$"], 137],
      [["sh", "-c", "kill -TERM $$"], 143],
      [["soth-mitm-no-such-command"], 127],
      [[directory], 126],
    ];
    for (const [command, status] of cases) {
      const { code, stderr } = await exec(command, ["--status-lines"]);
      assertEquals(code, status, command.join(" "));
      const exit = stderr.split("\n").findLast((line) => line.startsWith("SOTH_MITM_STATUS\t"));
      assertStringIncludes(
        exit ?? "",
        `"stage":"exit","outcome":"ok","exit_code":${status},"exit_class":"ok"`,
      );
      if (status === 127) assertStringIncludes(stderr, '"soth-mitm-no-such-command" is not found');
      if (status === 126) assertStringIncludes(stderr, "cannot be run");
    }
  },
});

Deno.test({
  name: "exec gives its command standard input and output, arguments and environment as they are",
  ignore: ON_WINDOWS,
  async fn() {
    const script = 'printf "%s|" "$@"; printf "%s|" "$OWN" "$no_proxy"; cat';
    const log = `${directory}/events-${++logs}.jsonl`;
    const { code, stdout } = await run(Deno.execPath(), [
      ...taskCommand("exec"),
      ...["--config", `${directory}/c.toml`, "--events", log],
      ...["--", "sh", "-c", script, "sh", "--quiet", "a b", "--", ""],
    ], { env: { OWN: "kept", no_proxy: "x" }, stdin: "typed" });
    assertEquals([code, stdout], [0, "--quiet|a b|--||kept||typed"]);
  },
});

Deno.test({
  name: "exec passes signals on to its command and ends when that does",
  ignore: ON_WINDOWS,
  async fn() {
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        ...taskCommand("exec"),
        ...["--config", `${directory}/c.toml`, "--", "sh", "-c"],
        'trap "echo caught; exit 7" TERM; echo ready; while :; do sleep 0.05; done',
      ],
      env: plainEnvironment(),
      clearEnv: true,
      stdin: "null",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    let stdout = "";
    for await (const part of child.stdout.pipeThrough(new TextDecoderStream())) {
      if (stdout === "" && part.includes("ready")) child.kill("SIGTERM");
      stdout += part;
    }
    assertEquals(stdout, "ready\ncaught\n");
    assertEquals((await child.status).code, 7);
  },
});

Deno.test("exec listens where it is told to, and else on a free port whatever the file says", async () => {
  const taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  try {
    const env = { SOTH_MITM_LISTEN: `127.0.0.1:${taken.addr.port}` };
    const command = [Deno.execPath(), "eval", "--no-config", "console.log(Deno.env.get('HTTPS_PROXY'))"];
    const free = await exec(command, [], env);
    assertEquals(free.code, 0, free.stderr);
    assert(!free.stdout.includes(`:${taken.addr.port}`));
    const told = await exec(command, ["--listen", `127.0.0.1:${taken.addr.port}`]);
    assertEquals(told.code, 22, told.stderr);
  } finally {
    taken.close();
  }
});

Deno.test("exec reports what nobody caught, and ends with the status of its command", async () => {
  const world = testWorld({ cwd: directory });
  const command = [Deno.execPath(), "eval", "--no-config", "Deno.exit(7)"];
  const stderr = (text: string) => {
    world.console.stderr(text);
    if (!text.includes('"outcome":"ready"')) return;
    setTimeout(() => {
      throw new Error("nobody caught this");
    }, 0);
  };
  const args = ["--config", "c.toml", "--status-lines", "--", ...command];
  assertEquals(await execCommand(args, { ...world, console: { ...world.console, stderr } }), 7);
  assertStringIncludes(world.said.stderr, "error: this is a bug in soth-mitm, which goes on");
  assertStringIncludes(world.said.stderr.trimEnd().split("\n").at(-1) ?? "", '"exit_code":7');
});

Deno.test("execCommand refuses a reverse listener, through which no command finds its way", async () => {
  const flag = ["--reverse", "https://a.example", "--", "never-run"];
  await assertRejects(() => execCommand(flag, testWorld()), UsageError, "a reverse listener is none");
  const world = testWorld({
    env: { SOTH_MITM_ROUTE_MODE: "reverse", SOTH_MITM_ROUTE_REVERSE_ORIGIN: "https://a.example" },
  });
  assertEquals(await execCommand(["--", "never-run"], world), 2);
  assertStringIncludes(world.said.stderr, "a reverse listener is none (route.mode)");
});

Deno.test("execCommand says which variables of the user do not reach the command", async () => {
  const world = testWorld({
    env: { NO_PROXY: "localhost", https_proxy: "http://corp:1", SOTH_MITM_LISTEN: "bad" },
  });
  // Its own --listen wins over the variable, which is judged all the same.
  assertEquals(await execCommand(["--", "never-run"], world), 20);
  assertStringIncludes(world.said.stderr, "warning: NO_PROXY emptied for the command");
  assertStringIncludes(world.said.stderr, "warning: https_proxy replaced for the command");
});
