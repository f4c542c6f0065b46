import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { assert } from "../../src/core/assert.ts";
import { HpackDecoder, type HpackLimits } from "../../src/http2/hpack_decoder.ts";
import { HpackPeer, integer, type PeerField, string } from "../../src/sim/hpack_peer.ts";

const LIMITS: HpackLimits = { maxHeaderListSize: 65_536, maxHeaderFields: 256, maxTableBytes: 65_536 };

function newDecoder(limits: Partial<HpackLimits> = {}): HpackDecoder {
  return new HpackDecoder("client", { ...LIMITS, ...limits });
}

/** The list as `name: value`, or the error's code. */
function decode(decoder: HpackDecoder, block: string | readonly number[]): string[] | string {
  const bytes = typeof block === "string"
    ? Uint8Array.fromHex(block.replaceAll(" ", ""))
    : Uint8Array.from(block);
  const result = decoder.decode(bytes, 1);
  if (result.type === "error") return result.code;
  const size = result.fields.reduce((sum, { field }) => sum + field[0].length + field[1].length + 32, 0);
  assertEquals(result.listSize, size);
  return result.fields.map(({ field, neverIndexed }) =>
    `${field.join(": ")}${neverIndexed ? " (never)" : ""}`
  );
}

const literal = (name: string, value: string) => [0x00, ...string(name, false), ...string(value, false)];
const indexing = (name: string, value: string) => [0x40, ...string(name, false), ...string(value, false)];

Deno.test("HpackDecoder reads the single fields of RFC 7541 §C.2", () => {
  const rows: readonly [block: string, list: string, size: number][] = [
    ["400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572", "custom-key: custom-header", 55],
    ["040c 2f73 616d 706c 652f 7061 7468", ":path: /sample/path", 0],
    ["1008 7061 7373 776f 7264 0673 6563 7265 74", "password: secret (never)", 0],
    ["82", ":method: GET", 0],
  ];
  for (const [block, list, size] of rows) {
    const decoder = newDecoder();
    assertEquals(decode(decoder, block), [list]);
    assertEquals(decoder.tableSize, size);
  }
});

