/** The rules one by one are tested with whole logs in `verify_test.ts`; here a flow is looked at alone. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import type { FlowEvent } from "../../src/core/event.ts";
import { type Fault, FlowChecker } from "../../src/log/verify_flow.ts";
import {
  chunk,
  closed,
  completed,
  decision,
  flowEvent,
  received,
  requestHeaders,
  responseHeaders,
  tlsEvents,
  trailers,
} from "./log_builder.ts";

function check(events: readonly FlowEvent[]): { fault: Fault | null; at: number } {
  const checker = new FlowChecker();
  for (const [at, event] of events.entries()) {
    const fault = checker.event(event);
    if (fault !== null) return { fault, at };
  }
  return { fault: null, at: events.length };
}

const exchange = (id: number) => [requestHeaders(id), responseHeaders(id, 200), completed(id)];

Deno.test("FlowChecker accepts pipelined requests, early responses and bodies without captured data", () => {
  const events = [
    received,
    decision("intercept"),
    requestHeaders(1),
    chunk("request", 1, 0, 16384),
    requestHeaders(2),
    responseHeaders(1, 103),
    responseHeaders(1, 413),
    chunk("response", 1, 0, 3, { data: "no." }),
    completed(1, { outcome: "client_aborted", request_body_bytes: 16384, response_body_bytes: 3 }),
    responseHeaders(2, 200),
    trailers("response", 2),
    completed(2),
    closed(),
  ];
  assertEquals(check(events).fault, null);
});

Deno.test("FlowChecker takes a decision for the name in the ClientHello once for each ClientHello", () => {
  const forName: FlowEvent = {
    ...decision("block"),
    attributes: { ...decision("block").attributes, sni: "a" },
  };
  const events = [received, decision("intercept"), tlsEvents[0]!, forName, closed("blocked")];
  assertEquals(check(events).fault, null);
  assertEquals(check([...events.slice(0, 4), forName]).at, 4);
});

Deno.test("FlowChecker takes http3_passthrough once behind each decision about HTTP/3", () => {
  const http3: FlowEvent = {
    ...decision("tunnel"),
    attributes: { ...decision("tunnel").attributes, reason: "http3" },
  };
  const passed = flowEvent("http3_passthrough", { hint: "client_hello", prior_action: "intercept" });
  const events = [received, decision("intercept"), tlsEvents[0]!, http3, passed, closed()];
  assertEquals(check(events).fault, null);
  assertEquals(check([received, http3, passed, closed()]).fault, null);
  assertEquals(check([...events.slice(0, 5), passed]).at, 5);
  assertEquals(check([received, decision("tunnel"), passed]).at, 2);
  assertEquals(check([received, decision("intercept"), http3]).at, 2);
  const intercepted = { ...http3, attributes: { ...http3.attributes, action: "intercept" } };
  assertEquals(check([received, intercepted]).at, 1);
});

Deno.test("FlowChecker takes a tunnel's hello, and handshakes after it where a rule about hellos intercepts", () => {
  const onHello = (action: string): FlowEvent => ({
    ...decision(action),
    attributes: { ...decision(action).attributes, ja4: "t13d" },
  });
  const tunnelled = [received, decision("tunnel"), tlsEvents[0]!];
  assertEquals(check([...tunnelled, closed()]).fault, null);
  assertEquals(check([...tunnelled, onHello("intercept"), tlsEvents[1]!, closed()]).fault, null);
  assertEquals(check([...tunnelled, onHello("block"), tlsEvents[1]!]).at, 4);
  assertEquals(check([received, onHello("block")]).at, 1);
});

Deno.test("FlowChecker takes a learned bypass after a ClientHello, once, as a tunnel, and before any handshake", () => {
  const bypass = (action = "tunnel") =>
    flowEvent("connect_decision", { action, reason: "learned_bypass", sni: "a" });
  const begun = [received, decision("intercept"), tlsEvents[0]!];
  const started = tlsEvents.find(({ kind }) => kind === "tls_handshake_started")!;
  assertEquals(check([...begun, bypass(), closed()]).fault, null);
  for (
    const [events, detail] of [
      [[received, decision("intercept"), bypass()], "a learned bypass after no ClientHello"],
      [[...begun, bypass("block")], "a learned bypass is a tunnel, found block"],
      [[...begun, bypass(), bypass()], "a learned bypass after a learned bypass"],
      [[...begun, started, bypass()], "a learned bypass after a handshake"],
      [[...begun, bypass(), started], "tls_handshake_started after a learned bypass"],
    ] as const
  ) assertEquals(check(events).fault?.detail, detail);
});

Deno.test("FlowChecker lets out the id of a tunnelled plain request, and of no other", () => {
  const plain = (action: string) => [received, decision(action)];
  assertEquals(check([...plain("tunnel"), ...plain("intercept"), ...exchange(2)]).fault, null);
  assertEquals(
    check([...plain("tunnel"), ...plain("tunnel"), ...plain("intercept"), ...exchange(3)]).fault,
    null,
  );
  assertEquals(
    check([...plain("tunnel"), ...plain("intercept"), ...exchange(3)]).fault?.invariant,
    "exchange_id",
  );
  assertEquals(
    check([...plain("intercept"), ...exchange(1), ...exchange(3)]).fault?.invariant,
    "exchange_id",
  );
});

Deno.test("FlowChecker counts the messages of a call, each direction by itself", () => {
  const message = (direction: string, index: number) =>
    flowEvent("grpc_message", { bytes: 0, compressed: false, direction, exchange_id: 1, index }, "h1:1");
  const call = [requestHeaders(1), message("request", 0), responseHeaders(1, 200), message("response", 0)];
  assertEquals(check([...call, message("request", 1), message("response", 1)]).fault, null);
  for (const wrong of [message("response", 0), message("request", 2)]) {
    const { fault, at } = check([...call, wrong]);
    assertEquals([fault?.invariant, at], ["exchange_order", 4]);
  }
});

Deno.test("FlowChecker gives an answer to any events in any order, and none to a flow that keeps the rules", () => {
  const any = fc.constantFrom<FlowEvent>(
    received,
    decision("intercept"),
    decision("tunnel"),
    decision("block"),
    ...tlsEvents,
    ...exchange(1),
    ...exchange(2),
    responseHeaders(1, 100),
    chunk("request", 1, 0, 16384),
    chunk("response", 1, 0, 10),
    trailers("request", 1),
    closed(),
    closed("blocked"),
  );
  fc.assert(fc.property(fc.array(any, { maxLength: 30 }), (events) => {
    const { fault, at } = check(events);
    if (fault === null) return;
    assert(fault.detail.length > 10);
    // The events before the first violation are a good beginning by themselves.
    assertEquals(check(events.slice(0, at)).fault, null);
  }));
});

/** A decision about one request of an intercepted connection. */
const requestDecision = (
  action: string,
  streamKey = "h1:1",
  authority: string | null = "a.test:443",
): FlowEvent =>
  flowEvent("connect_decision", {
    action,
    ...(authority === null ? {} : { authority }),
    reason: "default",
  }, streamKey);

