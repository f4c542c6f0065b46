/**
 * Each attack on HTTP/2 that costs its sender little, played against a relay: within its budget all goes on,
 * at one more the connection ends with ENHANCE_YOUR_CALM or the RFC's own code, and nothing is piled up.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { Side } from "../../src/core/side.ts";
import { encodeData, encodeHeaders, encodePingAck, encodeRstStream } from "../../src/http2/frame_writer.ts";
import { encodeSettings, encodeSettingsAck, encodeWindowUpdate } from "../../src/http2/frame_writer.ts";
import { frame, join, padded, T, uint32 } from "./frame_builder.ts";
import { integer, string } from "./hpack_peer.ts";
import { FLOODS } from "./limits.ts";
import { block, RelayWorld, request, response, text, type WorldOptions } from "./relay_world.ts";

const HEAD = block({ ":method": "GET", ":scheme": "https", ":path": "/", ":authority": "a.test" });
const NOTHING = new Uint8Array(0);
const POST = { ":method": "POST" };

interface Attack {
  readonly name: string;
  readonly by: Side;
  readonly options?: WorldOptions;
  /** Before the first round. */
  readonly before?: (world: RelayWorld) => void;
  /** One frame or exchange of the attack; `stream` is a number that is new in each round. */
  readonly round: (world: RelayWorld, stream: number) => void;
  /** Rounds that are let pass. */
  readonly allowed: number;
  readonly setting: string;
}

const half = (stream: number) => (world: RelayWorld, ...frames: Uint8Array[]) =>
  world.client(request(stream, POST, false), ...frames);

/** Requests that end with a reset that the proxy is provoked into. */
const provoked = (name: string, provoke: (stream: number) => Uint8Array): Attack => ({
  name: `a client provokes resets (made-you-reset): ${name}`,
  by: "client",
  round: (world, stream) => void half(stream)(world, provoke(stream)),
  allowed: FLOODS.maxProvokedResets,
  setting: "http.http2_max_provoked_resets",
});

