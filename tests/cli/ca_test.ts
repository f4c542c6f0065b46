import { assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { X509Certificate } from "node:crypto";
import { assert } from "../../src/core/assert.ts";
import { caCommand, type CaContext } from "../../src/cli/ca.ts";
import { managedFiles } from "../../src/runtime/ca_files.ts";
import { ANCHOR_DIRECTORIES, type SystemFacts } from "../../src/runtime/trust_store.ts";
import { caSettings, withStateDir } from "../support/ca_settings.ts";
import { makeAuthority } from "../support/certificates.ts";

const ON_WINDOWS = Deno.build.os === "windows";

interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly commands: string[];
}

const DEBIAN: SystemFacts = {
  platform: "linux",
  isRoot: true,
  home: "/home/me",
  anchors: ANCHOR_DIRECTORIES.find(({ family }) => family.includes("Debian"))!,
  nssDatabases: ["/home/me/.pki/nssdb"],
  hasCertutil: true,
  missingGrants: [],
};

interface Given {
  readonly tls?: Readonly<Record<string, unknown>>;
  readonly facts?: SystemFacts;
  /** How each command ends, by its program; 0 where nothing is said. */
  readonly codes?: Readonly<Record<string, number>>;
  readonly nowMs?: number;
}

async function ca(stateDir: string, args: string, given: Given = {}): Promise<Ran> {
  let [stdout, stderr] = ["", ""];
  const commands: string[] = [];
  const facts = given.facts ?? DEBIAN;
  const context: CaContext = {
    settings: caSettings(stateDir, given.tls),
    io: { stdout: (text) => void (stdout += text), stderr: (text) => void (stderr += text) },
    platform: facts.platform,
    probe: () => Promise.resolve(facts),
    runCommand: (argv) => {
      commands.push(argv.join(" "));
      const code = given.codes?.[argv[0] ?? ""] ?? 0;
      return Promise.resolve({ code, output: code === 0 ? "" : "it went wrong\n" });
    },
    wallClock: () => given.nowMs ?? Date.now(),
  };
  const code = await caCommand(args === "" ? [] : args.split(" "), context);
  return { code, stdout, stderr, commands };
}

Deno.test("ca show tells subject, fingerprint, dates and files, and makes nothing", () =>
  withStateDir(async (stateDir) => {
    const files = managedFiles(stateDir);
    const none = await ca(stateDir, "show");
    assertEquals(none.code, 22);
    assertMatch(none.stderr, /There is no CA in .* yet; the first run makes it/);
    await assertRejects(() => Deno.stat(stateDir), Deno.errors.NotFound);
    await ca(stateDir, "export");
    const { code, stdout } = await ca(stateDir, "show");
    assertEquals(code, 0);
    const certificate = new X509Certificate(Deno.readTextFileSync(files.certPath));
    assertStringIncludes(stdout, "subject      O=soth-mitm, CN=soth-mitm CA\n");
    assertStringIncludes(stdout, `SHA-256 ${certificate.fingerprint256}\n`);
    assertMatch(stdout, /^valid {8}20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ to 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$/m);
    assertStringIncludes(stdout, `certificate  ${files.certPath}\n`);
    assertStringIncludes(stdout, `key          ${files.keyPath}\n`);
  }));

Deno.test("ca show says when a CA has expired or is not valid yet, and needs no key", () =>
  withStateDir(async (stateDir) => {
    await ca(stateDir, "export");
    await Deno.remove(managedFiles(stateDir).keyPath);
    const decade = 11 * 366 * 86_400_000;
    assertMatch(
      (await ca(stateDir, "show", { nowMs: Date.now() + decade })).stdout,
      /expired; run: soth-mitm ca rotate/,
    );
    assertMatch((await ca(stateDir, "show", { nowMs: Date.now() - decade })).stdout, /not valid yet/);
  }));

Deno.test("ca show escapes what would move a terminal's cursor", () =>
  withStateDir(async (stateDir) => {
    const made = makeAuthority("evil\x1b[2J");
    await Deno.mkdir(stateDir);
    const [cert, key] = [`${stateDir}/c.pem`, `${stateDir}/c.key`];
    await Deno.writeTextFile(cert, made.certPem);
    const { stdout } = await ca(stateDir, "show", { tls: { ca_cert_path: cert, ca_key_path: key } });
    assert(!stdout.includes("\x1b"), stdout);
  }));

