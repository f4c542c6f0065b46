import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  has,
  optionsHelp,
  type OptionSpecs,
  parseArguments,
  valuesInOrder,
  valuesOf,
} from "../../src/cli/options.ts";
import { UsageError } from "../../src/cli/usage_error.ts";

const SPECS = {
  listen: { value: "ADDR", repeats: true, help: "where" },
  events: { value: "SINK", repeats: true, help: "to" },
  config: { value: "FILE", help: "from" },
  quiet: { help: "nothing" },
  help: { help: "this" },
} as const satisfies OptionSpecs;

Deno.test("valuesInOrder keeps the order across options", () => {
  const parsed = parseArguments(
    [
      "--listen",
      "a:1",
      "check",
      "--quiet",
      "--events=-",
      "--listen=b:2",
      "-",
      "--events",
      "-",
      "--",
      "--listen=c",
    ],
    SPECS,
  );
  assertEquals(valuesInOrder(parsed, ["events", "listen"]), [
    { name: "listen", value: "a:1" },
    { name: "events", value: "-" },
    { name: "listen", value: "b:2" },
    { name: "events", value: "-" },
  ]);
  assertEquals(valuesInOrder(parsed, ["config"]), []);
  assertEquals([has(parsed, "quiet"), has(parsed, "help")], [true, false]);
  assertEquals(parsed.positionals, ["check", "-"]);
});

Deno.test("parseArguments leaves everything after -- to the command", () => {
  const parsed = parseArguments(["--quiet", "--", "curl", "--quiet", "--", "-x"], SPECS);
  assertEquals(has(parsed, "quiet"), true);
  assertEquals(parsed.rest, ["curl", "--quiet", "--", "-x"]);
  assertEquals(parseArguments(["--"], SPECS).rest, []);
  assertEquals(parseArguments([], SPECS).rest, null);
});

Deno.test("parseArguments takes values as they are: numbers, equals signs, leading hyphens", () => {
  const parsed = parseArguments(
    ["--listen", "007", "--listen=a=b", "--listen", "-1", "--config=--quiet"],
    SPECS,
  );
  assertEquals(valuesOf(parsed, "listen"), ["007", "a=b", "-1"]);
  assertEquals(valuesOf(parsed, "config"), ["--quiet"]);
  assertEquals(parseArguments(["007", "1e3", "", "true"], SPECS).positionals, ["007", "1e3", "", "true"]);
  assertEquals(valuesOf(parseArguments(["--config", "true"], SPECS), "config"), ["true"]);
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
    [["--_=x"], "unknown option --_"],
    [["--listen.a=x"], "unknown option --listen.a"],
    [["--no-quiet"], "unknown option --no-quiet"],
    [["--no-listen=x"], 'unknown option --no-listen (did you mean "--listen"?)'],
    [["-hx"], "unknown option -hx"],
    [["--listen"], "--listen needs an argument: --listen ADDR"],
    [["--listen="], "--listen needs an argument: --listen ADDR"],
    [["--listen", ""], "--listen needs an argument: --listen ADDR"],
    [["--listen", "--quiet"], "--listen needs an argument: --listen ADDR"],
    [["--listen", "--config=x"], "--listen needs an argument: --listen ADDR"],
    [["--listen", "--", "x"], "--listen needs an argument: --listen ADDR"],
    [["--quiet=yes"], "--quiet takes no value; found yes"],
    [["--quiet", "true"], "--quiet takes no value; found true"],
    [["--quiet", "false"], "--quiet takes no value; found false"],
    [["--quiet", "--quiet"], "--quiet is given twice; once is allowed"],
    [["--config", "a", "--config=b"], "--config is given twice; once is allowed"],
  ];
  for (const [args, message] of cases) {
    assertThrows(() => parseArguments(args, SPECS), UsageError, message, args.join(" "));
  }
});

Deno.test("parseArguments is total: any arguments parse or are a UsageError", () => {
  const argument = fc.oneof(
    fc.constantFrom("--listen", "--quiet", "--", "-", "--config=x", "-h", "true", "--no-", "--events"),
    fc.string(),
    fc.string().map((text) => `-${text}`),
    fc.string().map((text) => `--${text}`),
  );
  fc.assert(fc.property(fc.array(argument, { maxLength: 8 }), (args) => {
    try {
      const parsed = parseArguments(args, SPECS);
      const { positionals, rest } = parsed;
      const given = valuesInOrder(parsed, ["listen", "events", "config", "quiet", "help"]).length;
      const switches = [has(parsed, "quiet"), has(parsed, "help")].filter(Boolean).length;
      // `--name=value` is one argument and counts as two here.
      const count = 2 * given + switches + positionals.length + (rest === null ? 0 : rest.length + 1);
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
