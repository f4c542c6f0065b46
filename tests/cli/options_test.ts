import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { has, optionsHelp, type OptionSpecs, parseArguments, valuesOf } from "../../src/cli/options.ts";
import { UsageError } from "../../src/cli/usage_error.ts";

const SPECS = {
  listen: { value: "ADDR", repeats: true, help: "where" },
  events: { value: "SINK", repeats: true, help: "to" },
  config: { value: "FILE", help: "from" },
  quiet: { help: "nothing" },
  help: { help: "this" },
} as const satisfies OptionSpecs;

Deno.test("parseArguments keeps the order across options", () => {
  const { options, positionals, rest } = parseArguments(
    ["--listen", "a:1", "check", "--quiet", "--events=-", "--listen=b:2", "-", "--events", "-"],
    SPECS,
  );
  assertEquals(options, [
    { name: "listen", value: "a:1" },
    { name: "quiet", value: "" },
    { name: "events", value: "-" },
    { name: "listen", value: "b:2" },
    { name: "events", value: "-" },
  ]);
  assertEquals(positionals, ["check", "-"]);
  assertEquals(rest, null);
});

Deno.test("parseArguments leaves everything after -- to the command", () => {
  const parsed = parseArguments(["--quiet", "--", "curl", "--quiet", "--", "-x"], SPECS);
  assertEquals(parsed.options, [{ name: "quiet", value: "" }]);
  assertEquals(parsed.rest, ["curl", "--quiet", "--", "-x"]);
});

Deno.test("parseArguments takes values as they are: numbers, equals signs, leading hyphens", () => {
  const parsed = parseArguments(
    ["--listen", "007", "--listen=a=b", "--listen", "-1", "--config=--quiet"],
    SPECS,
  );
  assertEquals(valuesOf(parsed, "listen"), ["007", "a=b", "-1"]);
  assertEquals(valuesOf(parsed, "config"), ["--quiet"]);
});

Deno.test("parseArguments knows -h as --help", () => {
  assertEquals(has(parseArguments(["-h"], SPECS), "help"), true);
});

Deno.test("parseArguments names what is wrong and the nearest option", () => {
  const cases: [string[], string][] = [
    [["--lisen", "a"], 'unknown option --lisen (did you mean "--listen"?)'],
    [["--event=x"], 'unknown option --event (did you mean "--events"?)'],
    [["--QUIET"], "unknown option --QUIET"],
    [["-q"], "unknown option -q"],
    [["---"], "unknown option ---"],
    [["--toString"], "unknown option --toString"],
    [["--__proto__"], "unknown option --__proto__"],
    [["--listen"], "--listen needs an argument: --listen ADDR"],
    [["--listen="], "--listen needs an argument: --listen ADDR"],
    [["--listen", ""], "--listen needs an argument: --listen ADDR"],
    [["--listen", "--quiet"], "--listen needs an argument: --listen ADDR"],
    [["--listen", "--config=x"], "--listen needs an argument: --listen ADDR"],
    [["--listen", "--", "x"], "--listen needs an argument: --listen ADDR"],
    [["--quiet=yes"], "--quiet takes no value; found yes"],
    [["--quiet", "--quiet"], "--quiet is given twice; once is allowed"],
    [["--config", "a", "--config=b"], "--config is given twice; once is allowed"],
  ];
  for (const [args, message] of cases) {
    assertThrows(() => parseArguments(args, SPECS), UsageError, message, args.join(" "));
  }
});

Deno.test("parseArguments is total: any arguments parse or are a UsageError", () => {
  const argument = fc.oneof(
    fc.constantFrom("--listen", "--quiet", "--", "-", "--config=x", "-h"),
    fc.string(),
  );
  fc.assert(fc.property(fc.array(argument, { maxLength: 8 }), (args) => {
    try {
      const { options, positionals, rest } = parseArguments(args, SPECS);
      const count = options.reduce((sum, { value }) => sum + (value === "" ? 1 : 2), 0) + positionals.length +
        (rest === null ? 0 : rest.length + 1);
      // `--name=value` is one argument and counts as two here.
      if (count < args.length) throw new Error("an argument was lost");
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
    }
  }));
});

Deno.test("optionsHelp lines up options, values and sentences", () => {
  assertEquals(
    optionsHelp(SPECS),
    [
      "  --listen ADDR  where (may be repeated)",
      "  --events SINK  to (may be repeated)",
      "  --config FILE  from",
      "  --quiet        nothing",
      "  --help         this",
      "",
    ].join("\n"),
  );
});
