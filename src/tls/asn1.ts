/**
 * ASN.1 in DER (ITU-T X.690) as far as certificates need it. Node-forge writes and reads it; this is its
 * typed face, and the bounds that make reading total.
 *
 * Forge keeps bytes as binary strings, one character a byte. Values of our own are encoded without a check.
 * The reader is for files of others: forge takes BER and throws, here what is not DER, too long or nested
 * too deeply gives null.
 */
import untypedAsn1 from "node-forge/lib/asn1.js";
import untypedUtil from "node-forge/lib/util.js";
import { assert } from "../core/assert.ts";

/** Forge's view of one value. */
export interface Asn1 {
  readonly tagClass: number;
  readonly type: number;
  readonly constructed: boolean;
  /** The elements of a constructed value, the content bytes of a primitive one. */
  readonly value: readonly Asn1[] | string;
}

/** Identifier octets (X.690 §8.1.2): class, whether constructed, tag number. */
export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  objectIdentifier: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  bmpString: 0x1e,
  sequence: 0x30,
  set: 0x31,
} as const;

/** Certificates take a few kilobytes. */
export const MAX_DER_BYTES = 64 * 1024;
/** The deepest part of a certificate, the hash inside RSASSA-PSS parameters, is at level 9. */
export const MAX_DER_DEPTH = 16;

export function element(tag: number, value: string | readonly Asn1[]): Asn1 {
  return asn1.create(tag & 0xc0, tag & 0x1f, (tag & 0x20) !== 0, value);
}

export function sequence(...elements: readonly Asn1[]): Asn1 {
  return element(TAG.sequence, elements);
}

/** A SET OF: DER wants its elements in the order of their encodings (§11.6). */
export function setOf(...elements: readonly Asn1[]): Asn1 {
  const encoded = elements.map((one) => ({ one, der: derString(one) }));
  return element(TAG.set, encoded.sort((a, b) => a.der < b.der ? -1 : 1).map(({ one }) => one));
}

/** A constructed context-specific value, `[number]`. */
export function tagged(number: number, ...elements: readonly Asn1[]): Asn1 {
  return element(0xa0 | number, elements);
}

/** `[number] IMPLICIT` of a primitive type. */
export function taggedPrimitive(number: number, content: string): Asn1 {
  return element(0x80 | number, content);
}

export function boolean(value: boolean): Asn1 {
  return element(TAG.boolean, value ? "\xff" : "\0");
}

/** Up to 32 bits, signed. */
export function integer(value: number): Asn1 {
  return element(TAG.integer, asn1.integerToDer(value).getBytes());
}

/** A positive INTEGER whose first byte is neither zero nor has the sign bit. */
export function positiveInteger(bytes: Uint8Array): Asn1 {
  assert(
    bytes[0] !== undefined && bytes[0] > 0 && bytes[0] < 0x80,
    "An INTEGER has no more bytes than it needs",
  );
  return element(TAG.integer, binaryString(bytes));
}

export function nullValue(): Asn1 {
  return element(TAG.null, "");
}

export function octetString(content: string | Uint8Array): Asn1 {
  return element(TAG.octetString, typeof content === "string" ? content : binaryString(content));
}

/** A BIT STRING; the last `unusedBits` of its content do not count. */
export function bitString(content: string | Uint8Array, unusedBits = 0): Asn1 {
  const bits = typeof content === "string" ? content : binaryString(content);
  return element(TAG.bitString, String.fromCharCode(unusedBits) + bits);
}

export function objectIdentifier(dotted: string): Asn1 {
  return element(TAG.objectIdentifier, objectIdentifierBytes(dotted));
}

/** The content of an OBJECT IDENTIFIER, by which those that were read are compared. */
export function objectIdentifierBytes(dotted: string): string {
  return asn1.oidToDer(dotted).getBytes();
}

export function utf8String(text: string): Asn1 {
  return element(TAG.utf8String, util.encodeUtf8(text.toWellFormed()));
}

export function bmpString(text: string): Asn1 {
  return element(TAG.bmpString, text);
}

