import { assertEquals, assertStrictEquals } from "@std/assert";
import { encodeAttributes } from "../../src/log/encode.ts";
import { expectAgain, recurringJson, redactedOnce } from "../../src/log/recurring.ts";

Deno.test("recurringJson gives the JSON of a list that comes again, and of nothing else", () => {
  const lines = [["a", '1"']] as const;
  assertEquals(recurringJson(lines), null);
  expectAgain(lines);
  assertEquals(recurringJson(lines), '[["a","1\\""]]');
  assertEquals([recurringJson([["a", '1"']]), recurringJson("a"), recurringJson(null)], [null, null, null]);
});

Deno.test("redactedOnce redacts a list that comes again once for each set of names", () => {
  const lines = [["cookie", "secret"]] as const;
  const names = new Set(["cookie"]);
  let times = 0;
  const redact = () => {
    times++;
    return [["cookie", `redaction ${times}`]] as const;
  };
  redactedOnce(lines, names, redact);
  assertEquals(redactedOnce(lines, names, redact), [["cookie", "redaction 2"]]);
  expectAgain(lines);
  const first = redactedOnce(lines, names, redact);
  assertStrictEquals(redactedOnce(lines, names, redact), first);
  assertEquals(redactedOnce(lines, new Set(["cookie"]), redact), [["cookie", "redaction 4"]]);
});

Deno.test("encodeAttributes writes a list that comes again as it writes every other", () => {
  const lines = [["é", "\ud800"], ["b", "2"]] as const;
  const attributes = { a: 1, b: "x\n", headers: lines, z: [true, null, { k: "v" }] };
  const before = encodeAttributes(attributes);
  expectAgain(lines);
  assertEquals(encodeAttributes(attributes), before);
  assertEquals(encodeAttributes(attributes), before);
  assertEquals(encodeAttributes({ headers: lines, a: 1 }), encodeAttributes({ a: 1, headers: lines }));
});
