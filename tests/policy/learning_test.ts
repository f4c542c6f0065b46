import { assertEquals } from "@std/assert";
import fc from "fast-check";
import type { ClientTlsFailure } from "../../src/core/session.ts";
import {
  COUNTED_MAX,
  ERROR_LENGTH_MAX,
  HOST_LENGTH_MAX,
  isInForce,
  LEARNED_MAX,
  Learning,
  type LearningRules,
} from "../../src/policy/learning.ts";

const RULES: LearningRules = { mode: "on", failuresNeeded: 2, windowMs: 1_000, ttlMs: 5_000 };

function failure(overrides: Partial<ClientTlsFailure> = {}): ClientTlsFailure {
  return {
    host: "pinned.test",
    fingerprint: "t13d",
    normalizedReason: "unknown_ca",
    sourceConfidence: "authoritative",
    error: "ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: alert",
    bar: null,
    ...overrides,
  };
}

function said(note: ReturnType<Learning["failed"]>): string | null {
  return note === null ? null : `${note.outcome}: ${note.reason}`;
}

Deno.test("the failure that is needed is learned from, for the time of its life and not longer", () => {
  const learning = new Learning(RULES);
  assertEquals(said(learning.failed(failure(), 100)), "counted: below_threshold");
  assertEquals(learning.bypass(failure(), 100), null);
  assertEquals(learning.failed(failure(), 1_099), {
    outcome: "learned",
    reason: "threshold",
    failures: 2,
    failuresNeeded: 2,
    expiresInMs: 5_000,
  });
  assertEquals(learning.bypass(failure(), 1_100)?.expiresInMs, 4_999);
  // Use does not prolong it.
  assertEquals(said(learning.bypass(failure(), 6_098)), "bypassed: bypass");
  assertEquals(said(learning.bypass(failure(), 6_099)), "expired: ttl");
  assertEquals(learning.bypass(failure(), 6_100), null, "that it has ended is said once");
  assertEquals(said(learning.failed(failure(), 6_101)), "counted: below_threshold");
});

Deno.test("failures further apart than the window do not add up", () => {
  const learning = new Learning(RULES);
  learning.failed(failure(), 0);
  assertEquals(said(learning.failed(failure(), 1_000)), "counted: below_threshold");
  assertEquals(said(learning.failed(failure(), 1_999)), "learned: threshold");
});

Deno.test("a bypass holds for its client and its exact host alone, not for a parent, a child or a sibling", () => {
  const learning = new Learning({ ...RULES, failuresNeeded: 1 });
  learning.failed(failure({ host: "api.pinned.test" }), 0);
  const others = [
    { host: "pinned.test" },
    { host: "v2.api.pinned.test" },
    { host: "api.pinned.test." },
    { host: "www.pinned.test" },
    { host: "api.pinned.test", fingerprint: "t12d" },
    { host: "test", fingerprint: "t13d api.pinned." },
  ];
  for (const other of others) assertEquals(learning.bypass(failure(other), 1), null, JSON.stringify(other));
  assertEquals(said(learning.bypass(failure({ host: "api.pinned.test" }), 1)), "bypassed: bypass");
});

Deno.test("what is no authoritative unknown_ca changes nothing and is given its reason", () => {
  const cases: readonly (readonly [Partial<ClientTlsFailure>, string])[] = [
    [{ sourceConfidence: "inferred" }, "inferred"],
    [{ sourceConfidence: "inferred", normalizedReason: "timeout", bar: "names_differ" }, "inferred"],
    [{ normalizedReason: "cert_validation" }, "not_unknown_ca"],
    [{ normalizedReason: "eof_or_reset" }, "not_unknown_ca"],
    [{ bar: "names_differ" }, "names_differ"],
    [{ bar: "not_tunnelable" }, "not_tunnelable"],
    [{ bar: "refused_flow" }, "refused_flow"],
    [{ host: "x".repeat(HOST_LENGTH_MAX + 1) }, "not_tunnelable"],
  ];
  for (const [overrides, reason] of cases) {
    const learning = new Learning(RULES);
    for (let at = 0; at < 3; at++) {
      assertEquals(said(learning.failed(failure(overrides), at)), `ignored: ${reason}`);
    }
    assertEquals(
      said(learning.failed(failure(), 3)),
      "counted: below_threshold",
      "nothing was counted",
    );
  }
  const learning = new Learning(RULES);
  assertEquals(
    said(learning.failed(failure({ host: "x".repeat(HOST_LENGTH_MAX) }), 0)),
    "counted: below_threshold",
  );
});

Deno.test("suggest says so once in the life of a bypass, and lets nobody through", () => {
  const learning = new Learning({ ...RULES, mode: "suggest" });
  learning.failed(failure(), 0);
  assertEquals(learning.failed(failure(), 1), {
    outcome: "suggested",
    reason: "threshold",
    failures: 2,
    failuresNeeded: 2,
    expiresInMs: 5_000,
  });
  assertEquals(learning.bypass(failure(), 2), null);
  assertEquals(said(learning.failed(failure(), 5_000)), "ignored: already_suggested");
  assertEquals(said(learning.failed(failure(), 5_001)), "counted: below_threshold");
  assertEquals(said(learning.failed(failure(), 5_002)), "suggested: threshold");
  learning.replace([entryOf("pinned.test")], 6_000);
  assertEquals(learning.bypass(failure(), 6_000), null, "not even for what is in the file");
});

