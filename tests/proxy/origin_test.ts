import { assertEquals } from "@std/assert";
import { formatOrigin, parseOrigin } from "../../src/proxy/origin.ts";

Deno.test("parseOrigin takes a scheme, a host and a port, and nothing more", () => {
  assertEquals(parseOrigin("https://A.test"), { authority: { host: "a.test", port: 443 }, tls: true });
  assertEquals(parseOrigin("http://[::1]:8080/"), { authority: { host: "::1", port: 8080 }, tls: false });
  for (const text of ["/", "*", "a.test:443", "https://a.test/x", "https://a.test?", "ws://a.test", ""]) {
    assertEquals("detail" in parseOrigin(text), true, text);
  }
});

Deno.test("formatOrigin writes what parseOrigin reads, with the port", () => {
  for (const text of ["https://a.test:443", "http://[::1]:8080"]) {
    const origin = parseOrigin(text);
    assertEquals("detail" in origin ? origin.detail : formatOrigin(origin), text);
  }
});
