import { assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  breadthOf,
  findAll,
  findAt,
  FOUND_MAX,
  type JsonPath,
  parseJsonPath,
} from "../../src/log/json_path.ts";

function path(text: string): JsonPath {
  const parsed = parseJsonPath(text);
  if (parsed === null) throw new Error(`${text} is no path`);
  return parsed;
}

Deno.test("a path finds each value in the order of the whole, with its places in arrays", () => {
  const value = { choices: [{ calls: [{ n: "a" }, {}, { n: "b" }] }, { calls: [{ n: "c" }] }, 7] };
  assertEquals(findAll(value, path("choices[*].calls[*].n")), [
    { value: "a", places: [0, 0] },
    { value: "b", places: [0, 2] },
    { value: "c", places: [1, 0] },
  ]);
  assertEquals(findAt(value, path("choices[*].calls[*].n"), [0, 2]), "b");
  assertEquals(findAt(value, path("choices[*].calls[*].n"), [1]), undefined);
  assertEquals(findAll("x", path("")), [{ value: "x", places: [] }]);
  assertEquals(findAll([[1], [2]], path("a")), []);
  assertEquals(findAll({ a: [[1, 2], 3] }, path("a[*][*]")).map(({ value }) => value), [1, 2]);
  assertEquals(breadthOf(path("a[*][*].b[*]")), 3);
});

Deno.test("a path finds members of their own alone", () => {
  assertEquals(findAll({ a: {} }, path("a.constructor")), []);
  assertEquals(findAll("text", path("length")), []);
});

Deno.test("parseJsonPath refuses what is no path", () => {
  for (const text of [".", "a.", "a[0]", "[*]", "a[*", "a]b", "a[*]b"]) {
    assertEquals(parseJsonPath(text), null, text);
  }
  assertEquals(parseJsonPath(Array(40).fill("a").join(".")), null);
});

Deno.test("what a path finds is bounded, and no value makes it throw", () => {
  assertEquals(findAll({ a: Array(5000).fill(0) }, path("a[*]")).length, FOUND_MAX);
  const many = { a: Array(2000).fill({ b: Array(2000).fill(0) }) };
  assertEquals(findAll(many, path("a[*].b[*]")).length, FOUND_MAX);
  fc.assert(fc.property(fc.jsonValue(), (value) => {
    for (const found of findAll(value, path("a[*].b"))) {
      assertEquals(findAt(value, path("a[*].b"), found.places), found.value);
    }
  }));
});
