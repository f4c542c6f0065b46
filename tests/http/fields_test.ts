import { assertEquals } from "@std/assert";
import { listElements } from "../../src/http/fields.ts";

Deno.test("listElements splits at commas over several lines, lower-cases and drops what is empty", () => {
  assertEquals(listElements(["Keep-Alive, ,Upgrade", "", "\tclose "]), ["keep-alive", "upgrade", "close"]);
  assertEquals(listElements([]), []);
});

Deno.test("listElements takes off only spaces and tabs, so that no other character makes a known element", () => {
  assertEquals(listElements(["\u00a0chunked", "close\u0085"]), ["\u00a0chunked", "close\u0085"]);
});

Deno.test("listElements takes time in proportion to a value, whatever spaces it holds", () => {
  const spaces = " ".repeat(200_000);
  const began = performance.now();
  assertEquals(listElements([`a${spaces}b`]), [`a${spaces}b`]);
  // The bound is for a quadratic search, which takes a minute here; it says nothing of speed otherwise.
  assertEquals(performance.now() - began < 5_000, true);
});
