import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { encodeData, encodeHeaders } from "../../src/http2/frame_writer.ts";
import { latin1 } from "../support/golden.ts";
import { frame, join, T } from "./frame_builder.ts";
import { RelayWorld, text } from "./relay_world.ts";

const ALTSVC = 0xa;
/** GET https / a.test, of the static table but for the authority. */
const REQUEST = latin1("\x82\x87\x84\x41\x06a.test");
/** 200, and two fields that enter the table. */
const FIRST = latin1("\x88\x40\x07alt-svc\x04h3=1\x40\x03x-a\x011");
/** 204, and the same two out of the table, the latest first. */
const SECOND = latin1("\x89\xbe\xbf");

/** What the server says: two responses, an ALTSVC frame on a stream and one on the connection, trailers. */
const SERVER = join(
  encodeHeaders(1, FIRST, { endStream: false }),
  frame(ALTSVC, 0, 1, text("\0\0h3=2")),
  encodeData(1, text("hello"), true),
  frame(ALTSVC, 0, 0, text("\0\x06a.testh3=3")),
  frame(0xb, 0, 0, text("of another extension")),
  encodeHeaders(3, SECOND, { endStream: true }),
  frame(ALTSVC, 0, 5, text("\0\0h3=4")),
  frame(T.HEADERS, 4, 5, [0x88]),
  // Trailers, as they are sent: the field alone.
  frame(T.HEADERS, 5, 5, [0xbf]),
);

function world(stripsAltSvc: boolean): RelayWorld {
  const requests = [1, 3, 5].map((streamId) => encodeHeaders(streamId, REQUEST, { endStream: true }));
  return new RelayWorld({ stripsAltSvc }).client(...requests);
}

Deno.test("Http2Relay keeps Alt-Svc from the client where it is told to, and the client's table whole", () => {
  const played = world(true).server(SERVER);
  assertEquals(played.told("client"), [
    "HEADERS 1 :status=200 x-a=1",
    "DATA 1 5",
    "type 0x0b 0 20",
    "HEADERS 3 :status=204 x-a=1",
    "HEADERS 5 :status=200",
    "HEADERS 5 ",
  ]);
  const completed = played.events.filter(({ kind }) => kind === "exchange_completed");
  assertEquals(completed.map(({ outcome, stripped }) => [outcome, stripped]), [
    ["complete", ["alt-svc"]],
    ["complete", ["alt-svc"]],
    ["complete", ["alt-svc"]],
  ]);
  // The log has what came.
  const [first] = played.events.filter(({ kind }) => kind === "response_headers");
  assertEquals(first!["headers"], [["alt-svc", "h3=1"], ["x-a", "1"]]);
});

Deno.test("Http2Relay says the same without Alt-Svc however what comes is cut", () => {
  const whole = world(true).server(SERVER);
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 20 }), (sizes) => {
      const cut = world(true);
      for (let at = 0, index = 0; at < SERVER.length; index++) {
        const size = sizes[index % sizes.length]!;
        cut.server(SERVER.subarray(at, at + size));
        at += size;
      }
      assertEquals(cut.sent("client"), whole.sent("client"));
      assertEquals(cut.events, whole.events);
    }),
  );
});

Deno.test("Http2Relay passes Alt-Svc on, octet by octet, where nothing else is said", () => {
  assertEquals(world(false).server(SERVER).sent("client"), SERVER);
});
