import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import tls from "node:tls";
import { StartError } from "../../src/runtime/start_error.ts";
import { loadTrustRoots } from "../../src/runtime/trust_roots.ts";
import { makeAuthority } from "../support/certificates.ts";

Deno.test("loadTrustRoots takes a bundle alone or Mozilla's list, with the extra bundle on top and each root once", async () => {
  await using directory = await temporaryDirectory();
  const { certPem } = makeAuthority("extra root");
  const path = await directory.write(
    "extra.pem",
    `# twice\r\n${certPem}${certPem.replaceAll("\n", "\r\n")}\n`,
  );
  const count = async (upstreamTrust: string, upstreamCaBundle: string | null) => {
    const { roots, notices } = await loadTrustRoots({ upstreamTrust, upstreamCaBundle });
    assertEquals(notices, []);
    return roots.length;
  };
  assertEquals(await count(path, null), 1);
  assertEquals(await count(path, path), 1);
  const bundled = await count("bundled", null);
  assertEquals(bundled, new Set(tls.rootCertificates).size);
  assertEquals(await count("bundled", path), bundled + 1);
});

Deno.test("loadTrustRoots for system finds this machine's roots, or says that it does not", async () => {
  const { roots, notices } = await loadTrustRoots({ upstreamTrust: "system", upstreamCaBundle: null });
  console.log(`${roots.length} roots`, ...notices);
  assert(roots.length > 0);
});

Deno.test("loadTrustRoots for system follows SSL_CERT_FILE, and says when it cannot", async () => {
  await using directory = await temporaryDirectory();
  const { certPem } = makeAuthority("from the environment");
  const before = Deno.env.get("SSL_CERT_FILE");
  try {
    Deno.env.set("SSL_CERT_FILE", await directory.write("env.pem", certPem));
    const { roots, notices } = await loadTrustRoots({ upstreamTrust: "system", upstreamCaBundle: null });
    assertEquals([roots.length, roots[0]?.subject, notices], [1, "CN=from the environment", []]);

    Deno.env.set("SSL_CERT_FILE", `${directory.path}/absent.pem`);
    const fallback = await loadTrustRoots({ upstreamTrust: "system", upstreamCaBundle: null });
    assert(fallback.roots.length > 0);
    assertStringIncludes(fallback.notices[0] ?? "", "SSL_CERT_FILE names ");
  } finally {
    if (before === undefined) Deno.env.delete("SSL_CERT_FILE");
    else Deno.env.set("SSL_CERT_FILE", before);
  }
});

Deno.test({
  name: "loadTrustRoots for system falls back to Mozilla's list with a notice when nothing may be read",
  permissions: { read: false, env: false, sys: false },
  async fn() {
    const { roots, notices } = await loadTrustRoots({ upstreamTrust: "system", upstreamCaBundle: null });
    assertEquals(roots.length, new Set(tls.rootCertificates).size);
    assertEquals(notices.length, 1);
    assertStringIncludes(notices[0]!, "tls.upstream_trust");
  },
});

Deno.test({
  name: "loadTrustRoots names the missing grant",
  permissions: { read: false },
  async fn() {
    const error = await assertRejects(
      () => loadTrustRoots({ upstreamTrust: "bundled", upstreamCaBundle: "/corp/ca.pem" }),
      StartError,
    );
    assertStringIncludes(error.message, "--allow-read=/corp/ca.pem");
  },
});

Deno.test("loadTrustRoots names the file that cannot be used, and the mend", async () => {
  await using directory = await temporaryDirectory();
  const { certPem } = makeAuthority();
  const faults: readonly (readonly [path: string, message: string])[] = [
    [`${directory.path}/absent.pem`, "does not exist"],
    [await directory.write("empty.pem", "nothing here\n"), "holds no PEM certificates"],
    [
      await directory.write("torn.pem", `${certPem}\n-----BEGIN CERTIFICATE-----\nAAAA\n`),
      "certificate 2 of 2",
    ],
    [
      await directory.write(
        "bad.pem",
        `-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n${certPem}`,
      ),
      "certificate 1 of 2",
    ],
    [directory.path, "cannot be read"],
  ];
  for (const [path, message] of faults) {
    const settings = [
      ["tls.upstream_trust", { upstreamTrust: path, upstreamCaBundle: null }],
      ["tls.upstream_ca_bundle", { upstreamTrust: "bundled", upstreamCaBundle: path }],
    ] as const;
    for (const [key, setting] of settings) {
      const error = await assertRejects(() => loadTrustRoots(setting), StartError);
      assertEquals(error.exitClass, "config_invalid");
      for (const part of [`${key}: `, path, message]) assertStringIncludes(error.message, part);
    }
  }
});

async function temporaryDirectory() {
  const path = await Deno.makeTempDir();
  return {
    path,
    async write(name: string, text: string): Promise<string> {
      await Deno.writeTextFile(`${path}/${name}`, text);
      return `${path}/${name}`;
    },
    [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }),
  };
}
