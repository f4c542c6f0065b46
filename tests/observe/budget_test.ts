import { assertEquals } from "@std/assert";
import { Budget, budgetReason, failureReason } from "../../src/observe/budget.ts";
import { LIMITS } from "./observed.ts";

Deno.test("Budget gives out all there is and no octet more", () => {
  const budget = new Budget(10);
  assertEquals([budget.hold(10), budget.hold(1), budget.held], [true, false, 10]);
  budget.release(4);
  assertEquals([budget.hold(5), budget.hold(4), budget.held], [false, true, 10]);
});

Deno.test("budgetReason names the setting, and failureReason the failure", () => {
  assertEquals(budgetReason(LIMITS).includes("limits.decoder_buffer_bytes"), true);
  assertEquals([failureReason(new Error("oops")), failureReason(1)], ["failed: oops", "failed: 1"]);
});
