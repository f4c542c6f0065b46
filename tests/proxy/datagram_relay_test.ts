import { assertEquals } from "@std/assert";
import { writeVarint } from "../../src/http/capsules.ts";
import { datagramCapsule, DatagramRelay, UDP_PAYLOAD_BYTES_MAX } from "../../src/proxy/datagram_relay.ts";
import type { Side } from "../../src/core/side.ts";

function relay() {
  const sent: [Side, number][] = [];
  const full = new Set<Side>();
  const made = new DatagramRelay({
    send: (side, data) => sent.push([side, data.length]),
    admits: (side) => !full.has(side),
  });
  return { relay: made, sent, full };
}

Deno.test("DatagramRelay drops and counts what the other side has no room for", () => {
  const { relay: made, sent, full } = relay();
  const capsule = datagramCapsule(new Uint8Array(10));
  full.add("server");
  made.received("client", capsule);
  made.received("server", new Uint8Array(5));
  full.clear();
  full.add("client");
  made.received("client", capsule);
  made.received("server", new Uint8Array(6));
  assertEquals(sent, [["client", 8], ["server", 10]]);
  assertEquals(made.counts, {
    datagrams: { client: 2, server: 2 },
    datagramBytes: { client: 20, server: 11 },
    dropped: { client: 1, server: 1 },
    skippedCapsules: 0,
  });
});

Deno.test("DatagramRelay carries the longest payload that UDP has, and ends with one octet more", () => {
  const { relay: made, sent } = relay();
  const longest = datagramCapsule(new Uint8Array(UDP_PAYLOAD_BYTES_MAX));
  assertEquals(made.received("client", longest), null);
  assertEquals(sent, [["server", UDP_PAYLOAD_BYTES_MAX]]);
  const fault = made.received("client", datagramCapsule(new Uint8Array(UDP_PAYLOAD_BYTES_MAX + 1)));
  assertEquals(fault, "a datagram of 65528 octets; the most is 65527");
  assertEquals(made.received("client", longest), fault);
  assertEquals(sent.length, 1);
});

Deno.test("DatagramRelay drops the datagrams of contexts that were not agreed on, and counts capsules it skips", () => {
  const { relay: made, sent } = relay();
  const inContext = (context: Uint8Array) => Uint8Array.from([0, context.length + 1, ...context, 7]);
  assertEquals(made.received("client", inContext(writeVarint(2))), null);
  assertEquals(made.received("client", inContext(Uint8Array.of(0x40, 0))), null);
  assertEquals(made.received("client", Uint8Array.of(0x21, 1, 9)), null);
  assertEquals(sent, [["server", 1]]);
  assertEquals([made.counts.datagrams.client, made.counts.dropped.client, made.counts.skippedCapsules], [
    2,
    1,
    1,
  ]);
});

Deno.test("datagramCapsule is read back by the relay at each length of its header", () => {
  for (const length of [0, 62, 63, 64, 16_381, 16_382, 16_383]) {
    const { relay: made, sent } = relay();
    assertEquals(made.received("client", datagramCapsule(new Uint8Array(length))), null);
    assertEquals(sent, [["server", length]]);
    assertEquals([made.isWithinCapsule, made.heldBytes], [false, 0]);
  }
});
