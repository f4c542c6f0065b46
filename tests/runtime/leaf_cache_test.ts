import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { LeafCache } from "../../src/runtime/leaf_cache.ts";

const LATER = 1_000;

Deno.test("LeafCache holds as many leaves as its capacity and drops the least recently used of one more", () => {
  const cache = new LeafCache<number>(3);
  for (const [index, name] of ["a", "b", "c"].entries()) cache.set(name, index, LATER);
  assertEquals(cache.size, 3);
  assertEquals(["a", "b", "c"].map((name) => cache.get(name, 0)), [0, 1, 2]);
  assertEquals(cache.get("a", 0), 0);
  cache.set("d", 3, LATER);
  assertEquals(cache.size, 3);
  assertEquals(["a", "b", "c", "d"].map((name) => cache.get(name, 0)), [0, undefined, 2, 3]);
});

Deno.test("LeafCache replaces a leaf of the same name without dropping another", () => {
  const cache = new LeafCache<number>(2);
  cache.set("a", 1, LATER);
  cache.set("b", 2, LATER);
  cache.set("a", 3, LATER);
  assertEquals([cache.get("a", 0), cache.get("b", 0), cache.size], [3, 2, 2]);
});

Deno.test("LeafCache of capacity 0 keeps nothing", () => {
  const cache = new LeafCache<number>(0);
  cache.set("a", 1, LATER);
  assertEquals([cache.get("a", 0), cache.size], [undefined, 0]);
});

Deno.test("LeafCache gives a leaf until its time and forgets it then", () => {
  const cache = new LeafCache<number>(2);
  cache.set("a", 1, LATER);
  assertEquals(cache.get("a", LATER - 1), 1);
  assertEquals(cache.get("a", LATER), undefined);
  assertEquals(cache.size, 0);
});

Deno.test("LeafCache clear forgets everything", () => {
  const cache = new LeafCache<number>(2);
  cache.set("a", 1, LATER);
  cache.clear();
  assertEquals([cache.get("a", 0), cache.size], [undefined, 0]);
});

Deno.test("LeafCache behaves as a list kept in the order of use", () => {
  const step = fc.tuple(fc.boolean(), fc.nat(6));
  fc.assert(fc.property(fc.nat(4), fc.array(step, { maxLength: 60 }), (capacity, steps) => {
    const cache = new LeafCache<number>(capacity);
    let list: number[] = [];
    for (const [isSet, key] of steps) {
      const known = list.includes(key);
      if (isSet) {
        cache.set(String(key), key, LATER);
        list = [...list.filter((other) => other !== key), key];
        if (list.length > capacity) list.shift();
      } else {
        assertEquals(cache.get(String(key), 0), known ? key : undefined);
        if (known) list = [...list.filter((other) => other !== key), key];
      }
      assertEquals(cache.size, list.length);
    }
  }));
});
