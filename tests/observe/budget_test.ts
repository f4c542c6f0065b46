import { assertEquals } from "@std/assert";
import { Budget, failureReason } from "../../src/observe/budget.ts";

Deno.test("Budget gives out all there is and no octet more", () => {
  const budget = new Budget(10);
  assertEquals([budget.hold(10), budget.hold(1), budget.held], [true, false, 10]);
  budget.release(4);
  assertEquals([budget.hold(5), budget.hold(4), budget.held], [false, true, 10]);
});

Deno.test("Budget of a flow stays within that of all flows, and says which had no room", () => {
  const whole = new Budget(150);
  const [one, other] = [new Budget(100, whole), new Budget(100, whole)];
  assertEquals([one.hold(100), one.hold(1)], [true, false]);
  assertEquals(
    one.refusal,
    "over the 100 octets that observers of a flow may keep (limits.decoder_buffer_bytes)",
  );
  assertEquals([other.hold(51), other.hold(50)], [false, true]);
  assertEquals(other.hold(1), false);
  assertEquals(
    other.refusal,
    "over the 150 octets that observers of all flows may keep (limits.max_in_flight_bytes)",
  );
  one.release(1);
  assertEquals([other.hold(2), other.hold(1), whole.held], [false, true, 150]);
});

Deno.test("Budget that is closed gives back what it held, once, and takes nothing more", () => {
  const whole = new Budget(150);
  const [one, other] = [new Budget(100, whole), new Budget(100, whole)];
  one.hold(40);
  other.hold(20);
  one.close();
  one.close();
  one.release(40);
  assertEquals([whole.held, one.held, one.hold(1)], [20, 0, false]);
});

Deno.test("failureReason names the failure", () => {
  assertEquals([failureReason(new Error("oops")), failureReason(1)], ["failed: oops", "failed: 1"]);
});
