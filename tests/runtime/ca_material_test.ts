import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import {
  isoTime,
  readCaMaterial,
  readPublicCertificate,
  requireIssuing,
  unusable,
} from "../../src/runtime/ca_material.ts";
import { StartError } from "../../src/runtime/start_error.ts";
import { makeAuthority } from "../support/certificates.ts";

const PATHS = { certPath: "/c.pem", keyPath: "/c.key" };

Deno.test("readCaMaterial gives what leaves take over from their issuer", () => {
  const { certPem, keyPem, fingerprint } = makeAuthority("Mine");
  const material = readCaMaterial({ ...PATHS, certText: certPem, keyText: keyPem });
  assertEquals(material.fingerprint, fingerprint);
  assertEquals(material.issuer.subject, material.facts.subject);
  assertEquals(material.issuer.subjectKeyId, material.facts.subjectKeyId);
});

Deno.test("readCaMaterial skips the parameters that openssl puts before an EC key", () => {
  const { certPem, keyPem } = makeAuthority();
  const parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
  readCaMaterial({ ...PATHS, certText: certPem, keyText: parameters + keyPem });
});

Deno.test("requireIssuing holds at the first and last second and not beyond", () => {
  const { certPem, keyPem } = makeAuthority();
  const material = readCaMaterial({ ...PATHS, certText: certPem, keyText: keyPem });
  const check = (seconds: number) => requireIssuing(material, "/c.pem", seconds * 1000, "renew it");
  const { notBeforeSeconds, notAfterSeconds } = material.facts;
  check(notBeforeSeconds);
  check(notAfterSeconds);
  assertThrows(() => check(notBeforeSeconds - 1), StartError, "valid only from");
  assertThrows(() => check(notAfterSeconds + 1), StartError, "renew it");
});

Deno.test("requireIssuing refuses a CA whose keyUsage lacks keyCertSign", () => {
  const { certPem, keyPem } = makeAuthority();
  const material = readCaMaterial({ ...PATHS, certText: certPem, keyText: keyPem });
  const facts = { ...material.facts, maySignCertificates: false };
  assertThrows(
    () => requireIssuing({ ...material, facts }, "/c.pem", Date.now(), "renew it"),
    StartError,
    "keyUsage lacks keyCertSign",
  );
});

Deno.test("readPublicCertificate needs no key", () => {
  const { certPem } = makeAuthority();
  assertEquals(readPublicCertificate(certPem, "/c.pem").facts.isAuthority, true);
});

Deno.test("unusable names the file, the finding and the mend", () => {
  const error = unusable("/c.pem", "it is torn", "write it anew", "cause");
  assertEquals(error.exitClass, "proxy_init_failed");
  assertMatch(error.message, /^Cannot use \/c\.pem .*: it is torn; to mend it, write it anew$/);
  assertEquals(error.cause, "cause");
});

Deno.test("isoTime is to the second", () => {
  assertEquals(isoTime(0), "1970-01-01T00:00:00Z");
  assertEquals(isoTime(1.9), "1970-01-01T00:00:01Z");
});
