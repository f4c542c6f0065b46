import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { createHash, generateKeyPairSync, sign, X509Certificate } from "node:crypto";
import { assert } from "../../src/core/assert.ts";
import {
  buildAuthority,
  buildLeaf,
  type Issuer,
  keyIdentifier,
  leafValidity,
  serialNumber,
  SIGNATURE_ALGORITHMS,
  type Signer,
} from "../../src/tls/certificate.ts";
import { readCertificate } from "../../src/tls/certificate_reader.ts";
import {
  bitString,
  bytesOf,
  contentOf,
  elementsOf,
  fromDer,
  sequence,
  TAG,
  toDer,
} from "../../src/tls/asn1.ts";
import { type CertificateName, parseCertificateName } from "../../src/tls/names.ts";

const NOW = Date.UTC(2026, 5, 15, 12) / 1000;
const DAY = 86_400;

const sha1 = (message: Uint8Array) => new Uint8Array(createHash("sha1").update(message).digest());
const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const publicKeyInfo = new Uint8Array(publicKey.export({ format: "der", type: "spki" }));
const signer: Signer = {
  algorithm: "ecdsa_sha256",
  sign: (message) => new Uint8Array(sign("sha256", message, privateKey)),
};
/** For what is read back without being verified. */
const quickSigner: Signer = { algorithm: "ecdsa_sha256", sign: () => toDer(sequence()) };
const serial = serialNumber(new Uint8Array(16).fill(0xab));

function authority(options: { commonName?: string; nowSeconds?: number } = {}): Uint8Array {
  return buildAuthority({
    commonName: "soth-mitm CA",
    organization: "soth-mitm",
    publicKeyInfo,
    serial,
    nowSeconds: NOW,
    signer,
    sha1,
    ...options,
  });
}

function issuer(): Issuer {
  const facts = readCertificate(authority());
  assert(facts !== null && facts.subjectKeyId !== null, "our own CA can be read");
  return { ...facts, subjectKeyId: facts.subjectKeyId };
}

function nameOf(host: string): CertificateName {
  const name = parseCertificateName(host);
  assert(!("error" in name), `${host} is a name`);
  return name;
}

