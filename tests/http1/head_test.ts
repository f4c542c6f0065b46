import { assertEquals, assertStrictEquals } from "@std/assert";
import { assert } from "../../src/core/assert.ts";
import {
  parseRequestHead,
  parseResponseHead,
  type RequestHead,
  responseFraming,
  type ResponseHead,
} from "../../src/http1/head.ts";
import { latin1 } from "../support/golden.ts";

const LIMITS = { maxHeaderFields: 4 };

function request(text: string): RequestHead {
  const head = parseRequestHead(latin1(text), LIMITS);
  assert(head.type === "request", JSON.stringify(head));
  return head;
}

function response(text: string): ResponseHead {
  const head = parseResponseHead(latin1(text), LIMITS);
  assert(head.type === "response", JSON.stringify(head));
  return head;
}

function requestCode(text: string): string | null {
  const head = parseRequestHead(latin1(text), LIMITS);
  return head.type === "error" ? head.code : null;
}

function responseCode(text: string): string | null {
  const head = parseResponseHead(latin1(text), LIMITS);
  return head.type === "error" ? head.code : null;
}

Deno.test("parseRequestHead keeps the octets it was given and tells what they say", () => {
  const bytes = latin1("POST /p HTTP/1.1\r\nHost: A.test:81\r\nContent-Length: 3\r\n\r\n");
  const head = parseRequestHead(bytes, LIMITS);
  assert(head.type === "request", "it is parsed");
  assertStrictEquals(head.bytes, bytes);
  assertEquals(
    [head.method, head.target, head.version, head.host],
    ["POST", "/p", "HTTP/1.1", "A.test:81"],
  );
  assertEquals(head.parsedTarget, { form: "origin", path: "/p" });
  assertEquals(head.fields, [["Host", "A.test:81"], ["Content-Length", "3"]]);
  assertEquals(head.framing, { type: "length", length: 3 });
  assertEquals([head.keepAlive, head.expectContinue, head.upgrade], [true, false, false]);
});

Deno.test("parseRequestHead gives HTTP/1.0 without Host an empty one", () => {
  assertEquals(request("GET / HTTP/1.0\r\n\r\n").host, "");
});

Deno.test("parseRequestHead gives values as latin-1, octet by octet", () => {
  const octets = Array.from({ length: 128 }, (_, index) => String.fromCharCode(index + 128)).join("");
  const head = request(`GET / HTTP/1.1\r\nHost: a\r\nX: a${octets}b\r\n\r\n`);
  assertEquals(head.fields[1], ["X", `a${octets}b`]);
});

Deno.test("parseRequestHead trims SP and HTAB around values and nothing else", () => {
  const head = request("GET / HTTP/1.1\r\nHost: a\r\nX:\t \xa0v\x85 \t\r\n\r\n");
  assertEquals(head.fields[1], ["X", "\xa0v\x85"]);
});

Deno.test("parseRequestHead judges octets by itself, without a HeadReader before it", () => {
  assertEquals(requestCode("GET / HTTP/1.1\nHost: a\n\n"), "bare_lf");
  assertEquals(requestCode("GET / HTTP/1.1\rHost: a\r\n\r\n"), "bare_cr");
  assertEquals(requestCode("GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n"), "bare_cr");
  assertEquals(requestCode("GET / HTTP/1.1\r\nHost: a\nb\r\n\r\n"), "bare_lf");
  assertEquals(requestCode("GET / HTTP/1.1\r\nHost\n: a\r\n\r\n"), "bare_lf");
  assertEquals(requestCode("GET / HTTP/1.1\r\nHost\r: a\r\n\r\n"), "bare_cr");
  assertEquals(requestCode("GET / HTTP/1.1\r\nHost: a\x00\r\n\r\n"), "nul_byte");
  assertEquals(requestCode("GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n"), "nul_byte");
  assertEquals(requestCode("G\x01T / HTTP/1.1\r\nHost: a\r\n\r\n"), "control_byte");
  assertEquals(requestCode("GET / HT\x01P/1.1\r\nHost: a\r\n\r\n"), "control_byte");
});

