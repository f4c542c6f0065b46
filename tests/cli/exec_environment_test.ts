import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { environmentWarnings, execEnvironment, REPLACED_VARIABLES } from "../../src/cli/exec_environment.ts";
import { bundleText, writeExecFile } from "../../src/cli/exec_files.ts";
import { NODE_PRELOAD, nodeOptions } from "../../src/cli/node_preload.ts";
import { settingsFromValues } from "../../src/runtime/config/load.ts";
import { makeAuthority } from "../support/certificates.ts";

const PLACES = {
  proxyUrl: "http://127.0.0.1:1",
  caCertPath: "/s/ca.pem",
  bundlePath: "/s/bundle.pem",
  nodePreloadPath: "/s/node.cjs",
};

Deno.test("execEnvironment sets what the contract names, proxies in both cases", () => {
  const environment = execEnvironment({}, PLACES);
  for (const name of ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"]) {
    assertEquals(environment[name], "http://127.0.0.1:1");
  }
  for (
    const name of [
      "SSL_CERT_FILE",
      "CURL_CA_BUNDLE",
      "REQUESTS_CA_BUNDLE",
      "GIT_SSL_CAINFO",
      "CARGO_HTTP_CAINFO",
      "AWS_CA_BUNDLE",
      "PIP_CERT",
    ]
  ) assertEquals(environment[name], "/s/bundle.pem", name);
  for (const name of ["NODE_EXTRA_CA_CERTS", "DENO_CERT"]) assertEquals(environment[name], "/s/ca.pem", name);
  assertEquals(environment["NODE_USE_ENV_PROXY"], "1");
  assertEquals([environment["NO_PROXY"], environment["no_proxy"]], ["", ""]);
  const named = new Set([...REPLACED_VARIABLES, "NODE_USE_ENV_PROXY"]);
  assertEquals(Object.keys(environment).filter((name) => !named.has(name)), []);
});

Deno.test("execEnvironment keeps what the user trusts beside, and the user's NODE_OPTIONS", () => {
  const environment = execEnvironment(
    { NODE_EXTRA_CA_CERTS: "/u.pem", NODE_OPTIONS: "--no-warnings" },
    PLACES,
  );
  assertEquals(environment["NODE_EXTRA_CA_CERTS"], "/s/bundle.pem");
  assertEquals(environment["DENO_CERT"], "/s/ca.pem");
  assertEquals(environment["NODE_OPTIONS"], '--no-warnings --require "/s/node.cjs"');
  assertEquals(nodeOptions(undefined, 'C:\\a b\\"x".cjs'), '--require "C:\\\\a b\\\\\\"x\\".cjs"');
});

Deno.test("environmentWarnings speaks of proxies and exceptions that are set", () => {
  assertEquals(environmentWarnings({ HOME: "/h", NO_PROXY: "", HTTPS_PROXY: "" }), []);
  const warnings = environmentWarnings({ no_proxy: "localhost", ALL_PROXY: "socks5://x" });
  assertEquals(warnings.length, 2);
  assertStringIncludes(warnings[0] ?? "", "no_proxy emptied");
  assertStringIncludes(warnings[1] ?? "", "ALL_PROXY replaced");
});

Deno.test("the preload for Node.js is a script without characters that a shell or a template would change", () => {
  assert(!/[`\\]|\$\{/.test(NODE_PRELOAD));
  new Function(NODE_PRELOAD);
});

Deno.test("bundleText holds our CA, the system's roots and the bundles the user had", async () => {
  const directory = await Deno.makeTempDir();
  try {
    const [ours, theirs, configured] = ["ours", "theirs", "configured"].map((name) =>
      makeAuthority(name).certPem
    );
    await Deno.writeTextFile(`${directory}/theirs.pem`, theirs ?? "");
    await Deno.writeTextFile(`${directory}/configured.pem`, configured ?? "");
    await Deno.writeTextFile(`${directory}/none.pem`, "no certificates");
    const { settings } = settingsFromValues({
      values: { state_dir: directory, tls: { upstream_ca_bundle: "configured.pem" } },
      cwd: directory,
    });
    const env = {
      REQUESTS_CA_BUNDLE: `${directory}/theirs.pem`,
      PIP_CERT: `${directory}/none.pem`,
      CURL_CA_BUNDLE: `${directory}/missing.pem`,
      SSL_CERT_FILE: directory,
    };
    const text = await bundleText(settings, env, ours ?? "");
    for (const pem of [ours, theirs, configured]) assertStringIncludes(text, (pem ?? "").trim());
    assert(text.split("-----BEGIN CERTIFICATE-----").length > 10, "the system's roots are there");
    assert(!text.includes("no certificates"));
    assertEquals(text.match(/-----END CERTIFICATE-----[^\n]/), null);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("writeExecFile writes once, whole, for everyone to read, in a directory of its owner", async () => {
  const directory = await Deno.makeTempDir();
  try {
    const paths = await Promise.all(
      Array.from({ length: 8 }, () => writeExecFile(directory, "roots", "pem", "content")),
    );
    assertEquals(new Set(paths).size, 1);
    const [path = ""] = paths;
    assertEquals(await Deno.readTextFile(path), "content");
    assertEquals([...Deno.readDirSync(`${directory}/exec`)].length, 1);
    assert(await writeExecFile(directory, "roots", "pem", "other") !== path);
    if (Deno.build.os !== "windows") {
      assertEquals((await Deno.stat(path)).mode! & 0o777, 0o644);
      assertEquals((await Deno.stat(`${directory}/exec`)).mode! & 0o777, 0o700);
    }
    // A file that was tampered with is written anew.
    await Deno.writeTextFile(path, "x");
    await writeExecFile(directory, "roots", "pem", "content");
    assertEquals(await Deno.readTextFile(path), "content");
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});
