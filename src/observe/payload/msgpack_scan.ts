/**
 * Goes through a message of MsgPack before anything is made of it: whether it is whole, within limits and said only
 * in formats of the specification. Its work and its memory are bounded by the octets there are, whatever they claim.
 */
import { decodeUtf8 } from "../../core/utf8.ts";

/** What a message may have; of octets in all the caller has a limit. */
export const MSGPACK_LIMITS = {
  /** Arrays and maps within each other. */
  depth: 64,
  /** Elements of one array, pairs of one map. */
  elements: 65_536,
  /** Octets of one string, of one binary, of the data of one extension. */
  octets: 1024 * 1024,
  /** Values in all. */
  values: 262_144,
} as const;

/** Where an extension lies: its type is the octet before its data. */
export interface ExtensionAt {
  readonly typeAt: number;
  readonly type: number;
}

export type MsgPackScan =
  | {
    readonly type: "whole";
    readonly extensions: readonly ExtensionAt[];
    /** Where the strings begin that begin with a byte order mark, by their number among all strings. */
    readonly marked: ReadonlyMap<number, number>;
    /** Pairs of all its maps. */
    readonly pairs: number;
    /** The message is a map, not empty, whose keys are all strings that are not empty. */
    readonly isRecord: boolean;
  }
  | { readonly type: "error"; readonly detail: string };

class Broken extends Error {}

export function scanMsgPack(content: Uint8Array): MsgPackScan {
  try {
    return new Scanner(content).scan();
  } catch (error) {
    if (error instanceof Broken) return { type: "error", detail: `msgpack: ${error.message}` };
    throw error;
  }
}

class Scanner {
  #at = 0;
  readonly #view: DataView;
  readonly #extensions: ExtensionAt[] = [];
  readonly #marked = new Map<number, number>();
  #strings = 0;
  #pairs = 0;
  /** Of each array or map that is open: values still to come. */
  readonly #open: number[] = [];

  constructor(private readonly content: Uint8Array) {
    this.#view = new DataView(content.buffer, content.byteOffset, content.length);
  }

  scan(): MsgPackScan {
    let isRecord = false;
    let left = 1;
    for (let values = 0; left > 0; values++) {
      if (values >= MSGPACK_LIMITS.values) throw new Broken(`more than ${MSGPACK_LIMITS.values} values`);
      const isKey = this.#open.length === 1 && isRecord && this.#open[0]! % 2 === 0;
      const [kind, children] = this.#value();
      if (values === 0) isRecord = kind === "map" && children > 0;
      else if (isKey && kind !== "name") isRecord = false;
      if (children > 0) {
        if (this.#open.length >= MSGPACK_LIMITS.depth) {
          throw new Broken(`nested deeper than ${MSGPACK_LIMITS.depth}`);
        }
        this.#open.push(children);
      } else this.#closed();
      left = this.#open.length;
    }
    const trailing = this.content.length - this.#at;
    if (trailing > 0) throw new Broken(`${trailing} octets after the message`);
    return {
      type: "whole",
      extensions: this.#extensions,
      marked: this.#marked,
      pairs: this.#pairs,
      isRecord,
    };
  }

