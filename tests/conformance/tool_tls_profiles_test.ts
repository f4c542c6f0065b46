/**
 * `tls.profile`, `tls.downstream_cert_profile` and `tls.upstream_sni_mode` on real handshakes with OpenSSL: profiles
 * × peers, with what each cell must come to, and every cipher that OpenSSL knows offered to the proxy one by one.
 * The tables go to the lane's report as `profiles.md`.
 */
import { assert, assertEquals } from "@std/assert";
import * as net from "node:net";
import { ClientHelloReader } from "../../src/tls/client_hello.ts";
import { makeAuthority } from "../support/certificates.ts";
import { startOpenssl } from "../support/openssl_server.ts";
import { startHttpOrigin } from "../support/origin.ts";
import { ProxyProcess } from "../support/proxy_process.ts";
import { run, tool } from "../support/tools.ts";

const PROFILES = {
  strict: { profile: "strict", downstream_cert_profile: "modern" },
  default: { profile: "default", downstream_cert_profile: "modern" },
  compat: { profile: "compat", downstream_cert_profile: "compat" },
} as const;
type Profile = keyof typeof PROFILES;
const NAMES = Object.keys(PROFILES) as Profile[];

interface Peer {
  readonly name: string;
  readonly args: readonly string[];
  /** The profiles under which it is served. */
  readonly served: readonly Profile[];
}

const LAX = "DEFAULT@SECLEVEL=0";
const ALL: readonly Profile[] = NAMES;
const NOT_STRICT: readonly Profile[] = ["default", "compat"];

