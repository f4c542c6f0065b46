import { assertEquals } from "@std/assert";
import { FirstHead } from "../../src/proxy/first_head.ts";

const CONFIG = {
  connectParseMode: "strict",
  limits: { maxHeadBytes: 200, maxHeaderFields: 10, headMs: 1, idleMs: 1, exchangeIdleMs: 1 },
} as const;
const CONNECT = "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n";

/** What comes of these bytes in pieces of that size: the kind of the read, and what matters in it. */
function read(text: string, size: number): readonly unknown[] {
  const head = new FirstHead(CONFIG);
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length; at += size) {
    const found = head.push(bytes.slice(at, at + size));
    if (found.type === "connect") return ["connect", found.head.authority, bytes.length - at - size <= 0];
    if (found.type === "plain") return ["plain", new TextDecoder().decode(found.bytes).slice(0, 3)];
    if (found.type === "error") return ["error", found.code];
  }
  return ["more", head.bytes];
}

Deno.test("FirstHead tells a CONNECT from what is plain, however it is cut up", () => {
  const cases = [
    [CONNECT, ["connect", { host: "a.test", port: 443 }, true]],
    [CONNECT.slice(0, 20), ["more", 20]],
    ["CONN", ["more", 4]],
    ["CONNECTED http://a.test/ HTTP/1.1\r\n\r\n", ["plain", "CON"]],
    ["CONNECT a.test HTTP/1.1\r\n\r\n", ["error", "missing_port"]],
    [`CONNECT a.test:443 HTTP/1.1\r\nA: ${"x".repeat(200)}`, ["error", "head_too_large"]],
  ] as const;
  for (const [text, expected] of cases) {
    for (let size = 1; size <= text.length; size++) {
      assertEquals(read(text, size), expected, `${text} in pieces of ${size}`);
    }
  }
});

Deno.test("FirstHead gives what is no CONNECT whole, and what came behind a CONNECT", () => {
  const plain = new FirstHead(CONFIG).push(new TextEncoder().encode("GET / HTTP/1.1\r\n"));
  assertEquals(plain.type === "plain" && new TextDecoder().decode(plain.bytes), "GET / HTTP/1.1\r\n");
  const connect = new FirstHead(CONFIG).push(new TextEncoder().encode(`${CONNECT}ahead`));
  assertEquals(connect.type === "connect" && new TextDecoder().decode(connect.rest), "ahead");
});
