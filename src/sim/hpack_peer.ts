/**
 * An HPACK encoder that uses all that RFC 7541 allows, as told step by step, and a decoder. They keep their tables
 * as plain lists, apart from those of `src/http2`, so that the two check each other.
 */
import { HUFFMAN_CODES, HUFFMAN_LENGTHS } from "../http2/huffman.ts";
import { STATIC_TABLE } from "../http2/hpack_table.ts";
import { textOf } from "./bytes.ts";

export type Representation = "indexed" | "with_indexing" | "without_indexing" | "never_indexed";

export interface PeerField {
  readonly name: string;
  readonly value: string;
  /** What it would like; what is not in a table cannot be `indexed` and is inserted instead. */
  readonly as: Representation;
  readonly huffman: boolean;
  readonly nameByIndex: boolean;
}

/** A dynamic table, the newest entry first. */
class PeerTable {
  maxSize = 4096;
  table: (readonly [string, string])[] = [];

  get size(): number {
    return this.table.reduce((size, [name, value]) => size + name.length + value.length + 32, 0);
  }

  protected insert(name: string, value: string): void {
    this.table.unshift([name, value]);
    this.evict();
  }

  protected evict(): void {
    let { size } = this;
    while (size > this.maxSize) {
      const [name, value] = this.table.pop()!;
      size -= name.length + value.length + 32;
    }
  }
}

export class HpackPeer extends PeerTable {
  sizeUpdate(maxSize: number): number[] {
    this.maxSize = maxSize;
    this.evict();
    return integer(maxSize, 5, 0x20);
  }

  field({ name, value, as, huffman, nameByIndex }: PeerField): number[] {
    const index = this.#find((entry) => entry[0] === name && entry[1] === value);
    if (as === "indexed" && index > 0) return integer(index, 7, 0x80);
    const nameIndex = nameByIndex ? Math.max(0, this.#find((entry) => entry[0] === name)) : 0;
    const first = as === "indexed" || as === "with_indexing"
      ? integer(nameIndex, 6, 0x40)
      : integer(nameIndex, 4, as === "never_indexed" ? 0x10 : 0);
    if (as === "indexed" || as === "with_indexing") {
      this.insert(name, value);
    }
    return [...first, ...nameIndex === 0 ? string(name, huffman) : [], ...string(value, huffman)];
  }

  #find(test: (entry: readonly [string, string]) => boolean): number {
    const inStatic = STATIC_TABLE.findIndex((entry) => entry !== undefined && test(entry.field));
    if (inStatic > 0) return inStatic;
    const age = this.table.findIndex(test);
    return age < 0 ? -1 : 62 + age;
  }
}

export interface ReadField {
  readonly name: string;
  readonly value: string;
  readonly neverIndexed: boolean;
}

/** Decodes whole blocks. What it cannot read it throws, since whoever wrote it is a part of the simulator or broken. */
export class HpackReader extends PeerTable {
  #block: Uint8Array = new Uint8Array(0);
  #at = 0;

  read(block: Uint8Array): ReadField[] {
    this.#block = block;
    this.#at = 0;
    const fields: ReadField[] = [];
    while (this.#at < block.length) {
      const octet = block[this.#at]!;
      if ((octet & 0x80) !== 0) {
        const [name, value] = this.#entry(this.#integer(7));
        fields.push({ name, value, neverIndexed: false });
      } else if ((octet & 0xe0) === 0x20) {
        if (fields.length > 0) throw new Error("a size update stands behind a field");
        this.maxSize = this.#integer(5);
        this.evict();
      } else {
        const inserts = (octet & 0x40) !== 0;
        const index = this.#integer(inserts ? 6 : 4);
        const name = index === 0 ? this.#string() : this.#entry(index)[0];
        const value = this.#string();
        if (inserts) this.insert(name, value);
        fields.push({ name, value, neverIndexed: !inserts && (octet & 0x10) !== 0 });
      }
    }
    return fields;
  }

  #entry(index: number): readonly [string, string] {
    const entry = index < STATIC_TABLE.length ? STATIC_TABLE[index]?.field : this.table[index - 62];
    if (entry === undefined) throw new Error(`index ${index} names no field`);
    return entry;
  }

  #octet(): number {
    const octet = this.#block[this.#at++];
    if (octet === undefined) throw new Error("the block is cut off");
    return octet;
  }

  #integer(prefixBits: number): number {
    const mask = 2 ** prefixBits - 1;
    let value = this.#octet() & mask;
    if (value < mask) return value;
    for (let factor = 1;; factor *= 128) {
      const octet = this.#octet();
      value += (octet & 0x7f) * factor;
      if (octet < 0x80) return value;
    }
  }

  #string(): string {
    const huffman = (this.#block[this.#at]! & 0x80) !== 0;
    const length = this.#integer(7);
    const octets = this.#block.subarray(this.#at, this.#at += length);
    if (octets.length < length) throw new Error("the block is cut off");
    return huffman ? unhuffman(octets) : textOf(octets);
  }
}

/** RFC 7541 Appendix B, from a code of so many bits to its octet. */
const OCTETS_BY_CODE: readonly ReadonlyMap<number, number>[] = Array.from(
  { length: 31 },
  (_, length) =>
    new Map(
      [...HUFFMAN_CODES.entries()].filter(([octet]) => octet < 256 && HUFFMAN_LENGTHS[octet] === length).map((
        [octet, code],
      ) => [code, octet]),
    ),
);

function bitsOf(octet: number): string {
  return HUFFMAN_CODES[octet]!.toString(2).padStart(HUFFMAN_LENGTHS[octet]!, "0");
}

function unhuffman(octets: Uint8Array): string {
  let text = "";
  let code = 0;
  let length = 0;
  for (const octet of octets) {
    for (let mask = 0x80; mask > 0; mask >>= 1) {
      code = code << 1 | ((octet & mask) === 0 ? 0 : 1);
      const found = OCTETS_BY_CODE[++length]?.get(code);
      if (found === undefined) continue;
      text += String.fromCharCode(found);
      code = length = 0;
    }
  }
  if (length > 7 || code !== 2 ** length - 1) throw new Error(`${length} bits of Huffman padding`);
  return text;
}

/** RFC 7541 §5.1, with `extra` octets more than needed. */
export function integer(value: number, prefixBits: number, pattern: number, extra = 0): number[] {
  const mask = 2 ** prefixBits - 1;
  if (value < mask) return [pattern | value];
  const octets = [pattern | mask];
  let rest = value - mask;
  while (rest >= 128) {
    octets.push(rest % 128 + 128);
    rest = Math.floor(rest / 128);
  }
  if (extra === 0) return [...octets, rest];
  return [...octets, rest + 128, ...new Array<number>(extra - 1).fill(128), 0];
}

/** RFC 7541 §5.2, the Huffman code written bit by bit. */
export function string(text: string, huffman: boolean): number[] {
  const octets = [...text].map((character) => character.charCodeAt(0));
  if (!huffman) return [...integer(octets.length, 7, 0), ...octets];
  const bits = octets.map(bitsOf).join("");
  const encoded = (bits.match(/.{1,8}/g) ?? []).map((part) => parseInt(part.padEnd(8, "1"), 2));
  return [...integer(encoded.length, 7, 0x80), ...encoded];
}
