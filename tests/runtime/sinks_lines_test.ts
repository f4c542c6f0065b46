import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { readLines, readTail, type SeekableReader } from "../../src/runtime/sinks/lines.ts";

/** A file in memory that gives at most `step` bytes at a time. */
class MemoryFile implements SeekableReader {
  #position = 0;
  constructor(readonly content: Uint8Array, readonly step: number) {}

  read(buffer: Uint8Array): Promise<number | null> {
    const count = Math.min(buffer.length, this.step, this.content.length - this.#position);
    if (count === 0) return Promise.resolve(null);
    buffer.set(this.content.subarray(this.#position, this.#position + count));
    this.#position += count;
    return Promise.resolve(count);
  }

  seek(offset: number, whence: Deno.SeekMode): Promise<number> {
    assertEquals(whence, Deno.SeekMode.Start);
    this.#position = offset;
    return Promise.resolve(offset);
  }
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

Deno.test("readLines gives each line with its offset, whatever the size of reads", async () => {
  const content = fc.array(fc.constantFrom("a", "bc", "\n", "é", "\n\n"), { maxLength: 30 })
    .map((parts) => encoder.encode(parts.join("")));
  await fc.assert(
    fc.asyncProperty(content, fc.integer({ min: 1, max: 40 }), fc.nat(10), async (bytes, step, skip) => {
      const from = Math.min(skip, bytes.length);
      const lines: string[] = [];
      for await (const line of readLines(new MemoryFile(bytes, step), from)) {
        assertEquals(bytes.subarray(line.byteOffset, line.byteOffset + line.bytes.length), line.bytes);
        const ended = bytes[line.byteOffset + line.bytes.length] === 10;
        assertEquals(line.end, ended ? "newline" : "file");
        lines.push(decoder.decode(line.bytes));
      }
      const expected = decoder.decode(bytes.subarray(from)).split("\n");
      if (expected.at(-1) === "") expected.pop();
      assertEquals(lines, expected);
    }),
  );
});

Deno.test("readLines gives a line that is longer than its buffer", async () => {
  const long = "x".repeat(700_000);
  const lines: number[] = [];
  for await (const line of readLines(new MemoryFile(encoder.encode(`a\n${long}\n${long}`), 65_536))) {
    lines.push(line.bytes.length);
  }
  assertEquals(lines, [1, 700_000, 700_000]);
});

Deno.test("readTail finds the last whole line and what is torn behind it, however long they are", async () => {
  const long = "y".repeat(200_000);
  const cases: readonly [content: string, lastLine: string | null, torn: string][] = [
    ["", null, ""],
    ["torn", null, "torn"],
    ["a\n", "a", ""],
    ["\n", "", ""],
    ["a\nb\n", "b", ""],
    ["a\nb\nc", "b", "c"],
    [`a\n${long}\n`, long, ""],
    [`${long}\nb\n${long}`, "b", long],
    [`${long}\n${long}\n${long}`, long, long],
  ];
  for (const [content, lastLine, torn] of cases) {
    const bytes = encoder.encode(content);
    const tail = (await readTail(new MemoryFile(bytes, 1000), bytes.length))!;
    assertEquals(
      [tail.lastLine, decoder.decode(tail.torn), tail.wholeBytes],
      [lastLine, torn, content.length - torn.length],
    );
  }
});
