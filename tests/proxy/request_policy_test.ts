import { assertEquals } from "@std/assert";
import type { FlowEvent } from "../../src/core/event.ts";
import type { Action, Decision, Question } from "../../src/core/session.ts";
import { RequestPolicy, type RequestPolicyOptions } from "../../src/proxy/request_policy.ts";

/** Decides by the path: the action that it begins with, else intercept. */
function byPath({ path }: Question): Decision {
  const action = (["block", "tunnel"] as const).find((name: Action) => path?.startsWith(`/${name}`));
  return { action: action ?? "intercept", reason: "rule", ruleId: "r" };
}

function policy(options: Partial<RequestPolicyOptions> = {}) {
  const questions: Question[] = [];
  const events: FlowEvent[] = [];
  const made = new RequestPolicy({
    context: { flowId: "1-1", clientAddr: "c", serverHost: null, serverPort: 0, sequence: 0 },
    protocol: "http2",
    scheme: "https",
    target: { host: "a.test", port: 443 },
    sni: null,
    hello: null,
    reverse: false,
    asksAll: false,
    tunnelsOthers: false,
    tunnelsSni: false,
    decide: (question) => {
      questions.push(question);
      return byPath(question);
    },
    record: (event) => events.push(event),
    ...options,
  });
  return { made, questions, events };
}

Deno.test("RequestPolicy asks nothing where policy looks at no requests and the authority is the flow's", () => {
  const { made, questions, events } = policy();
  for (const authority of ["a.test", "A.test", "a.test:443", "a.test.", null, ""]) {
    assertEquals(made.ask(1, "GET", authority, "/block")?.type, "observe", String(authority));
  }
  assertEquals([questions.length, events.length], [0, 0]);
});

Deno.test("RequestPolicy decides another authority anew, and records it before the request", () => {
  const { made, questions, events } = policy();
  for (const [authority, named] of [["b.test", "b.test:443"], ["a.test:8443", "a.test:8443"]] as const) {
    assertEquals(made.ask(3, "GET", authority, "/x")?.type, "observe");
    assertEquals(events.at(-1), {
      kind: "connect_decision",
      protocol: "http2",
      streamKey: "h2:3",
      attributes: { action: "intercept", authority: named, reason: "rule", rule_id: "r" },
    });
  }
  assertEquals(questions.map(({ authority: { host, port } }) => `${host} ${port}`), [
    "b.test 443",
    "a.test 8443",
  ]);
  const blocked = made.ask(5, "GET", "b.test", "/block");
  assertEquals(blocked?.type === "refuse" && blocked.answer.detail, "b.test:443 is blocked by rule r");
});

Deno.test("RequestPolicy takes a tunnel for another authority only where no host was named", () => {
  const ip = { target: { host: "192.0.2.1", port: 443 }, tunnelsOthers: true };
  assertEquals(policy().made.ask(1, "GET", "b.test", "/tunnel")?.type, "observe");
  assertEquals(policy(ip).made.ask(1, "GET", "b.test", "/tunnel")?.type, "relay");
  assertEquals(policy({ asksAll: true }).made.ask(1, "GET", "a.test", "/tunnel")?.type, "relay");
});

Deno.test("RequestPolicy knows a flow by its CONNECT host and by the name in its ClientHello", () => {
  const { made, questions } = policy({ sni: "b.test", asksAll: true });
  assertEquals(["a.test", "b.test", null].map((name) => made.ask(1, "GET", name, "/")?.type), [
    "observe",
    "observe",
    "observe",
  ]);
  assertEquals(questions.map(({ authority, sni }) => [authority.host, sni]), [
    ["b.test", "b.test"],
    ["b.test", "b.test"],
    ["b.test", "b.test"],
  ]);
});

Deno.test("RequestPolicy: behind a reverse listener every request is one for its origin", () => {
  const { made, questions, events } = policy({ reverse: true });
  assertEquals([made.ask(1, "GET", "b.test", "/block")?.type, questions.length], ["observe", 0]);
  const asking = policy({ reverse: true, asksAll: true });
  assertEquals(asking.made.ask(1, "GET", "b.test", "/block")?.type, "refuse");
  assertEquals([asking.questions[0]!.authority.host, events.length], ["a.test", 0]);
});

Deno.test("RequestPolicy: where the port of the scheme is meant, the scheme says which", () => {
  const plain = policy({ scheme: "http", target: { host: "a.test", port: 80 } });
  assertEquals([plain.made.ask(1, "GET", "a.test", "/")?.type, plain.questions.length], ["observe", 0]);
  plain.made.ask(1, "GET", "a.test:443", "/");
  assertEquals(plain.questions.length, 1);
});

Deno.test("RequestPolicy asks about what is no name as it is written, and tells no more of it than a name has", () => {
  const { made, events } = policy();
  const odd = `${"%41".repeat(1_000)}.test`;
  const verdict = made.ask(1, "GET", odd, "/block");
  assertEquals(verdict?.type, "refuse");
  assertEquals((events[0]!.attributes["authority"] as string).length < 400, true);
});

Deno.test("RequestPolicy takes a decision that comes later once", () => {
  const { made, events } = policy({ asksAll: true, decide: () => null });
  assertEquals(made.ask(7, "GET", "a.test", "/"), null);
  const decision: Decision = { action: "block", reason: "override", ruleId: null };
  assertEquals(made.decided(decision)?.type, "refuse");
  assertEquals(made.decided(decision), null);
  assertEquals(events.length, 1);
});

Deno.test("RequestPolicy does not let a name in the hello out of sight that the flow was not let out of sight for", () => {
  const ask = (options: Partial<RequestPolicyOptions>) =>
    policy({ asksAll: true, ...options }).made.ask(1, "GET", "b.test", "/tunnel")?.type;
  assertEquals(ask({ sni: "b.test" }), "observe");
  assertEquals(ask({ sni: "b.test", target: { host: "192.0.2.1", port: 443 }, tunnelsSni: true }), "relay");
});
