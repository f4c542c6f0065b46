import { assertEquals } from "@std/assert";
import type { FlowEvent } from "../../src/core/event.ts";
import { NO_OBSERVATION } from "../../src/http/observation.ts";
import { ExchangeRecording } from "../../src/http1/exchange_recording.ts";
import { parseRequestHead } from "../../src/http1/head.ts";
import { latin1 } from "../support/golden.ts";

function request(text: string) {
  const head = parseRequestHead(latin1(text), { maxHeaderFields: 9 });
  if (head.type === "error") throw new Error(head.detail);
  return head;
}

Deno.test("ExchangeRecording numbers exchanges in the order of their requests, taken or not, recorded or not", () => {
  const events: FlowEvent[] = [];
  const recording = new ExchangeRecording({
    capture: { bodyBytes: 10, redactHeaders: new Set() },
    observation: NO_OBSERVATION,
    scheme: "https",
    authority: "a.test:443",
    firstExchangeId: 5,
  }, (event) => events.push(event));
  recording.begin(request("GET / HTTP/1.0\r\n\r\n"), 7);
  assertEquals(recording.skip(), 6);
  recording.unopened(recording.skip(), "limit", { by: "client", code: "head_too_large", detail: "" });
  recording.begin(request("GET / HTTP/1.1\r\nHost: b.test\r\n\r\n"), 8);
  assertEquals(
    events.map(({ kind, streamKey, attributes }) => [kind, streamKey, attributes["exchange_id"]]),
    [["request_headers", "h1:5", 5], ["exchange_completed", "h1:7", 7], ["request_headers", "h1:8", 8]],
  );
  const authorities = [events[0]!, events[2]!].map(({ attributes }) => attributes["authority"]);
  assertEquals([authorities, recording.nextId], [["a.test:443", "b.test"], 9]);
});
