import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import type { FlowEvent, LoggedEvent } from "../../src/core/event.ts";
import { payloadAttributes } from "../../src/log/payload.ts";
import { TextSearch } from "../../src/log/search.ts";
import {
  chunk,
  closed,
  completed,
  flowEvent,
  LogBuilder,
  requestHeaders,
  responseHeaders,
  trailers,
  webSocketMessage,
} from "./log_builder.ts";

function finds(text: string, ...events: FlowEvent[]): boolean {
  const search = new TextSearch(text);
  feed(search, events);
  return search.found("1-1", 1);
}

function feed(search: TextSearch, events: readonly FlowEvent[]): void {
  const log = new LogBuilder().open();
  for (const line of log.add(log.flow(1), ...events).lines.slice(1)) {
    search.event(JSON.parse(line) as LoggedEvent);
  }
}

Deno.test("TextSearch looks into request lines, fields, trailers, bodies and messages", () => {
  const request = requestHeaders(1, { headers: [["X-Name", "caf\u00c3\u00a9"]] });
  assert(finds("GET /v1/items", request));
  assert(finds("X-Name: café", request), "fields have octets for characters");
  assert(!finds("x-name: caf", request), "case counts");
  assert(finds("Server: nginx", requestHeaders(1), responseHeaders(1, 200)));
  assert(finds("X-Sum: 1", trailers("response", 1)));
  assert(finds("needle", chunk("request", 1, 0, 20, { data: "hay needle hay" })));
  assert(finds("needle", webSocketMessage(1, 0, { data: "a needle" })));
  assert(
    finds("needle", flowEvent("ws_control", { exchange_id: 1, data_base64: btoa("\xffneedle") }, "h1:1")),
  );
  const decoded = flowEvent("grpc_message", { exchange_id: 1, value: { a: ["needle"] } }, "h1:1");
  assert(finds("needle", decoded));
  assert(!finds("needle", requestHeaders(1), responseHeaders(1, 200), chunk("response", 1, 0, 16384)));
});

Deno.test("TextSearch finds a text wherever the spans of a body part it, also within a character", () => {
  const body = new TextEncoder().encode("näh — 'äöü€😀' — näh");
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: body.length - 1 }), { maxLength: 5 }), (cuts) => {
      const ends = [...new Set(cuts)].sort((a, b) => a - b);
      const events = [...ends, body.length].map((end, index) => {
        const part = body.subarray(index === 0 ? 0 : ends[index - 1], end);
        return chunk("response", 1, 0, part.length, payloadAttributes(part));
      });
      assert(finds("'äöü€😀'", ...events));
      assert(!finds("äöü€ 😀", ...events));
    }),
  );
});

Deno.test("TextSearch keeps the directions of an exchange apart, and exchanges too", () => {
  const halves = [
    chunk("request", 1, 0, 3, { data: "nee" }),
    chunk("response", 1, 0, 3, { data: "dle" }),
    chunk("request", 2, 0, 3, { data: "dle" }),
  ];
  assert(!finds("needle", ...halves));
  const search = new TextSearch("dle");
  feed(search, halves.slice(2));
  assertEquals([search.found("1-1", 1), search.found("1-1", 2)], [false, true]);
  search.forget("1-1", 2);
  assertEquals(search.found("1-1", 2), false);
  feed(search, [...halves, completed(1), closed()]);
  assertEquals(search.found("1-1", 1), false, "the flow is over");
});
