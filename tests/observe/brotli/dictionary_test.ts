import { assertEquals } from "@std/assert";
import { createHash } from "node:crypto";
import zlib from "node:zlib";
import {
  FORM_BYTES_MAX,
  WORD_BYTES_MAX,
  WORD_BYTES_MIN,
  writeWord,
} from "../../../src/observe/brotli/dictionary.ts";

const decompress = (content: Uint8Array) => new Uint8Array(zlib.brotliDecompressSync(content));
const NUMBER_BITS = [0, 0, 0, 0, 10, 10, 11, 11, 10, 10, 10, 10, 10, 9, 9, 8, 7, 7, 8, 7, 7, 6, 6, 5, 5];

function word(length: number, number: number): string | null {
  const target = new Uint8Array(FORM_BYTES_MAX);
  const bytes = writeWord(target, length, number, decompress);
  return bytes === null ? null : new TextDecoder().decode(target.subarray(0, bytes));
}

Deno.test("the dictionary is the one of RFC 7932, by the checksum of its appendix A", () => {
  const hash = createHash("sha256");
  let checksum = 0;
  for (let length = WORD_BYTES_MIN; length <= WORD_BYTES_MAX; length++) {
    for (let number = 0; number < 1 << NUMBER_BITS[length]!; number++) {
      const target = new Uint8Array(FORM_BYTES_MAX);
      assertEquals(writeWord(target, length, number, decompress), length);
      checksum = zlib.crc32(target.subarray(0, length), checksum);
      hash.update(target.subarray(0, length));
    }
  }
  assertEquals(checksum, 0x5136cb04);
});

Deno.test("words have 121 forms, and none has room it does not need", () => {
  assertEquals([word(4, 0), word(4, 1 << 10), word(4, 4 << 10)], ["time", "time ", "Time "]);
  assertEquals([word(4, 44 << 10), word(4, 3 << 10)], ["TIME", "ime"]);
  assertEquals([word(4, (120 << 10) + 0), word(4, 121 << 10)], [" Time='", null]);
  assertEquals([word(3, 0), word(25, 0)], [null, null]);
  for (let length = WORD_BYTES_MIN; length <= WORD_BYTES_MAX; length++) {
    for (let form = 0; form < 121; form++) {
      const bytes = writeWord(
        new Uint8Array(FORM_BYTES_MAX),
        length,
        form << NUMBER_BITS[length]!,
        decompress,
      )!;
      assertEquals(bytes <= FORM_BYTES_MAX, true);
    }
  }
});
