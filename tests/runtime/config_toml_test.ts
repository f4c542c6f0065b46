import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { parse as parseStandardToml } from "@std/toml";
import fc from "fast-check";
import type { ConfigNode, SyntaxProblem } from "../../src/runtime/config/node.ts";
import { quoteToml } from "../../src/runtime/config/print.ts";
import { TextCursor } from "../../src/runtime/config/text_cursor.ts";
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

Deno.test("parseToml reads what TOML 1.0 allows", () => {
  const cases: [string, unknown][] = [
    ["", {}],
    ["# only a comment", {}],
    ["a = 1", { a: 1 }],
    ["a = 1\r\nb = 2\r\n", { a: 1, b: 2 }],
    ["  a\t=\t1 # why\n\n\nb=2", { a: 1, b: 2 }],
    ["a.b.c = 1\na.b.d = 2\na . e = 3", { a: { b: { c: 1, d: 2 }, e: 3 } }],
    ['"a.b" = 1\n\'c d\' = 2\n"" = 3', { "a.b": 1, "c d": 2, "": 3 }],
    ["1234 = 1\n-x_ = 2", { "1234": 1, "-x_": 2 }],
    ["[a]\nb = 1\n[a.c]\nd = 2\n[ e . f ]\ng = 3", { a: { b: 1, c: { d: 2 } }, e: { f: { g: 3 } } }],
    ["[a.b]\nc = 1\n[a]\nd = 2", { a: { b: { c: 1 }, d: 2 } }],
    ["[[a]]\nb = 1\n[[a]]\nb = 2\n[a.c]\nd = 3\n[[a.e]]\nf = 4", {
      a: [{ b: 1 }, { b: 2, c: { d: 3 }, e: [{ f: 4 }] }],
    }],
    ["[a]\nb.c = 1\n[a.b.d]\ne = 1", { a: { b: { c: 1, d: { e: 1 } } } }],
    ["a = []\nb = [1, 2, ]\nc = [ # x\n  1 # y\n  , [2, 'z'],\n]", { a: [], b: [1, 2], c: [1, [2, "z"]] }],
    ["a = {}\nb = { c = 1, d.e = 2 , 'f' = {g=3} }", { a: {}, b: { c: 1, d: { e: 2 }, f: { g: 3 } } }],
    ["a = true\nb = false", { a: true, b: false }],
    ["a = 0\nb = +1\nc = -17\nd = 1_000\ne = 0xdead_BEEF\nf = 0o755\ng = 0b1_0", {
      a: 0,
      b: 1,
      c: -17,
      d: 1000,
      e: 0xdeadbeef,
      f: 0o755,
      g: 2,
    }],
    ["a = 1.5\nb = -0.01\nc = 5e+2\nd = 1E3\ne = 6.2_5e-1\nf = inf\ng = -inf\nh = nan", {
      a: 1.5,
      b: -0.01,
      c: 500,
      d: 1000,
      e: 0.625,
      f: Infinity,
      g: -Infinity,
      h: NaN,
    }],
    ['a = "\\b\\t\\n\\f\\r\\"\\\\\\u00e9\\U0001F600"', { a: '\b\t\n\f\r"\\é😀' }],
    ["a = 'C:\\no\\escape'", { a: "C:\\no\\escape" }],
    ['a = """\none\ntwo \\\n   three"""', { a: "one\ntwo three" }],
    ['a = """""two"""""', { a: '""two""' }],
    ["a = '''\n'one' \\n\n'''", { a: "'one' \\n\n" }],
    ["a = '''''two'''''", { a: "''two''" }],
    ['a = "tab\there # no comment"', { a: "tab\there # no comment" }],
    ["a = 1979-05-27T07:32:00Z", { a: "the date 1979-05-27T07:32:00Z" }],
    ["a = 1979-05-27 07:32:00.5+01:00", { a: "the date 1979-05-27 07:32:00.5+01:00" }],
    ["a = 1979-05-27 # day", { a: "the date 1979-05-27" }],
    ["a = 07:32:00", { a: "the time 07:32:00" }],
    ["__proto__ = 1\nconstructor.x = 2", JSON.parse('{"__proto__": 1, "constructor": {"x": 2}}')],
  ];
  for (const [text, expected] of cases) assertEquals(plain(parseToml(text)), expected, text);
});

