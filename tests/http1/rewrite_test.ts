import { assertEquals } from "@std/assert";
import { assert } from "../../src/core/assert.ts";
import { parseRequestHead, parseResponseHead } from "../../src/http1/head.ts";
import {
  toOriginForm,
  withoutFields,
  withoutH2cOffer,
  withoutTransferCoding,
} from "../../src/http1/rewrite.ts";
import { latin1 } from "../support/golden.ts";

const LIMITS = { maxHeaderFields: 256 };

function rewritten(text: string): string {
  const head = parseRequestHead(latin1(text), LIMITS);
  assert(head.type === "request" && head.parsedTarget.form === "absolute", JSON.stringify(head));
  return String.fromCharCode(...toOriginForm(head, head.parsedTarget.path, head.parsedTarget.authority));
}

Deno.test("toOriginForm changes the request line and leaves every other octet", () => {
  const fields = "Host:  a.test:80 \r\nx: \xe9\t\r\nX:\r\nconnection: a ,b\r\n\r\n";
  assertEquals(rewritten(`GET http://a.test HTTP/1.1\r\n${fields}`), `GET / HTTP/1.1\r\n${fields}`);
});

Deno.test("toOriginForm removes each field that addresses the proxy, and its name in Connection", () => {
  assertEquals(
    rewritten(
      "GET http://a.test/ HTTP/1.1\r\nPROXY-connection: close\r\nConnection: close, proxy-CONNECTION\r\nHost: a.test\r\n" +
        "Proxy-Authorization: x\r\nConnection: Proxy-Connection ,\r\nproxy-authorization: y\r\n\r\n",
    ),
    "GET / HTTP/1.1\r\nConnection: close\r\nHost: a.test\r\n\r\n",
  );
});

Deno.test("toOriginForm gives HTTP/1.0 our version and a Host where it has none", () => {
  assertEquals(
    rewritten("GET http://[::1]:81/?q HTTP/1.0\r\nA: b\r\n\r\n"),
    "GET /?q HTTP/1.1\r\nHost: [::1]:81\r\nA: b\r\n\r\n",
  );
  assertEquals(
    rewritten("GET http://a.test/ HTTP/1.0\r\nA: b\r\nhost: a.test\r\n\r\n"),
    "GET / HTTP/1.1\r\nA: b\r\nhost: a.test\r\n\r\n",
  );
});

Deno.test("withoutH2cOffer takes the offer of HTTP/2 out of a request, and no other octet", () => {
  const sent = (fields: string) => {
    const head = parseRequestHead(latin1(`GET /a HTTP/1.1\r\nHost: a.test\r\n${fields}\r\n`), LIMITS);
    assert(head.type === "request", JSON.stringify(head));
    const { bytes, upgrade } = withoutH2cOffer(head);
    return [String.fromCharCode(...bytes).slice("GET /a HTTP/1.1\r\nHost: a.test\r\n".length, -2), upgrade];
  };
  const java =
    "Connection: Upgrade, HTTP2-Settings\r\nx:  \xe9\r\nHTTP2-Settings: AAEAAEAA\r\nUpgrade: h2c\r\n";
  assertEquals(sent(java), ["x:  \xe9\r\n", false]);
  const both =
    "upgrade: websocket ,H2C\r\nConnection: keep-alive,upgrade,http2-settings\r\nhttp2-settings: x\r\n";
  assertEquals(sent(both), ["upgrade: websocket\r\nConnection: keep-alive, upgrade\r\n", true]);
  for (
    const other of [
      "Connection: Upgrade\r\nUpgrade: websocket\r\nHTTP2-Settings: x\r\n",
      "Upgrade: h2c-14\r\nConnection: upgrade\r\n",
    ]
  ) assertEquals(sent(other), [other, true]);
  assertEquals(
    rewritten(`GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nProxy-Connection: x\r\n${java}\r\n`),
    "GET / HTTP/1.1\r\nHost: a.test\r\nx:  \xe9\r\n\r\n",
  );
});

Deno.test("withoutTransferCoding leaves what does not speak of coding or connection", () => {
  const head = parseResponseHead(
    latin1(
      "HTTP/1.1 200 \r\nA: b\r\nTRAILER: x\r\nTransfer-Encoding: chunked\r\nConnection: x\r\na:  \xe9\r\n\r\n",
    ),
    LIMITS,
  );
  assert(head.type === "response", "it is parsed");
  assertEquals(
    String.fromCharCode(...withoutTransferCoding(head)),
    "HTTP/1.1 200 \r\nConnection: close\r\nA: b\r\na:  \xe9\r\n\r\n",
  );
});

Deno.test("withoutFields drops the lines of those fields and leaves every other octet", () => {
  const head = parseResponseHead(
    latin1("HTTP/1.1 200  \xe9\r\nALT-SVC: a\r\nX:  alt-svc\t\r\nalt-svc:\r\nAlt-Svc2: y\r\n\r\n"),
    LIMITS,
  );
  assert(head.type === "response", JSON.stringify(head));
  assertEquals(
    String.fromCharCode(...withoutFields(head, new Set(["alt-svc"]))),
    "HTTP/1.1 200  \xe9\r\nX:  alt-svc\t\r\nAlt-Svc2: y\r\n\r\n",
  );
});

Deno.test("heads are changed line by line also where they are folded or end in a bare LF", () => {
  const parsed = (text: string) => {
    const head = parseResponseHead(latin1(text), LIMITS, "lines");
    assert(head.type === "response", JSON.stringify(head));
    return head;
  };
  const dropped = new Set(["alt-svc"]);
  const folded = parsed(
    "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nAlt-Svc: h3\r\n\t=x\r\nAlt-Svc : y\r\nD:\r\n e\r\n\r\n",
  );
  assertEquals(
    String.fromCharCode(...withoutFields(folded, dropped)),
    "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nD:\r\n e\r\n\r\n",
  );
  const bare = parsed("HTTP/1.1 200 OK\nA: b\n c\nAlt-Svc: h3\nTransfer-Encoding: chunked\n\n");
  assertEquals(String.fromCharCode(...withoutFields(bare, new Set())), String.fromCharCode(...bare.bytes));
  assertEquals(
    String.fromCharCode(...withoutTransferCoding(bare, dropped)),
    "HTTP/1.1 200 OK\nConnection: close\nA: b\n c\n\n",
  );
});
