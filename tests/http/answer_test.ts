import { assertEquals } from "@std/assert";
import { type Answer, answerBody, proxyStatus } from "../../src/http/answer.ts";

const ANSWER: Answer = {
  status: 403,
  code: "blocked",
  detail: 'a.test is "blocked"\r\n',
  proxyError: "http_request_denied",
};

Deno.test("answerBody is one line of JSON with the code and the detail", () => {
  const body = new TextDecoder().decode(answerBody(ANSWER));
  assertEquals(body.split("\n").length, 2);
  assertEquals(JSON.parse(body), { error: "blocked", detail: ANSWER.detail });
});

Deno.test("proxyStatus names the proxy and the error type of RFC 9209", () => {
  assertEquals(proxyStatus(ANSWER), "soth-mitm; error=http_request_denied");
});
