/** A brotli stream (RFC 7932 §9.2) that has as many prefix codes as one can have, in as few octets as it takes. */

class BitWriter {
  readonly #octets: number[] = [];
  #bits = 0;

  /** The lowest bit first. */
  write(value: number, count: number): void {
    for (let bit = 0; bit < count; bit++) {
      if (this.#bits % 8 === 0) this.#octets.push(0);
      this.#octets[this.#octets.length - 1]! |= ((value >>> bit) & 1) << (this.#bits % 8);
      this.#bits++;
    }
  }

  get octets(): Uint8Array {
    return Uint8Array.from(this.#octets);
  }
}

/** §9.2: 256, as a number of block types or of codes. */
function write256(bits: BitWriter): void {
  bits.write(1, 1);
  bits.write(7, 3);
  bits.write(127, 7);
}

/** §3.4: a code of one symbol, which needs no bits. */
function writeOneSymbol(bits: BitWriter, symbolBits: number): void {
  bits.write(1, 2);
  bits.write(0, 2);
  bits.write(0, symbolBits);
}

/** §3.5: a code in which each of the first 2^length symbols has one of that length, which a code of no bits says. */
function writeEvenCode(bits: BitWriter, length: number): void {
  const order = [1, 2, 3, 4, 0, 5, 17, 6, 16, 7, 8, 9, 10, 11, 12, 13, 14, 15];
  bits.write(0, 2);
  // In the code for lengths 0 is 00 and 3 is 01, the first bit first.
  for (const each of order) bits.write(each === length ? 0b10 : 0b00, 2);
}

/** 256 codes for literals, 256 for commands and 256 for distances. What follows them is zeros. */
export function manyCodes(): Uint8Array {
  const bits = new BitWriter();
  bits.write(0, 1); // a window of 64 KiB
  bits.write(0, 1); // not the last block
  bits.write(0, 2); // a length of four digits
  bits.write(0xffff, 16);
  bits.write(0, 1); // compressed
  for (let category = 0; category < 3; category++) {
    write256(bits);
    writeOneSymbol(bits, 9); // of the types
    writeOneSymbol(bits, 5); // of the lengths
    bits.write(0, 2);
  }
  bits.write(0, 6); // of distances
  bits.write(0, 2 * 256); // modes of contexts
  for (let map = 0; map < 2; map++) {
    write256(bits);
    bits.write(0, 1); // no runs
    writeOneSymbol(bits, 8);
    bits.write(0, 1);
  }
  for (let code = 0; code < 256; code++) writeEvenCode(bits, 8);
  for (let code = 0; code < 256; code++) writeEvenCode(bits, 9);
  for (let code = 0; code < 256; code++) writeEvenCode(bits, 6);
  const { octets } = bits;
  const padded = new Uint8Array(octets.length + 1_000);
  padded.set(octets);
  return padded;
}
