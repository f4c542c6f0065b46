import { assertEquals } from "@std/assert";
import { X509Certificate } from "node:crypto";
import type { DetailedPeerCertificate, PeerCertificate } from "node:tls";
import { checkIdentity, checkNotExpired } from "../../src/runtime/server_identity.ts";
import { makeAuthority } from "../support/certificates.ts";
import { startHttpOrigin } from "../support/origin.ts";
import { withProxy } from "../support/proxy.ts";

Deno.test("checkIdentity wants the name in the text and in the bytes of the certificate", () => {
  const authority = makeAuthority();
  const shown = (names: readonly string[]) => {
    const { raw, subjectAltName } = new X509Certificate(authority.issue({ names }).certPem);
    return { raw, subjectaltname: subjectAltName, subject: { CN: "x" } } as unknown as PeerCertificate;
  };
  assertEquals(checkIdentity("a.test", shown(["a.test"])), undefined);
  for (const names of [["b.test"], ["b.test, DNS:a.test"]]) {
    const fault = checkIdentity("a.test", shown(names)) as Error & { code: string };
    assertEquals(fault.code, "ERR_TLS_CERT_ALTNAME_INVALID");
  }
});

Deno.test("checkNotExpired looks at the whole chain, and takes a time that it cannot read for one that is past", () => {
  type Link = Pick<DetailedPeerCertificate, "valid_to"> & { issuerCertificate?: Link };
  const check = (...ends: string[]) => {
    const chain: Link[] = ends.map((valid_to) => ({ valid_to }));
    chain.forEach((link, depth) => link.issuerCertificate = chain[depth + 1] ?? link);
    const fault = checkNotExpired(chain[0] as DetailedPeerCertificate, Date.UTC(2026, 0, 1)) as
      | Error & { code: string }
      | undefined;
    return fault?.code;
  };
  const [past, future] = ["Dec 31 23:59:59 2025 GMT", "Jan  1 00:00:00 2026 GMT"];
  assertEquals(check(future), undefined);
  assertEquals(check(future, future, future), undefined);
  assertEquals([check(past, future), check(future, past), check("")], Array(3).fill("CERT_HAS_EXPIRED"));
});

Deno.test("a certificate with a name that reads like two is for neither, with and without SNI", async () => {
  const authority = makeAuthority();
  const bundle = await Deno.makeTempFile({ suffix: ".crt" });
  await Deno.writeTextFile(bundle, authority.certPem);
  const rows: [string, number[]][] = [
    ["a.test, DNS:localhost, IP Address:127.0.0.1", [502, 502]],
    ["localhost", [200, 502]],
  ];
  for (const [name, expected] of rows) {
    const origin = await startHttpOrigin({ certificate: authority.issue({ names: [name] }) });
    for (const upstream_sni_mode of ["auto", "disabled"]) {
      const settings = { tls: { upstream_ca_bundle: bundle, upstream_sni_mode } };
      await withProxy({ settings }, async (proxy) => {
        const statuses: number[] = [];
        for (const host of ["localhost", "127.0.0.1"]) {
          const client = await proxy.tls(`${host}:${origin.port}`);
          await client.write("GET /bytes/1 HTTP/1.1\r\nHost: localhost\r\n\r\n");
          statuses.push(Number((await client.readThrough("\r\n\r\n")).split(" ")[1]));
        }
        assertEquals(statuses, expected, `${name} ${upstream_sni_mode}`);
      });
    }
    await origin.close();
  }
  await Deno.remove(bundle);
});
