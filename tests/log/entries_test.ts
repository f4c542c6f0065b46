import { assertEquals } from "@std/assert";
import type { FlowEvent, LoggedEvent } from "../../src/core/event.ts";
import { LogEntries, type LogEntry } from "../../src/log/entries.ts";
import { readableLine } from "../../src/log/readable.ts";
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
  turnCompleted,
  turnStarted,
  webSocketClosed,
  webSocketMessage,
  webSocketOpened,
} from "./log_builder.ts";

function read(entries: LogEntries, lines: readonly string[]): LogEntry[] {
  return lines.flatMap((line) => {
    const event = JSON.parse(line);
    if (event.kind === "log_opened") return entries.opened();
    return entries.event(event as LoggedEvent) ?? [];
  });
}

function ofFlow(options: { awaitWebSockets?: boolean }, ...events: FlowEvent[]): LogEntry[] {
  const log = new LogBuilder().open();
  return read(new LogEntries(options), log.add(log.flow(1), ...events).lines);
}

const line = (entry: LogEntry) => readableLine(entry, { colour: false, ids: true });

Deno.test("LogEntries says what a log leaves without an end, at its own end and where it is opened again", () => {
  const log = new LogBuilder().open();
  const cut = [received, decision("intercept"), requestHeaders(1), responseHeaders(1, 200)];
  log.add(log.flow(1), ...cut, chunk("response", 1, 0, 16384), chunk("response", 1, 16384, 16384));
  log.add(log.flow(2), received, decision("tunnel"));
  log.add(log.flow(3), received, decision("intercept"), requestHeaders(1), completed(1));
  const entries = new LogEntries();
  read(entries, log.lines.slice(1));
  const lines = [
    "0.000s  1-1/1   GET      200    32 KiB   0.0 ms  https://api.example.com/v1/items?x=1  (no end in the log)",
    "0.000s  1-2     CONNECT    -       0 B   0.0 ms  api.example.com:443  (no end in the log)",
  ];
  assertEquals(entries.unfinished().map(line), lines);
  assertEquals(entries.opened().map(line), lines);
  assertEquals(entries.unfinished(), []);
});

Deno.test("LogEntries tells of an exchange its request, its fields, its protocols and its times", () => {
  const log = new LogBuilder().open();
  log.add(
    log.flow(1),
    received,
    decision("intercept"),
    requestHeaders(1, { method: "POST" }),
    responseHeaders(1, 103),
    responseHeaders(1, 200),
    {
      ...flowEvent("sse_event", { bytes: 0, direction: "response", exchange_id: 1, index: 0 }, "h1:1"),
      protocol: "sse",
    },
    completed(1, { request_body_bytes: 7, response_body_bytes: 9 }),
  );
  const [entry] = read(new LogEntries(), log.lines);
  assertEquals(entry, {
    flowId: "1-1",
    exchangeId: 1,
    clientAddr: "127.0.0.1:50123",
    serverHost: "api.example.com",
    serverPort: 443,
    startNs: 3003,
    endNs: 7007,
    durationNs: 2_500_000,
    ended: true,
    method: "POST",
    request: {
      method: "POST",
      scheme: "https",
      authority: "api.example.com",
      target: "/v1/items?x=1",
      version: "HTTP/1.1",
      fields: [["Host", "api.example.com"]],
    },
    status: 200,
    ownAnswer: false,
    responseFields: [["Server", "nginx"]],
    protocols: new Set(["http1", "sse", "connect"] as const),
    outcome: "complete",
    sentBytes: 7,
    receivedBytes: 9,
    notes: [],
    failed: false,
    url: "https://api.example.com/v1/items?x=1",
  });
});

Deno.test("LogEntries ends the exchange of a WebSocket with the WebSocket where that is asked for", () => {
  const events = [
    requestHeaders(1),
    responseHeaders(1, 101),
    webSocketOpened(1),
    completed(1),
    turnStarted(1, 1),
    webSocketMessage(1, 0),
    webSocketMessage(1, 0, { bytes: 5, direction: "response" }),
    turnCompleted(1, 1),
    webSocketClosed(1),
  ];
  const [awaited, ...more] = ofFlow({ awaitWebSockets: true }, ...events);
  assertEquals(more, []);
  assertEquals([awaited?.sentBytes, awaited?.receivedBytes, awaited?.status], [2, 5, 101]);
  assertEquals(awaited?.notes, ["2 messages in 1 turn, closed with 1000"]);
  const [atOnce] = ofFlow({}, ...events.slice(0, 4));
  assertEquals([atOnce?.status, atOnce?.notes], [101, []]);
  // Over HTTP/2 its stream ends after it.
  const [reversed] = ofFlow({ awaitWebSockets: true }, ...events.toSpliced(3, 1), completed(1));
  assertEquals(reversed?.notes, awaited?.notes);

  const log = new LogBuilder().open();
  const open = new LogEntries({ awaitWebSockets: true });
  read(open, log.add(log.flow(1), ...events.slice(0, 6)).lines);
  assertEquals(open.unfinished().map(({ status, notes }) => [status, notes]), [[101, ["no end in the log"]]]);
});

Deno.test("LogEntries forgets what has ended", () => {
  const { lines } = goodLog();
  const entries = new LogEntries({ awaitWebSockets: true });
  assertEquals(read(entries, lines).length, 10);
  assertEquals(entries.unfinished(), []);
  const events = [requestHeaders(1), completed(1), completed(1), closed()];
  assertEquals(ofFlow({}, ...events).map(({ method }) => method), ["GET", "?"]);
});
