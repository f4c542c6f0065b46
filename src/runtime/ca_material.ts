/**
 * A certificate authority's certificate and key as read from two PEM texts, and whether they may issue
 * leaves now. Every refusal names the file, what was found and the mend.
 */
import type { KeyObject } from "node:crypto";
import type { Issuer, Signer } from "../tls/certificate.ts";
import { keyIdentifier } from "../tls/certificate.ts";
import { type CertificateFacts, readCertificate } from "../tls/certificate_reader.ts";
import { decodePem, encodePem } from "../tls/pem.ts";
import { readPrivateKey, sha1, sha256Hex, signerFor, signerMatches } from "./ca_keys.ts";
import { StartError } from "./start_error.ts";

export interface CaMaterial {
  readonly certDer: Uint8Array;
  readonly certPem: string;
  /** SHA-256 of the certificate, lower-case hex. */
  readonly fingerprint: string;
  readonly facts: CertificateFacts;
  readonly issuer: Issuer;
  readonly key: KeyObject;
  readonly signer: Signer;
}

export interface CaTexts {
  readonly certPath: string;
  readonly certText: string;
  readonly keyPath: string;
  readonly keyText: string;
}

/** The pair, whatever its dates: it is well formed, and the key is the certificate's. Throws StartError. */
export function readCaMaterial(texts: CaTexts): CaMaterial {
  const { certPath, keyPath } = texts;
  const { der: certDer, facts } = readPublicCertificate(texts.certText, certPath);
  const { key, signer } = readKey(texts.keyText, keyPath);
  if (!signerMatches(signer, certDer)) {
    throw unusable(
      keyPath,
      `this key does not belong to the certificate in ${certPath}`,
      "name a certificate and a key that were made together",
    );
  }
  return {
    certDer,
    certPem: encodePem("CERTIFICATE", certDer),
    fingerprint: sha256Hex(certDer),
    facts,
    issuer: {
      subject: facts.subject,
      subjectKeyId: facts.subjectKeyId ?? keyIdentifier(facts.publicKeyInfo, sha1),
      notBeforeSeconds: facts.notBeforeSeconds,
      notAfterSeconds: facts.notAfterSeconds,
    },
    key,
    signer,
  };
}

/** The one certificate of a PEM text. Throws StartError. */
export function readPublicCertificate(
  text: string,
  path: string,
): { der: Uint8Array; facts: CertificateFacts } {
  const der = readOnlyCertificate(text, path);
  const facts = readCertificate(der);
  if (facts !== null) return { der, facts };
  throw unusable(path, "its CERTIFICATE block is no X.509 certificate", "write the file anew");
}

/** Throws StartError where the pair may not issue leaves at this time. `renewal` says how to get one that may. */
export function requireIssuing(material: CaMaterial, certPath: string, nowMs: number, renewal: string): void {
  const { facts } = material;
  if (!facts.isAuthority) {
    throw unusable(certPath, "it is not a CA certificate (basicConstraints lacks CA:TRUE)", renewal);
  }
  if (!facts.maySignCertificates) {
    throw unusable(certPath, "its keyUsage lacks keyCertSign, so clients refuse what it issues", renewal);
  }
  const nowSeconds = nowMs / 1000;
  if (nowSeconds < facts.notBeforeSeconds) {
    throw unusable(
      certPath,
      `it is valid only from ${isoTime(facts.notBeforeSeconds)}, and it is ${isoTime(nowSeconds)} now`,
      `set the clock right, or ${renewal}`,
    );
  }
  if (nowSeconds > facts.notAfterSeconds) {
    throw unusable(certPath, `it expired at ${isoTime(facts.notAfterSeconds)}`, renewal);
  }
}

/** How errors about a CA's files read. */
export function unusable(path: string, found: string, mend: string, cause?: unknown): StartError {
  return new StartError(
    "proxy_init_failed",
    `Cannot use ${path} as part of the certificate authority: ${found}; to mend it, ${mend}`,
    cause === undefined ? undefined : { cause },
  );
}

export function isoTime(unixSeconds: number): string {
  return new Date(Math.floor(unixSeconds) * 1000).toISOString().replace(".000Z", "Z");
}

function readOnlyCertificate(text: string, path: string): Uint8Array {
  const blocks = decodePem(text);
  if (blocks === null) throw unusable(path, "its PEM is damaged", "write the file anew");
  const certificates = blocks.filter(({ label }) => label === "CERTIFICATE");
  const [first] = certificates;
  if (first === undefined) {
    throw unusable(
      path,
      `it holds ${describeBlocks(blocks)} where a PEM certificate (BEGIN CERTIFICATE) is needed`,
      "name the CA certificate; DER becomes PEM by `openssl x509 -inform der`",
    );
  }
  if (certificates.length > 1) {
    throw unusable(
      path,
      `it holds ${certificates.length} certificates, and only one can sign`,
      "keep only the certificate that the key belongs to",
    );
  }
  return first.der;
}

function readKey(text: string, path: string): { key: KeyObject; signer: Signer } {
  const blocks = decodePem(text);
  if (blocks === null) throw unusable(path, "its PEM is damaged", "write the file anew");
  // `openssl ecparam -genkey` puts EC PARAMETERS before the key; they say nothing that the key does not.
  const block = blocks.find(({ label }) => label.endsWith("PRIVATE KEY"));
  if (block === undefined) {
    throw unusable(
      path,
      `it holds ${describeBlocks(blocks)} where a PEM private key (BEGIN PRIVATE KEY) is needed`,
      "name the CA's private key; DER becomes PEM by `openssl pkey -inform der`",
    );
  }
  if (block.label === "ENCRYPTED PRIVATE KEY" || block.encrypted) {
    throw unusable(
      path,
      "the private key is encrypted, and nobody is there to type its passphrase",
      "store it without one, readable by you alone: `openssl pkey -in FILE -out FILE.plain`",
    );
  }
  const key = readPrivateKey(block.text);
  if (key === null) {
    throw unusable(
      path,
      "its private key cannot be read",
      "write the file anew, as PKCS #8, PKCS #1 or SEC 1",
    );
  }
  const signer = signerFor(key);
  if (signer === null) {
    throw unusable(
      path,
      `it holds a key of a kind (${key.asymmetricKeyType ?? key.type}) that clients do not accept from a CA`,
      "use ECDSA on P-256, P-384 or P-521, or RSA of 2048 bits or more",
    );
  }
  return { key, signer };
}

function describeBlocks(blocks: readonly { label: string }[]): string {
  if (blocks.length === 0) return "no PEM block";
  return blocks.slice(0, 3).map(({ label }) => `a ${label.slice(0, 40)} block`).join(", ");
}
