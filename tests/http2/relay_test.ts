import { NO_OBSERVATION } from "../../src/http/observation.ts";
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import type { FlowEvent } from "../../src/core/event.ts";
import type { Side } from "../../src/core/side.ts";
import { FrameReader } from "../../src/http2/frame_reader.ts";
import {
  encodeData,
  encodeGoaway,
  encodeHeaders,
  encodeRstStream,
  encodeSettings,
  encodeSettingsAck,
  encodeWindowUpdate,
} from "../../src/http2/frame_writer.ts";
import { CLIENT_PREFACE } from "../../src/http2/frames.ts";
import { HpackDecoder } from "../../src/http2/hpack_decoder.ts";
import { Http2Relay } from "../../src/http2/relay.ts";
import { join } from "./frame_builder.ts";
import { FLOODS, LIMITS } from "./limits.ts";
import { block, request, response as responseWith } from "./messages.ts";

function response(streamId: number, status: number, endStream: boolean): Uint8Array {
  return responseWith(streamId, status, endStream, { "content-type": "text/plain" });
}

type Step = readonly [Side, Uint8Array | "ended" | "failed" | "drain"];

function run(steps: readonly Step[]) {
  const sent: Record<Side, Uint8Array[]> = { client: [], server: [] };
  const events: Record<string, unknown>[] = [];
  let finished: string | null = null;
  const relay = new Http2Relay({
    host: {
      send: (side, data) => {
        assert(finished === null, "nothing is sent after the end");
        sent[side].push(data.slice());
      },
      reset: () => {},
      pause: () => {},
      resume: () => {},
      arm: () => {},
      disarm: () => {},
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
    gate: { ask: () => ({ type: "observe" }) },
    firstExchangeId: 1,
    stripsAltSvc: false,
    strictHeaders: true,
  }, 0);
  for (const [side, what] of steps) {
    if (finished !== null) break;
    if (what === "ended") relay.ended(side, 0);
    else if (what === "failed") relay.failed(side, { kind: "reset", code: "ECONNRESET", detail: "gone" }, 0);
    else if (what === "drain") relay.drain(0);
    else relay.received(side, what, 0);
  }
  return { toServer: join(...sent.server), toClient: join(...sent.client), events, finished };
}

const text = (value: string) => new TextEncoder().encode(value);

const CLIENT = join(
  CLIENT_PREFACE,
  encodeSettings([[3, 100]]),
  encodeSettingsAck(),
  request(1),
  request(3, { ":method": "POST", ":path": "/p" }, false),
  encodeData(3, text("some content"), false),
  encodeWindowUpdate(0, 70_000),
  encodeHeaders(3, block({ "x-trailer": "t" }), { endStream: true }),
);
const SERVER = join(
  encodeSettings([[4, 100_000]]),
  encodeSettingsAck(),
  response(1, 103, false),
  response(1, 200, false),
  encodeData(1, text("hello"), true),
  response(3, 204, true),
);

const outcomes = (events: readonly Record<string, unknown>[]) =>
  events.filter(({ kind }) => kind === "exchange_completed").map((
    { streamKey, outcome },
  ) => [streamKey, outcome]);

Deno.test("Http2Relay forwards what it need not change byte for byte, and records each stream", () => {
  const { toServer, toClient, events, finished } = run([["client", CLIENT], ["server", SERVER]]);
  assertEquals(toServer, CLIENT);
  assertEquals(toClient, SERVER);
  assertEquals(finished, null);
  assertEquals(outcomes(events), [["h2:1", "complete"], ["h2:3", "complete"]]);
  assertEquals(
    events.filter(({ streamKey }) => streamKey === "h2:3").map(({ kind }) => kind),
    ["request_headers", "request_body_chunk", "request_trailers", "response_headers", "exchange_completed"],
  );
});

Deno.test("Http2Relay gives the same bytes and events for any cut of what both sides send", () => {
  const whole = run([["client", CLIENT], ["server", SERVER]]);
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 20 }), (sizes) => {
      const cut = (side: Side, bytes: Uint8Array): Step[] => {
        const steps: Step[] = [];
        for (let from = 0, at = 0; from < bytes.length; at++) {
          const size = sizes[at % sizes.length]!;
          steps.push([side, bytes.slice(from, from + size)]);
          from += size;
        }
        return steps;
      };
      assertEquals(run([...cut("client", CLIENT), ...cut("server", SERVER)]), whole);
    }),
  );
});

