import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { opposite } from "../../src/core/side.ts";
import { encodeHeaders } from "../../src/http2/frame_writer.ts";
import { cutInto, latin1 } from "../support/golden.ts";
import { frame, join, T } from "./frame_builder.ts";
import { RelayWorld } from "./relay_world.ts";

const STRICT = { strictHeaders: true };
const TOLERANT = { strictHeaders: false };
/** GET https / a.test, of the static table but for the authority. */
const REQUEST = "\x82\x87\x84\x41\x06a.test";

/** A literal with a new name. */
function field(name: string, value: string): string {
  return `\x40${String.fromCharCode(name.length)}${name}${String.fromCharCode(value.length)}${value}`;
}

function headers(streamId: number, block: string, endStream = true): Uint8Array {
  return encodeHeaders(streamId, latin1(block), { endStream });
}

function toleratedIn({ events }: RelayWorld, kind: string): unknown[] {
  return events.filter((event) => event.kind === kind).map((event) => event["tolerated"]);
}

/** A request and a response with white space around values, connection fields in the response, and trailers. */
const FROM_CLIENT = join(headers(1, REQUEST + field("x-a", " a\t") + field("x-b", "b")), headers(3, REQUEST));
const FROM_SERVER = join(
  headers(1, "\x88" + field("x-c", " ") + field("connection", "keep-alive") + field("upgrade", "h2c"), false),
  frame(T.DATA, 0, 1, []),
  headers(1, field("x-d", "d ")),
  headers(3, "\x88"),
);

Deno.test("Http2Relay lets white space around values and a response's connection fields through where it is told to", () => {
  const world = new RelayWorld(TOLERANT).client(FROM_CLIENT).server(FROM_SERVER);
  assertEquals([world.sent("server"), world.sent("client")], [FROM_CLIENT, FROM_SERVER]);
  assertEquals(toleratedIn(world, "request_headers"), [["invalid_field_value"], undefined]);
  assertEquals(toleratedIn(world, "response_headers"), [
    ["invalid_field_value", "connection_specific_field"],
    undefined,
  ]);
  assertEquals(toleratedIn(world, "response_trailers"), [["invalid_field_value"]]);
  assertEquals(world.outcomes(), [["h2:1", "complete"], ["h2:3", "complete"]]);
  const [first] = world.events.filter(({ kind }) => kind === "request_headers");
  assertEquals(first!["headers"], [["x-a", " a\t"], ["x-b", "b"]]);
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 120 }), (size) => {
      const cut = new RelayWorld(TOLERANT);
      for (const piece of cutInto(FROM_CLIENT, size)) cut.client(piece);
      for (const piece of cutInto(FROM_SERVER, size)) cut.server(piece);
      assertEquals(cut.events, world.events);
    }),
    { numRuns: 30 },
  );
});

Deno.test("Http2Relay resets the stream alone where it is not told to", () => {
  const world = new RelayWorld(STRICT).client(FROM_CLIENT).server(headers(3, "\x88"));
  assertEquals(world.outcomes(), [["h2:1", "protocol_error", "invalid_field_value"], ["h2:3", "complete"]]);
  const response = new RelayWorld(STRICT).client(headers(1, REQUEST))
    .server(headers(1, "\x88" + field("connection", "close")));
  assertEquals(response.outcomes(), [["h2:1", "protocol_error", "connection_specific_field"]]);
});

Deno.test("Http2Relay never lets through what another version of HTTP takes for framing, or no version takes", () => {
  const cases: [by: "client" | "server", block: string, code: string][] = [
    ["client", field("x", "a\nb"), "invalid_field_value"],
    ["client", field("x", "a\r"), "invalid_field_value"],
    ["client", field("x", " \0"), "invalid_field_value"],
    ["client", field("content-length", " 5"), "invalid_field_value"],
    ["client", field("expect", " 100-continue"), "invalid_field_value"],
    ["client", field("te", "trailers "), "invalid_field_value"],
    ["client", field("host", " a.test"), "invalid_field_value"],
    ["client", field("connection", "keep-alive"), "connection_specific_field"],
    ["client", field("transfer-encoding", "chunked"), "connection_specific_field"],
    ["server", field("transfer-encoding", "chunked"), "connection_specific_field"],
    ["server", field("connection", " close"), "invalid_field_value"],
    ["server", field("content-length", "5 "), "invalid_field_value"],
    ["server", field("x y", "a"), "invalid_field_name"],
    ["server", field("X", "a"), "invalid_field_name"],
  ];
  for (const [by, block, code] of cases) {
    const world = new RelayWorld(TOLERANT);
    if (by === "client") world.client(headers(1, REQUEST + block));
    else world.client(headers(1, REQUEST)).server(headers(1, "\x88" + block));
    assertEquals(world.outcomes(), [["h2:1", "protocol_error", code]], JSON.stringify(block));
    assertEquals(
      world.told(opposite(by)).filter((said) => said.includes("x=") || said.includes("coding")),
      [],
    );
  }
  const pseudo = new RelayWorld(TOLERANT).client(headers(1, "\x82\x87\x84\x41\x07a.test "));
  assertEquals(pseudo.outcomes(), [["h2:1", "protocol_error", "invalid_field_value"]]);
  const trailers = new RelayWorld(TOLERANT).client(headers(1, REQUEST))
    .server(headers(1, "\x88", false), headers(1, field("connection", "close")));
  assertEquals(trailers.outcomes(), [["h2:1", "protocol_error", "connection_specific_field"]]);
});