function leaf(host: string, options: { keyKind?: "ec" | "rsa"; signer?: Signer } = {}): Uint8Array {
  return buildLeaf({
    name: nameOf(host),
    publicKeyInfo,
    keyKind: "ec",
    subjectKeyId: keyIdentifier(publicKeyInfo, sha1),
    serial,
    nowSeconds: NOW,
    issuer: issuer(),
    signer: quickSigner,
    ...options,
  });
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Extensions by their OID's last arcs: whether critical, and the value in hex. */
function extensions(der: Uint8Array): Record<string, string> {
  const [toBeSigned] = elementsOf(fromDer(der), TAG.sequence)!;
  const [list] = elementsOf(elementsOf(toBeSigned, TAG.sequence)!.at(-1), 0xa3)!;
  return Object.fromEntries(elementsOf(list, TAG.sequence)!.map((entry) => {
    const parts = elementsOf(entry, TAG.sequence)!;
    const oid = bytesOf(contentOf(parts[0], TAG.objectIdentifier)!).join(".");
    const value = hex(bytesOf(contentOf(parts.at(-1), TAG.octetString)!));
    return [oid, (parts.length === 3 ? "critical " : "") + value];
  }));
}

const SAN = "85.29.17";
const KEY_USAGE = "85.29.15";
const BASIC_CONSTRAINTS = "85.29.19";
const SUBJECT_KEY_ID = "85.29.14";
const AUTHORITY_KEY_ID = "85.29.35";
const EXT_KEY_USAGE = "85.29.37";

Deno.test("buildAuthority makes a self-signed CA of ten years that may issue leaves alone", () => {
  const der = authority();
  const certificate = new X509Certificate(der);
  assertEquals(certificate.subject, "O=soth-mitm\nCN=soth-mitm CA");
  assertEquals(certificate.issuer, certificate.subject);
  assert(certificate.ca, "it is a CA");
  assert(certificate.verify(publicKey), "it is signed with its own key");
  const facts = readCertificate(der)!;
  assertEquals(facts.notBeforeSeconds, NOW - 3600);
  assertEquals(facts.notAfterSeconds, NOW - 3600 + 3652 * DAY - 1);
  assert(facts.isAuthority && facts.maySignCertificates && facts.selfIssued, "its facts say CA");
  assertEquals(facts.subjectKeyId, keyIdentifier(publicKeyInfo, sha1));
  assertEquals(facts.publicKeyInfo, publicKeyInfo);
  const found = extensions(der);
  assertEquals(found[BASIC_CONSTRAINTS], "critical 30060101ff020100");
  assertEquals(found[KEY_USAGE], "critical 03020106");
  assertEquals(Object.keys(found).length, 3);
});

Deno.test("buildAuthority is a function of its arguments and takes names of 1 to 64 characters", () => {
  const made = () =>
    buildAuthority({
      commonName: "x".repeat(64),
      organization: "Ünïcode",
      publicKeyInfo,
      serial,
      nowSeconds: NOW,
      signer: quickSigner,
      sha1,
    });
  assertEquals(made(), made());
  assertThrows(() => authority({ commonName: "x".repeat(65) }));
  assertThrows(() => authority({ commonName: "" }));
});

Deno.test("buildLeaf makes a server certificate that its CA verifies", () => {
  const der = leaf("www.example.com", { signer });
  const certificate = new X509Certificate(der);
  const ca = new X509Certificate(authority());
  assert(certificate.verify(publicKey), "the signature holds");
  assert(certificate.checkIssued(ca), "the CA is its issuer");
  assert(!certificate.ca, "it is no CA");
  assertEquals(certificate.subject, "CN=www.example.com");
  assertEquals(certificate.subjectAltName, "DNS:www.example.com");
  const found = extensions(der);
  const keyId = hex(keyIdentifier(publicKeyInfo, sha1));
  assertEquals(found, {
    [BASIC_CONSTRAINTS]: "critical 3000",
    [KEY_USAGE]: "critical 03020780",
    [EXT_KEY_USAGE]: "300a06082b06010505070301",
    [SAN]: "3011820f7777772e6578616d706c652e636f6d",
    [SUBJECT_KEY_ID]: `0414${keyId}`,
    [AUTHORITY_KEY_ID]: `30168014${keyId}`,
  });
});

Deno.test("buildLeaf lets RSA keys encipher the premaster secret too", () => {
  assertEquals(extensions(leaf("a.example", { keyKind: "rsa" }))[KEY_USAGE], "critical 030205a0");
});

Deno.test("buildLeaf names addresses by iPAddress in four or sixteen bytes", () => {
  assertEquals(extensions(leaf("192.0.2.1"))[SAN], "30068704c0000201");
  assertEquals(extensions(leaf("[2001:db8::1]"))[SAN], "3012871020010db8000000000000000000000001");
});

Deno.test("buildLeaf leaves names over 64 characters out of the subject and makes the SAN critical", () => {
  const short = `${"a".repeat(60)}.com`;
  assertEquals(new X509Certificate(leaf(short)).subject, `CN=${short}`);
  assert(!extensions(leaf(short))[SAN]!.startsWith("critical"), "64 characters fit");
  const long = `${"a".repeat(61)}.com`;
  const der = leaf(long);
  const subject = readCertificate(der)!.subject;
  assertEquals(Array.from(subject), [0x30, 0]);
  assert(extensions(der)[SAN]!.startsWith("critical"), "65 characters do not");
  assertEquals(new X509Certificate(der).subjectAltName, `DNS:${long}`);
});

Deno.test("leafValidity starts an hour ago, lasts 197 days and stays inside the CA's", () => {
  const wide = { notBeforeSeconds: 0, notAfterSeconds: NOW + 5000 * DAY };
  const usual = leafValidity(NOW, wide);
  assertEquals(usual.notBeforeSeconds, NOW - 3600);
  // Both ends belong to the validity, so its length is one second more than their difference.
  assertEquals(usual.notAfterSeconds - usual.notBeforeSeconds + 1, 197 * DAY);
  assertEquals(leafValidity(NOW, { ...wide, notBeforeSeconds: NOW - 60 }).notBeforeSeconds, NOW - 60);
  assertEquals(leafValidity(NOW, { ...wide, notAfterSeconds: NOW + DAY }).notAfterSeconds, NOW + DAY);
  fc.assert(fc.property(
    fc.integer({ min: 0, max: 400 * DAY }),
    fc.integer({ min: 0, max: 400 * DAY }),
    (before, after) => {
      const ca = { notBeforeSeconds: NOW - before, notAfterSeconds: NOW + after };
      const { notBeforeSeconds, notAfterSeconds } = leafValidity(NOW, ca);
      assert(notBeforeSeconds >= ca.notBeforeSeconds && notAfterSeconds <= ca.notAfterSeconds, "inside");
      assert(notBeforeSeconds <= NOW && NOW <= notAfterSeconds, "valid now");
      assert(notAfterSeconds - notBeforeSeconds < 197 * DAY, "not too long");
    },
  ));
});

Deno.test("serialNumber is positive, keeps its length and takes 16 to 20 random bytes", () => {
  fc.assert(fc.property(fc.uint8Array({ minLength: 16, maxLength: 20 }), (random) => {
    const made = serialNumber(random);
    assertEquals(made.length, random.length);
    assert(made[0]! >= 0x40 && made[0]! < 0x80, "positive, and no leading zero");
    assertEquals(made.subarray(1), random.subarray(1));
  }));
  assertThrows(() => serialNumber(new Uint8Array(15)));
  assertThrows(() => serialNumber(new Uint8Array(21)));
});

Deno.test("keyIdentifier hashes the key's bits alone", () => {
  const info = toDer(sequence(sequence(), bitString(Uint8Array.of(1, 2, 3))));
  assertEquals(keyIdentifier(info, (bytes) => bytes), Uint8Array.of(1, 2, 3));
  assertThrows(() => keyIdentifier(toDer(sequence()), sha1));
});

Deno.test("each signature algorithm is written as its RFC says", () => {
  assertEquals(
    Object.fromEntries(
      Object.entries(SIGNATURE_ALGORITHMS).map(([name, value]) => [name, hex(toDer(value))]),
    ),
    {
      ecdsa_sha256: "300a06082a8648ce3d040302",
      ecdsa_sha384: "300a06082a8648ce3d040303",
      ecdsa_sha512: "300a06082a8648ce3d040304",
      rsa_sha256: "300d06092a864886f70d01010b0500",
    },
  );
});

Deno.test("buildLeaf never throws for a name that was accepted, and names nothing else", () => {
  const hosts = fc.oneof(
    fc.domain(),
    fc.ipV4(),
    fc.ipV6(),
    fc.string({ unit: "binary", maxLength: 270 }),
    fc.string({ unit: fc.constantFrom("a", "B", ".", "*", "-", "_", "ü", "\0", ","), maxLength: 270 }),
  );
  const issuerOnce = issuer();
  fc.assert(
    fc.property(hosts, (host) => {
      const name = parseCertificateName(host);
      if ("error" in name) return;
      const der = buildLeaf({
        name,
        publicKeyInfo,
        keyKind: "ec",
        subjectKeyId: keyIdentifier(publicKeyInfo, sha1),
        serial,
        nowSeconds: NOW,
        issuer: issuerOnce,
        signer: quickSigner,
      });
      const facts = readCertificate(der);
      assert(facts !== null && !facts.isAuthority && !facts.maySignCertificates, "a leaf, readable");
      const general = elementsOf(fromDer(sanOf(der)), TAG.sequence)!;
      assertEquals(general.length, 1);
      const [only] = general;
      if (name.kind === "ip") assertEquals(bytesOf(contentOf(only, 0x87)!), name.address);
      else assertEquals(contentOf(only, 0x82), name.text);
      assertEquals(new X509Certificate(der).raw.length, der.length);
    }),
    { numRuns: 200 },
  );
});

function sanOf(der: Uint8Array): Uint8Array {
  const hex = extensions(der)[SAN]!.replace("critical ", "");
  return Uint8Array.from(hex.match(/../g)!, (pair) => parseInt(pair, 16));
}
