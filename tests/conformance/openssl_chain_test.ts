/**
 * OpenSSL verifies what this CA issues, by its strictest reading of RFC 5280, for every kind of name, in
 * both profiles, from CAs of our own making and from pairs that OpenSSL made.
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { assert } from "../../src/core/assert.ts";
import { openCertificateAuthority } from "../../src/runtime/ca_store.ts";
import { caSettings } from "../support/ca_settings.ts";
import { findTool, run, tool, TOOLS } from "../support/tools.ts";

const MISSING = findTool("openssl") === null;
if (MISSING) {
  console.log(`openssl is not installed, so no chain is verified; get it by: ${TOOLS.openssl.howToGet}`);
}

interface Case {
  /** As the client asks. */
  readonly host: string;
  /** As OpenSSL is asked to verify it. */
  readonly check: readonly string[];
  readonly wrong: readonly string[];
}

const LONG = `${"a".repeat(63)}.${"b".repeat(63)}.example`;
const CASES: readonly Case[] = [
  {
    host: "www.example.com",
    check: ["-verify_hostname", "www.example.com"],
    wrong: ["-verify_hostname", "example.com"],
  },
  {
    host: "*.example.com",
    check: ["-verify_hostname", "deep.example.com"],
    wrong: ["-verify_hostname", "a.deep.example.com"],
  },
  {
    host: "bücher.example",
    check: ["-verify_hostname", "xn--bcher-kva.example"],
    wrong: ["-verify_hostname", "bucher.example"],
  },
  { host: "192.0.2.1", check: ["-verify_ip", "192.0.2.1"], wrong: ["-verify_ip", "192.0.2.2"] },
  { host: "[2001:db8::1]", check: ["-verify_ip", "2001:db8::1"], wrong: ["-verify_ip", "2001:db8::2"] },
  { host: LONG, check: ["-verify_hostname", LONG], wrong: ["-verify_hostname", `x${LONG}`] },
  { host: "localhost", check: ["-verify_hostname", "localhost"], wrong: ["-verify_ip", "127.0.0.1"] },
];

async function openssl(...args: string[]) {
  return await run(tool("openssl"), args);
}

async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "soth-mitm-chain-" });
  try {
    await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Has each case verified against the CA of these settings, and refused for the wrong name. */
async function verifyAll(folder: string, tls: Readonly<Record<string, unknown>>, rootPath?: string) {
  const ca = await openCertificateAuthority(caSettings(`${folder}/state`, tls));
  const leafPath = `${folder}/leaf.pem`;
  for (const { host, check, wrong } of CASES) {
    const leaf = ca.leaf(host);
    assert(!("error" in leaf), host);
    await Deno.writeTextFile(leafPath, leaf.certPem);
    const strict = ["verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", rootPath ?? ca.certPath];
    // A chain with an issued CA in it stands below the leaf in the same file.
    const chain = rootPath === undefined ? [] : ["-untrusted", leafPath];
    const good = await openssl(...strict, ...chain, ...check, leafPath);
    assertEquals(good.code, 0, `${host}: ${good.stdout}${good.stderr}`);
    const bad = await openssl(...strict, ...chain, ...wrong, leafPath);
    assert(bad.code !== 0, `${host} is no ${wrong.join(" ")}`);
  }
}

for (const profile of ["modern", "compat"]) {
  Deno.test({
    name: `openssl verifies each chain of a CA of our own, profile ${profile}`,
    ignore: MISSING,
    fn: () => inFolder((folder) => verifyAll(folder, { downstream_cert_profile: profile })),
  });
}

const REQUEST = [
  ...["req", "-x509", "-nodes", "-days", "30", "-subj", "/O=Somebody/CN=Somebody's CA"],
  // Strict verification wants what openssl leaves out by itself.
  ...["-addext", "keyUsage=critical,keyCertSign,cRLSign"],
];
const KEYS: Readonly<Record<string, readonly string[]>> = {
  "P-256": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
  "P-384": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"],
  "RSA-3072": ["-newkey", "rsa:3072"],
};

for (const [name, key] of Object.entries(KEYS)) {
  Deno.test({
    name: `openssl verifies each chain of a CA that openssl made with ${name}`,
    ignore: MISSING,
    fn: () =>
      inFolder(async (folder) => {
        const [certPath, keyPath] = [`${folder}/their.crt`, `${folder}/their.key`];
        const made = await openssl(...REQUEST, ...key, "-keyout", keyPath, "-out", certPath);
        assertEquals(made.code, 0, made.stderr);
        if (Deno.build.os !== "windows") await Deno.chmod(keyPath, 0o600);
        await verifyAll(folder, { ca_cert_path: certPath, ca_key_path: keyPath });
      }),
  });
}

Deno.test({
  name: "openssl verifies leaves of a CA below a root, from the old forms of key and from the chain we send",
  ignore: MISSING,
  fn: () =>
    inFolder(async (folder) => {
      const path = (name: string) => `${folder}/${name}`;
      const step = async (...args: string[]) => {
        const { code, stderr } = await openssl(...args);
        assertEquals(code, 0, `openssl ${args.join(" ")}\n${stderr}`);
      };
      await step(...REQUEST, ...KEYS["P-256"]!, "-keyout", path("root.key"), "-out", path("root.pem"));
      // With EC PARAMETERS before a SEC 1 key, as this command has written them for decades.
      await step("ecparam", "-name", "prime256v1", "-genkey", "-out", path("ca.key"));
      assertStringIncludes(await Deno.readTextFile(path("ca.key")), "BEGIN EC PARAMETERS");
      await step(
        "req",
        "-new",
        "-key",
        path("ca.key"),
        "-subj",
        "/CN=Below the root",
        "-out",
        path("ca.csr"),
      );
      await Deno.writeTextFile(
        path("ca.ext"),
        "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign\n" +
          "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n",
      );
      const signing = ["-CA", path("root.pem"), "-CAkey", path("root.key"), "-extfile", path("ca.ext")];
      await step("x509", "-req", "-in", path("ca.csr"), ...signing, "-days", "30", "-out", path("ca.pem"));
      if (Deno.build.os !== "windows") await Deno.chmod(path("ca.key"), 0o600);
      await verifyAll(
        folder,
        { ca_cert_path: path("ca.pem"), ca_key_path: path("ca.key") },
        path("root.pem"),
      );
    }),
});

Deno.test({
  name: "openssl s_client takes a live handshake with a leaf, and refuses it for another name",
  ignore: MISSING,
  fn: () =>
    inFolder(async (folder) => {
      const ca = await openCertificateAuthority(caSettings(`${folder}/state`));
      const leaf = ca.leaf("127.0.0.1");
      assert(!("error" in leaf), "an address");
      const listener = Deno.listenTls({
        hostname: "127.0.0.1",
        port: 0,
        cert: leaf.certPem,
        key: leaf.keyPem,
      });
      const serving = (async () => {
        for await (const conn of listener) {
          await conn.handshake().catch(() => {});
          conn.close();
        }
      })();
      const { port } = listener.addr;
      const connect = (address: string) =>
        openssl(
          ...["s_client", "-connect", `127.0.0.1:${port}`, "-CAfile", ca.certPath],
          ...["-verify_return_error", "-x509_strict", "-verify_ip", address],
        );
      const good = await connect("127.0.0.1");
      assertEquals(good.code, 0, good.stderr);
      assertStringIncludes(good.stdout, "Verify return code: 0 (ok)");
      assert((await connect("127.0.0.2")).code !== 0, "another address");
      listener.close();
      await serving;
    }),
});
