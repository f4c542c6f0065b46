import { assertEquals } from "@std/assert";
import { type DeadlineOwner, Deadlines } from "../../src/runtime/deadlines.ts";

function world() {
  const state = { now: 0, timers: [] as { at: number; fire: () => void }[] };
  const deadlines = new Deadlines(() => state.now, {
    set(delayMs, fire) {
      const timer = { at: state.now + delayMs * 1e6, fire };
      state.timers.push(timer);
      return () => state.timers = state.timers.filter((one) => one !== timer);
    },
  });
  const advanceTo = (ms: number) => {
    for (;;) {
      const due = state.timers.filter(({ at }) => at <= ms * 1e6).sort((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      state.timers = state.timers.filter((one) => one !== due);
      state.now = due.at;
      due.fire();
    }
    state.now = ms * 1e6;
  };
  return { state, deadlines, advanceTo };
}

class Owner implements DeadlineOwner {
  expired: number[] = [];
  constructor(public nextDeadline: number) {}
  expire(now: number) {
    this.expired.push(now / 1e6);
    this.nextDeadline = Infinity;
  }
}

Deno.test("Deadlines never fire early, and late by a tick at most", () => {
  const { deadlines, advanceTo } = world();
  const owner = new Owner(105e6);
  deadlines.add(owner);
  advanceTo(104);
  assertEquals(owner.expired, []);
  advanceTo(200);
  assertEquals(owner.expired, [105]);
});

Deno.test("a deadline that was pushed away fires once, at its new time", () => {
  const { deadlines, advanceTo } = world();
  const owner = new Owner(100e6);
  deadlines.add(owner);
  owner.nextDeadline = 500e6;
  advanceTo(499);
  assertEquals(owner.expired, []);
  advanceTo(600);
  assertEquals(owner.expired, [500]);
});

Deno.test("an earlier deadline than the scheduled one is heeded", () => {
  const { deadlines, advanceTo } = world();
  const far = new Owner(10_000e6);
  const near = new Owner(50e6);
  deadlines.add(far);
  deadlines.add(near);
  advanceTo(100);
  assertEquals(near.expired, [50]);
  assertEquals(far.expired, []);
});

Deno.test("no platform timer is left when the last owner is gone", () => {
  const { state, deadlines } = world();
  const owner = new Owner(100e6);
  deadlines.add(owner);
  deadlines.remove(owner);
  assertEquals(state.timers, []);
});
