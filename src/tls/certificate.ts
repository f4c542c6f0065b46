/**
 * X.509 certificates (RFC 5280), built: a certificate authority of our own, and leaves that say no more
 * than the client asked.
 *
 * Keys, signatures, hashes, serial numbers and the time are arguments; what comes out is a function of them.
 */
import {
  type Asn1,
  binaryString,
  bitString,
  boolean,
  bytesOf,
  contentOf,
  derString,
  element,
  elementsOf,
  fromDer,
  integer,
  nullValue,
  objectIdentifier,
  octetString,
  positiveInteger,
  sequence,
  TAG,
  tagged,
  taggedPrimitive,
  time,
  toDer,
  utf8String,
} from "./asn1.ts";
import { assert } from "../core/assert.ts";
import type { CertificateName } from "./names.ts";

export const SIGNATURE_ALGORITHMS = {
  ecdsa_sha256: sequence(objectIdentifier("1.2.840.10045.4.3.2")),
  ecdsa_sha384: sequence(objectIdentifier("1.2.840.10045.4.3.3")),
  ecdsa_sha512: sequence(objectIdentifier("1.2.840.10045.4.3.4")),
  // RFC 4055 §5 wants the NULL.
  rsa_sha256: sequence(objectIdentifier("1.2.840.113549.1.1.11"), nullValue()),
} as const;
export type SignatureAlgorithm = keyof typeof SIGNATURE_ALGORITHMS;

export interface Signer {
  readonly algorithm: SignatureAlgorithm;
  /** The signature as X.509 carries it: ECDSA-Sig-Value in DER (RFC 3279 §2.2.3), or the RSA block. */
  sign(message: Uint8Array): Uint8Array;
}

export type Hash = (message: Uint8Array) => Uint8Array;

export interface AuthorityRequest {
  readonly commonName: string;
  readonly organization: string;
  /** SubjectPublicKeyInfo in DER, of the key that signs. */
  readonly publicKeyInfo: Uint8Array;
  readonly serial: Uint8Array;
  readonly nowSeconds: number;
  readonly signer: Signer;
  readonly sha1: Hash;
}

/** What leaves take over from the certificate that issues them. */
export interface Issuer {
  /** The subject Name as it stands in the issuer's certificate: chains are matched on these bytes. */
  readonly subject: Uint8Array;
  readonly subjectKeyId: Uint8Array;
  readonly notBeforeSeconds: number;
  readonly notAfterSeconds: number;
}

export interface LeafRequest {
  readonly name: CertificateName;
  readonly publicKeyInfo: Uint8Array;
  /** RSA keys may also carry the premaster secret of TLS 1.2. */
  readonly keyKind: "ec" | "rsa";
  readonly subjectKeyId: Uint8Array;
  readonly serial: Uint8Array;
  readonly nowSeconds: number;
  readonly issuer: Issuer;
  readonly signer: Signer;
}

/** For clocks that are behind ours. */
export const BACKDATED_SECONDS = 3600;
/** Clients refuse server certificates of more than 200 days since March 2026 (CA/Browser Forum SC-081). */
const LEAF_LIFETIME_SECONDS = 197 * 86_400;
/** Ten years, leap days included. */
const AUTHORITY_LIFETIME_SECONDS = 3652 * 86_400;
/** ub-common-name and ub-organization-name of RFC 5280 Appendix A.1. */
export const MAX_NAME_ATTRIBUTE_LENGTH = 64;

const OID = {
  commonName: objectIdentifier("2.5.4.3"),
  organization: objectIdentifier("2.5.4.10"),
  subjectKeyIdentifier: objectIdentifier("2.5.29.14"),
  keyUsage: objectIdentifier("2.5.29.15"),
  subjectAltName: objectIdentifier("2.5.29.17"),
  basicConstraints: objectIdentifier("2.5.29.19"),
  authorityKeyIdentifier: objectIdentifier("2.5.29.35"),
  extKeyUsage: objectIdentifier("2.5.29.37"),
  serverAuth: objectIdentifier("1.3.6.1.5.5.7.3.1"),
};

const NOT_AUTHORITY = extension(OID.basicConstraints, true, sequence());
const AUTHORITY_OF_LEAVES = extension(OID.basicConstraints, true, sequence(boolean(true), integer(0)));
// Bits of KeyUsage (§4.2.1.3) from the left; DER leaves out zeros at the end.
/** keyCertSign (5) and cRLSign (6). */
const AUTHORITY_USAGE = extension(OID.keyUsage, true, bitString("\x06", 1));
const LEAF_USAGE = {
  /** digitalSignature (0). */
  ec: extension(OID.keyUsage, true, bitString("\x80", 7)),
  /** digitalSignature (0) and keyEncipherment (2). */
  rsa: extension(OID.keyUsage, true, bitString("\xa0", 5)),
};
const SERVER_AUTH = extension(OID.extKeyUsage, false, sequence(OID.serverAuth));