Deno.test("ca export writes PEM to standard output, and each format to a file", () =>
  withStateDir(async (stateDir) => {
    const first = await ca(stateDir, "export");
    assertEquals(first.code, 0);
    const pem = Deno.readTextFileSync(managedFiles(stateDir).certPath);
    assertEquals(first.stdout, pem);
    assertStringIncludes(first.stderr, "Made a certificate authority");
    assertEquals((await ca(stateDir, "export --out -")).stdout, pem);
    const { raw } = new X509Certificate(pem);
    const out = `${stateDir}/out`;
    for (
      const [args, isFormat] of [
        [`--out ${out}.pem`, (bytes: Uint8Array) => new TextDecoder().decode(bytes) === pem],
        [`--out ${out}.der`, (bytes: Uint8Array) => bytes.join() === new Uint8Array(raw).join()],
        [`--format der --out=${out}.cer`, (bytes: Uint8Array) => bytes.join() === new Uint8Array(raw).join()],
        [`--out ${out}.PFX`, (bytes: Uint8Array) => bytes[0] === 0x30 && bytes.length > raw.length],
        [`--format p12 --password secret --out ${out}.x`, (bytes: Uint8Array) => bytes.length > raw.length],
      ] as const
    ) {
      const { code, stdout } = await ca(stateDir, `export ${args}`);
      assertEquals(code, 0, args);
      const path = args.split(/[ =]/).at(-1)!;
      assertStringIncludes(stdout, `Wrote ${path}`);
      assert(isFormat(Deno.readFileSync(path)), args);
      assert(!new TextDecoder().decode(Deno.readFileSync(path)).includes("PRIVATE"), "never the key");
    }
  }));

