import { assert, assertEquals } from "@std/assert";
import zlib from "node:zlib";
import {
  BARREN_BYTES_MAX,
  codingsHeldBytes,
  ContentDecoder,
  RATIO_FREE_BYTES,
  RatioAllowance,
  readCodings,
  STACKED_CODINGS_MAX,
} from "../../src/observe/content_coding.ts";
import type { BytesBudget } from "../../src/observe/kept_bytes.ts";
import { INFLATERS } from "../../src/runtime/inflate.ts";
import { cutInto } from "../support/golden.ts";
import { patternBytes } from "../support/origin.ts";
import { manyCodes } from "./brotli/many_codes.ts";

const LIMITS = { inflateRatio: 8, inflateBytes: 1_000_000 };

const UNBOUNDED: BytesBudget = { hold: () => true, release: () => {} };

function decode(
  content: Uint8Array,
  codings: readonly string[],
  limits = LIMITS,
  size = content.length,
  budget = UNBOUNDED,
) {
  const decoder = new ContentDecoder(codings, INFLATERS, limits, budget);
  let bytes = 0;
  for (const read of cutInto(content, size)) decoder.push(read, (decoded) => bytes += decoded.length);
  decoder.end();
  decoder.close();
  assertEquals(bytes, decoder.decodedBytes);
  return { bytes, error: decoder.error };
}

const gzip = (content: Uint8Array) => new Uint8Array(zlib.gzipSync(content));

Deno.test("readCodings leaves identity out and names what it does not know", () => {
  assertEquals(readCodings(["identity"]), { type: "codings", codings: [] });
  assertEquals(readCodings(["deflate", "identity", "gzip"]), {
    type: "codings",
    codings: ["deflate", "gzip"],
  });
  assertEquals(readCodings(["compress"]).type, "error");
  assertEquals(readCodings(["constructor"]).type, "error");
});

Deno.test("readCodings takes as many codings as are allowed, and not one more", () => {
  const codings = (count: number) => readCodings(Array<string>(count).fill("gzip")).type;
  assertEquals([codings(STACKED_CODINGS_MAX), codings(STACKED_CODINGS_MAX + 1)], ["codings", "error"]);
});

Deno.test("codingsHeldBytes counts each coding", () => {
  const one = codingsHeldBytes(["gzip"], INFLATERS);
  assertEquals(codingsHeldBytes(["gzip", "deflate"], INFLATERS) - one, INFLATERS.heldBytes.deflate);
});

Deno.test("ContentDecoder stops at the size that a message may have, and gives that much", () => {
  const content = new Uint8Array(70_000);
  const limits = { inflateRatio: 100_000, inflateBytes: 70_000 };
  assertEquals(decode(gzip(content), ["gzip"], limits), { bytes: 70_000, error: null });
  const over = decode(gzip(new Uint8Array(70_001)), ["gzip"], limits);
  assertEquals(over, { bytes: 70_000, error: "more than 70000 decoded octets (limits.inflate_bytes)" });
});

Deno.test("ContentDecoder stops a bomb where its ratio has gone too far, at the same octet however it is cut", () => {
  const bomb = gzip(new Uint8Array(900_000));
  for (const size of [bomb.length, 100, 1]) {
    const { bytes, error } = decode(bomb, ["gzip"], LIMITS, size);
    assertEquals([bytes, error?.includes("inflate_ratio")], [RATIO_FREE_BYTES, true], `in reads of ${size}`);
  }
});

Deno.test("ContentDecoder stops a bomb within a bomb", () => {
  const { bytes, error } = decode(gzip(gzip(new Uint8Array(50_000_000))), ["gzip", "gzip"]);
  assertEquals([bytes, error?.includes("inflate_ratio")], [RATIO_FREE_BYTES, true]);
});

Deno.test("ContentDecoder gives up on what never gives anything", () => {
  const endlessName = new Uint8Array(BARREN_BYTES_MAX + 10).fill(0x61);
  endlessName.set([0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3]);
  const { bytes, error } = decode(endlessName, ["gzip"], LIMITS, 100);
  assertEquals([bytes, error], [0, `nothing decoded from ${BARREN_BYTES_MAX} octets`]);
});

Deno.test("ContentDecoder tells the wrapper of deflate from its absence, octet by octet", () => {
  const content = new TextEncoder().encode("hello");
  for (const compressed of [zlib.deflateSync(content), zlib.deflateRawSync(content)]) {
    assertEquals(decode(new Uint8Array(compressed), ["deflate"], LIMITS, 1), { bytes: 5, error: null });
  }
  assertEquals(decode(Uint8Array.of(0x78), ["deflate"]).error, "deflate: unexpected end of file");
});

Deno.test("ContentDecoder shares a ratio with what came before it, and stops at the same octet however it is cut", () => {
  const pieces = [20_000, 30_000, 40_000].map((size) => gzip(new Uint8Array(size)));
  for (const size of [100_000, 10, 1]) {
    const allowance = new RatioAllowance(LIMITS.inflateRatio);
    const decoded = pieces.map((piece) => {
      const decoder = new ContentDecoder(["gzip"], INFLATERS, LIMITS, UNBOUNDED, allowance);
      for (const read of cutInto(piece, size)) decoder.push(read, () => {});
      decoder.close();
      return [decoder.decodedBytes, decoder.error?.includes("inflate_ratio") ?? false];
    });
    const last = RATIO_FREE_BYTES - 50_000;
    assertEquals(decoded, [[20_000, false], [30_000, false], [last, true]], `in reads of ${size}`);
    assertEquals(allowance.exceeded, true);
  }
});

