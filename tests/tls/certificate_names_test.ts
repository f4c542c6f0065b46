import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { X509Certificate } from "node:crypto";
import { checkCertificateName } from "../../src/tls/certificate_names.ts";
import { makeAuthority } from "../support/certificates.ts";

const authority = makeAuthority();

function der(names: readonly string[], commonName = "x"): Uint8Array {
  return new Uint8Array(new X509Certificate(authority.issue({ names, commonName }).certPem).raw);
}

Deno.test("checkCertificateName finds a host among the names and addresses, and no other", () => {
  const one = der(["A.test", "*.wild.test", "192.0.2.1", "2001:db8::1", "*.bare"]);
  for (const host of ["a.test", "b.wild.test", "192.0.2.1", "2001:db8::1", "2001:DB8:0::1", "a.test."]) {
    assertEquals(checkCertificateName(one, host), "match", host);
  }
  for (
    const host of ["b.test", "wild.test", "c.b.wild.test", "192.0.2.2", "2001:db8::2", "x.a.test", "a.bare"]
  ) {
    assertEquals(checkCertificateName(one, host), "mismatch", host);
  }
});

Deno.test("checkCertificateName takes a name with a comma for one name, and an address in a name for no address", () => {
  const sly = der(["a.test, DNS:b.test, IP Address:192.0.2.1", "*.0.2.1"]);
  for (const host of ["a.test", "b.test", "192.0.2.1"]) {
    assertEquals(checkCertificateName(sly, host), "mismatch", host);
  }
});

Deno.test("checkCertificateName says unnamed without the extension, malformed of what is no certificate", () => {
  assertEquals(checkCertificateName(der([], "a.test"), "a.test"), "unnamed");
  assertEquals(checkCertificateName(new Uint8Array(0), "a.test"), "malformed");
  const whole = der(["a.test"]);
  assertEquals(checkCertificateName(whole.subarray(0, 200), "a.test"), "malformed");
  fc.assert(fc.property(fc.nat(whole.length - 1), fc.nat(255), (at, octet) => {
    const mutated = whole.slice();
    mutated[at] = octet;
    checkCertificateName(mutated, "a.test");
  }));
});
