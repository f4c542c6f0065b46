/**
 * `deno task compile` makes one self-contained executable per target in `dist/`, each with its SHA-256 beside it.
 *
 *     deno task compile [--target TRIPLE]... [--check-only]
 *
 * First the embedding is checked against the module graph: every module is a file of this project, a package of
 * the lock file or a module of the platform; nothing is loaded at run time that the graph does not hold; and an
 * executable made on top of a stand-in base (this very `deno`, which is good for nothing else) contains the
 * source of every module that runs. Then each target is compiled with the permissions that deno.json names `executable`, and the
 * one for this machine is asked for its version.
 *
 * `deno compile` puts the program behind a runtime base, `denort`, which it downloads from dl.deno.land. Where
 * that is out of reach the task says so and exits 3; `DENORT_BIN` can name a base, for one target at a time.
 * Exit 1 means that something is wrong with the program or its embedding.
 */
import { parseArgs } from "@std/cli/parse-args";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { references, tokenize } from "./source_tokens.ts";

export const TARGETS = [
  "x86_64-unknown-linux-gnu",
  "aarch64-unknown-linux-gnu",
  "x86_64-apple-darwin",
  "aarch64-apple-darwin",
  "x86_64-pc-windows-msvc",
] as const;

const ENTRY = "src/cli/soth_mitm.ts";
const VERSION_MODULE = "src/runtime/version.ts";
/** Files that commands read at run time, beside the modules of the graph. */
const INCLUDED: readonly string[] = [];

/** What `deno info --json` tells of a module. */
export interface GraphModule {
  readonly specifier: string;
  readonly error?: string;
  readonly dependencies?: readonly { readonly code?: { readonly specifier?: string } }[];
}

export interface Graph {
  readonly roots: readonly string[];
  readonly modules: readonly GraphModule[];
}

/** What stands in the way of embedding `graph`; `root` is the project's `file:` URL with a slash at the end. */
export function graphFaults(graph: Graph, root: string, read: (path: string) => string): string[] {
  const faults: string[] = [];
  const known = new Set(graph.modules.map(({ specifier }) => specifier));
  for (const { specifier, error } of graph.modules) {
    if (error !== undefined) faults.push(`${specifier}: ${error}`);
    const { protocol } = new URL(specifier);
    if (protocol === "node:" || protocol === "npm:") continue;
    if (protocol !== "file:") {
      faults.push(`${specifier} is remote; it must come through a package of the lock file`);
    } else if (!specifier.startsWith(root)) faults.push(`${specifier} lies outside the project`);
    else if (specifier.endsWith(".ts")) faults.push(...runTimeFaults(specifier, root, known, read));
  }
  return faults;
}

/** References that only resolve when the program runs, and whose targets the executable would not hold. */
function runTimeFaults(
  specifier: string,
  root: string,
  known: ReadonlySet<string>,
  read: (path: string) => string,
): string[] {
  const path = specifier.slice(root.length);
  const tokens = tokenize(read(path));
  const faults: string[] = [];
  for (const { specifier: target, kind, line } of references(tokens)) {
    if (kind !== "url") continue;
    const resolved = new URL(target, specifier).href;
    const included = INCLUDED.some((one) => resolved.startsWith(root + one));
    if (!known.has(resolved) && !included) {
      faults.push(`${path}:${line} refers to ${target}, which is not embedded`);
    }
  }
  tokens.forEach((token, index) => {
    const isImport = token.text === "import" && token.kind === "word" && tokens[index - 1]?.text !== ".";
    if (isImport && tokens[index + 1]?.text === "(" && tokens[index + 2]?.kind !== "string") {
      faults.push(`${path}:${token.line} imports what only run time knows, which cannot be embedded`);
    }
  });
  return faults;
}