const ATTACKS: readonly Attack[] = [
  {
    name: "a client cancels what it asks at once (rapid reset)",
    by: "client",
    round: (world, stream) => void world.client(request(stream), encodeRstStream(stream, "CANCEL")),
    allowed: FLOODS.maxResets,
    setting: "http.http2_max_resets",
  },
  {
    name: "a server resets what it is asked at once",
    by: "server",
    round: (world, stream) =>
      void world.client(request(stream)).server(encodeRstStream(stream, "REFUSED_STREAM")),
    allowed: FLOODS.maxResets,
    setting: "http.http2_max_resets",
  },
  {
    name: "a client resets one stream again and again",
    by: "client",
    before: (world) => void world.client(request(9001)),
    round: (world) => void world.client(encodeRstStream(9001, "CANCEL")),
    allowed: FLOODS.maxResets,
    setting: "http.http2_max_resets",
  },
  {
    name: "a client provokes resets of the server (made-you-reset behind the proxy)",
    by: "client",
    round: (world, stream) =>
      void world.client(request(stream, POST, false)).server(encodeRstStream(stream, "PROTOCOL_ERROR")),
    allowed: FLOODS.maxProvokedResets,
    setting: "http.http2_max_provoked_resets",
  },
  provoked("WINDOW_UPDATE of 0", (stream) => frame(T.WINDOW_UPDATE, 0, stream, uint32(0))),
  provoked("a window that overflows", (stream) => encodeWindowUpdate(stream, 0x7fff_ffff)),
  provoked("PRIORITY of a wrong length", (stream) => frame(T.PRIORITY, 0, stream, [0, 0, 0])),
  provoked("HEADERS twice", (stream) => encodeHeaders(stream, HEAD, { endStream: false })),
  provoked(
    "trailers with a pseudo-header field",
    (stream) => encodeHeaders(stream, HEAD, { endStream: true }),
  ),
  provoked(
    "DATA after the end",
    (stream) => join(encodeData(stream, NOTHING, true), encodeData(stream, text("x"), true)),
  ),
  provoked(
    "HEADERS after the end",
    (stream) =>
      join(encodeData(stream, NOTHING, true), encodeHeaders(stream, block({ x: "y" }), { endStream: true })),
  ),
  provoked(
    "trailers with CR in a value",
    (stream) => encodeHeaders(stream, block({ x: "a\rb" }), { endStream: true }),
  ),
  {
    name: "a client provokes resets (made-you-reset): content that is not what it declared",
    by: "client",
    round: (world, stream) =>
      void world.client(
        request(stream, { ...POST, "content-length": "3" }, false),
        encodeData(stream, text("four"), true),
      ),
    allowed: FLOODS.maxProvokedResets,
    setting: "http.http2_max_provoked_resets",
  },
  {
    name: "a client provokes resets (made-you-reset): a head that declares content it does not have",
    by: "client",
    round: (world, stream) => void world.client(request(stream, { "content-length": "3" })),
    allowed: FLOODS.maxProvokedResets,
    setting: "http.http2_max_provoked_resets",
  },
  {
    name: "a client sends header blocks of thousands of tiny indexed fields",
    by: "client",
    round: (world, stream) =>
      void world.client(encodeHeaders(stream, new Uint8Array(16_000).fill(0x82), { endStream: true })),
    allowed: FLOODS.maxProvokedResets,
    setting: "http.http2_max_provoked_resets",
  },
  {
    name: "a client names one large table entry thousands of times (HPACK bomb)",
    by: "client",
    before: (world) =>
      void world.client(
        encodeHeaders(
          9001,
          join(HEAD, Uint8Array.from([0x40, ...string("x", false), ...string("y".repeat(3000), false)])),
          {
            endStream: true,
          },
        ),
      ),
    round: (world, stream) =>
      void world.client(
        encodeHeaders(stream, join(HEAD, new Uint8Array(10_000).fill(0xbe)), { endStream: true }),
      ),
    allowed: FLOODS.maxProvokedResets,
    setting: "http.http2_max_provoked_resets",
  },
  {
    name: "a server answers with header blocks over the limit",
    by: "server",
    round: (world, stream) =>
      void world.client(request(stream)).server(response(stream, 200, true, { x: "y".repeat(5000) })),
    allowed: FLOODS.maxProvokedResets,
    setting: "http.http2_max_provoked_resets",
  },
  {
    name: "a client sends PING for ever",
    by: "client",
    round: (world) => void world.client(frame(T.PING, 0, 0, new Array(8).fill(1))),
    allowed: FLOODS.maxPings,
    setting: "http.http2_max_pings",
  },
  {
    name: "a server acknowledges PING that nobody sent",
    by: "server",
    round: (world) => void world.server(encodePingAck(new Uint8Array(8))),
    allowed: FLOODS.maxPings,
    setting: "http.http2_max_pings",
  },
  {
    name: "a client sends SETTINGS for ever, which are acknowledged",
    by: "client",
    round: (world) => void world.client(encodeSettings([[4, 1000]])).server(encodeSettingsAck()),
    // It has sent its first already.
    allowed: FLOODS.maxSettings - 1,
    setting: "http.http2_max_settings",
  },
  {
    name: "a server acknowledges SETTINGS that nobody sent",
    by: "server",
    round: (world) => void world.server(encodeSettingsAck()),
    allowed: FLOODS.maxSettings - 1,
    setting: "http.http2_max_settings",
  },
  {
    name: "a server says GOAWAY for ever",
    by: "server",
    round: (world) => void world.server(frame(T.GOAWAY, 0, 0, [...uint32(0x7fff_ffff), ...uint32(0)])),
    allowed: FLOODS.maxSettings - 1,
    setting: "http.http2_max_settings",
  },
  {
    name: "a client sends PRIORITY for ever",
    by: "client",
    round: (world, stream) => void world.client(frame(T.PRIORITY, 0, stream, [0, 0, 0, 0, 16])),
    allowed: FLOODS.maxPriorities,
    setting: "http.http2_max_priorities",
  },
  {
    name: "a client sends PRIORITY_UPDATE for ever",
    by: "client",
    round: (world, stream) => void world.client(frame(0x10, 0, 0, [...uint32(stream), 0x75])),
    allowed: FLOODS.maxPriorities,
    setting: "http.http2_max_priorities",
  },
  {
    name: "a client sends DATA without content for ever",
    by: "client",
    before: (world) => void world.client(request(9001, POST, false)),
    round: (world) => void world.client(encodeData(9001, NOTHING, false)),
    allowed: FLOODS.maxEmptyFrames,
    setting: "http.http2_max_empty_frames",
  },
  {
    name: "a server sends DATA of padding alone for ever",
    by: "server",
    before: (world) => void world.client(request(9001)).server(response(9001, 200, false)),
    round: (world) => void world.server(frame(T.DATA, 8, 9001, padded([], 20))),
    allowed: FLOODS.maxEmptyFrames,
    setting: "http.http2_max_empty_frames",
  },
  {
    name: "a client sends WINDOW_UPDATE for ever",
    by: "client",
    round: (world) => void world.client(encodeWindowUpdate(0, 1)),
    allowed: FLOODS.maxWindowUpdates,
    setting: "http.http2_max_window_updates",
  },
  {
    name: "a server promises streams for ever",
    by: "server",
    before: (world) => void world.client(request(9001)),
    round: (world, stream) =>
      void world.server(frame(T.PUSH_PROMISE, 4, 9001, [...uint32(stream + 1), ...HEAD])),
    options: { limits: { maxStreams: 5 } },
    // Four beside the one that was asked for, then each one that is refused.
    allowed: 4 + FLOODS.maxProvokedResets,
    setting: "http.http2_max_provoked_resets",
  },
];

