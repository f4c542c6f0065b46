import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { matches, parsePattern, type Pattern } from "../../src/policy/pattern.ts";

/** Pattern, authorities that it matches, authorities that it does not. */
const CASES: readonly (readonly [pattern: string, matching: readonly string[], other: readonly string[]])[] =
  [
    ["api.example.com", ["api.example.com:443", "API.Example.COM:80", "api.example.com.:443"], [
      "example.com:443",
      "x.api.example.com:443",
      "api.example.com.evil.example:443",
    ]],
    ["API.example.com.", ["api.example.com:443"], ["api.example.org:443"]],
    ["api.example.com:8443", ["api.example.com:8443"], ["api.example.com:443"]],
    ["*.example.com", ["example.com:1", "a.example.com:1", "a.b.c.example.com:1"], [
      "badexample.com:1",
      "example.com.evil.example:1",
      "com:1",
    ]],
    ["*.example.com:443", ["example.com:443"], ["example.com:80"]],
    ["api-*.example.com", ["api-1.example.com:1", "api-.example.com:1"], [
      "api-1.x.example.com:1",
      "x.api-1.example.com:1",
      "example.com:1",
    ]],
    ["*.api-*.example.com", ["api-1.example.com:1", "x.y.api-1.example.com:1"], ["x.example.com:1"]],
    ["api.*.example.com", ["api.eu.example.com:1"], ["api.example.com:1", "api.a.b.example.com:1"]],
    ["*a*b*.example", ["ab.example:1", "xaybz.example:1", "aab.example:1"], ["ba.example:1", "example:1"]],
    ["example.*", ["example.com:1", "example.org:1"], ["example:1", "example.co.uk:1"]],
    ["*", ["example.com:1", "127.0.0.1:1", "::1:1"], []],
    ["*:443", ["example.com:443", "::1:443"], ["example.com:444"]],
    ["localhost", ["localhost:1"], ["127.0.0.1:1"]],
    ["bücher.example", ["xn--bcher-kva.example:1", "bücher.example:1", "BÜCHER.example:1"], [
      "bucher.example:1",
    ]],
    ["*.bücher.example", ["www.xn--bcher-kva.example:1"], []],
    ["xn--bcher-kva.example", ["bücher.example:1"], []],
    [
      "192.0.2.7",
      ["192.0.2.7:1", "::ffff:192.0.2.7:1", "::ffff:c000:207:1", "0xc0.0.2.7:1", "3221225991:1"],
      [
        "192.0.2.8:1",
        "7.192.0.2.7:1",
      ],
    ],
    ["127.0.0.0/8", ["127.0.0.1:1", "127.1:1", "0177.0.0.1:1", "2130706433:1", "127.0.0.1.:1"], [
      "128.0.0.1:1",
    ]],
    ["10.1.2.3/8", ["10.255.0.1:1"], ["11.0.0.1:1", "a.example:1"]],
    ["10.0.0.0/8:443", ["10.0.0.1:443"], ["10.0.0.1:80"]],
    ["0.0.0.0/0", ["1.2.3.4:1", "255.255.255.255:1"], ["::1:1", "example.com:1"]],
    ["10.0.0.*", ["10.0.0.255:1", "10.1:1".replace("10.1", "10.0.0.1")], ["10.0.1.0:1", "10.0.0.example:1"]],
    ["10.*.0.1:80", ["10.9.0.1:80", "10.524289:80"], ["10.9.0.1:81", "10.9.1.1:80"]],
    ["::1", ["::1:1", "0:0:0:0:0:0:0:1:1"], ["::2:1", "0.0.0.1:1"]],
    ["[::1]:8443", ["::1:8443"], ["::1:443"]],
    ["[::1]", ["::1:8443"], []],
    ["2001:db8::/32", ["2001:db8::1:1", "2001:DB8:ffff::1:1", "2001:db8::1%eth0:1"], ["2001:db9::1:1"]],
    ["[2001:db8::]/32:443", ["2001:db8::1:443"], ["2001:db8::1:444"]],
    ["[2001:db8::/32]:443", ["2001:db8::1:443"], ["2001:db8::1:444"]],
    ["::ffff:192.0.2.0/120", ["192.0.2.9:1"], ["192.0.3.9:1"]],
    ["::/0", ["2001:db8::1:1"], ["192.0.2.9:1"]],
    ["_dmarc.example.com", ["_dmarc.example.com:1"], []],
    [" spaced.example ", ["spaced.example:1"], []],
  ];

