import { assertEquals } from "@std/assert";
import { X509Certificate } from "node:crypto";
import tls from "node:tls";
import { DefaultRoots } from "../../src/runtime/default_roots.ts";
import { makeAuthority } from "../support/certificates.ts";

/** The subjects of what this process trusts by default. */
function defaults(): string[] {
  return tls.getCACertificates("default").map((pem) => new X509Certificate(pem).subject);
}

Deno.test("DefaultRoots replaces the process's roots by those asked for so far, twenty-four at most", () => {
  const roots = Array.from({ length: 26 }, (_, at) => {
    const { certPem } = makeAuthority(`root ${at}`);
    return { pem: certPem, subject: new X509Certificate(certPem).subject };
  });
  const subjects = (numbers: readonly number[]) => numbers.map((number) => roots[number]!.subject);
  const own = new DefaultRoots(roots);
  assertEquals([own.include([3]), defaults()], [true, subjects([3])]);
  assertEquals([own.include([3, 1]), defaults()], [true, subjects([3, 1])]);
  const most = Array.from({ length: 24 }, (_, at) => at);
  assertEquals([own.include(most), defaults().length], [true, 24]);
  // What does not fit changes nothing; what is there goes on to be there.
  assertEquals([own.include([24]), own.include([25, 3]), own.include([7])], [false, false, true]);
  assertEquals(defaults().length, 24);
});

Deno.test("DefaultRoots leaves the process's roots alone where one cannot be taken", () => {
  const { certPem } = makeAuthority("a root");
  const good = { pem: certPem, subject: new X509Certificate(certPem).subject };
  const own = new DefaultRoots([good, { pem: "no certificate", subject: "" }]);
  assertEquals(own.include([0]), true);
  assertEquals([own.include([1]), own.include([0])], [false, true]);
  assertEquals(defaults(), [good.subject]);
});