const SERVERS: readonly (Peer & { readonly key: "ec" | "rsa" })[] = [
  { name: "TLS 1.3, ECDSA", key: "ec", args: ["-tls1_3"], served: ALL },
  { name: "TLS 1.3, RSA", key: "rsa", args: ["-tls1_3"], served: ALL },
  { name: "TLS 1.2, ECDSA, AES-GCM", key: "ec", args: ["-tls1_2"], served: NOT_STRICT },
  { name: "TLS 1.2, RSA, AES-GCM", key: "rsa", args: ["-tls1_2"], served: NOT_STRICT },
  {
    name: "TLS 1.2, ChaCha20",
    key: "ec",
    args: ["-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"],
    served: NOT_STRICT,
  },
  // What rustls cannot do, whatever the profile.
  { name: "TLS 1.2, CBC", key: "ec", args: ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"], served: [] },
  {
    name: "TLS 1.2, RSA key exchange",
    key: "rsa",
    args: ["-tls1_2", "-cipher", "AES128-GCM-SHA256"],
    served: [],
  },
  { name: "TLS 1.2, finite-field DH", key: "rsa", args: ["-tls1_2", "-cipher", "DHE+AESGCM"], served: [] },
  { name: "TLS 1.1", key: "rsa", args: ["-tls1_1", "-cipher", LAX], served: [] },
  { name: "TLS 1.0", key: "rsa", args: ["-tls1", "-cipher", LAX], served: [] },
];

const CLIENTS: readonly Peer[] = [
  { name: "TLS 1.3", args: ["-tls1_3"], served: ALL },
  { name: "TLS 1.3, P-256 alone", args: ["-tls1_3", "-groups", "P-256"], served: ALL },
  { name: "TLS 1.2", args: ["-tls1_2"], served: NOT_STRICT },
  // The keys of leaves: P-256 is modern, RSA is compat.
  {
    name: "TLS 1.2, ECDSA alone",
    args: ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"],
    served: ["default"],
  },
  {
    name: "TLS 1.2, RSA alone",
    args: ["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"],
    served: ["compat"],
  },
  { name: "TLS 1.2, CBC", args: ["-tls1_2", "-cipher", "ECDHE+AES128+SHA1"], served: [] },
  { name: "TLS 1.2, RSA key exchange", args: ["-tls1_2", "-cipher", "kRSA"], served: [] },
  { name: "TLS 1.1", args: ["-tls1_1", "-cipher", LAX], served: [] },
  { name: "TLS 1.0", args: ["-tls1", "-cipher", LAX], served: [] },
];

const authority = makeAuthority();
const proxies = new Map<Profile, ProxyProcess>();
const report: string[] = [];
let folder: string;

Deno.test.beforeAll(async () => {
  folder = await Deno.makeTempDir();
  await Deno.writeTextFile(`${folder}/root.pem`, authority.certPem);
  for (const keyType of ["ec", "rsa"] as const) {
    const { certPem, keyPem } = authority.issue({ names: ["localhost"], keyType });
    await Deno.writeTextFile(`${folder}/${keyType}.pem`, certPem + keyPem);
  }
  for (const name of NAMES) {
    proxies.set(name, await ProxyProcess.start(`tls-profile-${name}`, { config: config(PROFILES[name]) }));
  }
});

Deno.test.afterAll(async () => {
  const path = `${Deno.env.get("LANE_REPORT_DIR") ?? folder}/profiles.md`;
  await Deno.writeTextFile(path, `${report.join("\n")}\n`);
  try {
    for (const proxy of proxies.values()) await proxy.stop();
  } finally {
    for (const proxy of proxies.values()) await proxy[Symbol.asyncDispose]();
    await Deno.remove(folder, { recursive: true });
  }
});

function config(tls: Readonly<Record<string, string>>): string {
  const lines = Object.entries({ ...tls, upstream_ca_bundle: `${folder}/root.pem` })
    .map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`);
  return `[tls]\n${lines.join("")}`;
}

/** The status of what `openssl s_client` gets through the proxy, or null where its handshake fails. */
async function ask(proxy: ProxyProcess, port: number, args: readonly string[]): Promise<string | null> {
  const { stdout } = await run(tool("openssl"), [
    ...["s_client", "-proxy", proxy.authority, "-connect", `localhost:${port}`, "-servername", "localhost"],
    ...["-CAfile", proxy.caPath, "-verify_return_error", "-ign_eof", ...args],
  ], { stdin: "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" });
  return /^HTTP\/1\.[01] (\d{3})/m.exec(stdout)?.[1] ?? null;
}

function heading(title: string): void {
  report.push(
    "",
    `${title}`,
    "",
    `| peer | ${NAMES.join(" | ")} |`,
    `| --- |${" --- |".repeat(NAMES.length)}`,
  );
}

async function row(
  { name, served }: Peer,
  cell: (proxy: ProxyProcess) => Promise<string | null>,
  refused: string | null,
): Promise<void> {
  const got = new Map<Profile, string | null>();
  for (const profile of NAMES) got.set(profile, await cell(proxies.get(profile)!));
  report.push(`| ${name} | ${NAMES.map((profile) => got.get(profile) ?? "refused").join(" | ")} |`);
  for (const profile of NAMES) {
    assertEquals(got.get(profile), served.includes(profile) ? "200" : refused, `${name} under ${profile}`);
  }
}

Deno.test("servers: each profile reaches those it should, and tells of the others in a 502", async (t) => {
  heading("Servers (the client is told in a 502 of one that is refused)");
  for (const server of SERVERS) {
    await t.step(server.name, async () => {
      await using running = await startOpenssl(`${folder}/${server.key}.pem`, server.args);
      await row(
        server,
        (proxy) => ask(proxy, running.port, proxy === proxies.get("strict") ? ["-tls1_3"] : []),
        "502",
      );
    });
  }
});

Deno.test("clients: each profile serves those it should, and refuses the others in the handshake", async (t) => {
  heading("Clients");
  const origin = await startHttpOrigin({ certificate: authority.issue({ names: ["localhost"] }) });
  for (const client of CLIENTS) {
    await t.step(client.name, () => row(client, (proxy) => ask(proxy, origin.port, client.args), null));
  }
  await origin.close();
});

Deno.test("clients are offered no weak cipher: of all that OpenSSL knows, AEAD with ephemeral keys alone", async () => {
  const { stdout } = await run(tool("openssl"), ["ciphers", "-v", "ALL:COMPLEMENTOFALL:@SECLEVEL=0"]);
  const old = stdout.trim().split("\n").filter((line) => !line.includes("TLSv1.3")).map((line) =>
    line.split(" ")[0]!
  );
  assert(old.length > 50, `${old.length} ciphers`);
  const origin = await startHttpOrigin({ certificate: authority.issue({ names: ["localhost"] }) });
  const expected = {
    strict: [],
    default: [
      "ECDHE-ECDSA-AES128-GCM-SHA256",
      "ECDHE-ECDSA-AES256-GCM-SHA384",
      "ECDHE-ECDSA-CHACHA20-POLY1305",
    ],
    compat: ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305"],
  };
  report.push("", `Ciphers of TLS 1.2 taken from a client, of ${old.length}`, "");
  for (const profile of NAMES) {
    const taken: string[] = [];
    const left = [...old];
    const work = async () => {
      for (let cipher = left.pop(); cipher !== undefined; cipher = left.pop()) {
        const args = ["-tls1_2", "-cipher", `${cipher}:@SECLEVEL=0`];
        if (await ask(proxies.get(profile)!, origin.port, args) !== null) taken.push(cipher);
      }
    };
    await Promise.all([work(), work(), work(), work()]);
    report.push(`- ${profile}: ${taken.sort().join(", ") || "none"}`);
    assertEquals(taken, expected[profile]);
  }
  await origin.close();
});

Deno.test("clients are offered no compression and no insecure renegotiation", async () => {
  const origin = await startHttpOrigin({ certificate: authority.issue({ names: ["localhost"] }) });
  const proxy = proxies.get("compat")!;
  const { stdout } = await run(tool("openssl"), [
    ...["s_client", "-proxy", proxy.authority, "-connect", `localhost:${origin.port}`, "-tls1_2", "-comp"],
    ...["-servername", "localhost", "-CAfile", proxy.caPath],
  ], { stdin: "" });
  assert(stdout.includes("Secure Renegotiation IS supported"), stdout);
  assert(stdout.includes("Compression: NONE"), stdout);
  await origin.close();
});

Deno.test("upstream_sni_mode: what the server is told, and when a client must have named it", async () => {
  report.push(
    "",
    "SNI the server gets of a client with and without a name",
    "",
    "| mode | named | nameless |",
  );
  report.push("| --- | --- | --- |");
  const expected = {
    auto: ["localhost", "localhost"],
    disabled: ["none", "none"],
    required: ["localhost", "refused"],
  };
  for (const [mode, wanted] of Object.entries(expected)) {
    await using proxy = await ProxyProcess.start(`tls-sni-${mode}`, {
      config: config({ upstream_sni_mode: mode }),
    });
    const got: string[] = [];
    for (const name of [["-servername", "localhost"], ["-noservername"]]) {
      const { promise, resolve } = Promise.withResolvers<string>();
      const server = net.createServer((socket) => {
        const reader = new ClientHelloReader();
        socket.on("error", () => {});
        socket.on("data", (data: Uint8Array) => {
          const read = reader.push(data);
          if (read.type === "more") return;
          resolve(read.type === "hello" ? read.hello.sni ?? "none" : read.type);
          socket.destroy();
        });
        socket.on("close", () => resolve("refused"));
      });
      await new Promise<void>((listening) => server.listen(0, "127.0.0.1", () => listening()));
      const { port } = server.address() as net.AddressInfo;
      await run(tool("openssl"), [
        ...["s_client", "-proxy", proxy.authority, "-connect", `localhost:${port}`, ...name],
      ], { stdin: "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" });
      got.push(await promise);
      await new Promise<void>((closed) => server.close(() => closed()));
    }
    report.push(`| ${mode} | ${got.join(" | ")} |`);
    assertEquals(got, wanted, mode);
    await proxy.stop();
  }
});
