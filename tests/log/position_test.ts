import { assert, assertEquals } from "@std/assert";
import { instantAfter, parseFlowId, positionAfter } from "../../src/log/position.ts";
import { goodLog, LogBuilder } from "./log_builder.ts";

Deno.test("positionAfter reads where a log stands from a header and from an event", () => {
  const log = new LogBuilder().open();
  assertEquals(positionAfter(log.lines[0]!), { opening: 1, sequenceId: 0, timeNs: 0 });
  const last = goodLog().lines.at(-1)!;
  const { sequence_id, time_ns } = JSON.parse(last);
  assertEquals(positionAfter(last), { opening: 2, sequenceId: sequence_id, timeNs: time_ns });
});

Deno.test("positionAfter refuses what is no line of a log", () => {
  const event = goodLog().lines[1]!;
  for (
    const line of [
      "",
      "null",
      "\0\0\0",
      event.slice(0, -5),
      event.replace("log-v2", "log-v1"),
      event.replace('"flow_id":"1-1"', '"flow_id":"1"'),
      event.replace('"sequence_id":1,', '"sequence_id":1.5,'),
      event.replace(/"time_ns":\d+/, '"time_ns":-1'),
    ]
  ) assertEquals(positionAfter(line), null, line);
});

Deno.test("parseFlowId takes OPENING-NUMBER without signs or leading zeros", () => {
  assertEquals(parseFlowId("2-17"), { opening: 2, flow: 17 });
  for (const id of ["17", "0-1", "1-0", "1-01", "-1-1", "1-1 ", "1--1", "", 7, null]) {
    assertEquals(parseFlowId(id), null, String(id));
  }
});

Deno.test("instantAfter is later also where doubles are further apart than one", () => {
  for (const instant of [0, 1, 2 ** 53 - 1, 2 ** 53, 2 ** 54 + 4, 2 ** 60]) {
    const after = instantAfter(instant);
    assert(after > instant && Number.isInteger(after), String(instant));
  }
  assertEquals(instantAfter(41), 42);
});
