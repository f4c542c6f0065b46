import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { Random } from "../../src/sim/random.ts";

function draws(random: Random, count = 20): number[] {
  return Array.from({ length: count }, () => random.next());
}

Deno.test("one seed gives one sequence, another seed another", () => {
  assertEquals(draws(new Random(7)), draws(new Random(7)));
  assertNotEquals(draws(new Random(7)), draws(new Random(8)));
  assertEquals(draws(new Random(0), 3), [1_789_933_344, 44_971_166, 2_521_392_804]);
});

Deno.test("a fork is not moved by what is drawn from the others", () => {
  const one = new Random(3);
  const other = new Random(3);
  const [first, second] = [one.fork(), other.fork()];
  draws(one);
  assertEquals(draws(first), draws(second));
});

Deno.test("below and between stay within their bounds and reach them", () => {
  const random = new Random(1);
  const seen = new Set<number>();
  for (let count = 0; count < 500; count++) {
    const value = random.between(-2, 3);
    assert(value >= -2 && value <= 3);
    seen.add(value);
    assert(random.below(1) === 0);
  }
  assertEquals([...seen].sort((a, b) => a - b), [-2, -1, 0, 1, 2, 3]);
});

Deno.test("chance is about as likely as it says", () => {
  const random = new Random(2);
  let hits = 0;
  for (let count = 0; count < 10_000; count++) if (random.chance(0.3)) hits++;
  assert(hits > 2_800 && hits < 3_200);
  assert(!random.chance(0) && random.chance(1));
});

Deno.test("subset is never empty, and bytes has the length asked for", () => {
  const random = new Random(5);
  for (let count = 0; count < 50; count++) assert(random.subset(["a", "b"]).length > 0);
  for (const length of [0, 1, 3, 4, 5, 1000]) assertEquals(random.bytes(length).length, length);
  assert(new Set(random.bytes(1000)).size > 200);
});
