import { assertEquals } from "@std/assert";
import { SpanBudget } from "../../src/http/span_budget.ts";

Deno.test("SpanBudget gives room for n bytes and not for n+1, and again what was given back", () => {
  const budget = new SpanBudget(10);
  assertEquals([budget.take(6), budget.take(5), budget.bytes], [true, false, 6]);
  assertEquals([budget.take(4), budget.take(1)], [true, false]);
  budget.give(4);
  assertEquals([budget.take(4), budget.bytes], [true, 10]);
});
