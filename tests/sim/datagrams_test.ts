import { assert, assertEquals } from "@std/assert";
import { IGNORE_EVENTS } from "../../src/runtime/conn.ts";
import { veil } from "../../src/sim/bytes.ts";
import { SimClock } from "../../src/sim/clock.ts";
import { readCapsules, readClientDatagrams } from "../../src/sim/datagram_workloads.ts";
import { SimDatagrams } from "../../src/sim/datagrams.ts";
import { Random } from "../../src/sim/random.ts";
import { datagramCapsule } from "../../src/proxy/datagram_relay.ts";

async function echoes(isHarsh: boolean, seed: number): Promise<{ heard: number[]; end: SimDatagrams }> {
  const clock = new SimClock();
  const end = new SimDatagrams(clock, new Random(seed), () => isHarsh);
  const heard: number[] = [];
  end.handler = { ...IGNORE_EVENTS, onData: (data) => heard.push(veil(data)[0]!) };
  for (let index = 0; index < 20; index++) end.write(Uint8Array.of(index));
  assertEquals(end.pendingBytes, 20);
  await clock.run(1e9);
  assertEquals(end.pendingBytes, 0);
  return { heard, end };
}

Deno.test("SimDatagrams sends each datagram back, in whatever order, and a harsh one loses and repeats some", async () => {
  const { heard, end } = await echoes(false, 1);
  assertEquals(heard.toSorted((a, b) => a - b), Array.from({ length: 20 }, (_, index) => index));
  assertEquals([end.received, end.sent.length], [20, 20]);
  const harsh = await Promise.all([1, 2, 3, 4].map((seed) => echoes(true, seed)));
  assert(harsh.some(({ heard }) => new Set(heard).size < 20), "some are lost");
  assert(harsh.some(({ heard }) => new Set(heard).size < heard.length), "some come twice");
  assert(
    [heard, ...harsh.map((one) => one.heard)].some((order) => order.some((value, at) => value < at)),
    "overtaken",
  );
});

Deno.test("SimDatagrams closes when what was written is out, and says so once", async () => {
  const clock = new SimClock();
  const end = new SimDatagrams(clock, new Random(1), () => false);
  let closed = 0;
  end.handler = { ...IGNORE_EVENTS, onClosed: () => closed++ };
  end.write(Uint8Array.of(1));
  end.end();
  end.write(Uint8Array.of(2));
  assertEquals([end.isClosed, end.sent.length], [false, 1]);
  await clock.run(1e9);
  end.reset();
  await clock.run(2e9);
  assertEquals([end.isClosed, closed], [true, 1]);
});

Deno.test("readCapsules and readClientDatagrams read what a relay writes and a client says", () => {
  const payloads = [new Uint8Array(0), new Uint8Array(63).fill(1), new Uint8Array(1200).fill(2)];
  const written = payloads.map(datagramCapsule);
  assertEquals(readCapsules(Uint8Array.from(written.flatMap((octets) => [...octets]))), {
    datagrams: payloads,
    rest: 0,
  });
  const cut = readCapsules(written[2]!.subarray(0, 100));
  assertEquals(cut, { datagrams: [], rest: 100 });
  const head = new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n");
  assertEquals(readClientDatagrams([head, written[1]!, Uint8Array.of(0x21, 1, 9), written[0]!]), [
    payloads[1]!,
    payloads[0]!,
  ]);
});
