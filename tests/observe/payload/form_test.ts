import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { FORM_FIELDS_MAX, parseForm } from "../../../src/observe/payload/form.ts";

const encoder = new TextEncoder();
const undeclared = () => null;
const parsed = (text: string) => parseForm(encoder.encode(text), undeclared);

Deno.test("parseForm gives what the platform's parser gives, wherever that loses nothing", () => {
  const text = fc.array(
    fc.oneof(
      fc.constantFrom("&", "=", "+", "%", "%4", "%41", "%c3%a9", "%C3", "?", "é", " ", "%00"),
      fc.string(),
    ),
    { maxLength: 12 },
  ).map((parts) => parts.join(""));
  fc.assert(
    fc.property(text, (form) => {
      // A search begins with a question mark; a form does not.
      const fields = [...new URLSearchParams(`&${form.toWellFormed()}`)];
      if (fields.flat().some((part) => part.includes("\ufffd"))) return;
      assertEquals(parsed(form), { type: "value", value: fields });
    }),
    { numRuns: 2_000 },
  );
});

Deno.test("parseForm gives a value for any octets, and keeps those of what is no text", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), (content) => {
    assertEquals(parseForm(content, undeclared).type, "value");
  }));
  assertEquals(parsed("a=%ff%41"), { type: "value", value: [["a", { bin: "/0E=" }]] });
});

Deno.test("parseForm reads so many fields, and not one more; what is empty is none", () => {
  const fields = Array.from({ length: FORM_FIELDS_MAX }, () => "a=1").join("&&&");
  const value = parsed(fields);
  assertEquals(value.type === "value" && Array.isArray(value.value) && value.value.length, FORM_FIELDS_MAX);
  assertEquals(parsed(`${fields}&b`).type, "error");
});
