import { assertEquals } from "@std/assert";
import { HeldFrameTimer } from "../../src/http2/held_frame_timer.ts";

function timer() {
  const calls: string[] = [];
  const timers = {
    arm: (_timer: string, at: number) => void calls.push(`arm ${at / 1e6}`),
    disarm: () => void calls.push("disarm"),
  };
  const held = new HeldFrameTimer(timers, "client_head", 1000);
  return {
    read(options: { wholeBefore: boolean; heldAfter: boolean }, atMs: number): string[] {
      held.readBegins();
      if (options.wholeBefore) held.nothingHeld();
      held.readEnds(options.heldAfter, atMs * 1e6);
      return calls.splice(0);
    },
  };
}

Deno.test("HeldFrameTimer gives what is held its time from its own beginning, however it drips in", () => {
  const { read } = timer();
  assertEquals(read({ wholeBefore: true, heldAfter: false }, 0), [], "nothing was armed");
  assertEquals(read({ wholeBefore: true, heldAfter: true }, 5), ["arm 1005"]);
  assertEquals(read({ wholeBefore: false, heldAfter: true }, 500), [], "more of the same");
  assertEquals(read({ wholeBefore: true, heldAfter: true }, 900), ["arm 1900"], "another one behind it");
  assertEquals(read({ wholeBefore: true, heldAfter: false }, 950), ["disarm"]);
  assertEquals(read({ wholeBefore: false, heldAfter: true }, 960), ["arm 1960"]);
});
