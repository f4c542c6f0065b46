import { assertEquals, assertStringIncludes } from "@std/assert";
import { logCommand } from "../../src/cli/log.ts";
import { goodLog } from "../log/log_builder.ts";
import { run, withLog } from "./log/run_log.ts";

Deno.test("log explains itself and refuses what it does not know, naming what there is", async () => {
  for (const help of ["--help", "-h"]) {
    const { code, stdout } = await run(help);
    assertEquals(code, 0);
    assertStringIncludes(stdout, "soth-mitm log verify FILE");
    assertStringIncludes((await run("verify", help)).stdout, "Usage: soth-mitm log verify FILE");
    assertStringIncludes((await run("show", "x", help)).stdout, "Usage: soth-mitm log show [OPTIONS] FILE");
  }
  const refused: readonly [args: string[], part: string][] = [
    [[], "a subcommand is missing; there are show, verify, curl and har"],
    [["hat", "x"], "hat is not a subcommand of log; there are show, verify, curl and har"],
    [["verfy", "x"], "did you mean verify?"],
    [["constructor"], "constructor is not a subcommand"],
    [["--colour"], "did you mean --help?"],
    [["verify"], "the FILE to read is missing: soth-mitm log verify FILE"],
    [["show", "--jsn", "x"], 'unknown option --jsn (did you mean "--json"?)'],
    [["show", "x", "--", "y"], "reads one FILE; found y too"],
    [["verify", "--json", "x"], "unknown option --json"],
    [["show", "a", "b\x1b"], "reads one FILE; found b\\x1b too"],
    [["verify", "/nowhere/log.jsonl"], "cannot read /nowhere/log.jsonl: there is no such file"],
    [["show", "/nowhere/log.jsonl"], "cannot read /nowhere/log.jsonl: there is no such file"],
  ];
  for (const [args, part] of refused) {
    const { code, stdout, stderr } = await run(...args);
    assertEquals([code, stdout], [2, ""], args.join(" "));
    assertStringIncludes(stderr, part);
  }
});

Deno.test("log paints only where standard output takes colour", async () => {
  await withLog(goodLog().lines, async (path) => {
    let painted = "";
    const io = { stdout: (text: string) => void (painted += text), stderr: () => {}, colour: true };
    assertEquals(await logCommand(["show", path], io), 0);
    assertStringIncludes(painted, "\x1b[32m200\x1b[0m");
    assertEquals((await run("show", path)).stdout.includes("\x1b"), false);
  });
});
