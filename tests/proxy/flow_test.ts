import { assertEquals, assertThrows } from "@std/assert";
import { AssertionFailure } from "../../src/core/assert.ts";
import type { FlowMethod } from "../../src/proxy/flow.ts";
import { FlowWorld } from "./flow_world.ts";

const TARGET = { host: "a.test", port: 443 };

Deno.test("Flow says its end once, with what passed on either side, while its phases are still there", () => {
  const { flow, said } = new FlowWorld();
  flow.begin(5);
  flow.arrived("client", 3, 7);
  flow.arrived("server", 4, 9);
  assertEquals([flow.serverHasSpoken, flow.lastActivity], [true, 9]);
  flow.close("complete", "why");
  flow.close("shutdown");
  const attributes = JSON.stringify({
    bytes_from_client: 3,
    bytes_from_server: 4,
    duration_ns: 4,
    reason_code: "complete",
    reason_detail: "why",
  });
  assertEquals(said, ["closing complete", `stream_closed connect ${attributes}`, "closed", "close"]);
});

Deno.test("Flow ends as internal_error with a step that is not in the table, and takes none afterwards", () => {
  const world = new FlowWorld();
  assertEquals(world.flow.step("tunnel"), false);
  assertEquals([world.flow.state.phase, world.flow.state.illegal], ["closed", 1]);
  assertEquals(world.heard()[0], "closing internal_error");
  assertEquals(world.flow.step("deciding"), false);
  assertEquals(world.heard(), []);
});

Deno.test("Flow knows where it goes once it is aimed, however it came to that, and so does the log", () => {
  for (const method of ["CONNECT", "CONNECT-UDP", "REVERSE"] satisfies FlowMethod[]) {
    const { context, flow, said } = new FlowWorld();
    assertEquals(flow.authority, "");
    assertThrows(() => flow.target, AssertionFailure);
    flow.aim(TARGET, method);
    assertEquals([flow.target, flow.authority, flow.method], [TARGET, "a.test:443", method]);
    assertEquals([context.serverHost, context.serverPort], ["a.test", 443]);
    assertEquals(said, ["connect_received connect"]);
  }
});

Deno.test("Flow holds what comes before its turn and reads no more, until it is released", () => {
  const world = new FlowWorld();
  const { flow } = world;
  assertEquals(flow.releaseServer().length, 0);
  assertEquals(world.heard(), []);
  flow.hold("server", Uint8Array.of(1, 2));
  assertEquals(flow.releaseServer(), Uint8Array.of(1, 2));
  assertEquals(world.heard(), ["pause server", "resume server"]);
});

Deno.test("Flow gives up a server that it has, and none that it has not", () => {
  const { flow, said } = new FlowWorld();
  flow.giveUpServer();
  flow.serverOpen = true;
  flow.giveUpServer();
  flow.giveUpServer();
  assertEquals(said, ["closeServer"]);
});
