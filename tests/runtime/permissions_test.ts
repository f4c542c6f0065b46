/**
 * Giving up permissions, shown on real grants: each case is a process of its own, since what a process gives
 * up it never gets back.
 */
import { assert, assertEquals } from "@std/assert";
import { readEnvironment } from "../../src/runtime/config/environment.ts";
import { settingsFromValues } from "../../src/runtime/config/load.ts";
import { neededWhileRunning, NOTHING } from "../../src/runtime/permissions.ts";
import { plainEnvironment } from "../support/tools.ts";

const MODULE = new URL("../../src/runtime/permissions.ts", import.meta.url).href;

interface Attempt {
  readonly grants: readonly string[];
  /** What is kept, as in the program. */
  readonly keep: Readonly<Record<string, unknown>>;
  readonly directory: string;
}

/** Gives up permissions, tries everything, and tells what still worked. */
async function whatWorks({ grants, keep, directory }: Attempt): Promise<Record<string, unknown>> {
  const script = `
    import { dropPermissions, NOTHING } from ${JSON.stringify(MODULE)};
    const directory = ${JSON.stringify(directory)};
    const works = async (attempt) => {
      try {
        await attempt();
        return true;
      } catch (error) {
        if (error instanceof Deno.errors.NotCapable) return false;
        throw error;
      }
    };
    const open = await Deno.open(directory + "/kept/open.txt", { create: true, write: true, read: true })
      .catch(() => null);
    const report = dropPermissions({ ...NOTHING, ...${JSON.stringify(keep)} });
    console.log(JSON.stringify({
      report,
      "env HOME": await works(() => Deno.env.get("HOME")),
      "read kept": await works(() => Deno.readTextFile(directory + "/kept/file.txt")),
      "read other": await works(() => Deno.readTextFile(directory + "/other.txt")),
      "write kept": await works(() => Deno.writeTextFile(directory + "/kept/new.txt", "x")),
      "write other": await works(() => Deno.writeTextFile(directory + "/new.txt", "x")),
      "run": await works(() => new Deno.Command(Deno.execPath(), { args: ["--version"] }).output()),
      "sys": await works(() => Deno.hostname()),
      "listen": await works(() => Deno.listen({ port: 0, hostname: "127.0.0.1" }).close()),
      "open file": open === null ? null : await works(() => open.write(new Uint8Array([120]))),
      "asking again": (await Deno.permissions.request({ name: "read" })).state === "granted",
    }));`;
  await Deno.writeTextFile(`${directory}/attempt.ts`, script);
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", "--no-config", "--no-lock", ...grants, `${directory}/attempt.ts`],
    env: plainEnvironment(),
    clearEnv: true,
  }).output();
  assertEquals(code, 0, new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}

