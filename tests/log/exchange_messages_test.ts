import { assertEquals } from "@std/assert";
import type { Attributes, EventKind, LoggedEvent } from "../../src/core/event.ts";
import {
  type ExchangeMessages,
  messageLines,
  MessagesOfExchanges,
  SAID_CHARACTERS_MAX,
  SAID_LINES_MAX,
} from "../../src/log/exchange_messages.ts";
import { completed, flowEvent, LogBuilder, requestHeaders, responseHeaders } from "./log_builder.ts";

type Said = readonly [kind: EventKind, attributes: Attributes];

/** The messages of an exchange with these events. */
function messagesOf(events: readonly Said[]): ExchangeMessages {
  const log = new LogBuilder().open();
  log.add(
    log.flow(1),
    requestHeaders(1),
    responseHeaders(1, 200),
    ...events.map(([kind, attributes]) => flowEvent(kind, { exchange_id: 1, ...attributes }, "h1:1")),
    completed(1),
  );
  const messages = new MessagesOfExchanges();
  for (const line of log.lines.slice(1)) messages.event(JSON.parse(line) as LoggedEvent);
  return messages.take("1-1", 1);
}

const linesOf = (events: readonly Said[]) => messageLines(messagesOf(events), { colour: false });

const request = { direction: "request" };
const response = { direction: "response" };

Deno.test("messages are payloads with the codings they came out of, or their size", () => {
  assertEquals(
    linesOf([
      ["payload_decoded", {
        ...request,
        format: "json",
        stages: ["json"],
        value: { a: [1, "é"] },
        bytes: 12,
      }],
      ["payload_decoded", {
        ...response,
        format: "msgpack",
        stages: ["chunked", "br", "gzip", "msgpack"],
        value: null,
        bytes: 1,
      }],
      ["payload_decoded", { ...response, format: "text", stages: ["text"], value: "a\n\x1b[2J", bytes: 6 }],
      ["payload_decoded", { ...response, format: "binary", stages: ["binary"], bytes: 700 }],
      ["decoder_failed", { ...request, stage: "content_coding", reason: "no end" }],
      ["observer_stopped", { ...request, observer: "sse", reason: "budget" }],
    ]),
    [
      '    > json {"a":[1,"é"]}',
      "    < msgpack (br, gzip) null",
      "    < text a\\x0a\\x1b[2J",
      "    < binary 700 bytes",
      "    > not decoded: content_coding no end",
      "    > not read on: sse budget",
    ],
  );
});

Deno.test("messages are the units of streams, each once, and what was cut says so", () => {
  assertEquals(
    linesOf([
      ["sse_event", { ...response, event: "delta", data: "{}", bytes: 2, index: 0 }],
      ["payload_decoded", { ...response, format: "json", stages: ["sse", "json"], value: {}, index: 0 }],
      ["sse_event", { ...response, data: "half", bytes: 4, index: 1, complete: false }],
      ["ndjson_line", { ...response, data: "[1", bytes: 9, index: 0, truncated: true }],
      ["multipart_part", {
        ...request,
        headers: [["Content-Disposition", 'form-data; name="a"']],
        bytes: 3,
        index: 0,
      }],
      ["payload_decoded", {
        ...request,
        format: "json",
        stages: ["multipart", "json"],
        value: [1],
        index: 0,
      }],
      ["grpc_message", { ...request, bytes: 5, data_base64: "AAAAAAA=", index: 0 }],
    ]),
    [
      "    < event delta {}",
      "    < event (cut) half",
      "    < line (recorded in part) [1",
      '    > part form-data; name="a" 3 bytes',
      "    > json (multipart) [1]",
      "    > message 5 bytes",
    ],
  );
});

Deno.test("messages of a WebSocket stand in their turns, MsgPack as what it says", () => {
  assertEquals(
    linesOf([
      ["ws_turn_started", { turn_id: 1, initiator: "client" }],
      ["ws_message", { ...request, opcode: "text", data: "hello", bytes: 5, index: 0 }],
      ["ws_control", { ...response, opcode: "ping", data: "" }],
      ["ws_message", { ...response, opcode: "binary", data: "\x01", bytes: 4, index: 0 }],
      ["payload_decoded", {
        ...response,
        format: "msgpack",
        stages: ["websocket", "msgpack"],
        value: { a: 1 },
        index: 0,
      }],
      ["ws_turn_completed", { turn_id: 1, initiator: "client", flush_reason: "rollover" }],
      ["ws_turn_started", { turn_id: 2, initiator: "server" }],
      ["ws_control", { ...request, opcode: "close", code: 1000, reason: "done" }],
      ["ws_turn_completed", { turn_id: 2, initiator: "server", flush_reason: "close_frame" }],
    ]),
    [
      "    - turn 1, begun by the client",
      "    > text hello",
      "    < binary 4 bytes",
      '    < msgpack (websocket) {"a":1}',
      "    - turn 2, begun by the server",
      "    > close 1000 done",
      "    - turn 2 over: close_frame",
    ],
  );
});

Deno.test("messages are kept up to a number and a length, and then are counted", () => {
  const event = (data: string): Said => ["sse_event", { ...response, data, bytes: data.length, index: 0 }];
  const count = (events: number) => messagesOf(Array.from({ length: events }, () => event("x")));
  assertEquals(count(SAID_LINES_MAX).omitted, 0);
  const { lines, omitted } = count(SAID_LINES_MAX + 1);
  assertEquals([lines.length, omitted], [SAID_LINES_MAX, 1]);
  assertEquals(messageLines({ lines: [], omitted }, { colour: false }), ["    and 1 more"]);
  const text = (length: number) => messagesOf([event("x".repeat(length))]).lines[0]?.text;
  assertEquals(text(SAID_CHARACTERS_MAX), "x".repeat(SAID_CHARACTERS_MAX));
  assertEquals(text(SAID_CHARACTERS_MAX + 1), `${"x".repeat(SAID_CHARACTERS_MAX)}... (1 more characters)`);
});

Deno.test("text that payload_decoded leaves to the body events is shown from there, unread text by its size", () => {
  const chunk: Said = ["response_body_chunk", { offset: 0, bytes: 3, data: "hé" }];
  const text = { ...response, format: "text", bytes: 3, value_omitted: true };
  assertEquals(linesOf([chunk, ["payload_decoded", { ...text, stages: ["gzip", "text"] }]]), [
    "    < text (gzip) hé",
  ]);
  assertEquals(linesOf([chunk, ["payload_decoded", { ...text, stages: ["gzip"] }]]), ["    < text 3 bytes"]);
  assertEquals(linesOf([["payload_decoded", { ...text, stages: ["text"] }]]), ["    < text 3 bytes"]);
  const asked: Said = ["payload_decoded", { ...text, ...request, stages: ["text"] }];
  assertEquals(
    linesOf([chunk, asked]),
    ["    > text 3 bytes"],
    "the other message's body says nothing of it",
  );
});
