import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import {
  type Aim,
  aimRows,
  cpuRatio,
  figure,
  isMet,
  median,
  pairedRatio,
  type Sample,
  table,
} from "../../tasks/bench/figures.ts";
import { addedMs, rateTable, type Times } from "../../tasks/bench/measures.ts";
import { readConnectHead } from "../../tasks/bench/connect_head.ts";
import { topSelfTimes } from "../../tasks/bench/profile.ts";
import { chromiumLikeHello, curlLikeHello } from "../../tasks/bench/hellos.ts";
import { verifyLog, withRunOptions } from "../../tasks/bench/proxy_under_test.ts";
import { microsecondsOf, resumedShare } from "../../tasks/bench/tls.ts";
import { ClientHelloReader } from "../../src/tls/client_hello.ts";
import { closed, decision, flowEvent, LogBuilder, received } from "../log/log_builder.ts";

const sample = (rate: number, cpuNs: number | null = null): Sample => ({
  rate,
  p50Ms: 0,
  p99Ms: 0,
  cpuNs,
  busy: null,
});

Deno.test("median takes the middle, or the mean of the two middles, and does not reorder its argument", () => {
  const values = [3, 1, 2];
  assertStrictEquals(median(values), 2);
  assertEquals(values, [3, 1, 2]);
  assertStrictEquals(median([4, 1, 3, 2]), 2.5);
  assertStrictEquals(median([]), NaN);
});

Deno.test("pairedRatio compares each round with its neighbour, so a slow round does not count twice", () => {
  // The machine was half as fast in the second round, for both.
  assertStrictEquals(pairedRatio([sample(90), sample(45)], [sample(100), sample(50)]), 0.9);
});

Deno.test("cpuRatio is above 1 for the cheaper one, and null where CPU time is not known", () => {
  assertStrictEquals(cpuRatio([sample(1, 50)], [sample(1, 100)]), 2);
  assertStrictEquals(cpuRatio([sample(1)], [sample(1, 100)]), null);
});

Deno.test("addedMs compares each round with the straight way's own, so a slow round does not count as added", () => {
  const times = (...rounds: [number, number][]): Times[] =>
    rounds.map(([p50Ms, p99Ms]) => ({ p50Ms, p99Ms }));
  const straight = times([1, 2], [11, 12], [1, 2]);
  const relayed = times([1.5, 3], [11.5, 13], [1.5, 9]);
  assertStrictEquals(addedMs(relayed, straight, "p50Ms"), 0.5);
  assertStrictEquals(addedMs(relayed, straight, "p99Ms"), 1);
});

Deno.test("rateTable compares with the peers it is given, and else with those of the proxy's two decisions", () => {
  const rounds = new Map(
    [
      ["raw relay duplex", [sample(100)]],
      ["soth-mitm unobserved", [sample(80)]],
      ["soth-mitm intercept", [sample(60)]],
    ] as const,
  );
  const ratio = (text: string) => text.split("\n").at(-1)!.split(/ {2,}/).at(-2);
  assertStrictEquals(ratio(rateTable(rounds, "requests/s", 1, "request")), "0.60");
  const peers = { "soth-mitm intercept": "soth-mitm unobserved" } as const;
  assertStrictEquals(ratio(rateTable(rounds, "requests/s", 1, "request", peers)), "0.75");
});

Deno.test("isMet holds at the limit itself, for aims from above and from below", () => {
  const aim: Aim = { name: "x", value: 1, unit: "", limit: 1, atMost: true };
  assertEquals([isMet(aim), isMet({ ...aim, atMost: false })], [true, true]);
  assertEquals([isMet({ ...aim, value: 1.01 }), isMet({ ...aim, value: 0.99, atMost: false })], [
    false,
    false,
  ]);
});

Deno.test("aimRows says met, missed, or that nothing was measured", () => {
  const aim: Aim = { name: "latency", value: 0.2, unit: " ms", limit: 0.5, atMost: true };
  assertEquals(aimRows([aim, { ...aim, value: 0.6 }, { ...aim, value: NaN }]), [
    ["latency", "0.20 ms", "≤ 0.5 ms", "met"],
    ["latency", "0.60 ms", "≤ 0.5 ms", "missed"],
    ["latency", "- ms", "≤ 0.5 ms", "not measured"],
  ]);
});

Deno.test("figure keeps three digits", () => {
  assertEquals([figure(0.123), figure(12.34), figure(12345.6), figure(null)], [
    "0.12",
    "12.3",
    "12,346",
    "-",
  ]);
});

Deno.test("table stands its numbers right", () => {
  assertEquals(
    table(["", "MB/s"], [["direct", "1,000"], ["relay", "9"]]),
    "         MB/s\ndirect  1,000\nrelay       9",
  );
});

