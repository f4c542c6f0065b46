import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import type { Attributes, FlowEvent } from "../../src/core/event.ts";
import { type Invariant, INVARIANTS, LogVerifier, type Verdict } from "../../src/log/verify.ts";
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
  tlsEvents,
  trailers,
  turnCompleted,
  turnStarted,
  webSocketClosed,
  webSocketMessage,
  webSocketOpened,
} from "./log_builder.ts";

function verify(lines: readonly (string | Uint8Array)[]): Verdict {
  const verifier = new LogVerifier();
  lines.forEach((line, index) => {
    const content = typeof line === "string" ? line.replace(/\n$/, "") : line;
    verifier.line(content, { lineNumber: index + 1, byteOffset: index * 1000 });
  });
  return verifier.finish();
}

function assertBroken(
  lines: readonly (string | Uint8Array)[],
  invariant: Invariant,
  lineNumber: number,
): void {
  const { violation } = verify(lines);
  assertEquals(
    violation && [violation.invariant, violation.lineNumber],
    [invariant, lineNumber],
    violation?.detail,
  );
  assertEquals(violation!.byteOffset, (lineNumber - 1) * 1000);
}

/** A flow's events after `connect_received` and the decision to intercept, at lines 4 and on. */
function flowLines(...events: FlowEvent[]): string[] {
  const log = new LogBuilder().open();
  return log.add(log.flow(1), received, decision("intercept"), ...events).lines;
}

Deno.test("LogVerifier accepts a log with every kind of event and counts what is in it", () => {
  const log = goodLog();
  assertEquals(verify(log.lines), {
    violation: null,
    openings: 2,
    events: log.lines.length - 2,
    flows: 7,
    exchanges: 5,
    openFlows: 0,
    cutFlows: 1,
  });
});

Deno.test("LogVerifier accepts a log that ends after any of its lines, and says how many flows are open", () => {
  const { lines } = goodLog();
  for (let length = 0; length <= lines.length; length++) {
    const verdict = verify(lines.slice(0, length));
    assertEquals(verdict.violation, null);
    assert(verdict.openFlows <= 3);
  }
  assertEquals(verify(lines.slice(0, 4)).openFlows, 1);
});

Deno.test("LogVerifier takes bytes as well as text", () => {
  const encoder = new TextEncoder();
  assertEquals(verify(goodLog().lines.map((line) => encoder.encode(line.trimEnd()))).violation, null);
});

/** Each takes a good log's lines and breaks one invariant at the line it returns. */
type Break = (lines: string[]) => number;

/** Changes the first line that has `kind`. */
function inLine(kind: string, change: (line: string) => string): Break {
  return (lines) => {
    const index = lines.findIndex((line) => line.includes(`"kind":"${kind}"`));
    const changed = change(lines[index]!);
    assert(changed !== lines[index], `nothing to change in ${lines[index]}`);
    lines[index] = changed;
    return index + 1;
  };
}

function replace(from: string | RegExp, to: string): (line: string) => string {
  return (line) => line.replace(from, to);
}

