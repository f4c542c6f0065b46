/**
 * X.509 certificates (RFC 5280 §4.1), read: what a certificate authority has to be asked before it may
 * issue leaves. Files come from users, so this is total: bytes that are no certificate give null.
 *
 * Node-forge knows no certificates with elliptic-curve keys, so its ASN.1 values are walked here.
 */
import {
  type Asn1,
  bytesOf,
  contentOf,
  derString,
  elementsOf,
  fromDer,
  objectIdentifierBytes,
  readTime,
  TAG,
  tagOf,
} from "./asn1.ts";

export interface CertificateFacts {
  /** Name, as it stands. */
  readonly subject: Uint8Array;
  readonly selfIssued: boolean;
  readonly serial: Uint8Array;
  readonly publicKeyInfo: Uint8Array;
  readonly notBeforeSeconds: number;
  readonly notAfterSeconds: number;
  /** Null where the certificate has none. */
  readonly subjectKeyId: Uint8Array | null;
  /** basicConstraints says cA. */
  readonly isAuthority: boolean;
  /** keyUsage is absent, which allows everything, or has keyCertSign. */
  readonly maySignCertificates: boolean;
}

const VERSION_TAG = 0xa0;
const EXTENSIONS_TAG = 0xa3;
const SUBJECT_KEY_IDENTIFIER = objectIdentifierBytes("2.5.29.14");
const KEY_USAGE = objectIdentifierBytes("2.5.29.15");
const BASIC_CONSTRAINTS = objectIdentifierBytes("2.5.29.19");

export function readCertificate(der: Uint8Array): CertificateFacts | null {
  const [toBeSigned] = elementsOf(fromDer(der), TAG.sequence) ?? [];
  const fields = elementsOf(toBeSigned, TAG.sequence);
  if (fields === null) return null;
  // The version is left out in version 1.
  const [serial, , issuer, validity, subject, publicKeyInfo, ...rest] =
    fields[0] !== undefined && tagOf(fields[0]) === VERSION_TAG ? fields.slice(1) : fields;
  const serialBytes = contentOf(serial, TAG.integer);
  const [notBefore, notAfter] = elementsOf(validity, TAG.sequence) ?? [];
  const notBeforeSeconds = readTime(notBefore);
  const notAfterSeconds = readTime(notAfter);
  if (serialBytes === null || notBeforeSeconds === null || notAfterSeconds === null) return null;
  const issuerName = encodedSequence(issuer);
  const subjectName = encodedSequence(subject);
  const keyInfo = encodedSequence(publicKeyInfo);
  if (issuerName === null || subjectName === null || keyInfo === null) return null;
  const extensions = readExtensions(rest.find((field) => tagOf(field) === EXTENSIONS_TAG));
  if (extensions === null) return null;
  return {
    subject: bytesOf(subjectName),
    selfIssued: subjectName === issuerName,
    serial: bytesOf(serialBytes),
    publicKeyInfo: bytesOf(keyInfo),
    notBeforeSeconds,
    notAfterSeconds,
    subjectKeyId: readKeyIdentifier(extensions.get(SUBJECT_KEY_IDENTIFIER)),
    isAuthority: saysAuthority(extensions.get(BASIC_CONSTRAINTS)),
    maySignCertificates: saysCertificateSigning(extensions.get(KEY_USAGE)),
  };
}

/** The DER of a SEQUENCE: as it stood, because only DER is read. */
function encodedSequence(value: Asn1 | undefined): string | null {
  return elementsOf(value, TAG.sequence) === null ? null : derString(value!);
}

/** The values of the extensions by the content of their OIDs, or null where they are malformed or repeated. */
function readExtensions(wrapper: Asn1 | undefined): Map<string, string> | null {
  const extensions = new Map<string, string>();
  if (wrapper === undefined) return extensions;
  const entries = elementsOf(elementsOf(wrapper, EXTENSIONS_TAG)?.[0], TAG.sequence);
  if (entries === null) return null;
  for (const entry of entries) {
    const parts = elementsOf(entry, TAG.sequence);
    const oid = contentOf(parts?.[0], TAG.objectIdentifier);
    const value = contentOf(parts?.at(-1), TAG.octetString);
    if (oid === null || value === null || extensions.has(oid)) return null;
    extensions.set(oid, value);
  }
  return extensions;
}

function readKeyIdentifier(value: string | undefined): Uint8Array | null {
  const identifier = value === undefined ? null : contentOf(fromDer(value), TAG.octetString);
  return identifier === null ? null : bytesOf(identifier);
}

function saysAuthority(value: string | undefined): boolean {
  const [cA] = (value === undefined ? null : elementsOf(fromDer(value), TAG.sequence)) ?? [];
  return contentOf(cA, TAG.boolean) === "\xff";
}

function saysCertificateSigning(value: string | undefined): boolean {
  if (value === undefined) return true;
  const bits = contentOf(fromDer(value), TAG.bitString);
  // keyCertSign is bit 5, after the byte that counts unused bits.
  return bits !== null && (bits.charCodeAt(1) & 0x04) !== 0;
}
