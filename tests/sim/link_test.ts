import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import type { ConnHandler } from "../../src/runtime/conn.ts";
import { join } from "../../src/sim/bytes.ts";
import { SimClock } from "../../src/sim/clock.ts";
import { CALM, Link, type LinkConditions, type LinkEnd } from "../../src/sim/link.ts";
import { Random } from "../../src/sim/random.ts";

const SECOND = 1_000_000_000;

class Ear implements ConnHandler {
  readonly heard: string[] = [];
  bytes = new Uint8Array(0);

  constructor(end: LinkEnd) {
    end.handler = this;
  }

  onData(data: Uint8Array): void {
    this.bytes = join(this.bytes, data) as Uint8Array<ArrayBuffer>;
    if (this.heard.at(-1) !== "data") this.heard.push("data");
  }

  onEnd(): void {
    this.heard.push("end");
  }

  onDrain(): void {
    this.heard.push("drain");
  }

  onFault(): void {
    this.heard.push("fault");
  }

  onClosed(): void {
    this.heard.push("closed");
  }
}

function link(conditions: Partial<LinkConditions> = {}, seed = 1) {
  const clock = new SimClock();
  const made = new Link(clock, new Random(seed), { ...CALM, ...conditions });
  return {
    clock,
    link: made,
    client: made.client,
    server: made.server,
    ear: new Ear(made.server),
    own: new Ear(made.client),
  };
}

Deno.test("whatever a network does, bytes arrive whole, in order, and the end after them", async () => {
  const conditions = fc.record({
    segmentBytesMax: fc.integer({ min: 1, max: 2_000 }),
    delayMsMax: fc.integer({ min: 0, max: 50 }),
    mergeMsMax: fc.integer({ min: 0, max: 20 }),
    stallChance: fc.constantFrom(0, 0.2),
    stallMsMax: fc.integer({ min: 1, max: 500 }),
    capacityBytes: fc.integer({ min: 1, max: 5_000 }),
    highWaterBytes: fc.integer({ min: 1, max: 5_000 }),
  });
  const writes = fc.array(fc.uint8Array({ maxLength: 700 }), { maxLength: 8 });
  await fc.assert(
    fc.asyncProperty(conditions, writes, fc.nat(), async (conditions, writes, seed) => {
      const { clock, client, ear } = link(conditions, seed);
      for (const data of writes) client.write(data);
      client.end();
      await clock.run(10_000 * SECOND);
      assertEquals(ear.bytes, join(...writes));
      assertEquals(ear.heard.filter((what) => what !== "data"), ["end"]);
      assertEquals(client.pendingBytes, 0);
    }),
    { numRuns: 200 },
  );
});

Deno.test("an end is congested from the high-water mark on, and drains when everything is out", async () => {
  const { clock, client, server, own } = link({ highWaterBytes: 10, capacityBytes: 4 });
  client.write(new Uint8Array(9));
  assert(!client.congested);
  client.write(new Uint8Array(1));
  assert(client.congested);
  assertEquals(client.pendingBytes, 10);
  server.setReading(false);
  await clock.run(SECOND);
  assertEquals([client.pendingBytes, client.congested, own.heard], [6, true, []]);
  server.setReading(true);
  await clock.run(2 * SECOND);
  assertEquals([client.pendingBytes, client.congested, own.heard], [0, false, ["drain"]]);
});

Deno.test("no drain comes after end", async () => {
  const { clock, client, own } = link({ highWaterBytes: 1 });
  client.write(new Uint8Array(100));
  client.end();
  client.write(new Uint8Array(5));
  await clock.run(SECOND);
  assertEquals(own.heard, []);
});

Deno.test("both ends close when both directions are over", async () => {
  const { clock, client, server, ear, own } = link();
  client.end();
  await clock.run(SECOND);
  assertEquals([ear.heard, own.heard, client.isClosed], [["end"], [], false]);
  server.end();
  await clock.run(2 * SECOND);
  assertEquals([ear.heard, own.heard], [["end", "closed"], ["end", "closed"]]);
});

Deno.test("a reset is heard by one that reads, or that tries to write", async () => {
  const reading = link();
  reading.client.reset();
  await reading.clock.run(SECOND);
  assertEquals([reading.ear.heard, reading.own.heard], [["fault", "closed"], ["closed"]]);

  const deaf = link();
  deaf.server.setReading(false);
  deaf.client.reset();
  await deaf.clock.run(SECOND);
  assertEquals(deaf.ear.heard, []);
  deaf.server.write(new Uint8Array(1));
  await deaf.clock.run(2 * SECOND);
  assertEquals(deaf.ear.heard, ["fault", "closed"]);
});

Deno.test("bytes for one that has closed are answered by a reset, an idle close by an end", async () => {
  const spoken = link();
  spoken.server.destroy();
  spoken.client.write(new Uint8Array(1));
  await spoken.clock.run(SECOND);
  assert(spoken.own.heard.includes("fault"));
  const idle = link();
  idle.server.destroy();
  await idle.clock.run(SECOND);
  assertEquals(idle.own.heard, ["end"]);
});

Deno.test("a link that breaks resets both ends, and nothing that was on its way arrives", async () => {
  const { clock, link: made, client, ear, own } = link({ delayMsMax: 10 });
  made.breakAfterBytes = 5;
  client.write(new Uint8Array(10));
  await clock.run(SECOND);
  assertEquals([ear.bytes.length, ear.heard, own.heard], [0, ["fault", "closed"], ["fault", "closed"]]);
});

Deno.test("what was read is spoilt after the call, what was written is not", async () => {
  const { clock, client, server } = link();
  let kept = new Uint8Array(0);
  server.handler = { ...server.handler, onData: (data) => kept = data as Uint8Array<ArrayBuffer> };
  const data = new Uint8Array([1, 2, 3]);
  client.write(data);
  data.fill(9);
  server.tap = { received: (copy) => assertEquals([...copy], [1, 2, 3]), written() {} };
  await clock.run(SECOND);
  assertEquals([...kept], [0xee, 0xee, 0xee]);
});
