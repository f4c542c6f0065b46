/**
 * X.509 certificates (RFC 5280) made while the tests run, so that none is ever committed.
 *
 * Deliberately not the certificate code under test: it writes its own DER and signs with `node:crypto`, and
 * it also makes what the proxy must refuse (expired, wrong name, unknown issuer).
 */
import { Buffer } from "node:buffer";
import {
  createHash,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
  X509Certificate,
} from "node:crypto";
import { isIP } from "node:net";

export interface CertificateOptions {
  readonly commonName?: string;
  /** DNS names and IP addresses for the subjectAltName; an empty list leaves the extension out. */
  readonly names?: readonly string[];
  readonly keyType?: "ec" | "rsa";
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  readonly isAuthority?: boolean;
  /** For a client, not for a server. */
  readonly clientAuth?: boolean;
}

export interface Certificate {
  readonly certPem: string;
  readonly keyPem: string;
  /** SHA-256 of the DER, lower-case hex without colons. */
  readonly fingerprint: string;
}

export interface TestAuthority extends Certificate {
  issue(options: CertificateOptions): Certificate;
  /** An authority below this one. */
  issueAuthority(commonName: string): TestAuthority;
}

const HOUR_MS = 3_600_000;

/** A root that signs leaves; the default key is P-256. */
export function makeAuthority(
  commonName = "soth-mitm test root",
  keyType: "ec" | "rsa" = "ec",
): TestAuthority {
  const subject: Issuer = { commonName, key: makeKey(keyType) };
  return authorityOf(build({ commonName, isAuthority: true }, subject, subject.key), subject);
}

function authorityOf(own: Certificate, subject: Issuer): TestAuthority {
  return {
    ...own,
    issue: (options) => build(options, subject, makeKey(options.keyType ?? "ec")),
    issueAuthority: (commonName) => {
      const below: Issuer = { commonName, key: makeKey("ec") };
      return authorityOf(build({ commonName, isAuthority: true }, subject, below.key), below);
    },
  };
}

/** The same certificate with a signature that does not verify. */
export function withBadSignature(certificate: Certificate): Certificate {
  const der = Buffer.from(new X509Certificate(certificate.certPem).raw);
  // Within the second number of an ECDSA signature, which stays well-formed.
  der[der.length - 5]! ^= 0x55;
  return {
    ...certificate,
    certPem: new X509Certificate(der).toString(),
    fingerprint: createHash("sha256").update(der).digest("hex"),
  };
}

/** A leaf that nobody vouches for. */
export function makeSelfSigned(options: CertificateOptions): Certificate {
  const key = makeKey(options.keyType ?? "ec");
  return build(options, { commonName: options.commonName ?? "self-signed", key }, key);
}

interface Issuer {
  readonly commonName: string;
  readonly key: KeyObject;
}

function makeKey(keyType: "ec" | "rsa"): KeyObject {
  return keyType === "ec"
    ? generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey
    : generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
}

function build(options: CertificateOptions, issuer: Issuer, key: KeyObject): Certificate {
  const notBefore = options.notBefore ?? new Date(Date.now() - HOUR_MS);
  const notAfter = options.notAfter ?? new Date(Date.now() + 30 * 24 * HOUR_MS);
  const names = options.names ?? [];
  const commonName = options.commonName ?? names[0] ?? "test";
  const algorithm = issuer.key.asymmetricKeyType === "ec"
    ? sequence(objectId("1.2.840.10045.4.3.2"))
    : sequence(objectId("1.2.840.113549.1.1.11"), element(0x05, []));
  const serial = randomBytes(16);
  serial[0] = (serial[0]! & 0x3f) | 0x40;
  const toBeSigned = sequence(
    element(0xa0, [element(0x02, [Uint8Array.of(2)])]),
    element(0x02, [serial]),
    algorithm,
    nameOf(issuer.commonName),
    sequence(time(notBefore), time(notAfter)),
    nameOf(commonName),
    publicKeyOf(key),
    element(0xa3, [sequence(...extensions(options, names, issuer, key))]),
  );
  const signature = sign("sha256", toBeSigned, issuer.key);
  const der = sequence(toBeSigned, algorithm, element(0x03, [Uint8Array.of(0), signature]));
  return {
    certPem: new X509Certificate(Buffer.from(der)).toString(),
    keyPem: key.export({ type: "pkcs8", format: "pem" }) as string,
    fingerprint: createHash("sha256").update(der).digest("hex"),
  };
}

