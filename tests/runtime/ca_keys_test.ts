import { assertEquals } from "@std/assert";
import { createHash, generateKeyPairSync, verify } from "node:crypto";
import { assert } from "../../src/core/assert.ts";
import {
  type KeyKind,
  makeKeyPair,
  random,
  readPrivateKey,
  sha1,
  sha256Hex,
  signerFor,
  signerMatches,
} from "../../src/runtime/ca_keys.ts";
import { decodePem } from "../../src/tls/pem.ts";
import { makeAuthority } from "../support/certificates.ts";

const MESSAGE = new TextEncoder().encode("message");

Deno.test("makeKeyPair makes P-256 and RSA-2048 keys that sign", async () => {
  for (
    const [kind, type, algorithm] of [["ec", "ec", "ecdsa_sha256"], ["rsa", "rsa", "rsa_sha256"]] as const
  ) {
    const pair = await makeKeyPair(kind satisfies KeyKind);
    assertEquals(pair.privateKey.asymmetricKeyType, type);
    const signer = signerFor(pair.privateKey);
    assertEquals(signer?.algorithm, algorithm);
    assertEquals(readPrivateKey(pair.privateKeyPem)?.asymmetricKeyType, type);
    assertEquals(pair.publicKeyInfo[0], 0x30);
  }
});

Deno.test("signerFor signs with the digest of each curve", () => {
  for (
    const [namedCurve, algorithm, digest] of [
      ["P-256", "ecdsa_sha256", "sha256"],
      ["P-384", "ecdsa_sha384", "sha384"],
      ["P-521", "ecdsa_sha512", "sha512"],
    ] as const
  ) {
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve });
    const signer = signerFor(privateKey);
    assert(signer !== null, namedCurve);
    assertEquals(signer.algorithm, algorithm);
    assert(verify(digest, MESSAGE, publicKey, signer.sign(MESSAGE)), `${namedCurve} verifies`);
  }
});

Deno.test("signerFor refuses keys that clients do not accept from a CA", () => {
  assertEquals(signerFor(generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey), null);
  assertEquals(signerFor(generateKeyPairSync("ed25519").privateKey), null);
  assertEquals(signerFor(generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey), null);
});

Deno.test("signerMatches tells the certificate's key from another's, and answers for bytes that are none", () => {
  const { certPem, keyPem } = makeAuthority();
  const signer = signerFor(readPrivateKey(keyPem)!)!;
  assert(signerMatches(signer, decodePem(certPem)![0]!.der), "its own");
  assert(!signerMatches(signer, decodePem(makeAuthority().certPem)![0]!.der), "another's");
  assert(!signerMatches(signer, decodePem(makeAuthority("r", "rsa").certPem)![0]!.der), "of another kind");
  assert(!signerMatches(signer, MESSAGE), "no certificate");
});

Deno.test("hashes are those of node:crypto and random bytes differ", () => {
  assertEquals(sha256Hex(MESSAGE), createHash("sha256").update(MESSAGE).digest("hex"));
  assertEquals(sha1(MESSAGE), new Uint8Array(createHash("sha1").update(MESSAGE).digest()));
  assertEquals(random(16).length, 16);
  assert(random(16).join() !== random(16).join(), "they differ");
  assertEquals(readPrivateKey("nothing"), null);
});
