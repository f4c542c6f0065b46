import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { withInOrder } from "../../src/observe/ordered.ts";

Deno.test("withInOrder keeps the order of names and loses none of them", () => {
  const names = fc.uniqueArray(
    fc.string({ unit: fc.constantFrom(..."abcxyz_"), minLength: 1, maxLength: 3 }),
  );
  fc.assert(
    fc.property(names, fc.nat(9), (all, every) => {
      const sorted = all.toSorted();
      const more = sorted.filter((_, index) => index % (every + 1) === 0).map((name) => [name, 1] as const);
      const added = new Set(more.map(([name]) => name));
      const own = Object.fromEntries(sorted.filter((name) => !added.has(name)).map((name) => [name, 2]));
      const merged = withInOrder(own, more);
      assertEquals(Object.keys(merged), sorted);
      assertEquals(merged, { ...own, ...Object.fromEntries(more) });
    }),
  );
});
