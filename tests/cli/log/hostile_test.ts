/** Logs that nobody verified: whatever stands in them, no command fails and no terminal is steered. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { visible } from "../../../src/log/visible.ts";
import { goodLog } from "../../log/log_builder.ts";
import { run, withLog } from "./run_log.ts";

/** What no proxy writes; numbers as their JSON, for no double is some of them. */
const HOSTILE = [
  "1e999",
  "-1e999",
  "1e300",
  "-5",
  "0.5",
  "9007199254740993",
  "null",
  "true",
  "[]",
  "{}",
  '""',
  '"\\u001b[2J\\u009b31m\\u202e\\ud800\\u2028"',
  '"[redacted 5 bytes]"',
  '"-"',
  '"@/etc/passwd"',
  '"__proto__"',
  `${"[".repeat(5000)}${"]".repeat(5000)}`,
  `${'{"a":'.repeat(5000)}1${"}".repeat(5000)}`,
];

const MARK = "\u0000hostile ";

/** The lines, some of whose values are others. */
function altered(
  lines: readonly string[],
  changes: readonly (readonly [at: number, with_: number])[],
): string[] {
  const places: { readonly object: Record<string, unknown>; readonly key: string }[] = [];
  const values = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  const walk = (value: unknown) => {
    if (typeof value !== "object" || value === null) return;
    const object = value as Record<string, unknown>;
    for (const key of Object.keys(object)) {
      if (key !== "kind" && key !== "schema") places.push({ object, key });
      walk(object[key]);
    }
  };
  values.forEach(walk);
  for (const [at, index] of changes) {
    const { object, key } = places[at % places.length]!;
    object[key] = MARK + index % HOSTILE.length;
  }
  return values.map((value) =>
    JSON.stringify(value).replace(/"\\u0000hostile (\d+)"/g, (_, index) => HOSTILE[Number(index)]!) + "\n"
  );
}

const changes = fc.array(fc.tuple(fc.nat(), fc.nat()), { minLength: 1, maxLength: 40 });

Deno.test("no value in a log makes a command fail, or steers the terminal it prints to", async () => {
  const { lines } = goodLog();
  await fc.assert(
    fc.asyncProperty(changes, async (changes) => {
      await withLog(altered(lines, changes), async (path) => {
        const commands = [
          ["show", path],
          ["show", "--json", "--llm", path],
          ["show", "--messages", path],
          ["show", "--json", "--messages", path],
          ["show", "--grep", "nothing", "--host", "*.com", "--since", "1s", path],
          ["har", path],
          ["curl", "--exchange", "1-1/1", path],
          ["curl", "--exchange", "1-1/1", "--shell", "cmd", path],
          ["curl", "--exchange", "1-1/1", "--shell", "powershell", path],
          ["verify", path],
        ];
        for (const command of commands) {
          const { stdout, stderr } = await run(...command);
          assert(!stderr.includes("cannot read"), `${command[0]}: ${stderr}`);
          for (const line of [...stdout.split("\n"), ...stderr.split("\n")]) {
            assertEquals(visible(line), line, command.join(" "));
          }
          if (command[0] === "har") JSON.parse(stdout);
        }
      });
    }),
    { numRuns: 40 },
  );
});
