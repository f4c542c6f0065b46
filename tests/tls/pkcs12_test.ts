import { assert } from "../../src/core/assert.ts";
import { assertEquals } from "@std/assert";
import { createHash, createHmac } from "node:crypto";
import { contentOf, elementsOf, fromDer, TAG } from "../../src/tls/asn1.ts";
import { decodePem } from "../../src/tls/pem.ts";
import { buildTruststore } from "../../src/tls/pkcs12.ts";
import { makeAuthority } from "../support/certificates.ts";

const SALT = new Uint8Array(16).fill(9);

function truststore(certificate: Uint8Array, password: string, friendlyName = "soth-mitm"): Uint8Array {
  return buildTruststore({ certificate, friendlyName, password, salt: SALT });
}

/** RFC 7292 Appendix B.2 for a MAC key (ID 3), written down a second time: SHA-1 gives all its bytes in one round. */
function macKey(password: string): Uint8Array {
  const repeated = (bytes: Uint8Array) =>
    Uint8Array.from({ length: 64 * Math.ceil(bytes.length / 64) }, (_, at) => bytes[at % bytes.length]!);
  const utf16 = Uint8Array.from(`${password}\0`, (character) => character.charCodeAt(0));
  const blocks = repeated(Uint8Array.from([...utf16].flatMap((unit) => [0, unit])));
  let key = Uint8Array.from([...new Uint8Array(64).fill(3), ...repeated(SALT), ...blocks]);
  for (let iteration = 0; iteration < 2048; iteration++) {
    key = new Uint8Array(createHash("sha1").update(key).digest());
  }
  return key;
}

Deno.test("buildTruststore holds one certificate in the clear under a MAC of its password", () => {
  for (const keyType of ["ec", "rsa"] as const) {
    const der = decodePem(makeAuthority("root", keyType).certPem)![0]!.der;
    for (const password of ["changeit", "", "pässwörd that is longer than thirty-two characters"]) {
      const [version, content, macData] = elementsOf(fromDer(truststore(der, password)), TAG.sequence)!;
      assertEquals(contentOf(version, TAG.integer), "\x03");
      const wrapped = elementsOf(elementsOf(content, TAG.sequence)![1], 0xa0)![0];
      const safe = contentOf(wrapped, TAG.octetString)!;
      const [digest] = elementsOf(macData, TAG.sequence)!;
      const mac = createHmac("sha1", macKey(password)).update(safe, "latin1").digest();
      assertEquals(
        contentOf(elementsOf(digest, TAG.sequence)![1], TAG.octetString),
        String.fromCharCode(...mac),
      );
      assert(safe.includes(String.fromCharCode(...der)), "the certificate is there as it was");
    }
  }
});

Deno.test("buildTruststore is DER whatever its certificate is called", () => {
  const der = decodePem(makeAuthority().certPem)![0]!.der;
  for (const name of ["", "a", "soth-mitm", "ü".repeat(40)]) {
    assert(fromDer(truststore(der, "a", name)) !== null, name);
  }
});

Deno.test("buildTruststore has another MAC for another password", () => {
  const der = decodePem(makeAuthority().certPem)![0]!.der;
  assert(String(truststore(der, "a")) !== String(truststore(der, "b")), "they differ");
  assertEquals(truststore(der, "a"), truststore(der, "a"));
});
