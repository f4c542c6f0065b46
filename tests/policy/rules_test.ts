import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import type { Action, Decision, HelloFacts } from "../../src/core/session.ts";
import type { PolicyRule, Settings } from "../../src/core/settings.ts";
import { matches, parsePattern } from "../../src/policy/pattern.ts";
import { compilePolicy } from "../../src/policy/rules.ts";

type PolicySettings = Settings["policy"];

const EMPTY: PolicySettings = { default: "intercept", ignoreHosts: [], blockHosts: [], rules: [] };

Deno.test("compilePolicy: the first matching rule wins before the lists, block before ignore, then the default", () => {
  const decide = compiled({
    default: "intercept",
    rules: [
      { id: "allow-one", hosts: ["good.bad.example"], action: "intercept" },
      { id: "models", hosts: ["*.models.example", "10.0.0.0/8"], ports: [443, 8443], action: "tunnel" },
      { id: "late", hosts: ["*.models.example"], action: "block" },
    ],
    blockHosts: ["*.bad.example", "both.example"],
    ignoreHosts: ["both.example", "*.bank.example"],
  });
  assertEquals(decide("good.bad.example"), { action: "intercept", reason: "rule", ruleId: "allow-one" });
  assertEquals(decide("worse.bad.example"), { action: "block", reason: "block_host", ruleId: null });
  assertEquals(decide("models.example", 8443), { action: "tunnel", reason: "rule", ruleId: "models" });
  assertEquals(decide("models.example", 80), { action: "block", reason: "rule", ruleId: "late" });
  assertEquals(decide("10.9.9.9"), { action: "tunnel", reason: "rule", ruleId: "models" });
  assertEquals(decide("10.9.9.9", 80), { action: "intercept", reason: "default", ruleId: null });
  assertEquals(decide("both.example"), { action: "block", reason: "block_host", ruleId: null });
  assertEquals(decide("www.bank.example"), { action: "tunnel", reason: "ignore_host", ruleId: null });
  assertEquals(decide("other.example"), { action: "intercept", reason: "default", ruleId: null });
});

Deno.test("compilePolicy: without any pattern every question gets the default", () => {
  for (const action of ["intercept", "tunnel", "block"] as const) {
    assertEquals(compiled({ ...EMPTY, default: action })("a.example"), {
      action,
      reason: "default",
      ruleId: null,
    });
  }
});

Deno.test("compilePolicy: a blocked network cannot be evaded by another spelling of the address", () => {
  const decide = compiled({ ...EMPTY, blockHosts: ["127.0.0.0/8", "::1"] });
  const spellings = [
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "::ffff:127.0.0.1",
    "0:0:0:0::1",
  ];
  for (const host of [...spellings, "127.0.0.1.", "::FFFF:7f00:1"]) {
    assertEquals(decide(host).action, "block", host);
  }
});

Deno.test("compilePolicy: the name in the ClientHello counts beside the CONNECT host, in the same order of precedence", () => {
  const decide = compiled({
    default: "intercept",
    rules: [{ id: "first", hosts: ["rule.example"], action: "intercept" }],
    blockHosts: ["*.bad.example"],
    ignoreHosts: ["*.bank.example", "192.0.2.1"],
  });
  assertEquals(decide("192.0.2.7", 443, "www.bank.example").reason, "ignore_host");
  assertEquals(decide("192.0.2.7", 443, "other.example").reason, "default");
  assertEquals(decide("192.0.2.1", 443, "bad.example").reason, "block_host");
  assertEquals(decide("192.0.2.1", 443, "other.example").reason, "ignore_host");
  assertEquals(decide("rule.example", 443, "bad.example").ruleId, "first");
});

