import { assertEquals } from "@std/assert";
import { http1Error } from "../../src/http1/errors.ts";
import { causeOf, closeReasonOf, rejectionAnswer } from "../../src/http1/rejection.ts";

Deno.test("a rejection is a limit where only the size is wrong, else a breach of the protocol", () => {
  assertEquals(causeOf(http1Error("head_too_large", "", 0, "")), "limit");
  assertEquals(causeOf(http1Error("bare_lf", "", 0, "")), "protocol_error");
});

Deno.test("rejectionAnswer tells what the client may do about it", () => {
  const error = http1Error("bare_lf", "found a bare LF", 0, "");
  const answers = (["protocol_error", "limit", "timeout"] as const).map((cause) => {
    const { status, code, detail, proxyError } = rejectionAnswer(error, cause);
    assertEquals([code, detail], ["bare_lf", "found a bare LF"]);
    return [status, proxyError];
  });
  assertEquals(answers, [
    [400, "http_request_error"],
    [431, "http_request_error"],
    [408, "connection_read_timeout"],
  ]);
});

Deno.test("closeReasonOf tells a first request that cannot be parsed from later ones", () => {
  const reasons = [true, false].map((isFirst) =>
    (["protocol_error", "limit", "timeout"] as const).map((cause) => closeReasonOf(cause, isFirst))
  );
  assertEquals(reasons, [
    ["connect_parse_failed", "limit_exceeded", "stage_timeout"],
    ["protocol_error", "limit_exceeded", "stage_timeout"],
  ]);
});
