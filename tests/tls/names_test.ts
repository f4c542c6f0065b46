import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { assert } from "../../src/core/assert.ts";
import { MAX_NAME_LENGTH, NAME_ERRORS, parseCertificateName } from "../../src/tls/names.ts";

function text(host: string): string {
  const name = parseCertificateName(host);
  return "error" in name ? name.error : `${name.kind} ${name.text}`;
}

Deno.test("parseCertificateName reads DNS names, whatever their case and final dot", () => {
  assertEquals(text("example.com"), "dns example.com");
  assertEquals(text("EXAMPLE.com."), "dns example.com");
  assertEquals(text("localhost"), "dns localhost");
  assertEquals(text("a_b.-x-.example"), "dns a_b.-x-.example");
  assertEquals(text("web.1"), "dns web.1");
  assertEquals(text("xn--bcher-kva.example"), "dns xn--bcher-kva.example");
});

Deno.test("parseCertificateName writes international names in A-labels", () => {
  assertEquals(text("bücher.example"), "dns xn--bcher-kva.example");
  assertEquals(text("BÜCHER.Example."), "dns xn--bcher-kva.example");
  assertEquals(text("*.bücher.example"), "dns *.xn--bcher-kva.example");
  assertEquals(text("例え。テスト"), "dns xn--r8jz45g.xn--zckzah");
  // UTS #46 maps full-width digits, so this is an address to every browser.
  assertEquals(text("127。0。0。1"), "ip 127.0.0.1");
  assertEquals(text("ü.*.example"), "malformed_wildcard");
  assertEquals(text("\u{fffd}"), "malformed_idn");
  assertEquals(text("\ud800"), "malformed_idn");
  for (const delimiter of " /?#@:\\%[]<>^|`{}\"'\t\n\0") {
    const result = text(`ü${delimiter}x`);
    assert(
      result === "forbidden_character" || result === "malformed_address",
      JSON.stringify(delimiter) + result,
    );
  }
});

Deno.test("parseCertificateName takes a wildcard only as the whole first label", () => {
  assertEquals(text("*.example.com"), "dns *.example.com");
  assertEquals(text("*.com"), "dns *.com");
  for (const host of ["*", "*.", "a.*.com", "*a.com", "a*.com", "**.com", "*.*.com"]) {
    assertEquals(text(host), "malformed_wildcard", host);
  }
});

Deno.test("parseCertificateName reads addresses and writes each in one way", () => {
  assertEquals(text("127.0.0.1"), "ip 127.0.0.1");
  assertEquals(text("::1"), "ip ::1");
  assertEquals(text("[2001:DB8:0:0:1:0:0:1]"), "ip 2001:db8::1:0:0:1");
  assertEquals(text("fe80::1%eth0"), "ip fe80::1");
  assertEquals(text("::ffff:1.2.3.4"), "ip ::ffff:102:304");
  for (
    const host of [
      "1.2.3.4:443",
      "[::1",
      "::1]",
      "fe80::1%",
      "fe80::1%a b",
      ":::",
      "1::2::3",
      "[]",
      "example.com:443",
    ]
  ) {
    assertEquals(text(host), "malformed_address", host);
  }
  // Not dotted quads: names to whoever verifies.
  for (const host of ["127.1", "256.1.1.1", "01.2.3.4", "1.2.3.4.5"]) assertEquals(text(host), `dns ${host}`);
});

Deno.test("parseCertificateName refuses hostile names", () => {
  assertEquals(text(""), "empty_name");
  assertEquals(text("."), "empty_name");
  assertEquals(text(".."), "malformed_label");
  assertEquals(text("a..b"), "malformed_label");
  assertEquals(text(".a"), "malformed_label");
  for (
    const host of ["a\0.com", "a b", "a\r\nb", "a/b", "a@b", "a,DNS=evil", "a\x7f", "a%00", "a;b", "a'b"]
  ) {
    assertEquals(text(host), "forbidden_character", JSON.stringify(host));
  }
});

Deno.test("parseCertificateName holds labels to 63 characters and names to 253", () => {
  assertEquals(text("a".repeat(63)), `dns ${"a".repeat(63)}`);
  assertEquals(text("a".repeat(64)), "malformed_label");
  const name = ("a".repeat(63) + ".").repeat(4).slice(0, MAX_NAME_LENGTH);
  assertEquals(name.length, 253);
  assertEquals(text(name), `dns ${name}`);
  assertEquals(text(`${name}.`), `dns ${name}`);
  assertEquals(text(`${name}b`), "name_too_long");
  assertEquals(text("a".repeat(1_000_000)), "name_too_long");
  assertEquals(text("ü".repeat(1_000_000)), "name_too_long");
  assertEquals(text(":".repeat(1_000_000)), "name_too_long");
});

Deno.test("parseCertificateName says what is wrong without echoing control characters or whole novels", () => {
  const name = parseCertificateName(`\x1b[2J${"x".repeat(500)}`);
  assert("error" in name, "it is refused");
  assert(/^[\x20-\x7e…]*$/.test(name.detail), name.detail);
  assert(name.detail.length < 250, name.detail);
});

Deno.test("parseCertificateName never throws, and what it accepts it reads again as the same", () => {
  const hostile = fc.oneof(
    fc.string({ unit: "binary", maxLength: 300 }),
    fc.string({
      unit: fc.constantFrom("a", ".", "*", "-", "ü", "。", ":", "1", "[", "]", "%", "\0", "\ud800"),
      maxLength: 80,
    }),
    fc.domain(),
    fc.ipV4(),
    fc.ipV6(),
  );
  fc.assert(
    fc.property(hostile, (host) => {
      const name = parseCertificateName(host);
      if ("error" in name) {
        assert(NAME_ERRORS.includes(name.error), name.error);
      } else {
        assert(/^[a-z0-9_.:*-]+$/.test(name.text), name.text);
        assert(name.text.length <= MAX_NAME_LENGTH, name.text);
        assertEquals(parseCertificateName(name.text), name);
      }
    }),
    { numRuns: 1000 },
  );
});
