import { assertEquals, assertStrictEquals } from "@std/assert";
import fc from "fast-check";
import { LineBuffer } from "../../src/runtime/sinks/line_buffer.ts";

const plainly = (lines: readonly string[]) => new TextEncoder().encode(lines.join(""));

function filled(buffer: LineBuffer, lines: readonly string[]): Uint8Array {
  buffer.clear();
  for (const line of lines) buffer.add(line);
  return buffer.data;
}

Deno.test("LineBuffer gives the octets of the joined lines, time after time, short and long, ASCII or not", () => {
  const buffer = new LineBuffer();
  const line = fc.tuple(
    fc.string({ unit: "binary", maxLength: 20 }),
    fc.constantFrom("a", "é", "→", "😀"),
    fc.nat({ max: 6_000 }),
  ).map(([text, repeated, count]) => `${text}${repeated.repeat(count)}\n`);
  fc.assert(fc.property(fc.array(line, { maxLength: 12 }), (lines) => {
    assertEquals(filled(buffer, lines), plainly(lines));
    assertEquals([buffer.lines, buffer.size], [lines.length, plainly(lines).length]);
  }));
});

Deno.test("LineBuffer may be looked at between lines", () => {
  const buffer = new LineBuffer();
  buffer.add("é\n");
  assertEquals(buffer.data, plainly(["é\n"]));
  buffer.add("b\n");
  assertEquals([buffer.data, buffer.lines], [plainly(["é\n", "b\n"]), 2]);
});

Deno.test("LineBuffer uses its octets again, unless there were many once", () => {
  const buffer = new LineBuffer();
  const first = filled(buffer, ["one\n"]).buffer;
  assertStrictEquals(filled(buffer, ["another\n"]).buffer, first);
  assertEquals(filled(buffer, ["→".repeat(1 << 20)]), plainly(["→".repeat(1 << 20)]));
  assertEquals(filled(buffer, ["small\n"]).buffer.byteLength < 1 << 20, true);
});
