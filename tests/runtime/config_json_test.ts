import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import { parseJson } from "../../src/runtime/config/json.ts";
import type { ConfigNode, SyntaxProblem } from "../../src/runtime/config/node.ts";

/** Nodes as plain values; the lines are looked at by other cases. */
function plain(node: ConfigNode | SyntaxProblem): unknown {
  switch (node.type) {
    case "table":
      return Object.fromEntries([...node.entries].map(([name, value]) => [name, plain(value)]));
    case "list":
      return node.items.map(plain);
    case "other":
      return null;
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

Deno.test("parseJson reads every JSON value as JSON.parse does, with and without comments allowed", () => {
  fc.assert(fc.property(fc.jsonValue({ maxDepth: 4 }), fc.constantFrom(0, 2), (value, indent) => {
    const text = JSON.stringify(value, null, indent);
    for (const comments of [false, true]) {
      assertEquals(plain(parseJson(text, { comments })), JSON.parse(text));
    }
  }));
});

Deno.test("parseJson accepts and refuses what JSON.parse does, but for equal names and depth", () => {
  const piece = fc.constantFrom(
    ...'{}[]:,"\\ \n\t01-+.eEtruefalsn/*é\u00a0'.split(""),
    "true",
    "null",
    '"a"',
    '"b":',
    "\\u00e9",
    "1e5",
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const text = pieces.join("");
      const result = parseJson(text, { comments: false });
      let expected: unknown = "refused";
      try {
        expected = JSON.parse(text);
      } catch {
        assertEquals(result.type, "syntax_problem", text);
        return;
      }
      if (result.type === "syntax_problem") assertStringIncludes(result.detail, "is already set");
      else assertEquals(plain(result), expected);
    }),
    { numRuns: 5_000 },
  );
});

Deno.test("parseJson takes comments and trailing commas in JSONC only", () => {
  const commented = '// one\n{ /* two */ "a": [1, 2, ], // three\n "b": 2, }\n/* four\n*/';
  assertEquals(plain(parseJson(commented, { comments: true })), { a: [1, 2], b: 2 });
  assertEquals(
    plain(parseJson(commented, { comments: false })),
    "1:1: JSON has no comments; a .jsonc file may have them",
  );
  assertEquals(
    plain(parseJson('{"a": 1,\n}', { comments: false })),
    '2:1: found "}" after a ","; JSON has no trailing commas, a .jsonc file may have them',
  );
});

Deno.test("parseJson says on which line each value stands", () => {
  const root = tableOf(parseJson('\n{\n"a": 1,\n"b":\n[2,\n\n3]}', { comments: false }));
  const b = root.entries.get("b");
  if (b?.type !== "list") throw new Error("b is no list");
  const lines = [root, root.entries.get("a"), b, ...b.items].map((node) => node?.line);
  assertEquals(lines, [2, 3, 5, 5, 7]);
});

Deno.test("parseJson names line, column and what was found", () => {
  const cases: [string, string][] = [
    ['{"a": 1,\n "a": 2}', '2:2: "a" is already set in line 1'],
    ['{"a": 1', '1:8: found the end of the file, where the object needs its "}"'],
    ["[1", '1:3: found the end of the file, where the list needs its "]"'],
    ['{"a" 1}', '1:6: found "1", where the name needs a ":"'],
    ["{1: 1}", '1:2: found "1", where a name in quotes is needed'],
    ["[1 2]", '1:4: found "2", where a "," or the closing bracket is needed'],
    ["[strict]", '1:2: found "strict", which is no JSON value (text needs quotes)'],
    ['["x]', '1:2: found "\\"x]", a string that is not closed on its line'],
    ['["\t"]', '1:2: found "\\"\\t\\"", a string with a bare control character'],
    ['["\\q"]', "a string with an escape other than"],
    ['["\\u00g0"]', "a string with a \\u escape that has no four hex digits"],
    ["[1.]", '1:2: found "1.", a number that is not finished'],
    ["[,]", '1:2: found ",", where a value is needed'],
    ["", "1:1: found the end of the file, where a value is needed"],
    ["1 2", '1:3: found "2", after the end of the value'],
    ["/* x", "a comment that is not closed"],
    [`"${"x".repeat(10_000)}`, "a string that is not closed on its line"],
    ["[".repeat(50_000), "1:34: values nested more than 32 deep"],
  ];
  for (const [text, expected] of cases) {
    const found = problemOf(parseJson(text, { comments: true }));
    assertStringIncludes(found, expected);
    assert(found.length < 300);
  }
});

Deno.test("parseJson takes the names of an object's own machinery for names", () => {
  for (const name of ["__proto__", "constructor", "toString", "hasOwnProperty"]) {
    const { entries } = tableOf(parseJson(`{"${name}": {"${name}": 1}}`, { comments: false }));
    assertEquals([...entries.keys()], [name]);
    assertEquals(tableOf(entries.get(name)).entries.get(name), { type: "number", line: 1, value: 1 });
  }
});

Deno.test("parseJson takes time in proportion to the text", () => {
  const text = `{"a":[\n${'{"b":1},\n'.repeat(80_000)}2], "c": ${"[".repeat(40)}`;
  const started = performance.now();
  assertEquals(parseJson(text, { comments: true }).type, "syntax_problem");
  assert(performance.now() - started < 2_000);
});
