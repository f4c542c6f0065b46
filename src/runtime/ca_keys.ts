/** Keys, signatures and hashes for certificates: the node:crypto side of `src/tls/certificate.ts`. */
import {
  createHash,
  createPrivateKey,
  generateKeyPair,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
  verify,
  X509Certificate,
} from "node:crypto";
import { type SignatureAlgorithm, type Signer } from "../tls/certificate.ts";

/** `ec` is P-256, `rsa` is RSA-2048 for clients that know no elliptic curves. */
export type KeyKind = "ec" | "rsa";

export interface KeyPair {
  readonly kind: KeyKind;
  readonly privateKey: KeyObject;
  /** PKCS #8. */
  readonly privateKeyPem: string;
  /** SubjectPublicKeyInfo in DER. */
  readonly publicKeyInfo: Uint8Array;
}

/** An RSA key takes a tenth of a second to find, so it is looked for off this thread. */
export async function makeKeyPair(kind: KeyKind): Promise<KeyPair> {
  const { privateKey, publicKey } = kind === "ec"
    ? generateKeyPairSync("ec", { namedCurve: "P-256" })
    : await new Promise<{ privateKey: KeyObject; publicKey: KeyObject }>((resolve, reject) =>
      generateKeyPair("rsa", { modulusLength: 2048 }, (error, publicKey, privateKey) => {
        if (error) reject(error);
        else resolve({ privateKey, publicKey });
      })
    );
  return {
    kind,
    privateKey,
    privateKeyPem: String(privateKey.export({ format: "pem", type: "pkcs8" })),
    publicKeyInfo: new Uint8Array(publicKey.export({ format: "der", type: "spki" })),
  };
}

/** A private key from PEM, or null where it is none that can be read without a passphrase. */
export function readPrivateKey(pem: string): KeyObject | null {
  try {
    return createPrivateKey(pem);
  } catch {
    return null;
  }
}

/** What signs with a key, or null for kinds and sizes that clients do not accept from a CA. */
export function signerFor(key: KeyObject): Signer | null {
  const algorithm = signatureAlgorithm(key);
  if (algorithm === null) return null;
  const digest = DIGESTS[algorithm];
  return { algorithm, sign: (message) => sign(digest, message, key) };
}

/** Whether the key is the certificate's: asks the signer, so that a pair that cannot sign is found at start. */
export function signerMatches(signer: Signer, certificateDer: Uint8Array): boolean {
  const probe = new TextEncoder().encode("soth-mitm");
  try {
    const { publicKey } = new X509Certificate(certificateDer);
    return verify(DIGESTS[signer.algorithm], probe, publicKey, signer.sign(probe));
  } catch {
    return false;
  }
}

export function sha1(message: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha1").update(message).digest());
}

export function sha256Hex(message: Uint8Array): string {
  return createHash("sha256").update(message).digest("hex");
}

export function random(length: number): Uint8Array {
  return new Uint8Array(randomBytes(length));
}

const DIGESTS: Record<SignatureAlgorithm, string> = {
  ecdsa_sha256: "sha256",
  ecdsa_sha384: "sha384",
  ecdsa_sha512: "sha512",
  rsa_sha256: "sha256",
};

const CURVES: Readonly<Record<string, SignatureAlgorithm>> = {
  "prime256v1": "ecdsa_sha256",
  "P-256": "ecdsa_sha256",
  "secp384r1": "ecdsa_sha384",
  "P-384": "ecdsa_sha384",
  "secp521r1": "ecdsa_sha512",
  "P-521": "ecdsa_sha512",
};

function signatureAlgorithm(key: KeyObject): SignatureAlgorithm | null {
  if (key.type !== "private") return null;
  const details = key.asymmetricKeyDetails;
  if (key.asymmetricKeyType === "rsa") {
    return (details?.modulusLength ?? 0) >= 2048 ? "rsa_sha256" : null;
  }
  return key.asymmetricKeyType === "ec" ? CURVES[details?.namedCurve ?? ""] ?? null : null;
}
