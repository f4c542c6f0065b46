/** Requests that a gate refuses, lets through unrecorded, or decides on late. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import type { FlowEvent } from "../../src/core/event.ts";
import type { Side } from "../../src/core/side.ts";
import type { Answer } from "../../src/http/answer.ts";
import { NO_OBSERVATION } from "../../src/http/observation.ts";
import type { Verdict } from "../../src/http/request_gate.ts";
import { FrameReader } from "../../src/http2/frame_reader.ts";
import {
  encodeData,
  encodeHeaders,
  encodeRstStream,
  encodeSettings,
  encodeSettingsAck,
  encodeWindowUpdate,
} from "../../src/http2/frame_writer.ts";
import { CLIENT_PREFACE } from "../../src/http2/frames.ts";
import { HpackDecoder } from "../../src/http2/hpack_decoder.ts";
import { Http2Relay } from "../../src/http2/relay.ts";
import { HpackPeer } from "../../src/sim/hpack_peer.ts";
import { join } from "./frame_builder.ts";
import { LIMITS } from "./limits.ts";
import { block, request as requestWith, response as responseWith } from "./messages.ts";

type Step = readonly [Side, Uint8Array];
/** When the gate answers: at once, after the read, or only once everything has been read. */
type Pace = "at once" | "after each read" | "at the end";

const ANSWER: Answer = { status: 403, code: "blocked", detail: "no", proxyError: "http_request_denied" };
const BODY = '{"error":"blocked","detail":"no"}\n';

function verdictFor(path: string | null): Verdict {
  if (path?.startsWith("/no")) return { type: "refuse", answer: ANSWER };
  return path?.startsWith("/quiet") ? { type: "relay" } : { type: "observe" };
}

function run(steps: readonly Step[], pace: Pace = "at once") {
  const sent: Record<Side, Uint8Array[]> = { client: [], server: [] };
  const events: Record<string, unknown>[] = [];
  const timers = new Set<string>();
  const asked: (string | null)[] = [];
  let pending: Verdict | null = null;
  let paused = false;
  let finished: string | null = null;
  const relay = new Http2Relay({
    host: {
      send: (side, data) => {
        assert(finished === null, "nothing is sent after the end");
        sent[side].push(data.slice());
      },
      reset: () => {},
      pause: () => paused = true,
      resume: () => paused = false,
      arm: (timer) => timers.add(timer),
      disarm: (timer) => timers.delete(timer),
      record: ({ kind, streamKey, attributes }: FlowEvent) => events.push({ kind, streamKey, ...attributes }),
      finish: (reason) => {
        assert(finished === null, "a flow ends once");
        finished = reason;
      },
    },
    limits: LIMITS,
    capture: { bodyBytes: 64, redactHeaders: new Set() },
    observation: NO_OBSERVATION,
    scheme: "https",
    authority: "a.test",
    gate: {
      ask: (_stream, _method, _authority, path) => {
        asked.push(path);
        assert(pending === null, "one question at a time");
        if (pace === "at once") return verdictFor(path);
        pending = verdictFor(path);
        return null;
      },
    },
    firstExchangeId: 1,
    stripsAltSvc: false,
    strictHeaders: true,
  }, 0);
  const decideAll = () => {
    while (pending !== null && finished === null) {
      const verdict: Verdict = pending;
      pending = null;
      relay.decided(verdict, 0);
    }
  };
  for (const [side, data] of steps) {
    if (finished !== null) break;
    const bytes = data.slice();
    relay.received(side, bytes, 0);
    // As from the platform: the memory is used again.
    bytes.fill(0xee);
    if (pace !== "at the end") decideAll();
  }
  const before = { toServer: join(...sent.server), paused, heldBytes: relay.heldBytes };
  decideAll();
  return {
    relay,
    timers,
    before,
    paused,
    asked,
    toServer: join(...sent.server),
    get toClient() {
      return join(...sent.client);
    },
    events,
    get finished() {
      return finished;
    },
  };
}

const text = (value: string) => new TextEncoder().encode(value);

function request(streamId: number, path: string, fields: Record<string, string> = {}, endStream = true) {
  return requestWith(streamId, { ":path": path, ...fields }, endStream);
}

function response(streamId: number, content: string): Uint8Array {
  const head = responseWith(streamId, 200, false, { x: "y" });
  return join(head, encodeData(streamId, text(content), true));
}

