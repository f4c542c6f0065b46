import { assertEquals } from "@std/assert";
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
