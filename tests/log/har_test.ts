import { assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { type Attributes, EVENT_KINDS, type FlowEvent, type LoggedEvent } from "../../src/core/event.ts";
import { HAR_MESSAGE_CHARACTERS_MAX, HarEntries } from "../../src/log/har.ts";
import { payloadAttributes } from "../../src/log/payload.ts";
import { validateHar } from "../support/har.ts";
import {
  chunk,
  completed,
  decision,
  flowEvent,
  goodLog,
  LogBuilder,
  received,
  requestHeaders,
  responseHeaders,
  tlsEvents,
  webSocketClosed,
  webSocketMessage,
  webSocketOpened,
} from "./log_builder.ts";

const CLOCK = {
  wallMs: (timeNs: number) => 1_000_000 + timeNs / 1e6,
  isoTime: (wallMs: number) => new Date(wallMs).toISOString(),
  isoDate: (date: string) => Number.isNaN(Date.parse(date)) ? null : new Date(date).toISOString(),
};

/** What the tests look at. */
interface Entry {
  readonly startedDateTime: string;
  readonly time: number;
  readonly request: { readonly url: string; readonly postData?: Attributes };
  readonly response: {
    readonly status: number;
    readonly content: Attributes;
    readonly cookies: readonly Attributes[];
    readonly redirectURL: string;
    readonly bodySize: number;
    readonly _error?: string;
  };
  readonly timings: Attributes;
  readonly serverIPAddress?: string;
  readonly connection: string;
  readonly comment?: string;
  readonly _exchange: string;
  readonly _resourceType?: string;
  readonly _webSocketMessages: readonly Attributes[];
  readonly _eventSourceMessages?: readonly Attributes[];
}

/** So that a test can name the first ones; one that is not there fails it. */
type Entries = readonly [Entry, Entry, Entry, Entry, ...Entry[]];

function read(lines: readonly string[]): Entries {
  return tell(
    lines.map((line) => JSON.parse(line)).map((event) => event.kind === "log_opened" ? null : event),
  );
}

/** Null: the log is opened. */
function tell(events: readonly (LoggedEvent | null)[]): Entries {
  const entries = new HarEntries(CLOCK);
  const told = events.flatMap((event) => event === null ? entries.opened() : entries.event(event) ?? []);
  return JSON.parse(JSON.stringify([...told, ...entries.unfinished()]));
}

function ofFlow(...events: FlowEvent[]): Entries {
  const log = new LogBuilder().open();
  return read(log.add(log.flow(1), ...events).lines);
}

function archive(entries: readonly unknown[]): unknown {
  return { log: { version: "1.2", creator: { name: "x", version: "1" }, entries } };
}

function responseWith(headers: readonly (readonly [string, string])[]): FlowEvent {
  const event = responseHeaders(1, 200);
  return { ...event, attributes: { ...event.attributes, headers } };
}

function body(message: "request" | "response", content: string | Uint8Array, of?: number): FlowEvent {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  return chunk(message, 1, 0, of ?? bytes.length, payloadAttributes(bytes));
}

Deno.test("a log with every kind of event gives entries that the HAR schema takes", async () => {
  const entries = read(goodLog().lines);
  assertEquals(entries.map(({ _exchange }) => _exchange), [
    "1-1/1",
    "1-1/2",
    "1-1/3",
    "1-5/1",
    "1-5/3",
    "1-6/1",
  ]);
  await validateHar(archive(entries));
  await assertRejects(() => validateHar(archive([{ ...entries[0], request: {} }])));
});

Deno.test("an entry says request and response as they were, with cookies, query and form taken apart", async () => {
  const [entry] = ofFlow(
    requestHeaders(1, {
      method: "POST",
      target: '/p?q=a+b&"\xff',
      headers: [
        ["Cookie", "a=1"],
        ["Authorization", "[redacted 9 bytes]"],
        ["Content-Type", "application/x-www-form-urlencoded"],
      ],
    }),
    body("request", "x=1&y=%C3%A9"),
    responseWith([
      ["Content-Type", "text/plain"],
      ["Set-Cookie", "s=2; Expires=Wed, 21 Oct 2026 07:28:00 GMT"],
      ["Location", "/next"],
    ]),
    body("response", "héllo"),
    completed(1, { request_body_bytes: 12, response_body_bytes: 4, response_decoded_bytes: 6 }),
  );
  assertEquals(entry.request, {
    method: "POST",
    url: "https://api.example.com/p?q=a+b&%22%FF",
    httpVersion: "HTTP/1.1",
    cookies: [{ name: "a", value: "1" }],
    headers: [
      { name: "Cookie", value: "a=1" },
      { name: "Authorization", value: "[redacted 9 bytes]" },
      { name: "Content-Type", value: "application/x-www-form-urlencoded" },
    ],
    queryString: [{ name: "q", value: "a b" }, { name: "%22%FF", value: "" }],
    postData: {
      mimeType: "application/x-www-form-urlencoded",
      params: [{ name: "x", value: "1" }, { name: "y", value: "é" }],
      text: "x=1&y=%C3%A9",
    },
    headersSize: 120,
    bodySize: 12,
  });
  assertEquals(entry.response.content, { size: 6, compression: 2, mimeType: "text/plain", text: "héllo" });
  assertEquals(entry.response.cookies, [{ name: "s", value: "2", expires: "2026-10-21T07:28:00.000Z" }]);
  assertEquals([entry.response.redirectURL, entry.response.bodySize, entry.connection], [
    "/next",
    4,
    "1-1",
  ]);
  assertEquals(entry.startedDateTime, "1970-01-01T00:16:40.000Z");
  await validateHar(archive([entry]));
});

Deno.test("bodies are text where they are, base64 where not, and say how much was captured", () => {
  const content = (...chunks: FlowEvent[]) => {
    const [entry] = ofFlow(requestHeaders(1), responseHeaders(1, 200), ...chunks, completed(1));
    const { text, encoding, comment } = entry.response.content;
    return [text, encoding, comment];
  };
  const euro = new TextEncoder().encode("€");
  assertEquals(content(body("response", new Uint8Array([255, 0]))), ["/wA=", "base64", undefined]);
  assertEquals(content(body("response", euro.subarray(0, 1)), body("response", euro.subarray(1))), [
    "€",
    undefined,
    undefined,
  ]);
  const cut = "the first 3 of 9 bytes were captured";
  assertEquals(content(body("response", "a" + "é", 9)), ["aé", undefined, cut]);
  assertEquals(content(body("response", new Uint8Array([0x61, 0x62, 0xc3]), 9)), ["ab", undefined, cut]);
  assertEquals(content(chunk("response", 1, 0, 5)), [
    undefined,
    undefined,
    "the first 0 of 5 bytes were captured",
  ]);
  assertEquals(content(), [undefined, undefined, undefined]);
  const [binary] = ofFlow(requestHeaders(1), body("request", new Uint8Array([255])), completed(1));
  assertEquals(binary.request.postData, { mimeType: "", text: "/w==", _encoding: "base64" });
});

Deno.test("timings are those of the events, and connecting counts for the first exchange alone", () => {
  const log = new LogBuilder().open();
  const at = (timeNs: number, event: FlowEvent): LoggedEvent => {
    const line = JSON.parse(log.add(log.flow(1), event).lines.at(-1)!);
    return { ...line, time_ns: timeNs * 1e6 };
  };
  const [first, second] = tell([
    at(1, received),
    at(2, decision("intercept")),
    at(5, tlsEvents[1]!),
    at(9, tlsEvents[2]!),
    at(11, requestHeaders(1)),
    at(14, body("request", "x")),
    at(20, responseHeaders(1, 200)),
    at(30, completed(1, { duration_ns: 19e6, ttfb_ns: 9e6 })),
    at(40, requestHeaders(2)),
    at(50, completed(2, { duration_ns: 10e6, outcome: "server_aborted", ttfb_ns: null })),
  ]);
  assertEquals(first.timings, { blocked: 2, dns: -1, connect: 7, ssl: 4, send: 3, wait: 6, receive: 10 });
  assertEquals([first.time, first.startedDateTime], [28, CLOCK.isoTime(CLOCK.wallMs(2e6))]);
  assertEquals(second.timings, {
    blocked: -1,
    dns: -1,
    connect: -1,
    ssl: -1,
    send: 0,
    wait: 10,
    receive: 0,
  });
});

Deno.test("what ended early has an error, and the proxy's own answers their status", () => {
  const [aborted, own, lost, open] = ofFlow(
    requestHeaders(1),
    responseHeaders(1, 200),
    completed(1, { outcome: "client_aborted" }),
    requestHeaders(2),
    completed(2, { answer_status: 502, error_detail: "refused", outcome: "server_aborted", ttfb_ns: null }),
    completed(3, { outcome: "reset" }),
    requestHeaders(4),
  );
  assertEquals([aborted.response.status, aborted.response._error], [200, "client_aborted"]);
  assertEquals([own.response.status, own.response._error, own.comment], [
    502,
    "server_aborted: refused",
    "answered by the proxy itself",
  ]);
  assertEquals([lost.response.status, lost.response._error, lost.request.url], [
    0,
    "reset",
    "about:invalid",
  ]);
  assertEquals([open.response.status, open.response._error], [0, "no end in the log"]);
});

Deno.test("a WebSocket's messages and a stream's events are in the entry, and it waits for them", async () => {
  const opened = [requestHeaders(1), responseHeaders(1, 101), webSocketOpened(1), completed(1)];
  const messages = [
    webSocketMessage(1, 0),
    webSocketMessage(1, 0, { direction: "response", opcode: "binary", data: "ab" }),
    flowEvent("ws_control", {
      code: 1000,
      direction: "request",
      exchange_id: 1,
      opcode: "close",
      reason: "bye",
    }, "h1:1"),
  ];
  assertEquals(ofFlow(...opened).length, 1, "told at the log's end");
  const [webSocket] = ofFlow(...opened, ...messages, webSocketClosed(1));
  assertEquals(webSocket._resourceType, "websocket");
  assertEquals(webSocket._webSocketMessages, [
    { time: 1000.000005, type: "send", opcode: 1, data: "hi" },
    { time: 1000.000006, type: "receive", opcode: 2, data: "YWI=" },
    { time: 1000.000007, type: "send", opcode: 8, data: "bye", _code: 1000 },
  ]);
  const sse = (attributes: Attributes) =>
    flowEvent("sse_event", { direction: "response", exchange_id: 1, ...attributes }, "h1:1");
  const [stream] = ofFlow(
    requestHeaders(1),
    responseHeaders(1, 200),
    sse({ data: "one", event: "e", id: "7" }),
    sse({ data: "two" }),
    sse({ comments: 1 }),
    completed(1),
  );
  assertEquals(stream._eventSourceMessages, [
    { time: 1000.000003, eventName: "e", eventId: "7", data: "one" },
    { time: 1000.000004, eventName: "message", eventId: "", data: "two" },
  ]);
  await validateHar(archive([webSocket, stream]));
});

Deno.test("messages of one exchange are kept up to a limit, and the rest is counted", () => {
  const data = "x".repeat(HAR_MESSAGE_CHARACTERS_MAX / 4);
  const events = Array.from({ length: 6 }, (_, index) => webSocketMessage(1, index, { data }));
  const [entry] = ofFlow(
    requestHeaders(1),
    responseHeaders(1, 101),
    webSocketOpened(1),
    completed(1),
    ...events,
    webSocketClosed(1),
  );
  assertEquals([entry._webSocketMessages.length, entry.comment], [3, "3 messages are left out"]);
});

Deno.test("an address is told where the server was asked for by one", () => {
  const address = (serverHost: string) => {
    const log = new LogBuilder().open();
    return read(log.add(log.flow(1, { serverHost }), requestHeaders(1), completed(1)).lines)[0]
      .serverIPAddress;
  };
  assertEquals(["192.0.2.7", "::1", "a.test"].map(address), ["192.0.2.7", "::1", undefined]);
});

Deno.test("HarEntries never throws, and whatever is in a log its archive fits the schema", async () => {
  const value = fc.oneof(
    fc.constantFrom("", "\x1b[2J", "GET", "/%zz?&=", "text/plain", "websocket", "complete", "server", "!!"),
    fc.integer({ min: -1, max: 3 }),
    fc.constant(null),
    fc.constantFrom([["Set-Cookie", "a=b; Expires=x"], ["Cookie", "=;"]], [["a"]], [7]),
  );
  const names =
    "exchange_id method target scheme authority headers status outcome duration_ns ttfb_ns side bytes data " +
    "data_base64 opcode direction reason code answer_status interim event id";
  const event = fc.record({
    kind: fc.constantFrom(...EVENT_KINDS),
    attributes: fc.dictionary(fc.constantFrom(...names.split(" ")), value),
    time_ns: fc.nat({ max: 1e9 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(event, { maxLength: 30 }), async (events) => {
      const told = tell(events.map((one) => ({
        schema: "soth-mitm-event-log-v2",
        sequence_id: 1,
        flow_id: "1-1",
        flow_sequence_id: 1,
        protocol: "http1",
        stream_key: "h1:1",
        client_addr: "127.0.0.1:1",
        server_host: "a.test",
        server_port: 443,
        ...one,
        attributes: { exchange_id: 1, ...one.attributes },
      })));
      await validateHar(archive(told));
    }),
    { numRuns: 200 },
  );
});