Deno.test("Http2Relay is total: mutated octets never throw and never end a flow twice", () => {
  fc.assert(
    fc.property(
      fc.nat(CLIENT.length - 1),
      fc.nat(SERVER.length - 1),
      fc.nat(255),
      fc.nat(255),
      (clientAt, serverAt, clientOctet, serverOctet) => {
        const client = CLIENT.slice();
        client[clientAt] = clientOctet;
        const server = SERVER.slice();
        server[serverAt] = serverOctet;
        run([["client", client], ["server", server], ["client", request(5)], [
          "server",
          response(5, 200, true),
        ]]);
      },
    ),
    { numRuns: 2000 },
  );
});

/** What a receiver understands of the relay's output, with a decoder of its own. */
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
    if (event.type !== "frame") continue;
    const { frame } = event;
    if (frame.type === "rst_stream") said.push(`rst ${frame.streamId} ${frame.errorCode}`);
    if (frame.type === "goaway") said.push(`goaway ${frame.errorCode}`);
    if (frame.type !== "headers") continue;
    const decoded = decoder.decode(frame.fragment, frame.streamId);
    if (decoded.type === "error") throw new Error(JSON.stringify(decoded));
    const path = decoded.fields.find(({ field }) => field[0] === ":path" || field[0] === "x")!;
    said.push(`headers ${frame.streamId} ${path.field[1].slice(0, 20)}`);
  }
}

Deno.test("a header list over the limit costs its stream alone, and HPACK stays in step after it", () => {
  // Literals with incremental indexing: :path /one into the table, then a list too large, then index 62 again.
  const indexed = (path: string) => join(Uint8Array.of(0x44, path.length), text(path));
  const head = join(Uint8Array.of(0x82, 0x87), join(Uint8Array.of(0x41, 6), text("a.test")));
  const first = encodeHeaders(1, join(head, indexed("/one")), { endStream: true });
  const big = join(Uint8Array.of(0x82, 0x87), indexed("/two"), block({ x: "y".repeat(5000) }));
  const tooLarge = encodeHeaders(3, big, { endStream: true });
  // 62 is now /two, 63 /one, 64 the authority.
  const after = encodeHeaders(5, Uint8Array.of(0x82, 0x87, 0x80 | 64, 0x80 | 63), { endStream: true });
  const { toServer, toClient, events, finished } = run([
    ["server", encodeSettings([])],
    ["client", join(CLIENT_PREFACE, encodeSettings([]), first, tooLarge, after)],
  ]);
  assertEquals(finished, null);
  assertEquals(understood(toServer, "client"), ["headers 1 /one", "headers 5 /one"]);
  assertEquals(understood(toClient, "server"), ["rst 3 11"]);
  assertEquals(outcomes(events), [["h2:3", "limit"]]);
});

Deno.test("a client that resets every stream at once is calmed within its budget", () => {
  const steps: Step[] = [
    ["server", encodeSettings([])],
    ["client", join(CLIENT_PREFACE, encodeSettings([]))],
  ];
  const streams = FLOODS.maxResets + 10;
  for (let i = 0; i < streams; i++) {
    steps.push(["client", join(request(2 * i + 1), encodeRstStream(2 * i + 1, "CANCEL"))]);
  }
  const { finished, events, toClient } = run(steps);
  assertEquals(finished, "limit_exceeded");
  assertEquals(outcomes(events).length, FLOODS.maxResets + 1);
  assertEquals(understood(toClient, "server"), ["goaway 11"]);
});

Deno.test("a malformed response resets its stream towards both sides, and other streams go on", () => {
  const malformed = encodeHeaders(1, block({ ":status": "200", Upper: "x" }), { endStream: true });
  const { toServer, toClient, events, finished } = run([
    ["client", join(CLIENT_PREFACE, encodeSettings([]), request(1), request(3))],
    ["server", join(encodeSettings([]), malformed, response(3, 200, true))],
  ]);
  assertEquals(finished, null);
  assert(understood(toServer, "client").includes("rst 1 1"));
  assertEquals(outcomes(events), [["h2:1", "protocol_error"], ["h2:3", "complete"]]);
  assert(toClient.length > 0);
});

Deno.test("content shorter than declared ends its stream, and no window is invented for an empty frame", () => {
  const post = request(1, { ":method": "POST", "content-length": "5" }, false);
  const { toClient, events, finished } = run([
    ["server", encodeSettings([])],
    ["client", join(CLIENT_PREFACE, encodeSettings([]), post, encodeData(1, text("abc"), false))],
    ["client", encodeData(1, new Uint8Array(0), true)],
  ]);
  assertEquals(finished, null);
  assertEquals(outcomes(events), [["h2:1", "protocol_error"]]);
  assertEquals(toClient, join(encodeSettings([]), encodeRstStream(1, "PROTOCOL_ERROR")));
});