Deno.test("compilePolicy names the rule and the pattern of a fault", () => {
  const rule: PolicyRule = { id: "corp", hosts: ["a.example"], action: "block" };
  const faults: readonly (readonly [settings: Partial<PolicySettings>, detail: string])[] = [
    [
      { rules: [rule, { ...rule, id: "x", hosts: ["ok.example", "https://a"] }] },
      'policy.rules[1].hosts[1] (rule "x")',
    ],
    [{ blockHosts: ["a:0"] }, "policy.block_hosts[0]"],
    [{ ignoreHosts: ["a", "**.b"] }, "policy.ignore_hosts[1]"],
    [{ rules: [rule, rule] }, 'policy.rules[1]: the id "corp"'],
    [{ rules: [{ ...rule, id: "" }] }, "policy.rules[0]: the id is empty"],
    [{ rules: [{ ...rule, hosts: [] }] }, 'rule "corp" has no hosts'],
    [{ rules: [{ ...rule, ports: [] }] }, "empty list of ports"],
    [{ rules: [{ ...rule, ports: [443, 65536] }] }, "has the port 65536"],
    [{ rules: [{ ...rule, ports: [0] }] }, "has the port 0"],
    [{ rules: [{ ...rule, ports: [4.5] }] }, "has the port 4.5"],
    [{ rules: [{ ...rule, paths: [] }] }, "empty list of paths"],
    [{ rules: [{ ...rule, methods: [] }] }, "empty list of methods"],
    [{ rules: [{ ...rule, paths: ["admin"] }] }, 'has the path "admin"'],
    [{ rules: [{ ...rule, methods: ["GET "] }] }, 'has the method "GET "'],
    [{ rules: [{ ...rule, sni: [] }] }, "empty list of sni"],
    [{ rules: [{ ...rule, sni: ["a.example:443"] }] }, "without a port"],
    [{ rules: [{ ...rule, sni: ["10.0.0.0/8"] }] }, "a ClientHello names nothing else"],
    [{ rules: [{ ...rule, ja4: ["t13d"] }] }, 'has the ja4 "t13d"'],
    [{ rules: [{ ...rule, alpn: ["h 2"] }] }, 'has the alpn "h 2"'],
  ];
  for (const [settings, detail] of faults) {
    const result = compilePolicy({ ...EMPTY, ...settings });
    assert(result.type === "error" && result.detail.includes(detail), JSON.stringify(result));
  }
});

Deno.test("compilePolicy: rules with paths or methods speak of requests alone, in their place among the others", () => {
  const settings: PolicySettings = {
    ...EMPTY,
    rules: [
      { id: "public", hosts: ["a.example"], paths: ["/admin/public/*"], action: "intercept" },
      { id: "admin", hosts: ["a.example", "*.b.example"], paths: ["/admin/*", "/secret"], action: "block" },
      { id: "writes", hosts: ["a.example"], ports: [443], methods: ["PUT", "DELETE"], action: "block" },
      { id: "both", hosts: ["*"], paths: ["/drop"], methods: ["POST"], action: "tunnel" },
    ],
    blockHosts: ["c.example"],
  };
  const result = compilePolicy(settings);
  if (result.type === "error") throw new Error(result.detail);
  const { policy } = result;
  const ask = (host: string, method: string, path: string | null, port = 443) =>
    policy({
      flowId: "1",
      clientAddr: "",
      authority: { host, port },
      method,
      path,
      sni: null,
    }).ruleId;
  assertEquals(ask("a.example", "GET", "/admin/public/x"), "public");
  assertEquals(ask("a.example", "GET", "/admin/x?y"), "admin");
  assertEquals(ask("a.example", "GET", "/admin/public/../x"), "admin");
  assertEquals(ask("x.b.example", "GET", "/secret"), "admin");
  assertEquals(ask("x.b.example", "GET", "/secrets"), null);
  assertEquals(ask("a.example", "PUT", "/"), "writes");
  assertEquals(ask("a.example", "put", "/"), null);
  assertEquals(ask("a.example", "PUT", "/", 80), null);
  assertEquals(ask("z.example", "POST", "/drop"), "both");
  assertEquals(ask("z.example", "GET", "/drop"), null);
  // A CONNECT has no path, whatever a rule says of methods.
  assertEquals(ask("a.example", "CONNECT", null), null);
  assertEquals(ask("a.example", "PUT", null), null);
});