const POST = { ":method": "POST" };
const FROM_CLIENT = join(CLIENT_PREFACE, encodeSettings([]));
const FROM_SERVER = encodeSettings([]);

/** What a receiver understands: a line for each frame, with decoded fields. */
function understood(bytes: Uint8Array, by: Side): string[] {
  const reader = new FrameReader({ by, maxHeldBytes: 65_536 });
  const decoder = new HpackDecoder(by, {
    maxHeaderListSize: 65_536,
    maxHeaderFields: 256,
    maxTableBytes: 65_536,
  });
  const said: string[] = [];
  for (let offset = 0;;) {
    const event = reader.read(bytes, offset);
    if (event.type === "more") return said;
    if (event.type === "error" || event.type === "stream_error") throw new Error(JSON.stringify(event));
    offset = event.next;
    if (event.type === "piece") {
      const { streamId, flags } = event.header;
      said.push(
        `data ${streamId} ${new TextDecoder().decode(event.content).trimEnd()}${flags & 1 ? " end" : ""}`,
      );
    }
    if (event.type !== "frame") continue;
    const { frame } = event;
    if (frame.type === "rst_stream") said.push(`rst ${frame.streamId} ${frame.errorCode}`);
    if (frame.type === "window_update") said.push(`window ${frame.streamId} ${frame.increment}`);
    if (frame.type === "goaway") said.push(`goaway ${frame.errorCode}`);
    if (frame.type !== "headers") continue;
    const decoded = decoder.decode(frame.fragment, frame.streamId);
    if (decoded.type === "error") throw new Error(JSON.stringify(decoded));
    const of = (name: string) => decoded.fields.find(({ field }) => field[0] === name)?.field[1];
    said.push(
      `headers ${frame.streamId} ${of(":path") ?? of(":status") ?? "trailers"}${
        frame.endStream ? " end" : ""
      }`,
    );
  }
}

const told = (events: readonly Record<string, unknown>[], key: string) =>
  events.filter(({ streamKey }) => streamKey === key).map(({ kind, outcome }) => outcome ?? kind);

for (const pace of ["at once", "after each read", "at the end"] as const) {
  Deno.test(`a request refused ${pace} is answered on its stream, be it the first, in the middle or the last`, () => {
    const paths = ["/a", "/b", "/c"];
    for (const refused of paths.keys()) {
      const requests = paths.map((path, index) => request(2 * index + 1, index === refused ? "/no" : path));
      const others = [0, 1, 2].filter((index) => index !== refused);
      const { toServer, toClient, events } = run([
        ["server", FROM_SERVER],
        ["client", join(FROM_CLIENT, ...requests)],
      ], pace);
      assertEquals(
        understood(toServer, "client"),
        others.map((index) => `headers ${2 * index + 1} ${paths[index]} end`),
      );
      const stream = 2 * refused + 1;
      assertEquals(understood(toClient, "server"), [
        `headers ${stream} 403`,
        `data ${stream} ${BODY.trim()} end`,
      ]);
      assertEquals(told(events, `h2:${stream}`), ["request_headers", "blocked"]);
      const completed = events.find(({ outcome }) => outcome === "blocked")!;
      assertEquals([completed.answer_status, completed.error_by], [403, "proxy"]);
    }
  });
}

Deno.test("other streams go on while one is refused, with the bodies of both sides between", () => {
  const { toServer, toClient, events, finished } = run([
    ["server", FROM_SERVER],
    ["client", join(FROM_CLIENT, request(1, "/up", POST, false), encodeData(1, text("one"), false))],
    ["server", encodeHeaders(1, block({ ":status": "200" }), { endStream: false })],
    ["client", join(request(3, "/no", POST, false), encodeData(1, text("two"), true))],
    ["client", join(encodeData(3, text("refused"), false), request(5, "/other"))],
    ["client", encodeData(3, text("more"), true)],
    ["server", join(response(5, "five"), encodeData(1, text("answer"), true))],
  ]);
  assertEquals(understood(toServer, "client"), [
    "headers 1 /up",
    "data 1 one",
    "data 1 two end",
    "headers 5 /other end",
  ]);
  assertEquals(understood(toClient, "server"), [
    "headers 1 200",
    "headers 3 403",
    `data 3 ${BODY.trim()} end`,
    "rst 3 0",
    "window 0 7",
    "window 0 4",
    "headers 5 200",
    "data 5 five end",
    "data 1 answer end",
  ]);
  assertEquals([told(events, "h2:1").at(-1), told(events, "h2:5").at(-1)], ["complete", "complete"]);
  assertEquals(finished, null);
});

