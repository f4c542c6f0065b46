/**
 * The Distinguished Encoding Rules (ITU-T X.690 §8, §10): as much as certificates need, written and read.
 *
 * The writer is for values of our own, so a value that cannot be encoded is a bug. The reader is for
 * files of others: it never throws, copies nothing, and refuses what DER forbids.
 */
import { assert } from "../core/assert.ts";

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

/** One element from its content parts. */
export function element(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const lengthBytes = length < 0x80 ? 1 : length < 0x100 ? 2 : length < 0x10000 ? 3 : 4;
  assert(length < 0x1000000, "A DER element is under 16 MiB");
  const encoded = new Uint8Array(1 + lengthBytes + length);
  encoded[0] = tag;
  if (lengthBytes === 1) {
    encoded[1] = length;
  } else {
    encoded[1] = 0x7f + lengthBytes;
    for (let index = 0; index < lengthBytes - 1; index++) {
      encoded[lengthBytes - index] = (length >>> (8 * index)) & 0xff;
    }
  }
  let offset = 1 + lengthBytes;
  for (const part of parts) {
    encoded.set(part, offset);
    offset += part.length;
  }
  return encoded;
}

export function sequence(...parts: readonly Uint8Array[]): Uint8Array {
  return element(TAG.sequence, ...parts);
}

/** A SET OF: DER wants its elements in the order of their encodings (§11.6). */
export function setOf(...parts: readonly Uint8Array[]): Uint8Array {
  return element(TAG.set, ...parts.toSorted(compareBytes));
}

/** A constructed context-specific element, `[number]`. */
export function tagged(number: number, ...parts: readonly Uint8Array[]): Uint8Array {
  return element(0xa0 | number, ...parts);
}

/** A primitive context-specific element, `[number] IMPLICIT`. */
export function taggedPrimitive(number: number, content: Uint8Array): Uint8Array {
  return element(0x80 | number, content);
}

/** A non-negative INTEGER from its big-endian magnitude, in the fewest bytes (§8.3.2). */
export function unsignedInteger(magnitude: Uint8Array): Uint8Array {
  let start = 0;
  while (start < magnitude.length - 1 && magnitude[start] === 0) start++;
  const trimmed = magnitude.length === 0 ? new Uint8Array(1) : magnitude.subarray(start);
  return (trimmed[0] ?? 0) >= 0x80
    ? element(TAG.integer, new Uint8Array(1), trimmed)
    : element(TAG.integer, trimmed);
}

export function smallInteger(value: number): Uint8Array {
  assert(Number.isInteger(value) && value >= 0 && value < 2 ** 31, "A small integer has 31 bits");
  return unsignedInteger(Uint8Array.of(value >>> 24, value >>> 16 & 0xff, value >>> 8 & 0xff, value & 0xff));
}

export function boolean(value: boolean): Uint8Array {
  return element(TAG.boolean, Uint8Array.of(value ? 0xff : 0));
}

export function nullValue(): Uint8Array {
  return element(TAG.null);
}

export function octetString(content: Uint8Array): Uint8Array {
  return element(TAG.octetString, content);
}

/** A BIT STRING of whole bytes. */
export function bitString(content: Uint8Array): Uint8Array {
  return element(TAG.bitString, new Uint8Array(1), content);
}

/** A named bit list: bit 0 is the most significant, trailing zero bits are left out (§11.2.2). */
export function namedBits(bits: readonly number[]): Uint8Array {
  const highest = Math.max(-1, ...bits);
  const content = new Uint8Array(1 + Math.ceil((highest + 1) / 8));
  content[0] = highest < 0 ? 0 : 7 - (highest % 8);
  for (const bit of bits) content[1 + (bit >> 3)]! |= 0x80 >> (bit & 7);
  return element(TAG.bitString, content);
}

export function objectIdentifier(dotted: string): Uint8Array {
  const arcs = dotted.split(".").map(Number);
  const [first, second] = arcs;
  assert(first !== undefined && second !== undefined && arcs.every(Number.isSafeInteger), "An OID is dotted");
  const bytes: number[] = [];
  for (const arc of [first * 40 + second, ...arcs.slice(2)]) {
    const digits = [arc % 128];
    for (let rest = Math.floor(arc / 128); rest > 0; rest = Math.floor(rest / 128)) {
      digits.unshift(rest % 128 + 128);
    }
    bytes.push(...digits);
  }
  return element(TAG.objectIdentifier, Uint8Array.from(bytes));
}

export function utf8String(text: string): Uint8Array {
  return element(TAG.utf8String, new TextEncoder().encode(text));
}

/** UTCTime to 2049, GeneralizedTime from 2050 (RFC 5280 §4.1.2.5). */
export function time(unixSeconds: number): Uint8Array {
  const { year, month, day } = civilDate(Math.floor(unixSeconds / 86_400));
  const second = ((unixSeconds % 86_400) + 86_400) % 86_400;
  const rest = [month, day, Math.floor(second / 3600), Math.floor(second / 60) % 60, second % 60]
    .map((part) => String(part).padStart(2, "0")).join("") + "Z";
  const ascii = new TextEncoder();
  return year >= 1950 && year < 2050
    ? element(TAG.utcTime, ascii.encode(String(year % 100).padStart(2, "0") + rest))
    : element(TAG.generalizedTime, ascii.encode(String(year).padStart(4, "0") + rest));
}

