import { assert, assertEquals } from "@std/assert";
import { CLOSE_REASONS } from "../../src/core/close_reason.ts";
import { parseRequestHead } from "../../src/http1/head.ts";
import { badConnect, refusedConnect, silence } from "../../src/sim/connect_workloads.ts";
import { dialStatus } from "../../src/sim/flow_plan.ts";
import { badRequest, exchanges } from "../../src/sim/http_workloads.ts";
import { chunked, EXCHANGE_KINDS, LAST_EXCHANGE_KINDS, planExchange } from "../../src/sim/messages.ts";
import { BodyReader } from "../../src/http1/body.ts";
import { join, textOf } from "../../src/sim/bytes.ts";
import { chooseOptions, FAULTS, leavingOut, withoutFaults } from "../../src/sim/options.ts";
import { Random } from "../../src/sim/random.ts";
import { ALL_WORKLOADS } from "../../src/sim/workloads.ts";

const LIMITS = { maxHeadBytes: 65_536, maxHeaderFields: 100 };

Deno.test("each workload makes plans whose names no other flow has", () => {
  for (const [name, plan] of Object.entries(ALL_WORKLOADS)) {
    const names = new Set<string>();
    for (let seed = 0; seed < 40; seed++) {
      const one = plan({ random: new Random(seed), flow: 1 });
      const other = plan({ random: new Random(seed), flow: 2 });
      names.add(one.name);
      assert(one.reasons.length > 0 && one.reasons.every((reason) => CLOSE_REASONS.includes(reason)), name);
      for (const authority of one.servers.keys()) {
        assert(!other.servers.has(authority), `${name}: ${authority}`);
      }
    }
    assert(names.size > 0);
  }
});

Deno.test("one seed gives one plan", () => {
  for (const make of [exchanges, badRequest, badConnect, refusedConnect, silence]) {
    const [one, other] = [5, 5].map((seed) => make({ random: new Random(seed), flow: 9 }));
    assertEquals([one!.name, [...one!.servers.keys()]], [other!.name, [...other!.servers.keys()]]);
    assertEquals(one!.exchanges, other!.exchanges);
  }
});

Deno.test("planned requests are what the real parser takes, and arrive in origin-form where they are rewritten", () => {
  for (const kind of [...EXCHANGE_KINDS, ...LAST_EXCHANGE_KINDS]) {
    for (let seed = 0; seed < 20; seed++) {
      for (const toProxy of [false, true]) {
        const place = { host: "a.test", path: "/x?y", server: 0, toProxy };
        const { turns, method } = planExchange(kind, place, new Random(seed));
        const [first] = turns;
        if (first?.type !== "says") throw new Error("no request");
        for (const bytes of [first.bytes, first.arrives]) {
          const head = bytes.subarray(0, textOf(bytes).indexOf("\r\n\r\n") + 4);
          const parsed = parseRequestHead(head, LIMITS);
          if (parsed.type === "error") throw new Error(parsed.detail);
          assertEquals(parsed.method, method);
          const isRewritten = toProxy && bytes === first.arrives;
          assertEquals(parsed.target, toProxy && !isRewritten ? "http://a.test/x?y" : "/x?y");
          assertEquals(isRewritten && /proxy-/i.test(textOf(head)), false);
        }
      }
    }
  }
});

Deno.test("chunked is a body that the real reader takes to its end", () => {
  for (let seed = 0; seed < 50; seed++) {
    const random = new Random(seed);
    const body = random.bytes(random.below(3_000));
    const coded = chunked(body, random);
    let content = new Uint8Array(0);
    const read = new BodyReader({ type: "chunked" }, LIMITS).read(coded, 0, {
      raw() {},
      content: (bytes) => content = join(content, bytes) as Uint8Array<ArrayBuffer>,
      trailers() {},
    });
    assertEquals(read, { type: "done", next: coded.length });
    assertEquals(content, body);
  }
});

Deno.test("dialStatus is the contract's table", () => {
  assertEquals(
    (["refused", "unresolved", "unreachable", "timeout", "never", "too_late", "self_target"] as const).map(
      dialStatus,
    ),
    [502, 502, 502, 504, 504, 504, 508],
  );
});

Deno.test("options come from the seed, and their faults can be left out", () => {
  assertEquals(chooseOptions(11), chooseOptions(11));
  const seen = new Set<string>();
  for (let seed = 0; seed < 200; seed++) {
    const options = chooseOptions(seed);
    for (const fault of options.faults) seen.add(fault);
    for (const workload of options.workloads) seen.add(workload);
    const left = leavingOut(options, ["few_flows", "small_budget"]);
    assertEquals([left.maxFlows, left.maxInFlightBytes], [4096, 64 << 20]);
    assertEquals(withoutFaults(options).faults.size, 0);
  }
  assertEquals(seen.size, FAULTS.length + Object.keys(ALL_WORKLOADS).length);
});
