import { assertEquals } from "@std/assert";
import type { Decision, Question } from "../../src/core/session.ts";
import type { HostOverride } from "../../src/core/settings.ts";
import { compileOverrides } from "../../src/policy/overrides.ts";

const NONE = {
  forceTunnel: false,
  http3: false,
  stripAltSvc: false,
  strictHeaders: true,
  disableH2: false,
  skipUpstreamVerify: false,
  profile: null,
};
const OVERRIDES: readonly HostOverride[] = [
  { ...NONE, id: "tunnel", hosts: ["a.test", "10.0.0.0/8"], forceTunnel: true },
  { ...NONE, id: "no-h2", hosts: ["*.test:443"], disableH2: true },
  { ...NONE, id: "quic", hosts: ["*.quic"], http3: true },
];
const INTERCEPT: Decision = { action: "intercept", reason: "rule", ruleId: "r" };

function asked(
  decision: Decision,
  host: string,
  port = 443,
  sni: string | null = null,
  path: string | null = null,
): Decision {
  const question: Question = {
    flowId: "1",
    clientAddr: "-",
    authority: { host, port },
    method: "CONNECT",
    path,
    sni,
  };
  const compiled = compileOverrides(OVERRIDES);
  if (compiled.type === "error") throw new Error(compiled.detail);
  return compiled.override(decision, question);
}

Deno.test("compileOverrides: the first override whose hosts match acts", () => {
  const forced = { action: "tunnel", reason: "override", ruleId: "tunnel" } as const;
  assertEquals(asked(INTERCEPT, "a.test"), forced);
  assertEquals(asked(INTERCEPT, "10.1.2.3", 8443), forced);
  assertEquals(asked(INTERCEPT, "b.test"), { ...INTERCEPT, override: OVERRIDES[1]! });
  assertEquals(asked(INTERCEPT, "b.test", 444), INTERCEPT);
  assertEquals(asked(INTERCEPT, "c.example"), INTERCEPT);
});

Deno.test("compileOverrides: what is blocked stays blocked, and what is tunnelled keeps its reason", () => {
  for (const action of ["block", "tunnel"] as const) {
    const decision: Decision = { action, reason: "rule", ruleId: "r" };
    assertEquals(asked(decision, "a.test"), decision);
    assertEquals(asked(decision, "b.test"), decision);
  }
});

Deno.test("compileOverrides: what is HTTP/3 keeps what would have been decided, and is never a request", () => {
  const http3 = (prior: Decision) => ({ action: "tunnel", reason: "http3", ruleId: "quic", prior }) as const;
  const tunnel: Decision = { action: "tunnel", reason: "ignore_host", ruleId: null };
  const block: Decision = { action: "block", reason: "block_host", ruleId: null };
  assertEquals(asked(INTERCEPT, "q.quic"), http3(INTERCEPT));
  assertEquals(asked(tunnel, "q.quic"), http3(tunnel));
  assertEquals(asked(block, "q.quic"), block);
  assertEquals(asked(tunnel, "q.quic", 443, null, "/"), tunnel);
  assertEquals(asked(INTERCEPT, "q.quic", 443, null, "/").action, "intercept");
});

Deno.test("compileOverrides: what a rule says is HTTP/3 has the override in what would have been decided", () => {
  const designated = (prior: Decision): Decision => ({
    action: "tunnel",
    reason: "http3",
    ruleId: "r",
    prior,
    http3By: "rule",
  });
  assertEquals(
    asked(designated(INTERCEPT), "b.test"),
    designated({ ...INTERCEPT, override: OVERRIDES[1]! }),
  );
  assertEquals(
    asked(designated(INTERCEPT), "a.test"),
    designated({ action: "tunnel", reason: "override", ruleId: "tunnel" }),
  );
  assertEquals(asked(designated(INTERCEPT), "q.quic"), designated(INTERCEPT));
});

Deno.test("compileOverrides: a question about the name in a hello is about that name", () => {
  assertEquals(asked(INTERCEPT, "c.example", 443, "a.test"), INTERCEPT);
  assertEquals(asked(INTERCEPT, "a.test", 443, "a.test").ruleId, "tunnel");
});

Deno.test("compileOverrides names the override whose pattern is wrong", () => {
  const compiled = compileOverrides([{ ...NONE, id: "x", hosts: ["a b"], disableH2: true }]);
  if (compiled.type !== "error") throw new Error("a b is no pattern");
  assertEquals(compiled.detail.startsWith('overrides[0].hosts[0] (override "x"): '), true, compiled.detail);
});
