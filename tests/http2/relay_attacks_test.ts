/**
 * Each attack on HTTP/2 that costs its sender little, played against a relay: within its budget all goes on,
 * at one more the connection ends with ENHANCE_YOUR_CALM or the RFC's own code, and nothing is piled up.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import type { Side } from "../../src/core/side.ts";
import { FLOOD_BUDGETS } from "../../src/http2/flood_guard.ts";
import {
  encodeData,
  encodeHeaders,
  encodePingAck,
  encodeSettings,
  encodeWindowUpdate,
} from "../../src/http2/frame_writer.ts";
import { ATTACKS, type AttackStage } from "../support/http2_attacks.ts";
import { frame, join, T } from "./frame_builder.ts";
import { integer } from "../../src/sim/hpack_peer.ts";
import { LIMITS } from "./limits.ts";
import { block, request, response } from "./messages.ts";
import { RelayWorld, text } from "./relay_world.ts";

const HEAD = block({ ":method": "GET", ":scheme": "https", ":path": "/", ":authority": "a.test" });
const NOTHING = new Uint8Array(0);
const FLOOD_SETTINGS = Object.values(FLOOD_BUDGETS).map(({ setting }) => setting);

for (const { name, by, serverSettings, before, round, allowed: allowedOf, setting, code, earns } of ATTACKS) {
  const allowed = allowedOf(LIMITS);
  Deno.test(`${name} by the ${by}: ${allowed} times pass, one more ends the connection`, async () => {
    const world = new RelayWorld(serverSettings === undefined ? {} : { serverSettings });
    const stage: AttackStage = {
      say: (side, ...frames) => void world.by(side, ...frames),
      reaches: async () => {},
    };
    await before?.(stage);
    for (let count = 0; count < allowed; count++) await round(stage, 2 * count + 1);
    assertEquals(world.finished, null, world.finished?.detail);
    // A good client's exchange beside it is complete, and may have earned the attacker some frames.
    const free = before === undefined;
    if (free) world.client(request(8001)).server(response(8001, 204, true));
    for (let extra = 0; extra <= (earns ? 20 : 0); extra++) await round(stage, 8003 + 2 * extra);
    assertEquals(world.finished?.reason, code === "ENHANCE_YOUR_CALM" ? "limit_exceeded" : "protocol_error");
    if (setting !== null) assertStringIncludes(world.finished?.detail ?? "", setting);
    if (FLOOD_SETTINGS.includes(setting ?? "")) {
      assertStringIncludes(world.finished?.detail ?? "", `the ${by} sent more than`);
    }
    for (const side of ["client", "server"] as const) {
      assert(world.told(side).at(-1)!.endsWith(` ${code}`), `${side}: ${world.told(side).at(-1)}`);
    }
    if (free) assert(JSON.stringify(world.outcomes()).includes('["h2:8001","complete"]'));
    assert(world.heldBytesMax < 100_000, `${world.heldBytesMax} bytes were held`);
  });
}

Deno.test("a header list over the limit costs its stream alone also where a single frame holds all of it", () => {
  const huge = (streamId: number, octets: number) =>
    encodeHeaders(streamId, join(HEAD, block({ x: "\xff".repeat(octets) })), {
      endStream: true,
      maxFrameSize: 1 << 20,
    });
  const world = new RelayWorld({
    limits: { maxHeaderListSize: 65_536 },
    serverSettings: [[5, 1 << 20]],
  });
  world.client(huge(1, 65_000), huge(3, 65_600), huge(5, 140_000), request(7));
  assertEquals(world.finished, null);
  assertEquals(world.told("client"), ["RST_STREAM 3 ENHANCE_YOUR_CALM", "RST_STREAM 5 ENHANCE_YOUR_CALM"]);
  assertEquals(world.told("server").map((said) => said.slice(0, 9)), ["HEADERS 1", "HEADERS 7"]);
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

Deno.test("each attack gives the same events, bytes and end however its octets are cut", async () => {
  /** What each side said, one entry for each time the other was silent. */
  async function script(attack: typeof ATTACKS[number]): Promise<[Side, Uint8Array][]> {
    const said: [Side, Uint8Array][] = [];
    const stage: AttackStage = {
      say: (side, ...frames) => {
        const before = said.at(-1);
        if (before?.[0] === side) before[1] = join(before[1], ...frames);
        else said.push([side, join(...frames)]);
      },
      reaches: async () => {},
    };
    await attack.before?.(stage);
    for (let count = 0; count <= attack.allowed(LIMITS); count++) await attack.round(stage, 2 * count + 1);
    return said;
  }
  const options = ({ serverSettings }: typeof ATTACKS[number]) =>
    serverSettings === undefined ? {} : { serverSettings };
  const result = (world: RelayWorld) => ({
    finished: world.finished,
    events: world.events,
    toClient: world.sent("client"),
    toServer: world.sent("server"),
  });
  for (const attack of ATTACKS) {
    const said = await script(attack);
    const whole = new RelayWorld(options(attack));
    for (const [side, bytes] of said) whole.by(side, bytes);
    const expected = result(whole);
    const total = said.reduce((sum, [, { length }]) => sum + length, 0);
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: Math.max(40, total >> 6) }), { minLength: 1, maxLength: 20 }),
        (sizes) => {
          const cut = new RelayWorld(options(attack));
          let at = 0;
          for (const [side, bytes] of said) {
            for (let from = 0; from < bytes.length;) {
              const size = sizes[at++ % sizes.length]!;
              cut.by(side, bytes.subarray(from, from + size));
              from += size;
            }
          }
          assertEquals(result(cut), expected, attack.name);
        },
      ),
      { numRuns: 5 },
    );
  }
});
