import { assertEquals } from "@std/assert";
import { FirstBytes } from "../../src/proxy/first_bytes.ts";
import { clientHello, serverName } from "../tls/hello_builder.ts";

const HELLO = clientHello({ extensions: [serverName("a.test")] });
const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const BEGINNINGS: readonly (readonly [string | Uint8Array, string, boolean])[] = [
  [HELLO, "hello", true],
  [HELLO.subarray(0, 40), "more", true],
  ["GET / HTTP/1.1\r\n", "http1", false],
  ["OPTIONS *", "http1", false],
  [PREFACE, "http2", false],
  [PREFACE.slice(0, 20), "more", false],
  ["SSH-2.0-x\r\n", "opaque", false],
  ["CONNECT a.test:443 HTTP/1.1\r\n", "opaque", false],
  [Uint8Array.of(0x16, 3, 1, 0, 4, 1, 0, 0, 0), "malformed", true],
];

Deno.test("FirstBytes tells what a client begins with, however its bytes are cut up", () => {
  for (const [given, type, mayBeTls] of BEGINNINGS) {
    const bytes = typeof given === "string" ? new TextEncoder().encode(given) : given;
    for (let size = 1; size <= bytes.length; size++) {
      const first = new FirstBytes(true);
      let found: string = "more";
      for (let at = 0; at < bytes.length && found === "more"; at += size) {
        found = first.push(bytes.subarray(at, at + size)).type;
      }
      assertEquals([found, first.mayBeTls], [type, mayBeTls], `${given} in pieces of ${size}`);
    }
  }
});

Deno.test("FirstBytes takes the HTTP/2 preface for opaque where HTTP/2 is off", () => {
  assertEquals(new FirstBytes(false).push(new TextEncoder().encode(PREFACE)).type, "opaque");
});
