import { assertEquals } from "@std/assert";
import type { FlowEvent } from "../../src/core/event.ts";
import { Budget } from "../../src/observe/budget.ts";
import { ObservedStream } from "../../src/observe/observed_stream.ts";
import type { StreamContext, StreamObserver } from "../../src/observe/observer.ts";
import { SilenceClock } from "../../src/observe/silence_clock.ts";
import { NO_TIMER, OBSERVE_CONFIG } from "./observed.ts";
import { upgradeHead } from "./websocket/observed.ts";

const END = { orderly: true, by: null } as const;

/** An observer made of what the test gives, and what was told of it. */
function stream(make: (context: StreamContext) => Partial<StreamObserver> | null, room = 100) {
  const events: FlowEvent[] = [];
  const calls: string[] = [];
  const budget = new Budget(room);
  const observed = new ObservedStream({
    definition: {
      name: "test",
      protocol: "websocket",
      open: (_head, context) => {
        const given = make(context);
        return given === null ? null : {
          received: () => void calls.push("received"),
          ended: () => void calls.push("ended"),
          silent: () => void calls.push("silent"),
          stopped: () => void calls.push("stopped"),
          closed: () => void calls.push("closed"),
          ...given,
        };
      },
    },
    head: upgradeHead(),
    config: OBSERVE_CONFIG,
    record: (event) => void events.push(event),
    now: () => 0,
    budget,
    silence: new SilenceClock(750, NO_TIMER),
  });
  return { observed, events, calls, budget };
}

Deno.test("ObservedStream: an observer that throws is stopped and named, and still told of the end", () => {
  const { observed, events, calls } = stream(() => ({
    received: () => {
      throw new Error("oops");
    },
  }));
  assertEquals(observed.open(), true);
  observed.received("client", Uint8Array.of(1));
  observed.received("client", Uint8Array.of(2));
  observed.ended("client");
  observed.silent();
  observed.closed(END);
  observed.closed(END);
  assertEquals(calls, ["stopped", "closed"]);
  assertEquals(events, [{
    kind: "observer_stopped",
    protocol: "websocket",
    streamKey: "h1:1",
    attributes: { exchange_id: 1, observer: "test", reason: "failed: oops" },
  }]);
});

Deno.test("ObservedStream: one that throws when it opens, or wants nothing, takes no stream", () => {
  const broken = stream(() => {
    throw new Error("oops");
  });
  assertEquals([broken.observed.open(), broken.events[0]?.kind], [false, "observer_stopped"]);
  const uninterested = stream(() => null);
  assertEquals([uninterested.observed.open(), uninterested.events], [false, []]);
});

Deno.test("ObservedStream: one that needs more than there is gives back what it held", () => {
  let context: StreamContext | null = null;
  const { observed, events, calls, budget } = stream((given) => {
    context = given;
    return {};
  });
  observed.open();
  assertEquals([context!.hold(60), budget.held, context!.hold(60), budget.held], [true, 60, false, 0]);
  assertEquals([events.length, calls, context!.hold(1)], [1, ["stopped"], false]);
  context!.release(60);
  observed.closed(END);
  assertEquals([budget.held, calls], [0, ["stopped", "closed"]]);
});