/** The project's files that run: those that are imported for more than their types. */
function runningFiles(graph: Graph, root: string): string[] {
  const modules = new Map(graph.modules.map((module) => [module.specifier, module]));
  const reached = new Set(graph.roots);
  for (const specifier of reached) {
    for (const { code } of modules.get(specifier)?.dependencies ?? []) {
      if (code?.specifier !== undefined) reached.add(code.specifier);
    }
  }
  return [...reached].filter((specifier) => specifier.startsWith(root)).map((specifier) =>
    specifier.slice(root.length)
  );
}

/** The files that run and that `executable` does not hold, source for source. */
export function missingSources(
  graph: Graph,
  root: string,
  executable: Uint8Array,
  read: (path: string) => Uint8Array,
): string[] {
  const haystack = Buffer.from(executable.buffer, executable.byteOffset, executable.byteLength);
  // What is embedded stands at the end, so looking backwards ends soon.
  return runningFiles(graph, root).filter((path) => haystack.lastIndexOf(Buffer.from(read(path))) === -1);
}

/** Why `deno compile` failed: for want of a base, or for a reason of ours. */
export function isBaseOutOfReach(stderr: string): boolean {
  return /denort/.test(stderr) &&
    /Setting up base binary|error sending request|Could not find denort/.test(stderr);
}

export function outputName(target: string): string {
  return `soth-mitm-${target}${target.includes("windows") ? ".exe" : ""}`;
}

async function deno(args: readonly string[], env: { readonly [name: string]: string } = {}) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [...args],
    env: { NO_COLOR: "1", ...env },
  }).output();
  const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: decode(stdout), stderr: decode(stderr) };
}

