import { assertEquals } from "@std/assert";
import type { FlowEvent, LoggedEvent } from "../../src/core/event.ts";
import { type RecordedRequest, RequestRecorder } from "../../src/log/recorded_request.ts";
import { chunk, completed, LogBuilder, requestHeaders, trailers } from "./log_builder.ts";

function record(...events: FlowEvent[]): RecordedRequest | null {
  const log = new LogBuilder().open();
  const recorder = new RequestRecorder("1-1", 1);
  for (const line of log.add(log.flow(1), ...events).lines.slice(1)) {
    recorder.event(JSON.parse(line) as LoggedEvent);
  }
  return recorder.finish();
}

const text = ({ content }: RecordedRequest) => new TextDecoder().decode(content);
const post = (...headers: [string, string][]) => requestHeaders(1, { method: "POST", headers });

Deno.test("RequestRecorder puts head and content together, and looks at one exchange alone", () => {
  const request = record(
    post(["Host", "api.example.com"]),
    requestHeaders(2, { method: "PUT" }),
    chunk("request", 1, 0, 3, { data: "abc" }),
    chunk("request", 2, 0, 3, { data: "???" }),
    chunk("request", 1, 3, 2, { data_base64: "/wA=" }),
    completed(1, { request_body_bytes: 5 }),
  )!;
  assertEquals(request.content, new Uint8Array([0x61, 0x62, 0x63, 0xff, 0]));
  assertEquals([request.method, request.serverHost, request.lacking], ["POST", "api.example.com", null]);
  assertEquals(record(requestHeaders(2), completed(2)), null);
  assertEquals(record(completed(1)), null);
});

Deno.test("RequestRecorder says why content is not all there", () => {
  const whole = chunk("request", 1, 0, 3, { data: "abc" });
  const cut = record(post(), chunk("request", 1, 0, 9, { data: "abc" }), whole, completed(1))!;
  assertEquals([text(cut), cut.lacking], ["abc", "the log has the first 3 of 12 bytes of its content"]);
  assertEquals(record(post(), whole)!.lacking, "the log ends before the exchange does");
  const bomb = completed(1, { request_decoded_bytes: 3, request_decoded_partly: true });
  const partly = record(post(["Content-Encoding", "gzip"]), whole, bomb)!;
  assertEquals([partly.decoded, partly.lacking], [true, "not all of its content could be decompressed"]);
});

Deno.test("RequestRecorder takes content for whole where its exchange failed after it", () => {
  const aborted = completed(1, { outcome: "server_aborted", request_body_bytes: 3 });
  const whole = chunk("request", 1, 0, 3, { data: "abc" });
  assertEquals(record(post(["content-length", "3"]), whole, aborted)!.lacking, null);
  assertEquals(
    record(post(["content-length", "4"]), whole, aborted)!.lacking,
    "the exchange ended as server_aborted, perhaps before all of its content was sent",
  );
  assertEquals(typeof record(post(["Transfer-Encoding", "chunked"]), whole, aborted)!.lacking, "string");
  assertEquals(record(post(), whole, trailers("request", 1), aborted)!.lacking, null, "trailers end it");
  const none = completed(1, { outcome: "server_aborted" });
  assertEquals(record(requestHeaders(1), none)!.lacking, null, "a request without content");
});
