import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { assert } from "../../src/core/assert.ts";
import {
  type Asn1,
  binaryString,
  bitString,
  bmpString,
  boolean,
  bytesOf,
  contentOf,
  derString,
  element,
  elementsOf,
  fromDer,
  integer,
  MAX_DER_BYTES,
  MAX_DER_DEPTH,
  nullValue,
  objectIdentifier,
  octetString,
  positiveInteger,
  readTime,
  sequence,
  setOf,
  TAG,
  tagged,
  taggedPrimitive,
  tagOf,
  time,
  toDer,
  utf8String,
} from "../../src/tls/asn1.ts";

function hex(value: Asn1): string {
  return Array.from(toDer(value), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

Deno.test("toDer writes each value as X.690 shows it", () => {
  assertEquals(hex(boolean(true)), "0101ff");
  assertEquals(hex(boolean(false)), "010100");
  assertEquals(hex(nullValue()), "0500");
  assertEquals(hex(integer(0)), "020100");
  assertEquals(hex(integer(127)), "02017f");
  assertEquals(hex(integer(128)), "02020080");
  assertEquals(hex(integer(2 ** 31 - 1)), "02047fffffff");
  assertEquals(hex(positiveInteger(Uint8Array.of(0x40, 0, 0xff))), "02034000ff");
  assertEquals(hex(octetString(Uint8Array.of(1, 2))), "04020102");
  assertEquals(hex(octetString("\xff")), "0401ff");
  assertEquals(hex(bitString(Uint8Array.of(0x6e))), "0302006e");
  assertEquals(hex(bitString("\x06", 1)), "03020106");
  assertEquals(hex(objectIdentifier("2.999.3")), "0603883703");
  assertEquals(hex(objectIdentifier("1.2.840.113549.1.1.11")), "06092a864886f70d01010b");
  assertEquals(hex(utf8String("ü")), "0c02c3bc");
  assertEquals(hex(utf8String("\ud800")), "0c03efbfbd");
  assertEquals(hex(bmpString("aü")), "1e04006100fc");
  assertEquals(hex(sequence(boolean(true), nullValue())), "30050101ff0500");
  assertEquals(hex(tagged(3, nullValue())), "a3020500");
  assertEquals(hex(taggedPrimitive(2, "a")), "820161");
});

Deno.test("setOf puts its elements in the order of their encodings", () => {
  assertEquals(hex(setOf(integer(2), boolean(true), integer(1))), "31090101ff020101020102");
});

Deno.test("positiveInteger and integer refuse what they would not write as it is", () => {
  for (const bytes of [[], [0], [0, 1], [0x80]]) {
    assertThrows(() => positiveInteger(Uint8Array.from(bytes)), Error, undefined, String(bytes));
  }
  assertThrows(() => integer(2 ** 31));
});

Deno.test("time switches to four-digit years in 2050 and is read back to the second", () => {
  const text = (seconds: number) => time(seconds).value;
  assertEquals(text(0), "700101000000Z");
  assertEquals(text(Date.UTC(2024, 1, 29, 23, 59, 59) / 1000), "240229235959Z");
  assertEquals(text(Date.UTC(2049, 11, 31, 23, 59, 59) / 1000), "491231235959Z");
  assertEquals(text(Date.UTC(2050, 0, 1) / 1000), "20500101000000Z");
  assertEquals(text(-1), "691231235959Z");
  fc.assert(fc.property(
    fc.integer({ min: Date.UTC(1900, 0, 1) / 1000, max: Date.UTC(9999, 11, 31) / 1000 }),
    (seconds) => {
      const value = fromDer(toDer(time(seconds)));
      assert(value !== null, "it is read");
      assertEquals(readTime(value), seconds);
      const iso = new Date(seconds * 1000).toISOString().replace(/[-:T]|\.000/g, "");
      assertEquals(value.value, tagOf(value) === TAG.utcTime ? iso.slice(2) : iso);
    },
  ));
});

Deno.test("readTime refuses what RFC 5280 does not allow", () => {
  for (
    const text of [
      "",
      "2402292359Z",
      "240229235959+0000",
      "241329235959Z",
      "240200235959Z",
      "230229235959Z",
      "240229240000Z",
      "240229236059Z",
      "24022923595xZ",
      "20240229235959Z",
    ]
  ) {
    assertEquals(readTime(element(TAG.utcTime, text)), null, text);
  }
  for (const text of ["20240229235959", "20240229235959.5Z", "20230229235959Z", "240229235959Z"]) {
    assertEquals(readTime(element(TAG.generalizedTime, text)), null, text);
  }
  assertEquals(readTime(nullValue()), null);
  assertEquals(readTime(undefined), null);
});

Deno.test("fromDer gives back every value that toDer wrote", () => {
  const { tree } = fc.letrec<{ tree: Asn1; leaf: Asn1; branch: Asn1 }>((tie) => ({
    tree: fc.oneof({ maxDepth: 5 }, tie("leaf"), tie("branch")),
    leaf: fc.oneof(
      fc.uint8Array({ maxLength: 300 }).map(octetString),
      fc.uint8Array({ maxLength: 300 }).map((bytes) => bitString(bytes)),
      fc.string().map(utf8String),
      fc.integer().map(integer),
      fc.boolean().map(boolean),
    ),
    branch: fc.array(tie("tree"), { maxLength: 4 }).chain((elements) =>
      fc.constantFrom(sequence(...elements), setOf(...elements), tagged(3, ...elements))
    ),
  }));
  fc.assert(fc.property(tree, (value) => {
    const der = toDer(value);
    const read = fromDer(der);
    assert(read !== null, "it is read");
    assertEquals(tagOf(read), tagOf(value));
    assertEquals(toDer(read), der);
  }));
});

Deno.test("fromDer refuses what is BER and not DER, what is cut off, and bytes after the value", () => {
  for (
    const bytes of [
      [],
      [4],
      [4, 0x80],
      [4, 0x81, 1, 0],
      [4, 0x82, 0, 0x80],
      [4, 0x85, 0, 0, 0, 0, 1],
      [4, 0x84, 0xff, 0xff, 0xff, 0xff, 0],
      [4, 2, 1],
      [0x30, 0x80, 5, 0, 0, 0],
      [0x30, 3, 5, 0, 4],
      [2, 2, 0, 1],
      [2, 2, 0xff, 0xff],
      [0x1e, 1, 0],
      [5, 0, 0],
    ]
  ) {
    assertEquals(fromDer(Uint8Array.from(bytes)), null, String(bytes));
  }
});

Deno.test("fromDer reads 64 KiB and 16 levels, and not one more", () => {
  const content = MAX_DER_BYTES - 4;
  assert(fromDer(toDer(octetString(new Uint8Array(content)))) !== null, "64 KiB are read");
  assertEquals(fromDer(toDer(octetString(new Uint8Array(content + 1)))), null);
  const nested = (levels: number) => {
    let value = nullValue();
    for (let level = 1; level < levels; level++) value = sequence(value);
    return toDer(value);
  };
  assert(fromDer(nested(MAX_DER_DEPTH)) !== null, "16 levels are read");
  assertEquals(fromDer(nested(MAX_DER_DEPTH + 1)), null);
  // Nothing but opening tags, as deep as the bytes go.
  assertEquals(fromDer(new Uint8Array(MAX_DER_BYTES).fill(0x30)), null);
  assertEquals(fromDer(Uint8Array.from({ length: MAX_DER_BYTES }, (_, at) => at % 2 ? 0x80 : 0x30)), null);
});

Deno.test("fromDer and readTime never throw", () => {
  const byte = fc.oneof(
    fc.nat(255),
    fc.constantFrom(0x30, 0x31, 0x80, 0x81, 0x03, 0x17, 0x18, 0x1e, 0x1f, 0),
  );
  fc.assert(
    fc.property(fc.array(byte, { maxLength: 64 }), (bytes) => {
      const value = fromDer(Uint8Array.from(bytes));
      if (value === null) return;
      assertEquals(Array.from(toDer(value)), bytes);
      readTime(value);
    }),
    { numRuns: 2000 },
  );
});

Deno.test("elementsOf and contentOf give what a value with that tag holds, and null for any other", () => {
  const list = sequence(nullValue());
  assertEquals(elementsOf(list, TAG.sequence)?.length, 1);
  assertEquals(elementsOf(list, TAG.set), null);
  assertEquals(elementsOf(nullValue(), TAG.null), null);
  assertEquals(elementsOf(undefined, TAG.sequence), null);
  assertEquals(contentOf(utf8String("a"), TAG.utf8String), "a");
  assertEquals(contentOf(taggedPrimitive(12, "a"), TAG.utf8String), null);
  assertEquals(contentOf(list, TAG.sequence), null);
  assertEquals(contentOf(null, TAG.null), null);
});

Deno.test("binaryString and bytesOf are each other's inverse, also of a slice and of many bytes", () => {
  const bytes = Uint8Array.from({ length: 200_000 }, (_, at) => at & 0xff);
  assertEquals(bytesOf(binaryString(bytes)), bytes);
  assertEquals(bytesOf(binaryString(bytes.subarray(250, 260))), bytes.slice(250, 260));
  assertEquals(derString(octetString(bytes.subarray(0, 2))), "\x04\x02\0\x01");
});
