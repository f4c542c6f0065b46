import { assertEquals } from "@std/assert";
import type { Side } from "../../../src/core/side.ts";
import { type FlushReason, Turns } from "../../../src/observe/websocket/turns.ts";

function play(script: (turns: Turns, frame: (side: Side, now: number) => void) => void): string[] {
  const told: string[] = [];
  const turns = new Turns({
    started: ({ id, initiator }) => told.push(`${id} by ${initiator}`),
    completed: ({ id, counts: { client, server }, startedAt, lastAt }, reason: FlushReason) =>
      told.push(
        `${id} ${reason} ${client.frames}/${client.bytes}/${client.controlFrames} ` +
          `${server.frames}/${server.bytes}/${server.controlFrames} ${startedAt}-${lastAt}`,
      ),
    silent: (since) => told.push(since === null ? "heard" : `silent ${since}`),
  });
  script(turns, (side, now) => {
    turns.frameBegan(side, now);
    turns.dataPassed(side, 10, now);
    turns.frameEnded(now);
  });
  return told;
}

Deno.test("Turns roll over when the side that began speaks again after the other has", () => {
  const told = play((turns, frame) => {
    frame("server", 1);
    frame("server", 2);
    frame("client", 3);
    turns.control("client");
    frame("client", 4);
    frame("server", 5);
    turns.end("eof");
  });
  assertEquals(told.filter((line) => !/silent|heard/.test(line)), [
    "1 by server",
    "1 rollover 2/20/1 2/20/0 1-4",
    "2 by server",
    "2 eof 0/0/0 1/10/0 5-5",
  ]);
});

Deno.test("Turns are silent only between frames, and control frames are no words", () => {
  const told = play((turns) => {
    turns.control("client");
    turns.frameBegan("client", 1);
    turns.frameBegan("server", 2);
    turns.frameEnded(3);
    turns.control("server");
    turns.frameEnded(4);
    turns.flush("idle_timeout");
    turns.control("server");
    turns.flush("eof");
  });
  assertEquals(told, ["1 by client", "heard", "silent 4", "heard", "1 idle_timeout 1/0/0 1/0/1 1-2"]);
});

Deno.test("Turns do not begin after the end", () => {
  const told = play((turns, frame) => {
    turns.end("close_frame");
    frame("server", 1);
    turns.end("error");
  });
  assertEquals(told, []);
});
