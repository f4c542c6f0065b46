import { assertEquals } from "@std/assert";
import type { FlowEvent } from "../../src/core/event.ts";
import { NO_OBSERVATION } from "../../src/http/observation.ts";
import { readRequest } from "../../src/http2/field_section.ts";
import { hpackField } from "../../src/http2/hpack_table.ts";
import { StreamRecording } from "../../src/http2/stream_recording.ts";

function recording() {
  const events: FlowEvent[] = [];
  const options = {
    capture: { bodyBytes: 10, redactHeaders: new Set<string>() },
    observation: NO_OBSERVATION,
    scheme: "https",
    authority: "a.test:443",
    firstExchangeId: 5,
  };
  return { events, recording: new StreamRecording(options, 100, (event) => events.push(event)) };
}

function request(authority: string | null) {
  const list = [
    hpackField(":method", "GET", "method", false),
    hpackField(":scheme", "https", "scheme", false),
    hpackField(":path", "/", "path", false),
    ...authority === null ? [] : [hpackField(":authority", authority, "authority", false)],
  ];
  const read = readRequest(list, { by: "client", streamId: 1 });
  if (read.type === "error") throw new Error(read.detail);
  return read;
}

Deno.test("StreamRecording numbers exchanges in the order of their requests, read or not, recorded or not", () => {
  const { events, recording: log } = recording();
  log.begin(1, request(null), 20, 7);
  log.skip();
  log.unopened(5, "limit", { by: "client", code: "header_list_too_large", detail: "too large" }, 33);
  log.begin(7, request("b.test"), 21, 8);
  assertEquals(
    events.map(({ kind, streamKey, attributes }) => [kind, streamKey, attributes.exchange_id]),
    [["request_headers", "h2:1", 5], ["exchange_completed", "h2:5", 7], ["request_headers", "h2:7", 8]],
  );
  assertEquals([events[0]!.attributes.authority, events[2]!.attributes.authority], ["a.test:443", "b.test"]);
  const { outcome, error_code, request_head_bytes } = events[1]!.attributes;
  assertEquals([outcome, error_code, request_head_bytes], ["limit", "header_list_too_large", 33]);
});
