import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { TerminalLines } from "../../src/cli/console.ts";
import { Reporter } from "../../src/cli/reporter.ts";
import { STARTING } from "../../src/cli/status_lines.ts";
import { UsageError } from "../../src/cli/usage_error.ts";
import { StartError } from "../../src/runtime/start_error.ts";
import { testWorld } from "../support/test_world.ts";

function reporter(
  options: { statusLines?: boolean; quiet?: boolean; terminal?: boolean; noColour?: boolean } = {},
) {
  const world = testWorld({ terminal: options.terminal ?? false, noColour: options.noColour ?? false });
  const { statusLines = false, quiet = false } = options;
  return { world, reporter: new Reporter(world.console, { statusLines, quiet, logLevel: "info" }) };
}

Deno.test("Reporter fails with the class of the error, its message and the exit line", () => {
  const cases: [Error, number, string][] = [
    [new UsageError("unknown"), 2, "usage"],
    [new StartError("config_invalid", "wrong"), 20, "config_invalid"],
    [new StartError("event_sink_init_failed", "wrong"), 21, "event_sink_init_failed"],
    [new StartError("proxy_init_failed", "wrong"), 22, "proxy_init_failed"],
    [new TypeError("ours"), 23, "runtime_failed"],
  ];
  for (const [error, code, exitClass] of cases) {
    const { world, reporter: it } = reporter({ statusLines: true });
    assertEquals(it.fail(error), code);
    assertStringIncludes(world.said.stderr, `soth-mitm: ${code === 23 ? "this is a bug" : error.message}`);
    assertStringIncludes(world.said.stderr, `"exit_code":${code},"exit_class":"${exitClass}"`);
  }
});

Deno.test("Reporter says notices up to its level, and status lines only when asked", () => {
  const { world, reporter: it } = reporter();
  it.status(STARTING);
  it.notice({ level: "debug", message: "d" });
  it.notice({ level: "info", message: "i" });
  it.notice({ level: "warn", message: "w" });
  it.notice({ level: "error", message: "e" });
  assertEquals(world.said.stderr, "soth-mitm: i\nsoth-mitm: warning: w\nsoth-mitm: error: e\n");
});

Deno.test("Reporter talks to a person at a terminal, unless told to be quiet", () => {
  const seen = (options: Parameters<typeof reporter>[0]) => {
    const { reporter: it } = reporter(options);
    return [it.talkative, it.colour];
  };
  assertEquals(seen({}), [false, false]);
  assertEquals(seen({ terminal: true }), [true, true]);
  assertEquals(seen({ terminal: true, noColour: true }), [true, false]);
  assertEquals(seen({ terminal: true, quiet: true }), [false, true]);
});

/** A stream that takes `step` bytes at a time, and only when let. */
function slowStream(step: number) {
  let text = "";
  let open: () => void = () => {};
  let gate = new Promise<void>((resolve) => open = resolve);
  return {
    get text() {
      return text;
    },
    letThrough() {
      open();
      gate = Promise.resolve();
    },
    async write(data: Uint8Array) {
      await gate;
      const taken = data.subarray(0, step);
      text += new TextDecoder().decode(taken);
      return taken.length;
    },
  };
}

Deno.test("TerminalLines writes every line whole, however little the terminal takes at once", async () => {
  const stream = slowStream(3);
  const lines = new TerminalLines(stream);
  stream.letThrough();
  lines.write("first line");
  lines.write("second line");
  await lines.flush(1_000);
  assertEquals(stream.text, "first line\nsecond line\n");
  lines.write("third");
  await lines.flush(1_000);
  assert(stream.text.endsWith("third\n"));
});

Deno.test("TerminalLines drops and counts lines for a stopped terminal, and never waits for it", async () => {
  const stream = slowStream(1_000_000);
  const lines = new TerminalLines(stream, 10);
  for (let index = 1; index <= 25; index++) lines.write(`line ${index}`);
  await lines.flush(0);
  assertEquals(stream.text, "");
  stream.letThrough();
  await lines.flush(1_000);
  assertStringIncludes(stream.text, "line 11\n(14 more lines, faster than this terminal)\n");
});

Deno.test("TerminalLines is done with a terminal that is gone", async () => {
  const lines = new TerminalLines({ write: () => Promise.reject(new Deno.errors.BrokenPipe("gone")) });
  lines.write("one");
  await lines.flush(1_000);
  lines.write("two");
  await lines.flush(1_000);
});
