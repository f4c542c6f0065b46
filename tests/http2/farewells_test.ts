import { assertEquals } from "@std/assert";
import { type ErrorCodeName, errorCodeNumber } from "../../src/http2/errors.ts";
import { Farewells } from "../../src/http2/farewells.ts";
import { encodeGoaway } from "../../src/http2/frame_writer.ts";
import type { GoawayFrame } from "../../src/http2/frames.ts";
import { text } from "./relay_world.ts";

function goaway(lastStreamId: number, code: ErrorCodeName, debug = ""): [GoawayFrame, Uint8Array] {
  const frame: GoawayFrame = {
    type: "goaway",
    lastStreamId,
    errorCode: errorCodeNumber(code),
    debugData: text(debug),
  };
  return [frame, encodeGoaway(lastStreamId, code, debug)];
}

Deno.test("Farewells gives up the streams that the other side began above the last one it names", () => {
  const farewells = new Farewells();
  assertEquals(farewells.refusalOf(1), null);
  farewells.said("server", ...goaway(0x7fff_ffff, "NO_ERROR"));
  assertEquals(farewells.refusalOf(99), null, "a first, general notice");
  farewells.said("server", ...goaway(5, "NO_ERROR", "restart"));
  const detail = 'GOAWAY from the server: NO_ERROR: "restart"';
  assertEquals([5, 7, 8].map((id) => farewells.refusalOf(id)), [
    null,
    { by: "server", code: "NO_ERROR", detail },
    null,
  ]);
  farewells.said("client", ...goaway(0, "NO_ERROR"));
  assertEquals(farewells.refusalOf(8)?.by, "client");
});

Deno.test("Farewells has a complaint where the code blames somebody, its text short and on one line", () => {
  const farewells = new Farewells();
  for (const code of ["NO_ERROR", "CANCEL", "REFUSED_STREAM", "STREAM_CLOSED"] as const) {
    farewells.said("server", ...goaway(0, code));
    assertEquals(farewells.complaintOf("server"), null);
  }
  farewells.said("server", ...goaway(0, "PROTOCOL_ERROR", "a\nb" + "x".repeat(10_000)));
  const complaint = farewells.complaintOf("server") ?? "";
  assertEquals(complaint.startsWith('GOAWAY from the server: PROTOCOL_ERROR: "a\\x0abx'), true);
  assertEquals(complaint.length < 150, true);
  assertEquals(farewells.complaintOf("client"), null);
});

Deno.test("Farewells lets no GOAWAY name a higher stream than the proxy has, and the proxy none above the side's own", () => {
  const farewells = new Farewells();
  const general = goaway(0x7fff_ffff, "NO_ERROR", "soon");
  assertEquals(farewells.said("server", ...general), general[1]);
  assertEquals([farewells.lastStreamFor("server", 9), farewells.lastStreamFor("server", 11)], [9, 9]);
  assertEquals(farewells.said("server", ...general), encodeGoaway(9, "NO_ERROR", "soon"));
  const lower = goaway(5, "NO_ERROR");
  assertEquals(farewells.said("server", ...lower), lower[1]);
  assertEquals(farewells.lastStreamFor("server", 11), 5);
  assertEquals(farewells.lastStreamFor("client", 8), 8, "each side has its own");
});