Deno.test("parseToml refuses what TOML 1.0 forbids, with line, column and what was found", () => {
  const cases: [string, string][] = [
    ["a", '1:2: found the end of the file where the key needs a "="'],
    ["a =", "1:4: found the end of the file where a value is needed"],
    ["= 1", '1:1: found "=" where a key is needed'],
    ["a = 1 b = 2", '1:7: found "b" where the line should end'],
    ["a = 1\n\na = 2", "3:1: a is already set in line 1"],
    ["[a]\nb = 1\n[a]", "3:2: a is already set in line 1"],
    ["a = 1\n[a]", "2:2: a is already set in line 1"],
    ["a = 1\n[a.b]", "2:2: a.b is already set in line 1"],
    ["a.b = 1\n[a]", "2:2: a is already set in line 1"],
    ["[a.b]\nc = 1\n[a]\nb.d = 2", "4:1: b.d is already set in line 1"],
    ["a = { b = 1 }\n[a.c]", "2:2: a.c is already set in line 1"],
    ["a = { b.c = 1 }\na.b.d = 2", "2:1: a.b.d is already set in line 1"],
    ["a = []\n[[a]]", "2:3: a is already set in line 1"],
    ["[a]\n[[a]]", "2:3: a is already set in line 1"],
    ["[[a]]\n[a]", "2:2: a is already set in line 1"],
    ["a = { b = 1, b = 2 }", "1:14: b is already set in line 1"],
    ["a = { b = 1,\n c = 2 }", "1:13: found the end of the line where a key is needed"],
    ["a = { b = 1, }", '1:14: found "}" where a key is needed'],
    ["a = [1 2]", '1:8: found "2" where the list needs a "," or "]"'],
    ["a = [1,\n2", "2:2: the list opened in line 1 is not closed"],
    ["[a", "1:3: found the end of the file where the header needs its ]"],
    ["[[a]", '1:4: found "]" where the header needs its ]]'],
    ["[]", '1:2: found "]" where a key is needed'],
    ["a = strict", '1:5: found strict, which is no TOML value; text needs quotes: "strict"'],
    ["a = 30s", '1:5: found 30s, which is no TOML value; text needs quotes: "30s"'],
    ["a = 01", "1:5: found 01, which is no TOML value"],
    ["a = 1__0", "1:5: found 1__0, which is no TOML value"],
    ["a = 1.", "1:5: found 1., which is no TOML value"],
    ["a = True", "1:5: found True, which is no TOML value"],
    ['a = "x', "1:5: the string is not closed on its line"],
    ["a = 'x\ny'", "1:5: the string is not closed on its line"],
    ['a = """x', "1:5: the multi-line string is not closed"],
    ['a = "\\q"', "1:6: found the escape \\q; allowed are"],
    ['a = "\\uD800"', "1:6: found the escape \\u; allowed are"],
    ['a = "\\U00110000"', "1:6: found the escape \\U; allowed are"],
    ['a = "\x01"', '1:6: a string cannot hold the control character "\\u0001"'],
    ["a = 1 # \x07", '1:9: found "\\u0007" where the line should end'],
    ["a = 1\rb = 2", '1:6: found "\\r" where the line should end'],
    ['"""a""" = 1', "1:1: a key cannot be a multi-line string"],
    ["\ufeffa = 1", '1:1: found "\ufeff" where a key is needed'],
    [`a = ${"[".repeat(34)}`, "1:38: values nested more than 32 deep"],
    [`a = ${"[".repeat(100_000)}`, "1:38: values nested more than 32 deep"],
    [`${"a.".repeat(40)}b = 1`, "1:1: a key of more than 32 parts"],
  ];
  for (const [text, expected] of cases) {
    const found = plain(parseToml(text));
    assert(typeof found === "string", `${JSON.stringify(text.slice(0, 80))} was accepted`);
    assertStringIncludes(found, expected);
  }
});

