import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { visible, visibleJson } from "../../src/log/visible.ts";

const anyText = fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 40 })
  .map((codes) => String.fromCharCode(...codes));

Deno.test("visible spells out what could steer a terminal and leaves the rest", () => {
  assertEquals(visible("GET /ä?x=😀"), "GET /ä?x=😀");
  assertEquals(visible("\x1b[2J\x07\r\n\x7f\x9b31m"), "\\x1b[2J\\x07\\x0d\\x0a\\x7f\\x9b31m");
  assertEquals(
    visible("a\u202eb\u2028\u200b\u{e0041}\ud800"),
    "a\\u{202e}b\\u{2028}\\u{200b}\\u{e0041}\\u{d800}",
  );
});

Deno.test("visible leaves no control, format or surrogate character in any text", () => {
  fc.assert(fc.property(anyText, (text) => {
    for (const character of visible(text)) {
      const code = character.codePointAt(0)!;
      assert(code >= 0x20 && !(code >= 0x7f && code < 0xa0), `U+${code.toString(16)}`);
      assert(!(code >= 0xd800 && code < 0xe000) && !/\p{Cf}/u.test(character), `U+${code.toString(16)}`);
    }
  }));
});

Deno.test("visibleJson is the same JSON, and nothing in it steers a terminal", () => {
  assertEquals(visibleJson('"ä😀"'), '"ä😀"');
  fc.assert(fc.property(anyText, (text) => {
    const json = visibleJson(JSON.stringify({ [text]: text }));
    assertEquals(JSON.parse(json), { [text]: text });
    assertEquals(visible(json), json);
  }));
  const all = "\x1b\x7f\x9b2J\u202e\u2028\u{e0041}\ud800";
  assertEquals(JSON.parse(visibleJson(JSON.stringify(all))), all);
  assertEquals(visibleJson('"\x9b\u{e0041}"'), '"\\u009b\\udb40\\udc41"');
});
