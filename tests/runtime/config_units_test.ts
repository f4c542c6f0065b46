import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { formatDuration, formatSize, parseDuration, parseSize } from "../../src/runtime/config/units.ts";

Deno.test("parseDuration takes one whole number and one unit", () => {
  const cases: [string, number | null][] = [
    ["0s", 0],
    ["500ms", 500],
    ["30s", 30_000],
    ["5m", 300_000],
    ["2h", 7_200_000],
    ["1d", 86_400_000],
    ["007s", 7_000],
    ["", null],
    ["5", null],
    ["s", null],
    ["1.5s", null],
    ["-1s", null],
    ["1m30s", null],
    ["5 s", null],
    ["5S", null],
    ["5s\n", null],
    ["1000000000000s", null],
    ["999999999999d", null],
  ];
  for (const [text, expected] of cases) assertEquals(parseDuration(text), expected, text);
});

Deno.test("parseSize takes bytes, decimal and binary units", () => {
  const cases: [string, number | null][] = [
    ["0", 0],
    ["65536", 65_536],
    ["1B", 1],
    ["10kB", 10_000],
    ["64KiB", 65_536],
    ["1MiB", 1_048_576],
    ["1MB", 1_000_000],
    ["2GiB", 2_147_483_648],
    ["1TiB", 1_099_511_627_776],
    ["", null],
    ["KiB", null],
    ["1K", null],
    ["1KB", null],
    ["1kib", null],
    ["1.5MiB", null],
    ["1 MiB", null],
    ["-1", null],
    ["0x10", null],
    ["999999999999999TiB", null],
  ];
  for (const [text, expected] of cases) assertEquals(parseSize(text), expected, text);
});

Deno.test("formatDuration and formatSize are exact: parsing gives the value back", () => {
  fc.assert(fc.property(fc.nat(1e11), (value) => {
    assertEquals(parseDuration(formatDuration(value)), value);
    assertEquals(parseSize(formatSize(value)), value);
  }));
  assertEquals([0, 1, 90_000, 3_600_000].map(formatDuration), ["0s", "1ms", "90s", "1h"]);
  assertEquals([0, 1_000, 65_536, 1_048_577].map(formatSize), ["0", "1000", "64KiB", "1048577"]);
});
