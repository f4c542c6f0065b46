import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { assert } from "../../src/core/assert.ts";
import type { Field } from "../../src/http/fields.ts";
import { HpackDecoder } from "../../src/http2/hpack_decoder.ts";
import { encodeFieldBlock, type EncodeOptions } from "../../src/http2/hpack_encoder.ts";

const LIMITS = { maxHeaderListSize: 1_000_000, maxHeaderFields: 1000, maxTableBytes: 65_536 };

function encode(fields: readonly Field[], options?: EncodeOptions): string {
  return encodeFieldBlock(fields.map((field) => ({ field, neverIndexed: false })), options).toHex();
}

Deno.test("encodeFieldBlock uses whole static fields, static names, and literals that are not indexed", () => {
  assertEquals(
    encode([[":method", "GET"], [":status", "200"], ["accept-encoding", "gzip, deflate"]]),
    "828890",
  );
  assertEquals(encode([[":status", "302"]]), "08826402");
  assertEquals(encode([[":path", "/sample/path"]]).slice(0, 4), "0489");
  assertEquals(encode([["www-authenticate", "\0"]]), "0f2e0100", "an index over the prefix");
  assertEquals(encode([["\xff", ""]]), "0001ff00", "Huffman code only where it is shorter");
  assertEquals(encode([[":status", "403"]]), "0803343033");
  assertEquals(encode([["content-type", ""]]), "9f");
});

Deno.test("encodeFieldBlock keeps a never-indexed field a literal even where a table has it", () => {
  const block = encodeFieldBlock([{ field: [":method", "GET"], neverIndexed: true }]);
  assertEquals(block.toHex(), "1203474554");
  const decoded = new HpackDecoder("client", LIMITS).decode(block, 1);
  assert(decoded.type === "fields", "it decodes");
  assertEquals(decoded.fields.map(({ field, neverIndexed }) => [...field, neverIndexed]), [[
    ":method",
    "GET",
    true,
  ]]);
});

Deno.test("encodeFieldBlock begins with a table size update to 0 where it is asked to", () => {
  assertEquals(encode([], { emptyTable: true }), "20");
  assertEquals(encode([[":path", "/"]], { emptyTable: true }), "2084");
  const decoder = new HpackDecoder("client", LIMITS);
  decoder.decode(Uint8Array.fromHex("40016101624001630164"), 1);
  assertEquals(decoder.tableSize, 68);
  decoder.setTableLimit(10);
  decoder.setTableLimit(5000);
  const decoded = decoder.decode(Uint8Array.fromHex(encode([["x", "y"]], { emptyTable: true })), 1);
  assert(decoded.type === "fields", "an update that is owed is paid by 0");
  assertEquals([decoder.tableSize, decoder.tableMaxSize], [0, 0]);
});

Deno.test("encodeFieldBlock gives what decodes to the same list, and touches no table", () => {
  const octets = fc.string({ unit: fc.nat(255).map((code) => String.fromCharCode(code)), maxLength: 300 });
  const name = fc.oneof(octets, fc.constantFrom(":method", "cookie", "x-a", "via", "etag"));
  const value = fc.oneof(octets, fc.constantFrom("GET", "", "POST", "a=b; c=d"));
  fc.assert(fc.property(fc.array(fc.tuple(name, value, fc.boolean()), { maxLength: 20 }), (list) => {
    const decoder = new HpackDecoder("server", LIMITS);
    decoder.decode(Uint8Array.fromHex("4001610162"), 1);
    const fields = list.map(([name, value, neverIndexed]) => ({
      field: [name, value] as const,
      neverIndexed,
    }));
    const decoded = decoder.decode(encodeFieldBlock(fields), 1);
    assert(decoded.type === "fields", JSON.stringify(decoded));
    assertEquals(decoded.fields.map(({ field, neverIndexed }) => ({ field, neverIndexed })), fields);
    assertEquals(decoder.tableSize, 34);
    // What was decoded can be encoded as it is.
    assertEquals(encodeFieldBlock(decoded.fields), encodeFieldBlock(fields));
  }));
});
