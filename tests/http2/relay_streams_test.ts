/** RFC 9113 §5.1, §5.4, §6.4, §6.6, §6.8 and §8.1, as a relay keeps them between two peers. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import {
  encodeData,
  encodeGoaway,
  encodeHeaders,
  encodePushPromise,
  encodeRstStream,
  encodeWindowUpdate,
} from "../../src/http2/frame_writer.ts";
import { frame, join, T, uint32 } from "./frame_builder.ts";
import { LIMITS } from "./limits.ts";
import { block, request, response } from "./messages.ts";
import { RelayWorld, text } from "./relay_world.ts";

const HEAD = block({ ":method": "GET", ":scheme": "https", ":path": "/pushed", ":authority": "a.test" });
const NOTHING = new Uint8Array(0);
const resets = (said: string[]) => said.filter((each) => each.startsWith("RST_STREAM"));

Deno.test("what is wrong with an idle stream ends the connection: RST_STREAM has no place there", () => {
  const cases = [
    [frame(T.WINDOW_UPDATE, 0, 5, uint32(0)), "PROTOCOL_ERROR"],
    [frame(T.PRIORITY, 0, 5, [0, 0]), "FRAME_SIZE_ERROR"],
    [encodeWindowUpdate(5, 1), "PROTOCOL_ERROR"],
    [encodeRstStream(5, "CANCEL"), "PROTOCOL_ERROR"],
    [encodeData(5, text("x"), true), "PROTOCOL_ERROR"],
  ] as const;
  for (const [bytes, code] of cases) {
    const world = new RelayWorld().client(bytes);
    assertEquals([world.finished?.reason, world.told("client")], ["protocol_error", [`GOAWAY 0 ${code}`]]);
    assertEquals(resets(world.told("server")), []);
  }
});

Deno.test("a request that is withheld is reset towards the client alone: the server has never heard of it", () => {
  const withheld = [
    request(1, { "content-length": "5" }),
    request(1, { "x": "a\nb" }),
    request(1, { "x": "a\0b" }),
    request(1, { "x\r": "y" }),
    request(1, { "x": "y".repeat(5000) }),
    request(1, { "connection": "close" }),
  ];
  for (const each of withheld) {
    const world = new RelayWorld().client(each, request(3)).server(response(3, 204, true));
    assertEquals(resets(world.told("client")).length, 1);
    assertEquals(world.told("server").map((said) => said.slice(0, 9)), ["HEADERS 3"]);
    assertEquals(world.finished, null);
    const [first, second] = world.outcomes();
    assertEquals([JSON.stringify(first).slice(0, 8), second], ['["h2:1",', ["h2:3", "complete"]]);
  }
});

Deno.test("a response with CR, LF or NUL is a protocol error of its stream, towards both sides", () => {
  for (const value of ["a\rb", "a\nb", "a\0b"]) {
    const world = new RelayWorld().client(request(1)).server(response(1, 200, false, { x: value }));
    assertEquals(resets(world.told("client")), ["RST_STREAM 1 PROTOCOL_ERROR"]);
    assertEquals(resets(world.told("server")), ["RST_STREAM 1 PROTOCOL_ERROR"]);
    assertEquals(world.outcomes(), [["h2:1", "protocol_error", "invalid_field_value"]]);
    // What the server had under way is swallowed, and its window given back.
    world.server(encodeData(1, text("late"), true));
    assertEquals(world.told("server").at(-1), "WINDOW_UPDATE 0 4");
    assertEquals(world.told("client").length, 1);
  }
});

Deno.test("HEADERS on a stream that was left out ends the connection, and nothing of it reaches the server", () => {
  const world = new RelayWorld().client(request(1), request(9)).client(request(5));
  assertEquals(world.finished?.reason, "protocol_error");
  assertEquals(world.told("server").filter((said) => said.startsWith("HEADERS 5")), []);
  assertEquals(world.told("client"), ["GOAWAY 9 PROTOCOL_ERROR"]);
});

Deno.test("a stream that is long over: HEADERS of its client go no further, what else was under way does", () => {
  const world = new RelayWorld({ limits: { maxStreams: 2000 } });
  for (let id = 1; id < 2 * 300; id += 2) world.client(request(id)).server(response(id, 204, true));
  const before = world.told("server").length;
  world.client(encodeData(1, text("x"), true), encodeWindowUpdate(1, 5));
  assertEquals(world.told("server").slice(before), ["DATA 1 1", "WINDOW_UPDATE 1 5"]);
  world.client(request(1)).client(request(601));
  assertEquals(world.told("server").slice(before + 2).map((said) => said.slice(0, 11)), ["HEADERS 601"]);
  assertEquals(resets(world.told("client")), ["RST_STREAM 1 STREAM_CLOSED"]);
  assertEquals(world.finished, null);
});

Deno.test("resets are recorded with their code and who sent them; after a whole answer they are no failure", () => {
  const codes = ["CANCEL", "NO_ERROR", "INTERNAL_ERROR"] as const;
  for (const code of codes) {
    const post = request(1, { ":method": "POST" }, false);
    const early = new RelayWorld().client(post).server(response(1, 413, true), encodeRstStream(1, code));
    const benign = code !== "INTERNAL_ERROR";
    assertEquals(early.outcomes(), [benign ? ["h2:1", "complete"] : ["h2:1", "reset", code]]);
    // What the client had under way still goes on: the two agree on it.
    early.client(encodeData(1, text("more"), false));
    assertEquals(early.told("server").at(-1), "DATA 1 4");
    const left = new RelayWorld().client(post).server(response(1, 413, true)).client(
      encodeRstStream(1, code),
    );
    assertEquals(left.outcomes(), [benign ? ["h2:1", "complete"] : ["h2:1", "client_aborted", code]]);
    const unanswered = new RelayWorld().client(post, encodeRstStream(1, code));
    assertEquals(unanswered.outcomes(), [["h2:1", "client_aborted", code]]);
    assertEquals(unanswered.events.at(-1)?.["error_by"], "client");
    const refused = new RelayWorld().client(post).server(encodeRstStream(1, code));
    assertEquals(refused.outcomes(), [["h2:1", "reset", code]]);
    assertEquals(refused.events.at(-1)?.["error_by"], "server");
    for (const world of [early, left, unanswered, refused]) {
      assertEquals(world.ended("client").finished?.reason, "complete");
    }
  }
});

Deno.test("an end with streams under way is who left, one after the last stream is complete", () => {
  const under = new RelayWorld().client(request(1)).ended("server");
  assertEquals([under.finished?.reason, under.outcomes()], ["server_reset", [[
    "h2:1",
    "server_aborted",
    "connection_ended",
  ]]]);
  assertEquals(new RelayWorld().ended("server").finished, { reason: "complete", detail: undefined });
});

Deno.test("GOAWAY leaves streams unprocessed: they are reset in the log, by it, and the flow is complete", () => {
  const world = new RelayWorld().client(request(1), request(3), request(5));
  world.server(encodeGoaway(3, "NO_ERROR", "bye"), response(1, 204, true), response(3, 204, true));
  assertEquals(world.told("client").slice(0, 1), ["GOAWAY 3 NO_ERROR"]);
  world.ended("server");
  assertEquals(world.outcomes(), [["h2:5", "reset", "NO_ERROR"], ["h2:1", "complete"], ["h2:3", "complete"]]);
  assertEquals(world.finished, { reason: "complete", detail: undefined });
  assertStringIncludes(
    String(world.events.find(({ kind }) => kind === "exchange_completed")?.["error_detail"]),
    'GOAWAY from the server: NO_ERROR: "bye"',
  );
});

Deno.test("a stream that GOAWAY leaves unprocessed is over at once, also one that was on its way", () => {
  const world = new RelayWorld().client(request(1)).server(encodeGoaway(1, "NO_ERROR"));
  world.client(request(3), request(5, { ":method": "POST" }, false), encodeData(5, text("x"), true));
  assertEquals(world.outcomes(), [["h2:3", "reset", "NO_ERROR"], ["h2:5", "reset", "NO_ERROR"]]);
  world.server(response(1, 204, true));
  assertEquals(world.told("server").filter((said) => said.startsWith("HEADERS")).length, 3);
  world.ended("client");
  assertEquals(world.finished, { reason: "complete", detail: undefined });
});

Deno.test("GOAWAY with an error, and then the end: the flow ended by who said so, and says why", () => {
  for (const code of ["PROTOCOL_ERROR", "ENHANCE_YOUR_CALM", "FLOW_CONTROL_ERROR"] as const) {
    const world = new RelayWorld().client(request(1)).server(
      response(1, 204, true),
      encodeGoaway(1, code, "why"),
    );
    world.ended("server");
    assertEquals(world.finished, {
      reason: "server_reset",
      detail: `GOAWAY from the server: ${code}: "why"`,
    });
  }
});

Deno.test("a stop says GOAWAY to both, lets streams finish and refuses new ones, which it promised not to process", () => {
  const world = new RelayWorld().client(request(1)).drain();
  assertEquals(world.told("client"), ["GOAWAY 1 NO_ERROR"]);
  assertEquals(world.told("server").at(-1), "GOAWAY 0 NO_ERROR");
  world.client(request(3));
  world.server(encodePushPromise(1, 2, HEAD));
  assertEquals(resets(world.told("client")), ["RST_STREAM 3 REFUSED_STREAM"]);
  assertEquals(resets(world.told("server")), ["RST_STREAM 2 REFUSED_STREAM"]);
  assertEquals(world.finished, null);
  world.server(response(1, 200, false), encodeData(1, text("done"), true));
  assertEquals(world.finished?.reason, "shutdown");
  assertEquals(world.told("client").slice(-2).map((said) => said.slice(0, 9)), ["HEADERS 1", "DATA 1 4"]);
  assertEquals(world.outcomes(), [
    ["h2:3", "reset", "stream_after_goaway"],
    ["h2:2", "reset", "stream_after_goaway"],
    ["h2:1", "complete"],
  ]);
});

Deno.test("no GOAWAY names a higher stream than one before it, whoever of server and proxy says them", () => {
  const world = new RelayWorld().client(request(1)).server(encodeGoaway(1, "NO_ERROR")).client(request(3));
  world.drain().server(encodeGoaway(0x7fff_ffff, "NO_ERROR"));
  assertEquals(world.told("client"), ["GOAWAY 1 NO_ERROR", "GOAWAY 1 NO_ERROR", "GOAWAY 1 NO_ERROR"]);
  assertEquals(world.finished, null);
  const stopped = new RelayWorld().client(request(1)).drain().client(request(3)).at(2000);
  assertEquals(stopped.told("client"), [
    "GOAWAY 1 NO_ERROR",
    "RST_STREAM 3 REFUSED_STREAM",
    "GOAWAY 1 NO_ERROR",
  ]);
});

Deno.test("a promise on a stream that the proxy has just reset is given up, and costs nobody else anything", () => {
  const readable = encodePushPromise(1, 2, HEAD);
  const large = encodePushPromise(1, 2, join(HEAD, block({ x: "y".repeat(5000) })));
  for (const promise of [readable, large]) {
    const world = new RelayWorld().client(request(1, { ":method": "POST" }, false), request(3));
    world.client(frame(T.WINDOW_UPDATE, 0, 1, uint32(0)));
    world.server(
      promise,
      response(2, 200, false),
      encodeData(2, text("pushed"), true),
      response(3, 204, true),
    );
    assertEquals(world.finished, null);
    assertEquals(world.told("client"), ["RST_STREAM 1 PROTOCOL_ERROR", "HEADERS 3 :status=204"]);
    assertEquals(world.told("server").slice(2), [
      "RST_STREAM 1 PROTOCOL_ERROR",
      "RST_STREAM 2 CANCEL",
      "WINDOW_UPDATE 0 6",
    ]);
    assertEquals(world.outcomes().at(-1), ["h2:3", "complete"]);
  }
});

Deno.test("a server that answers early and resets for each DATA under way is no attack, nor is its client", () => {
  const world = new RelayWorld().client(request(1, { ":method": "POST" }, false));
  world.server(response(1, 413, true), encodeRstStream(1, "NO_ERROR"));
  const frames = 10 * LIMITS.floods.maxResets;
  for (let count = 0; count < frames; count++) {
    world.client(encodeData(1, text("x"), false)).server(encodeRstStream(1, "STREAM_CLOSED"));
  }
  assertEquals(world.finished, null);
  assertEquals(resets(world.told("client")).length, 1 + frames);
  // Without DATA that would have called for them there are as many as of any others.
  for (let count = 0; count < LIMITS.floods.maxResets + 10; count++) {
    world.server(encodeRstStream(1, "STREAM_CLOSED"));
  }
  assertEquals(world.finished?.reason, "limit_exceeded");
});

Deno.test("a push passes where the client allows it, with its exchange, and ends the connection where it does not", () => {
  const push = join(
    encodePushPromise(1, 2, HEAD),
    response(1, 204, true),
    response(2, 200, false),
    encodeData(2, text("pushed"), true),
  );
  const allowed = new RelayWorld().client(request(1)).server(push);
  assertEquals(allowed.sent("client"), push);
  assertEquals(allowed.outcomes(), [["h2:1", "complete"], ["h2:2", "complete"]]);
  const pushed = allowed.events.find(({ kind, streamKey }) =>
    kind === "exchange_completed" && streamKey === "h2:2"
  );
  assertEquals(pushed?.["request_head_bytes"], encodePushPromise(1, 2, HEAD).length);
  const refused = new RelayWorld({ clientSettings: [[2, 0]] }).client(request(1)).server(push);
  assertEquals(refused.finished?.reason, "protocol_error");
  assertEquals(refused.told("client"), ["GOAWAY 1 PROTOCOL_ERROR"]);
});

Deno.test("a promise that cannot be read is reset towards the server alone, and the stream it stands on goes on", () => {
  const large = encodePushPromise(1, 2, join(HEAD, block({ x: "y".repeat(5000) })));
  const malformed = encodePushPromise(1, 2, block({ ":method": "GET" }));
  for (const promise of [large, malformed]) {
    const world = new RelayWorld().client(request(1)).server(
      promise,
      response(2, 200, true),
      response(1, 204, true),
    );
    assertEquals(resets(world.told("server")).length, 1);
    assertEquals(world.told("client"), ["HEADERS 1 :status=204"]);
    assertEquals(world.outcomes().length, 2);
    assertEquals(world.outcomes().at(-1), ["h2:1", "complete"]);
    assertEquals(world.finished, null);
  }
});

Deno.test("each octet of a message is counted: 1xx and trailers with the head, content without padding", () => {
  const parts = {
    post: request(1, { ":method": "POST" }, false),
    requestTrailers: encodeHeaders(1, block({ a: "b" }), { endStream: true }),
    hints: response(1, 103, false, { link: "</x>" }),
    head: response(1, 200, false),
    trailers: encodeHeaders(1, block({ "grpc-status": "0" }), { endStream: true }),
  };
  const world = new RelayWorld().client(parts.post, encodeData(1, text("abc"), false), parts.requestTrailers);
  world.server(parts.hints, parts.head, frame(T.DATA, 8, 1, [2, 65, 0, 0]), parts.trailers);
  const { request_head_bytes, request_body_bytes, response_head_bytes, response_body_bytes } = world.events
    .at(-1)!;
  assertEquals([request_head_bytes, request_body_bytes, response_head_bytes, response_body_bytes], [
    parts.post.length + parts.requestTrailers.length,
    3,
    parts.hints.length + parts.head.length + parts.trailers.length,
    1,
  ]);
});

Deno.test("HEAD, 204 and 304 declare content that does not come, and CONNECT streams carry what they like", () => {
  const world = new RelayWorld({ serverSettings: [[8, 1]] });
  world.client(request(1, { ":method": "HEAD" })).server(response(1, 200, true, { "content-length": "500" }));
  world.client(request(3)).server(response(3, 304, true, { "content-length": "500" }));
  const connect = block({
    ":method": "CONNECT",
    ":protocol": "websocket",
    ":scheme": "https",
    ":path": "/chat",
    ":authority": "a.test",
  });
  world.client(encodeHeaders(5, connect, { endStream: false })).server(response(5, 200, false));
  world.client(encodeData(5, text("up"), false)).server(encodeData(5, text("down"), true));
  world.client(encodeData(5, NOTHING, true));
  assertEquals(world.outcomes(), [["h2:1", "complete"], ["h2:3", "complete"], ["h2:5", "complete"]]);
});

Deno.test("bodies that stop short hold no more than their flow may: who finds no room is logged without data", () => {
  const world = new RelayWorld({ limits: { maxSpanBytes: 150 }, clientSettings: [] });
  // The log of this world keeps 64 bytes of each body.
  for (const stream of [1, 3, 5]) {
    world.client(
      request(stream, { ":method": "POST" }, false),
      encodeData(stream, new Uint8Array(60), false),
    );
  }
  for (const stream of [1, 3, 5]) world.client(encodeData(stream, new Uint8Array(4), true));
  const chunks = world.events.filter(({ kind }) => kind === "request_body_chunk");
  assertEquals(
    chunks.map(({ streamKey, bytes, data_dropped, ...rest }) => [
      streamKey,
      bytes,
      data_dropped === true,
      "data" in rest || "data_base64" in rest,
    ]),
    [["h2:1", 64, false, true], ["h2:3", 64, false, true], ["h2:5", 64, true, false]],
  );
  world.client(request(7, { ":method": "POST" }, false), encodeData(7, new Uint8Array(60), true));
  assertEquals(world.events.at(-1)?.["data_dropped"], undefined, "what was written has given its room back");
});
