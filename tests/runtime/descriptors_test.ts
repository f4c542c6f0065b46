import { assert, assertEquals } from "@std/assert";
import { descriptorLimit } from "../../src/runtime/descriptors.ts";

Deno.test("descriptorLimit says what the process may have, within the permissions that the tests have too", () => {
  const limit = descriptorLimit();
  if (Deno.build.os === "windows") assertEquals(limit, null);
  else assert(limit !== null && limit >= 64, `${limit}`);
});
