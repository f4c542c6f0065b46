import { assertEquals } from "@std/assert";
import type { RequestSection, ResponseSection } from "../../src/http2/field_section.ts";
import { MessageOrder } from "../../src/http2/message_order.ts";

function requestHead(contentLength: number | null, method = "POST"): RequestSection {
  return {
    type: "request",
    method,
    scheme: "https",
    path: "/",
    authority: "a.test",
    protocol: null,
    host: null,
    hostDiffers: false,
    fields: [],
    contentLength,
  };
}

function responseHead(status: number, contentLength: number | null = null): ResponseSection {
  return { type: "response", status, fields: [], contentLength };
}

/** A message's frames: a head, a number of octets of content, or trailers; `end` ends the stream. */
type Step =
  | { head: RequestSection | ResponseSection; method?: string; end?: boolean }
  | { content: number; end?: boolean }
  | { trailers: true; end?: boolean };

/** The code of the first error, or "ok". */
function run(...steps: Step[]): string {
  const order = new MessageOrder("client", 1);
  for (const step of steps) {
    const end = step.end ?? false;
    const error = "head" in step
      ? order.head(step.head, end, step.method ?? "GET")
      : "content" in step
      ? order.content(step.content, end)
      : order.trailers(end);
    if (error !== null) return error.code;
  }
  return "ok";
}

Deno.test("MessageOrder takes a head, content in any pieces, and trailers that end the stream", () => {
  assertEquals(run({ head: requestHead(null), end: true }), "ok");
  assertEquals(run({ head: requestHead(3) }, { content: 1 }, { content: 2, end: true }), "ok");
  assertEquals(run({ head: requestHead(3) }, { content: 3 }, { content: 0, end: true }), "ok");
  assertEquals(run({ head: responseHead(200) }, { content: 5 }, { trailers: true, end: true }), "ok");
  assertEquals(run({ head: responseHead(200) }, { trailers: true }), "trailers_without_end");
  assertEquals(run({ content: 1 }), "data_before_headers");
  assertEquals(run({ content: 0, end: true }), "data_before_headers");
});

Deno.test("MessageOrder takes any number of interim responses, none of which ends the stream", () => {
  const interim = { head: responseHead(103) };
  assertEquals(run(interim, interim, { head: responseHead(200), end: true }), "ok");
  assertEquals(run({ ...interim, end: true }), "interim_response_ends_stream");
  assertEquals(run(interim, { content: 1 }), "data_before_headers");
});

Deno.test("MessageOrder.next tells whether a field block is a head or trailers", () => {
  const order = new MessageOrder("server", 1);
  assertEquals(order.next, "head");
  order.head(responseHead(100), false, "GET");
  assertEquals(order.next, "head");
  order.head(responseHead(200), false, "GET");
  assertEquals(order.next, "trailers");
  order.content(4, false);
  assertEquals([order.next, order.contentBytes], ["trailers", 4]);
});

Deno.test("MessageOrder holds content to content-length, one less and one more, as soon as it is known", () => {
  for (const head of [requestHead(3), responseHead(200, 3)]) {
    assertEquals(run({ head }, { content: 3, end: true }), "ok");
    assertEquals(run({ head }, { content: 2, end: true }), "content_length_mismatch");
    assertEquals(run({ head }, { content: 2 }, { trailers: true, end: true }), "content_length_mismatch");
    assertEquals(run({ head }, { content: 4 }), "content_length_mismatch");
    assertEquals(run({ head, end: true }), "content_length_mismatch");
  }
  assertEquals(run({ head: requestHead(0), end: true }), "ok");
});

Deno.test("MessageOrder leaves content-length alone where it does not speak of this message", () => {
  assertEquals(run({ head: responseHead(200, 9), method: "HEAD", end: true }), "ok");
  assertEquals(run({ head: responseHead(204, 9), end: true }), "ok");
  assertEquals(run({ head: responseHead(304, 9), end: true }), "ok");
  assertEquals(run({ head: responseHead(200, 9), method: "CONNECT" }, { content: 50, end: true }), "ok");
  assertEquals(run({ head: requestHead(9, "CONNECT") }, { content: 50 }), "ok");
  assertEquals(run({ head: responseHead(407, 9), method: "CONNECT", end: true }), "content_length_mismatch");
});
