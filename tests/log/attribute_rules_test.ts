import { assertEquals } from "@std/assert";
import type { AttributeValue } from "../../src/core/event.ts";
import { EVENT_KINDS } from "../../src/core/event.ts";
import { attributeFault } from "../../src/log/attribute_rules.ts";
import { chunk, closed, completed, goodLog, requestHeaders, responseHeaders } from "./log_builder.ts";

Deno.test("attributeFault finds nothing in good events, and knows a kind from what it says", () => {
  const seen = new Set<string>();
  for (const line of goodLog().lines) {
    const { kind, attributes } = JSON.parse(line);
    if (kind === "log_opened") continue;
    seen.add(kind);
    assertEquals(attributeFault(kind, attributes), null);
    assertEquals(attributeFault(kind, { ...attributes, further: [{ any: null }] }), null);
  }
  assertEquals(EVENT_KINDS.filter((kind) => !seen.has(kind)), [], "each kind is in the good log");
});

Deno.test("attributeFault names the attribute that is missing or of another type, and what it should be", () => {
  const request = requestHeaders(1).attributes;
  const cases: readonly [Parameters<typeof attributeFault>[0], Record<string, AttributeValue>, string][] = [
    ["request_headers", without(request, "method"), "request_headers has no attribute method"],
    [
      "request_headers",
      { ...request, exchange_id: 0 },
      "attribute exchange_id of request_headers is not a whole number from 1 on",
    ],
    [
      "request_headers",
      { ...request, headers: [["a"]] },
      "attribute headers of request_headers is not an array of [name, value]",
    ],
    [
      "request_headers",
      { ...request, headers: [["a", 1]] },
      "attribute headers of request_headers is not an array of [name, value]",
    ],
    [
      "response_headers",
      { ...responseHeaders(1, 200).attributes, status: 99 },
      "attribute status of response_headers is not a status code",
    ],
    [
      "response_headers",
      { ...responseHeaders(1, 103).attributes, interim: false },
      "attribute interim of response_headers is not true",
    ],
    [
      "request_body_chunk",
      { ...chunk("request", 1, 0, 5).attributes, offset: -1 },
      "attribute offset of request_body_chunk is not a whole number from 0 on",
    ],
    [
      "request_body_chunk",
      { ...chunk("request", 1, 0, 5).attributes, data_base64: "====" },
      "attribute data_base64 of request_body_chunk is not padded base64",
    ],
    [
      "exchange_completed",
      { ...completed(1).attributes, answer_status: "502" },
      "attribute answer_status of exchange_completed is not a status code",
    ],
    [
      "exchange_completed",
      { ...completed(1).attributes, ttfb_ns: 1.5 },
      "attribute ttfb_ns of exchange_completed is not a whole number from 0 on or null",
    ],
    [
      "stream_closed",
      { ...closed().attributes, reason_detail: null },
      "attribute reason_detail of stream_closed is not a string",
    ],
  ];
  for (const [kind, attributes, detail] of cases) {
    assertEquals(attributeFault(kind, attributes)?.detail, detail);
  }
});

Deno.test("attributeFault takes no attribute from the prototype", () => {
  const inherited = Object.create(closed().attributes);
  assertEquals(attributeFault("stream_closed", inherited)?.name, "bytes_from_client");
});

function without(attributes: object, name: string): Record<string, AttributeValue> {
  return Object.fromEntries(Object.entries(attributes).filter(([key]) => key !== name));
}
