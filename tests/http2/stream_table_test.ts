import { assertEquals } from "@std/assert";
import { ExchangeRecorder } from "../../src/http/exchange_recorder.ts";
import { NO_OBSERVATION } from "../../src/http/observation.ts";
import { MessageOrder } from "../../src/http2/message_order.ts";
import type { StreamState } from "../../src/http2/stream_state.ts";
import { type Stream, StreamTable } from "../../src/http2/stream_table.ts";

function stream(id: number, state: StreamState): Stream {
  return {
    id,
    state,
    method: "GET",
    recorder: new ExchangeRecorder(id, {
      protocol: "http2",
      streamKey: `h2:${id}`,
      capture: { bodyBytes: 0, redactHeaders: new Set() },
      observation: NO_OBSERVATION,
      record: () => {},
      now: 0,
    }),
    order: { client: new MessageOrder("client", id), server: new MessageOrder("server", id) },
    known: true,
    progressAt: 0,
    granted: { client: 0, server: 0 },
  };
}

Deno.test("StreamTable knows open streams, the last closed ones, and of others whether they were opened", () => {
  const table = new StreamTable();
  assertEquals(table.stateOf(1), "idle");
  for (let id = 1; id <= 2 * 300; id += 2) {
    table.numbers.open("client", id);
    table.add(stream(id, "open"));
  }
  assertEquals([table.size, table.stateOf(1), table.stateOf(601)], [300, "open", "idle"]);
  table.setState(1, "client_ended");
  assertEquals(table.get(1)?.state, "client_ended");
  table.setState(1, "ended");
  for (const each of [...table.open()]) table.close(each);
  assertEquals([table.size, table.stateOf(599)], [0, "ended"], "an open stream that is cut off has ended");
  assertEquals([2 * (300 - 256) - 1, 2 * (300 - 256) + 1].map((id) => table.stateOf(id)), [
    "forgotten",
    "ended",
  ]);
  table.setState(599, "reset_by_server");
  assertEquals(table.stateOf(599), "reset_by_server");
});

Deno.test("StreamTable remembers 1,024 streams that the proxy reset, beside the others", () => {
  const table = new StreamTable();
  for (let id = 1; id <= 2 * 1025; id += 2) {
    table.numbers.open("client", id);
    if (id > 1025) table.resetByProxy(id);
    else table.close(stream(id, "reset_by_proxy"));
  }
  assertEquals([1, 3, 1025, 2049].map((id) => table.stateOf(id)), [
    "forgotten",
    "reset_by_proxy",
    "reset_by_proxy",
    "reset_by_proxy",
  ]);
});
