import { assertEquals, assertThrows } from "@std/assert";
import { references, tokenize, UnreadableSource } from "../../tasks/source_tokens.ts";

/** The words that are code, in order. */
function words(source: string): string[] {
  return tokenize(source).filter((token) => token.kind === "word").map((token) => token.text);
}

Deno.test("tokenize takes no word from comments, strings, templates or regular expressions", () => {
  const source = [
    "#!/usr/bin/env Date",
    "// Date",
    "/* Date",
    "*/ a = 'Date\\'Date'; b = \"Date // Date\"; c = `Date \\` \\${Date}`; d = /Date[/]Date\\/Date/gu;",
  ].join("\n");
  assertEquals(words(source), ["a", "b", "c", "d", "gu"]);
});

Deno.test("tokenize reads what stands between ${ and } of a template, nested", () => {
  assertEquals(words("x = `a ${one({ two: `b ${three} c` })} d ${four}` + five"), [
    ..."x one two three four five".split(" "),
  ]);
});

Deno.test("tokenize tells a division from a regular expression by the token before it", () => {
  const kinds = (source: string) =>
    tokenize(source).filter((token) => token.kind === "regex").map((token) => token.text);
  assertEquals(kinds("a = b / c / d; e = (f) / g; h[0] / i / j; k++ / l / m; n! / o / p; 1 / q / r"), []);
  assertEquals(
    kinds("return /a/; typeof /b/; (/c/); [/d/]; x = /e/; !/f/.test(g); if (h) /i/.exec(j); k => /l/"),
    [
      ..."/a/ /b/ /c/ /d/ /e/ /f/ /i/ /l/".split(" "),
    ],
  );
});

Deno.test("tokenize counts lines through literals that span several", () => {
  const tokens = tokenize("a\n`b\nc`\n/*\n*/ d\ne");
  assertEquals(tokens.map((token) => [token.text, token.line]), [["a", 1], ["b\nc", 2], ["d", 5], ["e", 6]]);
});

Deno.test("tokenize refuses a file that ends inside a literal, and says in what", () => {
  for (
    const [source, what] of [["a = `b ${c", "template"], ["'a\n'", "string"], ["/* a", "comment"], [
      "= /a",
      "regular",
    ]]
  ) {
    assertThrows(() => tokenize(source!), UnreadableSource, what!);
  }
});

Deno.test("references finds imports, re-exports, dynamic imports and module-relative URLs, and nothing else", () => {
  const source = `
    import "./effect.ts";
    import one, { type two, from as three } from "./named.ts";
    import type { four } from "./types.ts";
    import * as five from "pkg";
    export { six } from "./six.ts";
    export type { seven } from "./seven.ts";
    export * from "./all.ts";
    export { eight };
    export const nine = "./not_a_reference.ts";
    const ten = { import: "./no.ts", export: 1, from: "./no.ts" };
    const later = import("./later.ts"), what = import(name), where = import.meta.url;
    new Worker(new URL("./worker.ts", import.meta.url)); new URL("./page", location);
  `;
  assertEquals(
    references(tokenize(source)).map(({ specifier, kind, typeOnly }) => [specifier, kind, typeOnly]),
    [
      ["./effect.ts", "static", false],
      ["./named.ts", "static", false],
      ["./types.ts", "static", true],
      ["pkg", "static", false],
      ["./six.ts", "static", false],
      ["./seven.ts", "static", true],
      ["./all.ts", "static", false],
      ["./later.ts", "dynamic", false],
      ["./worker.ts", "url", false],
    ],
  );
});

Deno.test("references agrees with the module graph of this project's own task", () => {
  const source = Deno.readTextFileSync(new URL("../../tasks/tidy.ts", import.meta.url));
  assertEquals(
    references(tokenize(source)).some(({ specifier }) => specifier === "./source_tokens.ts"),
    true,
  );
});
