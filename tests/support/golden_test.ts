import { assertEquals, assertThrows } from "@std/assert";
import { decodeEscapes, type GoldenEngine, parseGolden, replayGolden, showBytes } from "./golden.ts";

const CASE = [
  "# One",
  "Why it is there.",
  "```line max=3 eof",
  "ab\\r",
  "\\n",
  "```",
  "",
  "```trace",
  "line ab",
  "```",
].join("\n");

/** Reads one line; wrong on purpose where `broken` says so. */
function lineEngine(broken?: "reads" | "rest"): GoldenEngine {
  return (_input, reads) => {
    const text = reads.map((read) => new TextDecoder().decode(read)).join("");
    const end = text.indexOf("\r\n");
    const trace = broken === "reads" ? [`line ${text.slice(0, end)} ${reads.length}`] : [
      `line ${text.slice(0, end)}`,
    ];
    return { trace, rest: broken === "rest" ? 0 : text.length - end - 2 };
  };
}

Deno.test("parseGolden reads heading, kind, options, bytes and trace of a case", () => {
  const [golden, ...others] = parseGolden(CASE);
  assertEquals(others, []);
  assertEquals(golden?.name, "One");
  assertEquals(golden?.kind, "line");
  assertEquals(golden?.options, new Map([["max", "3"], ["eof", "true"]]));
  assertEquals(golden?.bytes, new TextEncoder().encode("ab\r\n"));
  assertEquals(golden?.trace, ["line ab"]);
  assertEquals(golden?.traceLines, [8, 9]);
});

Deno.test("parseGolden refuses bytes without a trace, a trace without bytes and an open fence", () => {
  assertThrows(() => parseGolden("# A\n```line\nx\n```\n# B\n"));
  assertThrows(() => parseGolden("# A\n```trace\nx\n```\n"));
  assertThrows(() => parseGolden("# A\n```line\nx\n"));
  assertThrows(() => parseGolden("```line\nx\n```\n```trace\n```\n"));
});

Deno.test("parseGolden reads hexadecimal with comments", () => {
  const [golden] = parseGolden("# A\n```frame hex\n00 01 # length\nff\n```\n```trace\n```\n");
  assertEquals(golden?.bytes, Uint8Array.of(0, 1, 255));
});

Deno.test("decodeEscapes knows escapes, repetition and refuses what it does not know", () => {
  assertEquals(
    decodeEscapes("a\\r\\n\\t\\\\\\x00\\xff\\*3{xy}"),
    Uint8Array.of(97, 13, 10, 9, 92, 0, 255, 120, 121, 120, 121, 120, 121),
  );
  assertThrows(() => decodeEscapes("\\q"));
  assertThrows(() => decodeEscapes("€"));
});

Deno.test("showBytes writes what decodeEscapes reads", () => {
  const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
  assertEquals(decodeEscapes(showBytes(bytes, 256).slice(1, -1)), bytes);
  assertEquals(showBytes(bytes), "256 bytes");
});

Deno.test("replayGolden passes an engine that doesn't see the cuts, and fails others", () => {
  const golden = parseGolden(CASE)[0]!;
  replayGolden(golden, lineEngine());
  assertThrows(() => replayGolden({ ...golden, trace: ["line ac"] }, lineEngine()));
  assertThrows(() => replayGolden({ ...golden, trace: ["line ab 1"] }, lineEngine("reads")));
  assertThrows(() => replayGolden(golden, lineEngine("rest")));
});
