/** With a wall clock of the test's own, and real files. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { assert } from "../../src/core/assert.ts";
import type { ClientTlsFailure } from "../../src/core/session.ts";
import { LearnedBypasses } from "../../src/runtime/learned_bypasses.ts";
import { asidePath, changeLearned, learnedPath, readLearned } from "../../src/runtime/learned_file.ts";
import type { Notice } from "../../src/runtime/running_proxy.ts";
import { LEARNED_MAX } from "../../src/policy/learning.ts";
import { caSettings, withStateDir } from "../support/ca_settings.ts";

const START_MS = Date.UTC(2026, 0, 1);
const TTL_MS = 15 * 60_000;

function failureOf(host: string): ClientTlsFailure {
  return {
    host,
    fingerprint: "t13d",
    normalizedReason: "unknown_ca",
    sourceConfidence: "authoritative",
    error: "ALERT: unknown CA",
    bar: null,
  };
}

class Opened {
  readonly notices: Notice[] = [];
  readonly bypasses: LearnedBypasses;

  constructor(stateDir: string, mode: string, public nowMs = START_MS) {
    this.bypasses = new LearnedBypasses(caSettings(stateDir, { learned_bypass: mode }), {
      notice: (notice) => void this.notices.push(notice),
      nowMs: () => this.nowMs,
    });
  }

  /** Fails as often as is needed; gives the last outcome. */
  fail(host: string): string | undefined {
    this.bypasses.learn(failureOf(host));
    return this.bypasses.learn(failureOf(host))?.outcome;
  }

  outcome(host: string): string | undefined {
    return this.bypasses.learned(failureOf(host))?.outcome;
  }
}

Deno.test("what was learned is there again after a restart, until its end", () =>
  withStateDir(async (stateDir) => {
    const first = new Opened(stateDir, "on");
    assertEquals(first.fail("a.test"), "learned");
    await first.bypasses.saved();
    assertEquals(first.notices.map(({ level }) => level), ["warn"]);
    assertStringIncludes(first.notices[0]!.message, "a.test is tunnelled for 15m");
    const second = new Opened(stateDir, "on");
    second.nowMs += TTL_MS - 1;
    assertEquals(second.outcome("a.test"), "bypassed");
    second.nowMs += 1;
    assertEquals(second.outcome("a.test"), "expired");
    const third = new Opened(stateDir, "on", START_MS + TTL_MS);
    assertEquals(third.outcome("a.test"), undefined);
    assertEquals([second.notices, third.notices], [[], []]);
  }));

Deno.test("suggest says what to put into policy and touches no file; nor does it use one", () =>
  withStateDir(async (stateDir) => {
    const suggesting = new Opened(stateDir, "suggest");
    assertEquals(suggesting.fail("a.test"), "suggested");
    await suggesting.bypasses.saved();
    assertEquals(suggesting.notices.map(({ level }) => level), ["info"]);
    for (const part of ["JA4 t13d", "2 times", "--tunnel a.test", 'ignore_hosts = ["a.test"]']) {
      assertStringIncludes(suggesting.notices[0]!.message, part);
    }
    let isThere = true;
    await Deno.stat(stateDir).catch(() => isThere = false);
    assertEquals(isThere, false);
    const learned = new Opened(stateDir, "on");
    learned.fail("a.test");
    await learned.bypasses.saved();
    assertEquals(new Opened(stateDir, "suggest").outcome("a.test"), undefined);
  }));

Deno.test("all that is learned while the file is written is in it in the end", () =>
  withStateDir(async (stateDir) => {
    const opened = new Opened(stateDir, "on");
    const hosts = ["a.test", "b.test", "c.test"];
    for (const host of hosts) {
      opened.fail(host);
      await Promise.resolve();
    }
    await opened.bypasses.saved();
    const found = readLearned(learnedPath(stateDir));
    assert(found.type === "entries", "it can be read");
    assertEquals(found.entries.map(({ host }) => host), hosts);
    for (const host of hosts) assertEquals(opened.outcome(host), "bypassed");
  }));