Deno.test("nothing that the client says on a refused stream reaches the server: resets, windows, trailers", () => {
  const { toServer } = run([
    ["server", FROM_SERVER],
    ["client", join(FROM_CLIENT, request(1, "/no", POST, false), encodeWindowUpdate(1, 9))],
    ["client", encodeHeaders(1, block({ t: "u" }), { endStream: true })],
    ["client", encodeRstStream(1, "CANCEL")],
  ]);
  assertEquals(understood(toServer, "client"), []);
});

Deno.test("a refused HEAD has no body", () => {
  const { toClient } = run([
    ["server", FROM_SERVER],
    ["client", join(FROM_CLIENT, request(1, "/no", { ":method": "HEAD" }))],
  ]);
  assertEquals(understood(toClient, "server"), ["headers 1 403 end"]);
});

Deno.test("what a withheld block put into the table of HPACK is there for the blocks after it", () => {
  const peer = new HpackPeer();
  const head = (streamId: number, path: string, token: string) => {
    const all = { ":method": "GET", ":scheme": "https", ":authority": "a.test", ":path": path, token };
    const octets = Object.entries(all).flatMap(([name, value]) =>
      peer.field({ name, value, as: "indexed", huffman: false, nameByIndex: true })
    );
    return encodeHeaders(streamId, Uint8Array.from(octets), { endStream: true });
  };
  const requests = [head(1, "/one", "a"), head(3, "/no", "b"), head(5, "/one", "b"), head(7, "/no", "a")];
  // All of the third block's fields are indices, some of them to what came with the second.
  assert(requests[2]!.length === 9 + 5);
  for (const pace of ["at once", "at the end"] as const) {
    const { toServer, events } = run([["server", FROM_SERVER], [
      "client",
      join(FROM_CLIENT, ...requests, head(9, "/one", "b")),
    ]], pace);
    assertEquals(understood(toServer, "client"), [
      "headers 1 /one end",
      "headers 5 /one end",
      "headers 9 /one end",
    ]);
    const tokens = events.filter(({ kind }) => kind === "request_headers").map(({ headers }) =>
      (headers as string[][]).find(([name]) => name === "token")![1]
    );
    assertEquals(tokens, ["a", "b", "b", "a", "b"]);
  }
});

Deno.test("while a request is being decided the client waits and the server goes on", () => {
  const { before, paused, toServer, toClient, relay } = run([
    ["server", FROM_SERVER],
    ["client", join(FROM_CLIENT, request(1, "/a"))],
    ["client", join(request(3, "/b", POST, false), encodeData(3, text("body"), true))],
    ["server", encodeSettingsAck()],
  ], "at the end");
  assertEquals([understood(before.toServer, "client"), before.paused], [[], true]);
  assert(before.heldBytes > 0);
  assertEquals(understood(toServer, "client"), ["headers 1 /a end", "headers 3 /b", "data 3 body end"]);
  assertEquals([paused, relay.heldBytes], [false, 0]);
  assertEquals(toClient, join(FROM_SERVER, encodeSettingsAck()));
});

Deno.test("a client that ends while its request is being decided still gets its answer", () => {
  const pending = run([["server", FROM_SERVER], ["client", FROM_CLIENT]], "at the end");
  const { relay } = pending;
  relay.received("client", request(1, "/no"), 0);
  relay.ended("client", 0);
  assertEquals(pending.finished, null);
  relay.decided({ type: "refuse", answer: ANSWER }, 0);
  assertEquals([pending.finished, told(pending.events, "h2:1").at(-1)], ["complete", "blocked"]);
});

Deno.test("a drain waits for answers that are under way, not for a request that is not decided", () => {
  const noWindow = join(CLIENT_PREFACE, encodeSettings([[4, 0]]));
  const answering = run([["server", FROM_SERVER], ["client", join(noWindow, request(1, "/no"))], [
    "server",
    encodeSettingsAck(),
  ]]);
  answering.relay.drain(0);
  assertEquals(answering.finished, null);
  answering.relay.received("client", encodeWindowUpdate(1, 1_000), 0);
  assertEquals(answering.finished, "shutdown");
  const pending = run([["server", FROM_SERVER], ["client", FROM_CLIENT]], "at the end");
  pending.relay.received("client", request(1, "/no"), 0);
  pending.relay.drain(0);
  assertEquals(pending.finished, "shutdown");
});

