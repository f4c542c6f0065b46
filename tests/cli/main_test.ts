import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { configCommand } from "../../src/cli/config.ts";
import { main } from "../../src/cli/main.ts";
import { parseArguments } from "../../src/cli/options.ts";
import { logLevelOf, RUN_OPTIONS, settingFlags } from "../../src/cli/run_options.ts";
import { versionText } from "../../src/cli/version.ts";
import { callersDirectory } from "../../src/cli/world.ts";
import { DESCRIPTORS } from "../../src/runtime/config/schema.ts";
import { VERSION } from "../../src/runtime/version.ts";
import { testWorld } from "../support/test_world.ts";

async function ran(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const world = testWorld({ env });
  const code = await main(args, world);
  return { code, ...world.said, dropped: world.dropped };
}

const words = (line: string) => line === "" ? [] : line.split(" ");

Deno.test("main ends with 2 for a command line that cannot be meant, and names the nearest that can", async () => {
  const cases: [string, string][] = [
    ["foo", 'unknown command "foo"'],
    ["rum", 'unknown command "rum" (did you mean "run"?)'],
    ["exce -- x", 'unknown command "exce" (did you mean "exec"?)'],
    ["confg print", 'unknown command "confg" (did you mean "config"?)'],
    ["toString", 'unknown command "toString"'],
    ["--lisen x", 'unknown option --lisen (did you mean "--listen"?)'],
    ["run --lisen x", 'unknown option --lisen (did you mean "--listen"?)'],
    ["--upstream http://x", "unknown option --upstream"],
    ["--workers 2", "unknown option --workers"],
    ["--listen", "--listen needs an argument: --listen ADDR"],
    ["--events --quiet", "--events needs an argument: --events SINK"],
    ["--config", "--config needs an argument: --config FILE"],
    ["--config a.toml --config b.toml", "--config is given twice"],
    ["--quiet=1", "--quiet takes no value"],
    ["--log-level loud", '--log-level: found "loud"; allowed: error, warn, info, debug'],
    ["--quiet run", 'unexpected argument "run": run takes options only'],
    ["run x", 'unexpected argument "x": run takes options only'],
    ["run -- x", 'unexpected argument "x": run takes options only'],
    ["exec", "exec needs a command after --"],
    ["exec --", "exec needs a command after --"],
    ["exec curl -s x", "exec needs a command after --"],
    ["exec x -- y", 'unexpected argument "x": exec before -- takes options only'],
    ["exec --lisen x -- y", 'unknown option --lisen (did you mean "--listen"?)'],
    ["exec --listen unix:/x -- y", "exec needs a --listen of the form host:port"],
    ["config", "config needs a subcommand: check, print, schema"],
    ["config chek", 'unknown subcommand config chek (did you mean "check"?)'],
    ["config check x", 'unexpected argument "x": config check takes options only'],
    ["config print --quiet", "unknown option --quiet"],
    ["ca", "soth-mitm ca"],
    ["ca shwo", "shwo"],
    ["ca show --state-dir", "--state-dir needs an argument"],
    ["log", "a subcommand is missing"],
    ["log vrify x", "verify"],
  ];
  for (const [line, message] of cases) {
    const { code, stdout, stderr } = await ran(words(line));
    assertEquals(code, 2, line);
    assertStringIncludes(stderr, message, line);
    assertEquals(stdout, "", line);
  }
});

Deno.test("main writes the exit line of a usage error when status lines are asked for", async () => {
  const { stderr } = await ran(["--status-lines", "--lisen", "x"]);
  const line = stderr.split("\n").find((line) => line.startsWith("SOTH_MITM_STATUS\t"));
  assertEquals(
    line?.slice("SOTH_MITM_STATUS\t".length),
    JSON.stringify({
      schema: "soth-mitm-automation-status-v1",
      stage: "exit",
      outcome: "error",
      exit_code: 2,
      exit_class: "usage",
      detail: { message: 'unknown option --lisen (did you mean "--listen"?)' },
    }),
  );
  const silent = await ran(["exec", "--lisen", "x", "--", "y", "--status-lines"]);
  assert(!silent.stderr.includes("SOTH_MITM_STATUS"));
});

Deno.test("main prints help on standard output and ends with 0", async () => {
  for (
    const line of [
      "--help",
      "-h",
      "run --help",
      "--quiet -h",
      "exec --help",
      "config --help",
      "ca --help",
      "log --help",
    ]
  ) {
    const { code, stdout, stderr } = await ran(words(line));
    assertEquals([code, stderr], [0, ""], line);
    assertStringIncludes(stdout, "soth-mitm", line);
  }
  const { stdout } = await ran(["run", "--help"]);
  for (const option of Object.keys(RUN_OPTIONS)) assertStringIncludes(stdout, `--${option}`);
  const config = await ran(["config", "--help"]);
  for (const { key } of DESCRIPTORS) assertStringIncludes(config.stdout, `  ${key}\n`);
});

