import { assertEquals } from "@std/assert";
import { SilenceClock } from "../../src/observe/silence_clock.ts";

const MS = 1_000_000;

function clock() {
  const timer: (number | null)[] = [];
  const silent: string[] = [];
  const silence = new SilenceClock<string>(10, {
    arm: (at) => timer.push(at / MS),
    disarm: () => timer.push(null),
  });
  return { silence, timer, silent, tell: (name: string) => void silent.push(name) };
}

Deno.test("SilenceClock tells each stream's silence in its time, with one timer", () => {
  const { silence, timer, silent, tell } = clock();
  silence.since("a", 0);
  silence.since("b", 3 * MS);
  silence.since("c", 4 * MS);
  silence.since("a", 5 * MS);
  silence.heard("c");
  assertEquals(timer, [10]);
  silence.expired(10 * MS, tell);
  assertEquals([silent, timer], [[], [10, 13]]);
  silence.expired(13 * MS, tell);
  assertEquals([silent, timer], [["b"], [10, 13, 15]]);
  silence.expired(20 * MS, tell);
  assertEquals([silent, timer], [["b", "a"], [10, 13, 15]]);
});

Deno.test("SilenceClock leaves no timer behind the last stream", () => {
  const { silence, timer } = clock();
  silence.since("a", 0);
  silence.since("b", 0);
  silence.forget("a");
  assertEquals(timer, [10]);
  silence.forget("b");
  silence.forget("b");
  assertEquals(timer, [10, null]);
});