Deno.test("a connection with refused requests alone is as idle as one without any", () => {
  const { timers, relay } = run([["server", FROM_SERVER], ["client", join(FROM_CLIENT, request(1, "/no"))]]);
  assert(timers.has("idle") && !timers.has("exchange_idle"));
  relay.expired("idle", 0);
});

Deno.test("a request that is only relayed has no events and keeps its number", () => {
  const { toServer, toClient, events } = run([
    ["server", FROM_SERVER],
    [
      "client",
      join(FROM_CLIENT, request(1, "/quiet", POST, false), encodeData(1, text("b"), true), request(3, "/")),
    ],
    ["server", join(response(1, "quiet"), response(3, "said"))],
  ]);
  assertEquals(toServer.length > 0, true);
  assertEquals(toClient, join(FROM_SERVER, response(1, "quiet"), response(3, "said")));
  assertEquals(told(events, "h2:1"), []);
  assertEquals(events.find(({ kind }) => kind === "request_headers")!.exchange_id, 2);
});

Deno.test("host and :authority that disagree make a request malformed: its stream alone ends", () => {
  const { toServer, toClient, events } = run([
    ["server", FROM_SERVER],
    [
      "client",
      join(FROM_CLIENT, request(1, "/", { host: "b.test" }), request(3, "/", { host: "A.test:443" })),
    ],
  ]);
  assertEquals(understood(toServer, "client"), ["headers 3 / end"]);
  assertEquals(understood(toClient, "server"), ["rst 1 1"]);
  assertEquals(
    events.find(({ streamKey }) => streamKey === "h2:1")!.error_code,
    "host_authority_mismatch",
  );
});

Deno.test("a malformed request that is withheld does not have its stream reset at a server that never saw it", () => {
  const { toServer, events } = run([
    ["server", FROM_SERVER],
    ["client", join(FROM_CLIENT, request(1, "/", { "content-length": "5" }), request(3, "/b"))],
  ]);
  assertEquals(understood(toServer, "client"), ["headers 3 /b end"]);
  assertEquals(told(events, "h2:1"), ["request_headers", "protocol_error"]);
});

Deno.test("the client's window that an answer used is not given to the server a second time", () => {
  const { toServer } = run([
    ["server", FROM_SERVER],
    ["client", join(FROM_CLIENT, request(1, "/no"), request(3, "/a"))],
    ["client", encodeWindowUpdate(0, 10)],
    ["client", encodeWindowUpdate(0, BODY.length)],
    ["client", encodeWindowUpdate(0, 1_000)],
  ]);
  assertEquals(understood(toServer, "client"), ["headers 3 /a end", "window 0 10", "window 0 1000"]);
});

Deno.test("DATA of a server that does not fit what an answer left of the window waits, and what need not goes by", () => {
  const big = text("x".repeat(16_000));
  const trailers = encodeHeaders(3, block({ t: "u" }), { endStream: true });
  const { toClient, toServer, finished, events } = run([
    ["server", FROM_SERVER],
    ["client", join(FROM_CLIENT, request(1, "/no"), request(3, "/a"), request(5, "/b"))],
    ["server", encodeHeaders(3, block({ ":status": "200" }), { endStream: false })],
    ...[1, 2, 3, 4].map((): Step => ["server", encodeData(3, big, false)]),
    // The window holds 1,535 octets more, of which the answer has used some.
    ["server", encodeData(3, text("y".repeat(1_535)), false)],
    ["server", trailers],
    ["server", encodeHeaders(5, block({ ":status": "204" }), { endStream: true })],
    ["client", encodeWindowUpdate(0, 20)],
    ["client", encodeWindowUpdate(0, 20)],
  ]);
  const said = understood(toClient, "server").map((line) => line.slice(0, 20));
  assertEquals(said.slice(-3), ["headers 5 204 end", `data 3 ${"y".repeat(13)}`, "headers 3 trailers e"]);
  assertEquals(understood(toServer, "client").slice(2), [`window 0 ${40 - BODY.length}`]);
  assertEquals([finished, told(events, "h2:3").at(-1)], [null, "complete"]);
});

