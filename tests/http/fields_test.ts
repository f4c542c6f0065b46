import { assertEquals } from "@std/assert";
import { listElements } from "../../src/http/fields.ts";

Deno.test("listElements splits at commas over several lines, lower-cases and drops what is empty", () => {
  assertEquals(listElements(["Keep-Alive, ,Upgrade", "", "\tclose "]), ["keep-alive", "upgrade", "close"]);
  assertEquals(listElements([]), []);
});

Deno.test("listElements takes off only spaces and tabs, so that no other character makes a known element", () => {
  assertEquals(listElements(["\u00a0chunked", "close\u0085"]), ["\u00a0chunked", "close\u0085"]);
});

Deno.test("listElements keeps spaces inside an element, however many", () => {
  const inner = `a${" ".repeat(200_000)}b`;
  assertEquals(listElements([` \t${inner}\t `]), [inner]);
});