Deno.test("FlowChecker accepts decisions about single requests, a tunnelled one leaving its number out", () => {
  const blocked = completed(1, { answer_status: 403, outcome: "blocked", ttfb_ns: null });
  const events = [
    received,
    decision("intercept"),
    requestDecision("block"),
    requestHeaders(1),
    blocked,
    requestDecision("tunnel", "h1:2"),
    requestDecision("intercept", "h1:3"),
    ...exchange(3),
    requestDecision("block", "h1:4"),
    requestHeaders(4),
    completed(4, { answer_status: 403, outcome: "blocked", ttfb_ns: null }),
    closed("blocked"),
  ];
  assertEquals(check(events), { fault: null, at: events.length });
});

Deno.test("FlowChecker holds decisions about single requests to flows that are intercepted", () => {
  const faults = [
    [received, requestDecision("block")],
    [received, decision("tunnel"), requestDecision("block")],
    [received, decision("intercept"), requestDecision("block", "h1:1", null)],
  ].map((events) => check(events).fault?.invariant);
  assertEquals(faults, ["decision", "decision", "decision"]);
  // One number is left out for each tunnelled request, no more.
  assertEquals(
    check([received, decision("intercept"), requestDecision("tunnel"), requestHeaders(3)]).fault?.invariant,
    "exchange_id",
  );
});
