import { assertEquals } from "@std/assert";
import { formatAuthority } from "../../src/core/authority.ts";
import { canonicalName, parseAuthority } from "../../src/http1/host.ts";
import { parseHostValue, parseTarget } from "../../src/http1/target.ts";

function summary(target: string, method = "GET"): string {
  const parsed = parseTarget(target, method);
  if ("type" in parsed) return parsed.code;
  switch (parsed.form) {
    case "origin":
      return `origin ${parsed.path}`;
    case "absolute":
      return `${parsed.scheme} ${formatAuthority(parsed.authority)} ${parsed.path}`;
    case "authority":
      return `authority ${formatAuthority(parsed.authority)}`;
    case "asterisk":
      return "asterisk";
  }
}

Deno.test("parseTarget tells the four forms apart", () => {
  for (
    const [target, method, expected] of [
      ["/", "GET", "origin /"],
      ["//a.test/", "GET", "origin //a.test/"],
      ["/http://b/", "GET", "origin /http://b/"],
      ["*", "OPTIONS", "asterisk"],
      ["*", "GET", "invalid_target"],
      ["**", "OPTIONS", "invalid_target"],
      ["a.test:443", "CONNECT", "authority a.test:443"],
      ["/", "CONNECT", "invalid_authority"],
      ["a.test:443", "connect", "invalid_target"],
      ["a.test:443", "GET", "invalid_target"],
      ["http://a.test", "GET", "http a.test:80 /"],
      ["http://a.test", "OPTIONS", "http a.test:80 *"],
      ["http://a.test/", "OPTIONS", "http a.test:80 /"],
      ["http://a.test?", "GET", "http a.test:80 /?"],
      ["http://a.test:/x", "GET", "http a.test:80 /x"],
      ["HTTPS://A.test:8443/X?Y", "GET", "https a.test:8443 /X?Y"],
      ["http://[::1]:8080/x", "GET", "http [::1]:8080 /x"],
      ["http:/a.test/", "GET", "invalid_target"],
      ["http:", "GET", "invalid_target"],
      ["://a.test/", "GET", "invalid_target"],
      ["", "GET", "invalid_target"],
      ["gopher://a.test/", "GET", "unsupported_scheme"],
      ["http://", "GET", "invalid_authority"],
      ["http://:80/", "GET", "invalid_authority"],
      ["http://a.test:99999/", "GET", "invalid_port"],
      ["http://a@b/", "GET", "userinfo_not_allowed"],
      ["http://a.test\\@b/", "GET", "userinfo_not_allowed"],
      ["http://a.test\\b/", "GET", "invalid_authority"],
      ["http://a.test/u@b", "GET", "http a.test:80 /u@b"],
    ] as const
  ) assertEquals(summary(target, method), expected, `${method} ${target}`);
});

Deno.test("parseTarget refuses fragments, white space, controls and everything outside ASCII", () => {
  for (const bad of ["/#", "/ ", "/\t", "/\r", "/\n", "/\0", "/\x7f", "/\x80", "/\xff", "/\u0100"]) {
    assertEquals(summary(bad), "invalid_target", JSON.stringify(bad));
  }
});

Deno.test("parseHostValue follows uri-host with an optional port", () => {
  for (
    const [value, expected] of [
      ["a.test", { host: "a.test", port: null }],
      ["A.Test.", { host: "a.test", port: null }],
      ["a.test:", { host: "a.test", port: null }],
      ["a.test:8080", { host: "a.test", port: 8080 }],
      ["a.test:0080", { host: "a.test", port: 80 }],
      ["[::1]", { host: "::1", port: null }],
      ["[0:0::1]:80", { host: "::1", port: 80 }],
      ["a_b~c", { host: "a_b~c", port: null }],
      ["a..b", { host: "a..b", port: null }],
    ] as const
  ) assertEquals(parseHostValue(value), expected, value);
  for (
    const value of [
      "",
      ":80",
      "a b",
      "a,b",
      "a/b",
      "a?b",
      "a#b",
      "a\\b",
      "a%41",
      "u@a",
      "a:b",
      "a:80:80",
      "a:0",
      "a:65536",
      "a: 80",
      "a:+80",
      "::1",
      "[::1",
      "[::1]x",
      "[::1]]",
      "[]",
      "[1.2.3.4]",
      "[::1%25lo]",
      "[v1.x]",
      "b\xfccher",
    ]
  ) assertEquals("type" in parseHostValue(value), true, value);
});

Deno.test("parseAuthority takes a default port only where one is given", () => {
  assertEquals(parseAuthority("a.test", 443, 0), { host: "a.test", port: 443 });
  assertEquals(parseAuthority("a.test:", 443, 0), { host: "a.test", port: 443 });
  assertEquals(parseAuthority("[::1]", 443, 0), { host: "::1", port: 443 });
  const missing = parseAuthority("a.test", null, 7);
  assertEquals("type" in missing && [missing.code, missing.offset], ["missing_port", 7]);
});

Deno.test("parseAuthority gives each IPv6 address one spelling", () => {
  for (
    const [spelling, host] of [
      ["[::]", "::"],
      ["[0:0:0:0:0:0:0:1]", "::1"],
      ["[2001:0DB8::00A0]", "2001:db8::a0"],
      ["[1:0:0:2:0:0:0:3]", "1:0:0:2::3"],
      ["[::1.2.3.4]", "::102:304"],
    ] as const
  ) assertEquals(parseAuthority(`${spelling}:1`, null, 0), { host, port: 1 }, spelling);
  for (const bad of ["[:::]", "[1:2:3:4:5:6:7]", "[1:2:3:4:5:6:7:8:9]", "[::12345]", "[::1.2.3]", "[::g]"]) {
    assertEquals("type" in parseAuthority(`${bad}:1`, null, 0), true, bad);
  }
});

Deno.test("canonicalName refuses what a resolver would read as another address", () => {
  for (
    const name of [
      "a",
      "a.b",
      "1.2.3.4",
      "1.2.3.4.test",
      "3com.test",
      "0x.test",
      "x0",
      "a-.-b_",
      "255.255.255.255",
    ]
  ) {
    assertEquals(canonicalName(name), name);
  }
  assertEquals(canonicalName("A.B."), "a.b");
  assertEquals(canonicalName("1.2.3.4."), "1.2.3.4");
  for (
    const name of [
      "",
      ".",
      "..",
      ".a",
      "a..",
      "1",
      "1.2.3",
      "1.2.3.4.5",
      "1.2.3.256",
      "01.2.3.4",
      "a.1",
      "a.0x1f",
      "0x",
      "a b",
    ]
  ) assertEquals(canonicalName(name), null, name);
});

Deno.test("canonicalName allows labels of 63 and names of 253 characters, and not one more", () => {
  const label = "a".repeat(63);
  assertEquals(canonicalName(label), label);
  assertEquals(canonicalName(`${label}a`), null);
  const name = `${label}.${label}.${label}.${"a".repeat(61)}`;
  assertEquals(name.length, 253);
  assertEquals(canonicalName(name), name);
  assertEquals(canonicalName(`${name}a`), null);
});
