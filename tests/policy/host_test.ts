import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { canonicalName, parseIpv4, parseIpv6, subjectOf } from "../../src/policy/host.ts";

Deno.test("subjectOf knows an address in each spelling that a resolver accepts", () => {
  const loopback = { host: "127.0.0.1", address: { family: 4, value: 0x7f000001n } };
  const spellings = [
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7F.1",
    "017700000001",
  ];
  for (
    const host of [
      ...spellings,
      "0177.0.0.01",
      "::ffff:127.0.0.1",
      "::FFFF:7f00:1",
      "0:0:0:0:0:ffff:127.0.0.1",
    ]
  ) {
    assertEquals(subjectOf(host), loopback, host);
  }
});

Deno.test("subjectOf leaves names, and what only looks like an address, as they are", () => {
  for (
    const host of [
      "example.com",
      "1.2.3.4.5",
      "1.2.3.256",
      "256.1.1.1",
      "08.1.1.1",
      "1..2",
      "0xg",
      "4294967296",
      "1.2.3.4a",
      "127.0.0.1.example",
    ]
  ) {
    assertEquals(subjectOf(host), { host, address: null }, host);
  }
  assertEquals(subjectOf("Example.COM."), { host: "example.com", address: null });
  assertEquals(subjectOf("BÜCHER.example"), { host: "xn--bcher-kva.example", address: null });
  // Full-width digits are digits to IDNA, so this is an address as well.
  assertEquals(subjectOf("１２７.0.0.1").host, "127.0.0.1");
});

Deno.test("canonicalName gives null for what cannot be a name, and does not let the URL parser see more than a host", () => {
  for (
    const text of [
      "ü/x",
      "ü?x",
      "ü#x",
      "u@ü",
      "ü:80",
      "ü%41",
      "ü x",
      "[ü]",
      "ü\\x",
      "\u2028.example",
      "xn--\u00fc",
    ]
  ) {
    assertEquals(canonicalName(text), null, text);
  }
});

Deno.test("parseIpv4 takes the dotted form alone", () => {
  assertEquals(parseIpv4("192.0.2.1"), 0xc0000201n);
  assertEquals(parseIpv4("255.255.255.255"), 0xffffffffn);
  for (
    const text of [
      "",
      "1",
      "1.2.3",
      "1.2.3.4.",
      "01.2.3.4",
      "1.2.3.256",
      "1.2.3.4.5",
      "a.b.c.d",
      "1.2.3.-4",
      "0x1.2.3.4",
    ]
  ) {
    assertEquals(parseIpv4(text), null, text);
  }
});

Deno.test("parseIpv6 reads what the URL standard reads, with the same value", () => {
  const group = fc.integer({ min: 0, max: 0xffff }).map((value) => value.toString(16));
  const piece = fc.oneof(group, fc.constantFrom("", "0", "::", ":", "1.2.3.4", "g", "12345"));
  const text = fc.oneof(
    fc.array(group, { minLength: 8, maxLength: 8 }).map((groups) => groups.join(":")),
    fc.tuple(fc.array(group, { maxLength: 5 }), fc.array(group, { maxLength: 3 }))
      .map(([head, tail]) => `${head.join(":")}::${tail.join(":")}`),
    fc.tuple(fc.array(group, { maxLength: 5 }), fc.ipV4()).map(([head, tail]) =>
      `${head.join(":")}::${tail}`
    ),
    fc.array(piece, { maxLength: 10 }).map((pieces) => pieces.join(":")),
  );
  fc.assert(
    fc.property(text, (text) => {
      const canonical = URL.parse(`http://[${text}]/`)?.hostname.slice(1, -1) ?? null;
      const address = parseIpv6(text);
      assertEquals(address === null, canonical === null, text);
      if (canonical !== null) assertEquals(address, parseIpv6(canonical), text);
    }),
    { numRuns: 1_000 },
  );
});

Deno.test("parseIpv6 drops a zone and takes mapped addresses as IPv4", () => {
  assertEquals(parseIpv6("fe80::1%eth0"), parseIpv6("fe80::1"));
  assertEquals(parseIpv6("::ffff:192.0.2.1"), { family: 4, value: 0xc0000201n });
  assertEquals(parseIpv6("::192.0.2.1"), { family: 6, value: 0xc0000201n });
});
