import { assertEquals } from "@std/assert";
import { LogEntries } from "../../src/log/entries.ts";
import { entryJson } from "../../src/log/entry_json.ts";
import { closed, completed, LogBuilder, received, requestHeaders, responseHeaders } from "./log_builder.ts";

function jsonOf(...events: Parameters<LogBuilder["add"]> extends [unknown, ...infer Rest] ? Rest : never) {
  const log = new LogBuilder().open();
  const entries = new LogEntries();
  const shown = log.add(log.flow(1), ...events).lines.slice(1).flatMap((line) =>
    entries.event(JSON.parse(line)) ?? []
  );
  return shown.map((entry) => entryJson(entry, (timeNs) => `at ${timeNs}`));
}

Deno.test("entryJson says of an exchange what its line says, and both heads", () => {
  const [json] = jsonOf(
    requestHeaders(2),
    responseHeaders(2, 404),
    completed(2, { response_body_bytes: 12 }),
  );
  assertEquals(json, {
    id: "1-1/2",
    flow_id: "1-1",
    exchange_id: 2,
    started: "at 1001",
    start_ns: 1001,
    end_ns: 3003,
    duration_ns: 2_500_000,
    ended: true,
    outcome: "complete",
    failed: false,
    method: "GET",
    url: "https://api.example.com/v1/items?x=1",
    status: 404,
    own_answer: false,
    bytes_sent: 0,
    bytes_received: 12,
    protocols: ["http1"],
    client_addr: "127.0.0.1:50123",
    server_host: "api.example.com",
    server_port: 443,
    notes: [],
    request_headers: [["Host", "api.example.com"]],
    response_headers: [["Server", "nginx"]],
  });
});

Deno.test("entryJson of a flow has neither exchange nor heads, and knows no method of a lost request", () => {
  const [flow] = jsonOf(received, closed("route_failed"));
  assertEquals([flow?.id, flow?.exchange_id, flow?.method, flow?.outcome, "response_headers" in flow!], [
    "1-1",
    null,
    "CONNECT",
    "route_failed",
    false,
  ]);
  const [lost] = jsonOf(completed(1));
  assertEquals([lost?.method, "request_headers" in lost!], [null, false]);
});
