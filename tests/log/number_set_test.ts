import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { NumberSet } from "../../src/log/number_set.ts";

Deno.test("NumberSet holds what was added and nothing else, in as few ranges as there are gaps", () => {
  const numbers = fc.uniqueArray(fc.integer({ min: 1, max: 60 }), { maxLength: 60 });
  fc.assert(fc.property(numbers, (added) => {
    const set = new NumberSet();
    for (const number of added) set.add(number);
    const expected = new Set(added);
    let ranges = 0;
    for (let number = 0; number <= 61; number++) {
      assertEquals(set.has(number), expected.has(number), `has(${number})`);
      if (expected.has(number) && !expected.has(number - 1)) ranges++;
    }
    assertEquals(set.rangeCount, ranges);
  }));
});

Deno.test("NumberSet takes a number twice without harm and forgets all with clear", () => {
  const set = new NumberSet();
  for (const number of [1, 2, 2, 1]) set.add(number);
  assertEquals([set.rangeCount, set.has(2)], [1, true]);
  set.clear();
  assertEquals([set.rangeCount, set.has(2)], [0, false]);
});
