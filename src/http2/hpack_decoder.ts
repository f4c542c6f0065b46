/**
 * Decodes field blocks (RFC 7541 §3 and §6): one decoder for each direction of a connection, since
 * its table is what all blocks before have left in it.
 *
 * A list over a limit is still decoded to its end, so that the table stays in step with the
 * encoder's: its fields are dropped and the answer is a stream error, after which the decoder goes
 * on. Every other error leaves the table unknown: it ends the connection, and the decoder answers
 * nothing else any more.
 */
import type { Side } from "../core/side.ts";
import { type Http2Error, http2Error, type Http2ErrorCode } from "./errors.ts";
import { expectListAgain } from "./field_section.ts";
import {
  DynamicTable,
  type FieldKind,
  fieldKind,
  type HpackField,
  hpackField,
  STATIC_TABLE,
  STATIC_TABLE_LENGTH,
} from "./hpack_table.ts";
import { EOS_FOUND, huffmanDecode, huffmanDecodedBytesMax } from "./huffman.ts";
import { readLatin1 } from "../core/latin1.ts";

export interface HpackLimits {
  /** Names, values and 32 octets a field (RFC 9113 §6.5.2). */
  readonly maxHeaderListSize: number;
  /** An index of one octet can name a field, so the size alone does not bound their number well. */
  readonly maxHeaderFields: number;
  /** The largest dynamic table that is kept, whatever the receiver's SETTINGS would allow the encoder. */
  readonly maxTableBytes: number;
}

/** The same object for each block that says the same by the table alone, until the table changes. */
export interface DecodedBlock {
  readonly type: "fields";
  readonly fields: readonly HpackField[];
  /** The size of the list by RFC 9113 §6.5.2. */
  readonly listSize: number;
}

/** The value of SETTINGS_HEADER_TABLE_SIZE until another is acknowledged (RFC 9113 §6.5.2). */
export const DEFAULT_TABLE_BYTES = 4096;

// The representations of §6 by their first octet.
const INDEXED = 0x80;
const WITH_INDEXING = 0x40;
const SIZE_UPDATE = 0x20;
const NEVER_INDEXED = 0x10;

const HUFFMAN = 0x80;
/** Larger strings get memory of their own, which is not kept. */
const SCRATCH_BYTES = 16 * 1024;
/** Where Huffman strings are decoded to before they become strings: used within one call only, so one is enough. */
const scratch = new Uint8Array(SCRATCH_BYTES);

/** 2^32 - 1, the largest setting there is, takes five octets after the prefix (§5.1 asks for a bound). */
const INTEGER_OCTETS_MAX = 5;
const INTEGER_MAX = 0xffff_ffff;

const KNOWN_BLOCKS_MAX = 32;
const KNOWN_BLOCK_BYTES_MAX = 128;

/** Whether a block begins and goes on with one-octet indexes alone (§6.1): it changes nothing in the table. */
function isIndexed(block: Uint8Array): boolean {
  if (block.length > KNOWN_BLOCK_BYTES_MAX) return false;
  for (let at = 0; at < block.length; at++) {
    const octet = block[at]!;
    if (octet < INDEXED || octet === 0xff) return false;
  }
  return true;
}

export class HpackDecoder {
  readonly #by: Side;
  readonly #limits: HpackLimits;
  readonly #table = new DynamicTable(DEFAULT_TABLE_BYTES);
  /** The acknowledged SETTINGS_HEADER_TABLE_SIZE. */
  #tableLimit = DEFAULT_TABLE_BYTES;
  /** The encoder must set its table to this or less before it uses it again; null where it owes nothing. */
  #owedUpdate: number | null = null;
  #error: Http2Error | null = null;

  /** Blocks of nothing but indexes, by their octets. Peers that ask for the same again send the same. */
  readonly #known = new Map<string, DecodedBlock>();

  // The block being decoded.
  #block: Uint8Array = scratch;
  #at = 0;
  #streamId = 0;

  /** `by` is the side whose blocks these are. */
  constructor(by: Side, limits: HpackLimits) {
    this.#by = by;
    this.#limits = limits;
  }

  /** Octets in the dynamic table, as HPACK counts them. */
  get tableSize(): number {
    return this.#table.size;
  }

  /** The table's maximum as the encoder last set it. */
  get tableMaxSize(): number {
    return this.#table.maxSize;
  }

