import { assertEquals } from "@std/assert";
import { assert } from "../../src/core/assert.ts";
import { checkFrameHeader, readControlFrame, readFrameHeader } from "../../src/http2/frames.ts";
import { type BlockFrame, HeaderBlockAssembler, isBlockFrame } from "../../src/http2/header_block.ts";
import { frame, join, padded, T, uint32 } from "./frame_builder.ts";

const LIMITS = { maxBlockBytes: 10, maxContinuations: 2 };

function blockFrame(bytes: Uint8Array): BlockFrame {
  const header = readFrameHeader(bytes, 0);
  assertEquals(checkFrameHeader(header, "server", 0), null);
  const result = readControlFrame(header, bytes.subarray(9), "server", 0);
  assert(result.type !== "error" && isBlockFrame(result), "a frame of a field block");
  return result;
}

/** Pushes frames whose memory is used again after each; the last answer, or the error's code. */
function assemble(...frames: Uint8Array[]) {
  const assembler = new HeaderBlockAssembler("server", LIMITS);
  const push = (bytes: Uint8Array) => {
    const memory = bytes.slice();
    const result = assembler.push(blockFrame(memory), memory);
    if (result?.type === "error") return result.code;
    const kept = result === null ? null : { ...result, bytes: result.bytes.slice(), raw: result.raw.slice() };
    if (result === null) memory.fill(0xee);
    return kept;
  };
  const results = frames.map(push);
  return { last: results.at(-1)!, results, assembler };
}

Deno.test("HeaderBlockAssembler gives a block of one frame as views of it", () => {
  const bytes = frame(T.HEADERS, 0xd, 3, padded([1, 2, 3], 2));
  const assembler = new HeaderBlockAssembler("client", LIMITS);
  const block = assembler.push(blockFrame(bytes), bytes);
  assert(block?.type === "block", "END_HEADERS");
  assertEquals([block.opening.type, block.opening.streamId], ["headers", 3]);
  assertEquals([block.bytes.buffer, block.bytes.byteOffset, block.bytes.length], [bytes.buffer, 10, 3]);
  assertEquals(block.raw, bytes);
  assertEquals(assembler.heldBytes, 0);
});

Deno.test("HeaderBlockAssembler joins HEADERS or PUSH_PROMISE with CONTINUATION, and keeps the frames", () => {
  for (
    const [opening, fragment] of [
      [frame(T.HEADERS, 0x29, 1, padded([0x80, 0, 0, 7, 9, 1, 2], 3)), [1, 2]],
      [frame(T.PUSH_PROMISE, 0, 1, [...uint32(4), 1, 2]), [1, 2]],
      [frame(T.HEADERS, 0, 1), []],
    ] as const
  ) {
    const frames = [opening, frame(T.CONTINUATION, 0, 1), frame(T.CONTINUATION, 4, 1, [3, 4])];
    const { last, results, assembler } = assemble(...frames);
    assertEquals(results.slice(0, 2), [null, null]);
    assert(typeof last === "object", JSON.stringify(last));
    assertEquals([...last.bytes], [...fragment, 3, 4]);
    assertEquals(last.raw, join(...frames));
    assertEquals([...last.opening.fragment], [...fragment], "the opening frame outlives its read");
    assertEquals(assembler.heldBytes, 0);
    // And it begins anew.
    const next = frame(T.HEADERS, 4, 3, [9]);
    const again = assembler.push(blockFrame(next), next);
    assertEquals(again?.type === "block" && [...again.bytes], [9]);
  }
});

Deno.test("HeaderBlockAssembler counts the block's octets at n and n+1, in one frame or more", () => {
  const of = (length: number) => new Uint8Array(length);
  assertEquals(typeof assemble(frame(T.HEADERS, 4, 1, of(10))).last, "object");
  assertEquals(assemble(frame(T.HEADERS, 4, 1, of(11))).last, "field_block_too_large");
  assertEquals(
    typeof assemble(frame(T.HEADERS, 0, 1, of(4)), frame(T.CONTINUATION, 4, 1, of(6))).last,
    "object",
  );
  const over = assemble(frame(T.HEADERS, 0, 1, of(4)), frame(T.CONTINUATION, 0, 1, of(7)));
  assertEquals(over.last, "field_block_too_large");
  // Padding is in the frames and not in the block.
  assertEquals(typeof assemble(frame(T.HEADERS, 0xc, 1, padded(of(10), 255))).last, "object");
});

Deno.test("HeaderBlockAssembler counts CONTINUATION at n and n+1, empty ones too, and anew for each block", () => {
  const open = frame(T.HEADERS, 0, 1);
  const more = frame(T.CONTINUATION, 0, 1);
  const end = frame(T.CONTINUATION, 4, 1);
  assertEquals(typeof assemble(open, more, end).last, "object");
  assertEquals(assemble(open, more, more, end).last, "too_many_continuations");
  assertEquals(typeof assemble(open, more, end, open, more, end).last, "object");
});

Deno.test("HeaderBlockAssembler refuses frames out of order, should a reader ever give them", () => {
  const open = frame(T.HEADERS, 0, 1);
  assertEquals(assemble(frame(T.CONTINUATION, 4, 1)).last, "unexpected_continuation");
  assertEquals(assemble(open, frame(T.CONTINUATION, 4, 3)).last, "expected_continuation");
  assertEquals(assemble(open, open).last, "expected_continuation");
});
