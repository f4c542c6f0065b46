/**
 * X.509 certificates (RFC 5280 §4.1), read: what a certificate authority has to be asked before it may
 * issue leaves. Files come from users, so this is total: bytes that are no certificate give null.
 */
import {
  type DerElement,
  equalBytes,
  readElement,
  readElements,
  readObjectIdentifier,
  readTime,
  TAG,
} from "./der.ts";

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

export function readCertificate(der: Uint8Array): CertificateFacts | null {
  const certificate = readElement(der);
  if (certificate === null || certificate.tag !== TAG.sequence) return null;
  if (certificate.encoded.length !== der.length) return null;
  const toBeSigned = readElement(certificate.content);
  if (toBeSigned === null || toBeSigned.tag !== TAG.sequence) return null;
  const fields = readElements(toBeSigned.content);
  if (fields === null) return null;
  // The version is left out in version 1.
  if (fields[0]?.tag === 0xa0) fields.shift();
  const [serial, , issuer, validity, subject, publicKeyInfo, ...rest] = fields;
  if (serial?.tag !== TAG.integer || validity?.tag !== TAG.sequence) return null;
  if (issuer?.tag !== TAG.sequence || subject?.tag !== TAG.sequence) return null;
  if (publicKeyInfo?.tag !== TAG.sequence) return null;
  const [notBefore, notAfter] = readElements(validity.content) ?? [];
  const notBeforeSeconds = notBefore ? readTime(notBefore) : null;
  const notAfterSeconds = notAfter ? readTime(notAfter) : null;
  if (notBeforeSeconds === null || notAfterSeconds === null) return null;
  const extensions = readExtensions(rest.find(({ tag }) => tag === 0xa3));
  if (extensions === null) return null;
  return {
    subject: subject.encoded,
    selfIssued: equalBytes(subject.encoded, issuer.encoded),
    serial: serial.content,
    publicKeyInfo: publicKeyInfo.encoded,
    notBeforeSeconds,
    notAfterSeconds,
    subjectKeyId: readWrapped(extensions.get("2.5.29.14"), TAG.octetString),
    isAuthority: saysAuthority(extensions.get("2.5.29.19")),
    maySignCertificates: saysCertificateSigning(extensions.get("2.5.29.15")),
  };
}

function readExtensions(wrapper: DerElement | undefined): Map<string, Uint8Array> | null {
  const extensions = new Map<string, Uint8Array>();
  if (wrapper === undefined) return extensions;
  const list = readElement(wrapper.content);
  const entries = list?.tag === TAG.sequence ? readElements(list.content) : null;
  if (entries === null) return null;
  for (const entry of entries) {
    const parts = readElements(entry.content);
    const oid = parts?.[0]?.tag === TAG.objectIdentifier ? readObjectIdentifier(parts[0].content) : null;
    const value = parts?.at(-1);
    if (oid === null || value?.tag !== TAG.octetString || extensions.has(oid)) return null;
    extensions.set(oid, value.content);
  }
  return extensions;
}

function readWrapped(value: Uint8Array | undefined, tag: number): Uint8Array | null {
  const inner = value ? readElement(value) : null;
  return inner?.tag === tag ? inner.content : null;
}

function saysAuthority(value: Uint8Array | undefined): boolean {
  const content = readWrapped(value, TAG.sequence);
  const first = content ? readElement(content) : null;
  return first?.tag === TAG.boolean && first.content.length === 1 && first.content[0] !== 0;
}

function saysCertificateSigning(value: Uint8Array | undefined): boolean {
  if (value === undefined) return true;
  const bits = readWrapped(value, TAG.bitString);
  // keyCertSign is bit 5, after the byte that counts unused bits.
  return bits !== null && ((bits[1] ?? 0) & 0x04) !== 0;
}
