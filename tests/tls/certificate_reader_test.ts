import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { createPublicKey, X509Certificate } from "node:crypto";
import { assert } from "../../src/core/assert.ts";
import { readCertificate } from "../../src/tls/certificate_reader.ts";
import { decodePem } from "../../src/tls/pem.ts";
import { makeAuthority, makeSelfSigned } from "../support/certificates.ts";

function derOf({ certPem }: { certPem: string }): Uint8Array {
  return decodePem(certPem)![0]!.der;
}

Deno.test("readCertificate reads a CA that other code made", () => {
  for (const keyType of ["ec", "rsa"] as const) {
    const made = makeAuthority("Somebody's root", keyType);
    const facts = readCertificate(derOf(made));
    assert(facts !== null, "it is read");
    assert(facts.isAuthority && facts.maySignCertificates && facts.selfIssued, "it is a CA");
    const certificate = new X509Certificate(made.certPem);
    assertEquals(facts.notBeforeSeconds, Date.parse(certificate.validFrom) / 1000);
    assertEquals(facts.notAfterSeconds, Date.parse(certificate.validTo) / 1000);
    assertEquals(
      facts.publicKeyInfo,
      new Uint8Array(createPublicKey(made.keyPem).export({ format: "der", type: "spki" })),
    );
    assertEquals(facts.subjectKeyId?.length, 20);
    const serial = Array.from(facts.serial, (byte) => byte.toString(16).padStart(2, "0")).join("");
    assertEquals(serial.toUpperCase(), certificate.serialNumber);
  }
});

Deno.test("readCertificate tells leaves from authorities and issued from self-issued", () => {
  const issued = readCertificate(derOf(makeAuthority().issue({ names: ["a.example"] })));
  assert(issued !== null, "it is read");
  assert(!issued.isAuthority && !issued.maySignCertificates && !issued.selfIssued, "an issued leaf");
  const alone = readCertificate(derOf(makeSelfSigned({ commonName: "self-signed", names: ["a.example"] })));
  assert(alone?.selfIssued === true && !alone.isAuthority, "a self-signed leaf");
});

Deno.test("readCertificate refuses bytes after the certificate and every truncation of one", () => {
  const der = derOf(makeAuthority());
  assertEquals(readCertificate(Uint8Array.from([...der, 0])), null);
  for (let length = 0; length < der.length; length++) {
    assertEquals(readCertificate(der.subarray(0, length)), null);
  }
});

Deno.test("readCertificate never throws, whatever was done to a certificate", () => {
  const der = derOf(makeAuthority());
  const change = fc.tuple(fc.nat(der.length - 1), fc.integer({ min: 0, max: 255 }));
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 8 }), (changes) => {
      const bytes = der.slice();
      for (const [at, value] of changes) bytes[at] = value;
      readCertificate(bytes);
    }),
    { numRuns: 5000 },
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
    readCertificate(bytes);
  }));
});
