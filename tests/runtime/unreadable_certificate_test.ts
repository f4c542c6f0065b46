import { assert, assertEquals } from "@std/assert";
import { EventEmitter } from "node:events";
import type { TLSSocket } from "node:tls";
import { catchUnreadableCertificate } from "../../src/runtime/unreadable_certificate.ts";
import { makeAuthority } from "../support/certificates.ts";
import { startHttpOrigin } from "../support/origin.ts";
import { withProxy } from "../support/proxy.ts";

const authority = makeAuthority();
const certificate = authority.issue({ names: ["localhost"] });

Deno.test("catchUnreadableCertificate tells what the end of a handshake would throw, and nothing else", () => {
  const told: string[] = [];
  for (const broken of [false, true]) {
    const socket = new EventEmitter();
    socket.on("secure", () => {
      if (broken) throw new Error("no such length");
    });
    catchUnreadableCertificate(
      socket as unknown as TLSSocket,
      ({ code, message }) => told.push(`${code} ${message}`),
    );
    socket.emit("secure");
    // Nobody who waited is kept.
    assertEquals(socket.listenerCount("secure"), 0);
  }
  assertEquals(told, ["CERT_REJECTED the server sent a certificate that cannot be read: no such length"]);
});

Deno.test("a certificate that cannot be read, behind a good or a bad one, is a failed handshake and nothing worse", async () => {
  const unreadable = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
  const expired = authority.issue({ names: ["localhost"], notBefore: new Date(0), notAfter: new Date(1e9) });
  const bundle = await Deno.makeTempFile({ suffix: ".crt" });
  await Deno.writeTextFile(bundle, authority.certPem);
  for (const own of [certificate, expired]) {
    const origin = await startHttpOrigin({ certificate: { ...own, certPem: own.certPem + unreadable } });
    await withProxy({ settings: { tls: { upstream_ca_bundle: bundle } } }, async (proxy) => {
      const client = await proxy.tls(`localhost:${origin.port}`);
      await client.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
      const head = await client.readThrough("\r\n\r\n");
      assert(head.startsWith("HTTP/1.1 502"), head);
      const failed = await proxy.event(({ kind }) => kind === "tls_handshake_failed");
      assertEquals(failed.attributes.normalized_reason, "cert_validation");
      // What the provider says of a bad one is apart from what was found out of it.
      const { detail, raw_provider_error } = failed.attributes;
      assert(`${raw_provider_error} ${detail}`.includes("cannot be read"), JSON.stringify(failed.attributes));
    });
    await origin.close();
  }
  await Deno.remove(bundle);
});