Deno.test("off learns nothing and uses nothing", () => {
  const learning = new Learning({ ...RULES, mode: "off", failuresNeeded: 1 });
  learning.replace([entryOf("pinned.test")], 0);
  assertEquals(learning.failed(failure(), 1), null);
  assertEquals(learning.bypass(failure(), 1), null);
});

function entryOf(host: string, learnedMs = 0) {
  const evidence = { failures: 2, firstMs: 0, lastMs: 1, error: "alert" };
  return { host, fingerprint: "t13d", learnedMs, expiresMs: learnedMs + 10_000, evidence };
}

Deno.test("a failure beside a bypass in force is none: another connection of the client was faster", () => {
  const learning = new Learning(RULES);
  learning.replace([entryOf("pinned.test")], 0);
  assertEquals(said(learning.failed(failure(), 1)), "ignored: already_learned");
  assertEquals(learning.entries(1)[0]!.expiresMs, 10_000);
});

Deno.test("a clock that is put back ends bypasses rather than prolong them, and loses evidence", () => {
  const learning = new Learning(RULES);
  learning.failed(failure(), 5_000);
  assertEquals(said(learning.failed(failure(), 4_000)), "counted: below_threshold");
  learning.failed(failure(), 4_001);
  assertEquals(said(learning.bypass(failure(), 4_000)), "expired: ttl");
  assertEquals(isInForce(entryOf("a", 5), 4), false);
});

Deno.test("what is kept is bounded: the oldest evidence goes first, and the bypass that was used longest ago", () => {
  const learning = new Learning(RULES);
  for (let index = 0; index <= COUNTED_MAX; index++) learning.failed(failure({ host: `h${index}` }), 0);
  assertEquals(said(learning.failed(failure({ host: "h1" }), 1)), "learned: threshold");
  assertEquals(said(learning.failed(failure({ host: "h0" }), 1)), "counted: below_threshold");
  const full = new Learning({ ...RULES, failuresNeeded: 1 });
  for (let index = 0; index < LEARNED_MAX; index++) full.failed(failure({ host: `h${index}` }), 0);
  full.bypass(failure({ host: "h0" }), 1);
  full.failed(failure({ host: "new" }), 1);
  assertEquals(full.entries(1).length, LEARNED_MAX);
  assertEquals(said(full.bypass(failure({ host: "h0" }), 1)), "bypassed: bypass");
  assertEquals(full.bypass(failure({ host: "h1" }), 1), null);
  full.failed(failure({ host: "long", error: "x".repeat(ERROR_LENGTH_MAX + 1) }), 1);
  assertEquals(full.find(failure({ host: "long" }), 1)?.evidence.error.length, ERROR_LENGTH_MAX);
});

Deno.test("replace takes away what others ended, and keeps what has ended here to be said", () => {
  const learning = new Learning({ ...RULES, failuresNeeded: 1 });
  learning.failed(failure({ host: "old" }), 0);
  learning.failed(failure({ host: "cleared" }), 4_000);
  learning.replace([entryOf("other", 4_000)], 5_500);
  assertEquals(learning.bypass(failure({ host: "cleared" }), 5_500), null);
  assertEquals(said(learning.bypass(failure({ host: "other" }), 5_500)), "bypassed: bypass");
  assertEquals(said(learning.bypass(failure({ host: "old" }), 5_500)), "expired: ttl");
});

Deno.test("nobody is let through without that many authoritative failures of his own in the window, whatever came", () => {
  const signal = fc.record({
    host: fc.constantFrom("a.test", "b.a.test"),
    fingerprint: fc.constantFrom("x", "y"),
    normalizedReason: fc.constantFrom("unknown_ca", "unknown_ca", "timeout"),
    sourceConfidence: fc.constantFrom("authoritative", "authoritative", "inferred"),
    bar: fc.constantFrom(null, null, "names_differ"),
    waitMs: fc.integer({ min: 0, max: 600 }),
  });
  fc.assert(fc.property(fc.array(signal, { maxLength: 40 }), (signals) => {
    const learning = new Learning(RULES);
    const counting: { key: string; at: number }[] = [];
    let now = 0;
    for (const { waitMs, ...overrides } of signals) {
      now += waitMs;
      const one = failure(overrides as Partial<ClientTlsFailure>);
      const key = `${one.host} ${one.fingerprint}`;
      const counts = one.normalizedReason === "unknown_ca" && one.sourceConfidence === "authoritative" &&
        one.bar === null;
      if (learning.bypass(one, now)?.outcome === "bypassed") {
        const own = counting.filter((known) => known.key === key).map(({ at }) => at);
        const pair = own.some((at, index) =>
          index > 0 && at - own[index - 1]! < RULES.windowMs && now - at < RULES.ttlMs
        );
        assertEquals(pair, true);
      }
      learning.failed(one, now);
      if (counts) counting.push({ key, at: now });
    }
  }));
});
