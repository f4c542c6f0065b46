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
    turns.paused(now);
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

Deno.test("Turns are silent since the last data, in the middle of a frame too, and control frames are no words", () => {
  const told = play((turns) => {
    turns.control("client");
    turns.frameBegan("client", 1);
    turns.paused(1);
    turns.dataPassed("client", 3, 2);
    turns.paused(2);
    turns.control("server");
    turns.flush("idle_timeout");
    turns.control("server");
    turns.paused(9);
    turns.flush("eof");
  });
  assertEquals(told, ["1 by client", "silent 1", "silent 2", "heard", "1 idle_timeout 1/3/0 0/0/1 1-2"]);
});

Deno.test("Turns start with what goes on of a frame whose turn was over; the frame counts where it began", () => {
  const told = play((turns) => {
    turns.frameBegan("client", 1);
    turns.dataPassed("client", 3, 2);
    turns.flush("idle_timeout");
    turns.dataComes("client", 10);
    turns.dataPassed("client", 4, 10);
    turns.frameBegan("server", 11);
    turns.dataPassed("server", 5, 11);
    turns.frameBegan("client", 12);
    turns.end("eof");
    turns.dataPassed("client", 1, 13);
  });
  assertEquals(told.filter((line) => !/silent|heard/.test(line)), [
    "1 by client",
    "1 idle_timeout 1/3/0 0/0/0 1-2",
    "2 by client",
    "2 rollover 0/4/0 1/5/0 10-11",
    "3 by client",
    "3 eof 1/0/0 0/0/0 12-12",
  ]);
});

Deno.test("Turns do not begin after the end", () => {
  const told = play((turns, frame) => {
    turns.end("close_frame");
    frame("server", 1);
    turns.end("error");
  });
  assertEquals(told, []);
});
