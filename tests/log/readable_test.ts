import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import type { Attributes, FlowEvent, LoggedEvent } from "../../src/core/event.ts";
import { formatBytes, formatDuration, ReadableLines } from "../../src/log/readable.ts";
import {
  chunk,
  closed,
  completed,
  decision,
  flowEvent,
  goodLog,
  LogBuilder,
  received,
  requestHeaders,
  responseHeaders,
} from "./log_builder.ts";

function show(lines: readonly string[], colour = false): string[] {
  const readable = new ReadableLines({ colour });
  const shown: string[] = [];
  for (const line of lines) {
    const event = JSON.parse(line);
    if (event.kind !== "log_opened") {
      const text = readable.event(event as LoggedEvent);
      if (text !== null) shown.push(text);
    }
  }
  return shown;
}

function showFlow(...events: FlowEvent[]): string[] {
  const log = new LogBuilder().open();
  return show(log.add(log.flow(1), ...events).lines);
}

Deno.test("ReadableLines gives one aligned line for each exchange and for each flow without one", () => {
  assertEquals(show(goodLog().lines), [
    "0.000s  CONNECT    -   2.0 KiB    3.0 s  api.example.com:443  (blocked: rule r1)",
    "0.000s  gRPC     200    32 KiB   2.5 ms  https://api.example.com/v1/items?x=1  (sent 16 KiB: grpc 0 OK)",
    "0.000s  GET      204       0 B   2.5 ms  https://api.example.com/v1/items?x=1",
    "0.000s  ?        400*      0 B   2.5 ms  api.example.com:443  (protocol_error)",
    "0.000s  HTTP/3     -   2.0 KiB    3.0 s  [::1]:443  (sent 500 B)",
    "0.000s  CONNECT    -   2.0 KiB    3.0 s  -  (connect_parse_failed)",
    "0.000s  GET      101       0 B   2.5 ms  http://api.example.com/a",
    "0.000s  GET      403*      0 B   2.5 ms  https://api.example.com/v1/items?x=1  (blocked)",
    "0.000s  CONNECT    -   2.0 KiB    3.0 s  api.example.com:443  (tls_handshake_failed: " +
    'policy.ignore_hosts = ["other.example.com"] lets it through)',
  ]);
});

Deno.test("ReadableLines calls a tunnel one and says why a flow or exchange failed", () => {
  const tunnelled = { ...closed("idle_timeout", { reason_detail: "no byte" }), protocol: "tunnel" as const };
  assertEquals(showFlow(received, decision("tunnel"), tunnelled), [
    "0.000s  TUNNEL     -   2.0 KiB    3.0 s  api.example.com:443  (sent 500 B: idle_timeout: no byte)",
  ]);
  assertEquals(
    showFlow(requestHeaders(1), completed(1, { error_detail: "server said no", outcome: "server_aborted" })),
    ["0.000s  GET        -       0 B   2.5 ms  https://api.example.com/v1/items?x=1  (server_aborted: server said no)"],
  );
});

Deno.test("ReadableLines shows a gRPC call as one, with its own status beside that of HTTP", () => {
  const call = (trailers: Attributes) => {
    const of = { direction: "response", exchange_id: 1 };
    return showFlow(
      requestHeaders(1, { method: "POST", target: "/items.Items/Get" }),
      flowEvent("grpc_headers", { ...of, direction: "request" }, "h1:1"),
      responseHeaders(1, 200),
      flowEvent("grpc_headers", of, "h1:1"),
      flowEvent("grpc_trailers", { ...trailers, ...of }, "h1:1"),
      completed(1),
    );
  };
  const line = "0.000s  gRPC     200       0 B   2.5 ms  https://api.example.com/items.Items/Get";
  assertEquals(call({ grpc_status: 0, grpc_status_name: "OK" }), [`${line}  (grpc 0 OK)`]);
  assertEquals(call({ grpc_status: 5, grpc_status_name: "NOT_FOUND", grpc_message: "no item\n7" }), [
    `${line}  (grpc 5 NOT_FOUND: no item\\x0a7)`,
  ]);
  assertEquals(call({ grpc_status: 99, grpc_status_name: null }), [`${line}  (grpc 99)`]);
  assertEquals(call({ grpc_status: null }), [`${line}  (no grpc status)`]);
});

Deno.test("ReadableLines is silent about a connection that said nothing and the end of a flow that was shown", () => {
  assertEquals(showFlow(closed("complete", { bytes_from_client: 0, bytes_from_server: 0 })), []);
  assertEquals(
    showFlow(requestHeaders(1), responseHeaders(1, 200), completed(1), closed("client_reset")).length,
    1,
  );
  assertEquals(showFlow(requestHeaders(1), completed(1), closed("internal_error")).length, 2);
});

