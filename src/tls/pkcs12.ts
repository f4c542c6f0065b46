/**
 * A PKCS #12 truststore (RFC 7292): one certificate, no key. The salt is an argument.
 *
 * The certificate is public, so it is stored in the clear; the MAC under a published password is there
 * because readers ask for one, and guards against accidents only. SHA-1 is what every reader of the
 * last twenty years can check, and weakening a check that protects nothing costs nothing.
 *
 * `forge.pkcs12.toPkcs12Asn1` would take neither a certificate with an elliptic-curve key nor the
 * attribute that Java asks for, so the structure is put together here, and only the MAC is its work.
 */
import untypedHmac from "node-forge/lib/hmac.js";
import untypedPkcs12 from "node-forge/lib/pkcs12.js";
import untypedUtil from "node-forge/lib/util.js";
import {
  type Asn1,
  binaryString,
  bmpString,
  derString,
  integer,
  nullValue,
  objectIdentifier,
  octetString,
  sequence,
  setOf,
  tagged,
  toDer,
} from "./asn1.ts";

export interface Pkcs12Request {
  readonly certificate: Uint8Array;
  /** What key stores list the certificate as. */
  readonly friendlyName: string;
  readonly password: string;
  readonly salt: Uint8Array;
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
const MAC_KEY_BYTES = 20;
/** What the derived bytes are for (Appendix B.3). */
const MAC_KEY_ID = 3;

export function buildTruststore(request: Pkcs12Request): Uint8Array {
  const bag = sequence(
    OID.certBag,
    tagged(0, sequence(OID.x509Certificate, tagged(0, octetString(request.certificate)))),
    setOf(
      sequence(OID.friendlyName, setOf(bmpString(request.friendlyName))),
      sequence(OID.trustedKeyUsage, setOf(OID.anyExtendedKeyUsage)),
    ),
  );
  const authenticatedSafe = derString(sequence(dataContent(derString(sequence(bag)))));
  return toDer(sequence(
    integer(3),
    dataContent(authenticatedSafe),
    sequence(
      sequence(sequence(OID.sha1, nullValue()), octetString(macOf(authenticatedSafe, request))),
      octetString(request.salt),
      integer(MAC_ITERATIONS),
    ),
  ));
}

function dataContent(content: string): Asn1 {
  return sequence(OID.data, tagged(0, octetString(content)));
}

function macOf(message: string, { password, salt }: Pkcs12Request): string {
  const saltBuffer = util.createBuffer(binaryString(salt));
  const mac = hmac.create();
  mac.start("sha1", pkcs12.generateKey(password, saltBuffer, MAC_KEY_ID, MAC_ITERATIONS, MAC_KEY_BYTES));
  mac.update(message);
  return mac.getMac().getBytes();
}

// What is used of node-forge, which comes without types.

interface ForgeBuffer {
  getBytes(): string;
}

interface ForgeMac {
  start(hash: "sha1", key: ForgeBuffer): void;
  update(message: string): void;
  getMac(): ForgeBuffer;
}

interface ForgePkcs12 {
  generateKey(
    password: string,
    salt: ForgeBuffer,
    id: number,
    iterations: number,
    bytes: number,
  ): ForgeBuffer;
}

const hmac = untypedHmac as { create(): ForgeMac };
const pkcs12 = untypedPkcs12 as ForgePkcs12;
const util = untypedUtil as { createBuffer(binary: string): ForgeBuffer };
