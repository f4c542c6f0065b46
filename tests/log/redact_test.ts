import { assertEquals, assertStrictEquals } from "@std/assert";
import { redactFields } from "../../src/log/redact.ts";

const names = new Set(["authorization", "set-cookie"]);

Deno.test("redactFields keeps name, order and size and hides the value, in any case of the name", () => {
  const fields = [["AUTHORIZATION", "Bearer é"], ["Host", "a"], ["set-cookie", ""], [
    "Set-Cookie",
    "k=v",
  ]] as const;
  assertEquals(redactFields(fields, names), [
    ["AUTHORIZATION", "[redacted 8 bytes]"],
    ["Host", "a"],
    ["set-cookie", "[redacted 0 bytes]"],
    ["Set-Cookie", "[redacted 3 bytes]"],
  ]);
  assertEquals(fields[0][1], "Bearer é", "the argument is left as it was");
});

Deno.test("redactFields looks at the whole name only", () => {
  const fields = [["X-Authorization", "a"], ["Authorization-Info", "b"], ["cookie", "c"]] as const;
  assertStrictEquals(redactFields(fields, names), fields);
});

Deno.test("redactFields without names copies nothing", () => {
  const fields = [["Authorization", "a"]] as const;
  assertStrictEquals(redactFields(fields, new Set()), fields);
});
