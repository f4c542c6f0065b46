import { assertEquals } from "@std/assert";
import type { StreamEnd, StreamObservation } from "../../src/http/observation.ts";
import { Tunnel, tunnelIdle } from "../../src/proxy/tunnel.ts";
import { latin1 } from "../support/golden.ts";
import { TLS_HANDSHAKE_MS, TUNNEL_IDLE_MS } from "../support/proxy_session.ts";
import { clientHello, serverName } from "../tls/hello_builder.ts";
import { FlowWorld } from "./flow_world.ts";

const NOTHING = new Uint8Array();
const IDLE_NS = TUNNEL_IDLE_MS * 1e6;
const BEGINNING = ["disarm idle", "disarm tls_handshake", `arm tunnel_idle ${IDLE_NS}`];

Deno.test("Tunnel sends what was read ahead first, then an end that came before it", () => {
  const world = new FlowWorld();
  const tunnel = new Tunnel(world.flow, null, null);
  world.flow.ended.client = true;
  tunnel.begin(latin1("c"), latin1("s"));
  assertEquals(world.heard(), [...BEGINNING, "send server c", "send client s", "end server"]);
  tunnel.received("server", latin1("more"));
  world.flow.ended.server = true;
  world.flow.tunnelNote = "the note";
  tunnel.ended("server");
  const [sent, ended, closing, closed = ""] = world.heard();
  assertEquals([sent, ended, closing], ["send client more", "end client", "closing complete"]);
  assertEquals(JSON.parse(closed.slice(closed.indexOf("{"))).reason_detail, "the note");
});

Deno.test("Tunnel lets through what is no hello, and takes it for none", () => {
  const world = new FlowWorld();
  let hellos = 0;
  const tunnel = new Tunnel(world.flow, null, () => hellos++);
  tunnel.begin(latin1("GET / HTTP/1.1"), NOTHING);
  tunnel.received("client", latin1("x"));
  assertEquals([world.heard().slice(3), hellos], [["send server GET / HTTP/1.1", "send server x"], 0]);
});

Deno.test("Tunnel keeps a hello that is not whole no longer than a handshake may take", () => {
  const hello = clientHello({ extensions: [serverName("a.test")] });
  const begun = () => {
    const world = new FlowWorld();
    const names: (string | null)[] = [];
    const tunnel = new Tunnel(world.flow, null, ({ sni }) => names.push(sni));
    tunnel.begin(NOTHING, NOTHING);
    assertEquals(tunnel.heldBytes, 0);
    tunnel.received("client", hello.subarray(0, 20));
    assertEquals(tunnel.heldBytes, 20);
    assertEquals(world.heard().at(-1), `arm tls_handshake ${TLS_HANDSHAKE_MS * 1e6}`);
    tunnel.received("client", hello.subarray(20, 30));
    assertEquals([tunnel.heldBytes, world.heard().length], [30, 1]);
    return { world, names, tunnel };
  };
  const whole = begun();
  whole.tunnel.received("client", hello.subarray(30));
  assertEquals([whole.names, whole.tunnel.heldBytes], [["a.test"], 0]);
  assertEquals(whole.world.heard().at(-1), "disarm tls_handshake");
  const late = begun();
  late.tunnel.helloTimedOut();
  assertEquals(late.tunnel.heldBytes, 0);
  late.tunnel.received("client", hello.subarray(30));
  assertEquals(late.names, []);
  // It has gone on all the same.
  assertEquals(late.world.heard().length, 1);
});

Deno.test("Tunnel tells what observes an upgrade everything in its order, and how it ended", () => {
  const observed: string[] = [];
  const stream: StreamObservation = {
    protocol: "websocket",
    received: (side, bytes) => observed.push(`${side} ${String.fromCharCode(...bytes)}`),
    ended: (side) => observed.push(`${side} ends`),
    closed: ({ orderly, by }: StreamEnd) => observed.push(`closed ${orderly} ${by}`),
  };
  const { flow } = new FlowWorld();
  const tunnel = new Tunnel(flow, stream, null);
  tunnel.begin(NOTHING, latin1("s"));
  tunnel.received("client", latin1("c"));
  tunnel.ended("client");
  for (const reason of ["complete", "client_reset", "server_reset", "shutdown"] as const) {
    tunnel.closing(reason);
  }
  assertEquals(observed, [
    "server s",
    "client c",
    "client ends",
    "closed true null",
    "closed false client",
    "closed false server",
    "closed false proxy",
  ]);
  assertEquals(flow.protocol, "websocket");
});

Deno.test("tunnelIdle counts from the last byte", () => {
  const world = new FlowWorld();
  const { flow } = world;
  flow.arrived("client", 1, 9);
  flow.now = IDLE_NS;
  tunnelIdle(flow);
  assertEquals(world.heard(), [`arm tunnel_idle ${IDLE_NS + 9}`]);
  flow.now = IDLE_NS + 9;
  tunnelIdle(flow);
  assertEquals(world.heard()[0], "closing idle_timeout");
});