const BREAKS: readonly [name: string, Invariant, Break][] = [
  ["text that is not JSON", "json_object", (lines) => (lines[4] = "{]", 5)],
  ["a line that is no object", "json_object", (lines) => (lines[4] = "[]", 5)],
  ["an empty line", "json_object", (lines) => (lines.splice(3, 0, ""), 4)],
  ["another schema", "schema", inLine("connect_decision", replace("log-v2", "log-v1"))],
  ["a log without log_opened", "header_first", (lines) => (lines.shift(), 1)],
  ["a header key left out", "header_keys", inLine("log_opened", replace(/,"config_digest":"[^"]*"/, ""))],
  ["a header key of another type", "header_keys", inLine("log_opened", replace('"0.1.0"', "1"))],
  [
    "an ordinal that is no number",
    "header_keys",
    inLine("log_opened", replace('"opening":1', '"opening":"1"')),
  ],
  ["white space in a header", "canonical_form", inLine("log_opened", replace(":", ": "))],
  ["a first header that continues", "header_continues", inLine("log_opened", replace('_id":0', '_id":9'))],
  ["a header that goes back in time", "header_continues", (lines) => {
    const index = lines.findLastIndex((line) => line.includes("log_opened"));
    lines[index] = lines[index]!.replace(/"continues_time_ns":\d+/, '"continues_time_ns":1');
    return index + 1;
  }],
  ["an opening that is not counted up", "header_continues", (lines) => {
    const index = lines.findLastIndex((line) => line.includes("log_opened"));
    lines[index] = lines[index]!.replace('"opening":2', '"opening":1');
    return index + 1;
  }],
  ["a header whose sequence has a gap", "header_continues", (lines) => {
    const index = lines.findLastIndex((line) => line.includes("log_opened"));
    lines.splice(index - 1, 1);
    return index;
  }],
  [
    "an envelope key left out",
    "envelope_keys",
    inLine("tls_client_hello", replace(/,"client_addr":"[^"]*"/, "")),
  ],
  [
    "an envelope key too many",
    "envelope_keys",
    inLine("tls_client_hello", replace('"kind"', '"sort":1,"kind"')),
  ],
  [
    "envelope keys in another order",
    "envelope_keys",
    inLine("tls_client_hello", replace(/("kind":"[^"]*"),("protocol":"[^"]*")/, "$2,$1")),
  ],
  [
    "an envelope key twice",
    "canonical_form",
    inLine("tls_client_hello", replace('"kind"', '"kind":"x","kind"')),
  ],
  ["white space", "canonical_form", inLine("connect_received", replace(',"flow_id"', ', "flow_id"'))],
  ["a number spelled otherwise", "canonical_form", inLine("connect_received", replace(":443", ":4.43e2"))],
  [
    "attributes that are not sorted",
    "canonical_form",
    inLine("connect_received", replace(/("authority":"[^"]*"),("method":"[^"]*")/, "$2,$1")),
  ],
  [
    "an attribute twice",
    "canonical_form",
    inLine("connect_received", replace('"method"', '"method":"A","method"')),
  ],
  ["an event left out", "sequence_id", (lines) => (lines.splice(2, 1), 3)],
  ["an event twice", "sequence_id", (lines) => (lines.splice(2, 0, lines[2]!), 4)],
  [
    "a sequence_id that is text",
    "sequence_id",
    inLine("connect_received", replace('"sequence_id":1', '"sequence_id":"1"')),
  ],
  ["time that stands still", "time_ns", (lines) => {
    lines[2] = lines[2]!.replace(/"time_ns":\d+/, /"time_ns":\d+/.exec(lines[1]!)![0]);
    return 3;
  }],
  ["time in fractions", "time_ns", inLine("connect_decision", replace(/"time_ns":(\d+)/, '"time_ns":$1.5'))],
  ["an unknown kind", "kind", inLine("connect_decision", replace('"connect_decision"', '"decided"'))],
  [
    "an unknown protocol",
    "protocol",
    inLine("connect_decision", replace('"protocol":"connect"', '"protocol":"socks"')),
  ],
  ["a stream key without number", "stream_key", inLine("request_headers", replace('"h1:1"', '"h1:"'))],
  ["a stream key of another exchange", "stream_key", inLine("request_headers", replace('"h1:1"', '"h1:2"'))],
  ["an exchange under the flow's key", "stream_key", inLine("request_headers", replace('"h1:1"', '"flow"'))],
  [
    "a flow event under an exchange's key",
    "stream_key",
    inLine("tls_client_hello", replace('"flow"', '"h1:1"')),
  ],
  ["a flow id of no opening", "flow_id", inLine("connect_received", replace('"1-1"', '"1"'))],
  ["a flow id of another opening", "flow_id", inLine("connect_received", replace('"1-1"', '"2-1"'))],
  [
    "a gap in a flow",
    "flow_sequence_id",
    inLine("connect_decision", replace('sequence_id":2,"time', 'sequence_id":3,"time')),
  ],
  [
    "a flow that does not begin with 1",
    "flow_sequence_id",
    inLine("connect_decision", replace('"1-1"', '"1-99"')),
  ],
  ["a client that changes", "client_addr", inLine("connect_decision", replace(":50123", ":50124"))],
  [
    "a client that is no text",
    "client_addr",
    inLine("connect_received", replace('"127.0.0.1:50123"', "null")),
  ],
  ["a server in capitals", "server", inLine("connect_received", replace('_host":"api', '_host":"API'))],
  ["a server in brackets", "server", inLine("connect_received", replace('"api.example.com"', '"[::1]"'))],
  ["a server without port", "server", inLine("connect_received", replace('_port":443', '_port":0'))],
  ["a port without server", "server", inLine("connect_received", replace('"api.example.com"', "null"))],
  ["a port out of range", "server", inLine("connect_received", replace('_port":443', '_port":65536'))],
  [
    "attributes that are no object",
    "attributes",
    inLine("connect_received", replace(/"attributes":.*}}/, '"attributes":[]}')),
  ],
  ["a missing attribute", "attributes", inLine("connect_received", replace(',"method":"CONNECT"', ""))],
  ["an attribute of another type", "attributes", inLine("connect_received", replace('"CONNECT"', "true"))],
  ["an unknown action", "attributes", inLine("connect_decision", replace('"intercept"', '"inspect"'))],
  ["an unknown outcome", "attributes", inLine("exchange_completed", replace('"complete"', '"completed"'))],
  ["an unknown reason_code", "attributes", inLine("stream_closed", replace('"blocked"', '"refused"'))],
  ["a field line of three parts", "attributes", inLine("request_headers", replace('"Host",', '"Host","",'))],
  ["an event after stream_closed", "stream_closed", (lines) => {
    const index = lines.findIndex((line) => line.includes("stream_closed"));
    const next = lines[index]!.replace(/"sequence_id":(\d+)/, (_, id) => `"sequence_id":${Number(id) + 1}`)
      .replace(/"time_ns":(\d+)/, (_, time) => `"time_ns":${Number(time) + 1}`);
    lines.splice(index + 1, 0, next);
    return index + 2;
  }],
];

for (const [name, invariant, breakLog] of BREAKS) {
  Deno.test(`LogVerifier names the line with ${name} (${invariant})`, () => {
    const { lines } = goodLog();
    assertBroken(lines, invariant, breakLog(lines));
  });
}

Deno.test("LogVerifier names a line that is not UTF-8", () => {
  const lines: (string | Uint8Array)[] = goodLog().lines;
  lines[3] = new Uint8Array([0x7b, 0xff, 0x7d]);
  assertBroken(lines, "utf8", 4);
});

const bodyless = { request_body_bytes: 0, response_body_bytes: 0 };
const full = { data: "" };

/** A WebSocket that has been opened. */
const WEB_SOCKET: readonly FlowEvent[] = [requestHeaders(1), responseHeaders(1, 101), webSocketOpened(1)];

/** Events after a decision to intercept; the last of them breaks the invariant. */
const BROKEN_FLOWS: readonly [name: string, Invariant, FlowEvent[]][] = [
  ["a second decision", "decision", [decision("intercept")]],
  ["a request that nobody decided", "decision", [received, requestHeaders(1)]],
  ["TLS before the decision", "decision", [received, tlsEvents[0]!]],
  ["a handshake in a tunnel", "decision", [received, decision("tunnel"), tlsEvents[1]!]],
  ["TLS in a blocked flow", "decision", [received, decision("block"), tlsEvents[1]!]],
  ["a question before the last is answered", "decision", [received, received]],
  ["a flow that ends blocked without a block", "decision", [closed("blocked")]],
  ["a flow that completes undecided", "decision", [received, closed("complete")]],
  [
    "a decision for a name nobody sent",
    "decision",
    [flowEvent("connect_decision", { action: "block", reason: "rule", sni: "a" })],
  ],
  ["a first exchange that is not 1", "exchange_id", [requestHeaders(2)]],
  ["an exchange left out", "exchange_id", [requestHeaders(1), completedWithout(1), requestHeaders(3)]],
  ["a body before its request", "exchange_order", [chunk("request", 1, 0, 5)]],
  ["a response before its request", "exchange_order", [responseHeaders(1, 200)]],
  ["a completed exchange without a request", "exchange_order", [completed(1)]],
  ["a second request of an exchange", "exchange_order", [requestHeaders(1), requestHeaders(1)]],
  ["a second final response", "exchange_order", [
    requestHeaders(1),
    responseHeaders(1, 200),
    responseHeaders(1, 200),
  ]],
  [
    "an interim response after the final one",
    "exchange_order",
    [requestHeaders(1), responseHeaders(1, 200), responseHeaders(1, 103)],
  ],
  ["a final response called interim", "exchange_order", [requestHeaders(1), interim(200)]],
  ["an interim response not called so", "exchange_order", [requestHeaders(1), notInterim(103)]],
  [
    "a response body before its final headers",
    "exchange_order",
    [requestHeaders(1), responseHeaders(1, 100), chunk("response", 1, 0, 5)],
  ],
  ["response trailers before their headers", "exchange_order", [requestHeaders(1), trailers("response", 1)]],
  ["an event after exchange_completed", "exchange_order", [
    requestHeaders(1),
    completedWithout(1),
    chunk("request", 1, 0, 5),
  ]],
  ["an exchange completed twice", "exchange_order", [
    requestHeaders(1),
    completedWithout(1),
    completedWithout(1),
  ]],
  ["a flow that ends inside an exchange", "exchange_completed", [requestHeaders(1), closed()]],
  ["a complete exchange without a response", "exchange_completed", [requestHeaders(1), completed(1)]],
  ["an answer of the proxy beside a response", "exchange_completed", [
    requestHeaders(1),
    responseHeaders(1, 200),
    completed(1, { answer_status: 502, outcome: "server_aborted" }),
  ]],
  ["a first byte after the end", "exchange_completed", [
    requestHeaders(1),
    responseHeaders(1, 200),
    completed(1, { ttfb_ns: 3_000_000 }),
  ]],
  ["a body that does not begin at 0", "body_spans", [requestHeaders(1), chunk("request", 1, 5, 5)]],
  ["a hole in a body", "body_spans", [
    requestHeaders(1),
    chunk("request", 1, 0, 16384),
    chunk("request", 1, 16385, 1),
  ]],
  ["a span that is too long", "body_spans", [requestHeaders(1), chunk("request", 1, 0, 16385)]],
  ["a short span that is not the last", "body_spans", [
    requestHeaders(1),
    chunk("request", 1, 0, 16383),
    chunk("request", 1, 16383, 1),
  ]],
  ["a body after its trailers", "body_spans", [
    requestHeaders(1),
    chunk("request", 1, 0, 16384),
    trailers("request", 1),
    chunk("request", 1, 16384, 1),
  ]],
  ["an empty span", "attributes", [requestHeaders(1), chunk("request", 1, 0, 0)]],
  ["base64 with a foreign letter", "attributes", [
    requestHeaders(1),
    chunk("request", 1, 0, 9, { data_base64: "ab-_" }),
  ]],
  ["base64 without padding", "attributes", [
    requestHeaders(1),
    chunk("request", 1, 0, 9, { data_base64: "abc" }),
  ]],
  ["text beyond the span", "body_data", [requestHeaders(1), chunk("request", 1, 0, 2, { data: "é!" })]],
  ["base64 beyond the span", "body_data", [
    requestHeaders(1),
    chunk("request", 1, 0, 2, { data_base64: "AAAA" }),
  ]],
  ["data in both forms", "body_data", [
    requestHeaders(1),
    chunk("request", 1, 0, 9, { ...full, data_base64: "" }),
  ]],
  ["a wrong request body count", "byte_counts", [
    requestHeaders(1),
    responseHeaders(1, 200),
    completed(1, { ...bodyless, request_body_bytes: 1 }),
  ]],
  ["a wrong response body count", "byte_counts", [
    requestHeaders(1),
    responseHeaders(1, 200),
    chunk("response", 1, 0, 7),
    completed(1, { ...bodyless, response_body_bytes: 6 }),
  ]],
  ["a WebSocket that nothing granted", "websocket", [
    requestHeaders(1),
    responseHeaders(1, 404),
    webSocketOpened(1),
  ]],
  ["a WebSocket that opens twice", "websocket", [...WEB_SOCKET, webSocketOpened(1)]],
  ["a message of a WebSocket that is closed", "websocket", [
    ...WEB_SOCKET,
    webSocketClosed(1),
    webSocketMessage(1, 0),
  ]],
  ["a WebSocket message that is left out", "websocket", [...WEB_SOCKET, webSocketMessage(1, 1)]],
  ["a turn inside a turn", "websocket", [...WEB_SOCKET, turnStarted(1, 1), turnStarted(1, 2)]],
  ["a turn that is left out", "websocket", [...WEB_SOCKET, turnStarted(1, 2)]],
  ["the end of a turn that did not begin", "websocket", [...WEB_SOCKET, turnCompleted(1, 1)]],
  ["a WebSocket closed in a turn", "websocket", [...WEB_SOCKET, turnStarted(1, 1), webSocketClosed(1)]],
  ["a flow that ends with a WebSocket open", "websocket", [
    ...WEB_SOCKET,
    completed(1),
    closed(),
  ]],
];

for (const [name, invariant, events] of BROKEN_FLOWS) {
  Deno.test(`LogVerifier names the line with ${name} (${invariant})`, () => {
    const lines = flowLines(...events);
    assertEquals(verify(lines.slice(0, -1)).violation, null, "all but the last line are good");
    assertBroken(lines, invariant, lines.length);
  });
}

Deno.test("LogVerifier has a test for each invariant", () => {
  const tested = new Set<string>([...BREAKS, ...BROKEN_FLOWS].map(([, invariant]) => invariant));
  // In the tests of their own below, above, and of the command (an index needs files).
  for (const invariant of ["utf8", "line_end", "index"]) tested.add(invariant);
  assertEquals(INVARIANTS.filter((invariant) => !tested.has(invariant)), []);
});

Deno.test("LogVerifier stays with the first violation", () => {
  const { lines } = goodLog();
  lines[3] = "x";
  lines[5] = "y";
  assertBroken(lines, "json_object", 4);
});

Deno.test("LogVerifier takes a torn last line for where the log ends, and other bytes for a violation", () => {
  const encoder = new TextEncoder();
  const place = { lineNumber: 9, byteOffset: 90 };
  for (const line of [goodLog().lines[0]!, goodLog().lines[1]!]) {
    for (let length = 1; length < line.length; length++) {
      assertEquals(new LogVerifier().torn(encoder.encode(line.slice(0, length)), place), null);
    }
  }
  for (
    const other of [
      "x",
      "\0\0\0",
      '{"schema":"soth-mitm-event-log-v1"',
      '{"schema":"soth-mitm-event-log-v2","x',
    ]
  ) {
    assertEquals(new LogVerifier().torn(encoder.encode(other), place)?.invariant, "line_end", other);
  }
});

Deno.test("LogVerifier forgets flows that ended: 20,000 of them, closed out of order, leave a handful of ranges", () => {
  const log = new LogBuilder().open();
  const verifier = new LogVerifier();
  const feed = () => {
    for (const line of log.lines.splice(0)) {
      assertEquals(verifier.line(line.trimEnd(), { lineNumber: 1, byteOffset: 0 }), null);
    }
  };
  const oldest = log.flow(1);
  log.add(oldest, received);
  for (let number = 2; number < 20_000; number += 2) {
    log.add(log.flow(number + 1), closed()).add(log.flow(number), closed());
    feed();
  }
  log.add(log.flow(5000), closed());
  const again = verifier.line(log.lines.pop()!.trimEnd(), { lineNumber: 7, byteOffset: 0 });
  assertEquals(again?.invariant, "stream_closed");
});

Deno.test("LogVerifier never throws, whatever bytes a line is made of", () => {
  const { lines } = goodLog();
  const mutation = fc.record({
    line: fc.nat(lines.length - 1),
    at: fc.nat(2000),
    bytes: fc.uint8Array({ maxLength: 6 }),
    cut: fc.nat(8),
  });
  const encoder = new TextEncoder();
  fc.assert(
    fc.property(mutation, ({ line, at, bytes, cut }) => {
      const verifier = new LogVerifier();
      lines.slice(0, line + 1).forEach((text, index) => {
        let content = encoder.encode(text.trimEnd());
        if (index === line) {
          const start = at % (content.length + 1);
          content = new Uint8Array([
            ...content.subarray(0, start),
            ...bytes,
            ...content.subarray(start + cut),
          ]);
        }
        verifier.line(content, { lineNumber: index + 1, byteOffset: 0 });
        verifier.torn(content, { lineNumber: index + 1, byteOffset: 0 });
      });
      const { violation } = verifier.finish();
      assert(violation === null || violation.lineNumber === line + 1, JSON.stringify(violation));
    }),
    { numRuns: 300 },
  );
});

Deno.test("LogVerifier answers deep nesting with a violation", () => {
  const { lines } = goodLog();
  const deep = "[".repeat(200_000) + "]".repeat(200_000);
  lines[1] = lines[1]!.replace('"authority"', `"a":${deep},"authority"`);
  const { violation } = verify(lines);
  assert(violation !== null && ["json_object", "canonical_form"].includes(violation.invariant));
});

function completedWithout(id: number): FlowEvent {
  return completed(id, { outcome: "client_aborted", ttfb_ns: null });
}

function interim(status: number): FlowEvent {
  return withAttributes(responseHeaders(1, 103), { status });
}

function notInterim(status: number): FlowEvent {
  return withAttributes(responseHeaders(1, 200), { status });
}

function withAttributes(event: FlowEvent, attributes: Attributes): FlowEvent {
  return { ...event, attributes: { ...event.attributes, ...attributes } };
}

Deno.test("LogVerifier takes numbers that no double can say in a decoded payload, and nowhere else", () => {
  const log = (kind: "payload_decoded" | "ndjson_line", digits: string) => {
    const value = { digits: JSON.rawJSON(digits) };
    const rest = kind === "ndjson_line"
      ? { bytes: 2, data: "{}", index: 0 }
      : { bytes: 2, format: "json", sanitized: false, stages: ["json"] };
    const event = flowEvent(kind, { ...rest, direction: "request", exchange_id: 1, value }, "h1:1");
    return verify(
      flowLines(...tlsEvents, requestHeaders(1), event, responseHeaders(1, 200), completed(1), closed()),
    ).violation
      ?.invariant;
  };
  assertEquals(log("payload_decoded", "12345678901234567890"), undefined);
  assertEquals(log("payload_decoded", "-0"), undefined);
  assertEquals(log("payload_decoded", "1.0"), "canonical_form", "a double can say it");
  assertEquals(log("ndjson_line", "12345678901234567890"), "canonical_form");
});
