import { assertEquals } from "@std/assert";
import type { ExchangeError } from "../../src/http/exchange_recorder.ts";
import { unopenedExchangeEvent } from "../../src/http/recording.ts";

const ERROR: ExchangeError = { by: "client", code: "bare_lf", detail: "found a bare LF" };

function event(error: ExchangeError) {
  return unopenedExchangeEvent({
    protocol: "http1",
    streamKey: "h1:2",
    exchangeId: 2,
    outcome: "protocol_error",
    error,
    headBytes: 7,
  });
}

Deno.test("unopenedExchangeEvent tells who was wrong, and how, of an exchange without a head", () => {
  const { kind, protocol, streamKey, attributes } = event(ERROR);
  assertEquals([kind, protocol, streamKey], ["exchange_completed", "http1", "h1:2"]);
  assertEquals(attributes, {
    duration_ns: 0,
    error_by: "client",
    error_code: "bare_lf",
    error_detail: "found a bare LF",
    exchange_id: 2,
    outcome: "protocol_error",
    request_body_bytes: 0,
    request_head_bytes: 7,
    response_body_bytes: 0,
    response_head_bytes: 0,
    ttfb_ns: null,
  });
});

Deno.test("unopenedExchangeEvent has the status of the proxy's answer where there was one, and its keys in order", () => {
  const { attributes } = event({ ...ERROR, answerStatus: 400 });
  assertEquals(attributes["answer_status"], 400);
  assertEquals(Object.keys(attributes), Object.keys(attributes).toSorted());
});
