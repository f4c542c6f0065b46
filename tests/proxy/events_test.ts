import { assertEquals } from "@std/assert";
import {
  connectDecisionEvent,
  connectReceivedEvent,
  handshakeFailedEvent,
  handshakeSucceededEvent,
  streamClosedEvent,
} from "../../src/proxy/events.ts";

Deno.test("connectDecisionEvent names the override in force; a handshake tells what was not verified", () => {
  const decision = { action: "intercept", reason: "default", ruleId: null } as const;
  assertEquals(connectDecisionEvent(decision, { overrideId: "o" }).attributes, {
    action: "intercept",
    override_id: "o",
    reason: "default",
  });
  const info = { alpn: null, version: "TLSv1.3", cipher: "c" };
  const attributes = (unverified: string | null) =>
    handshakeSucceededEvent("server", { ...info, unverified }).attributes;
  assertEquals(attributes(null)["verified"], true);
  assertEquals([attributes("expired")["verified"], attributes("expired")["verify_error"]], [
    false,
    "expired",
  ]);
});

Deno.test("the events of a flow are built with sorted attributes and without what is not known", () => {
  const secured = { alpn: null, version: "TLSv1.3", cipher: "X" };
  const closed = {
    protocol: "tunnel",
    bytesFromClient: 1,
    bytesFromServer: 2,
    durationNs: 3,
    datagrams: null,
  } as const;
  const events = [
    connectReceivedEvent("a.test:443", "CONNECT"),
    connectDecisionEvent({ action: "block", reason: "rule", ruleId: "r" }, { sni: "b.test" }),
    connectDecisionEvent({ action: "tunnel", reason: "default", ruleId: null }),
    handshakeSucceededEvent("server", secured),
    handshakeSucceededEvent("client", { ...secured, certCache: "hit" }),
    handshakeFailedEvent({
      side: "client",
      normalizedReason: "unknown_ca",
      rawProviderError: "X: y",
      provider: "deno-rustls",
      detail: "it is so",
      sourceConfidence: "authoritative",
      host: "a.test",
      hostFailures: { reason: 1, total: 2 },
    }),
    streamClosedEvent({ ...closed, reason: "complete", detail: undefined }),
    streamClosedEvent({ ...closed, reason: "blocked", detail: "why" }),
    streamClosedEvent({
      ...closed,
      reason: "complete",
      detail: "why",
      datagrams: {
        datagrams: { client: 1, server: 2 },
        datagramBytes: { client: 3, server: 4 },
        dropped: { client: 5, server: 6 },
        skippedCapsules: 7,
      },
    }),
  ];
  for (const { attributes } of events) {
    assertEquals(Object.keys(attributes), Object.keys(attributes).sort());
    assertEquals(Object.values(attributes).includes(undefined as never), false);
  }
  assertEquals(Object.keys(events[2]!.attributes), ["action", "reason"]);
  assertEquals(events[4]!.attributes.cert_cache, "hit");
  assertEquals(events[6]!.attributes.reason_detail, undefined);
});
