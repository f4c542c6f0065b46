import { assertEquals } from "@std/assert";
import { opposite } from "../../src/core/side.ts";

Deno.test("opposite gives the other of the two sides", () => {
  assertEquals(opposite("client"), "server");
  assertEquals(opposite("server"), "client");
});
