import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { isIPv4, isIPv6 } from "node:net";
import { formatIpv6, readIpv4, readIpv6 } from "../../src/core/ip_address.ts";

Deno.test("readIpv6 and readIpv4 agree with node:net on what is an address", () => {
  const piece = fc.constantFrom(":", "::", "0", "1", "ffff", "1.2.3.4", "12345", "g", ".", "255", "256", "a");
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 17 }), (pieces) => {
      const candidate = pieces.join("");
      assertEquals(readIpv6(candidate) !== null, isIPv6(candidate), candidate);
      assertEquals(readIpv4(candidate) !== null, isIPv4(candidate), candidate);
    }),
    { numRuns: 2000 },
  );
});

Deno.test("formatIpv6 writes what the URL standard writes, and readIpv6 reads it back", () => {
  const group = fc.constantFrom(0, 0, 0, 1, 0xffff, 0xabc);
  fc.assert(fc.property(fc.array(group, { minLength: 8, maxLength: 8 }), (groups) => {
    const address = Uint8Array.from(groups.flatMap((value) => [value >> 8, value & 0xff]));
    const written = formatIpv6(address);
    assertEquals(readIpv6(written), address);
    assertEquals(
      `[${written}]`,
      new URL(`http://[${groups.map((value) => value.toString(16)).join(":")}]/`).hostname,
    );
  }));
});

Deno.test("readIpv4 and readIpv6 give the bytes in network order", () => {
  assertEquals(readIpv4("192.0.2.1"), Uint8Array.of(192, 0, 2, 1));
  assertEquals(readIpv6("2001:db8::1:192.0.2.1"), readIpv6("2001:DB8:0:0:0:1:c000:201"));
  assertEquals(readIpv6("1:2:3:4:5:6:7::")?.at(-1), 0);
  assertEquals(Array.from(readIpv6("102:304::ff") ?? []), [1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255]);
});

Deno.test("readIpv4 and readIpv6 never throw and never take more than an address", () => {
  for (
    const text of ["::1%eth0", "[::1]", "::1]/", "::1 ", "::1\n", "1.2.3.4\n", "1.2.3.4.", "", ":".repeat(46)]
  ) {
    assertEquals(readIpv4(text), null, text);
    assertEquals(readIpv6(text), null, text);
  }
  fc.assert(fc.property(fc.string({ maxLength: 60 }), (text) => {
    assertEquals(readIpv6(text) !== null, isIPv6(text) && !text.includes("%"), text);
    assertEquals(readIpv4(text) !== null, isIPv4(text), text);
  }));
});
