import { assertEquals, assertRejects } from "@std/assert";
import type { HostOverride } from "../../src/core/settings.ts";
import { ClientIdentities } from "../../src/runtime/client_identities.ts";
import { settingsFromValues } from "../../src/runtime/config/load.ts";
import { StartError } from "../../src/runtime/start_error.ts";
import { makeAuthority } from "../support/certificates.ts";
import { startHttpOrigin } from "../support/origin.ts";
import { withProxy } from "../support/proxy.ts";
import { startDemandingServer } from "../support/demanding_server.ts";

const authority = makeAuthority();
const mallory = makeAuthority("somebody else");

async function inFolder(work: (write: (name: string, text: string) => Promise<string>) => Promise<void>) {
  const folder = await Deno.makeTempDir();
  try {
    await work(async (name, text) => {
      const path = `${folder}/${name}`;
      await Deno.writeTextFile(path, text, { mode: 0o600 });
      return path;
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function load(tls: Record<string, unknown>, overrides: readonly HostOverride[] = []) {
  const { settings } = settingsFromValues({ values: { state_dir: "/x", tls }, cwd: "/", checkGrants: false });
  return ClientIdentities.load({ tls: settings.tls, overrides });
}

Deno.test("ClientIdentities gives an override's certificate before the one for all, and null where there is none", () =>
  inFolder(async (write) => {
    const pair = async (name: string) => {
      const { certPem, keyPem } = authority.issue({ commonName: name });
      return [await write(`${name}.pem`, certPem), await write(`${name}.key`, keyPem)] as const;
    };
    const [cert, key] = await pair("all");
    const [clientCert, clientKey] = await pair("bank");
    const override = {
      ...{ id: "bank", hosts: ["*"], forceTunnel: false, http3: false, disableH2: false },
      ...{
        skipUpstreamVerify: false,
        stripAltSvc: false,
        strictHeaders: true,
        profile: null,
        clientCert,
        clientKey,
      },
    };
    const both = await load({ upstream_client_cert: cert, upstream_client_key: key }, [override]);
    assertEquals([both.of(null)?.id, both.of("bank")?.id, both.of("other")?.id], ["", "bank", ""]);
    const one = await load({}, [override]);
    assertEquals([one.of(null), one.of("bank")?.certPem], [null, await Deno.readTextFile(clientCert)]);
  }));

Deno.test("ClientIdentities.load names the setting and the file that cannot be used", () =>
  inFolder(async (write) => {
    const { certPem, keyPem } = authority.issue({});
    const cert = await write("cert.pem", certPem);
    const key = await write("key.pem", keyPem);
    const other = await write("other.pem", authority.issue({}).keyPem);
    const shared = await write("shared.pem", keyPem);
    const rows = [
      [cert, other, "is not the key of"],
      [key, key, "not a certificate in PEM"],
      [cert, cert, "private key"],
      [cert, `${key}.missing`, "key.pem.missing"],
    ];
    if (Deno.build.os !== "windows") {
      await Deno.chmod(shared, 0o644);
      rows.push([cert, shared, "shared.pem"]);
    }
    for (const [upstream_client_cert, upstream_client_key, said] of rows) {
      await assertRejects(() => load({ upstream_client_cert, upstream_client_key }), Error, said);
    }
    await assertRejects(() => load({ upstream_client_cert: cert, upstream_client_key: other }), StartError);
  }));

Deno.test("a server that demands a certificate is shown the one for its host, with its chain, and others none", () =>
  inFolder(async (write) => {
    const roots = await write("roots.pem", authority.certPem);
    const between = authority.issueAuthority("Between");
    const mine = between.issue({ commonName: "proxy for the bank", clientAuth: true });
    const clientCert = await write("client.pem", mine.certPem + between.certPem);
    const clientKey = await write("client.key", mine.keyPem);
    const strange = mallory.issue({ commonName: "stranger", clientAuth: true });
    const strangeCert = await write("strange.pem", strange.certPem);
    const strangeKey = await write("strange.key", strange.keyPem);
    const certificate = authority.issue({ names: ["localhost"] });
    const server = await startDemandingServer(certificate, authority.certPem);
    const open = await startHttpOrigin({ certificate });
    const hosts = [`localhost:${server.port}`];
    const tls = { upstream_ca_bundle: roots };
    const ask = async (settings: Record<string, unknown>, port = server.port) => {
      let answer = "";
      await withProxy({ settings: { tls, ...settings } }, async (proxy) => {
        // A server of TLS 1.3 refuses when its side of the handshake has succeeded for the proxy.
        const refused = proxy.event(({ kind, attributes }) =>
          kind === "tls_handshake_failed" && attributes.side === "server"
        );
        const answered = (async () => {
          const client = await proxy.tls(`localhost:${port}`);
          await client.write("GET /bytes/1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
          const head = await client.readThrough("\r\n\r\n");
          client.socket.destroy();
          return head;
        })().catch(() => "");
        answer = await Promise.race([answered, refused.then(() => "")]);
        if (answer === "") answer = String((await refused).attributes.normalized_reason);
      });
      return answer;
    };
    const override = { id: "bank", hosts, client_cert: clientCert, client_key: clientKey };
    const shown = await ask({ overrides: [override] });
    assertEquals(/^Shown: (.*)\r$/m.exec(shown)?.[1], "proxy for the bank below Between");
    const forAll = { ...tls, upstream_client_cert: clientCert, upstream_client_key: clientKey };
    assertEquals((await ask({ tls: forAll })).slice(0, 12), "HTTP/1.1 200");
    assertEquals((await ask({ tls: forAll }, open.port)).slice(0, 12), "HTTP/1.1 200");
    assertEquals(await ask({}), "handshake");
    const wrong = { ...override, client_cert: strangeCert, client_key: strangeKey };
    // This server does not even say why.
    assertEquals((await ask({ overrides: [wrong] })).slice(0, 12), "HTTP/1.1 502");
    await server.close();
    await open.close();
  }));