Deno.test("parseRequestHead refuses every beginning of a head, and bytes after one", () => {
  const whole = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  for (let length = 0; length < whole.length; length++) {
    assert(requestCode(whole.slice(0, length)) !== null, `${length} bytes`);
  }
  assertEquals(requestCode(`${whole}x`), "malformed_start_line");
});

Deno.test("parseRequestHead allows as many field lines as the limit says, and not one more", () => {
  assertEquals(requestCode("GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n"), null);
  assertEquals(
    requestCode("GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n\r\n"),
    "too_many_fields",
  );
});

Deno.test("parseRequestHead tells offsets from the beginning of the head", () => {
  const head = parseRequestHead(latin1("GET http://a.test:0/ HTTP/1.1\r\nHost: a\r\n\r\n"), LIMITS);
  assert(head.type === "error", "it is an error");
  assertEquals([head.code, head.offset], ["invalid_port", 11]);
});

Deno.test("parseResponseHead keeps the octets and tells status and reason", () => {
  const bytes = latin1("HTTP/1.0 404 Not Found\r\nA: b\r\n\r\n");
  const head = parseResponseHead(bytes, LIMITS);
  assert(head.type === "response", "it is parsed");
  assertStrictEquals(head.bytes, bytes);
  assertEquals([head.version, head.status, head.reason], ["HTTP/1.0", 404, "Not Found"]);
  assertEquals(head.fields, [["A", "b"]]);
});

Deno.test("parseResponseHead refuses every beginning of a head", () => {
  const whole = "HTTP/1.1 200 OK\r\nA: b\r\n\r\n";
  assertEquals(responseCode(whole), null);
  for (let length = 0; length < whole.length; length++) {
    assert(responseCode(whole.slice(0, length)) !== null, `${length} bytes`);
  }
});

Deno.test("responseFraming follows RFC 9112 §6.3 in its order", () => {
  const none = { type: "none" } as const;
  for (
    const [text, method, framing, keepAlive] of [
      ["HTTP/1.1 200 OK\r\n\r\n", "GET", { type: "until_close" }, false],
      ["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "GET", none, true],
      ["HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\n", "GET", {
        type: "length",
        length: 7,
      }, false],
      ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "GET", { type: "chunked" }, true],
      ["HTTP/1.0 200 OK\r\nContent-Length: 7\r\n\r\n", "GET", { type: "length", length: 7 }, false],
      ["HTTP/1.0 200 OK\r\nContent-Length: 7\r\nConnection: keep-alive\r\n\r\n", "GET", {
        type: "length",
        length: 7,
      }, true],
      ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HEAD", none, true],
      ["HTTP/1.1 204 No\r\nContent-Length: 7\r\n\r\n", "GET", none, true],
      ["HTTP/1.1 304 No\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n", "GET", none, false],
      ["HTTP/1.1 100 Go\r\nConnection: close\r\n\r\n", "GET", none, true],
      ["HTTP/1.1 299 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "CONNECT", none, true],
      ["HTTP/1.1 300 No\r\nContent-Length: 7\r\n\r\n", "CONNECT", { type: "length", length: 7 }, true],
      ["HTTP/1.1 205 Reset\r\nContent-Length: 7\r\n\r\n", "GET", { type: "length", length: 7 }, true],
    ] as const
  ) {
    assertEquals(responseFraming(response(text), method), { framing, keepAlive }, `${text} to ${method}`);
  }
});

Deno.test("responseFraming refuses fields that contradict each other even where no body follows", () => {
  for (const status of ["100 Go", "200 OK", "204 No", "304 No"]) {
    const both = response(`HTTP/1.1 ${status}\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n`);
    const result = responseFraming(both, "HEAD");
    assertEquals("type" in result && result.code, "content_length_with_transfer_encoding");
  }
});
