import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { assert } from "../../src/core/assert.ts";
import forge from "node-forge";
import {
  bitString,
  boolean,
  element,
  equalBytes,
  namedBits,
  nullValue,
  objectIdentifier,
  octetString,
  readElement,
  readElements,
  readObjectIdentifier,
  readTime,
  sequence,
  setOf,
  smallInteger,
  TAG,
  tagged,
  time,
  unsignedInteger,
  utf8String,
} from "../../src/tls/der.ts";

// What this test asks of node-forge, which carries no types here: a reader that is not ours.
const { asn1 } = forge as {
  asn1: { fromDer(bytes: string): ForgeElement; derToOid(value: string): string };
};
interface ForgeElement {
  readonly type: number;
  readonly constructed: boolean;
  readonly value: string | ForgeElement[];
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function latin1(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}

Deno.test("der writes each primitive as X.690 shows it", () => {
  assertEquals(hex(boolean(true)), "0101ff");
  assertEquals(hex(boolean(false)), "010100");
  assertEquals(hex(nullValue()), "0500");
  assertEquals(hex(smallInteger(0)), "020100");
  assertEquals(hex(smallInteger(127)), "02017f");
  assertEquals(hex(smallInteger(128)), "02020080");
  assertEquals(hex(smallInteger(2 ** 31 - 1)), "02047fffffff");
  assertEquals(hex(unsignedInteger(Uint8Array.of())), "020100");
  assertEquals(hex(unsignedInteger(Uint8Array.of(0, 0, 0x80))), "02020080");
  assertEquals(hex(unsignedInteger(Uint8Array.of(0, 0x7f))), "02017f");
  assertEquals(hex(octetString(Uint8Array.of(1, 2))), "04020102");
  assertEquals(hex(bitString(Uint8Array.of(0x6e))), "0302006e");
  assertEquals(hex(objectIdentifier("2.999.3")), "0603883703");
  assertEquals(hex(objectIdentifier("1.2.840.113549.1.1.11")), "06092a864886f70d01010b");
  assertEquals(hex(utf8String("ü")), "0c02c3bc");
  assertEquals(hex(sequence(boolean(true), nullValue())), "30050101ff0500");
  assertEquals(hex(tagged(3, nullValue())), "a3020500");
});

Deno.test("der writes named bits without trailing zeros", () => {
  assertEquals(hex(namedBits([])), "030100");
  assertEquals(hex(namedBits([0])), "03020780");
  assertEquals(hex(namedBits([5, 6])), "03020106");
  assertEquals(hex(namedBits([0, 8])), "0303078080");
});

Deno.test("der sorts the elements of a SET OF", () => {
  assertEquals(hex(setOf(smallInteger(2), boolean(true), smallInteger(1))), "31090101ff020101020102");
});

Deno.test("der element uses the shortest length at every boundary and its reader gives the content back", () => {
  for (const length of [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x10000]) {
    const content = new Uint8Array(length).fill(7);
    const encoded = element(TAG.octetString, content);
    const read = readElement(encoded);
    assert(read !== null, "it is read");
    assertEquals(read.tag, TAG.octetString);
    assert(equalBytes(read.content, content), `${length} bytes come back`);
    assertEquals(read.encoded.length, encoded.length);
    assertEquals((asn1.fromDer(latin1(encoded)).value as string).length, length);
  }
});

Deno.test("der time switches to four-digit years in 2050 and is read back to the second", () => {
  const text = (seconds: number) => latin1(time(seconds).subarray(2));
  assertEquals(text(0), "700101000000Z");
  assertEquals(text(Date.UTC(2024, 1, 29, 23, 59, 59) / 1000), "240229235959Z");
  assertEquals(text(Date.UTC(2049, 11, 31, 23, 59, 59) / 1000), "491231235959Z");
  assertEquals(text(Date.UTC(2050, 0, 1) / 1000), "20500101000000Z");
  assertEquals(text(-1), "691231235959Z");
  fc.assert(fc.property(
    fc.integer({ min: Date.UTC(1950, 0, 1) / 1000, max: Date.UTC(9999, 11, 31) / 1000 }),
    (seconds) => {
      const read = readElement(time(seconds));
      assert(read !== null, "it is read");
      assertEquals(readTime(read), seconds);
      const iso = new Date(seconds * 1000).toISOString().replace(/[-:T]|\.000/g, "");
      assertEquals(latin1(read.content), read.tag === TAG.utcTime ? iso.slice(2) : iso);
    },
  ));
});

Deno.test("der readTime refuses what RFC 5280 does not allow", () => {
  const utc = (text: string) => readTime(readElement(element(TAG.utcTime, new TextEncoder().encode(text)))!);
  for (
    const text of [
      "",
      "2402292359Z",
      "240229235959+0000",
      "241329235959Z",
      "240200235959Z",
      "240229240000Z",
      "24022923595xZ",
      "20240229235959Z",
    ]
  ) {
    assertEquals(utc(text), null, text);
  }
  assertEquals(readTime(readElement(nullValue())!), null);
});

Deno.test("der object identifiers are read back, and broken ones are not read", () => {
  fc.assert(fc.property(
    fc.tuple(fc.integer({ min: 0, max: 2 }), fc.integer({ min: 0, max: 39 })),
    fc.array(fc.nat(2 ** 31), { maxLength: 8 }),
    ([first, second], rest) => {
      const dotted = [first, second, ...rest].join(".");
      const read = readElement(objectIdentifier(dotted));
      assert(read !== null, "it is read");
      assertEquals(readObjectIdentifier(read.content), dotted);
    },
  ));
  assertEquals(readObjectIdentifier(Uint8Array.of()), null);
  assertEquals(readObjectIdentifier(Uint8Array.of(0x2a, 0x86)), null);
  assertEquals(readObjectIdentifier(Uint8Array.of(0x80, 0x01)), null);
  assertEquals(readObjectIdentifier(new Uint8Array(20).fill(0xff)), null);
});

Deno.test("der readElement refuses indefinite, padded, overlong and truncated lengths", () => {
  for (
    const bytes of [[], [4], [4, 0x80], [4, 0x81, 1, 0], [4, 0x82, 0, 0x80], [4, 0x85, 0, 0, 0, 0, 1], [
      4,
      2,
      1,
    ]]
  ) {
    assertEquals(readElement(Uint8Array.from(bytes)), null, String(bytes));
  }
  assertEquals(readElement(Uint8Array.of(0x1f, 0x81, 1, 0)), null);
  assertEquals(readElement(Uint8Array.of(4, 0x84, 0xff, 0xff, 0xff, 0xff, 0)), null);
  assertEquals(readElements(Uint8Array.of(5, 0, 4)), null);
  assertEquals(readElements(Uint8Array.of()), []);
});

Deno.test("der readers never throw and never look outside the bytes", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
    for (const { content } of readElements(bytes) ?? []) {
      readElements(content);
      readObjectIdentifier(content);
    }
    const first = readElement(bytes);
    if (first === null) return;
    readTime(first);
    assert(first.encoded.length <= bytes.length, "inside");
  }));
});

Deno.test("der writers refuse values that are bugs of ours", () => {
  assertThrows(() => objectIdentifier("1"));
  assertThrows(() => objectIdentifier("1.x"));
  assertThrows(() => smallInteger(-1));
  assertThrows(() => smallInteger(2 ** 31));
});
