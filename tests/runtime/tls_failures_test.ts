import { assertEquals } from "@std/assert";
import { TlsFailureCounters } from "../../src/runtime/tls_failures.ts";

Deno.test("TlsFailureCounters counts by host and reason", () => {
  const counters = new TlsFailureCounters();
  assertEquals(counters.count("a", "unknown_ca"), { reason: 1, total: 1 });
  assertEquals(counters.count("a", "timeout"), { reason: 1, total: 2 });
  assertEquals(counters.count("a", "unknown_ca"), { reason: 2, total: 3 });
  assertEquals(counters.count("b", "unknown_ca"), { reason: 1, total: 1 });
});

Deno.test("TlsFailureCounters keeps 4096 hosts and forgets the one not seen for longest", () => {
  const counters = new TlsFailureCounters();
  for (let index = 0; index < 4096; index++) counters.count(`host${index}`, "other");
  assertEquals(counters.count("host0", "other").total, 2);
  counters.count("one more", "other");
  assertEquals(counters.count("host0", "other").total, 3);
  assertEquals(counters.count("host1", "other").total, 1, "host1 was forgotten");
});
