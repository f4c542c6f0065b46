import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { History } from "../../../src/observe/brotli/history.ts";

Deno.test("History repeats what is so far back, over its growth and its end, as a plain array would", () => {
  const step = fc.oneof(
    fc.record({ literals: fc.uint8Array({ minLength: 1, maxLength: 50 }) }),
    fc.record({ distance: fc.integer({ min: 1, max: 70_000 }), count: fc.integer({ min: 1, max: 60_000 }) }),
  );
  fc.assert(
    fc.property(fc.constantFrom(10, 14, 16, 17), fc.array(step, { maxLength: 12 }), (windowBits, steps) => {
      const history = new History(windowBits);
      const expected: number[] = [];
      const given: number[] = [];
      const deliver = (output: Uint8Array) => {
        for (const octet of output) given.push(octet);
        return true;
      };
      for (const next of steps) {
        if ("literals" in next) {
          expected.push(...next.literals);
          history.write(next.literals, deliver);
          continue;
        }
        const distance = Math.min(next.distance, expected.length, 2 ** windowBits - 16);
        if (distance === 0) continue;
        for (let left = next.count; left > 0; left--) expected.push(expected[expected.length - distance]!);
        history.copy(distance, next.count, deliver);
      }
      assertEquals([history.back(1), history.back(2)], [expected.at(-1) ?? 0, expected.at(-2) ?? 0]);
      history.flush(deliver);
      assertEquals(history.length, expected.length);
      assertEquals(Uint8Array.from(given), Uint8Array.from(expected));
    }),
    { numRuns: 60 },
  );
});

Deno.test("History stops in the middle of a copy where no more is wanted", () => {
  const history = new History(20);
  history.push(7, () => true);
  let given = 0;
  assertEquals(history.copy(1, 10_000_000, (output) => (given += output.length) < 40_000), false);
  assertEquals(given < 80_000, true);
});
