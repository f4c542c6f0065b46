/**
 * Brotli (RFC 7932) from input that comes in pieces: all that can be said of the octets so far comes out, also
 * before a fault. It is written here because the decoders there are want the whole message, or lose what came out
 * before a fault, or report none (see the README). What is not in the stream yet suspends the generator below.
 */
import contexts from "brotli/dec/context.js";
import { Bits, MISSING } from "./bits.ts";
import { FORM_BYTES_MAX, writeWord } from "./dictionary.ts";
import { type Deliver, History } from "./history.ts";
import { PrefixCode } from "./prefix_code.ts";

/** What prefix codes may take without being paid for by themselves; a stream can have 768 of them, 1.7 MB in all. */
export const CODES_FREE_BYTES = 128 * 1024;
const CODES_STEP_BYTES = 64 * 1024;

export type BrotliResult =
  | { readonly type: "more"; readonly unused: number }
  | { readonly type: "stopped" }
  | { readonly type: "error"; readonly detail: string };

export class BrotliDecoder {
  /** What references may be to, in octets; 0 until the stream has said it. */
  windowBytes = 0;
  readonly #bits = new Bits();
  #history: History | null = null;
  /** A word of the dictionary on its way. */
  #word: Uint8Array | null = null;
  readonly #steps: Generator<undefined, void>;
  #deliver: Deliver = () => true;
  #over = false;
  #error: string | null = null;
  readonly #reserve: (bytes: number) => boolean;
  /** What the prefix codes of the block under way take, and what is paid for. */
  #codeBytes = 0;
  #codeBytesPaid = CODES_FREE_BYTES;

  /** `reserve` is asked for room where there are more prefix codes than most streams have. */
  constructor(reserve: (bytes: number) => boolean = () => true) {
    this.#reserve = reserve;
    this.#steps = this.#stream();
  }