Deno.test("compilePolicy: rules about ClientHellos are matched once there is one, in their place among the others", () => {
  const settings: PolicySettings = {
    ...EMPTY,
    rules: [
      { id: "pinned", hosts: ["10.0.0.0/8"], sni: ["*.bank.example"], action: "tunnel" },
      { id: "plain", hosts: ["b.example"], action: "intercept" },
      { id: "bot", hosts: ["*"], ports: [443], ja4: ["t13d1516h2_*"], action: "block" },
      { id: "h3", hosts: ["*.example"], alpn: ["h3", "x"], paths: ["/x"], action: "block" },
    ],
  };
  const result = compilePolicy(settings);
  if (result.type === "error") throw new Error(result.detail);
  assertEquals([result.decidesHellos, result.decidesRequests], [true, true]);
  const ja4 = "t13d1516h2_8daaf6152771_e5627efa2ab1";
  const other = "t12i010000_000000000000_000000000000";
  const ask = (
    host: string,
    { sni = null, port = 443, path = null, ...hello }: Partial<HelloFacts> & {
      port?: number;
      path?: string | null;
    },
  ) => {
    const decision = result.policy({
      flowId: "1",
      clientAddr: "",
      authority: { host: sni ?? host, port },
      method: path === null ? "CONNECT" : "GET",
      path,
      sni,
      hello: { sni, alpn: [], ja4: other, connectHost: host, ...hello },
    });
    assertEquals(decision.onHello === true, decision.ruleId !== null && decision.ruleId !== "plain");
    return decision.ruleId;
  };
  assertEquals(ask("10.1.2.3", { sni: "www.bank.example" }), "pinned");
  assertEquals(ask("10.1.2.3", {}), null);
  // Whoever connects elsewhere only claims to be the bank's client.
  assertEquals(ask("evil.example", { sni: "www.bank.example" }), null);
  assertEquals(ask("a.example", { ja4 }), "bot");
  assertEquals(ask("b.example", { ja4 }), "plain");
  assertEquals(ask("a.example", { ja4, port: 80 }), null);
  assertEquals(ask("a.example", { alpn: ["h2", "h3"] }), null, "a rule with paths speaks of requests");
  assertEquals(ask("a.example", { alpn: ["h2", "h3"], path: "/x" }), "h3");
  assertEquals(ask("a.example", { alpn: ["h2"], path: "/x" }), null);
  const before = { flowId: "1", clientAddr: "", method: "CONNECT", path: null, sni: null };
  assertEquals(result.policy({ ...before, authority: { host: "10.1.2.3", port: 443 } }).ruleId, null);
});

Deno.test("compilePolicy says of a connection that some of its requests are blocked, and of no other", () => {
  const decide = compiled({
    ...EMPTY,
    rules: [
      { id: "admin", hosts: ["*.a.example"], ports: [443], paths: ["/admin/*"], action: "block" },
      { id: "unseen", hosts: ["b.example"], methods: ["GET"], action: "tunnel" },
    ],
    ignoreHosts: ["c.a.example"],
  });
  const intercept = { action: "intercept", reason: "default", ruleId: null };
  assertEquals(decide("x.a.example"), { ...intercept, blocksRequests: true });
  assertEquals(decide("10.0.0.1", 443, "a.example"), { ...intercept, blocksRequests: true });
  assertEquals(decide("x.a.example", 80), intercept);
  assertEquals(decide("b.example"), intercept);
  assertEquals(decide("c.a.example"), { action: "tunnel", reason: "ignore_host", ruleId: null });
});

Deno.test("compilePolicy says whether single requests have to be asked about", () => {
  const rule: PolicyRule = { id: "r", hosts: ["a.example"], action: "block" };
  const decides = (rules: readonly PolicyRule[]) => {
    const result = compilePolicy({ ...EMPTY, rules });
    return result.type === "policy" && result.decidesRequests;
  };
  assertEquals(
    [[], [rule], [{ ...rule, paths: ["/x"] }], [{ ...rule, methods: ["GET"] }]].map(decides),
    [false, false, true, true],
  );
});

