/**
 * The words that brotli's references may be to (RFC 7932 §8): those of the dictionary, each in 121 forms. The
 * dictionary itself comes from the `brotli` package, where it lies compressed with brotli; it is made when it is needed.
 */
import compressedWords from "brotli/dec/dictionary.bin.js";

/** The package has no types of its own. */
const COMPRESSED_WORDS: string = compressedWords;

export const WORD_BYTES_MIN = 4;
export const WORD_BYTES_MAX = 24;
/** The longest prefix and suffix around the longest word. */
export const FORM_BYTES_MAX = 13 + WORD_BYTES_MAX;

/** Of words by their length: so many bits number them (RFC 7932 appendix A, NDBITS). */
const WORD_BITS = [0, 0, 0, 0, 10, 10, 11, 11, 10, 10, 10, 10, 10, 9, 9, 8, 7, 7, 8, 7, 7, 6, 6, 5, 5];
/** Where words of a length begin. */
const WORDS_AT: readonly number[] = WORD_BITS.reduce<number[]>(
  (starts, bits, length) => [...starts, starts[length]! + (bits === 0 ? 0 : length << bits)],
  [0],
);
const WORDS_BYTES = WORDS_AT.at(-1)!;

/** Takes a whole brotli stream apart: the decoder that this dictionary belongs to, which needs none for it. */
export type Decompress = (content: Uint8Array) => Uint8Array;

let words: Uint8Array | null = null;

/** Writes the word and gives its length; null where there is none of that number. `target` has room for it. */
export function writeWord(
  target: Uint8Array,
  length: number,
  number: number,
  decompress: Decompress,
): number | null {
  if (length < WORD_BYTES_MIN || length > WORD_BYTES_MAX) return null;
  const bits = WORD_BITS[length]!;
  const form = FORMS[number >>> bits];
  if (form === undefined) return null;
  words ??= decompress(Uint8Array.fromBase64(COMPRESSED_WORDS));
  if (words.length !== WORDS_BYTES) throw new Error("the dictionary of brotli has another length");
  const start = WORDS_AT[length]! + (number & ((1 << bits) - 1)) * length;
  const [prefix, change, suffix] = form;
  let at = writeText(target, 0, prefix);
  const from = start + Math.min(length, change > 0 && change <= 9 ? change : 0);
  const to = start + Math.max(0, length + Math.min(0, change));
  const wordAt = at;
  for (let index = from; index < to; index++) target[at++] = words[index]!;
  if (change >= UPPER_FIRST && at > wordAt) {
    for (let index = wordAt; index < at;) {
      index += toUpper(target, index);
      if (change === UPPER_FIRST) break;
    }
  }
  return writeText(target, at, suffix);
}

function writeText(target: Uint8Array, at: number, text: string): number {
  for (let index = 0; index < text.length; index++) target[at++] = text.charCodeAt(index);
  return at;
}

/** RFC 7932 §8: a rough idea of upper case in UTF-8. Gives the length of the character. */
function toUpper(target: Uint8Array, at: number): number {
  const lead = target[at]!;
  if (lead < 0xc0) {
    if (lead >= 0x61 && lead <= 0x7a) target[at] = lead ^ 0x20;
    return 1;
  }
  if (lead < 0xe0) {
    target[at + 1]! ^= 0x20;
    return 2;
  }
  target[at + 2]! ^= 5;
  return 3;
}

const UPPER_FIRST = 10;
const UPPER_ALL = 11;
/** Prefix; how the word is changed: so many octets off its beginning (1 to 9), off its end (below 0), in upper case. */
type Form = readonly [prefix: string, change: number, suffix: string];