Deno.test("parseToml says on which line each value stands", () => {
  const root = parseToml('\na = 1\n\n[b]\nc = """\n\n"""\nd = [\n  2,\n\n  3]\n');
  if (root.type !== "table") throw new Error(root.detail);
  assertEquals(root.entries.get("a")?.line, 2);
  const b = root.entries.get("b");
  if (b?.type !== "table") throw new Error("b is no table");
  assertEquals(b.line, 4);
  assertEquals(b.entries.get("c")?.line, 5);
  const d = b.entries.get("d");
  if (d?.type !== "list") throw new Error("d is no list");
  assertEquals([d.line, ...d.items.map((item) => item.line)], [8, 9, 11]);
});

const TOML_PIECES = [
  "a",
  "b.c",
  '"d e"',
  " = ",
  "1",
  "-1.5e3",
  "true",
  '"text"',
  "'literal'",
  '"""',
  "'''",
  "[",
  "]",
  "[[",
  "]]",
  "{",
  "}",
  ",",
  "\n",
  "\r\n",
  "#",
  " ",
  "\\",
  "\\u00e9",
  "1979-05-27",
  "\0",
  "é",
  "😀",
];

Deno.test("parseToml is total: any text gives a table or a problem inside the text", () => {
  const text = fc.array(fc.oneof(fc.constantFrom(...TOML_PIECES), fc.string()), { maxLength: 40 })
    .map((pieces) => pieces.join(""));
  fc.assert(
    fc.property(text, (text) => {
      const result = parseToml(text);
      if (result.type === "table") return;
      assert(result.line >= 1 && result.line <= text.split("\n").length);
      assert(result.column >= 1 && result.column <= text.length + 1);
    }),
    { numRuns: 2_000 },
  );
});

Deno.test("parseToml agrees with the standard library's parser on documents without its quirks", () => {
  const scalar = fc.oneof(
    fc.integer(),
    fc.boolean(),
    fc.string({ unit: "grapheme" }),
    fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0.5),
  );
  const name = fc.stringMatching(/^[a-z][a-z0-9_-]{0,8}$/);
  const document = fc.dictionary(
    name,
    fc.dictionary(name, fc.oneof(scalar, fc.array(scalar, { minLength: 1 }))),
  );
  const write = (value: unknown): string => {
    if (Array.isArray(value)) return `[${value.map(write).join(", ")}]`;
    return typeof value === "string" ? quoteToml(value) : String(value);
  };
  fc.assert(fc.property(document, (document) => {
    const text = Object.entries(document).map(([section, values]) =>
      `[${section}]\n${Object.entries(values).map(([key, value]) => `${key} = ${write(value)}\n`).join("")}`
    ).join("\n");
    const expected = JSON.parse(JSON.stringify(parseStandardToml(text)));
    assertEquals(JSON.parse(JSON.stringify(plain(parseToml(text)))), expected);
  }));
});

Deno.test("parseToml takes time in proportion to the text", () => {
  const rules = Array.from({ length: 10_000 }, (_, index) => `[[policy.rules]]\nid = "r${index}"\n`).join("");
  const text = `${rules}\n${"# comment\n".repeat(30_000)}x = [${"1,".repeat(100_000)}]\n`;
  const started = performance.now();
  assertEquals(parseToml(text).type, "table");
  assert(performance.now() - started < 2_000);
});

Deno.test("TextCursor knows its line wherever it is, and describes what is there", () => {
  const cursor = new TextCursor("a\nb\r\n😀");
  assertEquals([cursor.line(), cursor.describeHere()], [1, '"a"']);
  assertEquals([cursor.take("b"), cursor.take("a\n"), cursor.line()], [false, true, 2]);
  assertEquals([cursor.match(/[a-z]+/y), cursor.match(/[a-z]+/y)], ["b", ""]);
  assertEquals(cursor.describeHere(), "the end of the line");
  cursor.take("\r\n");
  assertEquals([cursor.line(), cursor.describeHere()], [3, '"😀"']);
  cursor.take("😀");
  assertEquals([cursor.ended, cursor.here, cursor.describeHere()], [true, "", "the end of the file"]);
});
