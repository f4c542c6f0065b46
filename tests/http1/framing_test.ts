import { assertEquals } from "@std/assert";
import type { Field } from "../../src/http/fields.ts";
import { controlFields, declaredFraming, isPersistent, type Version } from "../../src/http1/framing.ts";

/** The framing that these fields declare, or the code of the refusal. */
function declared(fields: readonly Field[], version: Version = "HTTP/1.1"): unknown {
  const framing = declaredFraming(controlFields(fields), version);
  return framing !== null && framing.type === "error" ? framing.code : framing;
}

const lengths = (...values: string[]) => declared(values.map((value) => ["Content-Length", value]));
const codings = (...values: string[]) => declared(values.map((value) => ["Transfer-Encoding", value]));

Deno.test("controlFields collects values in order, names in any case, and nothing that looks alike", () => {
  const found = controlFields([
    ["hOST", "a"],
    ["Most", "x"],
    ["connection", "b"],
    ["CONNECTION", "c"],
    ["Content_Length", "x"],
    ["Content-Length", "1"],
    ["transfer-ENCODING", "d"],
    ["Transfer-Encodinq", "x"],
    ["Expect", "e"],
    ["Upgrade", "f"],
  ]);
  assertEquals(found, {
    host: ["a"],
    connection: ["b", "c"],
    contentLength: ["1"],
    transferEncoding: ["d"],
    expect: ["e"],
    upgrade: ["f"],
  });
});

Deno.test("declaredFraming is null where the fields say nothing", () => {
  assertEquals(declared([]), null);
});

Deno.test("declaredFraming takes one decimal length, however often it is repeated", () => {
  assertEquals(lengths("5"), { type: "length", length: 5 });
  assertEquals(lengths("0005"), { type: "length", length: 5 });
  assertEquals(lengths("5, 5", "5,5 ,\t5"), { type: "length", length: 5 });
  assertEquals(lengths("0"), { type: "none" });
  assertEquals(lengths("0, 0"), { type: "none" });
  assertEquals(lengths("9007199254740991"), { type: "length", length: Number.MAX_SAFE_INTEGER });
});

Deno.test("declaredFraming refuses every other length", () => {
  const malformed =
    "| |,|5,|,5|5,,5|+5|-5|-0|0x5|5.0|5e0|5 5|1_0|\xb2|\xa05|five|9007199254740992|99999999999999999999|" +
    "1".repeat(400);
  for (const value of malformed.split("|")) assertEquals(lengths(value), "invalid_content_length", value);
  assertEquals(lengths("5", ""), "invalid_content_length");
  assertEquals(lengths("5", "6"), "conflicting_content_length");
  assertEquals(lengths("5, 6"), "conflicting_content_length");
  assertEquals(lengths("5", "05"), "conflicting_content_length");
});

Deno.test("declaredFraming takes a single chunked and no other coding", () => {
  assertEquals(codings("chunked"), { type: "chunked" });
  assertEquals(codings("CHUNKED"), { type: "chunked" });
  for (
    const value of [
      "",
      ",",
      "identity",
      "gzip",
      "gzip, chunked",
      "chunked, gzip",
      "chunked, chunked",
      "chunked,",
      ",chunked",
      "chunked;a=b",
      '"chunked"',
      "xchunked",
      "chunked\xa0",
    ]
  ) assertEquals(codings(value), "invalid_transfer_encoding", value);
  assertEquals(codings("chunked", "chunked"), "invalid_transfer_encoding");
  assertEquals(codings("", "chunked"), "invalid_transfer_encoding");
});

Deno.test("declaredFraming refuses both fields at once, and Transfer-Encoding in HTTP/1.0", () => {
  const both: Field[] = [["Content-Length", "5"], ["Transfer-Encoding", "chunked"]];
  assertEquals(declared(both), "content_length_with_transfer_encoding");
  assertEquals(declared(both.toReversed()), "content_length_with_transfer_encoding");
  assertEquals(declared([["Transfer-Encoding", "chunked"]], "HTTP/1.0"), "transfer_encoding_in_http10");
});

Deno.test("isPersistent goes by version, close and keep-alive", () => {
  for (
    const [version, values, expected] of [
      ["HTTP/1.1", [], true],
      ["HTTP/1.1", ["close"], false],
      ["HTTP/1.1", ["upgrade", "a, CLOSE"], false],
      ["HTTP/1.1", ["closed"], true],
      ["HTTP/1.1", [""], true],
      ["HTTP/1.0", [], false],
      ["HTTP/1.0", ["Keep-Alive"], true],
      ["HTTP/1.0", ["keep-alive, close"], false],
      ["HTTP/1.0", ["upgrade"], false],
    ] as const
  ) {
    const control = controlFields(values.map((value) => ["Connection", value]));
    assertEquals(isPersistent(control, version), expected, `${version} ${values}`);
  }
});
