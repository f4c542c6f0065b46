/**
 * testssl.sh against what clients get of the proxy, under each profile: no protocol or cipher that is weak, none of
 * the attacks it knows. A reverse listener is what it tests, for there is no CONNECT it would have to make. Its
 * findings go to the lane's report as `testssl-PROFILE.json`.
 */
import { assert, assertEquals } from "@std/assert";
import { makeAuthority } from "../support/certificates.ts";
import { startHttpOrigin } from "../support/origin.ts";
import { ProxyProcess } from "../support/proxy_process.ts";
import { run, tool } from "../support/tools.ts";

const PROFILES = {
  strict: { profile: "strict", downstream_cert_profile: "modern" },
  default: { profile: "default", downstream_cert_profile: "modern" },
  compat: { profile: "compat", downstream_cert_profile: "compat" },
} as const;

/** What is as it should be for a leaf of a CA of this machine: nobody could be asked whether it is revoked. */
const EXPECTED: ReadonlySet<string> = new Set(["cert_revocation", "DNS_CAArecord", "engine_problem"]);
const NOTHING_WRONG: ReadonlySet<string> = new Set(["OK", "INFO"]);
/** The attacks concern the engine, which is the same under each profile, and take most of the time. */
const QUICK = ["--protocols", "--std", "--pfs"];
const SCANS = {
  strict: QUICK,
  default: [...QUICK, "--grease", "--server-defaults", "--vulnerable"],
  compat: QUICK,
};
/** A scan that could not look finds nothing wrong. */
const FINDINGS_MIN = { strict: 15, default: 60, compat: 15 };

interface Finding {
  readonly id: string;
  readonly severity: string;
  readonly finding: string;
}

Deno.test("testssl.sh finds no weak protocol and cipher under each profile, and no attack that works", async () => {
  const authority = makeAuthority();
  const folder = await Deno.makeTempDir();
  const report = Deno.env.get("LANE_REPORT_DIR") ?? folder;
  const origin = await startHttpOrigin({ certificate: authority.issue({ names: ["localhost"] }) });
  try {
    await Deno.writeTextFile(`${folder}/root.pem`, authority.certPem);
    const scan = async (name: keyof typeof PROFILES) => {
      const tls = Object.entries({ ...PROFILES[name], upstream_ca_bundle: `${folder}/root.pem` });
      await using proxy = await ProxyProcess.start(`testssl-${name}`, {
        config: `[tls]\n${tls.map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`).join("")}`,
        args: ["--reverse", `https://localhost:${origin.port}`],
      });
      const path = `${report}/testssl-${name}.json`;
      // It writes over no file.
      await Deno.remove(path).catch(() => {});
      const { code, stdout, stderr } = await run(tool("testssl"), [
        ...["--quiet", "--color", "0", "--warnings", "off", "--jsonfile", path],
        ...["--add-ca", proxy.caPath, "--ip", "127.0.0.1", "--sneaky"],
        ...SCANS[name],
        `localhost:${proxy.port}`,
      ], { timeoutMs: 240_000, env: { HOME: folder } });
      await proxy.stop();
      const written = await Deno.readTextFile(path).catch(() => "[]");
      const findings = JSON.parse(written) as readonly Finding[];
      assert(
        findings.length >= FINDINGS_MIN[name],
        `${name}: ${findings.length} findings, exit ${code}\n${stdout}${stderr}`,
      );
      return findings;
    };
    const names = Object.keys(PROFILES) as (keyof typeof PROFILES)[];
    const scans = await Promise.all(names.map(scan));
    for (const [index, name] of names.entries()) {
      const findings = scans[index]!;
      const said = new Map(findings.map(({ id, finding }) => [id, finding]));
      const wrong = findings.filter(({ id, severity }) => !NOTHING_WRONG.has(severity) && !EXPECTED.has(id));
      console.log(`${name}: ${findings.length} findings, ${wrong.length} of them wrong`);
      assertEquals(wrong, [], name);
      for (const protocol of ["SSLv2", "SSLv3", "TLS1", "TLS1_1"]) {
        assertEquals(said.get(protocol), "not offered", `${name} ${protocol}`);
      }
      for (const ciphers of ["NULL", "aNULL", "EXPORT", "LOW", "3DES_IDEA", "AVERAGE"]) {
        assertEquals(said.get(`cipherlist_${ciphers}`), "not offered", `${name} ${ciphers}`);
      }
      assertEquals(said.get("TLS1_2"), name === "strict" ? "not offered" : "offered", name);
      assertEquals(said.get("TLS1_3"), "offered with final", name);
      if (name === "default") assertEquals(said.get("OCSP_stapling"), "not offered");
    }
  } finally {
    await origin.close();
    await Deno.remove(folder, { recursive: true });
  }
});