Deno.test("a server that sends more than it was ever given loses the connection, and nothing piles up", () => {
  const { finished, toServer, relay } = run([
    ["server", FROM_SERVER],
    ["client", join(FROM_CLIENT, request(1, "/no"), request(3, "/a"))],
    ["server", encodeHeaders(3, block({ ":status": "200" }), { endStream: false })],
    ...Array.from({ length: 5 }, (): Step => ["server", encodeData(3, text("x".repeat(16_000)), false)]),
  ]);
  assertEquals(finished, "protocol_error");
  assertEquals(understood(toServer, "client").at(-1), "goaway 3");
  assert(relay.heldBytes < 65_536);
});

Deno.test("what waits for the client's window is not lost with a server that ends behind it", () => {
  const big = text("x".repeat(16_000));
  const world = run([
    ["server", FROM_SERVER],
    ["client", join(FROM_CLIENT, request(1, "/no"), request(3, "/a"))],
    ["server", encodeHeaders(3, block({ ":status": "200" }), { endStream: false })],
    ...[1, 2, 3, 4].map((): Step => ["server", encodeData(3, big, false)]),
    ["server", encodeData(3, text("y".repeat(1_535)), true)],
  ]);
  const { relay, events } = world;
  assertEquals(told(events, "h2:3").at(-1), "complete");
  relay.ended("server", 0);
  assertEquals(world.finished, null);
  relay.failed("server", { kind: "reset", code: "EPIPE", detail: "it is gone" }, 0);
  assertEquals(world.finished, null);
  relay.received("client", encodeWindowUpdate(0, 1_535), 0);
  assertEquals(world.finished, "complete");
  assertEquals(understood(world.toClient, "server").at(-1), `data 3 ${"y".repeat(1_535)} end`);
});

Deno.test("a server that ends while a request is being decided has not ended in peace", () => {
  const world = run([["server", FROM_SERVER], ["client", FROM_CLIENT]], "at the end");
  world.relay.received("client", request(1, "/a"), 0);
  world.relay.ended("server", 0);
  assertEquals(world.finished, "server_reset");
});

Deno.test("the gate is not asked about a request that is refused whatever it says", () => {
  const world = run([["server", FROM_SERVER], ["client", join(FROM_CLIENT, request(1, "/a"))]]);
  world.relay.drain(0);
  const asked = world.asked.length;
  world.relay.received("client", request(3, "/no"), 0);
  assertEquals(understood(world.toClient, "server").at(-1), "rst 3 7");
  assertEquals(world.asked.length, asked);
});

Deno.test("any cut and any pace of decisions give the same octets and events for refused and relayed requests", () => {
  const client = join(
    FROM_CLIENT,
    request(1, "/a", POST, false),
    request(3, "/no", POST, false),
    encodeData(3, text("refused"), false),
    encodeData(1, text("some content"), true),
    request(5, "/quiet"),
    encodeData(3, text("more"), true),
    request(7, "/no/2"),
    encodeWindowUpdate(0, 100),
    request(9, "/b"),
  );
  const server = join(FROM_SERVER, response(1, "one"), response(5, "five"), response(9, "nine"));
  const whole = run([["client", client], ["server", server]]);
  const seen = ({ toServer, toClient, events, finished }: ReturnType<typeof run>) => ({
    toServer,
    toClient,
    events,
    finished,
  });
  assertEquals(understood(whole.toServer, "client"), [
    "headers 1 /a",
    "data 1 some content end",
    "headers 5 /quiet end",
    `window 0 ${100 - 2 * BODY.length}`,
    "headers 9 /b end",
  ]);
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 20 }),
      fc.constantFrom<Pace>("at once", "after each read"),
      (sizes, pace) => {
        const cut = (side: Side, bytes: Uint8Array): Step[] => {
          const steps: Step[] = [];
          for (let from = 0, at = 0; from < bytes.length; at++) {
            const size = sizes[at % sizes.length]!;
            steps.push([side, bytes.slice(from, from + size)]);
            from += size;
          }
          return steps;
        };
        assertEquals(seen(run([...cut("client", client), ...cut("server", server)], pace)), seen(whole));
        assertEquals(seen(run(cut("client", client), "at the end")), seen(run([["client", client]])));
      },
    ),
  );
});
