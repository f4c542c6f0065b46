import { assertEquals, assertStringIncludes } from "@std/assert";
import {
  type Graph,
  graphFaults,
  isBaseOutOfReach,
  missingSources,
  outputName,
  TARGETS,
} from "../../tasks/compile.ts";

const ROOT = "file:///project/";

/** A program whose first module imports all others. */
function graphOf(...specifiers: string[]): Graph {
  const [root = "", ...others] = specifiers;
  const dependencies = others.map((specifier) => ({ code: { specifier } }));
  return {
    roots: [root],
    modules: [{ specifier: root, dependencies }, ...others.map((specifier) => ({ specifier }))],
  };
}

/** The faults of a program of one module `src/a.ts` with that text, and `others` in its graph. */
function faultsOf(text: string, ...others: string[]): string[] {
  return graphFaults(graphOf(`${ROOT}src/a.ts`, ...others), ROOT, (path) => path === "src/a.ts" ? text : "");
}

Deno.test("graphFaults accepts the project's files, packages and platform modules, and nothing remote", () => {
  assertEquals(faultsOf("", `${ROOT}deno.json`, "node:net", "npm:/node-forge@1.4.3"), []);
  for (
    const other of [
      "https://example.com/a.ts",
      "jsr:@std/path",
      "data:text/javascript,1",
      "file:///elsewhere/a.ts",
    ]
  ) {
    assertEquals(faultsOf("", other).length, 1, other);
  }
  const broken = { roots: [], modules: [{ specifier: `${ROOT}src/gone.ts`, error: "Module not found" }] };
  assertEquals(graphFaults(broken, ROOT, () => ""), [`${ROOT}src/gone.ts: Module not found`]);
});

Deno.test("graphFaults finds what only run time would load", () => {
  assertEquals(faultsOf("const m = await import(name);"), [
    "src/a.ts:1 imports what only run time knows, which cannot be embedded",
  ]);
  assertEquals(faultsOf('const m = await import("./b.ts");'), []);
  const worker = 'new Worker(new URL("./worker.ts", import.meta.url));';
  assertEquals(faultsOf(worker), ["src/a.ts:1 refers to ./worker.ts, which is not embedded"]);
  assertEquals(faultsOf(worker, `${ROOT}src/worker.ts`), []);
});

Deno.test("missingSources looks for each file that runs in the executable, byte for byte", () => {
  const sources: { readonly [path: string]: string } = {
    "src/a.ts": "const a = 1;",
    "src/b.ts": "const b = 2;",
  };
  const read = (path: string) => new TextEncoder().encode(sources[path]);
  const types = { specifier: `${ROOT}src/types.ts` };
  const program = graphOf(`${ROOT}src/a.ts`, `${ROOT}src/b.ts`, "node:net");
  const graph = { ...program, modules: [...program.modules, types] };
  const executable = new TextEncoder().encode("\x7fELF base…const a = 1;…const b = 3;…");
  assertEquals(missingSources(graph, ROOT, executable, read), ["src/b.ts"]);
});

Deno.test("isBaseOutOfReach tells a base that cannot be downloaded from a program that cannot be compiled", () => {
  const unreachable = `Download https://dl.deno.land/release/v2.9.6/denort-x86_64-unknown-linux-gnu.zip
error: Writing deno compile executable to temporary file 'a.tmp'
Caused by:
    0: Setting up base binary.
    1: error sending request for url (https://dl.deno.land/release/v2.9.6/denort-x86_64-unknown-linux-gnu.zip)`;
  assertEquals(isBaseOutOfReach(unreachable), true);
  assertEquals(isBaseOutOfReach("error: Could not find denort at 'nowhere'"), true);
  assertEquals(isBaseOutOfReach('error: Module not found "file:///project/src/denort.ts".'), false);
});

Deno.test("outputName names each target's executable apart, with .exe for Windows alone", () => {
  const names = TARGETS.map(outputName);
  assertEquals(new Set(names).size, TARGETS.length);
  assertEquals(names.filter((name) => name.endsWith(".exe")), ["soth-mitm-x86_64-pc-windows-msvc.exe"]);
});

Deno.test("the compile task names its targets when asked for another", async () => {
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", "--allow-env", "tasks/compile.ts", "--target", "sparc-sun-solaris"],
  }).output();
  assertStringIncludes(
    new TextDecoder().decode(stderr),
    "Unknown target sparc-sun-solaris; there are x86_64-",
  );
  assertEquals(code, 2);
});
