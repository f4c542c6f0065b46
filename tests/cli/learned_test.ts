import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { learnedCommand } from "../../src/cli/learned.ts";
import { main } from "../../src/cli/main.ts";
import { UsageError } from "../../src/cli/usage_error.ts";
import type { LearnedBypass } from "../../src/policy/learning.ts";
import { asidePath, changeLearned, learnedPath, readLearned } from "../../src/runtime/learned_file.ts";
import { withStateDir } from "../support/ca_settings.ts";
import { testWorld } from "../support/test_world.ts";

const NOW_MS = Date.UTC(2026, 10, 21, 12, 0, 0);

function entry(host: string, expiresMs: number, failures = 2): LearnedBypass {
  const evidence = {
    failures,
    firstMs: NOW_MS - 61_000,
    lastMs: NOW_MS - 60_000,
    error: "ALERT\x1b: unknown CA",
  };
  return { host, fingerprint: "t13d_a_b", learnedMs: NOW_MS - 60_000, expiresMs, evidence };
}

async function learned(stateDir: string, ...args: string[]) {
  const world = testWorld();
  const code = await learnedCommand([...args, "--state-dir", stateDir], world, () => NOW_MS);
  return { code, ...world.said };
}

Deno.test("learned list tells host, client, evidence and end of what is in force", () =>
  withStateDir(async (stateDir) => {
    const none = await learned(stateDir, "list");
    assertEquals(none, {
      code: 0,
      stdout: "no learned bypass is in force\n" +
        'with these settings (tls.learned_bypass = "suggest") none is learned\n',
      stderr: "",
    });
    await assertRejects(() => Deno.stat(stateDir), Deno.errors.NotFound);
    await changeLearned(stateDir, () => [
      entry("a.test", NOW_MS + 839_001),
      entry("over.test", NOW_MS),
      entry("b.test", NOW_MS + 1, 1),
    ]);
    const { code, stdout } = await learned(stateDir, "list");
    assertEquals(code, 0);
    assertEquals(
      stdout,
      `a.test
  client    t13d_a_b (JA4)
  evidence  2 failures from 2026-11-21T11:58:59Z to 2026-11-21T11:59:00Z
            ALERT\\x1b: unknown CA
  until     2026-11-21T12:13:59Z (14m)
b.test
  client    t13d_a_b (JA4)
  evidence  1 failure at 2026-11-21T11:59:00Z
            ALERT\\x1b: unknown CA
  until     2026-11-21T12:00:00Z (1s)
`,
    );
    const one = await learned(stateDir, "list", "--host", "B.test");
    assertEquals(one.stdout.split("\n")[0], "b.test");
  }));

Deno.test("learned clear ends all, or those of one host and not of its children", () =>
  withStateDir(async (stateDir) => {
    assertEquals((await learned(stateDir, "clear")).stdout, "no learned bypass to clear\n");
    await assertRejects(() => Deno.stat(stateDir), Deno.errors.NotFound);
    const hosts = ["a.test", "api.a.test", "b.test"];
    await changeLearned(stateDir, () => hosts.map((host) => entry(host, NOW_MS + 1_000)));
    assertEquals((await learned(stateDir, "clear", "--host", "a.test")).stdout, "1 learned bypass cleared\n");
    assertEquals(
      (await learned(stateDir, "clear", "--host", "c.test")).stdout,
      "no learned bypass to clear\n",
    );
    assertEquals((await learned(stateDir, "clear")).stdout, "2 learned bypasses cleared\n");
    assertEquals(readLearned(learnedPath(stateDir)), { type: "entries", entries: [] });
  }));

Deno.test("learned list says what is wrong with a corrupt file, and learned clear moves it away", () =>
  withStateDir(async (stateDir) => {
    const path = learnedPath(stateDir);
    await Deno.mkdir(stateDir);
    await Deno.writeTextFile(path, "{}");
    const listed = await learned(stateDir, "list");
    assertEquals(listed.code, 1);
    assertStringIncludes(listed.stderr, "its schema is not soth-mitm-learned-v1");
    const cleared = await learned(stateDir, "clear");
    assertEquals(cleared.code, 0);
    assertStringIncludes(cleared.stderr, asidePath(path));
    assertEquals(await Deno.readTextFile(asidePath(path)), "{}");
  }));

Deno.test("learned is told what is missing or unknown, and keeps reads and writes alone", () =>
  withStateDir(async (stateDir) => {
    for (const args of [[], ["lsit"], ["list", "extra"], ["list", "--hots", "a"]]) {
      await assertRejects(() => learned(stateDir, ...args), UsageError);
    }
    const world = testWorld();
    assertEquals(await main(["learned", "list", "--state-dir", stateDir], world), 0);
    assertEquals(world.dropped.map(({ run, env, net }) => [run, env, net]), [[false, false, false]]);
    assertStringIncludes((await learned(stateDir, "--help")).stdout, "soth-mitm learned clear");
  }));