Deno.test("compilePolicy agrees with trying every pattern one after the other", () => {
  const label = fc.constantFrom("a", "b", "api", "api-1", "xn--bcher-kva");
  const name = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join("."));
  const octet = fc.constantFrom(0, 10, 127, 255);
  const ipv4 = fc.tuple(octet, octet, octet, octet).map((octets) => octets.join("."));
  const ipv6 = fc.constantFrom("::1", "::", "2001:db8::1", "2001:db8:1::", "::ffff:10.0.0.1", "fe80::1");
  const port = fc.constantFrom(80, 443);
  const pattern = fc.tuple(
    fc.oneof(
      name,
      name.map((text) => `*.${text}`),
      name.map((text) => `${text}.*`),
      name.map((text) => `api*.${text}`),
      fc.constant("*"),
      ipv4,
      fc.tuple(ipv4, fc.integer({ min: 0, max: 32 })).map(([text, prefix]) => `${text}/${prefix}`),
      fc.tuple(ipv6, fc.integer({ min: 0, max: 128 })).map(([text, prefix]) => `[${text}]/${prefix}`),
      ipv6.map((text) => `[${text}]`),
      fc.constant("10.*.0.*"),
    ),
    fc.option(port),
  ).map(([host, number]) => number === null ? host : `${host}:${number}`);
  const action = fc.constantFrom<Action>("intercept", "tunnel", "block");
  const patterns = fc.array(pattern, { maxLength: 4 });
  const rules = fc.array(
    fc.record({
      hosts: fc.array(pattern, { minLength: 1, maxLength: 4 }),
      ports: fc.option(fc.array(port, { minLength: 1 })),
      action,
    }),
    { maxLength: 5 },
  ).map((list) =>
    list.map(({ hosts, ports, action }, at): PolicyRule => ({
      id: `r${at}`,
      hosts,
      action,
      ...(ports === null ? {} : { ports }),
    }))
  );
  const settings = fc.record({ default: action, ignoreHosts: patterns, blockHosts: patterns, rules });
  const questions = fc.array(fc.tuple(fc.oneof(name, ipv4, ipv6), port), { minLength: 1, maxLength: 10 });
  fc.assert(
    fc.property(settings, questions, (settings, questions) => {
      const decide = compiled(settings);
      for (const [host, number] of questions) {
        assertEquals(decide(host, number), referenceDecision(settings, host, number), `${host}:${number}`);
      }
    }),
    { numRuns: 300 },
  );
});

Deno.test("compilePolicy answers hosts of any shape and length", () => {
  const decide = compiled({ ...EMPTY, blockHosts: ["*.example.com", "a*.example.org", "10.0.0.0/8", "*.b"] });
  fc.assert(fc.property(fc.string({ unit: "binary" }), fc.integer(), (host, port) => {
    decide(host, port);
  }));
  assertEquals(decide("a.".repeat(32_000) + "example.com").action, "block");
  assertEquals(decide("a".repeat(64_000)).action, "intercept");
  assertEquals(decide(`${"a".repeat(64_000)}.example.com`).action, "block");
  assertEquals(decide("9".repeat(64_000)).action, "intercept");
  assertEquals(decide(":".repeat(64_000)).action, "intercept");
});

Deno.test("compilePolicy looks hosts, suffixes and networks up instead of trying ten thousand of them", () => {
  const blockHosts = Array.from({ length: 10_000 }, (_, at) => {
    switch (at % 4) {
      case 0:
        return `h${at}.example`;
      case 1:
        return `*.s${at}.example`;
      case 2:
        return `10.${at >> 8}.${at & 255}.0/24`;
      default:
        return `2001:db8:${at.toString(16)}::/48`;
    }
  });
  const decide = compiled({ ...EMPTY, blockHosts });
  const hosts = ["h9996.example", "x.y.s9997.example", "10.39.14.1", "2001:db8:270f::1"];
  const started = performance.now();
  for (let round = 0; round < 5_000; round++) {
    for (const host of hosts) assert(decide(host).action === "block");
    assert(decide("www.somewhere.else.example").action === "intercept");
  }
  const microseconds = (performance.now() - started) * 1000 / 25_000;
  console.log(`${microseconds.toFixed(2)} µs a decision with ${blockHosts.length} patterns`);
  // Trying each would take some milliseconds.
  assert(microseconds < 200);
});

