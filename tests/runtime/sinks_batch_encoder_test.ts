import { assertEquals, assertStrictEquals } from "@std/assert";
import fc from "fast-check";
import { BatchEncoder } from "../../src/runtime/sinks/batch_encoder.ts";

const plainly = (lines: readonly string[]) => new TextEncoder().encode(lines.join(""));

Deno.test("BatchEncoder gives the octets of the joined lines, batch after batch, short and long, ASCII or not", () => {
  const encoder = new BatchEncoder();
  const line = fc.tuple(
    fc.string({ unit: "binary", maxLength: 20 }),
    fc.constantFrom("a", "é", "→", "😀"),
    fc.nat({ max: 6_000 }),
  ).map(([text, repeated, count]) => `${text}${repeated.repeat(count)}\n`);
  fc.assert(fc.property(fc.array(line, { maxLength: 12 }), (lines) => {
    assertEquals(encoder.encode(lines), plainly(lines));
  }));
});

Deno.test("BatchEncoder uses its buffer again, unless it had to be large once", () => {
  const encoder = new BatchEncoder();
  const first = encoder.encode(["one\n"]).buffer;
  assertStrictEquals(encoder.encode(["another\n"]).buffer, first);
  const large = encoder.encode(["→".repeat(1 << 20)]);
  assertEquals(large, plainly(["→".repeat(1 << 20)]));
  assertEquals(encoder.encode(["small\n"]).buffer.byteLength < 1 << 20, true);
});