Deno.test("ReadableLines paints only when asked to, and the status by its class", () => {
  const lines = (status: number) => {
    const log = new LogBuilder().open();
    return show(
      log.add(log.flow(1), requestHeaders(1), responseHeaders(1, status), completed(1)).lines,
      true,
    )[0]!;
  };
  assert(lines(200).includes("\x1b[32m200\x1b[0m"));
  assert(lines(302).includes("\x1b[36m302\x1b[0m"));
  assert(lines(404).includes("\x1b[33m404\x1b[0m"));
  assert(lines(503).includes("\x1b[31m503\x1b[0m"));
  const own = completed(1, { answer_status: 403, outcome: "blocked" });
  const log = new LogBuilder().open();
  const [blocked] = show(log.add(log.flow(1), requestHeaders(1), own).lines, true);
  assert(blocked!.includes("\x1b[31m403*\x1b[0m"));
  assertEquals(show(goodLog().lines).join("").includes("\x1b"), false);
});

Deno.test("ReadableLines shortens what would fill the screen", () => {
  const [line] = showFlow(requestHeaders(1, { target: "/" + "a".repeat(60_000) }), completed(1));
  assert(line!.length < 700 && line!.endsWith("…"));
});

Deno.test("ReadableLines lets no control character of a log through, and never throws", () => {
  const hostile = fc.oneof(
    fc.array(fc.integer({ min: 0, max: 0x2fff }), { maxLength: 12 }).map((codes) =>
      String.fromCharCode(...codes)
    ),
    fc.constantFrom("\x1b]0;owned\x07", "\r\x1b[2K", "\u009b1A"),
    fc.integer(),
    fc.constant(null),
  );
  const attributes = fc.dictionary(
    fc.constantFrom(
      "exchange_id",
      "method",
      "target",
      "scheme",
      "authority",
      "outcome",
      "reason_code",
      "status",
      "answer_status",
    ),
    hostile,
  );
  const kinds = fc.constantFrom(
    "request_headers" as const,
    "response_headers" as const,
    "exchange_completed" as const,
    "connect_decision" as const,
    "stream_closed" as const,
  );
  const hosts = fc.string({ maxLength: 8 });
  fc.assert(
    fc.property(fc.array(fc.tuple(kinds, attributes, hosts), { maxLength: 12 }), (events) => {
      const readable = new ReadableLines({ colour: false });
      for (const [kind, given, host] of events) {
        const text = readable.event({
          ...envelope,
          kind,
          server_host: host,
          attributes: { ...given, bytes_from_client: 1 },
        });
        // deno-lint-ignore no-control-regex
        assert(text === null || !/[\x00-\x1f\x7f-\x9f]/.test(text), JSON.stringify(text));
      }
    }),
    { numRuns: 300 },
  );
});

Deno.test("formatBytes and formatDuration keep to their columns and round to a larger unit", () => {
  assertEquals([0, 1023, 1024, 10_188, 10_200, 1_048_000, 1_048_570, 5 * 2 ** 30].map(formatBytes), [
    "0 B",
    "1023 B",
    "1.0 KiB",
    "9.9 KiB",
    "10 KiB",
    "1023 KiB",
    "1.0 MiB",
    "5.0 GiB",
  ]);
  assertEquals([0, 9.94e6, 9.95e6, 999.4e6, 999.6e6, 99.4e9, 99.6e9, 6000e9].map(formatDuration), [
    "0.0 ms",
    "9.9 ms",
    "10 ms",
    "999 ms",
    "1.0 s",
    "99.4 s",
    "2 min",
    "2 h",
  ]);
  for (let bytes = 1; bytes < 2 ** 50; bytes = Math.ceil(bytes * 1.37)) {
    assert(formatBytes(bytes).length <= 8);
  }
});

Deno.test("ReadableLines forgets flows and exchanges that ended", () => {
  const readable = new ReadableLines({ colour: false });
  const event = (event: FlowEvent) => readable.event({ ...envelope, ...event, stream_key: event.streamKey });
  event(requestHeaders(1));
  event(chunk("request", 1, 0, 5));
  event(completed(1));
  // A second end of the same exchange finds nothing of the first.
  assert(event(completed(1))!.includes("?"));
  event(closed());
  assert(event(flowEvent("stream_closed", closed("client_reset").attributes))!.includes("client_reset"));
});

const envelope = {
  schema: "soth-mitm-event-log-v2",
  sequence_id: 1,
  flow_id: "1-1",
  flow_sequence_id: 1,
  time_ns: 1,
  protocol: "http1",
  stream_key: "h1:1",
  client_addr: "127.0.0.1:1",
  server_host: "api.example.com",
  server_port: 443,
} as const;