function compiled(settings: PolicySettings): (host: string, port?: number, sni?: string) => Decision {
  const result = compilePolicy(settings);
  if (result.type === "error") throw new Error(result.detail);
  return (host, port = 443, sni) =>
    result.policy({
      flowId: "1",
      clientAddr: "127.0.0.1:1",
      authority: { host, port },
      method: "CONNECT",
      sni: sni ?? null,
      path: null,
    });
}

function referenceDecision(settings: PolicySettings, host: string, port: number): Decision {
  const anyMatches = (texts: readonly string[]) =>
    texts.some((text) => {
      const pattern = parsePattern(text);
      return pattern.type !== "error" && matches(pattern, { host, port });
    });
  for (const rule of settings.rules) {
    if ((rule.ports === undefined || rule.ports.includes(port)) && anyMatches(rule.hosts)) {
      return { action: rule.action, reason: "rule", ruleId: rule.id };
    }
  }
  if (anyMatches(settings.blockHosts)) return { action: "block", reason: "block_host", ruleId: null };
  if (anyMatches(settings.ignoreHosts)) return { action: "tunnel", reason: "ignore_host", ruleId: null };
  return { action: settings.default, reason: "default", ruleId: null };
}

Deno.test("compilePolicy: a rule may say that what it matches is HTTP/3, never of single requests", () => {
  const settings: PolicySettings = {
    ...EMPTY,
    rules: [
      { id: "blocked", hosts: ["no.video.example"], action: "block" },
      { id: "quic", hosts: ["*.video.example"], ports: [443], http3: true, action: "intercept" },
      { id: "offers", hosts: ["*"], alpn: ["h3-x"], http3: true, action: "tunnel" },
      { id: "admin", hosts: ["a.video.example"], paths: ["/admin"], action: "block" },
    ],
  };
  const result = compilePolicy(settings);
  if (result.type === "error") throw new Error(result.detail);
  assertEquals(result.decidesHellos, true);
  const ask = (host: string, path: string | null = null, hello?: HelloFacts) =>
    result.policy({
      flowId: "1",
      clientAddr: "",
      authority: { host, port: 443 },
      method: path === null ? "CONNECT" : "GET",
      path,
      sni: null,
      ...(hello === undefined ? {} : { hello }),
    });
  const prior: Decision = { action: "intercept", reason: "rule", ruleId: "quic" };
  const designated: Decision = { action: "tunnel", reason: "http3", ruleId: "quic", prior, http3By: "rule" };
  assertEquals(ask("b.video.example"), designated);
  // Where it is not passed through, the host has requests that are blocked.
  assertEquals(ask("a.video.example"), { ...designated, prior: { ...prior, blocksRequests: true } });
  assertEquals(ask("no.video.example"), { action: "block", reason: "rule", ruleId: "blocked" });
  assertEquals(ask("b.video.example", "/"), prior);
  const hello = { sni: null, alpn: ["h3-x"], ja4: "", connectHost: "c.example" };
  assertEquals(ask("c.example", null, hello), {
    action: "tunnel",
    reason: "http3",
    ruleId: "offers",
    prior: { action: "tunnel", reason: "rule", ruleId: "offers", onHello: true },
    http3By: "rule",
  });
  for (const more of [{ paths: ["/x"] }, { methods: ["GET"] }, { action: "block" as const }]) {
    const refused = compilePolicy({
      ...EMPTY,
      rules: [{ id: "r", hosts: ["*"], http3: true, action: "tunnel", ...more }],
    });
    assert(refused.type === "error" && refused.detail.startsWith('policy.rules[0]: rule "r" '));
  }
});