/** Where an element lies in the bytes it was read from. */
export interface DerElement {
  readonly tag: number;
  /** The whole element, header included. */
  readonly encoded: Uint8Array;
  readonly content: Uint8Array;
}

/** The element that starts at `offset`, or null where DER has none there. */
export function readElement(bytes: Uint8Array, offset = 0): DerElement | null {
  const tag = bytes[offset];
  const first = bytes[offset + 1];
  // Tag numbers above 30 take more bytes; nothing in a certificate uses them.
  if (tag === undefined || first === undefined || (tag & 0x1f) === 0x1f) return null;
  let length = first;
  let start = offset + 2;
  if (first >= 0x80) {
    const lengthBytes = first - 0x80;
    if (lengthBytes === 0 || lengthBytes > 4) return null;
    length = 0;
    for (let index = 0; index < lengthBytes; index++) {
      const byte = bytes[start++];
      if (byte === undefined || (index === 0 && byte === 0)) return null;
      length = length * 256 + byte;
    }
    if (length < 0x80) return null;
  }
  if (length > bytes.length - start) return null;
  return {
    tag,
    encoded: bytes.subarray(offset, start + length),
    content: bytes.subarray(start, start + length),
  };
}

/** The elements inside a constructed element, or null where its content is not a run of elements. */
export function readElements(content: Uint8Array): DerElement[] | null {
  const elements: DerElement[] = [];
  let offset = 0;
  while (offset < content.length) {
    const next = readElement(content, offset);
    if (next === null) return null;
    elements.push(next);
    offset += next.encoded.length;
  }
  return elements;
}

/** The dotted form of an OBJECT IDENTIFIER's content, or null. */
export function readObjectIdentifier(content: Uint8Array): string | null {
  const arcs: number[] = [];
  let arc = 0;
  let open = true;
  for (const byte of content) {
    if (open && arc === 0 && byte === 0x80) return null;
    arc = arc * 128 + (byte & 0x7f);
    if (!Number.isSafeInteger(arc)) return null;
    open = byte >= 0x80;
    if (open) continue;
    if (arcs.length === 0) {
      const first = Math.min(2, Math.floor(arc / 40));
      arcs.push(first, arc - first * 40);
    } else {
      arcs.push(arc);
    }
    arc = 0;
    open = false;
  }
  return open || arcs.length === 0 ? null : arcs.join(".");
}

/** Unix seconds of a UTCTime or GeneralizedTime in the only forms RFC 5280 §4.1.2.5 allows, or null. */
export function readTime({ tag, content }: DerElement): number | null {
  const yearDigits = tag === TAG.utcTime ? 2 : tag === TAG.generalizedTime ? 4 : 0;
  if (yearDigits === 0 || content.length !== yearDigits + 11 || content.at(-1) !== 0x5a) return null;
  for (let index = 0; index < content.length - 1; index++) {
    if (content[index]! < 0x30 || content[index]! > 0x39) return null;
  }
  const number = (start: number, digits: number): number => {
    let value = 0;
    for (let index = start; index < start + digits; index++) value = value * 10 + content[index]! - 0x30;
    return value;
  };
  let year = number(0, yearDigits);
  if (yearDigits === 2) year += year < 50 ? 2000 : 1900;
  const [month, day, hour, minute, second] = [0, 2, 4, 6, 8].map((start) =>
    number(yearDigits + start, 2)
  ) as [
    number,
    number,
    number,
    number,
    number,
  ];
  if (month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 59) return null;
  return daysFromCivil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
}

export function equalBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && compareBytes(left, right) === 0;
}

function compareBytes(left: Uint8Array, right: Uint8Array): number {
  const shared = Math.min(left.length, right.length);
  for (let index = 0; index < shared; index++) {
    const difference = left[index]! - right[index]!;
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}

/** The proleptic Gregorian date of a day counted from 1970-01-01, in eras of 400 years starting on 1 March. */
function civilDate(days: number): { year: number; month: number; day: number } {
  const shifted = days + 719_468;
  const era = Math.floor(shifted / 146_097);
  const dayOfEra = shifted - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  );
  const dayOfYear = dayOfEra -
    (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const marchMonth = Math.floor((5 * dayOfYear + 2) / 153);
  const month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9;
  return {
    year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0),
    month,
    day: dayOfYear - Math.floor((153 * marchMonth + 2) / 5) + 1,
  };
}

function daysFromCivil(year: number, month: number, day: number): number {
  const shiftedYear = month <= 2 ? year - 1 : year;
  const era = Math.floor(shiftedYear / 400);
  const yearOfEra = shiftedYear - era * 400;
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1;
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * 146_097 + dayOfEra - 719_468;
}
