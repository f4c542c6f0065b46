/**
 * Encodes field blocks (RFC 7541 §6) with nothing but the static table and literals that are not
 * indexed. What it writes needs no state shared with the reader, so a block of the proxy's own may
 * stand anywhere between others, and a direction whose blocks can no longer be forwarded as they
 * came is written with it from then on.
 */
import type { Field } from "../http/fields.ts";
import { STATIC_TABLE } from "./hpack_table.ts";
import { huffmanEncode, huffmanEncodedBytes } from "./huffman.ts";
import { writeLatin1 } from "../core/latin1.ts";

/** What is to be encoded; an `HpackField` is one. */
export interface FieldToEncode {
  readonly field: Field;
  /** RFC 7541 §7.1.3: what came as a never-indexed literal must leave as one. */
  readonly neverIndexed: boolean;
}

export interface EncodeOptions {
  /**
   * Begin with a table size update to 0. It empties the reader's table, which this encoder never
   * uses, and pays every update that is owed after a lowered SETTINGS_HEADER_TABLE_SIZE (§4.2).
   */
  readonly emptyTable?: boolean;
}

const TABLE_SIZE_ZERO = 0x20;
const INDEXED = 0x80;
const NEVER_INDEXED = 0x10;
const WITHOUT_INDEXING = 0x00;
const HUFFMAN = 0x80;
/** An integer below 2^32: the octet with its prefix and five more. */
const INTEGER_OCTETS_MAX = 6;

/** Indexes by name: the first with that name, and those with a value besides. */
const STATIC_INDEXES: ReadonlyMap<string, StaticName> = staticIndexes();

interface StaticName {
  readonly index: number;
  readonly values: Map<string, number>;
}

function staticIndexes(): Map<string, StaticName> {
  const names = new Map<string, StaticName>();
  STATIC_TABLE.forEach((entry, index) => {
    if (entry === undefined) return;
    const [name, value] = entry.field;
    const known = names.get(name) ?? { index, values: new Map<string, number>() };
    known.values.set(value, index);
    names.set(name, known);
  });
  return names;
}

/** Names must be lower-case already; names and values are octets as latin-1. */
export function encodeFieldBlock(
  fields: readonly FieldToEncode[],
  options: EncodeOptions = {},
): Uint8Array {
  const block = new Uint8Array(roomFor(fields));
  let at = 0;
  if (options.emptyTable === true) block[at++] = TABLE_SIZE_ZERO;
  for (const { field: [name, value], neverIndexed } of fields) {
    const known = STATIC_INDEXES.get(name);
    const index = neverIndexed ? undefined : known?.values.get(value);
    if (index !== undefined) {
      at = writeInteger(index, INDEXED, 0x7f, block, at);
      continue;
    }
    at = writeInteger(known?.index ?? 0, neverIndexed ? NEVER_INDEXED : WITHOUT_INDEXING, 0x0f, block, at);
    if (known === undefined) at = writeString(name, block, at);
    at = writeString(value, block, at);
  }
  return block.subarray(0, at);
}

/** What the block takes at most: strings are written in Huffman code only where that is shorter. */
function roomFor(fields: readonly FieldToEncode[]): number {
  let room = 1;
  for (const { field: [name, value] } of fields) room += name.length + value.length + 3 * INTEGER_OCTETS_MAX;
  return room;
}

/** §5.1. `mask` is the prefix with all bits set; `pattern` are the bits before it. */
function writeInteger(value: number, pattern: number, mask: number, block: Uint8Array, at: number): number {
  if (value < mask) {
    block[at] = pattern | value;
    return at + 1;
  }
  block[at++] = pattern | mask;
  let rest = value - mask;
  while (rest >= 0x80) {
    block[at++] = rest % 0x80 | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  block[at++] = rest;
  return at;
}

/** §5.2. */
function writeString(text: string, block: Uint8Array, at: number): number {
  const encodedBytes = huffmanEncodedBytes(text);
  if (encodedBytes < text.length) {
    return huffmanEncode(text, block, writeInteger(encodedBytes, HUFFMAN, 0x7f, block, at));
  }
  at = writeInteger(text.length, 0, 0x7f, block, at);
  writeLatin1(text, block, at);
  return at + text.length;
}
