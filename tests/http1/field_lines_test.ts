import { assertEquals } from "@std/assert";
import { parseFieldLines } from "../../src/http1/field_lines.ts";
import { latin1 } from "../support/golden.ts";

function parse(text: string, offset = 0, maxHeaderFields = 3): unknown {
  const lines = parseFieldLines(latin1(text), text, offset, { maxHeaderFields });
  return lines.type === "error" ? `${lines.code} at ${lines.offset}` : lines.fields;
}

Deno.test("parseFieldLines reads lines from an offset to the empty line", () => {
  assertEquals(parse("start\r\nA: b\r\nc:d\r\n\r\n", 7), [["A", "b"], ["c", "d"]]);
  assertEquals(parse("\r\n"), []);
});

Deno.test("parseFieldLines trims SP and HTAB around a value, and keeps what is inside", () => {
  assertEquals(parse("A: \t b \t c\t \r\nB:\r\nC: \t \r\n\r\n"), [["A", "b \t c"], ["B", ""], ["C", ""]]);
});

Deno.test("parseFieldLines counts field lines against the limit", () => {
  assertEquals(parse("A:1\r\nB:2\r\n\r\n", 0, 2), [["A", "1"], ["B", "2"]]);
  assertEquals(parse("A:1\r\nB:2\r\nC:3\r\n\r\n", 0, 2), "too_many_fields at 10");
});

Deno.test("parseFieldLines says what is wrong with a line, and where", () => {
  for (
    const [text, expected] of [
      [" A: b\r\n\r\n", "whitespace_before_fields at 0"],
      ["A: b\r\n c\r\n\r\n", "obs_fold at 6"],
      ["A: b\r\n\tc\r\n\r\n", "obs_fold at 6"],
      ["A : b\r\n\r\n", "whitespace_before_colon at 1"],
      ["A \t: b\r\n\r\n", "whitespace_before_colon at 1"],
      ["A\r\n\r\n", "missing_colon at 0"],
      ["A b\r\n\r\n", "missing_colon at 0"],
      [": b\r\n\r\n", "invalid_field_name at 0"],
      ["A(: b\r\n\r\n", "invalid_field_name at 1"],
      ["A b: c\r\n\r\n", "invalid_field_name at 1"],
      ["\xe9: b\r\n\r\n", "invalid_field_name at 0"],
      ["A\0: b\r\n\r\n", "nul_byte at 1"],
      ["A: \0\r\n\r\n", "nul_byte at 3"],
      ["A: \x1b\r\n\r\n", "control_byte at 3"],
      ["A: b\n\r\n", "bare_lf at 4"],
      ["A: b\rc\r\n\r\n", "bare_cr at 4"],
      ["A\rB: c\r\n\r\n", "bare_cr at 1"],
      ["A\nB: c\r\n\r\n", "bare_lf at 1"],
      ["\n", "bare_lf at 0"],
      ["\rA", "bare_cr at 0"],
      ["", "truncated_message at 0"],
      ["\r", "truncated_message at 1"],
      ["A", "truncated_message at 1"],
      ["A:", "truncated_message at 2"],
      ["A: b", "truncated_message at 4"],
      ["A: b\r", "truncated_message at 5"],
      ["A: b\r\n", "truncated_message at 6"],
      ["\r\nA: b\r\n\r\n", "malformed_start_line at 2"],
    ] as const
  ) assertEquals(parse(text), expected, JSON.stringify(text));
});