Deno.test("what is learned in any moment of the file's being written is neither lost nor forgotten", () =>
  withStateDir(async (stateDir) => {
    const opened = new Opened(stateDir, "on");
    const hosts = Array.from({ length: 100 }, (_, index) => `${index}.test`);
    for (const host of hosts) {
      opened.fail(host);
      // As long as one step of the writing takes, which has ten or so.
      await Deno.stat(".");
    }
    await opened.bypasses.saved();
    const found = readLearned(learnedPath(stateDir));
    assert(found.type === "entries", "it can be read");
    assertEquals(found.entries.map(({ host }) => host).sort(), [...hosts].sort());
    assertEquals(hosts.filter((host) => opened.outcome(host) !== "bypassed"), []);
  }));

Deno.test("what could not be written is in the file once it can be, as much of it as is kept", () =>
  withStateDir(async (stateDir) => {
    await Deno.writeTextFile(stateDir, "");
    const opened = new Opened(stateDir, "on");
    for (let count = 0; count < LEARNED_MAX + 10; count++) {
      opened.fail(`${count}.test`);
      if (count % 100 === 0) await opened.bypasses.saved();
    }
    await opened.bypasses.saved();
    await Deno.remove(stateDir);
    opened.fail("last.test");
    await opened.bypasses.saved();
    const found = readLearned(learnedPath(stateDir));
    assert(found.type === "entries", "it can be read");
    assertEquals(found.entries.length, LEARNED_MAX);
    assertEquals(found.entries.at(-1)!.host, "last.test");
  }));

Deno.test("what others clear or learn counts before anyone is let through", () =>
  withStateDir(async (stateDir) => {
    const one = new Opened(stateDir, "on");
    const other = new Opened(stateDir, "on");
    one.fail("a.test");
    await one.bypasses.saved();
    other.fail("b.test");
    await other.bypasses.saved();
    assertEquals(other.outcome("a.test"), "bypassed", "it was in the file that `other` added to");
    await changeLearned(stateDir, (entries) => entries.filter(({ host }) => host !== "a.test"));
    assertEquals(one.outcome("a.test"), undefined);
    assertEquals(one.outcome("b.test"), "bypassed");
    assertEquals(other.outcome("a.test"), undefined);
    await Deno.remove(learnedPath(stateDir));
    assertEquals(other.outcome("b.test"), undefined);
  }));

Deno.test("a corrupt file is set aside with a warning, at the start and later, and nothing of it holds", () =>
  withStateDir(async (stateDir) => {
    const path = learnedPath(stateDir);
    await Deno.mkdir(stateDir);
    await Deno.writeTextFile(path, "{");
    const opened = new Opened(stateDir, "on");
    assertEquals(opened.notices.map(({ level }) => level), ["warn"]);
    assertStringIncludes(opened.notices[0]!.message, `it is no JSON); it was moved to ${asidePath(path)}`);
    assertEquals(await Deno.readTextFile(asidePath(path)), "{");
    opened.fail("a.test");
    await opened.bypasses.saved();
    await Deno.writeTextFile(path, "[");
    assertEquals(opened.outcome("a.test"), undefined);
    assertEquals(await Deno.readTextFile(asidePath(path)), "[");
    assertEquals(opened.notices.length, 3);
  }));

Deno.test("where the file cannot be written the bypass holds in this process, with a warning", () =>
  withStateDir(async (stateDir) => {
    // A file in the directory's place: no user's rights help against it.
    await Deno.writeTextFile(stateDir, "");
    const notices: Notice[] = [];
    const bypasses = new LearnedBypasses(caSettings(stateDir, { learned_bypass: "on" }), {
      notice: (notice) => void notices.push(notice),
      nowMs: () => START_MS,
    });
    for (let count = 0; count < 2; count++) bypasses.learn(failureOf("a.test"));
    await bypasses.saved();
    const said = notices.map(({ message }) => message).join("\n");
    assertStringIncludes(said, `What was learned is not in ${learnedPath(stateDir)}`);
  }));
