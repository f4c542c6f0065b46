import { assertEquals, assertThrows } from "@std/assert";
import { assert, AssertionFailure, unreachable } from "../../src/core/assert.ts";

Deno.test("assert throws an AssertionFailure with the broken promise, and only when it is broken", () => {
  assert(1, "truthy");
  assertThrows(() => assert(0, "the side is open"), AssertionFailure, "the side is open");
});

Deno.test("unreachable throws an AssertionFailure that shows the value that got there", () => {
  assertThrows(() => unreachable({ type: "stranger" } as never), AssertionFailure, '{"type":"stranger"}');
  assertEquals(new AssertionFailure("").name, "AssertionFailure");
});