async function withDirectory(run: (directory: string) => Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "soth_mitm_permissions_" });
  try {
    await Deno.mkdir(`${directory}/kept`);
    await Deno.writeTextFile(`${directory}/kept/file.txt`, "kept");
    await Deno.writeTextFile(`${directory}/other.txt`, "other");
    await run(await Deno.realPath(directory));
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

const EVERYTHING = [
  "--allow-read",
  "--allow-write",
  "--allow-net",
  "--allow-run",
  "--allow-sys",
  "--allow-env",
  "--allow-ffi",
];

Deno.test("dropPermissions leaves nothing but the network and what is open", () =>
  withDirectory(async (directory) => {
    const found = await whatWorks({ grants: EVERYTHING, keep: { net: true }, directory });
    assertEquals(found, {
      report: { revoked: ["run", "ffi", "env", "sys", "write", "read"], kept: ["net"] },
      "env HOME": false,
      "read kept": false,
      "read other": false,
      "write kept": false,
      "write other": false,
      run: false,
      sys: false,
      listen: true,
      "open file": true,
      "asking again": false,
    });
  }));

Deno.test("dropPermissions gives up grants that name variables, programs and kinds one by one", () =>
  withDirectory(async (directory) => {
    const grants = [
      "--allow-env=HOME",
      `--allow-run=${Deno.execPath()}`,
      "--allow-sys=hostname",
      `--allow-read=${directory}`,
      "--allow-net=127.0.0.1",
    ];
    const found = await whatWorks({ grants, keep: {}, directory });
    for (const name of ["env HOME", "run", "sys", "read kept", "listen"]) {
      assertEquals(found[name], false, name);
    }
  }));

Deno.test("dropPermissions keeps what is named, and tells that a grant of everything cannot be narrowed", () =>
  withDirectory(async (directory) => {
    const kept = [`${directory}/kept`];
    const found = await whatWorks({ grants: EVERYTHING, keep: { read: kept, write: kept }, directory });
    assertEquals(found["report"], {
      revoked: ["run", "ffi", "env", "sys", "net"],
      kept: ["write *", "read *"],
    });
    assertEquals([found["read kept"], found["write kept"], found["read other"]], [true, true, true]);
  }));

Deno.test("dropPermissions narrows grants that list paths to those still needed", () =>
  withDirectory(async (directory) => {
    const kept = `${directory}/kept`;
    const done = [`${directory}/other.txt`];
    const listed = await whatWorks({
      grants: [`--allow-read=${kept},${done}`, `--allow-write=${kept}`],
      keep: { read: [kept], write: [kept], done },
      directory,
    });
    assertEquals([listed["read kept"], listed["write kept"], listed["read other"]], [true, true, false]);
    // A wider grant cannot be cut: what is needed must not go with what is not.
    const wide = await whatWorks({
      grants: [`--allow-read=${directory}`, `--allow-write=${directory}`],
      keep: { read: [kept], write: [kept], done },
      directory,
    });
    assertEquals([wide["read kept"], wide["write kept"], wide["read other"]], [true, true, true]);
  }));

Deno.test("neededWhileRunning is the network alone, unless something is to be opened later", () => {
  const needed = (values: Readonly<Record<string, unknown>>) =>
    neededWhileRunning(
      settingsFromValues({ values: { state_dir: "/s", ...values }, cwd: "/", checkGrants: false }).settings,
      "/c.toml",
    );
  const nothing = needed({
    events: { sinks: ["/l/e.jsonl", "-"] },
    tls: { ca_cert_path: "/a", ca_key_path: "/b" },
  });
  if (Deno.build.os !== "windows") {
    assertEquals(nothing, { ...NOTHING, net: true, done: ["/c.toml", "/a", "/b"] });
    assertEquals(needed({ tls: { learned_bypass: "suggest" } }).write, []);
    assertEquals(needed({ tls: { learned_bypass: "on" } }).write, ["/s"]);
    assertEquals(
      needed({ events: { sinks: ["/l/e.jsonl", "-", "unix:/x"], rotate_bytes: "1MiB" } }).write,
      ["/l"],
    );
    assertEquals(needed({ tls: { ca_rotate_after: "1d" } }).read, ["/s"]);
    assertEquals(needed({ listen: ["unix:/run/x.sock"] }).write, ["/run/x.sock"]);
  }
  assertEquals([nothing.read, nothing.write, nothing.sys], [[], [], false]);
  assertEquals(needed({ listen: ["0.0.0.0:1"] }).sys, true);
  assertEquals(needed({ listen: ["[::]:1"] }).sys, true);
});

Deno.test({
  name: "readEnvironment reads what the grants name, and the whole where it is granted",
  permissions: { env: ["SOTH_MITM_*", "HOME", "OTHER"] },
  fn() {
    Deno.env.set("SOTH_MITM_TLS_PROFILE", "strict");
    Deno.env.set("SOTH_MITM_TLS_PROFIL", "strict");
    Deno.env.set("OTHER", "1");
    try {
      const named = readEnvironment();
      assertEquals(named["SOTH_MITM_TLS_PROFILE"], "strict");
      assertEquals(named["OTHER"], undefined);
      assertEquals(readEnvironment(["OTHER", "NEVER_GRANTED"])["OTHER"], "1");
    } finally {
      for (const name of ["SOTH_MITM_TLS_PROFILE", "SOTH_MITM_TLS_PROFIL", "OTHER"]) Deno.env.delete(name);
    }
  },
});

Deno.test("readEnvironment sees misspelt names where all variables are granted", () => {
  Deno.env.set("SOTH_MITM_TLS_PROFIL", "strict");
  try {
    assert("SOTH_MITM_TLS_PROFIL" in readEnvironment());
  } finally {
    Deno.env.delete("SOTH_MITM_TLS_PROFIL");
  }
});
