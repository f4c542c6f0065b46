import { assertEquals, assertStrictEquals } from "@std/assert";
import { HeldInput } from "../../src/http1/held_input.ts";
import { latin1 } from "../support/golden.ts";

Deno.test("HeldInput keeps what comes in its order, though its memory is used again", () => {
  const input = new HeldInput();
  const read = latin1("ab");
  input.hold(read);
  read.set(latin1("cd"));
  input.hold(read);
  assertEquals([input.bytes, input.isOver], [4, false]);
  const released: string[] = [];
  input.release((held) => released.push(String.fromCharCode(...held)));
  assertEquals([released, input.bytes, input.isOver], [["abcd"], 0, true]);
});

Deno.test("HeldInput holds the rest of what it released without a copy, and is not over before that is read", () => {
  const input = new HeldInput();
  input.hold(latin1("abcd"));
  let rest = new Uint8Array();
  input.release((held) => {
    assertEquals([input.bytes, input.isOver], [0, false]);
    rest = held.subarray(1) as Uint8Array<ArrayBuffer>;
    input.hold(rest);
  });
  input.release((held) => assertStrictEquals(held, rest));
  assertEquals(input.isOver, true);
});