for (const { name, by, options, before, round, allowed, setting } of ATTACKS) {
  Deno.test(`${name}: ${allowed} times pass, one more ends the connection`, () => {
    const world = new RelayWorld(options);
    before?.(world);
    for (let count = 0; count < allowed; count++) round(world, 2 * count + 1);
    assertEquals(world.finished, null, world.finished?.detail);
    if (before === undefined) world.client(request(8001)).server(response(8001, 204, true));
    // The exchange of a good client beside it is complete, and may have earned the attacker some frames.
    const earned = /max_pings|max_window_updates/.test(setting);
    for (let extra = 0; extra <= (earned ? 20 : 0); extra++) round(world, 8003 + 2 * extra);
    assertEquals(world.finished?.reason, "limit_exceeded");
    const detail = world.finished?.detail ?? "";
    assertStringIncludes(detail, `the ${by} sent more than`);
    assertStringIncludes(detail, `(${setting} = `);
    for (const side of ["client", "server"] as const) {
      assert(world.told(side).at(-1)!.endsWith(" ENHANCE_YOUR_CALM"), `${side}: ${world.told(side).at(-1)}`);
    }
    if (before === undefined) assert(JSON.stringify(world.outcomes()).includes('["h2:8001","complete"]'));
    assert(world.heldBytesMax < 65_536, `${world.heldBytesMax} bytes were held`);
  });
}

Deno.test("CONTINUATION in any number and of any size ends within its bounds, never decoded, held bytes released", () => {
  const opening = frame(T.HEADERS, 1, 1, HEAD);
  const floods: [string, (world: RelayWorld) => void, string][] = [
    ["empty", (world) => void world.client(frame(T.CONTINUATION, 0, 1)), "http.http2_max_continuations"],
    [
      "large",
      (world) => void world.client(frame(T.CONTINUATION, 0, 1, new Array(16_000).fill(0x82))),
      "http.http2_max_header_list_size",
    ],
  ];
  for (const [name, more, setting] of floods) {
    const world = new RelayWorld();
    world.client(opening);
    for (let count = 0; count < 100 && world.finished === null; count++) more(world);
    assertEquals(world.finished?.reason, "limit_exceeded", name);
    assertStringIncludes(world.finished?.detail ?? "", setting);
    assertEquals(world.told("client"), ["GOAWAY 0 ENHANCE_YOUR_CALM"]);
    assertEquals(world.told("server"), ["GOAWAY 0 ENHANCE_YOUR_CALM"], "nothing of the block went on");
    assert(world.heldBytesMax < 2 * 65_536, `${world.heldBytesMax} bytes were held`);
  }
});

Deno.test("a field block that drips in is given timeouts.head from its own beginning, others are not hurt by it", () => {
  const world = new RelayWorld({ limits: { idleMs: 5000 } });
  world.client(frame(T.HEADERS, 1, 1, HEAD)).at(999).client(frame(T.CONTINUATION, 0, 1)).at(1000);
  assertEquals(world.finished?.reason, "stage_timeout");
  // Reads that each end within another frame are no drip.
  const busy = new RelayWorld();
  let rest = NOTHING;
  for (let round = 0; round < 20; round++) {
    const next = request(2 * round + 1);
    busy.at(round * 300).client(join(rest, next.subarray(0, 20)));
    rest = next.slice(20);
    if (round > 0) busy.server(response(2 * round - 1, 204, true));
  }
  assertEquals(busy.finished, null);
});

Deno.test("a table larger than http.http2_max_table_size ends the connection, at n and n+1, and updates in any number are harmless", () => {
  const update = (size: number) => Uint8Array.from(integer(size, 5, 0x20));
  const many = join(...Array.from({ length: 5000 }, (_, index) => update(index % 2 === 0 ? 0 : 4096)), HEAD);
  const within = new RelayWorld({ serverSettings: [[1, 100_000]] });
  within.client(encodeHeaders(1, join(update(65_536), HEAD), { endStream: true }));
  within.client(encodeHeaders(3, many, { endStream: true }));
  assertEquals(within.finished, null);
  const over = new RelayWorld({ serverSettings: [[1, 100_000]] });
  over.client(encodeHeaders(1, join(update(65_537), HEAD), { endStream: true }));
  assertEquals(over.finished?.reason, "limit_exceeded");
  assertStringIncludes(over.finished?.detail ?? "", "http.http2_max_table_size");
  assertEquals(over.told("client"), ["GOAWAY 0 ENHANCE_YOUR_CALM"]);
});

