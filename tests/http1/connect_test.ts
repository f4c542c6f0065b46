import { assertEquals } from "@std/assert";
import { assert } from "../../src/core/assert.ts";
import { type ConnectParseMode, isConnect, parseConnectHead } from "../../src/http1/connect.ts";
import { latin1 } from "../support/golden.ts";

function code(text: string, mode: ConnectParseMode = "strict"): string | null {
  const head = parseConnectHead(latin1(text), mode);
  return head.type === "error" ? head.code : null;
}

Deno.test("isConnect knows CONNECT in any case, and only as a whole method", () => {
  for (const text of ["CONNECT a:1 HTTP/1.1\r\n", "connect a", "CoNnEcT ", "CONNECT\t", "CONNECT\r\n"]) {
    assertEquals(isConnect(latin1(text)), true, text);
  }
  for (const text of ["", "CONNECT", "CONNECTS a:1", "CONNECT-X ", "GET / HTTP/1.1\r\n", " CONNECT "]) {
    assertEquals(isConnect(latin1(text)), false, text);
  }
});

Deno.test("parseConnectHead tells authority, target, method, version and fields", () => {
  const head = parseConnectHead(
    latin1("cOnnect https://A.test/x HTTP/1.0\r\nProxy-Authorization: Basic eDp5\r\n\r\n"),
    "lenient",
  );
  assert(head.type === "connect", "it is parsed");
  assertEquals(head.authority, { host: "a.test", port: 443 });
  assertEquals([head.method, head.raw, head.version], ["cOnnect", "https://A.test/x", "HTTP/1.0"]);
  assertEquals(head.fields, [["Proxy-Authorization", "Basic eDp5"]]);
});

Deno.test("parseConnectHead judges octets and lines by itself, in both modes", () => {
  for (const mode of ["strict", "lenient"] as const) {
    assertEquals(code("CONNECT a:1 HTTP/1.1\n\n", mode), "bare_lf");
    assertEquals(code("CONNECT a:1 HTTP/1.1\r\nA: b\n\r\n", mode), "bare_lf");
    assertEquals(code("CONNECT a:1 HTTP/1.1\r\r\n", mode), "bare_cr");
    assertEquals(code("CONNECT a\x00:1 HTTP/1.1\r\n\r\n", mode), "nul_byte");
    assertEquals(code("CONNECT a\x01:1 HTTP/1.1\r\n\r\n", mode), "control_byte");
    assertEquals(code("CONNECT a:1 HTTP/1.1\r\nA: \x01\r\n\r\n", mode), "control_byte");
    assertEquals(code("CONNECT a:1 HTTP/1.1\r\nA: b\r\n c\r\n\r\n", mode), "obs_fold");
    assertEquals(code("CONNECT a:1 HTTP/1.1\r\n", mode), "truncated_message");
    assertEquals(code("CONNECT a:1 HTTP/1.1\r\n\r\nx", mode), "malformed_start_line");
    assertEquals(code("CONNECT a:1", mode), "truncated_message");
    assertEquals(code("", mode), "truncated_message");
  }
});

Deno.test("parseConnectHead allows as many field lines as the limit says, and not one more", () => {
  const head = (count: number) => latin1(`CONNECT a:1 HTTP/1.1\r\n${"A: b\r\n".repeat(count)}\r\n`);
  assertEquals(parseConnectHead(head(3), "strict", { maxHeaderFields: 3 }).type, "connect");
  const over = parseConnectHead(head(4), "strict", { maxHeaderFields: 3 });
  assertEquals(over.type === "error" && over.code, "too_many_fields");
  assertEquals(parseConnectHead(head(256), "strict").type, "connect");
  assertEquals(parseConnectHead(head(257), "strict").type, "error");
});

Deno.test("parseConnectHead in lenient mode does not let URL syntax change the host", () => {
  for (
    const target of ["b\xc3\xbc@x:443", "b\xc3\xbc\\x", "b\xc3\xbc%2ex", "[b\xc3\xbc]:443", "b\xc3\xbc:99999"]
  ) {
    assert(code(`CONNECT ${target} HTTP/1.1\r\n\r\n`, "lenient") !== null, target);
  }
});
