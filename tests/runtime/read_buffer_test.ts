import { assertEquals } from "@std/assert";
import { keepRead, READ_BUFFER_BYTES, readBuffer } from "../../src/runtime/read_buffer.ts";

Deno.test("readBuffer gives the same memory again until a slice of it is kept", () => {
  const first = readBuffer();
  assertEquals(first.length, READ_BUFFER_BYTES);
  assertEquals(readBuffer() === first, true);
  keepRead(new Uint8Array(4));
  assertEquals(readBuffer() === first, true, "memory of somebody else");
  keepRead(first.subarray(10, 20));
  assertEquals(readBuffer() === first, false);
});
