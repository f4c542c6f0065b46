import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import { parseJson } from "../../src/runtime/config/json.ts";
import type { ConfigNode, SyntaxProblem } from "../../src/runtime/config/node.ts";

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
    ...'{}[]:,"\\ \n\t01-+.eEtruefalsn/*é'.split(""),
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
  const text = '// one\n{ /* two */ "a": [1, 2, ], // three\n "b": 2, }\n/* four\n*/';
  assertEquals(plain(parseJson(text, { comments: true })), { a: [1, 2], b: 2 });
  assertEquals(
    plain(parseJson(text, { comments: false })),
    "1:1: JSON has no comments; a .jsonc file may have them",
  );
});

Deno.test("parseJson names line, column and what was found", () => {
  const cases: [string, string][] = [
    ['{"a": 1,\n "a": 2}', "2:2: a is already set in line 1"],
    ['{"a": 1', "1:8: the bracket opened in line 1 is not closed"],
    ['{"a" 1}', '1:6: found "1" where the name needs a ":"'],
    ["{a: 1}", '1:2: found "a" where a name in quotes is needed'],
    ["[1 2]", '1:4: found "2" where "," or "]" is needed'],
    ["[strict]", '1:2: found strict, which is no JSON value; text needs quotes: "strict"'],
    ['["x]', "1:2: the string is not closed on its line"],
    ['["\t"]', '1:3: a string cannot hold the bare control character "\\t"'],
    ['["\\q"]', "1:3: found an escape other than"],
    ["[,]", '1:2: found "," where a value is needed'],
    ["", "1:1: found the end of the file where a value is needed"],
    ["1 2", '1:3: found "2" after the end of the value'],
    ["/* x", "1:1: the comment is not closed"],
    ["[".repeat(50_000), "1:34: values nested more than 32 deep"],
  ];
  for (const [text, expected] of cases) {
    const found = plain(parseJson(text, { comments: true }));
    assert(typeof found === "string", text);
    assertStringIncludes(found, expected);
  }
});