  /** A value is complete, and with it all that only waited for it. */
  #closed(): void {
    while (this.#open.length > 0) {
      const top = this.#open.length - 1;
      const left = this.#open[top]! - 1;
      if (left > 0) {
        this.#open[top] = left;
        return;
      }
      this.#open.pop();
    }
  }

  /** The kind of the next value, as far as it matters, and how many values are within it. */
  #value(): [kind: "map" | "name" | "other", children: number] {
    const format = this.#octets(1);
    const byte = this.content[format]!;
    if (byte <= 0x7f || byte >= 0xe0) return ["other", 0];
    if (byte <= 0x8f) return this.#map(byte & 0x0f);
    if (byte <= 0x9f) return this.#array(byte & 0x0f);
    if (byte <= 0xbf) return this.#string(byte & 0x1f);
    switch (byte) {
      case 0xc0: // nil
      case 0xc2: // false
      case 0xc3: // true
        return ["other", 0];
      case 0xc1:
        throw new Broken(`octet ${format} is 0xc1, which is never used`);
      case 0xc4:
      case 0xc5:
      case 0xc6:
        this.#octets(this.#length(byte - 0xc4, "a binary"));
        return ["other", 0];
      case 0xc7:
      case 0xc8:
      case 0xc9:
        return this.#extension(this.#length(byte - 0xc7, "an extension"));
      case 0xca:
        return this.#fixed(4);
      case 0xcb:
        return this.#fixed(8);
      case 0xcc:
      case 0xcd:
      case 0xce:
      case 0xcf:
        return this.#fixed(1 << (byte - 0xcc));
      case 0xd0:
      case 0xd1:
      case 0xd2:
      case 0xd3:
        return this.#fixed(1 << (byte - 0xd0));
      case 0xd4:
      case 0xd5:
      case 0xd6:
      case 0xd7:
      case 0xd8:
        return this.#extension(1 << (byte - 0xd4));
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.#string(this.#length(byte - 0xd9, "a string"));
      case 0xdc:
      case 0xdd:
        return this.#array(this.#unsigned(byte === 0xdc ? 1 : 2));
      default: // 0xde, 0xdf
        return this.#map(this.#unsigned(byte === 0xde ? 1 : 2));
    }
  }

  /** Takes so many octets and gives where they begin. */
  #octets(count: number): number {
    const start = this.#at;
    if (count > this.content.length - start) {
      throw new Broken(`${this.content.length} octets are not the whole message`);
    }
    this.#at = start + count;
    return start;
  }

  #fixed(octets: number): ["other", 0] {
    this.#octets(octets);
    return ["other", 0];
  }

  /** `size`: 0, 1 or 2 for one, two or four octets. */
  #unsigned(size: number): number {
    const at = this.#octets(1 << size);
    return size === 0 ? this.content[at]! : size === 1 ? this.#view.getUint16(at) : this.#view.getUint32(at);
  }

  #length(size: number, what: string): number {
    const length = this.#unsigned(size);
    if (length > MSGPACK_LIMITS.octets) {
      throw new Broken(`${what} of ${length} octets; at most ${MSGPACK_LIMITS.octets} are read`);
    }
    return length;
  }

  #string(length: number): ["name" | "other", 0] {
    const start = this.#octets(length);
    const { content } = this;
    const isMarked = length >= 3 && content[start] === 0xef && content[start + 1] === 0xbb &&
      content[start + 2] === 0xbf;
    if (isMarked) this.#marked.set(this.#strings, start);
    this.#strings++;
    if (decodeUtf8(this.content.subarray(start, start + length)) === null) {
      throw new Broken(`the string at octet ${start} is not UTF-8`);
    }
    return [length > 0 ? "name" : "other", 0];
  }

  #extension(length: number): ["other", 0] {
    const typeAt = this.#octets(1);
    this.#octets(length);
    this.#extensions.push({ typeAt, type: this.#view.getInt8(typeAt) });
    return ["other", 0];
  }

  #array(elements: number): ["other", number] {
    return ["other", this.#children(elements, 1, "an array")];
  }

  #map(pairs: number): ["map", number] {
    const children = this.#children(pairs, 2, "a map");
    this.#pairs += pairs;
    return ["map", children];
  }

  /** Every value takes an octet at least: what cannot be there is not waited for. */
  #children(count: number, each: number, what: string): number {
    if (count > MSGPACK_LIMITS.elements) {
      throw new Broken(`${what} of ${count}; at most ${MSGPACK_LIMITS.elements} are read`);
    }
    if (count * each > this.content.length - this.#at) {
      throw new Broken(`${this.content.length} octets are not the whole message`);
    }
    return count * each;
  }
}
