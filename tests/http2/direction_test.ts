import { assertEquals } from "@std/assert";
import { Direction } from "../../src/http2/direction.ts";
import type { FrameEvent, FramePiece } from "../../src/http2/frame_reader.ts";
import {
  encodeData,
  encodeRstStream,
  encodeSettings,
  encodeWindowUpdate,
} from "../../src/http2/frame_writer.ts";
import { join } from "./frame_builder.ts";
import { LIMITS } from "./limits.ts";
import { text } from "./relay_world.ts";

function server() {
  const sent: Uint8Array[] = [];
  const direction = new Direction("server", LIMITS, (data) => sent.push(data.slice()));
  return {
    direction,
    sent: () => {
      direction.flush();
      return join(...sent);
    },
  };
}

function pieces(direction: Direction, data: Uint8Array): FramePiece[] {
  const found: FramePiece[] = [];
  for (let offset = 0;;) {
    const event: FrameEvent = direction.reader.read(data, offset);
    if (event.type === "more") return found;
    if (event.type !== "frame" && event.type !== "piece") throw new Error(JSON.stringify(event));
    offset = event.next;
    if (event.type === "piece") found.push(event);
  }
}

Deno.test("Direction lets frames of the proxy's own wait for the end of one that is half-sent, window as one sum", () => {
  const { direction, sent } = server();
  const settings = encodeSettings([]);
  pieces(direction, settings);
  direction.forwardSettings(settings);
  const data = encodeData(1, text("twelve octets"), false);
  const [half] = pieces(direction, data.subarray(0, 12));
  direction.forwardPiece(half!);
  direction.add(encodeRstStream(3, "CANCEL"));
  for (let count = 0; count < 1000; count++) direction.addWindow(5);
  assertEquals(direction.heldBytes, 13, "what waits is counted, and a thousand increments are one number");
  assertEquals(sent(), join(settings, data.subarray(0, 12)));
  const [rest] = pieces(direction, data.subarray(12));
  direction.forwardPiece(rest!);
  assertEquals(sent(), join(settings, data, encodeRstStream(3, "CANCEL"), encodeWindowUpdate(0, 5000)));
  direction.addWindow(7);
  direction.addWindow(0);
  assertEquals(sent().slice(-13), encodeWindowUpdate(0, 7));
  assertEquals(direction.heldBytes, 0);
});

Deno.test("Direction adds nothing before SETTINGS, the sender's or, to tell of an error, its own", () => {
  for (const own of [false, true]) {
    const { direction, sent } = server();
    direction.add(encodeRstStream(1, "PROTOCOL_ERROR"));
    direction.addWindow(9);
    assertEquals([sent().length, direction.heldBytes, direction.unfinishedBytes], [0, 13, 0]);
    const settings = encodeSettings(own ? [] : [[4, 100_000]]);
    if (own) direction.greet();
    else direction.forwardSettings(settings);
    direction.greet();
    assertEquals(
      sent(),
      join(settings, encodeRstStream(1, "PROTOCOL_ERROR"), encodeWindowUpdate(0, 9)),
    );
  }
});