Deno.test("RatioAllowance grows by whole blocks of what came", () => {
  const allowance = new RatioAllowance(100);
  assertEquals([allowance.room, allowance.blockRoom], [RATIO_FREE_BYTES, 4096]);
  allowance.coded(1);
  allowance.decoded(9_600);
  assertEquals([allowance.room, allowance.blockRoom], [400_000, 4095]);
  allowance.coded(4096);
  assertEquals([allowance.room, allowance.blockRoom], [809_600, 4095]);
});

Deno.test("ContentDecoder takes codings off each other whole, however much each gives at once", () => {
  const content = patternBytes(500_000).map((octet, index) => octet ^ (index * 2654435761 >>> 13));
  const limits = { inflateRatio: 100, inflateBytes: MIB };
  let coded = content;
  for (const codings of [["gzip"], ["gzip", "gzip"], ["gzip", "gzip", "gzip"]]) {
    coded = gzip(coded);
    const decoder = new ContentDecoder(codings, INFLATERS, limits, UNBOUNDED);
    const parts: number[] = [];
    decoder.push(coded, (decoded) => {
      for (const octet of decoded) parts.push(octet);
    });
    decoder.end();
    decoder.close();
    assertEquals([decoder.error, parts.length], [null, content.length]);
    assertEquals(Uint8Array.from(parts), content);
  }
});

const zstd = (content: Uint8Array) => new Uint8Array(zlib.zstdCompressSync(content));
const MIB = 1024 * 1024;
const QUICK = { [zlib.constants.BROTLI_PARAM_QUALITY]: 3 };

Deno.test("ContentDecoder takes zstd off, alone and under another coding, and stops its bombs and those of br", () => {
  const content = patternBytes(300_000);
  const limits = { inflateRatio: 100_000, inflateBytes: MIB };
  assertEquals(decode(zstd(content), ["zstd"], limits, 1_000), { bytes: 300_000, error: null });
  assertEquals(decode(gzip(zstd(content)), ["zstd", "gzip"], limits, 1_000), { bytes: 300_000, error: null });
  const br = new Uint8Array(zlib.brotliCompressSync(new Uint8Array(50 * MIB), { params: QUICK }));
  for (const size of [br.length, 7]) {
    const { bytes, error } = decode(br, ["br"], LIMITS, size);
    assertEquals([bytes, error?.includes("inflate_ratio")], [RATIO_FREE_BYTES, true]);
  }
  for (const bomb of [zstd(new Uint8Array(50 * MIB)), zstd(zstd(new Uint8Array(500 * MIB)))]) {
    for (const size of [bomb.length, 7]) {
      const { bytes, error } = decode(bomb, bomb.length < 1_000 ? ["zstd", "zstd"] : ["zstd"], LIMITS, size);
      assertEquals([bytes, error?.includes("inflate_ratio")], [RATIO_FREE_BYTES, true]);
    }
  }
});

Deno.test("ContentDecoder pays for a window as it fills, and stops at the same octet where there is no room", () => {
  const content = zstd(patternBytes(2 * MIB));
  const limits = { inflateRatio: 100_000, inflateBytes: 10 * MIB };
  const paid = (max: number, size: number) => {
    let [held, most] = [0, 0];
    const budget = {
      hold: (bytes: number) => held + bytes <= max && ((held += bytes), (most = Math.max(most, held)), true),
      release: (bytes: number) => void (held -= bytes),
    };
    const { bytes, error } = decode(content, ["zstd"], limits, size, budget);
    assertEquals(held, 0, "all is given back");
    return { bytes, error, most };
  };
  assertEquals(paid(8 * MIB, 10_000), { bytes: 2 * MIB, error: null, most: 2 * MIB - 64 * 1024 });
  for (const size of [content.length, 999, 5]) {
    const { bytes, error } = paid(200 * 1024, size);
    assertEquals([bytes, error], [
      256 * 1024,
      "zstd: its window is more than the observers of this flow may keep",
    ]);
  }
});

Deno.test("ContentDecoder gives up on zstd that never gives anything", () => {
  const skippable = new Uint8Array(200_000);
  skippable.set([0x50, 0x2a, 0x4d, 0x18, 0xff, 0xff, 0xff, 0x7f]);
  assertEquals(decode(skippable, ["zstd"]).error?.startsWith("nothing decoded from"), true);
});

Deno.test("ContentDecoder pays for more prefix codes of br than most streams have, and stops where there is no room", () => {
  const content = manyCodes();
  const paid = (max: number, size: number) => {
    let [held, most] = [0, 0];
    const budget = {
      hold: (bytes: number) => held + bytes <= max && ((held += bytes), (most = Math.max(most, held)), true),
      release: (bytes: number) => void (held -= bytes),
    };
    const { error } = decode(content, ["br"], LIMITS, size, budget);
    assertEquals(held, 0, "all is given back");
    return { error, most };
  };
  const enough = paid(4 * MIB, content.length);
  // By the octets of their symbols and of what finds them: 256 each of 256, 512 and 64 symbols.
  assert(enough.most > MIB && enough.most < 2 * MIB, `${enough.most}`);
  assertEquals(enough.error?.includes("room") ?? false, false, String(enough.error));
  for (const size of [content.length, 999, 5, 1]) {
    const { error, most } = paid(300_000, size);
    assertEquals([error, most], ["br: its prefix codes are more than there is room for", 256 * 1024]);
  }
  // What is really sent has no need of it.
  const text = new TextEncoder().encode("the quick brown fox jumps over the lazy dog, ".repeat(1000));
  const coded = new Uint8Array(zlib.brotliCompressSync(text));
  const refusing = { hold: () => false, release: () => {} };
  assertEquals(decode(coded, ["br"], { ...LIMITS, inflateRatio: 100_000 }, 100, refusing).error, null);
});
