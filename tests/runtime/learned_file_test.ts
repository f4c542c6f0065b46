import { assertEquals } from "@std/assert";
import { assert } from "../../src/core/assert.ts";
import fc from "fast-check";
import {
  ERROR_LENGTH_MAX,
  HOST_LENGTH_MAX,
  LEARNED_MAX,
  type LearnedBypass,
} from "../../src/policy/learning.ts";
import {
  asidePath,
  changeLearned,
  formatLearned,
  learnedPath,
  learnedVersion,
  parseLearned,
  readLearned,
} from "../../src/runtime/learned_file.ts";
import { withStateDir } from "../support/ca_settings.ts";

const ON_WINDOWS = Deno.build.os === "windows";
const EPOCH_MS = Date.UTC(2026, 0, 1);

function entry(host: string, overrides: Partial<LearnedBypass> = {}): LearnedBypass {
  return {
    host,
    fingerprint: "t13d1516h2_8daaf6152771_e5627efa2ab1",
    learnedMs: EPOCH_MS,
    expiresMs: EPOCH_MS + 900_000,
    evidence: { failures: 2, firstMs: EPOCH_MS - 1_000, lastMs: EPOCH_MS, error: "ALERT: unknown CA" },
    ...overrides,
  };
}

Deno.test("what is written is read again, whatever is in it", () => {
  const time = fc.integer({ min: 0, max: EPOCH_MS * 2 });
  const any = fc.record({
    host: fc.string({ minLength: 1, maxLength: HOST_LENGTH_MAX }),
    learnedMs: time,
    expiresMs: time,
    evidence: fc.record({
      failures: fc.integer({ min: 1, max: 100 }),
      firstMs: time,
      lastMs: time,
      error: fc.string({ maxLength: ERROR_LENGTH_MAX }),
    }),
  });
  fc.assert(fc.property(fc.array(any, { maxLength: 5 }), (some) => {
    const entries = some.map(({ host, ...rest }) => entry(host, rest));
    assertEquals(parseLearned(formatLearned(entries)), { type: "entries", entries });
  }));
});

Deno.test("the largest file that is written is not too large to be read", () =>
  withStateDir(async (stateDir) => {
    const evidence = { failures: 100, firstMs: 0, lastMs: 0, error: "\x01".repeat(ERROR_LENGTH_MAX) };
    const entries = Array.from(
      { length: LEARNED_MAX },
      () => entry("\x01".repeat(HOST_LENGTH_MAX), { evidence }),
    );
    await changeLearned(stateDir, () => entries);
    assertEquals(readLearned(learnedPath(stateDir)).type, "entries");
  }));

Deno.test("parseLearned takes any text without a throw, and none of a file of which a part is wrong", () => {
  fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
    assertEquals(parseLearned(text).type, "unusable");
  }));
  const good = JSON.parse(formatLearned([entry("a.test"), entry("b.test")]));
  const wrong: readonly (readonly [string, unknown])[] = [
    ["host", ""],
    ["host", "x".repeat(HOST_LENGTH_MAX + 1)],
    ["host", 1],
    ["fingerprint", "two words"],
    ["fingerprint", ""],
    ["failures", 0],
    ["failures", 1.5],
    ["error", "x".repeat(ERROR_LENGTH_MAX + 1)],
    ["learned_at", "yesterday"],
    ["learned_at", "2026-13-01T00:00:00.000Z"],
    ["expires_at", null],
    ["first_failure_at", "2026-01-01"],
    ["last_failure_at", 0],
  ];
  for (const [key, value] of wrong) {
    const text = JSON.stringify({
      ...good,
      entries: [good.entries[0], { ...good.entries[1], [key]: value }],
    });
    assertEquals(parseLearned(text), { type: "unusable", detail: "entry 2 is none" }, key);
  }
  assertEquals(parseLearned(JSON.stringify({ ...good, schema: "v2" })).type, "unusable");
  const many = { ...good, entries: Array(LEARNED_MAX + 1).fill(good.entries[0]) };
  assertEquals(parseLearned(JSON.stringify(many)).type, "unusable");
});

Deno.test("changeLearned makes what is missing, with its owner's rights alone, and leaves nothing beside it", () =>
  withStateDir(async (stateDir) => {
    const path = learnedPath(stateDir);
    assertEquals(readLearned(path), { type: "entries", entries: [] });
    assertEquals(learnedVersion(path), null);
    const umask = ON_WINDOWS ? 0 : Deno.umask(0);
    try {
      const { version } = await changeLearned(stateDir, () => [entry("a.test")]);
      assertEquals(version, learnedVersion(path));
    } finally {
      if (!ON_WINDOWS) Deno.umask(umask);
    }
    assertEquals(readLearned(path), { type: "entries", entries: [entry("a.test")] });
    if (!ON_WINDOWS) {
      assertEquals((Deno.statSync(path).mode ?? 0) & 0o777, 0o600);
      assertEquals((Deno.statSync(stateDir).mode ?? 0) & 0o777, 0o700);
    }
    const killed = `${path}.01234567-0123-0123-0123-0123456789ab.tmp`;
    const foreign = `${stateDir}/other.json.01234567-0123-0123-0123-0123456789ab.tmp`;
    for (const left of [killed, foreign]) await Deno.writeTextFile(left, "half");
    await changeLearned(stateDir, (entries) => [...entries, entry("b.test")]);
    const names = [...Deno.readDirSync(stateDir)].map(({ name }) => name).sort();
    assertEquals(names, ["learned.json", "learned.json.lock", foreign.slice(stateDir.length + 1)]);
  }));

Deno.test("changes of several at once are all there in the end", () =>
  withStateDir(async (stateDir) => {
    const hosts = Array.from({ length: 8 }, (_, index) => `h${index}.test`);
    await Promise.all(
      hosts.map((host) => changeLearned(stateDir, (entries) => [...entries, entry(host)])),
    );
    const found = readLearned(learnedPath(stateDir));
    assert(found.type === "entries", "it can be read");
    assertEquals(found.entries.map(({ host }) => host).sort(), hosts);
  }));

Deno.test("a file that is broken, or that others may write to, is moved away by the next change", () =>
  withStateDir(async (stateDir) => {
    const path = learnedPath(stateDir);
    await Deno.mkdir(stateDir, { recursive: true });
    for (const broken of ["", "{", formatLearned([entry("a.test")]).slice(0, -9)]) {
      await Deno.writeTextFile(path, broken);
      const { setAside, entries } = await changeLearned(stateDir, (entries) => [...entries, entry("b.test")]);
      assert(setAside !== null, "it was set aside");
      assertEquals(entries, [entry("b.test")]);
      assertEquals(await Deno.readTextFile(asidePath(path)), broken);
    }
    if (ON_WINDOWS) return;
    await Deno.chmod(path, 0o620);
    const { setAside, entries } = await changeLearned(stateDir, (entries) => entries);
    assertEquals([setAside, entries], ["its mode 0620 lets others write to it", []]);
  }));
