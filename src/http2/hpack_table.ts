/**
 * The static and the dynamic table of HPACK (RFC 7541 §2.3, §4 and Appendix A), and the field as
 * they hold it: with what validation needs to know, found out once when the field is read from a
 * literal and not again each time an index names it.
 */
import type { Field } from "../http/fields.ts";

/** What a field name means to RFC 9113 §8.2 and §8.3. */
export const FIELD_KINDS = [
  "regular",
  "invalid_name",
  "connection_specific",
  "te",
  "host",
  "content_length",
  "unknown_pseudo",
  "method",
  "scheme",
  "authority",
  "path",
  "protocol",
  "status",
] as const;
export type FieldKind = typeof FIELD_KINDS[number];

export interface HpackField {
  readonly field: Field;
  readonly kind: FieldKind;
  /** RFC 9113 §8.2.1 allows the value. */
  readonly validValue: boolean;
  /** RFC 7541 §7.1.3: whoever encodes it again must use the never-indexed literal. */
  readonly neverIndexed: boolean;
  /** Octets of name and value and 32 more: RFC 7541 §4.1 and RFC 9113 §6.5.2 count alike. */
  readonly size: number;
}

export const FIELD_OVERHEAD_BYTES = 32;

/** `kind` is that of `name`, which a reference to a table knows already. */
export function hpackField(name: string, value: string, kind: FieldKind, neverIndexed: boolean): HpackField {
  return {
    field: [name, value],
    kind,
    validValue: isValidValue(value),
    neverIndexed,
    size: name.length + value.length + FIELD_OVERHEAD_BYTES,
  };
}

const KINDS: ReadonlyMap<string, FieldKind> = new Map<string, FieldKind>([
  [":authority", "authority"],
  [":method", "method"],
  [":path", "path"],
  [":protocol", "protocol"],
  [":scheme", "scheme"],
  [":status", "status"],
  ["connection", "connection_specific"],
  ["content-length", "content_length"],
  ["host", "host"],
  ["keep-alive", "connection_specific"],
  ["proxy-connection", "connection_specific"],
  ["te", "te"],
  ["transfer-encoding", "connection_specific"],
  ["upgrade", "connection_specific"],
]);

/**
 * Names are lower-case tokens (RFC 9110 §5.1). RFC 9113 §8.2.1 forbids fewer octets and calls that
 * minimal; a name that HTTP/1.1 cannot carry has no meaning that two readers would agree on.
 */
export function fieldKind(name: string): FieldKind {
  const known = KINDS.get(name);
  if (known !== undefined) return known;
  if (name.charCodeAt(0) === 0x3a) return "unknown_pseudo";
  for (let index = 0; index < name.length; index++) {
    if (NAME_OCTETS[name.charCodeAt(index)] !== 1) return "invalid_name";
  }
  return name === "" ? "invalid_name" : "regular";
}

