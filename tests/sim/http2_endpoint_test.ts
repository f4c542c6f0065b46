import { assert, assertEquals } from "@std/assert";
import { HpackDecoder } from "../../src/http2/hpack_decoder.ts";
import { join, latin1 } from "../../src/sim/bytes.ts";
import { SimClock } from "../../src/sim/clock.ts";
import { HpackPeer, HpackReader } from "../../src/sim/hpack_peer.ts";
import { Http2Endpoint } from "../../src/sim/http2_endpoint.ts";
import { field, type Http2Plan, planStream } from "../../src/sim/http2_plan.ts";
import { readConnection } from "../../src/sim/http2_reference.ts";
import {
  END_HEADERS,
  END_STREAM,
  fragmentOf,
  frame,
  FrameCutter,
  PADDED,
  padded,
  PREFACE,
  rstStream,
  settingsFrame,
  TYPE,
  unpadded,
} from "../../src/sim/http2_wire.ts";
import { CALM, Link } from "../../src/sim/link.ts";
import { Random } from "../../src/sim/random.ts";
import { Deviation, Peer } from "../../src/sim/script.ts";

const MINUTE = 60_000_000_000;

function planOf(seed: number, count: number, more: Partial<Http2Plan> = {}): Http2Plan {
  const random = new Random(seed);
  const place = { authority: "a.test:443", scheme: "https" };
  return {
    ...place,
    streams: Array.from(
      { length: count },
      (_, index) => planStream({ ...place, path: `/${index}`, canPush: true }, random),
    ),
    crowd: 5,
    allowsPush: true,
    serverLeavesAfter: null,
    endsFirst: "client",
    isVerbatim: true,
    ...more,
  };
}

/** A client's endpoint against a server that says what it is told to. */
async function heardBy(plan: Http2Plan, said: Uint8Array): Promise<unknown> {
  const clock = new SimClock();
  const link = new Link(clock, new Random(3), CALM);
  const peer = new Peer(clock, link.client);
  let result: unknown = null;
  peer.play(new Http2Endpoint("client", peer, new Random(4), plan).play(), (over) => result = over);
  await clock.run(MINUTE);
  link.server.write(said);
  await clock.run(2 * MINUTE);
  link.server.end();
  await clock.run(3 * MINUTE);
  return result instanceof Deviation ? `${result.kind}: ${result.detail}` : result;
}

Deno.test("two endpoints play every plan to its end, and the reference decoder reads what they said", async () => {
  for (let seed = 0; seed < 40; seed++) {
    const clock = new SimClock();
    const link = new Link(clock, new Random(seed), { ...CALM, delayMsMax: 20, segmentBytesMax: 300 });
    const plan = planOf(seed, 8, seed % 4 === 0 ? { serverLeavesAfter: 4 } : {});
    const sides = { client: new Peer(clock, link.client), server: new Peer(clock, link.server) };
    const said: Record<"client" | "server", Uint8Array[]> = { client: [], server: [] };
    const results: unknown[] = [];
    const endpoints = (["client", "server"] as const).map((side) => {
      const peer = sides[side];
      peer.end.tap = { received() {}, written: (data) => said[side].push(data.slice()) };
      const endpoint = new Http2Endpoint(side, peer, new Random(seed + 1), plan);
      peer.play(endpoint.play(), (result) => results.push(result));
      return endpoint;
    });
    await clock.run(10 * MINUTE);
    assertEquals(results, [undefined, undefined], `seed ${seed}`);
    assert(endpoints.every(({ isOver }) => isOver));
    const streams = readConnection(join(...said.client), join(...said.server));
    for (const [id, { requestBlocks, requestBody, responseBody }] of streams) {
      const path = requestBlocks[0]?.find(({ name }) => name === ":path")?.value;
      const planned = plan.streams.flatMap((one) => [one, ...one.pushes]).find((one) => one.path === path);
      if (planned === undefined) throw new Error(`stream ${id} is for ${path}`);
      if (planned.reset !== null || plan.serverLeavesAfter !== null) continue;
      assertEquals([requestBody, responseBody], [planned.request.body, planned.response.body]);
    }
  }
});