Deno.test("ca export refuses what cannot be meant", () =>
  withStateDir(async (stateDir) => {
    await ca(stateDir, "export");
    const { certPath, keyPath } = managedFiles(stateDir);
    const key = Deno.readTextFileSync(keyPath);
    for (
      const [args, expected] of [
        ["--format der", /--format der is binary and needs --out FILE/],
        ["--format p13 --out x", /unknown format p13 \(did you mean "p12"\?\)/],
        ["--password x", /--password is for --format p12, and the format is pem/],
        ["--format p12 --out x --password pässword", /printable ASCII/],
        ["--fromat der", /unknown option --fromat \(did you mean "--format"\?\)/],
        ["--out", /--out needs an argument/],
        ["--out a --out b", /given twice/],
        [`--out ${keyPath}`, /is the CA's own file/],
        [`--out ${stateDir}/ca/../ca/ca.key`, /is the CA's own file/],
        [`--out ${certPath}`, /is the CA's own file/],
        ["there", /takes no argument "there"/],
      ] as const
    ) {
      const { code, stderr, stdout } = await ca(stateDir, `export ${args}`);
      assertEquals([code, stdout], [2, ""], args);
      assertMatch(stderr, expected);
    }
    assertEquals(Deno.readTextFileSync(keyPath), key);
    const { code, stderr } = await ca(stateDir, `export --out ${stateDir}/no/such/folder.pem`);
    assertEquals(code, 22);
    assertMatch(stderr, /Cannot write .*to mend it/);
  }));

Deno.test({
  name: "ca export does not write over the CA's key through a link",
  ignore: ON_WINDOWS,
  fn: () =>
    withStateDir(async (stateDir) => {
      await ca(stateDir, "export");
      await Deno.symlink(managedFiles(stateDir).keyPath, `${stateDir}/link.pem`);
      assertEquals((await ca(stateDir, `export --out ${stateDir}/link.pem`)).code, 2);
    }),
});

Deno.test("ca rotate makes another CA and tells how to move the trust", () =>
  withStateDir(async (stateDir) => {
    await ca(stateDir, "export");
    const before = Deno.readTextFileSync(managedFiles(stateDir).certPath);
    const { code, stdout } = await ca(stateDir, "rotate");
    assertEquals(code, 0);
    const after = Deno.readTextFileSync(managedFiles(stateDir).certPath);
    assert(before !== after, "it is another");
    assertStringIncludes(stdout, `SHA-256 ${new X509Certificate(after).fingerprint256}`);
    assertStringIncludes(stdout, "restart it, unless tls.ca_rotate_after is set; then it takes the new one");
    const old = /untrust --cert (.+)/.exec(stdout)?.[1];
    assertEquals(Deno.readTextFileSync(old ?? ""), before);
    const untrust = await ca(stateDir, `untrust --cert ${old}`);
    const prefix = new X509Certificate(before).fingerprint256.replaceAll(":", "").toLowerCase().slice(0, 16);
    assertStringIncludes(untrust.stdout, `soth-mitm-${prefix}.crt`);
  }));

Deno.test("ca rotate mends an expired CA and leaves a configured pair alone", () =>
  withStateDir(async (stateDir) => {
    const decade = 11 * 366 * 86_400_000;
    await ca(stateDir, "export", { nowMs: Date.now() - decade });
    assertMatch((await ca(stateDir, "show")).stdout, /expired/);
    assertEquals((await ca(stateDir, "rotate")).code, 0);
    assert(!(await ca(stateDir, "show")).stdout.includes("expired"), "it is in force");
    const pair = { ca_cert_path: `${stateDir}/c.pem`, ca_key_path: `${stateDir}/c.key` };
    const { code, stderr } = await ca(stateDir, "rotate", { tls: pair });
    assertEquals(code, 20);
    assertMatch(stderr, /tls\.ca_cert_path = .*not ours to replace/);
  }));

Deno.test({
  name: "ca trust prints the exact commands and runs none of them without --yes",
  ignore: ON_WINDOWS,
  fn: () =>
    withStateDir(async (stateDir) => {
      const { code, stdout, stderr, commands } = await ca(stateDir, "trust");
      assertEquals([code, commands], [0, []]);
      const { certPath } = managedFiles(stateDir);
      assertMatch(
        stdout,
        new RegExp(
          `^install -m 0644 ${certPath} /usr/local/share/ca-certificates/soth-mitm-[0-9a-f]{16}\\.crt$`,
          "m",
        ),
      );
      assertMatch(stdout, /^update-ca-certificates$/m);
      assertMatch(stdout, /^certutil -A -d sql:\/home\/me\/\.pki\/nssdb -t C,, /m);
      assertMatch(stderr, /Nothing was changed; --yes runs these commands/);
    }),
});

Deno.test({
  name: "ca trust --yes runs what it prints, in order, and stops at the first failure",
  ignore: ON_WINDOWS,
  fn: () =>
    withStateDir(async (stateDir) => {
      const good = await ca(stateDir, "trust --yes");
      assertEquals(good.code, 0);
      assertEquals(good.stdout.trimEnd().split("\n"), good.commands);
      assertEquals(good.commands.length, 3);
      const bad = await ca(stateDir, "trust --yes", { codes: { "update-ca-certificates": 3 } });
      assertEquals([bad.code, bad.commands.length], [23, 2]);
      assertMatch(bad.stderr, /it went wrong\n.*ended with 3; mend that/);
      // Taking away what is not there is no failure.
      const untrust = await ca(stateDir, "untrust --yes --user", { codes: { certutil: 255 } });
      assertEquals([untrust.code, untrust.commands.length], [0, 1]);
    }),
});

Deno.test("ca trust --yes runs nothing where something stands in the way", () =>
  withStateDir(async (stateDir) => {
    const facts = { ...DEBIAN, anchors: null, missingGrants: ["--allow-read=/etc/pki"] };
    const { code, stderr, commands } = await ca(stateDir, "trust --yes", { facts });
    assertEquals([code, commands], [22, []]);
    assertMatch(stderr, /start with --allow-read=\/etc\/pki/);
    assertMatch(stderr, /On Fedora/);
  }));

Deno.test("ca untrust needs a CA and makes none", () =>
  withStateDir(async (stateDir) => {
    assertEquals((await ca(stateDir, "untrust")).code, 22);
    await assertRejects(() => Deno.stat(stateDir), Deno.errors.NotFound);
  }));

Deno.test({
  name: "ca trust --yes says which grant is missing to run a program",
  // What is not installed is not found, granted or not.
  ignore: Deno.build.os !== "linux",
  permissions: { read: true, write: true, env: true, run: false },
  fn: () =>
    withStateDir(async (stateDir) => {
      let stderr = "";
      const code = await caCommand(["trust", "--yes"], {
        settings: caSettings(stateDir),
        io: { stdout: () => {}, stderr: (text) => void (stderr += text) },
        platform: "linux",
        probe: () => Promise.resolve(DEBIAN),
      });
      assertEquals(code, 22);
      assertStringIncludes(stderr, "--allow-run=install");
    }),
});

Deno.test("ca and each of its commands has a help, whatever else is wrong", () =>
  withStateDir(async (stateDir) => {
    for (const args of ["--help", "-h", "help"]) {
      const { code, stdout } = await ca(stateDir, args);
      assertEquals(code, 0);
      assertStringIncludes(stdout, "soth-mitm ca export");
    }
    for (const name of ["show", "export", "rotate", "trust", "untrust"]) {
      for (const flag of ["--help", "-h"]) {
        const { code, stdout } = await ca(stateDir, `${name} ${flag}`);
        assertEquals(code, 0);
        assertStringIncludes(stdout, `soth-mitm ca ${name}`);
        assertStringIncludes(stdout, "--state-dir DIR");
      }
    }
    await assertRejects(() => Deno.stat(stateDir), Deno.errors.NotFound);
  }));

Deno.test("ca without or with an unknown command is a usage error that names the nearest", () =>
  withStateDir(async (stateDir) => {
    const none = await ca(stateDir, "");
    assertEquals([none.code, none.stdout], [2, ""]);
    assertStringIncludes(none.stderr, "soth-mitm ca export");
    const { code, stderr } = await ca(stateDir, "exprot");
    assertEquals(code, 2);
    assertMatch(stderr, /unknown command ca exprot \(did you mean "export"\?\); allowed: show, export/);
    assertEquals((await ca(stateDir, "constructor")).code, 2);
  }));
