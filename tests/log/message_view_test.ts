import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { BUILTIN_VIEWS } from "../support/llm_views.ts";
import { parseViews, TARGETS } from "../../src/log/message_view.ts";

const noFault = () => null;

function faultOf(value: unknown, pathFault: (glob: string) => string | null = noFault): string {
  const views = parseViews(value, pathFault);
  return "type" in views ? views.detail : "";
}

const rules = (...list: unknown[]) => [{ name: "x", paths: ["*"], rules: list }];

Deno.test("parseViews takes the views that are built in, and they name every target", () => {
  assertEquals(faultOf(BUILTIN_VIEWS), "");
  const named = new Set(BUILTIN_VIEWS.flatMap(({ rules }) => rules.map(({ as }) => as)));
  assertEquals(TARGETS.filter((target) => !named.has(target)), []);
});

Deno.test("parseViews says where a table is wrong, and what is allowed", () => {
  const cases: readonly [value: unknown, fault: string][] = [
    [{}, "the table is not a list of at most 100 views"],
    [[7], "[0] is not an object"],
    [
      [{ name: "x", paths: ["*"], rules: [], more: 1 }],
      "[0].more is unknown; a view has name, paths and rules",
    ],
    [[{ name: "", paths: ["*"], rules: [] }], "[0].name is not a name"],
    [[{ name: "x", paths: [], rules: [] }], "[0].paths is not a list of globs"],
    [[{ name: "x", paths: ["*"], rules: {} }], "[0].rules is not a list of at most 200 rules"],
    [rules("x"), "[0].rules[0] is not an object"],
    [rules({ as: "txt", path: "a" }), `[0].rules[0].as is not one of ${TARGETS.join(", ")}`],
    [rules({ as: "text", path: "a", wen: {} }), "[0].rules[0].wen is unknown; a rule has as, path, when"],
    [rules({ as: "text", path: "a[0]" }), "[0].rules[0].path is not a path such as"],
    [rules({ as: "text" }), "[0].rules[0].path is not a path such as"],
    [rules({ as: "text", path: "a", when: { "b[*]": 1 } }), '[0].rules[0].when["b[*]"] is not a path'],
    [
      rules({ as: "text", path: "a", unless: { b: {} } }),
      '[0].rules[0].unless["b"] is not a value or a list',
    ],
    [rules({ as: "text", path: "a", when: [] }), "[0].rules[0].when is not an object"],
    [rules({ as: "text", path: "a", choice: "c[*]" }), "[0].rules[0].choice is not a path"],
    [rules({ as: "text", path: "a", part: ["b", 7] }), "[0].rules[0].part is not a path"],
    [
      rules({ as: "text", path: "a", join: "both" }),
      "[0].rules[0].join is not one of append, replace, first, each",
    ],
  ];
  for (const [value, fault] of cases) {
    assert(faultOf(value).startsWith(fault), `${faultOf(value)}, not ${fault}`);
  }
  assertEquals(faultOf(rules(), () => "a glob"), "[0].paths[0] is not a glob");
});

Deno.test("parseViews never throws", () => {
  const key = fc.constantFrom(
    "name",
    "paths",
    "rules",
    "as",
    "path",
    "when",
    "choice",
    "part",
    "join",
    "constructor",
  );
  const value = fc.letrec((tie) => ({
    any: fc.oneof(
      { maxDepth: 5 },
      fc.constantFrom("text", "a[*].b", "", "*", null, 1, true),
      fc.array(tie("any"), { maxLength: 3 }),
      fc.dictionary(key, tie("any"), { maxKeys: 4 }),
    ),
  })).any;
  fc.assert(fc.property(value, (value) => void parseViews(value, noFault)), { numRuns: 500 });
});
