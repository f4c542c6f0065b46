import { assertEquals } from "@std/assert";
import { type LineEnds, LineReader } from "../../src/observe/line_reader.ts";
import { cutInto } from "../support/golden.ts";

/** The lines of this content as [what was kept, length], and what is held of the budget at the end. */
function lines(content: string, { max = 100, budget = 10_000, size = 1_000, ends = "lf" as LineEnds } = {}) {
  let held = 0;
  let stopped = false;
  const found: [string, number][] = [];
  const reader = new LineReader(
    {
      hold: (bytes) => {
        stopped ||= held + bytes > budget;
        if (!stopped) held += bytes;
        return !stopped;
      },
      release: (bytes) => held -= bytes,
    },
    max,
    ends,
  );
  const onLine = (line: Uint8Array, bytes: number) => found.push([new TextDecoder().decode(line), bytes]);
  // Nobody shows anything to an observer that has been stopped.
  for (const read of cutInto(new TextEncoder().encode(content), size)) {
    if (!stopped) reader.push(read, onLine);
  }
  if (!stopped) reader.end(onLine);
  return { found, held };
}

Deno.test("LineReader gives lines without their ends, the last one too, in any cut", () => {
  for (const size of [1, 2, 3, 100]) {
    assertEquals(lines("a\n\nb\r\n\rc\r\r\nlast", { size }), {
      found: [["a", 1], ["", 0], ["b", 1], ["\rc\r", 3], ["last", 4]],
      held: 0,
    }, `in reads of ${size}`);
  }
});

Deno.test("LineReader keeps of a line what it may, and counts the rest", () => {
  for (const size of [1, 7, 100]) {
    assertEquals(lines("0123456789\r\nab\n", { max: 4, size }).found, [["0123", 10], ["ab", 2]]);
  }
});

Deno.test("LineReader stops where the budget has no room, at the same line in any cut", () => {
  for (const size of [1, 300, 1_000]) {
    const { found } = lines(`ab\n${"x".repeat(600)}\ncd\n`, { max: 1_000, budget: 512, size });
    assertEquals(found, [["ab", 2]], `in reads of ${size}`);
  }
});

Deno.test("LineReader takes LF, CR and CRLF for ends where it is to, and no CRLF for two, in any cut", () => {
  for (const size of [1, 2, 3, 4, 5, 100]) {
    assertEquals(lines("a\r\nb\rc\n\r\n\r\rd\n\re", { size, ends: "any" }), {
      found: [["a", 1], ["b", 1], ["c", 1], ["", 0], ["", 0], ["", 0], ["d", 1], ["", 0], ["e", 1]],
      held: 0,
    }, `in reads of ${size}`);
  }
});

Deno.test("LineReader gives a line at its CR, and passes over the LF that comes later", () => {
  const found: string[] = [];
  const reader = new LineReader({ hold: () => true, release: () => {} }, 100, "any");
  const push = (text: string) =>
    reader.push(new TextEncoder().encode(text), (line) => found.push(new TextDecoder().decode(line)));
  push("a\r");
  assertEquals(found, ["a"]);
  push("");
  push("\n");
  assertEquals(found, ["a"]);
  push("\nb\n");
  assertEquals(found, ["a", "", "b"]);
});
