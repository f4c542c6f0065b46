/**
 * The Huffman code of RFC 7541 §5.2 and Appendix B.
 *
 * The code is canonical: codes of one length are consecutive and in the order of their symbols, so
 * the lengths are the whole table. Decoding goes by half octets through a state machine whose
 * states are the inner nodes of the code's tree; no code is shorter than five bits, so a half octet
 * completes at most one symbol.
 */

/** Bits of the code of each octet; that of EOS (256) has 30. */
// deno-fmt-ignore
const CODE_LENGTHS = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
  28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
   6, 10, 10, 12, 13,  6,  8, 11, 10, 10,  8, 11,  8,  6,  6,  6,
   5,  5,  5,  6,  6,  6,  6,  6,  6,  6,  7,  8, 15,  6, 12, 10,
  13,  6,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,
   7,  7,  7,  7,  7,  7,  7,  7,  8,  7,  8, 13, 19, 13, 14,  6,
  15,  5,  6,  5,  6,  5,  6,  6,  6,  5,  7,  7,  6,  6,  6,  5,
   6,  7,  6,  5,  5,  6,  7,  7,  7,  7,  7, 15, 11, 14, 13, 28,
  20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
  24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
  22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
  21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
  26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
  19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
  20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
  26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
  30,
] as const;

const EOS = 256;
const LENGTH_MAX = 30;

/** By symbol, EOS included. */
export const HUFFMAN_CODES: Uint32Array = canonicalCodes();
export const HUFFMAN_LENGTHS: Uint8Array = Uint8Array.from(CODE_LENGTHS);

function canonicalCodes(): Uint32Array {
  const codes = new Uint32Array(CODE_LENGTHS.length);
  let next = 0;
  for (let length = 1; length <= LENGTH_MAX; length++) {
    for (let symbol = 0; symbol < codes.length; symbol++) {
      if (CODE_LENGTHS[symbol] === length) codes[symbol] = next++;
    }
    next *= 2;
  }
  return codes;
}

// What a half octet does in a state, as one number: the next state, what it completes and how it may end.
const NEXT_STATE = 0xff;
const SYMBOL_SHIFT = 8;
/** A symbol was completed: the octet from bit 8 on. */
const EMITS = 1 << 16;
/** The string may end here: what is left are fewer than eight bits, all of EOS. */
const MAY_END = 1 << 17;
/** EOS was completed, which no string may hold. */
const FAILS = 1 << 18;

/** By state times 16 plus half octet. State 0 is the root: no symbol has begun. */
const TRANSITIONS = transitions();

function transitions(): Uint32Array {
  // The tree: two children for each inner node, leaves as the complement of their symbol.
  const children: number[] = [0, 0];
  for (let symbol = 0; symbol <= EOS; symbol++) {
    let node = 0;
    for (let bit = CODE_LENGTHS[symbol]! - 1; bit > 0; bit--) {
      const edge = 2 * node + (HUFFMAN_CODES[symbol]! >>> bit & 1);
      if (children[edge] === 0) {
        children[edge] = children.length / 2;
        children.push(0, 0);
      }
      node = children[edge]!;
    }
    children[2 * node + (HUFFMAN_CODES[symbol]! & 1)] = ~symbol;
  }
  const mayEnd = new Set<number>();
  for (let node = 0, bits = 0; bits < 8; bits++, node = children[2 * node + 1]!) mayEnd.add(node);

  const table = new Uint32Array(children.length / 2 * 16);
  for (let index = 0; index < table.length; index++) {
    let node = index >> 4;
    let entry = 0;
    for (let bit = 3; bit >= 0; bit--) {
      const child = children[2 * node + (index >> bit & 1)]!;
      if (child === ~EOS) entry = FAILS;
      else if (child < 0) entry |= EMITS | ~child << SYMBOL_SHIFT;
      node = child < 0 ? 0 : child;
    }
    table[index] = entry | node | (mayEnd.has(node) ? MAY_END : 0);
  }
  return table;
}

export const INVALID_PADDING = -1;
export const EOS_FOUND = -2;

/** Room that always suffices for decoding so many octets: no code is shorter than five bits. */
export function huffmanDecodedBytesMax(encodedBytes: number): number {
  return Math.floor(encodedBytes * 8 / 5);
}

/**
 * Decodes `bytes` from `from` to `to` into `target`, from its beginning. Gives the octets written, or
 * `INVALID_PADDING` or `EOS_FOUND`: padding is shorter than an octet and made of the first bits of EOS,
 * which are ones.
 */
export function huffmanDecode(bytes: Uint8Array, from: number, to: number, target: Uint8Array): number {
  let state = 0;
  let written = 0;
  let entry = MAY_END;
  for (let at = from; at < to; at++) {
    const octet = bytes[at]!;
    entry = TRANSITIONS[state << 4 | octet >> 4]!;
    if ((entry & (EMITS | FAILS)) !== 0) {
      if ((entry & FAILS) !== 0) return EOS_FOUND;
      target[written++] = entry >> SYMBOL_SHIFT;
    }
    entry = TRANSITIONS[(entry & NEXT_STATE) << 4 | octet & 15]!;
    if ((entry & (EMITS | FAILS)) !== 0) {
      if ((entry & FAILS) !== 0) return EOS_FOUND;
      target[written++] = entry >> SYMBOL_SHIFT;
    }
    state = entry & NEXT_STATE;
  }
  return (entry & MAY_END) !== 0 ? written : INVALID_PADDING;
}

/** How many octets the encoded form of `text` takes; its characters are octets. */
export function huffmanEncodedBytes(text: string): number {
  let bits = 0;
  for (let index = 0; index < text.length; index++) bits += HUFFMAN_LENGTHS[text.charCodeAt(index)]!;
  return Math.ceil(bits / 8);
}

/** Writes the encoded form of `text` into `target` at `at`, padded with ones. Gives the offset after it. */
export function huffmanEncode(text: string, target: Uint8Array, at: number): number {
  let pending = 0;
  let pendingBits = 0;
  for (let index = 0; index < text.length; index++) {
    const symbol = text.charCodeAt(index);
    let length = HUFFMAN_LENGTHS[symbol]!;
    const code = HUFFMAN_CODES[symbol]!;
    // At most eight bits at a time, so that what is pending stays within 32.
    while (length > 0) {
      const taken = Math.min(8, length);
      length -= taken;
      pending = pending << taken | code >>> length & (1 << taken) - 1;
      pendingBits += taken;
      if (pendingBits >= 8) {
        pendingBits -= 8;
        target[at++] = pending >> pendingBits;
        pending &= (1 << pendingBits) - 1;
      }
    }
  }
  if (pendingBits > 0) target[at++] = pending << 8 - pendingBits | (1 << 8 - pendingBits) - 1;
  return at;
}