function extensions(
  options: CertificateOptions,
  names: readonly string[],
  issuer: Issuer,
  key: KeyObject,
): Uint8Array[] {
  const isAuthority = options.isAuthority ?? false;
  const list = [
    extension("2.5.29.19", true, sequence(...(isAuthority ? [element(0x01, [Uint8Array.of(0xff)])] : []))),
    // keyCertSign and cRLSign for an authority, digitalSignature for a leaf.
    extension(
      "2.5.29.15",
      true,
      element(0x03, [isAuthority ? Uint8Array.of(1, 0x06) : Uint8Array.of(7, 0x80)]),
    ),
    extension("2.5.29.14", false, element(0x04, [keyIdOf(key)])),
  ];
  if (issuer.key !== key) {
    list.push(extension("2.5.29.35", false, sequence(element(0x80, [keyIdOf(issuer.key)]))));
  }
  const usage = options.clientAuth ? "1.3.6.1.5.5.7.3.2" : "1.3.6.1.5.5.7.3.1";
  if (!isAuthority) list.push(extension("2.5.29.37", false, sequence(objectId(usage))));
  if (names.length > 0) {
    list.push(extension("2.5.29.17", false, sequence(...names.map(generalName))));
  }
  return list;
}

function generalName(name: string): Uint8Array {
  const version = isIP(name);
  if (version === 0) return element(0x82, [latin1(name)]);
  return element(0x87, [version === 4 ? Uint8Array.from(name.split("."), Number) : ipv6Bytes(name)]);
}

function ipv6Bytes(address: string): Uint8Array {
  const [head = "", tail] = address.split("::");
  const groups = (text: string) => text === "" ? [] : text.split(":").map((group) => parseInt(group, 16));
  const before = groups(head);
  const after = tail === undefined ? [] : groups(tail);
  const all = [...before, ...new Array<number>(8 - before.length - after.length).fill(0), ...after];
  return Uint8Array.from(all.flatMap((group) => [group >> 8, group & 0xff]));
}

function publicKeyOf(key: KeyObject): Uint8Array {
  return new Uint8Array(createPublicKey(key).export({ type: "spki", format: "der" }));
}

function keyIdOf(key: KeyObject): Uint8Array {
  return new Uint8Array(createHash("sha1").update(publicKeyOf(key)).digest());
}

function nameOf(commonName: string): Uint8Array {
  const attribute = sequence(objectId("2.5.4.3"), element(0x0c, [new TextEncoder().encode(commonName)]));
  return sequence(element(0x31, [attribute]));
}

function extension(id: string, critical: boolean, value: Uint8Array): Uint8Array {
  const flag = critical ? [element(0x01, [Uint8Array.of(0xff)])] : [];
  return sequence(objectId(id), ...flag, element(0x04, [value]));
}

function time(date: Date): Uint8Array {
  const digits = date.toISOString().replace(/[-:T]/g, "").slice(0, 14) + "Z";
  // RFC 5280 §4.1.2.5: UTCTime through 2049, GeneralizedTime after.
  return date.getUTCFullYear() < 2050
    ? element(0x17, [latin1(digits.slice(2))])
    : element(0x18, [latin1(digits)]);
}

function objectId(dotted: string): Uint8Array {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const bytes = [first * 40 + second];
  for (const arc of rest) {
    const groups = [arc & 0x7f];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) {
      groups.unshift((left & 0x7f) | 0x80);
    }
    bytes.push(...groups);
  }
  return element(0x06, [Uint8Array.from(bytes)]);
}

function sequence(...parts: readonly Uint8Array[]): Uint8Array {
  return element(0x30, parts);
}

function element(tag: number, parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const size: number[] = [];
  if (length < 0x80) size.push(length);
  else {
    for (let left = length; left > 0; left = left >> 8) size.unshift(left & 0xff);
    size.unshift(0x80 | size.length);
  }
  const bytes = new Uint8Array(1 + size.length + length);
  bytes[0] = tag;
  bytes.set(size, 1);
  let offset = 1 + size.length;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}

function latin1(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}
