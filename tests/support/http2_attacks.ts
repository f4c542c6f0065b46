/**
 * Attacks on HTTP/2 that cost their sender little, as one table: played against a relay in the unit tests, and
 * by a hostile peer against a running proxy. Each is rounds of frames, of which so many are let pass.
 */
import type { Side } from "../../src/core/side.ts";
import type { ErrorCodeName } from "../../src/http2/errors.ts";
import {
  encodeData,
  encodeHeaders,
  encodePingAck,
  encodeRstStream,
  encodeSettings,
  encodeSettingsAck,
  encodeWindowUpdate,
} from "../../src/http2/frame_writer.ts";
import type { Http2Limits } from "../../src/http2/limits.ts";
import { MAX_WINDOW_SIZE, type Setting } from "../../src/http2/settings.ts";
import { frame, join, padded, T, uint32 } from "../http2/frame_builder.ts";
import { integer, string } from "../../src/sim/hpack_peer.ts";
import { block, request, response } from "../http2/messages.ts";

export interface AttackStage {
  say(by: Side, ...frames: readonly Uint8Array[]): void;
  /** Waits until the server has heard of the stream. */
  reaches(streamId: number): Promise<void>;
}

export interface Attack {
  readonly name: string;
  readonly by: Side;
  readonly serverSettings?: readonly Setting[];
  /** Before the first round. May use streams from 9,001 on. */
  readonly before?: (stage: AttackStage) => void | Promise<void>;
  /** `stream` is new in each round. */
  readonly round: (stage: AttackStage, stream: number) => void | Promise<void>;
  /** How many rounds are let pass. */
  readonly allowed: (limits: Http2Limits) => number;
  /** The setting that the end of the flow names; null where it is the RFC's own rule. */
  readonly setting: string | null;
  /** What the GOAWAY to both sides says. */
  readonly code: ErrorCodeName;
  /** The budget grows with what the two sides do in earnest. */
  readonly earns?: true;
}

const HEAD = block({ ":method": "GET", ":scheme": "https", ":path": "/", ":authority": "a.test" });
const NOTHING = new Uint8Array(0);
const POST = { ":method": "POST" };
const text = (value: string) => new TextEncoder().encode(value);
const CALM = "ENHANCE_YOUR_CALM";

const resets = (
  name: string,
  by: Side,
  round: Attack["round"],
  before?: Attack["before"],
  more: Partial<Attack> = {},
): Attack => ({
  name,
  by,
  ...before === undefined ? {} : { before },
  round,
  allowed: ({ floods }) => floods.maxResets,
  setting: "http.http2_max_resets",
  code: CALM,
  ...more,
});

const provokes = (name: string, by: Side, round: Attack["round"], before?: Attack["before"]): Attack => ({
  name: `made-you-reset: ${name}`,
  by,
  ...before === undefined ? {} : { before },
  round,
  allowed: ({ floods }) => floods.maxProvokedResets,
  setting: "http.http2_max_provoked_resets",
  code: CALM,
});

/** An upload, and then what makes the proxy reset it. */
const upload = (name: string, provoke: (stream: number) => Uint8Array) =>
  provokes(
    name,
    "client",
    (stage, stream) => stage.say("client", request(stream, POST, false), provoke(stream)),
  );

const flood = (
  name: string,
  by: Side,
  budget: keyof Http2Limits["floods"],
  setting: string,
  round: Attack["round"],
  more: Partial<Attack> = {},
): Attack => ({ name, by, round, allowed: ({ floods }) => floods[budget], setting, code: CALM, ...more });

/** The server is asked something, so that it has a stream to speak on. */
const asked = async (stage: AttackStage): Promise<void> => {
  stage.say("client", request(9001));
  await stage.reaches(9001);
};

const PING = frame(T.PING, 0, 0, new Array(8).fill(1));

