import { assertEquals } from "@std/assert";
import { createHash, createHmac } from "node:crypto";
import forge from "node-forge";
import { buildTruststore } from "../../src/tls/pkcs12.ts";
import { decodePem } from "../../src/tls/pem.ts";
import { assert } from "../../src/core/assert.ts";
import { makeAuthority } from "../support/certificates.ts";

interface ForgeBag {
  readonly attributes: { readonly friendlyName?: readonly string[] };
  readonly asn1: unknown;
  readonly cert: unknown;
}
const { asn1, pkcs12 } = forge as {
  asn1: { fromDer(bytes: string): unknown; toDer(value: unknown): { getBytes(): string } };
  pkcs12: {
    pkcs12FromAsn1(value: unknown, strict: boolean, password: string): {
      safeContents: { encrypted: boolean; safeBags: ForgeBag[] }[];
    };
  };
};

function truststore(certificate: Uint8Array, password: string): string {
  const bytes = buildTruststore({
    certificate,
    friendlyName: "soth-mitm",
    password,
    salt: new Uint8Array(16).fill(9),
    sha1: (message) => new Uint8Array(createHash("sha1").update(message).digest()),
    hmacSha1: (key, message) => new Uint8Array(createHmac("sha1", key).update(message).digest()),
  });
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}

Deno.test("buildTruststore is read, its MAC checked, by another implementation", () => {
  // RSA, because node-forge reads no other certificates.
  const der = decodePem(makeAuthority("root", "rsa").certPem)![0]!.der;
  for (const password of ["changeit", "", "pässwörd that is longer than thirty-two characters"]) {
    const read = pkcs12.pkcs12FromAsn1(asn1.fromDer(truststore(der, password)), true, password);
    assertEquals(read.safeContents.map(({ encrypted }) => encrypted), [false]);
    const bags = read.safeContents[0]!.safeBags;
    assertEquals(bags.length, 1);
    assertEquals(bags[0]!.attributes.friendlyName, ["soth-mitm"]);
    assert(bags[0]!.cert !== null, "it is a certificate");
  }
});

Deno.test("buildTruststore has another MAC for another password", () => {
  const der = decodePem(makeAuthority().certPem)![0]!.der;
  assert(truststore(der, "a") !== truststore(der, "b"), "they differ");
  assertEquals(truststore(der, "a"), truststore(der, "a"));
});
