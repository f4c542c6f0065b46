import { assertEquals, assertStrictEquals } from "@std/assert";
import { assert } from "../../src/core/assert.ts";
import { HeadReader, type HeadReaderOptions } from "../../src/http1/head_reader.ts";
import { cutInto, latin1 } from "../support/golden.ts";

const HEAD = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";

function reader(options: Partial<HeadReaderOptions> = {}): HeadReader {
  return new HeadReader({ maxHeadBytes: 1000, ...options });
}

/** Pushes reads until something other than `more` comes; tells what, and in which read. */
function pushAll(target: HeadReader, reads: readonly Uint8Array[]) {
  for (const [index, read] of reads.entries()) {
    const result = target.push(read, 0);
    if (result.type !== "more") return { index, result };
  }
  return null;
}

Deno.test("HeadReader gives a view of a head that lies whole in the data, and where it ends", () => {
  const data = latin1(`xx${HEAD}rest`);
  const result = reader().push(data, 2);
  assert(result.type === "head", "it is a head");
  assertStrictEquals(result.bytes.buffer, data.buffer);
  assertEquals(result.bytes, latin1(HEAD));
  assertEquals(result.next, 2 + HEAD.length);
});

Deno.test("HeadReader joins a head that comes in pieces, of whatever size", () => {
  for (let size = 1; size < HEAD.length; size++) {
    const found = pushAll(reader(), cutInto(latin1(HEAD), size));
    assert(found?.result.type === "head", "it is a head");
    assertEquals(found.result.bytes, latin1(HEAD));
  }
});

Deno.test("HeadReader counts what it holds, and nothing after a head or a reset", () => {
  const heads = reader();
  assertEquals(heads.push(latin1(HEAD.slice(0, 5)), 0).type, "more");
  assertEquals(heads.push(latin1(HEAD.slice(5, 9)), 0).type, "more");
  assertEquals(heads.buffered, 9);
  heads.reset();
  assertEquals(heads.buffered, 0);
  assertEquals(heads.push(latin1(HEAD), 0).type, "head");
  assertEquals(heads.buffered, 0);
});

Deno.test("HeadReader does not overwrite a head it gave out when it reads the next", () => {
  const heads = reader();
  const first = pushAll(heads, cutInto(latin1(HEAD), 7));
  pushAll(heads, cutInto(latin1(HEAD.replace("a.test", "b.test")), 5));
  assert(first?.result.type === "head", "it is a head");
  assertEquals(first.result.bytes, latin1(HEAD));
});

Deno.test("HeadReader finds a bad octet in the read that brings it", () => {
  for (
    const [text, code] of [
      ["GET / HTTP/1.1\n", "bare_lf"],
      ["GET / HTTP/1.1\r\nA: b\n", "bare_lf"],
      ["GET / HTTP/1.1\r\n\n", "bare_lf"],
      ["GET / HTTP/1.1\rX", "bare_cr"],
      ["GET / HTTP/1.1\r\n\rX", "bare_cr"],
      ["GET / HTTP/1.1\r\r", "bare_cr"],
      ["GET \0", "nul_byte"],
      ["\0", "nul_byte"],
      ["GET / HTTP/1.1\r\n\x01", "control_byte"],
      ["\x16", "control_byte"],
    ] as const
  ) {
    const reads = cutInto(latin1(text), 1);
    const found = pushAll(reader(), reads);
    assertEquals([found?.index, found?.result.type === "error" && found.result.code], [
      reads.length - 1,
      code,
    ]);
  }
});

Deno.test("HeadReader passes a head of exactly the limit, whole and in pieces", () => {
  const limits = { maxHeadBytes: HEAD.length };
  assertEquals(reader(limits).push(latin1(`${HEAD}next`), 0).type, "head");
  assertEquals(pushAll(reader(limits), cutInto(latin1(HEAD), 1))?.result.type, "head");
});

Deno.test("HeadReader refuses a head one byte over the limit, with the byte that is too many", () => {
  const limits = { maxHeadBytes: HEAD.length - 1 };
  for (const size of [1, 5, HEAD.length]) {
    const found = pushAll(reader(limits), cutInto(latin1(HEAD), size));
    assert(found?.result.type === "error", "it is an error");
    assertEquals(found.result.code, "head_too_large");
    assertEquals(found.result.offset, limits.maxHeadBytes);
    assertEquals(found.index, Math.ceil(HEAD.length / size) - 1);
  }
});

Deno.test("HeadReader never holds more than the limit", () => {
  const heads = reader({ maxHeadBytes: 100 });
  for (let count = 0; count < 300; count++) {
    heads.push(latin1("x"), 0);
    assert(heads.buffered <= 100, `${heads.buffered} bytes are held`);
  }
  assertEquals(heads.buffered, 0);
});

Deno.test("HeadReader keeps its error until it is reset", () => {
  const heads = reader();
  const error = heads.push(latin1("\0"), 0);
  assertStrictEquals(heads.push(latin1(HEAD), 0), error);
  heads.reset();
  assertEquals(heads.push(latin1(HEAD), 0).type, "head");
});

Deno.test("HeadReader skips up to eight empty lines before a request, outside the head's limit", () => {
  const options = { allowLeadingCrlf: true, maxHeadBytes: HEAD.length };
  for (const size of [1, 3, 100]) {
    const found = pushAll(reader(options), cutInto(latin1("\r\n".repeat(8) + HEAD), size));
    assert(found?.result.type === "head", "it is a head");
    assertEquals(found.result.bytes, latin1(HEAD));
    const tooMany = pushAll(reader(options), cutInto(latin1("\r\n".repeat(9) + HEAD), size));
    assertEquals(tooMany?.result.type === "error" && tooMany.result.code, "malformed_start_line");
  }
});

Deno.test("HeadReader counts empty lines anew for each head", () => {
  const heads = reader({ allowLeadingCrlf: true });
  for (let count = 0; count < 3; count++) {
    assertEquals(heads.push(latin1("\r\n".repeat(5) + HEAD), 0).type, "head");
  }
});

Deno.test("HeadReader refuses an empty line before a response", () => {
  const result = reader().push(latin1(`\r\n${HEAD}`), 0);
  assertEquals(result.type === "error" && result.code, "malformed_start_line");
});

Deno.test("HeadReader reads a trailer section, which may be empty", () => {
  for (const text of ["\r\n", "A: b\r\n\r\n"]) {
    const data = latin1(`${text}rest`);
    const result = reader({ trailers: true }).push(data, 0);
    assertEquals(result.type === "head" && result.next, text.length);
  }
  const over = reader({ trailers: true, maxHeadBytes: 7 }).push(latin1("A: b\r\n\r\n"), 0);
  assertEquals(over.type === "error" && over.code, "trailer_too_large");
});

Deno.test("HeadReader takes empty reads", () => {
  const heads = reader();
  assertEquals(heads.push(new Uint8Array(0), 0).type, "more");
  assertEquals(heads.push(latin1(HEAD), HEAD.length).type, "more");
  assertEquals(heads.buffered, 0);
});
