import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { decodePayload } from "../../../src/observe/payload/decode.ts";
import { guardedBy, type SanitizerRule } from "../../../src/observe/payload/sanitizer.ts";

const JSON_TYPE = { kind: "json", charset: null } as const;
const sanitizerOf = (text: string) => {
  const decoded = decodePayload(new TextEncoder().encode(text), JSON_TYPE);
  return decoded.type === "error" ? "error" : decoded.sanitizer;
};

Deno.test("each rule of the sanitizer takes its guards off, in every spelling", () => {
  const guards: Readonly<Record<SanitizerRule, readonly string[]>> = {
    paren_brackets: [")]}'", ")]}'\n", ")]}',\n", ")]}',", " )]}' ,\r\n"],
    while_loop: ["while(1);", "while (1);", "while( 1 ) ;\n", "while(true);", "while(1)"],
    for_loop: ["for(;;);", "for (;;);", "for( ; ; ) ;", "\nfor(;;);\n"],
    comment: ["/**/", "/* guard */\n", "/* {[ */"],
    comment_wrap: [],
  };
  for (const [rule, spellings] of Object.entries(guards)) {
    for (const guard of spellings) {
      for (const json of ['{"a":1}', "[]", '"x"', "null"]) {
        assertEquals(sanitizerOf(guard + json), rule, guard + json);
      }
      assertEquals(sanitizerOf(`${guard}{a}`), "error", `${guard} without JSON`);
    }
  }
  for (const text of ['/*{"a":1}*/', '/*-secure-\n{"a":1}*/', "/* [1, 2] */\n"]) {
    assertEquals(sanitizerOf(text), "comment_wrap", text);
  }
});

Deno.test("what is JSON without its first octets, and no guard before it, stays as it is", () => {
  for (const text of ["false", "[1]", " null", '"while(1);"', '"/* */"', "1"]) {
    assertEquals(sanitizerOf(text), null, text);
  }
  for (const text of [")]}{}", "while(0);{}", "for(;1;);{}", "// x\n{}", "/* {}", "x{}"]) {
    assertEquals(sanitizerOf(text), "error", text);
  }
});

Deno.test("guardedBy looks at no more than two readings of a text", () => {
  assertEquals(guardedBy("/*".repeat(5_000) + "*/".repeat(5_000)).length <= 2, true);
});

Deno.test("decodePayload takes any guard off any JSON, and gives a payload or an error for any octets", () => {
  const guards = fc.constantFrom(
    ["", ""],
    [")]}'\n", ""],
    [")]}',", ""],
    ["while(1);", ""],
    ["for (;;);", ""],
    ["/* x */", ""],
    ["/*", "*/"],
  );
  const encoder = new TextEncoder();
  const json = { kind: "json", charset: null } as const;
  const container = fc.oneof(
    fc.array(fc.jsonValue(), { maxLength: 4 }),
    fc.dictionary(fc.string(), fc.jsonValue()),
  );
  fc.assert(fc.property(guards, container, ([before, after], value) => {
    const text = JSON.stringify(value);
    // What ends a comment ends the guard.
    if (text.includes("*/")) return;
    const decoded = decodePayload(encoder.encode(before + text + after), json);
    assertEquals(decoded.type, "payload", text);
    if (decoded.type !== "payload") return;
    assertEquals([JSON.stringify(decoded.value), decoded.format], [text, "json"]);
    assertEquals(decoded.sanitizer === null, before === "");
  }));
  const kinds = fc.constantFrom("json", "msgpack", "form", "script", "text", "binary", "unknown");
  const charsets = fc.constantFrom(null, "utf-8", "utf-16", "iso-8859-1", "shift_jis", "", "x");
  const parts = fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc.array(fc.constantFrom(")]}'", "while(1)", ";", "/*", "*/", "{", "}", "[", "]", '"', "1e400", ",", ":"))
      .map((all) => encoder.encode(all.join(""))),
  );
  fc.assert(
    fc.property(parts, kinds, charsets, (content, kind, charset) => {
      const decoded = decodePayload(content, { kind, charset });
      // Whatever it is can be written.
      if (decoded.type === "payload") JSON.stringify(decoded.value);
      else assertEquals(/^(json|msgpack|form): /.test(decoded.detail), true, decoded.detail);
    }),
    { numRuns: 2_000 },
  );
});