Deno.test("topSelfTimes adds up the samples of a function and leaves idle time out", () => {
  const frame = (functionName: string, url = "", lineNumber = 0) => ({ functionName, url, lineNumber });
  const top = topSelfTimes({
    nodes: [
      { id: 1, callFrame: frame("(idle)") },
      { id: 2, callFrame: frame("read", "file:///home/someone/soth-mitm/src/http1/head.ts", 9) },
      // The same function called from elsewhere is another node.
      { id: 3, callFrame: frame("read", "file:///home/someone/soth-mitm/src/http1/head.ts", 9) },
      { id: 4, callFrame: frame("(garbage collector)") },
    ],
    samples: [1, 2, 3, 4],
    timeDeltas: [9000, 2000, 1000, 1000],
  }, 5);
  assertEquals(top, [
    { name: "read", place: "src/http1/head.ts:10", selfMs: 3, share: 0.75 },
    { name: "(garbage collector)", place: "", selfMs: 1, share: 0.25 },
  ]);
});

Deno.test("withRunOptions puts options before the program, and refuses what is no deno run", () => {
  assertEquals(withRunOptions(["deno", "run", "-P=run", "x.ts"], ["--cpu-prof"]), [
    "deno",
    "run",
    "--cpu-prof",
    "-P=run",
    "x.ts",
  ]);
  assertThrows(() => withRunOptions(["./soth-mitm"], []), Error, "not a deno run");
});

Deno.test("readConnectHead waits for the whole head and gives what follows it", () => {
  const bytes = (text: string) => new TextEncoder().encode(text);
  assertStrictEquals(readConnectHead(bytes("CONNECT localhost:443 HTTP/1.1\r\n\r")), null);
  const head = readConnectHead(bytes("CONNECT localhost:443 HTTP/1.1\r\nHost: x\r\n\r\nrest"))!;
  assertEquals([head.hostname, head.port, new TextDecoder().decode(head.rest)], ["localhost", 443, "rest"]);
});

Deno.test("verifyLog counts the handshakes of each side, and those that resumed a session", async () => {
  const log = new LogBuilder().open();
  const secured = (side: string, resumed: boolean) => {
    const certCache = side === "client" ? { cert_cache: "hit" } : {};
    const attributes = { alpn: null, cipher: "TLS_AES_128_GCM_SHA256", resumed, side, version: "TLSv1.3" };
    return flowEvent("tls_handshake_succeeded", { ...attributes, ...certCache });
  };
  for (const [index, resumed] of [true, false, true].entries()) {
    const flow = log.flow(index + 1);
    log.add(flow, received, decision("intercept"));
    for (const side of ["server", "client"]) {
      log.add(flow, flowEvent("tls_handshake_started", { alpn_offered: [], side }));
      log.add(flow, secured(side, side === "client" && resumed));
    }
    log.add(flow, closed());
  }
  const folder = await Deno.makeTempDir({ prefix: "bench_" });
  try {
    const path = `${folder}/log.jsonl`;
    await Deno.writeTextFile(path, log.lines.join(""));
    const { handshakes, faults } = await verifyLog(path);
    assertEquals(faults, []);
    assertEquals(handshakes, { client: { all: 3, resumed: 2 }, server: { all: 3, resumed: 0 } });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("resumedShare says how many were resumed of how many, and nothing where there was no handshake", () => {
  assertEquals(resumedShare({ all: 2000, resumed: 500 }), "25.0% of 2,000");
  assertEquals(resumedShare({ all: 2000, resumed: 0 }), "none of 2,000");
  assertEquals([resumedShare({ all: 0, resumed: 0 }), resumedShare(undefined)], ["", ""]);
});

Deno.test("microsecondsOf divides the thread's CPU time by the calls, those of the warm-up left out", async () => {
  let cpuMs = 0;
  let calls = 0;
  const seen: number[] = [];
  const usage = {
    of() {
      seen.push(calls);
      return Promise.resolve({ processMs: null, mainThreadMs: cpuMs += 12, residentBytes: null });
    },
  };
  const us = await microsecondsOf(usage, () => void calls++, 1);
  const [warmUp = 0, all = 0] = seen;
  assertStrictEquals(warmUp > 0 && all > warmUp, true);
  assertStrictEquals(us, 12_000 / (all - warmUp));
});

Deno.test("The benchmark's ClientHellos are what they stand for: names, HTTP/2, a post-quantum key share", () => {
  for (const make of [chromiumLikeHello, curlLikeHello]) {
    const bytes = make("www.example.com");
    const result = new ClientHelloReader().push(bytes);
    if (result.type !== "hello") throw new Error(`${make.name} gives what is ${result.type}`);
    const { sni, alpn, pqOffered, keyShareGroups, versions } = result.hello;
    assertEquals([sni, alpn[0], pqOffered, versions[0]], ["www.example.com", "h2", true, "TLSv1.3"]);
    assertEquals(keyShareGroups, [0x11ec, 0x001d]);
    // One Ethernet frame does not hold it, as is usual by now.
    assertStrictEquals(bytes.length > 1500 && bytes.length < 2048, true);
  }
});
