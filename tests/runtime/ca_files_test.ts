import { assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { X509Certificate } from "node:crypto";
import { join } from "node:path";
import { assert } from "../../src/core/assert.ts";
import {
  type CaFiles,
  managedFiles,
  openManagedCa,
  readCaFile,
  readWhole,
  rotateManagedCa,
} from "../../src/runtime/ca_files.ts";
import { StartError } from "../../src/runtime/start_error.ts";
import { withStateDir } from "../support/ca_settings.ts";
import { makeAuthority } from "../support/certificates.ts";

const RECIPE = { commonName: "soth-mitm CA", organization: "soth-mitm", keyKind: "ec" } as const;
const ON_WINDOWS = Deno.build.os === "windows";

async function withFiles(work: (files: CaFiles) => Promise<void>): Promise<void> {
  await withStateDir((stateDir) => work(managedFiles(stateDir)));
}

function open(files: CaFiles) {
  return openManagedCa(files, RECIPE, Date.now());
}

function modeOf(path: string): string {
  return ((Deno.statSync(path).mode ?? 0) & 0o7777).toString(8);
}

async function refusal(files: CaFiles): Promise<string> {
  const error = await assertRejects(() => open(files), StartError) as StartError;
  assertEquals(error.exitClass, "proxy_init_failed");
  return error.message;
}

Deno.test("openManagedCa makes a CA once and finds it again", () =>
  withFiles(async (files) => {
    const made = await open(files);
    assertMatch(made.notice.join(), /Made a certificate authority in .*ca.pem/);
    const found = await open(files);
    assertEquals(found.material.fingerprint, made.material.fingerprint);
    assertEquals(found.notice, []);
    assertEquals(Deno.readTextFileSync(files.certPath), made.material.certPem);
    assertEquals([...Deno.readDirSync(files.directory)].map(({ name }) => name).sort(), [
      "ca.key",
      "ca.pem",
      "lock",
    ]);
  }));

Deno.test({
  name: "openManagedCa creates directories with 0700 and the key with 0600, whatever the umask",
  ignore: ON_WINDOWS,
  fn: () =>
    withFiles(async (files) => {
      const umask = Deno.umask(0);
      try {
        await open(files);
      } finally {
        Deno.umask(umask);
      }
      assertEquals([modeOf(files.directory), modeOf(`${files.directory}/..`)], ["700", "700"]);
      assertEquals([modeOf(files.keyPath), modeOf(files.certPath)], ["600", "644"]);
    }),
});

Deno.test({
  name: "openManagedCa never shows the key with another mode than 0600",
  // Other platforms tell of changes late or in one lump, which shows nothing.
  ignore: Deno.build.os !== "linux",
  fn: () =>
    withFiles(async (files) => {
      await Deno.mkdir(files.directory, { recursive: true });
      using watcher = Deno.watchFs(files.directory);
      const opening = open(files);
      const keyModes = new Set<string>();
      for await (const { paths } of watcher) {
        for (const path of paths.filter((one) => one.includes("ca.key"))) {
          try {
            keyModes.add(modeOf(path));
          } catch {
            // Renamed since.
          }
        }
        if (paths.some((one) => one.endsWith("ca.pem"))) break;
      }
      await opening;
      assertEquals([...keyModes], ["600"]);
    }),
});

Deno.test("openManagedCa, many at once, makes one CA", () =>
  withFiles(async (files) => {
    const all = await Promise.all(Array.from({ length: 12 }, () => open(files)));
    assertEquals(new Set(all.map(({ material }) => material.fingerprint)).size, 1);
    assertEquals(all.filter(({ notice }) => notice.length > 0).length, 1);
    assertEquals((await readWhole(files))?.fingerprint, all[0]!.material.fingerprint);
  }));

Deno.test("openManagedCa mends what a process left that was killed before its key was in place", () =>
  withFiles(async (files) => {
    await Deno.mkdir(files.directory, { recursive: true });
    const torn = `${files.keyPath}.${crypto.randomUUID()}.tmp`;
    const mine = `${files.directory}/notes.tmp`;
    await Deno.writeTextFile(torn, "-----BEGIN PRIV");
    await Deno.writeTextFile(mine, "not ours");
    await Deno.writeTextFile(`${files.directory}/lock`, "");
    await open(files);
    await assertRejects(() => Deno.stat(torn), Deno.errors.NotFound);
    assertEquals(await Deno.readTextFile(mine), "not ours");
  }));

Deno.test("openManagedCa mends what a process left that was killed between key and certificate", () =>
  withFiles(async (files) => {
    const { material } = await open(files);
    await Deno.remove(files.certPath);
    const opened = await open(files);
    assertEquals(opened.material.fingerprint, material.fingerprint);
    assertStringIncludes(opened.notice.join(), "again from");
    assertEquals(await Deno.readTextFile(files.certPath), material.certPem);
  }));

Deno.test("openManagedCa mends what a rotation left that was killed between key and certificate", () =>
  withFiles(async (files) => {
    const old = await open(files);
    const rotated = await rotateManagedCa(files, RECIPE, Date.now(), null);
    await Deno.writeTextFile(files.certPath, old.material.certPem);
    assertEquals(await readWhole(files), null);
    const opened = await open(files);
    assertEquals(opened.material.fingerprint, rotated.material.fingerprint);
    assertEquals(await Deno.readTextFile(files.certPath), rotated.material.certPem);
  }));

Deno.test("openManagedCa waits for the process that holds the lock", () =>
  withFiles(async (files) => {
    await Deno.mkdir(files.directory, { recursive: true });
    const lock = await Deno.open(`${files.directory}/lock`, { create: true, write: true });
    await lock.lock(true);
    const opening = open(files);
    const before = await readWhole(files);
    lock.close();
    assertEquals(before, null);
    assert((await opening).material.fingerprint !== "", "it was made after all");
  }));

Deno.test("openManagedCa refuses a key without certificate and a certificate without key, and changes neither", () =>
  withFiles(async (files) => {
    const foreign = makeAuthority();
    await Deno.mkdir(files.directory, { recursive: true });
    await Deno.writeTextFile(files.certPath, foreign.certPem);
    assertMatch(await refusal(files), /ca\.key .*missing.*restore it, or remove .*ca\.pem/);
    assertEquals(await Deno.readTextFile(files.certPath), foreign.certPem);
    await Deno.remove(files.certPath);
    await Deno.writeTextFile(files.keyPath, foreign.keyPem, { mode: 0o600 });
    assertMatch(await refusal(files), /ca\.pem .*missing.*restore it, or remove .*ca\.key/);
    assertEquals(await Deno.readTextFile(files.keyPath), foreign.keyPem);
  }));

Deno.test("openManagedCa takes a pair that a user put there, and refuses to overwrite a certificate of theirs", () =>
  withFiles(async (files) => {
    const foreign = makeAuthority();
    await Deno.mkdir(files.directory, { recursive: true });
    await Deno.writeTextFile(files.certPath, foreign.certPem);
    await Deno.writeTextFile(files.keyPath, foreign.keyPem, { mode: 0o600 });
    assertEquals((await open(files)).material.fingerprint, foreign.fingerprint);
    await Deno.remove(files.certPath);
    await Deno.remove(files.keyPath);
    await open(files);
    await Deno.writeTextFile(files.certPath, foreign.certPem);
    assertMatch(await refusal(files), /does not belong to the certificate/);
    assertEquals(await Deno.readTextFile(files.certPath), foreign.certPem);
  }));

Deno.test({
  name: "openManagedCa refuses a key that others can read, and says how to mend it",
  ignore: ON_WINDOWS,
  fn: () =>
    withFiles(async (files) => {
      await open(files);
      for (const mode of [0o640, 0o604, 0o620, 0o660, 0o601]) {
        await Deno.chmod(files.keyPath, mode);
        assertMatch(await refusal(files), new RegExp(`mode 0${mode.toString(8)}.*chmod 600 '.*ca\\.key'`));
      }
      await Deno.chmod(files.keyPath, 0o400);
      await open(files);
    }),
});

Deno.test("rotateManagedCa makes a new CA, keeps the old certificate and lets the old key go", () =>
  withFiles(async (files) => {
    const old = await open(files);
    const oldKey = await Deno.readTextFile(files.keyPath);
    const { material, rotated, previousCertPath } = await rotateManagedCa(files, RECIPE, Date.now(), null);
    assert(rotated && previousCertPath !== null, "it was replaced");
    assert(material.fingerprint !== old.material.fingerprint, "by another");
    assertEquals(previousCertPath, join(files.directory, `ca-${old.material.fingerprint.slice(0, 16)}.pem`));
    assertEquals(await Deno.readTextFile(previousCertPath), old.material.certPem);
    for (const { name } of Deno.readDirSync(files.directory)) {
      assert(!(await Deno.readTextFile(`${files.directory}/${name}`)).includes(oldKey.slice(60, 120)), name);
    }
    assertEquals((await open(files)).material.fingerprint, material.fingerprint);
  }));

Deno.test("rotateManagedCa, many at once with the same expectation, rotates once", () =>
  withFiles(async (files) => {
    const { material: { fingerprint } } = await open(files);
    const all = await Promise.all(
      Array.from({ length: 6 }, () => rotateManagedCa(files, RECIPE, Date.now(), fingerprint)),
    );
    assertEquals(all.filter(({ rotated }) => rotated).length, 1);
    assertEquals(new Set(all.map(({ material }) => material.fingerprint)).size, 1);
  }));

Deno.test({
  name: "rotateManagedCa replaces a key that others could read",
  ignore: ON_WINDOWS,
  fn: () =>
    withFiles(async (files) => {
      await open(files);
      await Deno.chmod(files.keyPath, 0o644);
      await rotateManagedCa(files, RECIPE, Date.now(), null);
      assertEquals(modeOf(files.keyPath), "600");
      await open(files);
    }),
});

Deno.test("rotateManagedCa makes a CA where there is none, of the kind that is asked for", () =>
  withFiles(async (files) => {
    const { material, previousCertPath } = await rotateManagedCa(
      files,
      { ...RECIPE, keyKind: "rsa" },
      Date.now(),
      null,
    );
    assertEquals(previousCertPath, null);
    assertEquals(new X509Certificate(material.certPem).publicKey.asymmetricKeyType, "rsa");
  }));

Deno.test("readCaFile refuses missing, huge and directory paths by name", () =>
  withFiles(async ({ directory }) => {
    await Deno.mkdir(directory, { recursive: true });
    const message = async (path: string) =>
      (await assertRejects(() => readCaFile(path, { secret: false }), StartError) as StartError).message;
    assertMatch(await message(`${directory}/none`), /none .*no such file/);
    await Deno.writeFile(`${directory}/huge`, new Uint8Array(1024 * 1024 + 1));
    assertMatch(await message(`${directory}/huge`), /larger than 1 MiB/);
    await Deno.writeFile(`${directory}/big`, new Uint8Array(1024 * 1024));
    assertEquals((await readCaFile(`${directory}/big`, { secret: false })).length, 1024 * 1024);
    assertStringIncludes(await message(directory), directory);
  }));

Deno.test({
  name: "openManagedCa and readCaFile say which grant is missing",
  ignore: ON_WINDOWS,
  permissions: { read: ["/nowhere/granted"], write: false },
  fn: async () => {
    const files = managedFiles("/nowhere/state");
    assertMatch(await refusal(files), /--allow-read=\/nowhere\/state\/ca --allow-write=\/nowhere\/state\/ca/);
    const error = await assertRejects(() => readCaFile("/nowhere/a.pem", { secret: false }), StartError);
    assertStringIncludes((error as StartError).message, "--allow-read=/nowhere/a.pem");
  },
});
