import { joinBytes } from "../../../src/core/bytes.ts";
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { Base64Reader } from "../../../src/observe/grpc/base64_reader.ts";
import { cutInto, latin1 } from "../../support/golden.ts";

function read(text: string, size = text.length) {
  const reader = new Base64Reader();
  const decoded = joinBytes(cutInto(latin1(text), Math.max(1, size)).map((part) => reader.push(part)));
  return { decoded: [...decoded], failed: reader.failed, incomplete: reader.incomplete };
}

Deno.test("Base64Reader takes off what the platform puts on, flushed and padded anywhere, in any cut", () => {
  const parts = fc.array(fc.uint8Array({ maxLength: 20 }));
  fc.assert(fc.property(parts, fc.integer({ min: 1, max: 9 }), (parts, size) => {
    const text = parts.map((part) => part.toBase64()).join("");
    assertEquals(read(text, size), { decoded: [...joinBytes(parts)], failed: false, incomplete: false });
  }));
});

Deno.test("Base64Reader passes over white space", () => {
  assertEquals(read(" Y W\r\nJj\t"), { decoded: [97, 98, 99], failed: false, incomplete: false });
});

Deno.test("Base64Reader gives what came before a character that is none, and nothing after it", () => {
  for (const text of ["YWJj-YWJj", "YWJjY=Jj", "YWJj=AAA", "YWJjYQ=a", "YWJj\x80", "YWJj\x00"]) {
    const expected = { decoded: [97, 98, 99], failed: true };
    for (const size of [1, 2, 3, text.length]) {
      const { decoded, failed } = read(text, size);
      assertEquals({ decoded, failed }, expected, `${text} in reads of ${size}`);
    }
  }
  assertEquals(read("AAA").incomplete, true);
});

Deno.test("Base64Reader is as strict as the platform about what is whole", () => {
  const character = fc.constantFrom(..."AZaz09+/==-_ ");
  const text = fc.array(character, { maxLength: 12 }).map((characters) => characters.join(""));
  fc.assert(fc.property(text, (text) => {
    // Without padding before the end, which one value cannot have and a stream can.
    fc.pre(!/=\s*[^=\s]/.test(text));
    let expected: number[] | null = null;
    try {
      expected = [...Uint8Array.fromBase64(text, { lastChunkHandling: "loose" })];
    } catch {
      // Not base64.
    }
    const { decoded, failed, incomplete } = read(text);
    if (expected === null) assertEquals(failed || incomplete, true);
    else if (!incomplete) assertEquals([decoded, failed], [expected, false]);
  }));
});
