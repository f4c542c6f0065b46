/** The PKCS #12 file of `ca export` loads where people load such files: OpenSSL and Java's keytool. */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { caCommand } from "../../src/cli/ca.ts";
import { caSettings, withStateDir } from "../support/ca_settings.ts";
import { findTool, run, tool, TOOLS } from "../support/tools.ts";

const NO_OPENSSL = findTool("openssl") === null;
if (NO_OPENSSL) {
  console.log(`openssl is not installed, so no truststore is loaded; get it by: ${TOOLS.openssl.howToGet}`);
}

/** A truststore of a new CA, and its SHA-256 fingerprint with colons. */
async function exported(stateDir: string): Promise<{ path: string; fingerprint: string }> {
  const path = `${stateDir}/truststore.p12`;
  let stdout = "";
  const context = {
    settings: caSettings(stateDir),
    io: { stdout: (text: string) => void (stdout += text), stderr: () => {} },
  };
  await caCommand(["export"], context);
  assertEquals(await caCommand(["export", "--out", path, "--password", "secret word"], context), 0);
  await caCommand(["show"], context);
  return { path, fingerprint: /SHA-256 ([0-9A-F:]+)/.exec(stdout)?.[1] ?? "" };
}

Deno.test({
  name: "openssl pkcs12 checks the truststore's MAC and finds one certificate and no key",
  ignore: NO_OPENSSL,
  fn: () =>
    withStateDir(async (stateDir) => {
      const { path } = await exported(stateDir);
      const load = (password: string) =>
        run(tool("openssl"), ["pkcs12", "-in", path, "-passin", `pass:${password}`, "-nodes"]);
      const good = await load("secret word");
      assertEquals(good.code, 0, good.stderr);
      assertEquals(good.stdout.match(/BEGIN [A-Z ]+/g), ["BEGIN CERTIFICATE"]);
      assertStringIncludes(good.stdout, "friendlyName: soth-mitm");
      assertMatch((await load("wrong")).stderr, /Mac verify error/i);
    }),
});

Deno.test("keytool lists the truststore's certificate as trusted", () =>
  withStateDir(async (stateDir) => {
    const { path, fingerprint } = await exported(stateDir);
    let listed;
    try {
      // In English, whatever the system speaks.
      const options = ["-J-Duser.language=en", "-list", "-keystore", path, "-storepass", "secret word"];
      listed = await run("keytool", options);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
      console.log(
        "keytool is not installed, so Java is not asked; get it by: apt-get install default-jre-headless",
      );
      return;
    }
    assertEquals(listed.code, 0, listed.stdout);
    assertStringIncludes(listed.stdout, "trustedCertEntry");
    assertStringIncludes(listed.stdout, fingerprint);
  }));