Deno.test("a frame of the proxy's own waits until the frame that is half-sent is whole", () => {
  const data = encodeData(1, text("0123456789"), false);
  const malformed = encodeHeaders(3, block({ ":method": "GET", Upper: "x" }), { endStream: true });
  const { toClient, toServer, finished } = run([
    ["client", join(CLIENT_PREFACE, encodeSettings([]), request(1))],
    ["server", join(encodeSettings([]), response(1, 200, false), data.subarray(0, 12))],
    ["client", malformed],
    ["server", join(data.subarray(12), encodeData(1, text("!"), true))],
  ]);
  assertEquals(finished, null);
  assertEquals(
    toClient,
    join(
      encodeSettings([]),
      response(1, 200, false),
      data,
      encodeRstStream(3, "PROTOCOL_ERROR"),
      encodeData(1, text("!"), true),
    ),
  );
  assertEquals(understood(toServer, "client"), ["headers 1 /"]);
});

Deno.test("a frame with more content than declared is withheld whole, however it is cut", () => {
  const post = request(1, { ":method": "POST", "content-length": "5" }, false);
  const over = encodeData(1, text("too much"), false);
  const opening: Step[] = [
    ["server", encodeSettings([])],
    ["client", join(CLIENT_PREFACE, encodeSettings([]), post)],
  ];
  const whole = run([...opening, ["client", over]]);
  assertEquals(
    whole.toServer,
    join(CLIENT_PREFACE, encodeSettings([]), post, encodeRstStream(1, "PROTOCOL_ERROR")),
  );
  assertEquals(
    whole.toClient,
    join(encodeSettings([]), encodeRstStream(1, "PROTOCOL_ERROR"), encodeWindowUpdate(0, 8)),
  );
  for (let cut = 1; cut < over.length; cut++) {
    assertEquals(run([...opening, ["client", over.slice(0, cut)], ["client", over.slice(cut)]]), whole);
  }
});

Deno.test("a response that ends inside the last frame of its request does not cut the request off in the log", () => {
  const last = encodeData(1, text("0123456789"), true);
  const { events } = run([
    ["client", join(CLIENT_PREFACE, encodeSettings([]), request(1, { ":method": "POST" }, false))],
    ["client", last.subarray(0, 12)],
    ["server", join(encodeSettings([]), response(1, 200, true))],
    ["client", last.subarray(12)],
  ]);
  const completed = events.find(({ kind }) => kind === "exchange_completed")!;
  assertEquals([completed["outcome"], completed["request_body_bytes"]], ["complete", 10]);
});

Deno.test("a client that leaves once it has all that was promised has its exchange complete, one before it has not", () => {
  const promising = encodeHeaders(1, block({ ":status": "200", "content-length": "3" }), {
    endStream: false,
  });
  const cases = [["ab", "client_aborted", "client_reset"], ["abc", "complete", "complete"]] as const;
  for (const [content, outcome, reason] of cases) {
    const opening: Step[] = [
      ["client", join(CLIENT_PREFACE, encodeSettings([]), request(1))],
      ["server", join(encodeSettings([]), promising, encodeData(1, text(content), false))],
    ];
    const reset = encodeRstStream(1, "STREAM_CLOSED");
    const left = run([...opening, ["client", reset], ["server", encodeData(1, new Uint8Array(0), true)]]);
    assertEquals(outcomes(left.events), [["h2:1", outcome]]);
    assertEquals(left.toServer, join(CLIENT_PREFACE, encodeSettings([]), request(1), reset));
    assertEquals(left.finished, null);
    const ended = run([...opening, ["client", "ended"]]);
    assertEquals([outcomes(ended.events), ended.finished], [[["h2:1", outcome]], reason]);
    const failed = run([...opening, ["client", "failed"]]);
    assertEquals([outcomes(failed.events), failed.finished], [[["h2:1", outcome]], "client_reset"]);
  }
});

Deno.test("GOAWAY for a stop waits for the server's SETTINGS, and has the proxy's own before it where they never come", () => {
  const opening = join(CLIENT_PREFACE, encodeSettings([]), request(1));
  const late = run([["client", opening], ["client", "drain"], [
    "server",
    join(encodeSettings([]), response(1, 204, true)),
  ]]);
  assertEquals(
    late.toClient,
    join(encodeSettings([]), encodeGoaway(1, "NO_ERROR"), response(1, 204, true)),
  );
  assertEquals(late.finished, "shutdown");
  const never = run([["client", join(CLIENT_PREFACE, encodeSettings([]))], ["client", "drain"]]);
  assertEquals(never.toClient, join(encodeSettings([]), encodeGoaway(0, "NO_ERROR")));
});
