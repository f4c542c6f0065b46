import { assertEquals } from "@std/assert";
import { formatAuthority } from "../../src/core/authority.ts";

Deno.test("formatAuthority joins host and port, with IPv6 hosts in brackets", () => {
  assertEquals(formatAuthority({ host: "example.com", port: 443 }), "example.com:443");
  assertEquals(formatAuthority({ host: "192.0.2.1", port: 80 }), "192.0.2.1:80");
  assertEquals(formatAuthority({ host: "2001:db8::1", port: 8443 }), "[2001:db8::1]:8443");
});