Deno.test("an endpoint tells of everything that nobody planned", async () => {
  const plan = {
    ...planOf(1, 1),
    streams: planOf(1, 30).streams.filter(({ method }) => method === "GET").slice(0, 1),
  };
  const writer = new HpackPeer();
  const block = (status: string) =>
    Uint8Array.from(
      writer.field({
        name: ":status",
        value: status,
        as: "without_indexing",
        huffman: false,
        nameByIndex: true,
      }),
    );
  const settings = settingsFrame([[8, 1]]);
  const says = (...frames: Uint8Array[]) => heardBy(plan, join(settings, ...frames));
  const cases: readonly (readonly [Uint8Array[], string])[] = [
    [[rstStream(1, 1)], "mismatch: HTTP/2: RST_STREAM with code 1"],
    [[rstStream(9, 8)], "mismatch: HTTP/2: RST_STREAM on stream 9, which is idle"],
    [[frame(TYPE.headers, END_HEADERS, 1, block("599"))], "mismatch: HTTP/2: on stream 1"],
    [[frame(TYPE.headers, END_HEADERS, 7, block("200"))], "mismatch: HTTP/2: HEADERS on stream 7"],
    [[frame(TYPE.data, 0, 1, latin1("x"))], "mismatch: HTTP/2: DATA out of place"],
    [[frame(TYPE.headers, END_HEADERS, 1, [0xff])], "mismatch: HTTP/2: a field block that cannot be read"],
    [[frame(TYPE.window_update, 0, 0, [0, 0, 0, 0])], "mismatch: HTTP/2: WINDOW_UPDATE of 0"],
    [[frame(TYPE.goaway, 0, 0, [0, 0, 0, 0, 0, 0, 0, 1])], "answered: GOAWAY with code 1"],
    [[frame(TYPE.goaway, 0, 0, new Uint8Array(8))], "fine"],
    [[], "ended: with 0 streams to open, and 1 open: 1"],
  ];
  for (const [frames, expected] of cases) {
    const result = String(await says(...frames) ?? "fine");
    assert(result.startsWith(expected), `${result} instead of ${expected}`);
  }
  assert(String(await heardBy(plan, rstStream(1, 8))).startsWith("mismatch: HTTP/2: type 3 before SETTINGS"));
});

Deno.test("HpackReader and the real decoder read what HpackPeer writes", () => {
  const random = new Random(8);
  const writer = new HpackPeer();
  const reader = new HpackReader();
  const decoder = new HpackDecoder("client", {
    maxHeaderListSize: 65_536,
    maxHeaderFields: 99,
    maxTableBytes: 4096,
  });
  for (let block = 0; block < 200; block++) {
    const updates = random.chance(0.2) ? writer.sizeUpdate(random.below(4097)) : [];
    const fields = Array.from(
      { length: random.below(6) },
      () =>
        field(
          random.pick(["x-a", "x-b", ":path", "accept"]),
          "v".repeat(random.below(200)),
          random.chance(0.1),
        ),
    );
    const octets = Uint8Array.from([
      ...updates,
      ...fields.flatMap(({ name, value, isSensitive }) =>
        writer.field({
          name,
          value,
          as: isSensitive ? "never_indexed" : random.pick(["indexed", "with_indexing", "without_indexing"]),
          huffman: random.chance(0.5),
          nameByIndex: random.chance(0.5),
        })
      ),
    ]);
    const expected = fields.map(({ name, value, isSensitive }) => ({
      name,
      value,
      neverIndexed: isSensitive,
    }));
    assertEquals(reader.read(octets), expected);
    const decoded = decoder.decode(octets, 1);
    if (decoded.type === "error") throw new Error(decoded.detail);
    assertEquals(
      decoded.fields.map(({ field: [name, value], neverIndexed }) => ({ name, value, neverIndexed })),
      expected,
    );
  }
});

Deno.test("FrameCutter gives whole frames however they come, and takes off what surrounds their content", () => {
  const frames = [
    frame(TYPE.data, PADDED, 1, padded(latin1("abc"), 4)),
    frame(TYPE.headers, END_HEADERS | END_STREAM | 0x20, 3, [0, 0, 0, 1, 9, 0x82]),
    frame(TYPE.push_promise, END_HEADERS, 3, [0, 0, 0, 2, 0x82]),
    frame(0xf0, 0, 0),
  ];
  const whole = join(...frames);
  for (const size of [1, 5, 100]) {
    const cutter = new FrameCutter();
    const cut = [];
    for (let at = 0; at < whole.length; at += size) cut.push(...cutter.push(whole.slice(at, at + size)));
    assertEquals(cut.map(({ bytes }) => bytes), frames);
    assertEquals(cutter.rest.length, 0);
    assertEquals(unpadded(cut[0]!), latin1("abc"));
    assertEquals(cut.map(fragmentOf), [null, Uint8Array.of(0x82), Uint8Array.of(0x82), null]);
  }
  assertEquals(PREFACE.length, 24);
  assertEquals(
    unpadded({ type: 0, flags: PADDED, streamId: 1, payload: Uint8Array.of(3, 0), bytes: whole }),
    null,
  );
});
