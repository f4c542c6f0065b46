import { assertEquals } from "@std/assert";
import { joinBytes } from "../../src/core/bytes.ts";

Deno.test("joinBytes puts octets one behind the other", () => {
  assertEquals(joinBytes([]), new Uint8Array());
  assertEquals(
    joinBytes([Uint8Array.of(1, 2), new Uint8Array(), Uint8Array.of(3)]),
    Uint8Array.of(1, 2, 3),
  );
});

Deno.test("joinBytes copies, a single part too", () => {
  const part = Uint8Array.of(1);
  const joined = joinBytes([part]);
  part[0] = 2;
  assertEquals(joined, Uint8Array.of(1));
});
