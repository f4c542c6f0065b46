/**
 * An HPACK encoder that uses all that RFC 7541 allows, as told step by step. It keeps its table as a
 * plain list, apart from the tables of `src/http2`, so that the two check each other.
 */
import { HUFFMAN_CODES, HUFFMAN_LENGTHS } from "../../src/http2/huffman.ts";
import { STATIC_TABLE } from "../../src/http2/hpack_table.ts";

export type Representation = "indexed" | "with_indexing" | "without_indexing" | "never_indexed";

export interface PeerField {
  readonly name: string;
  readonly value: string;
  /** What it would like; what is not in a table cannot be `indexed` and is inserted instead. */
  readonly as: Representation;
  readonly huffman: boolean;
  readonly nameByIndex: boolean;
}

export class HpackPeer {
  maxSize = 4096;
  table: (readonly [string, string])[] = [];

  get size(): number {
    return this.table.reduce((size, [name, value]) => size + name.length + value.length + 32, 0);
  }

  sizeUpdate(maxSize: number): number[] {
    this.maxSize = maxSize;
    this.#evict();
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
      this.table.unshift([name, value]);
      this.#evict();
    }
    return [...first, ...nameIndex === 0 ? string(name, huffman) : [], ...string(value, huffman)];
  }

  #find(test: (entry: readonly [string, string]) => boolean): number {
    const inStatic = STATIC_TABLE.findIndex((entry) => entry !== undefined && test(entry.field));
    if (inStatic > 0) return inStatic;
    const age = this.table.findIndex(test);
    return age < 0 ? -1 : 62 + age;
  }

  #evict(): void {
    while (this.size > this.maxSize) this.table.pop();
  }
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
  const bits = octets.map((octet) => HUFFMAN_CODES[octet]!.toString(2).padStart(HUFFMAN_LENGTHS[octet]!, "0"))
    .join("");
  const encoded = (bits.match(/.{1,8}/g) ?? []).map((part) => parseInt(part.padEnd(8, "1"), 2));
  return [...integer(encoded.length, 7, 0x80), ...encoded];
}
