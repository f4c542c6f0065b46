import { assertEquals } from "@std/assert";
import { JSON_DEPTH_MAX, parseJson } from "../../../src/observe/payload/json.ts";

Deno.test("parseJson reads what is nested as deeply as it may be, and not deeper", () => {
  const nested = (depth: number) => parseJson('{"a":['.repeat(depth / 2) + "1" + "]}".repeat(depth / 2)).type;
  assertEquals([nested(JSON_DEPTH_MAX), nested(JSON_DEPTH_MAX + 2)], ["value", "error"]);
});

Deno.test("parseJson is not brought down by any nesting", () => {
  for (const open of ["[", '{"a":']) {
    assertEquals(parseJson(open.repeat(100_000)).type, "error");
    const close = open === "[" ? "]" : "}";
    // Numbers that need a closer look are met on another way.
    for (const number of ["1", "12345678901234567890"]) {
      assertEquals(parseJson(open.repeat(100_000) + number + close.repeat(100_000)), {
        type: "error",
        detail: "json: nested deeper than 100",
      });
    }
  }
});
