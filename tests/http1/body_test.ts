import { joinBytes } from "../../src/core/bytes.ts";
import { assertEquals, assertStrictEquals } from "@std/assert";
import { assert } from "../../src/core/assert.ts";
import type { Field } from "../../src/http/fields.ts";
import { BodyReader, type BodySink, CHUNK_LINE_BYTES_MAX } from "../../src/http1/body.ts";
import type { Framing } from "../../src/http1/head.ts";
import { cutInto, latin1 } from "../support/golden.ts";

const LIMITS = { maxHeadBytes: 100, maxHeaderFields: 4 };

class Recorder implements BodySink {
  readonly rawParts: Uint8Array[] = [];
  readonly contentParts: Uint8Array[] = [];
  readonly sections: (readonly Field[])[] = [];

  raw(bytes: Uint8Array): void {
    this.rawParts.push(bytes);
  }
  content(bytes: Uint8Array): void {
    this.contentParts.push(bytes);
  }
  trailers(fields: readonly Field[]): void {
    this.sections.push(fields);
  }
  get text(): string {
    return String.fromCharCode(...joinBytes(this.contentParts));
  }
  get forwarded(): string {
    return String.fromCharCode(...joinBytes(this.rawParts));
  }
}

function chunked(): BodyReader {
  return new BodyReader({ type: "chunked" }, LIMITS);
}

Deno.test("BodyReader is done at once where there is no body", () => {
  for (const framing of [{ type: "none" }, { type: "length", length: 0 }] as Framing[]) {
    const sink = new Recorder();
    const body = new BodyReader(framing, LIMITS);
    assertEquals(body.read(latin1("next"), 1, sink), { type: "done", next: 1 });
    assertEquals(body.end(sink), { type: "done" });
    assertEquals(sink.rawParts, []);
  }
});

Deno.test("BodyReader hands out a body of known length as views, and stops at its end", () => {
  const sink = new Recorder();
  const body = new BodyReader({ type: "length", length: 5 }, LIMITS);
  const first = latin1("xhel");
  assertEquals(body.read(first, 1, sink), { type: "more" });
  assertStrictEquals(sink.rawParts[0]?.buffer, first.buffer);
  assertEquals(body.read(latin1("loNEXT"), 0, sink), { type: "done", next: 2 });
  assertEquals([sink.forwarded, sink.text], ["hello", "hello"]);
  assertEquals(body.read(latin1("NEXT"), 0, sink), { type: "done", next: 0 });
});

Deno.test("BodyReader reads until the connection ends where nothing else tells the length", () => {
  const sink = new Recorder();
  const body = new BodyReader({ type: "until_close" }, LIMITS);
  assertEquals(body.read(latin1("a\r\n"), 0, sink), { type: "more" });
  assertEquals(body.read(latin1("0\r\n\r\n"), 0, sink), { type: "more" });
  assertEquals(body.end(sink), { type: "done" });
  assertEquals(sink.text, "a\r\n0\r\n\r\n");
});

Deno.test("BodyReader says that a body was cut off, and keeps saying it", () => {
  for (const framing of [{ type: "length", length: 5 }, { type: "chunked" }] as Framing[]) {
    const body = new BodyReader(framing, LIMITS);
    body.read(latin1("4\r\n"), 0, new Recorder());
    const result = body.end();
    assertEquals(result.type === "error" && [result.code, result.offset], ["truncated_message", 3]);
    assertStrictEquals(body.read(latin1("data"), 0, new Recorder()), result);
  }
});

Deno.test("BodyReader forwards all chunks of a read as one view", () => {
  const sink = new Recorder();
  const data = latin1("x5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nA: b\r\n\r\nNEXT");
  assertEquals(chunked().read(data, 1, sink), { type: "done", next: data.length - 4 });
  assertEquals(sink.rawParts.length, 1);
  assertStrictEquals(sink.rawParts[0]?.buffer, data.buffer);
  assertEquals(sink.forwarded, "5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nA: b\r\n\r\n");
  assertEquals(sink.contentParts.map((part) => part.length), [5, 6]);
  assertEquals(sink.sections, [[["A", "b"]]]);
});

Deno.test("BodyReader forwards chunk data as it comes, and lines only when they are whole", () => {
  const sink = new Recorder();
  const body = chunked();
  const steps: [string, string][] = [
    ["5;a", ""],
    ["=b\r", ""],
    ["\nhe", "5;a=b\r\nhe"],
    ["llo", "llo"],
    ["\r\n3", "\r\n"],
    ["\r\nabc\r\n0", "3\r\nabc\r\n"],
    ["\r\nA:", "0\r\n"],
    [" b\r\n", ""],
    ["\r\n", "A: b\r\n\r\n"],
  ];
  for (const [given, forwarded] of steps) {
    const before = sink.forwarded.length;
    body.read(latin1(given), 0, sink);
    assertEquals(sink.forwarded.slice(before), forwarded, JSON.stringify(given));
  }
  assertEquals(sink.text, "helloabc");
});

Deno.test("BodyReader is done with the last byte of an empty trailer section, and tells of none", () => {
  const sink = new Recorder();
  const body = chunked();
  const reads = cutInto(latin1("1\r\na\r\n0\r\n\r\n"), 1);
  const results = reads.map((read) => body.read(read, 0, sink).type);
  assertEquals(results.indexOf("done"), reads.length - 1);
  assertEquals(sink.sections, []);
});

Deno.test("BodyReader gives what was valid before an error, then only the error", () => {
  for (const size of [1, 2, 3, 5, 100]) {
    const sink = new Recorder();
    const body = chunked();
    const results = cutInto(latin1("5\r\nhello\r\n5;=\r\nworld\r\n"), size).map((read) =>
      body.read(read, 0, sink)
    );
    const last = results.at(-1);
    assert(last?.type === "error", "it is an error");
    assertEquals([last.code, last.offset], ["invalid_chunk_extension", 12]);
    assertEquals([sink.forwarded, sink.text], ["5\r\nhello\r\n", "hello"]);
  }
});

Deno.test("BodyReader allows a chunk-size line of exactly its limit, and not one byte more", () => {
  for (const size of [1, 1000, 10000]) {
    for (const [extra, type] of [[0, "done"], [1, "error"]] as const) {
      const line = `0;${"a".repeat(CHUNK_LINE_BYTES_MAX - 4 + extra)}\r\n`;
      const sink = new Recorder();
      const body = chunked();
      const results = cutInto(latin1(`${line}\r\n`), size).map((read) => body.read(read, 0, sink));
      assertEquals(results.at(-1)?.type, type);
      assertEquals(sink.forwarded.length, type === "done" ? line.length + 2 : 0);
    }
  }
});

Deno.test("BodyReader takes sizes up to 2^53-1", () => {
  for (
    const [size, type] of [["1fffffffffffff", "more"], ["20000000000000", "error"], [
      "f".repeat(400),
      "error",
    ]]
  ) {
    assertEquals(chunked().read(latin1(`${size}\r\nx`), 0, new Recorder()).type, type);
  }
});

Deno.test("BodyReader takes empty reads", () => {
  const sink = new Recorder();
  for (
    const framing of [{ type: "length", length: 5 }, { type: "chunked" }, {
      type: "until_close",
    }] as Framing[]
  ) {
    assertEquals(new BodyReader(framing, LIMITS).read(latin1("ab"), 2, sink), { type: "more" });
  }
  assertEquals(sink.rawParts, []);
});