export const ATTACKS: readonly Attack[] = [
  resets(
    "rapid reset: a client cancels what it asks",
    "client",
    (stage, stream) => stage.say("client", request(stream), encodeRstStream(stream, "CANCEL")),
  ),
  resets("rapid reset: a server refuses what it is asked", "server", async (stage, stream) => {
    stage.say("client", request(stream));
    await stage.reaches(stream);
    stage.say("server", encodeRstStream(stream, "REFUSED_STREAM"));
  }),
  resets(
    "a client resets one stream again and again",
    "client",
    (stage) => stage.say("client", encodeRstStream(9001, "CANCEL")),
    (stage) => stage.say("client", request(9001)),
    { earns: true },
  ),
  provokes("the server behind the proxy resets", "client", async (stage, stream) => {
    stage.say("client", request(stream, POST, false));
    await stage.reaches(stream);
    stage.say("server", encodeRstStream(stream, "PROTOCOL_ERROR"));
  }),
  upload("WINDOW_UPDATE of 0", (stream) => frame(T.WINDOW_UPDATE, 0, stream, uint32(0))),
  upload("a stream's window overflows", (stream) => encodeWindowUpdate(stream, MAX_WINDOW_SIZE)),
  upload("PRIORITY of a wrong length", (stream) => frame(T.PRIORITY, 0, stream, [0, 0, 0])),
  upload("HEADERS twice", (stream) => encodeHeaders(stream, HEAD, { endStream: false })),
  upload("trailers with a pseudo-header field", (stream) => encodeHeaders(stream, HEAD, { endStream: true })),
  upload("trailers with CR", (stream) => encodeHeaders(stream, block({ x: "a\rb" }), { endStream: true })),
  upload(
    "DATA after the end",
    (stream) => join(encodeData(stream, NOTHING, true), encodeData(stream, text("x"), true)),
  ),
  upload(
    "HEADERS after the end",
    (stream) =>
      join(encodeData(stream, NOTHING, true), encodeHeaders(stream, block({ x: "y" }), { endStream: true })),
  ),
  provokes("more content than declared", "client", (stage, stream) =>
    stage.say(
      "client",
      request(stream, { ...POST, "content-length": "3" }, false),
      encodeData(stream, text("four"), true),
    )),
  provokes(
    "content declared and not there",
    "client",
    (stage, stream) => stage.say("client", request(stream, { "content-length": "3" })),
  ),
  provokes(
    "16,000 tiny indexed fields a block",
    "client",
    (stage, stream) =>
      stage.say("client", encodeHeaders(stream, new Uint8Array(16_000).fill(0x82), { endStream: true })),
  ),
  provokes(
    "one large table entry 10,000 times a block (HPACK bomb)",
    "client",
    (stage, stream) =>
      stage.say(
        "client",
        encodeHeaders(stream, join(HEAD, new Uint8Array(10_000).fill(0xbe)), { endStream: true }),
      ),
    (stage) => {
      const entry = Uint8Array.from([0x40, ...string("x", false), ...string("y".repeat(3000), false)]);
      stage.say("client", encodeHeaders(9001, join(HEAD, entry), { endStream: true }));
    },
  ),
  provokes("responses of too many fields", "server", async (stage, stream) => {
    stage.say("client", request(stream));
    await stage.reaches(stream);
    const fields = join(block({ ":status": "200" }), new Uint8Array(300).fill(0xb6));
    stage.say("server", encodeHeaders(stream, fields, { endStream: true }));
  }),
  flood("PING", "client", "maxPings", "http.http2_max_pings", (stage) => stage.say("client", PING), {
    earns: true,
  }),
  flood("PING", "server", "maxPings", "http.http2_max_pings", (stage) => stage.say("server", PING), {
    earns: true,
  }),
  flood(
    "PING acknowledged without one",
    "server",
    "maxPings",
    "http.http2_max_pings",
    (stage) => stage.say("server", encodePingAck(new Uint8Array(8))),
    { earns: true },
  ),
  // Each side has sent its first SETTINGS, or acknowledged it, already.
  flood(
    "SETTINGS",
    "client",
    "maxSettings",
    "http.http2_max_settings",
    (stage) => stage.say("client", encodeSettings([[4, 1000]])),
    { allowed: ({ floods }) => floods.maxSettings - 1 },
  ),
  flood(
    "SETTINGS",
    "server",
    "maxSettings",
    "http.http2_max_settings",
    (stage) => stage.say("server", encodeSettings([[4, 1000]])),
    { allowed: ({ floods }) => floods.maxSettings - 1 },
  ),
  flood(
    "SETTINGS acknowledged without one",
    "server",
    "maxSettings",
    "http.http2_max_settings",
    (stage) => stage.say("server", encodeSettingsAck()),
    { allowed: ({ floods }) => floods.maxSettings - 1 },
  ),
  flood(
    "GOAWAY",
    "server",
    "maxSettings",
    "http.http2_max_settings",
    (stage) => stage.say("server", frame(T.GOAWAY, 0, 0, [...uint32(MAX_WINDOW_SIZE), ...uint32(0)])),
    {
      allowed: ({ floods }) => floods.maxSettings - 1,
    },
  ),
  flood(
    "PRIORITY",
    "client",
    "maxPriorities",
    "http.http2_max_priorities",
    (stage, stream) => stage.say("client", frame(T.PRIORITY, 0, stream, [0, 0, 0, 0, 16])),
  ),
  flood(
    "PRIORITY_UPDATE",
    "client",
    "maxPriorities",
    "http.http2_max_priorities",
    (stage, stream) => stage.say("client", frame(0x10, 0, 0, [...uint32(stream), 0x75])),
  ),
  flood(
    "DATA without content",
    "client",
    "maxEmptyFrames",
    "http.http2_max_empty_frames",
    (stage) => stage.say("client", encodeData(9001, NOTHING, false)),
    {
      before: (stage) => stage.say("client", request(9001, POST, false)),
    },
  ),
  flood(
    "DATA without content",
    "server",
    "maxEmptyFrames",
    "http.http2_max_empty_frames",
    (stage) => stage.say("server", encodeData(9001, NOTHING, false)),
    {
      before: async (stage) => {
        await asked(stage);
        stage.say("server", response(9001, 200, false));
      },
    },
  ),
  flood(
    "DATA of padding alone",
    "client",
    "maxEmptyFrames",
    "http.http2_max_empty_frames",
    (stage) => stage.say("client", frame(T.DATA, 8, 9001, padded([], 20))),
    {
      before: (stage) => stage.say("client", request(9001, POST, false)),
    },
  ),
  flood(
    "WINDOW_UPDATE",
    "client",
    "maxWindowUpdates",
    "http.http2_max_window_updates",
    (stage) => stage.say("client", encodeWindowUpdate(0, 1)),
    { earns: true },
  ),
  flood(
    "WINDOW_UPDATE",
    "server",
    "maxWindowUpdates",
    "http.http2_max_window_updates",
    (stage) => stage.say("server", encodeWindowUpdate(0, 1)),
    { earns: true },
  ),
  {
    name: "PUSH_PROMISE",
    by: "server",
    before: asked,
    round: (stage, stream) =>
      stage.say("server", frame(T.PUSH_PROMISE, 4, 9001, [...uint32(stream + 1), ...HEAD])),
    // As many as may be open beside the stream they stand on, then each one that is refused.
    allowed: ({ maxStreams, floods }) => maxStreams - 1 + floods.maxProvokedResets,
    setting: "http.http2_max_provoked_resets",
    code: CALM,
  },
  {
    name: "CONTINUATION without an octet",
    by: "client",
    before: (stage) => stage.say("client", frame(T.HEADERS, 1, 9001, HEAD)),
    round: (stage) => stage.say("client", frame(T.CONTINUATION, 0, 9001)),
    allowed: ({ maxContinuations }) => maxContinuations,
    setting: "http.http2_max_continuations",
    code: CALM,
  },
  {
    name: "CONTINUATION without an octet",
    by: "server",
    before: async (stage) => {
      await asked(stage);
      stage.say("server", frame(T.HEADERS, 0, 9001, block({ ":status": "200" })));
    },
    round: (stage) => stage.say("server", frame(T.CONTINUATION, 0, 9001)),
    allowed: ({ maxContinuations }) => maxContinuations,
    setting: "http.http2_max_continuations",
    code: CALM,
  },
  {
    name: "CONTINUATION of 16,000 octets",
    by: "client",
    before: (stage) => stage.say("client", frame(T.HEADERS, 1, 9001, HEAD)),
    round: (stage) => stage.say("client", frame(T.CONTINUATION, 0, 9001, new Array(16_000).fill(0x82))),
    // A compressed block may be twice the list, and 16 KiB.
    allowed: ({ maxHeaderListSize }) => Math.floor((2 * maxHeaderListSize + 16_384 - HEAD.length) / 16_000),
    setting: "http.http2_max_header_list_size",
    code: CALM,
  },
  {
    name: "an HPACK table larger than is kept",
    by: "client",
    serverSettings: [[1, 1 << 24]],
    round: (stage, stream) =>
      stage.say(
        "client",
        encodeHeaders(stream, join(Uint8Array.from(integer(65_537, 5, 0x20)), HEAD), { endStream: true }),
      ),
    allowed: () => 0,
    setting: "http.http2_max_table_size",
    code: CALM,
  },
  {
    name: "the connection's window overflows",
    by: "client",
    before: (stage) => stage.say("client", encodeWindowUpdate(0, MAX_WINDOW_SIZE - 65_535)),
    round: (stage) => stage.say("client", encodeWindowUpdate(0, 1)),
    allowed: () => 0,
    setting: null,
    code: "FLOW_CONTROL_ERROR",
  },
  {
    name: "the connection's window overflows",
    by: "server",
    before: (stage) => stage.say("server", encodeWindowUpdate(0, MAX_WINDOW_SIZE - 65_535)),
    round: (stage) => stage.say("server", encodeWindowUpdate(0, 1)),
    allowed: () => 0,
    setting: null,
    code: "FLOW_CONTROL_ERROR",
  },
  {
    name: "a frame larger than SETTINGS_MAX_FRAME_SIZE",
    by: "client",
    round: (stage, stream) => stage.say("client", frame(T.DATA, 0, stream, new Array(16_385).fill(0))),
    allowed: () => 0,
    setting: null,
    code: "FRAME_SIZE_ERROR",
  },
];
