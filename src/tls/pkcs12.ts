/**
 * A PKCS #12 truststore (RFC 7292): one certificate, no key. Hashes and the salt are arguments.
 *
 * The certificate is public, so it is stored in the clear; the MAC under a published password is there
 * because readers ask for one, and guards against accidents only. SHA-1 is what every reader of the
 * last twenty years can check, and weakening a check that protects nothing costs nothing.
 */
import {
  element,
  nullValue,
  objectIdentifier,
  octetString,
  sequence,
  setOf,
  smallInteger,
  TAG,
  tagged,
} from "./der.ts";
import type { Hash } from "./certificate.ts";

export interface Pkcs12Request {
  readonly certificate: Uint8Array;
  /** What key stores list the certificate as. */
  readonly friendlyName: string;
  readonly password: string;
  readonly salt: Uint8Array;
  readonly sha1: Hash;
  readonly hmacSha1: (key: Uint8Array, message: Uint8Array) => Uint8Array;
}

const OID = {
  data: objectIdentifier("1.2.840.113549.1.7.1"),
  certBag: objectIdentifier("1.2.840.113549.1.12.10.1.3"),
  x509Certificate: objectIdentifier("1.2.840.113549.1.9.22.1"),
  friendlyName: objectIdentifier("1.2.840.113549.1.9.20"),
  /** Java lists a certificate as trusted only with this attribute, whatever it is trusted for. */
  trustedKeyUsage: objectIdentifier("2.16.840.1.113894.746875.1.1"),
  anyExtendedKeyUsage: objectIdentifier("2.5.29.37.0"),
  sha1: objectIdentifier("1.3.14.3.2.26"),
};

const MAC_ITERATIONS = 2048;

export function buildTruststore(request: Pkcs12Request): Uint8Array {
  const bag = sequence(
    OID.certBag,
    tagged(0, sequence(OID.x509Certificate, tagged(0, octetString(request.certificate)))),
    setOf(
      sequence(OID.friendlyName, setOf(element(TAG.bmpString, utf16(request.friendlyName)))),
      sequence(OID.trustedKeyUsage, setOf(OID.anyExtendedKeyUsage)),
    ),
  );
  const authenticatedSafe = sequence(dataContent(sequence(bag)));
  const mac = request.hmacSha1(macKey(request), authenticatedSafe);
  return sequence(
    smallInteger(3),
    dataContent(authenticatedSafe),
    sequence(
      sequence(sequence(OID.sha1, nullValue()), octetString(mac)),
      octetString(request.salt),
      smallInteger(MAC_ITERATIONS),
    ),
  );
}

function dataContent(content: Uint8Array): Uint8Array {
  return sequence(OID.data, tagged(0, octetString(content)));
}

/** Appendix B.2 for a MAC key (ID 3): SHA-1 gives all 20 bytes in its first round. */
function macKey({ password, salt, sha1 }: Pkcs12Request): Uint8Array {
  const blockBytes = 64;
  const diversifier = new Uint8Array(blockBytes).fill(3);
  // Appendix B.1: UTF-16 with a final NUL.
  const saltBlocks = repeated(salt, blockBytes);
  const passwordBlocks = repeated(utf16(`${password}\0`), blockBytes);
  let key = sha1(Uint8Array.from([...diversifier, ...saltBlocks, ...passwordBlocks]));
  for (let iteration = 1; iteration < MAC_ITERATIONS; iteration++) key = sha1(key);
  return key;
}

function repeated(bytes: Uint8Array, blockBytes: number): Uint8Array {
  const length = blockBytes * Math.ceil(bytes.length / blockBytes);
  return Uint8Array.from({ length }, (_, index) => bytes[index % bytes.length]!);
}

function utf16(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length * 2);
  for (let index = 0; index < text.length; index++) {
    bytes[2 * index] = text.charCodeAt(index) >> 8;
    bytes[2 * index + 1] = text.charCodeAt(index) & 0xff;
  }
  return bytes;
}