/** A self-signed certificate that may issue leaves and nothing below them; in DER. */
export function buildAuthority(request: AuthorityRequest): Uint8Array {
  const subject = sequence(
    nameAttribute(OID.organization, request.organization),
    nameAttribute(OID.commonName, request.commonName),
  );
  const notBefore = request.nowSeconds - BACKDATED_SECONDS;
  return sign({
    serial: request.serial,
    issuer: subject,
    validity: sequence(time(notBefore), time(notBefore + AUTHORITY_LIFETIME_SECONDS - 1)),
    subject,
    publicKeyInfo: readOwn(request.publicKeyInfo),
    extensions: [
      AUTHORITY_OF_LEAVES,
      AUTHORITY_USAGE,
      extension(
        OID.subjectKeyIdentifier,
        false,
        octetString(keyIdentifier(request.publicKeyInfo, request.sha1)),
      ),
    ],
  }, request.signer);
}

/** When a leaf made at an instant is valid: never longer than clients take, never outside its issuer's validity. */
export function leafValidity(
  nowSeconds: number,
  issuer: Pick<Issuer, "notBeforeSeconds" | "notAfterSeconds">,
): { notBeforeSeconds: number; notAfterSeconds: number } {
  const notBeforeSeconds = Math.max(nowSeconds - BACKDATED_SECONDS, issuer.notBeforeSeconds);
  return {
    notBeforeSeconds,
    // Both ends count as valid (RFC 5280 §4.1.2.5), hence the second less.
    notAfterSeconds: Math.min(notBeforeSeconds + LEAF_LIFETIME_SECONDS - 1, issuer.notAfterSeconds),
  };
}

/** A server's certificate for exactly one name; in DER. */
export function buildLeaf(request: LeafRequest): Uint8Array {
  const { name, issuer } = request;
  const { notBeforeSeconds, notAfterSeconds } = leafValidity(request.nowSeconds, issuer);
  const named = name.text.length <= MAX_NAME_ATTRIBUTE_LENGTH;
  const generalName = name.kind === "dns"
    ? taggedPrimitive(2, name.text)
    : taggedPrimitive(7, binaryString(name.address));
  return sign({
    serial: request.serial,
    issuer: readOwn(issuer.subject),
    validity: sequence(time(notBeforeSeconds), time(notAfterSeconds)),
    subject: named ? sequence(nameAttribute(OID.commonName, name.text)) : sequence(),
    publicKeyInfo: readOwn(request.publicKeyInfo),
    extensions: [
      NOT_AUTHORITY,
      LEAF_USAGE[request.keyKind],
      SERVER_AUTH,
      // An empty subject makes the alternative name critical (§4.2.1.6).
      extension(OID.subjectAltName, !named, sequence(generalName)),
      extension(OID.subjectKeyIdentifier, false, octetString(request.subjectKeyId)),
      extension(
        OID.authorityKeyIdentifier,
        false,
        sequence(taggedPrimitive(0, binaryString(issuer.subjectKeyId))),
      ),
    ],
  }, request.signer);
}

/** The SHA-1 of the key's bits without tag, length and count of unused bits (§4.2.1.2, method 1). */
export function keyIdentifier(publicKeyInfo: Uint8Array, sha1: Hash): Uint8Array {
  const [, key] = elementsOf(fromDer(publicKeyInfo), TAG.sequence) ?? [];
  const bits = contentOf(key, TAG.bitString);
  assert(bits !== null && bits.length > 1, "A SubjectPublicKeyInfo ends in its key");
  return sha1(bytesOf(bits.slice(1)));
}

/**
 * A serial number from 16 random bytes: positive, and without a leading zero byte, so that its length
 * never varies (§4.1.2.2 allows 20 bytes).
 */
export function serialNumber(random: Uint8Array): Uint8Array {
  assert(random.length >= 16 && random.length <= 20, "A serial number has 16 to 20 bytes");
  const serial = random.slice();
  serial[0] = serial[0]! & 0x7f | 0x40;
  return serial;
}

interface ToBeSigned {
  readonly serial: Uint8Array;
  readonly issuer: Asn1;
  readonly validity: Asn1;
  readonly subject: Asn1;
  readonly publicKeyInfo: Asn1;
  readonly extensions: readonly Asn1[];
}

/** §4.1: the TBSCertificate of version 3, its signature algorithm, its signature. */
function sign(certificate: ToBeSigned, signer: Signer): Uint8Array {
  const algorithm = SIGNATURE_ALGORITHMS[signer.algorithm];
  const toBeSigned = sequence(
    tagged(0, integer(2)),
    positiveInteger(certificate.serial),
    algorithm,
    certificate.issuer,
    certificate.validity,
    certificate.subject,
    certificate.publicKeyInfo,
    tagged(3, sequence(...certificate.extensions)),
  );
  return toDer(sequence(toBeSigned, algorithm, bitString(signer.sign(toDer(toBeSigned)))));
}

function extension(oid: Asn1, critical: boolean, value: Asn1): Asn1 {
  const wrapped = octetString(derString(value));
  // FALSE is the default and DER leaves defaults out.
  return critical ? sequence(oid, boolean(true), wrapped) : sequence(oid, wrapped);
}

function nameAttribute(oid: Asn1, value: string): Asn1 {
  assert(
    value !== "" && value.length <= MAX_NAME_ATTRIBUTE_LENGTH,
    "A name attribute has 1 to 64 characters",
  );
  return element(TAG.set, [sequence(oid, utf8String(value))]);
}

/** Of what was encoded or read before. */
function readOwn(der: Uint8Array): Asn1 {
  const value = fromDer(der);
  assert(value !== null, "Names and keys come here in DER");
  return value;
}
