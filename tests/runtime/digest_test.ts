import { assertEquals } from "@std/assert";
import { openSha256 } from "../../src/runtime/digest.ts";

Deno.test("openSha256 gives the digest of FIPS 180-4, in any pieces", () => {
  for (const pieces of [["abc"], ["a", "", "bc"]]) {
    const digest = openSha256();
    for (const piece of pieces) digest.update(new TextEncoder().encode(piece));
    assertEquals(digest.finish(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  }
});
