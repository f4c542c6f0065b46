import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import type { ConfigNode, SyntaxProblem } from "../../src/runtime/config/node.ts";
import { quoteToml } from "../../src/runtime/config/print.ts";
import { parseToml } from "../../src/runtime/config/toml.ts";

/** Nodes as plain values; the lines are looked at by other cases. */
function plain(node: ConfigNode | SyntaxProblem): unknown {
  switch (node.type) {
    case "table":
      return Object.fromEntries([...node.entries].map(([name, value]) => [name, plain(value)]));
    case "list":
      return node.items.map(plain);
    case "other":
      return node.text;
    case "syntax_problem":
      return `${node.line}:${node.column}: ${node.detail}`;
    default:
      return node.value;
  }
}

function tableOf(node: ConfigNode | SyntaxProblem | undefined) {
  if (node?.type !== "table") throw new Error(`found ${node?.type} where a table is meant`);
  return node;
}

/** The problem as text; throws where the text was accepted. */
function problemOf(node: ConfigNode | SyntaxProblem): string {
  if (node.type !== "syntax_problem") throw new Error(`accepted as a ${node.type}`);
  return `${node.line}:${node.column}: ${node.detail}`;
}

Deno.test("parseToml gives tables, lists and scalars, dates as something no setting takes", () => {
  const text = [
    "# a comment",
    "a = 1_000",
    "b = [ 'x', # why",
    "  true,",
    "]",
    "c = { d.e = 0.5 }",
    "day = 1979-05-27",
    "[f.g]",
    'h = """',
    'one"""',
    "[[i]]",
    "[[i]]",
    "j = 07:32:00",
  ].join("\r\n");
  assertEquals(plain(parseToml(text)), {
    a: 1000,
    b: ["x", true],
    c: { d: { e: 0.5 } },
    day: "a date or time",
    f: { g: { h: "one" } },
    i: [{}, { j: "a date or time" }],
  });
});

Deno.test("parseToml names line and column, what is wrong and the line it found", () => {
  const cases: [string, string][] = [
    ["a = 1\n\na = 2", '3:1: trying to redefine an already defined table or value; found "a = 2"'],
    ["[a]\nb = 1\n[a]", '3:2: trying to redefine an already defined table or value; found "[a]"'],
    ["a = { b = 1, b = 2 }", "1:14: trying to redefine an already defined value; found"],
    ["a = 1 b = 2", "1:7: each key-value declaration must be followed by an end-of-line; found"],
    ["\n  profile = strict\n", '2:13: invalid value (text needs quotes); found "profile = strict"'],
    ["head = 30s", '1:10: illegal character in numeric literal (text needs quotes); found "head = 30s"'],
    ["a = 'x\n", "1:7: control characters are not allowed in strings; found"],
    ["a", '1:1: incomplete key-value: cannot find end of key; found "a"'],
    [`a = ${"[".repeat(32)}${"]".repeat(31)}`, "1:68: "],
    [`a = ${"[".repeat(33)}`, "1:37: document contains excessively nested structures"],
    [`a = ${"[".repeat(100_000)}`, "1:37: document contains excessively nested structures"],
  ];
  for (const [text, expected] of cases) {
    const found = problemOf(parseToml(text));
    assertStringIncludes(found, expected);
    assert(found.length < 300);
  }
});

Deno.test("parseToml bounds what dotted keys nest", () => {
  let node: ConfigNode | SyntaxProblem | undefined = parseToml(`${"a.".repeat(100_000)}a = 1`);
  let depth = 0;
  for (; node?.type === "table"; depth++) node = node.entries.get("a");
  assertEquals([depth, node?.type], [33, "other"]);
});

const TOML_PIECES =
  "a b.c 'd_e' = 1 -1.5e3 true \"text\" \"\"\" ''' [ ] [[ ]] { } , \\ \\u00e9 1979-05-27 07:32:00 # é 😀"
    .split(" ").concat("\n", "\r\n", " ", "\0");

Deno.test("parseToml is total: any text gives a table or a problem inside the text", () => {
  const text = fc.array(fc.oneof(fc.constantFrom(...TOML_PIECES), fc.string()), { maxLength: 40 })
    .map((pieces) => pieces.join(""));
  fc.assert(
    fc.property(text, (text) => {
      const result = parseToml(text);
      if (result.type !== "syntax_problem") return void tableOf(result);
      assert(result.line >= 1 && result.line <= text.split("\n").length);
      assert(result.column >= 1 && result.column <= text.length + 1);
    }),
    { numRuns: 2_000 },
  );
});

Deno.test("parseToml reads back every string that quoteToml writes", () => {
  fc.assert(fc.property(fc.string({ unit: "binary-ascii" }), (text) => {
    assertEquals(plain(parseToml(`a = ${quoteToml(text)}`)), { a: text });
  }));
});

Deno.test("parseToml takes the names of an object's own machinery for names", () => {
  for (const name of ["__proto__", "constructor", "toString", "hasOwnProperty"]) {
    const { entries } = tableOf(parseToml(`${name}.x = 1\n[a.${name}]\nb = { ${name} = 2 }`));
    assertEquals([...entries.keys()], [name, "a"]);
    assertEquals(tableOf(entries.get(name)).entries.get("x"), { type: "number", line: 0, value: 1 });
    const inner = tableOf(tableOf(entries.get("a")).entries.get(name)).entries.get("b");
    assertEquals(tableOf(inner).entries.get(name), { type: "number", line: 0, value: 2 });
  }
  assertEquals(({} as Record<string, unknown>)["x"], undefined);
});

Deno.test("parseToml takes time in proportion to the text", () => {
  const rules = Array.from({ length: 10_000 }, (_, index) => `[[policy.rules]]\nid = "r${index}"\n`).join("");
  const text = `${rules}\nx = [${"1,".repeat(100_000)}]\n`;
  const started = performance.now();
  assertEquals(parseToml(text).type, "table");
  assertEquals(parseToml(text + "[").type, "syntax_problem");
  assert(performance.now() - started < 2_000);
});
