import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { NANOSECONDS_PER_MILLISECOND } from "../../src/core/instant.ts";
import { FAILURE_WINDOW_MS } from "../../src/tls/failure.ts";
import { TlsFailureCounters } from "../../src/runtime/tls_failures.ts";

const WINDOW = FAILURE_WINDOW_MS * NANOSECONDS_PER_MILLISECOND;

Deno.test("TlsFailureCounters counts by host and reason", () => {
  const counters = new TlsFailureCounters();
  assertEquals(counters.count("a", "unknown_ca", 0), { reason: 1, total: 1 });
  assertEquals(counters.count("a", "timeout", 1), { reason: 1, total: 2 });
  assertEquals(counters.count("a", "unknown_ca", 2), { reason: 2, total: 3 });
  assertEquals(counters.count("b", "unknown_ca", 3), { reason: 1, total: 1 });
});

Deno.test("TlsFailureCounters forgets what was before the window", () => {
  const counters = new TlsFailureCounters();
  counters.count("a", "timeout", 0);
  counters.count("a", "handshake", WINDOW / 2);
  assertEquals(counters.count("a", "timeout", WINDOW * 0.89), { reason: 2, total: 3 });
  assertEquals(counters.count("a", "timeout", WINDOW), { reason: 2, total: 3 });
  assertEquals(counters.count("a", "handshake", WINDOW * 1.6), { reason: 1, total: 3 });
  assertEquals(counters.count("a", "handshake", WINDOW * 40), { reason: 1, total: 1 });
});

Deno.test("TlsFailureCounters counts what a list of times counts", () => {
  const step = WINDOW / 10;
  fc.assert(fc.property(fc.array(fc.nat(Math.floor(WINDOW / 3)), { maxLength: 40 }), (gaps) => {
    const counters = new TlsFailureCounters();
    const times: number[] = [];
    let now = 0;
    for (const gap of gaps) {
      times.push(now += gap);
      const counted = times.filter((time) => Math.floor(now / step) - Math.floor(time / step) < 10).length;
      assertEquals(counters.count("a", "other", now), { reason: counted, total: counted });
    }
  }));
});

Deno.test("TlsFailureCounters keeps 4096 hosts and forgets the one not seen for longest", () => {
  const counters = new TlsFailureCounters();
  for (let index = 0; index < 4096; index++) counters.count(`host${index}`, "other", 0);
  assertEquals(counters.count("host0", "other", 0).total, 2);
  counters.count("one more", "other", 0);
  assertEquals(counters.count("host0", "other", 0).total, 3);
  assertEquals(counters.count("host1", "other", 0).total, 1, "host1 was forgotten");
});
