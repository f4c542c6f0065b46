import { assertEquals } from "@std/assert";
import { SETTING_KEYS } from "../../src/runtime/config/schema.ts";
import { didYouMean, nearest } from "../../src/runtime/config/suggest.ts";

Deno.test("nearest finds the misspelt, and the misfiled by its last part", () => {
  assertEquals(nearest("tls.profil", SETTING_KEYS), "tls.profile");
  assertEquals(nearest("http.maxheadbytes", SETTING_KEYS), "http.max_head_bytes");
  assertEquals(nearest("max_flows", SETTING_KEYS), "limits.max_flows");
  assertEquals(nearest("proxy.redact_headers", SETTING_KEYS), "capture.redact_headers");
});

Deno.test("nearest is quick for a text of any length", () => {
  const started = performance.now();
  nearest("x".repeat(1_000_000), SETTING_KEYS);
  assertEquals(performance.now() - started < 1_000, true);
});

Deno.test("didYouMean says nothing where there is nothing to mean", () => {
  assertEquals(didYouMean("x", []), "");
  assertEquals(didYouMean("blok", ["block", "tunnel"]), ' (did you mean "block"?)');
});
