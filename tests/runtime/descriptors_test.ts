import { assert, assertEquals } from "@std/assert";
import { descriptorLimit } from "../../src/runtime/descriptors.ts";

Deno.test("descriptorLimit says what the kernel grants, where the platform tells", () => {
  const limit = descriptorLimit();
  if (Deno.build.os === "linux") assert(limit !== null && limit >= 64);
  else assertEquals(limit, null);
});
