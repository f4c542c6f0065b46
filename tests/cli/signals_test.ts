import { assertEquals } from "@std/assert";
import { onSignals, StopRequests, stopSignals } from "../../src/cli/signals.ts";

function requests(atTerminal: boolean) {
  const steps: string[] = [];
  let now = 0;
  const stop = new StopRequests(
    { finish: () => steps.push("finish"), endNow: () => steps.push("end now") },
    atTerminal,
    () => now,
  );
  return { steps, receive: (signal: Deno.Signal, at: number) => (now = at, stop.receive(signal)) };
}

Deno.test("StopRequests finishes on the first signal and ends at once on the second", () => {
  const { steps, receive } = requests(false);
  receive("SIGTERM", 0);
  receive("SIGINT", 1);
  receive("SIGTERM", 2);
  assertEquals(steps, ["finish", "end now", "end now"]);
});

Deno.test("StopRequests takes the copies of one Ctrl-C for one, and the next Ctrl-C for the second", () => {
  const { steps, receive } = requests(true);
  receive("SIGINT", 0);
  receive("SIGINT", 1);
  receive("SIGINT", 99);
  assertEquals(steps, ["finish"]);
  receive("SIGINT", 200);
  assertEquals(steps, ["finish", "end now"]);
});

Deno.test("StopRequests never takes SIGTERM for a copy", () => {
  const { steps, receive } = requests(true);
  receive("SIGTERM", 0);
  receive("SIGTERM", 1);
  assertEquals(steps, ["finish", "end now"]);
});

Deno.test("stopSignals are those the platform has", () => {
  assertEquals(stopSignals("windows"), ["SIGINT", "SIGBREAK"]);
  assertEquals(stopSignals("linux"), ["SIGINT", "SIGTERM"]);
  assertEquals(stopSignals("darwin"), ["SIGINT", "SIGTERM"]);
});

Deno.test({
  name: "onSignals listens until it is told to stop",
  // A signal that does nothing where nobody listens.
  ignore: Deno.build.os === "windows",
  async fn() {
    const seen: Deno.Signal[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    const forget = onSignals(["SIGWINCH"], (signal) => {
      seen.push(signal);
      resolve();
    });
    // A listener alone does not keep the process waiting.
    const waiting = setTimeout(() => {}, 10_000);
    try {
      Deno.kill(Deno.pid, "SIGWINCH");
      await promise;
      assertEquals(seen, ["SIGWINCH"]);
    } finally {
      clearTimeout(waiting);
      forget();
    }
  },
});