Deno.test("matches follows the documented meaning of each form of pattern", () => {
  for (const [text, matching, other] of CASES) {
    const pattern = parsed(text);
    for (const authority of matching) {
      assert(matches(pattern, authorityOf(authority)), `${text} ~ ${authority}`);
    }
    for (const authority of other) {
      assert(!matches(pattern, authorityOf(authority)), `${text} !~ ${authority}`);
    }
  }
});

Deno.test("parsePattern says what it found and how to mend it", () => {
  const faults: readonly (readonly [pattern: string, detail: string])[] = [
    ["", "is empty"],
    ["https://example.com/", "is a URL"],
    ["example.com/path", "paths are no part of a pattern"],
    ["example.com:", 'has the port ""'],
    ["example.com:0", 'has the port "0"'],
    ["example.com:65536", "1 to 65535"],
    ["example.com:+1", "1 to 65535"],
    [":443", "write *:443"],
    ["exa mple.com", "is not a host"],
    ["exämple*.com", "is not a host"],
    ["a..example.com", "is not a host"],
    [".example.com", "is not a host"],
    ["-_-!.example.com", "is not a host"],
    [`${"a".repeat(64)}.example.com`, "is not a host"],
    ["**.example.com", "already means"],
    ["10.*", "10.0.0.0/8"],
    ["10.0.0.256", "no IPv4 address"],
    ["010.0.0.1", "no IPv4 address"],
    ["127.1", "no IPv4 address"],
    ["0x7f.0.0.1", "no IPv4 address"],
    ["10.0.0.0/33", "0 to 32"],
    ["10.0.0.0/-1", "0 to 32"],
    ["::/129", "0 to 128"],
    ["::1::", "not an IPv6 address"],
    ["[::1", "unmatched brackets"],
    ["[::1]x", "unmatched brackets"],
    ["[example.com]:443", "not an IPv6 address"],
    ["[*]:443", "not an IPv6 address"],
    ["1:2:3", "not an IPv6 address"],
    ["*.5", "no pattern for addresses"],
    ["a*.5", "ends in a number"],
    ["x".repeat(600), "600 characters"],
  ];
  for (const [text, detail] of faults) {
    const result = parsePattern(text);
    assertEquals(result.type, "error", text);
    assert(result.type === "error" && result.detail.includes(detail), `${text}: ${JSON.stringify(result)}`);
  }
});

Deno.test("parsePattern accepts 65535 and 253 characters, and not one more", () => {
  assertEquals(parsePattern("a.example:65535").type, "host");
  const name = `${"a".repeat(59)}.`.repeat(4) + "b".repeat(13);
  assertEquals(name.length, 253);
  assertEquals(parsePattern(name).type, "host");
  assertEquals(parsePattern(`${name}b`).type, "error");
});

Deno.test("parsePattern and matches are total", () => {
  const piece = fc.constantFrom(
    "*",
    ".",
    ":",
    "[",
    "]",
    "/",
    "%",
    "a",
    "10",
    "0x",
    "::",
    "ü",
    "。",
    " ",
    "-",
    "255",
  );
  const text = fc.oneof(
    fc.string(),
    fc.string({ unit: "binary" }),
    fc.array(piece).map((pieces) => pieces.join("")),
  );
  fc.assert(fc.property(text, text, fc.integer(), (patternText, host, port) => {
    const pattern = parsePattern(patternText);
    if (pattern.type !== "error") matches(pattern, { host, port });
  }));
});

Deno.test("matches takes an IPv6 network as its leading bits, compared with a bit by bit reference", () => {
  const groups = fc.array(fc.constantFrom(0, 1, 0x8000, 0xffff, 0x2001), { minLength: 8, maxLength: 8 });
  fc.assert(fc.property(groups, groups, fc.integer({ min: 0, max: 128 }), (network, host, prefix) => {
    const hex = (list: number[]) => list.map((group) => group.toString(16)).join(":");
    const bits = (list: number[]) => list.map((group) => group.toString(2).padStart(16, "0")).join("");
    // Mapped addresses are IPv4, which has its own cases.
    fc.pre([network, host].every((list) => !/^(?:0:){5}ffff:/.test(hex(list))));
    const expected = bits(network).slice(0, prefix) === bits(host).slice(0, prefix);
    assertEquals(matches(parsed(`${hex(network)}/${prefix}`), { host: hex(host), port: 1 }), expected);
  }));
});

function parsed(text: string): Pattern {
  const pattern = parsePattern(text);
  if (pattern.type === "error") throw new Error(pattern.detail);
  return pattern;
}

/** The host as an `Authority` has it, without brackets; the last colon is the port's. */
function authorityOf(text: string) {
  const colon = text.lastIndexOf(":");
  return { host: text.slice(0, colon), port: Number(text.slice(colon + 1)) };
}