const GET = [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"];
const REQUESTS = [
  [GET, 57],
  [[...GET, "cache-control: no-cache"], 110],
  [[
    ":method: GET",
    ":scheme: https",
    ":path: /index.html",
    ":authority: www.example.com",
    "custom-key: custom-value",
  ], 164],
] as const;

Deno.test("HpackDecoder reads the requests of RFC 7541 §C.3 and §C.4, and its table follows", () => {
  const without = [
    "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
    "8286 84be 5808 6e6f 2d63 6163 6865",
    "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
  ];
  const withHuffman = [
    "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
    "8286 84be 5886 a8eb 1064 9cbf",
    "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
  ];
  for (const blocks of [without, withHuffman]) {
    const decoder = newDecoder();
    blocks.forEach((block, index) => {
      const [list, size] = REQUESTS[index]!;
      assertEquals(decode(decoder, block), [...list]);
      assertEquals(decoder.tableSize, size);
    });
  }
});

Deno.test("HpackDecoder reads the responses of RFC 7541 §C.5 and §C.6 and evicts as they do", () => {
  const without = [
    "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120" +
    "474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
    "4803 3330 37c1 c0bf",
    "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738" +
    "666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33" +
    "3630 303b 2076 6572 7369 6f6e 3d31",
  ];
  const withHuffman = [
    "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718" +
    "63c7 8f0b 97c8 e9ae 82ae 43d3",
    "4883 640e ffc1 c0bf",
    "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7" +
    "b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
  ];
  const location = "location: https://www.example.com";
  const date = "date: Mon, 21 Oct 2013 20:13:21 GMT";
  const lists = [
    [":status: 302", "cache-control: private", date, location],
    [":status: 307", "cache-control: private", date, location],
    [
      ":status: 200",
      "cache-control: private",
      "date: Mon, 21 Oct 2013 20:13:22 GMT",
      location,
      "content-encoding: gzip",
      "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
    ],
  ];
  for (const blocks of [without, withHuffman]) {
    const decoder = newDecoder();
    // The examples have a table of 256 bytes.
    decoder.setTableLimit(256);
    assertEquals(decode(decoder, "3fe101"), []);
    blocks.forEach((block, index) => {
      assertEquals(decode(decoder, block), lists[index]!);
      assertEquals(decoder.tableSize, [222, 222, 215][index]);
    });
  }
});

Deno.test("HpackDecoder reads integers of RFC 7541 §C.1, padded ones too, up to 2^32-1 and no further", () => {
  const decoder = newDecoder({ maxTableBytes: Infinity });
  decoder.setTableLimit(0xffff_ffff);
  // A table size update shows the value of a five-bit prefix.
  for (
    const [block, value] of [["2a", 10], ["3f9a0a", 1337], ["3f00", 31], [
      "3fe0ffffff0f",
      0xffff_ffff,
    ]] as const
  ) {
    assertEquals(decode(decoder, block), []);
    assertEquals(decoder.tableMaxSize, value);
  }
  assertEquals(decode(decoder, integer(1337, 5, 0x20, 3)), []);
  assertEquals(decoder.tableMaxSize, 1337);
  assertEquals(decode(newDecoder(), "3fe1ffffff0f"), "integer_overflow", "2^32");
  assertEquals(decode(newDecoder(), "3f808080808000"), "integer_overflow", "six octets for a small number");
  assertEquals(decode(newDecoder(), `3f${"ff".repeat(50)}`), "integer_overflow");
  assertEquals(decode(newDecoder(), "7fffffffff7f"), "integer_overflow", "as an index");
  assertEquals(decode(newDecoder(), "007fffffffff7f"), "integer_overflow", "as a length");
});

Deno.test("HpackDecoder refuses indexes that name nothing", () => {
  assertEquals(decode(newDecoder(), "80"), "invalid_index");
  assertEquals(decode(newDecoder(), "be"), "invalid_index", "62 in an empty table");
  assertEquals(decode(newDecoder(), "bd"), ["www-authenticate: "]);
  assertEquals(decode(newDecoder(), "7f0000"), "invalid_index", "as the index of a name");
  const decoder = newDecoder();
  assertEquals(decode(decoder, [...indexing("a", "b"), 0xbe]), ["a: b", "a: b"]);
  assertEquals(decode(decoder, "bf"), "invalid_index");
});

Deno.test("HpackDecoder refuses a block cut anywhere within a field", () => {
  const block = [0x82, ...indexing("name", "value"), 0x1f, 0x10, ...string("secret", true)];
  assertEquals(decode(newDecoder(), block), [":method: GET", "name: value", "content-type: secret (never)"]);
  const wholeFields = new Set([0, 1, 13, block.length]);
  for (let length = 0; length <= block.length; length++) {
    const result = decode(newDecoder(), block.slice(0, length));
    assertEquals(result === "truncated_block", !wholeFields.has(length), `${length} octets`);
  }
});

Deno.test("HpackDecoder refuses Huffman strings with bad padding or EOS, as name and as value", () => {
  for (
    const [octets, code] of [
      [[0x00], "invalid_huffman_padding"],
      [[0xff], "invalid_huffman_padding"],
      [[0x07, 0xff], "invalid_huffman_padding"],
      [[0xff, 0xff, 0xff, 0xff], "huffman_eos"],
      [[0x1f, 0xff, 0xff, 0xff, 0xff], "huffman_eos"],
    ] as const
  ) {
    assertEquals(decode(newDecoder(), [0x00, 0x80 | octets.length, ...octets, 0x00]), code);
    assertEquals(decode(newDecoder(), [0x04, 0x80 | octets.length, ...octets]), code);
  }
  assertEquals(decode(newDecoder(), [0x04, 0x81, 0x07]), [":path: 0"]);
});

Deno.test("HpackDecoder takes table size updates before the first field only", () => {
  assertEquals(decode(newDecoder(), "20 82"), [":method: GET"]);
  assertEquals(decode(newDecoder(), "20 3fe11f 82"), [":method: GET"], "two of them");
  assertEquals(decode(newDecoder(), "82 20"), "misplaced_table_size_update");
  const decoder = newDecoder();
  decode(decoder, indexing("a", "b"));
  assertEquals(decode(decoder, "20"), []);
  assertEquals([decoder.tableSize, decoder.tableMaxSize], [0, 0]);
  assertEquals(decode(decoder, "be"), "invalid_index");
});

Deno.test("HpackDecoder holds updates to the acknowledged setting and to our own limit, at n and n+1", () => {
  assertEquals(decode(newDecoder(), integer(4096, 5, 0x20)), []);
  assertEquals(decode(newDecoder(), integer(4097, 5, 0x20)), "table_size_over_setting");
  const raised = () => {
    const decoder = newDecoder({ maxTableBytes: 10_000 });
    decoder.setTableLimit(20_000);
    return decoder;
  };
  assertEquals(decode(raised(), integer(10_000, 5, 0x20)), []);
  assertEquals(decode(raised(), integer(10_001, 5, 0x20)), "table_size_over_limit");
  assertEquals(decode(raised(), integer(20_001, 5, 0x20)), "table_size_over_setting");
  assertEquals(raised().tableMaxSize, 4096, "a raised setting alone changes nothing");
});

Deno.test("HpackDecoder asks for an update after a lowered setting before the table is used again", () => {
  const full = () => {
    const decoder = newDecoder();
    decode(decoder, indexing("a", "x".repeat(67)));
    assertEquals(decoder.tableSize, 100);
    return decoder;
  };
  const lowered = (bytes: number) => {
    const decoder = full();
    decoder.setTableLimit(bytes);
    return decoder;
  };
  // More is in the table than the setting allows: the very next field needs the update.
  assertEquals(decode(lowered(99), "82"), "missing_table_size_update");
  assertEquals(decode(lowered(99), [...integer(99, 5, 0x20), 0x82]), [":method: GET"]);
  assertEquals(decode(lowered(99), [...integer(100, 5, 0x20), 0x82]), "table_size_over_setting");
  assertEquals(decode(lowered(99), "be"), "missing_table_size_update");
  // What is in it fits: reading is unambiguous, inserting is not.
  assertEquals(decode(lowered(100), "be"), [`a: ${"x".repeat(67)}`]);
  assertEquals(decode(lowered(100), literal("a", "b")), ["a: b"]);
  assertEquals(decode(lowered(100), indexing("a", "b")), "missing_table_size_update");
  assertEquals(decode(lowered(100), [...integer(50, 5, 0x20), ...indexing("a", "b")]), ["a: b"]);
  // An encoder that had set less by itself owes nothing.
  const modest = full();
  decode(modest, integer(200, 5, 0x20));
  modest.setTableLimit(200);
  assertEquals(decode(modest, indexing("a", "b")), ["a: b"]);
});

Deno.test("HpackDecoder wants the smallest of several settings signalled, then any up to the last", () => {
  const changed = () => {
    const decoder = newDecoder();
    decode(decoder, indexing("a", "b"));
    decoder.setTableLimit(20);
    decoder.setTableLimit(4096);
    return decoder;
  };
  assertEquals(decode(changed(), "be"), "missing_table_size_update");
  assertEquals(decode(changed(), integer(4096, 5, 0x20)), "missing_table_size_update");
  assertEquals(decode(changed(), integer(21, 5, 0x20)), "missing_table_size_update");
  const followed = changed();
  assertEquals(
    decode(followed, [...integer(20, 5, 0x20), ...integer(4096, 5, 0x20), ...indexing("c", "d")]),
    ["c: d"],
  );
  assertEquals([followed.tableSize, followed.tableMaxSize], [34, 4096]);
});

Deno.test("HpackDecoder answers a list over a limit with a stream error at n+1, its table in step", () => {
  const block = [...indexing("a", "1"), ...indexing("b", "2"), ...literal("c", "3")];
  const n = 3 * 34;
  assertEquals(decode(newDecoder({ maxHeaderListSize: n }), block), ["a: 1", "b: 2", "c: 3"]);
  assertEquals(decode(newDecoder({ maxHeaderFields: 3 }), block), ["a: 1", "b: 2", "c: 3"]);
  for (
    const [limits, code] of [
      [{ maxHeaderListSize: n - 1 }, "header_list_too_large"],
      [{ maxHeaderFields: 2 }, "too_many_fields"],
      [{ maxHeaderListSize: 0 }, "header_list_too_large"],
      [{ maxHeaderFields: 0 }, "too_many_fields"],
    ] as const
  ) {
    const decoder = newDecoder(limits);
    const error = decoder.decode(Uint8Array.from(block), 7);
    assert(error.type === "error", "over the limit");
    assertEquals([error.code, error.scope, error.streamId], [code, "stream", 7]);
    assertEquals([decoder.tableSize, decoder.tableMaxSize], [68, 4096]);
  }
  const decoder = newDecoder({ maxHeaderFields: 2 });
  assertEquals(decode(decoder, block), "too_many_fields");
  assertEquals(decode(decoder, "bebf"), ["b: 2", "a: 1"], "later blocks find what it left");
});

Deno.test("HpackDecoder answers nothing but the first compression error", () => {
  const decoder = newDecoder();
  assertEquals(decode(decoder, "80"), "invalid_index");
  assertEquals(decode(decoder, "82"), "invalid_index");
  const error = decoder.decode(Uint8Array.of(0x82), 9);
  assert(error.type === "error", "the decoder failed before");
  assertEquals([error.scope, error.errorCode, error.streamId, error.by], [
    "connection",
    "COMPRESSION_ERROR",
    1,
    "client",
  ]);
});

Deno.test("HpackDecoder decodes strings larger than its scratch memory", () => {
  const value = "0123456789abcdef".repeat(4000);
  for (const huffman of [true, false]) {
    const block = [0x04, ...string(value, huffman)];
    assertEquals(decode(newDecoder(), block), [`:path: ${value}`]);
    assertEquals(decode(newDecoder({ maxHeaderListSize: 1000 }), block), "header_list_too_large");
  }
});

const name = fc.oneof(
  fc.constantFrom(":method", ":path", "accept", "cookie", "x", "custom-key"),
  fc.string({ unit: fc.constantFrom(..."abcxyz-\xe9\0 A"), maxLength: 8 }),
);
const value = fc.oneof(
  fc.constantFrom("GET", "/", "", "gzip, deflate"),
  fc.string({ unit: fc.constantFrom(..."ab 01\r\n\0\xff;="), maxLength: 40 }),
);
const peerField: fc.Arbitrary<PeerField> = fc.record({
  name,
  value,
  as: fc.constantFrom("indexed", "with_indexing", "without_indexing", "never_indexed"),
  huffman: fc.boolean(),
  nameByIndex: fc.boolean(),
});
const peerBlock = fc.record({
  /** A setting acknowledged before the block, and what the encoder makes of it. */
  limit: fc.option(fc.nat(6000), { freq: 3 }),
  update: fc.option(fc.double({ min: 0, max: 1, noNaN: true }), { freq: 3 }),
  fields: fc.array(peerField, { maxLength: 8 }),
});

Deno.test("HpackDecoder follows an encoder that uses everything RFC 7541 has, block after block", () => {
  fc.assert(
    fc.property(fc.array(peerBlock, { maxLength: 12 }), fc.nat(8), (blocks, maxHeaderFields) => {
      const decoder = newDecoder();
      const limited = newDecoder({ maxHeaderFields, maxHeaderListSize: 150 });
      const peer = new HpackPeer();
      let limit = 4096;
      for (const { limit: newLimit, update, fields } of blocks) {
        const block: number[] = [];
        if (newLimit !== null) {
          limit = newLimit;
          decoder.setTableLimit(limit);
          limited.setTableLimit(limit);
          if (limit < peer.maxSize) block.push(...peer.sizeUpdate(limit));
        }
        if (update !== null) block.push(...peer.sizeUpdate(Math.floor(update * limit)));
        const expected: (readonly [string, string])[] = [];
        for (const field of fields) {
          block.push(...peer.field(field));
          expected.push([field.name, field.value]);
        }
        const result = decoder.decode(Uint8Array.from(block), 1);
        assert(result.type === "fields", JSON.stringify(result));
        assertEquals(result.fields.map(({ field }) => field), expected);
        assertEquals([decoder.tableSize, decoder.tableMaxSize], [peer.size, peer.maxSize]);
        // The decoder over its limits drops the list and nothing else.
        const strict = limited.decode(Uint8Array.from(block), 1);
        const isOver = expected.length > maxHeaderFields || result.listSize > 150;
        assertEquals(strict, isOver ? strict : result);
        assertEquals(strict.type, isOver ? "error" : "fields");
        assertEquals([limited.tableSize, limited.tableMaxSize], [peer.size, peer.maxSize]);
      }
    }),
    { numRuns: 300 },
  );
});

Deno.test("HpackDecoder never throws and never holds more than its limits, whatever the octets", () => {
  const octets = fc.array(
    fc.oneof(
      fc.nat(255),
      fc.constantFrom(0x40, 0x7f, 0x82, 0xbe, 0xff, 0x20, 0x3f, 0x1f, 0x00, 0x01, 0x81, 0xe1),
    ),
    { maxLength: 60 },
  );
  fc.assert(
    fc.property(fc.array(octets, { maxLength: 4 }), fc.nat(5000), (blocks, limit) => {
      const decoder = newDecoder({ maxHeaderListSize: 300, maxHeaderFields: 10, maxTableBytes: 1000 });
      decoder.setTableLimit(limit);
      for (const block of blocks) {
        const result = decoder.decode(Uint8Array.from(block), 1);
        if (result.type === "fields") {
          assertEquals(result.listSize <= 300 && result.fields.length <= 10, true);
        }
        // 4096 until the encoder sets it: RFC 9113 §4.3.1 has both begin there.
        assertEquals(decoder.tableMaxSize <= 4096, true);
        assertEquals(decoder.tableSize <= decoder.tableMaxSize, true);
      }
    }),
    { numRuns: 2000 },
  );
});

Deno.test("HpackDecoder takes a block of indexes for what it says now, whatever the same octets said before", () => {
  const decoder = newDecoder();
  decode(decoder, indexing("a", "1"));
  assertEquals(decode(decoder, [0xbe]), ["a: 1"]);
  assertEquals(decode(decoder, [0xbe]), ["a: 1"]);
  decode(decoder, indexing("b", "2"));
  assertEquals(decode(decoder, [0xbe]), ["b: 2"]);
  assertEquals(decode(decoder, [0x20, 0x3f, 0xe1, 0x1f]), []);
  assertEquals(decode(decoder, [0xbe]), "invalid_index");
});

Deno.test("HpackDecoder gives one object for blocks that say the same, and reports an update that is owed all the same", () => {
  const decoder = newDecoder();
  decode(decoder, indexing("a", "1"));
  const block = Uint8Array.of(0x82, 0xbe);
  const first = decoder.decode(block, 1);
  assert(decoder.decode(block.slice(), 3) === first, "the block was known");
  decoder.setTableLimit(0);
  assertEquals(decode(decoder, [0x82, 0xbe]), "missing_table_size_update");
});
