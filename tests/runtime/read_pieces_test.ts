import { assertEquals } from "@std/assert";
import { PIECE_BYTES_MAX, PIECE_BYTES_MIN, ReadPieces } from "../../src/runtime/read_pieces.ts";

Deno.test("ReadPieces grow while there is little to tell, and are small again once there is much", () => {
  const pieces = new ReadPieces();
  const sizes = [pieces.bytes];
  for (const events of [0, 1, 2, 10_000, 32, 33]) {
    pieces.handled(pieces.bytes, events);
    sizes.push(pieces.bytes);
  }
  const [min, max] = [PIECE_BYTES_MIN, PIECE_BYTES_MAX];
  assertEquals(sizes, [min, 2 * min, max, max, min, 2 * min, max]);
});

Deno.test("ReadPieces keep a copy of what waits, in its order, and give it once", () => {
  const pieces = new ReadPieces();
  const lent = Uint8Array.of(1, 2);
  pieces.wait(lent);
  lent.fill(9);
  pieces.wait(Uint8Array.of(3));
  assertEquals([pieces.isWaiting, pieces.waitingBytes], [true, 3]);
  assertEquals(pieces.take(), Uint8Array.of(1, 2, 3));
  assertEquals([pieces.isWaiting, pieces.waitingBytes, pieces.take()], [false, 0, null]);
});