async function commit(): Promise<string> {
  const { success, stdout } = await new Deno.Command("git", {
    args: ["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
    stderr: "null",
  }).output();
  const text = new TextDecoder().decode(stdout).trim();
  return success && /^[0-9a-f]+(-dirty)?$/.test(text) ? text : "unknown";
}

/** A version module that names the commit, and an import map that puts it in the checkout's place. */
async function writeBuild(root: string): Promise<{ importMap: string; version: string }> {
  const manifest = JSON.parse(await Deno.readTextFile("deno.json")) as {
    version: string;
    imports: { [name: string]: string };
  };
  const madeFrom = await commit();
  await Deno.mkdir("dist/build", { recursive: true });
  await Deno.writeTextFile(
    "dist/build/version.ts",
    `export const VERSION: string = ${JSON.stringify(manifest.version)};\n` +
      `export const COMMIT: string | null = ${JSON.stringify(madeFrom)};\n`,
  );
  // What deno.json implies, an import map has to say: a package's name is the way to its parts too.
  const parts = Object.entries(manifest.imports).filter(([, target]) => target.startsWith("npm:"))
    .map(([name, target]) => [`${name}/`, `${target.replace("npm:", "npm:/")}/`]);
  const imports = {
    ...Object.fromEntries(parts),
    ...manifest.imports,
    [`${root}${VERSION_MODULE}`]: `${root}dist/build/version.ts`,
  };
  await Deno.writeTextFile("dist/build/import_map.json", JSON.stringify({ imports }, null, 2));
  return { importMap: "dist/build/import_map.json", version: `${manifest.version} (${madeFrom})` };
}

function compileArgs(importMap: string, output: string, more: readonly string[]): string[] {
  return [
    ...["compile", "-P=executable", "--no-prompt", "--exclude-unused-npm", "--frozen-lockfile"],
    ...["--import-map", importMap, "--output", output, "--app-name", "soth-mitm"],
    ...INCLUDED.flatMap((path) => ["--include", path]),
    ...more,
    ENTRY,
  ];
}

/** Checks that what would be embedded is all there is; gives what is wrong. */
async function checkEmbedding(root: string, importMap: string): Promise<string[]> {
  const info = await deno(["info", "--json", "--import-map", importMap, ENTRY]);
  if (info.code !== 0) return [`deno info ${ENTRY}: ${info.stderr.trim()}`];
  const graph = JSON.parse(info.stdout) as Graph;
  const faults = graphFaults(graph, root, (path) => Deno.readTextFileSync(path));
  if (faults.length > 0) return faults;
  const standIn = "dist/build/stand_in";
  const made = await deno(compileArgs(importMap, standIn, []), { DENORT_BIN: Deno.execPath() });
  if (made.code !== 0) return [`deno compile on a stand-in base: ${made.stderr.trim()}`];
  const path = Deno.build.os === "windows" ? `${standIn}.exe` : standIn;
  const executable = await Deno.readFile(path);
  await Deno.remove(path);
  const missing = missingSources(graph, root, executable, (one) => Deno.readFileSync(one));
  const own = runningFiles(graph, root).length;
  if (missing.length === 0) console.log(`embedding: ${own} modules of this project, all in the executable`);
  return missing.map((one) => `${one} is in the module graph but not in the executable`);
}

async function main(): Promise<number> {
  const flags = parseArgs(Deno.args, {
    boolean: ["check-only"],
    string: ["target"],
    collect: ["target"],
  }) as { "check-only": boolean; target: string[]; _: string[] };
  const unknown = flags.target.filter((target) => !(TARGETS as readonly string[]).includes(target));
  if (unknown.length > 0 || flags._.length > 0) {
    console.error(`Unknown target ${[...unknown, ...flags._].join(", ")}; there are ${TARGETS.join(", ")}`);
    return 2;
  }
  const base = Deno.env.get("DENORT_BIN");
  const targets = flags.target.length > 0 ? flags.target : base === undefined ? TARGETS : [Deno.build.target];
  if (base !== undefined && targets.length > 1) {
    console.error("DENORT_BIN names the base of one target; name that target alone with --target");
    return 2;
  }
  const root = new URL("../", import.meta.url).href;
  const { importMap, version } = await writeBuild(root);
  const faults = await checkEmbedding(root, importMap);
  for (const fault of faults) console.error(`embedding: ${fault}`);
  if (faults.length > 0) return 1;
  if (flags["check-only"]) return 0;

  let worst = 0;
  for (const target of targets) {
    const output = `dist/${outputName(target)}`;
    const made = await deno(compileArgs(importMap, output, ["--target", target]));
    if (made.code !== 0 && isBaseOutOfReach(made.stderr)) {
      const said = made.stderr.split("\n").find((line) =>
        /error sending request|Could not find denort/.test(line)
      );
      console.error(
        `${target}: the runtime base is out of reach. deno compile needs denort ${Deno.version.deno} for this target ` +
          `from dl.deno.land; make that reachable, or name a denort with DENORT_BIN.\n    ${said?.trim()}`,
      );
      worst = Math.max(worst, 3);
      continue;
    }
    if (made.code !== 0) {
      console.error(`${target}: ${made.stderr.trim()}`);
      return 1;
    }
    const bytes = await Deno.readFile(output);
    const digest = createHash("sha256").update(bytes).digest("hex");
    await Deno.writeTextFile(`${output}.sha256`, `${digest}  ${outputName(target)}\n`);
    console.log(`${target}: ${output}, ${(bytes.length / 1e6).toFixed(1)} MB, sha256 ${digest}`);
    if (target === Deno.build.target) {
      const { code, stdout } = await new Deno.Command(output, { args: ["--version"] }).output();
      const said = new TextDecoder().decode(stdout).trim();
      if (code !== 0 || !said.includes(version)) {
        for (const path of [output, `${output}.sha256`]) await Deno.remove(path);
        console.error(
          `${target}: --version gave ${
            JSON.stringify(said)
          } (exit ${code}) instead of ${version}; is the base a denort?`,
        );
        return 1;
      }
      console.log(`${target}: ${said}`);
    }
  }
  return worst;
}

if (import.meta.main) Deno.exit(await main());
