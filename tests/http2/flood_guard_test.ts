import { assertEquals } from "@std/assert";
import type { Side } from "../../src/core/side.ts";
import { FLOOD_BUDGETS, FloodGuard } from "../../src/http2/flood_guard.ts";
import type { ControlFrame } from "../../src/http2/frames.ts";
import type { Http2Error } from "../../src/http2/errors.ts";
import { DESCRIPTORS } from "../../src/runtime/config/schema.ts";
import type { FloodLimits } from "../../src/http2/limits.ts";
import { FLOODS } from "./limits.ts";

const NOTHING = new Uint8Array(0);
const ping = (ack: boolean): ControlFrame => ({ type: "ping", ack, opaque: NOTHING });
const settings = (ack: boolean): ControlFrame => ({ type: "settings", ack, settings: [] });
const WINDOW_UPDATE: ControlFrame = { type: "window_update", streamId: 0, increment: 1 };
const PRIORITY: ControlFrame = {
  type: "priority",
  streamId: 1,
  priority: { exclusive: false, dependency: 0, weight: 16 },
};

type Act = (guard: FloodGuard, by: Side, now: number) => Http2Error | null;

const ACTS: Readonly<Record<keyof typeof FLOOD_BUDGETS, Act>> = {
  maxResets: (guard, by, now) => guard.reset(by, now),
  lateResets: (guard, by, now) => guard.lateReset(by, now),
  maxProvokedResets: (guard, by, now) => guard.provokedReset(by, now),
  maxPings: (guard, by, now) => guard.frame(by, ping(false), now),
  maxSettings: (guard, by, now) => guard.frame(by, settings(false), now),
  maxPriorities: (guard, by, now) => guard.frame(by, PRIORITY, now),
  maxEmptyFrames: (guard, by, now) => guard.data(by, 0, false, now),
  maxWindowUpdates: (guard, by, now) => guard.frame(by, WINDOW_UPDATE, now),
};

for (const [budget, { setting }] of Object.entries(FLOOD_BUDGETS)) {
  const act = ACTS[budget as keyof typeof FLOOD_BUDGETS];
  const allowed =
    FLOODS[budget === "lateResets" ? "maxResets" : budget as Exclude<keyof FloodLimits, "windowMs">];
  for (const by of ["client", "server"] as const) {
    Deno.test(`FloodGuard lets ${by}s have ${allowed} of ${budget} in a window, and calms them at one more`, () => {
      const guard = new FloodGuard(FLOODS);
      for (let count = 0; count < allowed; count++) assertEquals(act(guard, by, 5), null);
      const error = act(guard, by, 9_999_999_999);
      assertEquals([error?.code, error?.errorCode, error?.scope, error?.by], [
        "frame_flood",
        "ENHANCE_YOUR_CALM",
        "connection",
        by,
      ]);
      assertEquals(error?.detail.includes(`(${setting} = ${allowed})`), true, error?.detail);
      assertEquals(act(guard, by === "client" ? "server" : "client", 0), null, "each side has its own");
      for (let count = 0; count < allowed; count++) {
        assertEquals(act(guard, by, 10_000_000_005), null, "a new window");
      }
      assertEquals(act(guard, by, 10_000_000_005)?.code, "frame_flood");
    });
  }
}

Deno.test("each budget names a setting that exists", () => {
  const keys = DESCRIPTORS.map(({ key }): string => key);
  for (const { setting } of Object.values(FLOOD_BUDGETS)) assertEquals(keys.includes(setting), true, setting);
});

Deno.test("acknowledgements are as many as what they answer, and cost nothing; others cost what a frame costs", () => {
  const guard = new FloodGuard(FLOODS);
  for (let round = 0; round < 3; round++) {
    for (let count = 0; count < FLOODS.maxPings; count++) {
      assertEquals(guard.frame("client", ping(false), round * 11e9), null);
      assertEquals(guard.frame("server", ping(true), round * 11e9), null);
    }
  }
  for (let count = 0; count < FLOODS.maxPings; count++) {
    assertEquals(guard.frame("server", ping(true), 40e9), null);
  }
  assertEquals(guard.frame("server", ping(true), 40e9)?.code, "frame_flood");
});

Deno.test("a receiver of much content may send WINDOW_UPDATE and PING for it, also after the window's end", () => {
  const guard = new FloodGuard(FLOODS);
  const frames = 50;
  for (let count = 0; count < frames; count++) guard.data("server", 1, false, 0);
  for (let count = 0; count < FLOODS.maxPings + frames; count++) {
    assertEquals(guard.frame("client", ping(false), 1), null);
  }
  assertEquals(guard.frame("client", ping(false), 1)?.code, "frame_flood");
  const later = 11e9;
  for (let count = 0; count < FLOODS.maxWindowUpdates + 10 * frames; count++) {
    assertEquals(guard.frame("client", WINDOW_UPDATE, later), null);
  }
  assertEquals(guard.frame("client", WINDOW_UPDATE, later)?.code, "frame_flood");
  assertEquals(guard.frame("server", WINDOW_UPDATE, 0), null);
  for (let count = 1; count < FLOODS.maxWindowUpdates; count++) guard.frame("server", WINDOW_UPDATE, 0);
  assertEquals(guard.frame("server", WINDOW_UPDATE, 0)?.code, "frame_flood", "who sent it earned nothing");
  for (let count = 0; count <= FLOODS.maxWindowUpdates; count++) guard.frame("client", WINDOW_UPDATE, 40e9);
  assertEquals(
    guard.frame("client", WINDOW_UPDATE, 40e9)?.code,
    "frame_flood",
    "two windows later it is spent",
  );
});
