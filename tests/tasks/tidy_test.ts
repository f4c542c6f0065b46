import { assertEquals, assertStringIncludes } from "@std/assert";
import { FOLDER_RANKS, projectPaths, tidy } from "../../tasks/tidy.ts";

/** The findings for a made-up project, as `path:line message`; every source is kept alive and tested. */
function findings(files: { readonly [path: string]: string }): string[] {
  const sources = Object.keys(files).filter((path) => path.startsWith("src/") && path.endsWith(".ts"));
  const all: { [path: string]: string } = {
    "tasks/keep.ts": sources.map((path) => `import "../${path}";`).join("\n"),
    ...files,
  };
  for (const path of sources) {
    const depth = "../".repeat(path.split("/").length - 1);
    all[path.replace("src/", "tests/").replace(".ts", "_mirror_test.ts")] ??= `import "${depth}${path}";`;
  }
  return tidy(Object.keys(all), (path) => all[path]!).map(({ path, line, message }) =>
    `${path}:${line} ${message}`
  );
}

function findingsOf(path: string, text: string): string[] {
  return findings({ [path]: text });
}

Deno.test("tidy lets a folder import itself and lower ranks only, and http1 and http2 never each other", () => {
  for (const [folder, rank] of Object.entries(FOLDER_RANKS)) {
    for (const [other, otherRank] of Object.entries(FOLDER_RANKS)) {
      const found = findings({
        [`src/${folder}/a.ts`]: `import { b } from "../${other}/b.ts";`,
        [`src/${other}/b.ts`]: "export const b = 1;",
      });
      const allowed = folder === other || otherRank < rank;
      assertEquals(found.length, allowed ? 0 : 1, `${folder} imports ${other}: ${found}`);
    }
  }
});

Deno.test("tidy sees an arrow in each form of reference", () => {
  for (
    const text of [
      'import "../cli/b.ts";',
      'import type { B } from "../cli/b.ts";',
      'export * from "../cli/b.ts";',
      'export type { B } from "../cli/b.ts";',
      'type B = import("../cli/b.ts").B;',
      'new URL("../cli/b.ts", import.meta.url);',
    ]
  ) {
    const found = findings({ "src/runtime/a.ts": `\n${text}`, "src/cli/b.ts": "export type B = 1;" });
    assertEquals(found.length, 1, text);
    assertStringIncludes(found[0]!, "src/runtime/a.ts:2 imports src/cli/b.ts");
  }
});

Deno.test("tidy keeps src to src, the library from sim and cli, and packages to the import map", () => {
  assertEquals(findingsOf("src/runtime/a.ts", 'import "../../tests/b.ts";').length, 1);
  assertEquals(findingsOf("src/runtime/a.ts", 'import "../../../elsewhere/b.ts";').length, 1);
  assertEquals(findings({ "mod.ts": 'import "./src/cli/b.ts";', "src/cli/b.ts": "" }).length, 1);
  assertEquals(findings({ "mod.ts": 'import "./src/runtime/b.ts";', "src/runtime/b.ts": "" }).length, 0);
  for (const specifier of ["npm:left-pad", "jsr:@std/path", "https://example.com/a.ts"]) {
    assertEquals(findingsOf("src/runtime/a.ts", `import "${specifier}";`).length, 1, specifier);
  }
  assertEquals(findingsOf("src/elsewhere/a.ts", "").length, 1);
});

Deno.test("tidy finds everything ambient in the folders that are functions of their arguments", () => {
  const ambient = [
    "const t = Date.now();",
    "new Date();",
    "performance.now();",
    "Math.random();",
    "crypto.getRandomValues(x);",
    "setTimeout(f, 1);",
    "const later = [setInterval];",
    "queueMicrotask(f);",
    "Deno.cwd();",
    "process.env;",
    "globalThis.x;",
    "fetch(url);",
    "console.log(1);",
    "async function f() {}",
    "const f = async () => 1;",
    "for await (const x of y) {}",
    "let p: Promise<void>;",
    "x ? Date : y;",
    "`${Date.now()}`;",
    "import(name);",
    'import { readFileSync } from "node:fs";',
    'import { createHash } from "node:crypto";',
    'import * as net from "node:net";',
    'import { parseArgs } from "@std/cli/parse-args";',
  ];
  for (const folder of Object.keys(FOLDER_RANKS)) {
    if (["runtime", "sim", "cli"].includes(folder)) continue;
    for (const text of ambient) {
      const found = findingsOf(`src/${folder}/a.ts`, `\n\n${text}\n`);
      assertEquals(found.length, 1, `${folder}: ${text}: ${found}`);
      assertStringIncludes(found[0]!, `src/${folder}/a.ts:3 `);
    }
  }
});

Deno.test("tidy lets the same words stand as member names, in comments, in text and in the folders with I/O", () => {
  const innocent = [
    "// Date.now() and await",
    '"setTimeout";',
    "`Math.random ${x} Deno`;",
    "x.fetch; x?.process;",
    "const x = { fetch: 1, async: true };",
    "interface X {\n  readonly process: string;\n  async?: boolean\n  crypto: 1;\n}",
    "function f(process: number, performance?: number) {}",
    "Math.max(1, 2);",
    'import { Buffer } from "node:buffer";',
  ];
  for (const text of innocent) assertEquals(findingsOf("src/core/a.ts", text), [], text);
  const io = "await new Promise((r) => setTimeout(r, Date.now()));";
  for (const path of ["src/runtime/a.ts", "src/cli/a.ts", "src/sim/main.ts"]) {
    assertEquals(findingsOf(path, io), []);
  }
  assertEquals(findingsOf("src/sim/a.ts", "await new Promise((r) => r(Deno.args));"), []);
  assertEquals(findingsOf("src/sim/a.ts", io).length, 2);
  assertEquals(findingsOf("src/tls/a.ts", 'import asn1 from "node-forge/lib/asn1.js";'), []);
  assertEquals(findingsOf("src/http/a.ts", 'import asn1 from "node-forge/lib/asn1.js";').length, 1);
});