/** UTCTime to 2049, GeneralizedTime from 2050 (RFC 5280 §4.1.2.5). */
export function time(unixSeconds: number): Asn1 {
  // Forge writes dates that it is given; a date of any time is had by setting one that it read.
  const date = asn1.utcTimeToDate("700101000000Z");
  date.setTime(unixSeconds * 1000);
  const year = date.getUTCFullYear();
  return year >= 1950 && year < 2050
    ? element(TAG.utcTime, asn1.dateToUtcTime(date))
    : element(TAG.generalizedTime, asn1.dateToGeneralizedTime(date));
}

/** The encoding as a binary string. */
export function derString(value: Asn1): string {
  return asn1.toDer(value).getBytes();
}

export function toDer(value: Asn1): Uint8Array {
  return bytesOf(derString(value));
}

/** The one value that the bytes are the DER encoding of, or null. */
export function fromDer(encoded: Uint8Array | string): Asn1 | null {
  if (encoded.length > MAX_DER_BYTES) return null;
  const der = typeof encoded === "string" ? encoded : binaryString(encoded);
  try {
    const value = asn1.fromDer(der, { decodeBitStrings: false, maxDepth: MAX_DER_DEPTH });
    // BER has many encodings of a value and DER one: the one that is written.
    return derString(value) === der ? value : null;
  } catch {
    return null;
  }
}

/** The identifier octet. */
export function tagOf({ tagClass, type, constructed }: Asn1): number {
  return tagClass | type | (constructed ? 0x20 : 0);
}

/** The elements of a constructed value with that tag, or null where it is none. */
export function elementsOf(value: Asn1 | null | undefined, tag: number): readonly Asn1[] | null {
  if (!value || tagOf(value) !== tag || typeof value.value === "string") return null;
  return value.value;
}

/** The content of a primitive value with that tag, or null where it is none. */
export function contentOf(value: Asn1 | null | undefined, tag: number): string | null {
  return value && tagOf(value) === tag && typeof value.value === "string" ? value.value : null;
}

/** Unix seconds of a UTCTime or GeneralizedTime in the only forms RFC 5280 §4.1.2.5 allows, or null. */
export function readTime(value: Asn1 | undefined): number | null {
  const utc = contentOf(value, TAG.utcTime);
  const text = utc ?? contentOf(value, TAG.generalizedTime);
  if (text === null || !(utc === null ? /^[0-9]{14}Z$/ : /^[0-9]{12}Z$/).test(text)) return null;
  const date = utc === null ? asn1.generalizedTimeToDate(text) : asn1.utcTimeToDate(text);
  // Forge takes the 31st of February for the 3rd of March.
  const written = utc === null ? asn1.dateToGeneralizedTime(date) : asn1.dateToUtcTime(date);
  return written === text ? date.getTime() / 1000 : null;
}

export function binaryString(bytes: Uint8Array): string {
  return util.createBuffer(bytes).getBytes();
}

export function bytesOf(binary: string): Uint8Array {
  return util.binary.raw.decode(binary);
}

// What is used of node-forge, which comes without types.

interface ForgeBuffer {
  getBytes(): string;
}

/** A JavaScript date; forge makes it. */
interface ForgeDate {
  getTime(): number;
  setTime(milliseconds: number): void;
  getUTCFullYear(): number;
}

interface ForgeAsn1 {
  create(tagClass: number, type: number, constructed: boolean, value: string | readonly Asn1[]): Asn1;
  toDer(value: Asn1): ForgeBuffer;
  fromDer(der: string, options: { readonly decodeBitStrings: boolean; readonly maxDepth: number }): Asn1;
  oidToDer(dotted: string): ForgeBuffer;
  integerToDer(value: number): ForgeBuffer;
  utcTimeToDate(text: string): ForgeDate;
  generalizedTimeToDate(text: string): ForgeDate;
  dateToUtcTime(date: ForgeDate): string;
  dateToGeneralizedTime(date: ForgeDate): string;
}

interface ForgeUtil {
  createBuffer(bytes: Uint8Array): ForgeBuffer;
  encodeUtf8(text: string): string;
  readonly binary: { readonly raw: { decode(binary: string): Uint8Array } };
}

const asn1 = untypedAsn1 as ForgeAsn1;
const util = untypedUtil as ForgeUtil;