const NAME_OCTETS: Uint8Array = Uint8Array.from(
  { length: 256 },
  (_, octet) => /[a-z0-9!#$%&'*+.^_`|~-]/.test(String.fromCharCode(octet)) ? 1 : 0,
);

/** No NUL, CR or LF, and neither SP nor HTAB at an end (RFC 9113 §8.2.1). */
function isValidValue(value: string): boolean {
  const length = value.length;
  if (length === 0) return true;
  if (isWhitespace(value.charCodeAt(0)) || isWhitespace(value.charCodeAt(length - 1))) return false;
  for (let index = 0; index < length; index++) {
    const code = value.charCodeAt(index);
    if (code <= 0x0d && (code === 0 || code === 0x0a || code === 0x0d)) return false;
  }
  return true;
}

function isWhitespace(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

/** RFC 7541 Appendix A, from index 1 on. */
// deno-fmt-ignore
const STATIC_FIELDS: readonly Field[] = [
  [":authority", ""], [":method", "GET"], [":method", "POST"], [":path", "/"], [":path", "/index.html"],
  [":scheme", "http"], [":scheme", "https"], [":status", "200"], [":status", "204"], [":status", "206"],
  [":status", "304"], [":status", "400"], [":status", "404"], [":status", "500"], ["accept-charset", ""],
  ["accept-encoding", "gzip, deflate"], ["accept-language", ""], ["accept-ranges", ""], ["accept", ""],
  ["access-control-allow-origin", ""], ["age", ""], ["allow", ""], ["authorization", ""],
  ["cache-control", ""], ["content-disposition", ""], ["content-encoding", ""], ["content-language", ""],
  ["content-length", ""], ["content-location", ""], ["content-range", ""], ["content-type", ""],
  ["cookie", ""], ["date", ""], ["etag", ""], ["expect", ""], ["expires", ""], ["from", ""], ["host", ""],
  ["if-match", ""], ["if-modified-since", ""], ["if-none-match", ""], ["if-range", ""],
  ["if-unmodified-since", ""], ["last-modified", ""], ["link", ""], ["location", ""],
  ["max-forwards", ""], ["proxy-authenticate", ""], ["proxy-authorization", ""], ["range", ""],
  ["referer", ""], ["refresh", ""], ["retry-after", ""], ["server", ""], ["set-cookie", ""],
  ["strict-transport-security", ""], ["transfer-encoding", ""], ["user-agent", ""], ["vary", ""],
  ["via", ""], ["www-authenticate", ""],
];

/** By index; nothing is at 0. */
export const STATIC_TABLE: readonly (HpackField | undefined)[] = [
  undefined,
  ...STATIC_FIELDS.map(([name, value]) => hpackField(name, value, fieldKind(name), false)),
];

export const STATIC_TABLE_LENGTH = STATIC_FIELDS.length;

const ROOM_MIN = 16;

/** A ring of fields, newest first. Its memory grows with what is in it, up to what its size allows. */
export class DynamicTable {
  /** A power of two long; the newest field is at `#newest`, older ones before it. */
  #ring: (HpackField | undefined)[] = new Array<HpackField | undefined>(ROOM_MIN).fill(undefined);
  #newest = 0;
  #length = 0;
  #size = 0;

  constructor(public maxSize: number) {}

  get length(): number {
    return this.#length;
  }

  /** The sum of the fields' sizes. */
  get size(): number {
    return this.#size;
  }

  /** The field so many insertions ago, from 0; undefined where there is none. */
  at(age: number): HpackField | undefined {
    return age < this.#length ? this.#ring[this.#newest - age & this.#ring.length - 1] : undefined;
  }

  /** Evicts what has no room (RFC 7541 §4.4). A field larger than the whole table empties it. */
  insert(field: HpackField): void {
    this.#evictTo(this.maxSize - field.size);
    if (field.size > this.maxSize) return;
    if (this.#length === this.#ring.length) this.#grow();
    this.#newest = this.#newest + 1 & this.#ring.length - 1;
    this.#ring[this.#newest] = field;
    this.#length++;
    this.#size += field.size;
  }

  /** Sets the size and evicts what is beyond it (RFC 7541 §4.3). */
  resize(maxSize: number): void {
    this.maxSize = maxSize;
    this.#evictTo(maxSize);
  }

  #evictTo(size: number): void {
    const mask = this.#ring.length - 1;
    while (this.#length > 0 && this.#size > size) {
      this.#length--;
      const oldest = this.#newest - this.#length & mask;
      this.#size -= this.#ring[oldest]!.size;
      this.#ring[oldest] = undefined;
    }
  }

  #grow(): void {
    const ring = new Array<HpackField | undefined>(2 * this.#ring.length).fill(undefined);
    for (let age = 0; age < this.#length; age++) ring[this.#length - 1 - age] = this.at(age);
    this.#ring = ring;
    this.#newest = this.#length - 1;
  }
}