Deno.test("tidy wants a test that imports each source with logic", () => {
  const untested = (text: string) =>
    tidy(
      ["src/core/a.ts", "tasks/b.ts"],
      (path) => path === "src/core/a.ts" ? text : 'import "../src/core/a.ts";',
    );
  for (const text of ["export function f() {}", "class A {}", "export const f = (x: number) => x;"]) {
    assertEquals(untested(text).length, 1, text);
    assertStringIncludes(untested(text)[0]!.message, "tests/core/a_test.ts is its place");
  }
  for (
    const text of [
      "export type F = (x: number) => void;",
      "export const T = [1];",
      "export interface A { f(): void }",
    ]
  ) {
    assertEquals(untested(text), [], text);
  }
});

Deno.test("tidy wants of the simulator that some test of it reaches each file", () => {
  const files: { readonly [path: string]: string } = {
    "src/sim/main.ts": 'import "./world.ts"; import "./alone.ts";',
    "src/sim/world.ts": 'import "./clock.ts"; export function world() {}',
    "src/sim/clock.ts": "export class Clock {}",
    "src/sim/alone.ts": "export class Alone {}",
    "tests/sim/world_test.ts": 'import "../../src/sim/world.ts";',
  };
  assertEquals(tidy(Object.keys(files), (path) => files[path]!).map(({ path }) => path), [
    "src/sim/alone.ts",
  ]);
});

Deno.test("tidy finds sources that only tests reach, and helpers that nothing reaches", () => {
  const project = (files: { readonly [path: string]: string }) =>
    tidy(Object.keys(files), (path) => files[path]!).map(({ path }) => path);
  assertEquals(
    project({
      "src/cli/soth_mitm.ts": 'import "../runtime/alive.ts";',
      "src/runtime/alive.ts": 'new Worker(new URL("./worker.ts", import.meta.url));',
      "src/runtime/worker.ts": "",
      "src/runtime/dead.ts": "",
      "tests/runtime/dead_test.ts": 'import "../../src/runtime/dead.ts"; import "../support/used.ts";',
      "tests/support/used.ts": "",
      "tests/support/unused.ts": "",
    }),
    ["src/runtime/dead.ts", "tests/support/unused.ts"],
  );
});

Deno.test("tidy lets a folder be built ahead of its use, and says when that is over", () => {
  const project = (files: { readonly [path: string]: string }) =>
    tidy(Object.keys(files), (path) => files[path]!, { "src/http2/": "why" }).map(({ message }) => message);
  assertEquals(project({ "src/http2/frames.ts": "" }), []);
  assertEquals(project({ "src/http2/frames.ts": "", "mod.ts": 'import "./src/http2/frames.ts";' }), [
    "is used now; take src/http2/ off the list in tasks/tidy.ts",
  ]);
});

Deno.test("tidy guards the top level and keeps keys and certificates out, by name and by content", () => {
  const block = (label: string) => `-----BEGIN ${label}-----\n${"QUJD".repeat(20)}\n`;
  assertEquals(findings({ "CHANGELOG.md": "" }).length, 1);
  assertEquals(findings({ "docs/a.md": "" }).length, 1);
  assertEquals(findings({ "README.md": "", "deno.json": "{}", ".ci/run": "", "fixtures/a/b.md": "" }), []);
  assertEquals(findings({ "tests/a.pem": "" }).length, 1);
  assertEquals(findings({ "fixtures/a.md": `text\n${block("EC PRIVATE KEY")}` }), [
    "fixtures/a.md:2 holds a key or certificate; tests make theirs at run time",
  ]);
  assertEquals(findings({ "tests/a_test.ts": `const pem = \`${block("CERTIFICATE")}\`;` }).length, 1);
  assertEquals(findings({ "tests/a_test.ts": 'text.includes("-----BEGIN CERTIFICATE-----\\n");' }), []);
});

Deno.test("tidy reports a source that ends inside a literal instead of passing over the rest", () => {
  assertStringIncludes(
    findingsOf("src/core/a.ts", "const a = `never ends")[0]!,
    "The file ends inside a template",
  );
});

Deno.test("the tidy command lists what git would commit, and without git walks the folder", async () => {
  const root = await Deno.makeTempDir();
  try {
    await Deno.mkdir(`${root}/src/core`, { recursive: true });
    await Deno.mkdir(`${root}/dist`);
    await Deno.writeTextFile(`${root}/src/core/a.ts`, "export const now = Date.now();");
    await Deno.writeTextFile(`${root}/mod.ts`, 'export * from "./src/core/a.ts";');
    await Deno.writeTextFile(`${root}/dist/product`, "");
    await Deno.writeTextFile(`${root}/.gitignore`, "/dist/\n");
    assertEquals(projectPaths(root).sort(), [".gitignore", "mod.ts", "src/core/a.ts"]);
    const { code, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-lock", "--allow-read", "--allow-run=git", "--no-prompt", "tasks/tidy.ts", root],
    }).output();
    assertStringIncludes(new TextDecoder().decode(stderr), "src/core/a.ts:1 uses Date; in src/core time");
    assertEquals(code, 1);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});
