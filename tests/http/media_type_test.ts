import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { fieldValues, mediaTypeOf, parseMediaType } from "../../src/http/media_type.ts";

const parsed = (value: string) => {
  const type = parseMediaType(value);
  return type === null ? null : [type.essence, Object.fromEntries(type.parameters)];
};

Deno.test("parseMediaType gives the essence in lower case and the parameters, unquoted, the first of a name", () => {
  assertEquals(parsed("Text/HTML;Charset=UTF-8"), ["text/html", { charset: "UTF-8" }]);
  assertEquals(parsed(' application/json ; a="x\\"y;z" ;b=1; A=2'), ["application/json", {
    a: 'x"y;z',
    b: "1",
  }]);
  assertEquals(parsed("application/grpc+proto"), ["application/grpc+proto", {}]);
  assertEquals(parsed("text/plain;"), ["text/plain", {}]);
  assertEquals(parsed('text/plain;a="open;b=1'), ["text/plain", { a: "" }]);
});

Deno.test("parseMediaType gives null for what is none", () => {
  for (const value of ["", "json", "/", "a/", "/b", "a b/c", "a/b/c", "text/plain x"]) {
    assertEquals(parsed(value), null, value);
  }
});

Deno.test("parseMediaType takes any text", () => {
  fc.assert(fc.property(fc.string(), (value) => {
    parseMediaType(value);
    parseMediaType(`a/b;${value}`);
  }));
});

Deno.test("mediaTypeOf goes by the first content-type, fieldValues gives all in any case", () => {
  const fields = [["Content-Type", "a/b"], ["X", "1"], ["content-type", "c/d"]] as const;
  assertEquals(mediaTypeOf(fields)?.essence, "a/b");
  assertEquals(mediaTypeOf([["X", "1"]]), null);
  assertEquals(fieldValues(fields, "content-type"), ["a/b", "c/d"]);
});