  /**
   * The encoding side acknowledged a SETTINGS_HEADER_TABLE_SIZE. Where that is below what the
   * encoder's table may hold, it owes an update (RFC 9113 §4.3.1, RFC 7541 §4.2): before the next
   * field if more than that is in the table now, and before the next insertion in any case. Until
   * then nobody can tell the two tables apart, and encoders that never insert anything owe nothing.
   */
  setTableLimit(bytes: number): void {
    this.#tableLimit = bytes;
    if (bytes < (this.#owedUpdate ?? this.#table.maxSize)) this.#owedUpdate = bytes;
  }

  /** `streamId` is only for the errors. */
  decode(block: Uint8Array, streamId: number): DecodedBlock | Http2Error {
    if (this.#error !== null) return this.#error;
    const key = this.#owedUpdate === null && isIndexed(block) ? readLatin1(block, 0, block.length) : null;
    if (key !== null) {
      const known = this.#known.get(key);
      if (known !== undefined) return known;
    }
    this.#block = block;
    this.#at = 0;
    this.#streamId = streamId;
    const result = this.#decodeBlock();
    this.#block = scratch;
    if (key !== null && result.type === "fields") this.#know(key, result);
    return result;
  }

  #know(key: string, block: DecodedBlock): void {
    if (this.#known.size >= KNOWN_BLOCKS_MAX) this.#known.clear();
    this.#known.set(key, block);
    expectListAgain(block.fields);
  }

  #decodeBlock(): DecodedBlock | Http2Error {
    const block = this.#block;
    const { maxHeaderListSize, maxHeaderFields } = this.#limits;
    let fields: HpackField[] = [];
    let count = 0;
    let listSize = 0;
    while (this.#at < block.length) {
      const octet = block[this.#at]!;
      let field: HpackField | null;
      if ((octet & INDEXED) !== 0) {
        if (this.#owesBeforeField()) return this.#missingUpdate();
        field = this.#indexed(octet);
      } else if ((octet & WITH_INDEXING) !== 0) {
        if (this.#owedUpdate !== null) return this.#missingUpdate();
        field = this.#literal(octet & 0x3f, 0x3f, false);
        if (field !== null) {
          this.#table.insert(field);
          this.#known.clear();
        }
      } else if ((octet & SIZE_UPDATE) !== 0) {
        const error = this.#sizeUpdate(octet, count);
        if (error !== null) return error;
        continue;
      } else {
        if (this.#owesBeforeField()) return this.#missingUpdate();
        field = this.#literal(octet & 0x0f, 0x0f, (octet & NEVER_INDEXED) !== 0);
      }
      if (field === null) return this.#error!;
      count++;
      listSize += field.size;
      if (count <= maxHeaderFields && listSize <= maxHeaderListSize) fields.push(field);
      else if (fields.length > 0) fields = [];
    }
    if (listSize > maxHeaderListSize) {
      return http2Error(
        "header_list_too_large",
        this.#by,
        this.#streamId,
        `the header list has ${listSize} bytes, counted as name, value and 32 for each field; ` +
          `at most ${maxHeaderListSize} are allowed (http.http2_max_header_list_size)`,
      );
    }
    if (count > maxHeaderFields) {
      return http2Error(
        "too_many_fields",
        this.#by,
        this.#streamId,
        `there are ${count} field lines; at most ${maxHeaderFields} are allowed (http.max_header_fields)`,
      );
    }
    return { type: "fields", fields, listSize };
  }

  /** §6.1. Null where it failed, as with all below. */
  #indexed(octet: number): HpackField | null {
    const index = this.#integer(octet & 0x7f, 0x7f);
    return index < 0 ? null : this.#lookUp(index);
  }

  /** §6.2: the index of the name, or 0 and the name as a string; then the value. */
  #literal(prefix: number, mask: number, neverIndexed: boolean): HpackField | null {
    const index = this.#integer(prefix, mask);
    if (index < 0) return null;
    let name: string | null;
    let kind: FieldKind;
    if (index === 0) {
      name = this.#string();
      if (name === null) return null;
      kind = fieldKind(name);
    } else {
      const named = this.#lookUp(index);
      if (named === null) return null;
      name = named.field[0];
      kind = named.kind;
    }
    const value = this.#string();
    return value === null ? null : hpackField(name, value, kind, neverIndexed);
  }

  #lookUp(index: number): HpackField | null {
    const field = index <= STATIC_TABLE_LENGTH
      ? STATIC_TABLE[index]
      : this.#table.at(index - STATIC_TABLE_LENGTH - 1);
    if (field !== undefined) return field;
    this.#fail(
      "invalid_index",
      `the index ${index} names no field; there are ${STATIC_TABLE_LENGTH} static and ` +
        `${this.#table.length} dynamic ones, and none at 0`,
    );
    return null;
  }

  /** §6.3, only before the first field (§4.2). */
  #sizeUpdate(octet: number, fieldsBefore: number): Http2Error | null {
    if (fieldsBefore > 0) {
      return this.#fail(
        "misplaced_table_size_update",
        "a table size update stands behind the first field; it may only begin a block",
      );
    }
    const size = this.#integer(octet & 0x1f, 0x1f);
    if (size < 0) return this.#error;
    if (size > this.#tableLimit) {
      return this.#fail(
        "table_size_over_setting",
        `the table size is set to ${size}; SETTINGS_HEADER_TABLE_SIZE allows ${this.#tableLimit}`,
      );
    }
    if (size > this.#limits.maxTableBytes) {
      return this.#fail(
        "table_size_over_limit",
        `the table size is set to ${size}; at most ${this.#limits.maxTableBytes} bytes are kept ` +
          `(http.http2_max_table_size)`,
      );
    }
    if (this.#owedUpdate !== null) {
      // Of several settings between two blocks the smallest must be signalled too (§4.2).
      if (size > this.#owedUpdate) return this.#missingUpdate();
      this.#owedUpdate = null;
    }
    this.#table.resize(size);
    this.#known.clear();
    return null;
  }

  #owesBeforeField(): boolean {
    return this.#owedUpdate !== null && this.#table.size > this.#owedUpdate;
  }

  #missingUpdate(): Http2Error {
    return this.#fail(
      "missing_table_size_update",
      `SETTINGS_HEADER_TABLE_SIZE was lowered to ${this.#owedUpdate} and acknowledged; ` +
        `the block must begin with a table size update to that or less`,
    );
  }

  /** §5.1. `prefix` are the bits in the first octet, `mask` all of them set. -1 where it failed. */
  #integer(prefix: number, mask: number): number {
    this.#at++;
    if (prefix < mask) return prefix;
    let value = prefix;
    let factor = 1;
    for (let octets = 1; octets <= INTEGER_OCTETS_MAX; octets++) {
      const octet = this.#block[this.#at];
      if (octet === undefined) {
        this.#truncated();
        return -1;
      }
      this.#at++;
      value += (octet & 0x7f) * factor;
      if ((octet & 0x80) === 0) {
        if (value <= INTEGER_MAX) return value;
        break;
      }
      factor *= 128;
    }
    this.#fail("integer_overflow", `an integer is over ${INTEGER_MAX} or longer than that needs`);
    return -1;
  }

  /** §5.2. */
  #string(): string | null {
    const octet = this.#block[this.#at];
    if (octet === undefined) return this.#truncated();
    const length = this.#integer(octet & 0x7f, 0x7f);
    if (length < 0) return null;
    const from = this.#at;
    const to = from + length;
    if (to > this.#block.length) return this.#truncated();
    this.#at = to;
    if ((octet & HUFFMAN) === 0) return readLatin1(this.#block, from, to);
    const room = huffmanDecodedBytesMax(length);
    const target = room <= SCRATCH_BYTES ? scratch : new Uint8Array(room);
    const decoded = huffmanDecode(this.#block, from, to, target);
    if (decoded >= 0) return readLatin1(target, 0, decoded);
    if (decoded === EOS_FOUND) this.#fail("huffman_eos", "a Huffman string holds EOS, which none may");
    else {
      this.#fail(
        "invalid_huffman_padding",
        "a Huffman string does not end in fewer than eight bits of padding, all ones",
      );
    }
    return null;
  }

  #truncated(): null {
    this.#fail("truncated_block", "the field block ends in the middle of a field");
    return null;
  }

  #fail(code: Http2ErrorCode, detail: string): Http2Error {
    this.#error = http2Error(code, this.#by, this.#streamId, detail, this.#at);
    return this.#error;
  }
}