Deno.test("main prints the version of deno.json, and what it was made from", async () => {
  const { code, stdout } = await ran(["--version"]);
  assertEquals([code, stdout], [0, versionText()]);
  assertStringIncludes(stdout, `soth-mitm ${VERSION} (`);
});

Deno.test("main gives up first what the command will never need", async () => {
  const expected: [string, string[]][] = [
    ["--lisen", ["env", "sys", "net", "read", "write"]],
    ["run --lisen", ["env", "sys", "net", "read", "write"]],
    ["exec --lisen -- x", ["run", "env", "sys", "net", "read", "write"]],
    ["ca nothing", ["run", "env", "sys", "read", "write"]],
    ["config nothing", ["read"]],
    ["log nothing", ["read"]],
  ];
  for (const [line, names] of expected) {
    const { dropped } = await ran(words(line));
    const kept = Object.entries(dropped[0] ?? {})
      .filter(([name, value]) =>
        name !== "done" && value !== false && !(Array.isArray(value) && value.length === 0)
      );
    assertEquals(kept.map(([name]) => name).sort(), names.sort(), line);
  }
});

Deno.test("config check judges flags, environment and file, and ends with 20 for what is not allowed", async () => {
  const good = await ran(["config", "check", "--listen", "127.0.0.1:0"]);
  assertEquals([good.code, good.stdout], [0, "the configuration is valid\n"]);

  const bad = await ran(["config", "check", "--listen", "nowhere"], { SOTH_MITM_TLS_PROFILE: "strikt" });
  assertEquals(bad.code, 20);
  assertStringIncludes(bad.stderr, "the configuration has 2 errors:");
  assertStringIncludes(bad.stderr, "SOTH_MITM_TLS_PROFILE: tls.profile: found");
  assertStringIncludes(bad.stderr, "--listen: listen[0]: found");

  const missing = await ran(["config", "check", "--config", "/nowhere/x.toml"]);
  assertEquals(missing.code, 20);
  assertStringIncludes(missing.stderr, "/nowhere/x.toml: there is no such file");
});

Deno.test("config print shows effective values and where they came from, config schema is JSON", async () => {
  const world = testWorld({ env: { SOTH_MITM_TIMEOUTS_HEAD: "2s" } });
  assertEquals(await configCommand(["print", "--block", "x.example", "--default=tunnel"], world), 0);
  assertStringIncludes(world.said.stdout, 'head = "2s"  # env SOTH_MITM_TIMEOUTS_HEAD\n');
  assertStringIncludes(world.said.stdout, 'default = "tunnel"  # flag --default\n');
  assertStringIncludes(world.said.stdout, 'hosts = ["x.example"], action = "block" }]  # flag --block\n');

  const schema = testWorld();
  assertEquals(await configCommand(["schema"], schema), 0);
  assertEquals(JSON.parse(schema.said.stdout)["$schema"], "https://json-schema.org/draft/2020-12/schema");
});

Deno.test("ca takes --state-dir and --config anywhere among its arguments", async () => {
  const directory = await Deno.makeTempDir();
  try {
    for (
      const line of [
        `--state-dir ${directory} show`,
        `show --state-dir=${directory}`,
        `show --state-dir ${directory}`,
      ]
    ) {
      const { code, stderr } = await ran(["ca", ...words(line)]);
      assertEquals(code, 22, line);
      assertStringIncludes(stderr, directory, line);
    }
    const { code, stderr } = await ran(["ca", "show", "--config", `${directory}/none.toml`]);
    assertEquals(code, 20);
    assertStringIncludes(stderr, "there is no such file");
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("settingFlags turns options into settings, rules in the order given", () => {
  const parsed = parseArguments(
    words(
      "--block a --listen x:1 --tunnel b --events - --intercept c --listen y:2 --state-dir s --default block " +
        "--reverse https://o:1",
    ),
    RUN_OPTIONS,
  );
  assertEquals(settingFlags(parsed), {
    listen: ["x:1", "y:2"],
    sinks: ["-"],
    stateDir: "s",
    defaultAction: "block",
    reverse: "https://o:1",
    rules: [
      { action: "block", pattern: "a" },
      { action: "tunnel", pattern: "b" },
      { action: "intercept", pattern: "c" },
    ],
  });
  assertEquals(logLevelOf(parsed), "info");
});

Deno.test("callersDirectory follows the caller of a task, and nobody else", () => {
  assertEquals(callersDirectory("/project", "/home/user", "/project"), "/home/user");
  assertEquals(callersDirectory("/project", undefined, "/project"), null);
  assertEquals(callersDirectory("/project", "", "/project"), null);
  assertEquals(callersDirectory("/elsewhere", "/home/user", "/project"), null);
  assertEquals(callersDirectory("/project", "/home/user", null), null);
});
