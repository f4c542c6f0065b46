import { assertEquals } from "@std/assert";
import { Outbox } from "../../src/core/outbox.ts";

Deno.test("Outbox joins neighbouring slices of one buffer and keeps the order of others", () => {
  const sent: number[][] = [];
  const outbox = new Outbox((data) => sent.push([...data]));
  const read = Uint8Array.from([1, 2, 3, 4, 5, 6]);
  outbox.push(read.subarray(0, 2));
  outbox.push(read.subarray(2, 3));
  outbox.push(new Uint8Array(0));
  outbox.push(Uint8Array.from([9]));
  outbox.push(read.subarray(4, 6));
  outbox.push(read.subarray(0, 1));
  outbox.flush();
  outbox.flush();
  assertEquals(sent, [[1, 2, 3], [9], [5, 6], [1]]);
});
