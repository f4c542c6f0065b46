import { assertEquals } from "@std/assert";
import { isConnectUdp, parseConnectUdpHead } from "../../src/http1/connect_udp.ts";

const LIMITS = { maxHeaderFields: 10 };
const UPGRADE = "Connection: Upgrade\r\nUpgrade: connect-udp\r\n";

function head(target: string, fields = UPGRADE, start = "GET", version = "HTTP/1.1"): Uint8Array {
  return new TextEncoder().encode(`${start} ${target} ${version}\r\nHost: p.test\r\n${fields}\r\n`);
}

/** `host:port`, or the code of what is wrong. */
function parsed(bytes: Uint8Array): string {
  assertEquals(isConnectUdp(bytes, LIMITS), true);
  const read = parseConnectUdpHead(bytes, LIMITS);
  return read.type === "error" ? read.code : `${read.authority.host} ${read.authority.port}`;
}

const path = (rest: string) => `/.well-known/masque/udp/${rest}`;

Deno.test("parseConnectUdpHead reads the target out of the path", () => {
  assertEquals(parsed(head(path("192.0.2.6/443/"))), "192.0.2.6 443");
  assertEquals(parsed(head(path("A.Example/1/"))), "a.example 1");
  assertEquals(parsed(head(path("2001%3Adb8%3A%3A42/443/"))), "2001:db8::42 443");
  assertEquals(parsed(head(`https://p.test${path("a.test/443/")}`)), "a.test 443");
  assertEquals(
    parsed(head(path("a.test/443/"), "Connection: x, upgrade\r\nUpgrade: y, Connect-UDP\r\n")),
    "a.test 443",
  );
});

Deno.test("parseConnectUdpHead refuses what is no target, no upgrade, or has content", () => {
  const cases: readonly (readonly [Uint8Array, string])[] = [
    [head(path("a.test/443")), "invalid_target"],
    [head(path("a.test/443/x")), "invalid_target"],
    [head(path("a.test/443//")), "invalid_target"],
    [head(path("a.test/443/?x")), "invalid_target"],
    [head(path("/443/")), "invalid_target"],
    [head(path("")), "invalid_target"],
    [head(path("a.test/0/")), "invalid_port"],
    [head(path("a.test/65536/")), "invalid_port"],
    [head(path("a.test//")), "missing_port"],
    [head(path("u%40a.test/1/")), "userinfo_not_allowed"],
    [head(path("a%2/1/")), "invalid_target"],
    [head(path("a%zz/1/")), "invalid_target"],
    [head(path("%ff/1/")), "invalid_target"],
    [head(path("a%2Fb/1/")), "invalid_authority"],
    [head(path("a%00b/1/")), "invalid_authority"],
    [head(path("[::1]/1/")), "invalid_authority"],
    [head(path("a.test/1/"), "Upgrade: connect-udp\r\n"), "invalid_target"],
    [head(path("a.test/1/"), UPGRADE, "GET", "HTTP/1.0"), "invalid_target"],
    [head(path("a.test/1/"), `${UPGRADE}Content-Length: 1\r\n`), "invalid_target"],
  ];
  for (const [bytes, code] of cases) assertEquals(parsed(bytes), code, new TextDecoder().decode(bytes));
});

Deno.test("isConnectUdp leaves all other requests to whom they are for", () => {
  const others = [
    head(path("a.test/443/"), ""),
    head(path("a.test/443/"), "Connection: Upgrade\r\nUpgrade: websocket\r\n"),
    head(path("a.test/443/"), UPGRADE, "POST"),
    head("/other/.well-known/masque/udp/a.test/443/"),
    // A proxy behind this one is asked like any server.
    head(`http://p.test${path("a.test/443/")}`),
    new TextEncoder().encode("GET"),
    new TextEncoder().encode(`GET ${path("a/1/")} HTTP/1.1\r\nHost : x\r\n${UPGRADE}\r\n`),
  ];
  for (const bytes of others) {
    assertEquals(isConnectUdp(bytes, LIMITS), false, new TextDecoder().decode(bytes));
  }
});
