import { assert } from "../../src/core/assert.ts";
import { assertEquals } from "@std/assert";
import type { Answer } from "../../src/http/answer.ts";
import { encodeAnswer } from "../../src/http1/answer.ts";
import { MessageLoop } from "./message_loop.ts";

const ANSWER: Answer = {
  status: 502,
  code: "connect_failed",
  detail: "a.test said “no”\r\n",
  proxyError: "connection_refused",
};

function read(bytes: Uint8Array, requestMethod: string) {
  const loop = new MessageLoop({ direction: "response", requestMethod, messages: 1 });
  loop.push(bytes);
  const message = loop.messages[0];
  assert(message?.head.type === "response" && message.complete && loop.rest === 0, "it is one response");
  return { head: message.head, keepAlive: message.keepAlive, content: message.content };
}

Deno.test("encodeAnswer gives a response whose JSON body has the length that it says", () => {
  const { head, keepAlive, content } = read(encodeAnswer(ANSWER, { close: true }), "GET");
  assertEquals([head.status, head.reason, keepAlive], [502, "Bad Gateway", false]);
  assertEquals(JSON.parse(new TextDecoder().decode(content)), {
    error: ANSWER.code,
    detail: ANSWER.detail,
  });
  const fields = new Map(head.fields);
  assertEquals(fields.get("Content-Length"), String(content.length));
  assertEquals(fields.get("Proxy-Status"), "soth-mitm; error=connection_refused");
});

Deno.test("encodeAnswer leaves the connection open where it may stay", () => {
  assertEquals(read(encodeAnswer(ANSWER, { close: false }), "POST").keepAlive, true);
});

Deno.test("encodeAnswer sends no body to HEAD, but says how long it would be", () => {
  const { head, content } = read(encodeAnswer(ANSWER, { method: "HEAD", close: true }), "HEAD");
  assertEquals(content.length, 0);
  const whole = read(encodeAnswer(ANSWER, { close: true }), "GET");
  assertEquals(head.fields, whole.head.fields);
});