Deno.test("http.http2_max_streams is held at n and n+1: one too many is refused alone, and never reaches the server", () => {
  const world = new RelayWorld({ limits: { maxStreams: 3 } });
  world.client(request(1), request(3), request(5), request(7));
  assertEquals(world.told("client"), ["RST_STREAM 7 REFUSED_STREAM"]);
  assertEquals(world.told("server").length, 3);
  world.server(response(1, 204, true)).client(request(9));
  assertEquals(world.told("server").at(-1)?.slice(0, 9), "HEADERS 9");
  assertEquals(world.outcomes(), [["h2:7", "limit", "too_many_streams"], ["h2:1", "complete"]]);
  assertEquals(world.finished, null);
});

Deno.test("a window over 2^31-1 is FLOW_CONTROL_ERROR: of a stream alone, of the connection, and by SETTINGS", () => {
  const MAX = 0x7fff_ffff;
  const stream = new RelayWorld();
  stream.client(request(1), encodeWindowUpdate(1, MAX - 65_535));
  assertEquals(stream.finished, null);
  stream.client(request(3), encodeWindowUpdate(1, 1));
  assertEquals(stream.told("client"), ["RST_STREAM 1 FLOW_CONTROL_ERROR"]);
  assertEquals(stream.told("server").at(-1), "RST_STREAM 1 FLOW_CONTROL_ERROR");
  stream.server(response(3, 204, true));
  assertEquals(stream.outcomes(), [["h2:1", "protocol_error", "window_overflow"], ["h2:3", "complete"]]);

  const connection = new RelayWorld();
  connection.client(encodeWindowUpdate(0, MAX - 65_535)).client(encodeWindowUpdate(0, 1));
  assertEquals(connection.finished?.reason, "protocol_error");
  assertEquals(connection.told("client"), ["GOAWAY 0 FLOW_CONTROL_ERROR"]);

  const settings = new RelayWorld();
  settings.client(request(1), encodeWindowUpdate(1, MAX - 65_535), encodeSettings([[4, 65_536]]));
  assertEquals(settings.told("client"), ["GOAWAY 1 FLOW_CONTROL_ERROR"]);
});

Deno.test("a window that content used up may be given back, however large it was made", () => {
  const MAX = 0x7fff_ffff;
  const world = new RelayWorld();
  world.client(request(1), encodeWindowUpdate(0, MAX - 65_535), encodeWindowUpdate(1, MAX - 65_535));
  world.server(response(1, 200, false));
  for (let round = 0; round < 100; round++) {
    world.server(encodeData(1, new Uint8Array(16_384), false));
    world.client(encodeWindowUpdate(0, 16_384), encodeWindowUpdate(1, 16_384));
  }
  assertEquals(world.finished, null);
  assertEquals(world.outcomes(), []);
});

Deno.test("a peer that opens streams, gives no window and pings on is ended by timeouts.exchange_idle", () => {
  const world = new RelayWorld({ clientSettings: [[4, 0]] });
  world.client(...Array.from({ length: 20 }, (_, index) => request(2 * index + 1)));
  world.server(...Array.from({ length: 20 }, (_, index) => response(2 * index + 1, 200, false)));
  for (let at = 100; at <= 1000; at += 100) {
    assertEquals(world.finished, null);
    world.at(at).client(frame(T.PING, 0, 0, new Array(8).fill(1))).server(encodePingAck(new Uint8Array(8)));
    world.client(encodeWindowUpdate(0, 1), encodeWindowUpdate(1, 1));
  }
  assertEquals(world.finished?.reason, "idle_timeout");
  assertStringIncludes(world.finished?.detail ?? "", "timeouts.exchange_idle");
  assertEquals(world.outcomes().length, 20);
});

Deno.test("one stalled stream beside busy ones is reset alone after timeouts.exchange_idle, towards both sides", () => {
  const world = new RelayWorld();
  world.client(request(1), request(3)).server(response(1, 200, false), response(3, 200, false));
  for (let at = 0; at < 5000; at += 500) {
    world.at(at).server(encodeData(3, text("x"), false)).client(encodeWindowUpdate(1, 1));
  }
  assertEquals(world.finished, null);
  assertEquals(world.outcomes(), [["h2:1", "timeout", "timeout"]]);
  assertEquals(world.told("client").filter((said) => said.startsWith("RST")), ["RST_STREAM 1 CANCEL"]);
  assertEquals(world.told("server").filter((said) => said.startsWith("RST")), ["RST_STREAM 1 CANCEL"]);
  world.server(encodeData(3, NOTHING, true)).at(5600);
  assertEquals(world.finished?.reason, "idle_timeout");
});

Deno.test("PING and WINDOW_UPDATE do not keep a connection without streams", () => {
  const world = new RelayWorld();
  for (let at = 100; at <= 1000; at += 100) {
    world.at(at).client(frame(T.PING, 0, 0, new Array(8).fill(1)), encodeWindowUpdate(0, 1));
  }
  assertEquals(world.finished?.reason, "idle_timeout");
});
