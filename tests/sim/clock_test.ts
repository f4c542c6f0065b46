import { assertEquals } from "@std/assert";
import { SimClock, SimTimer } from "../../src/sim/clock.ts";

Deno.test("what is due happens in the order of time, then of asking", async () => {
  const clock = new SimClock();
  const seen: string[] = [];
  const note = (name: string) => () => seen.push(`${name} at ${clock.now()}`);
  clock.at(30, note("c"));
  clock.at(10, note("a"));
  clock.at(30, note("d"));
  clock.at(20, () => {
    note("b")();
    clock.at(5, note("late"));
  });
  await clock.run(100);
  assertEquals(seen, ["a at 10", "b at 20", "late at 20", "c at 30", "d at 30"]);
  assertEquals(clock.now(), 100);
});

Deno.test("a cancelled event does not happen, and run stops at its limit or when told", async () => {
  const clock = new SimClock();
  const seen: number[] = [];
  clock.at(1, () => seen.push(1))();
  for (const at of [2, 3, 4]) clock.at(at, () => seen.push(at));
  await clock.run(2);
  assertEquals([seen, clock.now()], [[2], 2]);
  await clock.run(10, () => seen.length < 2);
  assertEquals([seen, clock.now()], [[2, 3], 3]);
});

Deno.test("thousands of events keep their order", async () => {
  const clock = new SimClock();
  const seen: number[] = [];
  for (let index = 0; index < 5_000; index++) {
    const at = (index * 7919) % 5_003;
    clock.at(at, () => seen.push(at));
  }
  await clock.run(10_000);
  assertEquals(seen, [...seen].sort((a, b) => a - b));
  assertEquals(seen.length, 5_000);
});

Deno.test("the reactions of a promise run before the next event", async () => {
  const clock = new SimClock();
  const seen: string[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  promise.then(() => seen.push("reaction"));
  clock.at(1, () => {
    resolve();
    clock.promised();
  });
  clock.at(1, () => seen.push("next"));
  await clock.run(1);
  assertEquals(seen, ["reaction", "next"]);
});

Deno.test("SimTimer counts the timers that are set", async () => {
  const clock = new SimClock();
  const timer = new SimTimer(clock);
  let fired = 0;
  const cancel = timer.set(5, () => fired++);
  timer.set(6, () => fired++);
  assertEquals(timer.pending, 2);
  cancel();
  cancel();
  assertEquals(timer.pending, 1);
  await clock.run(10_000_000);
  assertEquals([timer.pending, fired], [0, 1]);
});