/** RFC 7932 appendix B. */
const FORMS: readonly Form[] = [
  ["", 0, ""],
  ["", 0, " "],
  [" ", 0, " "],
  ["", 1, ""],
  ["", UPPER_FIRST, " "],
  ["", 0, " the "],
  [" ", 0, ""],
  ["s ", 0, " "],
  ["", 0, " of "],
  ["", UPPER_FIRST, ""],
  ["", 0, " and "],
  ["", 2, ""],
  ["", -1, ""],
  [", ", 0, " "],
  ["", 0, ", "],
  [" ", UPPER_FIRST, " "],
  ["", 0, " in "],
  ["", 0, " to "],
  ["e ", 0, " "],
  ["", 0, '"'],
  ["", 0, "."],
  ["", 0, '">'],
  ["", 0, "\n"],
  ["", -3, ""],
  ["", 0, "]"],
  ["", 0, " for "],
  ["", 3, ""],
  ["", -2, ""],
  ["", 0, " a "],
  ["", 0, " that "],
  [" ", UPPER_FIRST, ""],
  ["", 0, ". "],
  [".", 0, ""],
  [" ", 0, ", "],
  ["", 4, ""],
  ["", 0, " with "],
  ["", 0, "'"],
  ["", 0, " from "],
  ["", 0, " by "],
  ["", 5, ""],
  ["", 6, ""],
  [" the ", 0, ""],
  ["", -4, ""],
  ["", 0, ". The "],
  ["", UPPER_ALL, ""],
  ["", 0, " on "],
  ["", 0, " as "],
  ["", 0, " is "],
  ["", -7, ""],
  ["", -1, "ing "],
  ["", 0, "\n\t"],
  ["", 0, ":"],
  [" ", 0, ". "],
  ["", 0, "ed "],
  ["", 9, ""],
  ["", 7, ""],
  ["", -6, ""],
  ["", 0, "("],
  ["", UPPER_FIRST, ", "],
  ["", -8, ""],
  ["", 0, " at "],
  ["", 0, "ly "],
  [" the ", 0, " of "],
  ["", -5, ""],
  ["", -9, ""],
  [" ", UPPER_FIRST, ", "],
  ["", UPPER_FIRST, '"'],
  [".", 0, "("],
  ["", UPPER_ALL, " "],
  ["", UPPER_FIRST, '">'],
  ["", 0, '="'],
  [" ", 0, "."],
  [".com/", 0, ""],
  [" the ", 0, " of the "],
  ["", UPPER_FIRST, "'"],
  ["", 0, ". This "],
  ["", 0, ","],
  [".", 0, " "],
  ["", UPPER_FIRST, "("],
  ["", UPPER_FIRST, "."],
  ["", 0, " not "],
  [" ", 0, '="'],
  ["", 0, "er "],
  [" ", UPPER_ALL, " "],
  ["", 0, "al "],
  [" ", UPPER_ALL, ""],
  ["", 0, "='"],
  ["", UPPER_ALL, '"'],
  ["", UPPER_FIRST, ". "],
  [" ", 0, "("],
  ["", 0, "ful "],
  [" ", UPPER_FIRST, ". "],
  ["", 0, "ive "],
  ["", 0, "less "],
  ["", UPPER_ALL, "'"],
  ["", 0, "est "],
  [" ", UPPER_FIRST, "."],
  ["", UPPER_ALL, '">'],
  [" ", 0, "='"],
  ["", UPPER_FIRST, ","],
  ["", 0, "ize "],
  ["", UPPER_ALL, "."],
  ["\u00c2\u00a0", 0, ""],
  [" ", 0, ","],
  ["", UPPER_FIRST, '="'],
  ["", UPPER_ALL, '="'],
  ["", 0, "ous "],
  ["", UPPER_ALL, ", "],
  ["", UPPER_FIRST, "='"],
  [" ", UPPER_FIRST, ","],
  [" ", UPPER_ALL, '="'],
  [" ", UPPER_ALL, ", "],
  ["", UPPER_ALL, ","],
  ["", UPPER_ALL, "("],
  ["", UPPER_ALL, ". "],
  [" ", UPPER_ALL, "."],
  ["", UPPER_ALL, "='"],
  [" ", UPPER_ALL, ". "],
  [" ", UPPER_FIRST, '="'],
  [" ", UPPER_ALL, "='"],
  [" ", UPPER_FIRST, "='"],
];
