import { assertEquals } from "@std/assert";
import { addMilliseconds, NANOSECONDS_PER_MILLISECOND } from "../../src/core/instant.ts";

Deno.test("addMilliseconds stays a whole number of nanoseconds for the 104 days a double holds exactly", () => {
  assertEquals(addMilliseconds(5, 2), 2_000_005);
  const days104 = 104 * 24 * 3_600_000;
  const instant = days104 * NANOSECONDS_PER_MILLISECOND - 1;
  assertEquals(addMilliseconds(instant, 1) - instant, NANOSECONDS_PER_MILLISECOND);
});