  push(input: Uint8Array, deliver: Deliver): BrotliResult {
    if (this.#error !== null) return { type: "error", detail: this.#error };
    this.#bits.give(input);
    this.#deliver = deliver;
    try {
      if (!this.#over && this.#steps.next().done === true) this.#over = true;
      if (this.#history?.flush(deliver) === false) return { type: "stopped" };
      if (this.#over && !this.#bits.isEmpty) throw new Broken("octets after the end of the stream");
      return { type: "more", unused: 0 };
    } catch (error) {
      if (error instanceof Stopped) return { type: "stopped" };
      if (!(error instanceof Broken)) throw error;
      this.#error = error.message;
      return this.#history?.flush(deliver) === false
        ? { type: "stopped" }
        : { type: "error", detail: error.message };
    }
  }

  /** Null where the stream was whole. */
  end(): string | null {
    return this.#error ?? (this.#over ? null : "unexpected end of file");
  }

  // The stream, each part as RFC 7932 §9 and §10 have it

  *#stream(): Generator<undefined, void> {
    const windowBits = yield* this.#windowBits();
    this.windowBytes = 2 ** windowBits - 16;
    const history = this.#history = new History(windowBits);
    const distances = new Distances();
    for (let isLast = false; !isLast;) {
      isLast = (yield* this.#read(1)) === 1;
      if (isLast && (yield* this.#read(1)) === 1) break;
      const nibbles = (yield* this.#read(2)) + 4;
      if (nibbles === 7) {
        yield* this.#metadata();
        continue;
      }
      const length = (yield* this.#number(nibbles, 4, 4)) + 1;
      if (!isLast && (yield* this.#read(1)) === 1) yield* this.#uncompressed(length, history);
      else yield* this.#compressed(length, history, distances);
    }
    this.#align();
  }

  *#windowBits(): Generator<undefined, number> {
    if ((yield* this.#read(1)) === 0) return 16;
    const large = yield* this.#read(3);
    if (large > 0) return 17 + large;
    const small = yield* this.#read(3);
    if (small === 1) throw new Broken("a window of a reserved size");
    return small === 0 ? 17 : 8 + small;
  }

  /** So many digits of so many bits each; the last of more than `fewest` is not zero. */
  *#number(digits: number, bits: number, fewest: number): Generator<undefined, number> {
    let value = 0;
    for (let digit = 0; digit < digits; digit++) {
      const next = yield* this.#read(bits);
      if (next === 0 && digit === digits - 1 && digits > fewest) {
        throw new Broken("a length with zeros before it");
      }
      value += next * 2 ** (digit * bits);
    }
    return value;
  }

  *#metadata(): Generator<undefined, void> {
    if ((yield* this.#read(1)) === 1) throw new Broken("a reserved bit is set");
    const digits = yield* this.#read(2);
    let left = digits === 0 ? 0 : (yield* this.#number(digits, 8, 1)) + 1;
    this.#align();
    while (left > 0) {
      const { length } = this.#bits.octets(left);
      left -= length;
      if (length === 0) yield;
    }
  }

  *#uncompressed(length: number, history: History): Generator<undefined, void> {
    this.#align();
    for (let left = length; left > 0;) {
      const octets = this.#bits.octets(left);
      if (octets.length === 0) yield;
      else if (!history.write(octets, this.#deliver)) throw new Stopped();
      left -= octets.length;
    }
  }

  *#compressed(length: number, history: History, distances: Distances): Generator<undefined, void> {
    const bits = this.#bits;
    // Those of the block before are not needed any more.
    this.#codeBytes = 0;
    const literalBlocks = yield* this.#blocks();
    const commandBlocks = yield* this.#blocks();
    const distanceBlocks = yield* this.#blocks();
    const postfixBits = yield* this.#read(2);
    const direct = (yield* this.#read(4)) << postfixBits;
    const modes = new Uint8Array(literalBlocks.types);
    for (let type = 0; type < modes.length; type++) modes[type] = yield* this.#read(2);
    const literalMap = yield* this.#contextMap(literalBlocks.types * 64);
    const distanceMap = yield* this.#contextMap(distanceBlocks.types * 4);
    const literalCodes = yield* this.#codes(literalMap.codes, 256);
    const commandCodes = yield* this.#codes(commandBlocks.types, 704);
    const distanceCodes = yield* this.#codes(distanceMap.codes, 16 + direct + (48 << postfixBits));
    const { lookup, lookupOffsets } = CONTEXTS;

    for (let left = length; left > 0;) {
      if (commandBlocks.left === 0) yield* this.#switchBlock(commandBlocks);
      commandBlocks.left--;
      let command: number;
      while ((command = bits.symbol(commandCodes[commandBlocks.type]!)) === MISSING) yield;
      const insertCode = INSERT_CODES[command >>> 6]! + ((command >>> 3) & 7);
      const copyCode = COPY_CODES[command >>> 6]! + (command & 7);
      // Not by `#read`: a generator for each number would take most of the time.
      let [insertExtra, copyExtra] = [0, 0];
      while ((insertExtra = bits.read(INSERT_BITS[insertCode]!)) === MISSING) yield;
      while ((copyExtra = bits.read(COPY_BITS[copyCode]!)) === MISSING) yield;
      const inserted = INSERT_BASES[insertCode]! + insertExtra;
      const copied = COPY_BASES[copyCode]! + copyExtra;

      if (inserted > left) throw new Broken("more literals than the block has");
      left -= inserted;
      let last = history.back(1);
      let beforeLast = history.back(2);
      for (let literals = inserted; literals > 0; literals--) {
        if (literalBlocks.left === 0) yield* this.#switchBlock(literalBlocks);
        literalBlocks.left--;
        const { type } = literalBlocks;
        const mode = 2 * modes[type]!;
        const context = lookup[lookupOffsets[mode]! + last]! | lookup[lookupOffsets[mode + 1]! + beforeLast]!;
        const code = literalCodes[literalMap.map[64 * type + context]!]!;
        let literal: number;
        while ((literal = bits.symbol(code)) === MISSING) yield;
        if (!history.push(literal, this.#deliver)) throw new Stopped();
        beforeLast = last;
        last = literal;
      }
      if (left === 0) return;

      let distanceCode = 0;
      if (command >= 128) {
        if (distanceBlocks.left === 0) yield* this.#switchBlock(distanceBlocks);
        distanceBlocks.left--;
        const context = 4 * distanceBlocks.type + Math.min(copied, 5) - 2;
        const code = distanceCodes[distanceMap.map[context]!]!;
        while ((distanceCode = bits.symbol(code)) === MISSING) yield;
      }
      let distance = distances.short(distanceCode);
      if (distance === null) {
        const index = distanceCode - 16 - direct;
        if (index < 0) distance = distanceCode - 15;
        else {
          const high = index >>> postfixBits;
          const extraBits = (high >>> 1) + 1;
          let extra = 0;
          while ((extra = bits.read(extraBits)) === MISSING) yield;
          const offset = 2 ** extraBits * (2 + (high & 1)) - 4;
          distance = (offset + extra) * 2 ** postfixBits + (index & ((1 << postfixBits) - 1)) + direct + 1;
        }
      }
      if (distance <= 0) throw new Broken("a distance below 1");
      const distanceMax = Math.min(this.windowBytes, history.length);
      if (distance <= distanceMax) {
        if (copied > left) throw new Broken("a copy that is longer than the block");
        if (distanceCode !== 0) distances.add(distance);
        if (!history.copy(distance, copied, this.#deliver)) throw new Stopped();
        left -= copied;
      } else {
        const word = this.#word ??= new Uint8Array(FORM_BYTES_MAX);
        const bytes = writeWord(word, copied, distance - distanceMax - 1, decompress);
        if (bytes === null) throw new Broken("a reference before the beginning");
        if (bytes > left) throw new Broken("a word that is longer than the block");
        if (!history.write(word.subarray(0, bytes), this.#deliver)) throw new Stopped();
        left -= bytes;
      }
    }
  }

  /** §9.2: a category of blocks, and how long its first one is. */
  *#blocks(): Generator<undefined, Blocks> {
    const types = (yield* this.#count()) + 1;
    if (types === 1) return new Blocks(1, null);
    const typeCode = yield* this.#code(types + 2);
    const lengthCode = yield* this.#code(26);
    const blocks = new Blocks(types, { typeCode, lengthCode });
    blocks.left = yield* this.#blockLength(lengthCode);
    return blocks;
  }

  /** §6: the block that begins now. */
  *#switchBlock(blocks: Blocks): Generator<undefined, void> {
    if (blocks.codes === null) throw new Broken("a block goes on behind its end");
    let type: number;
    while ((type = this.#bits.symbol(blocks.codes.typeCode)) === MISSING) yield;
    blocks.next(type);
    blocks.left = yield* this.#blockLength(blocks.codes.lengthCode);
  }

  *#blockLength(code: PrefixCode): Generator<undefined, number> {
    let symbol: number;
    while ((symbol = this.#bits.symbol(code)) === MISSING) yield;
    return BLOCK_BASES[symbol]! + (yield* this.#read(BLOCK_BITS[symbol]!));
  }

  /** §9.2: 0 to 255 in one to eleven bits. */
  *#count(): Generator<undefined, number> {
    if ((yield* this.#read(1)) === 0) return 0;
    const bits = yield* this.#read(3);
    return (1 << bits) + (yield* this.#read(bits));
  }

  /** §7.3. */
  *#contextMap(size: number): Generator<undefined, { map: Uint8Array; codes: number }> {
    const map = new Uint8Array(size);
    const codes = (yield* this.#count()) + 1;
    if (codes === 1) return { map, codes };
    const runs = (yield* this.#read(1)) === 0 ? 0 : (yield* this.#read(4)) + 1;
    const code = yield* this.#code(codes + runs);
    for (let at = 0; at < size;) {
      let symbol: number;
      while ((symbol = this.#bits.symbol(code)) === MISSING) yield;
      if (symbol > runs) map[at++] = symbol - runs;
      else {
        // A run of zeros; what is there is zero already.
        at += symbol === 0 ? 1 : (1 << symbol) + (yield* this.#read(symbol));
        if (at > size) throw new Broken("a context map that is too long");
      }
    }
    if ((yield* this.#read(1)) === 1) moveToFront(map);
    return { map, codes };
  }

  *#codes(count: number, symbols: number): Generator<undefined, PrefixCode[]> {
    const codes: PrefixCode[] = [];
    for (let index = 0; index < count; index++) codes.push(yield* this.#code(symbols));
    return codes;
  }

  /** §3.4 and §3.5: a prefix code for so many symbols. */
  *#code(symbols: number): Generator<undefined, PrefixCode> {
    const skipped = yield* this.#read(2);
    const lengths = new Uint8Array(symbols);
    if (skipped === 1) yield* this.#simpleLengths(lengths);
    else yield* this.#complexLengths(lengths, skipped);
    const code = new PrefixCode(lengths);
    this.#codeBytes += code.heldBytes;
    while (this.#codeBytes > this.#codeBytesPaid) {
      if (!this.#reserve(CODES_STEP_BYTES)) {
        throw new Broken("its prefix codes are more than there is room for");
      }
      this.#codeBytesPaid += CODES_STEP_BYTES;
    }
    return code;
  }

  *#simpleLengths(lengths: Uint8Array): Generator<undefined, void> {
    const count = (yield* this.#read(2)) + 1;
    const bits = 32 - Math.clz32(lengths.length - 1);
    const symbols: number[] = [];
    for (let index = 0; index < count; index++) {
      const symbol = yield* this.#read(bits);
      if (symbol >= lengths.length || symbols.includes(symbol)) throw new Broken("a symbol that cannot be");
      symbols.push(symbol);
    }
    const shape = count === 4 && (yield* this.#read(1)) === 1 ? 4 : count - 1;
    for (const [index, symbol] of symbols.entries()) lengths[symbol] = SIMPLE_LENGTHS[shape]![index]!;
  }

  *#complexLengths(lengths: Uint8Array, skipped: number): Generator<undefined, void> {
    const ofLengths = new Uint8Array(18);
    let [space, used] = [32, 0];
    for (let index = skipped; index < LENGTH_ORDER.length && space > 0; index++) {
      let length: number;
      while ((length = this.#bits.symbol(LENGTH_CODE)) === MISSING) yield;
      ofLengths[LENGTH_ORDER[index]!] = length;
      if (length === 0) continue;
      space -= 32 >>> length;
      used++;
    }
    if (space !== 0 && used !== 1) throw new Broken("a prefix code that is not complete");
    const code = new PrefixCode(ofLengths);
    let [at, left, before, repeated, repeats] = [0, 32768, 8, 0, 0];
    while (at < lengths.length && left > 0) {
      let length: number;
      while ((length = this.#bits.symbol(code)) === MISSING) yield;
      if (length < 16) {
        repeats = 0;
        lengths[at++] = length;
        if (length === 0) continue;
        before = length;
        left -= 32768 >>> length;
        continue;
      }
      // 16 repeats the last length that is not zero, 17 zero. Another one right after it makes a longer run.
      const extraBits = length - 14;
      const value = length === 16 ? before : 0;
      if (value !== repeated) repeats = 0;
      repeated = value;
      const had = repeats;
      repeats = (had > 0 ? (had - 2) << extraBits : 0) + (yield* this.#read(extraBits)) + 3;
      const added = repeats - had;
      if (at + added > lengths.length) throw new Broken("more lengths than symbols");
      lengths.fill(value, at, at + added);
      at += added;
      if (value > 0) left -= added * (32768 >>> value);
    }
    if (left !== 0) throw new Broken("a prefix code that is not complete");
  }

  *#read(count: number): Generator<undefined, number> {
    let value: number;
    while ((value = this.#bits.read(count)) === MISSING) yield;
    return value;
  }

  /** §9.2: bits that only fill an octet are zero. */
  #align(): void {
    if (this.#bits.align() !== 0) throw new Broken("bits that have to be zero");
  }
}

class Broken extends Error {}
class Stopped extends Error {}

/** §6: blocks of one category, of which each type has codes of its own. */
class Blocks {
  type = 0;
  /** Symbols until the next block begins. */
  left: number;
  #before = 1;

  constructor(
    readonly types: number,
    readonly codes: { readonly typeCode: PrefixCode; readonly lengthCode: PrefixCode } | null,
  ) {
    this.left = codes === null ? Infinity : 0;
  }

  next(code: number): void {
    const type = code === 0 ? this.#before : code === 1 ? (this.type + 1) % this.types : code - 2;
    this.#before = this.type;
    this.type = type;
  }
}

/** §4: the last four distances. */
class Distances {
  readonly #last = [4, 11, 15, 16];

  /** What one of the sixteen short codes says; null for any other. */
  short(code: number): number | null {
    if (code >= 16) return null;
    if (code < 4) return this.#last[code]!;
    return code < 10 ? this.#last[0]! + SHORT_STEPS[code - 4]! : this.#last[1]! + SHORT_STEPS[code - 10]!;
  }

  add(distance: number): void {
    this.#last.pop();
    this.#last.unshift(distance);
  }
}

const SHORT_STEPS = [-1, 1, -2, 2, -3, 3];

/** §7.3: the inverse of the transform. */
function moveToFront(map: Uint8Array): void {
  const values = Uint8Array.from({ length: 256 }, (_, index) => index);
  for (let at = 0; at < map.length; at++) {
    const index = map[at]!;
    const value = values[index]!;
    map[at] = value;
    values.copyWithin(1, 0, index);
    values[0] = value;
  }
}

/** A whole stream that needs no dictionary. */
function decompress(content: Uint8Array): Uint8Array {
  const parts: number[] = [];
  const result = new BrotliDecoder().push(content, (output) => {
    for (const octet of output) parts.push(octet);
    return true;
  });
  if (result.type !== "more") throw new Error("the dictionary of brotli is damaged");
  return Uint8Array.from(parts);
}

/** §7.1: of each mode, where the part of the last octet and that of the one before begin. The package has no types. */
const CONTEXTS: { readonly lookup: Uint8Array; readonly lookupOffsets: Uint16Array } = contexts;

const SIMPLE_LENGTHS = [[1], [1, 1], [1, 2, 2], [2, 2, 2, 2], [1, 2, 3, 3]];
const LENGTH_ORDER = [1, 2, 3, 4, 0, 5, 17, 6, 16, 7, 8, 9, 10, 11, 12, 13, 14, 15];
/** §3.5: how the lengths of the code for lengths are written: 0, 3 and 4 in two bits, 2 in three, 1 and 5 in four. */
const LENGTH_CODE = new PrefixCode(Uint8Array.of(2, 4, 3, 2, 2, 4));

/** §5: where the insert and copy codes of a command's 64 begin. */
const INSERT_CODES = [0, 0, 0, 0, 8, 8, 0, 16, 8, 16, 16];
const COPY_CODES = [0, 8, 0, 8, 0, 8, 16, 0, 16, 8, 16];
const INSERT_BITS = [0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 7, 8, 9, 10, 12, 14, 24];
const COPY_BITS = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 7, 8, 9, 10, 24];
const BLOCK_BITS = [2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 6, 6, 7, 8, 9, 10, 11, 12, 13, 24];
const INSERT_BASES = bases(0, INSERT_BITS);
const COPY_BASES = bases(2, COPY_BITS);
const BLOCK_BASES = bases(1, BLOCK_BITS);

/** Each code begins where the one before it ends. */
function bases(first: number, bits: readonly number[]): number[] {
  const starts = [first];
  for (const count of bits.slice(0, -1)) starts.push(starts.at(-1)! + 2 ** count);
  return starts;
}
