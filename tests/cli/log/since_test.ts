import { assertEquals, assertRejects } from "@std/assert";
import { parseSince } from "../../../src/cli/log/since.ts";
import { UsageError } from "../../../src/cli/usage_error.ts";
import { completed, LogBuilder, requestHeaders } from "../../log/log_builder.ts";
import { run, split, withLog } from "./run_log.ts";

/** An exchange in each of two openings, a day apart; the log's own time goes on without the gap. */
function twoDays(): LogBuilder {
  const log = new LogBuilder().open();
  log.add(log.flow(1), requestHeaders(1), completed(1)).open();
  log.add(log.flow(1), requestHeaders(1), completed(1));
  const second = log.lines.findLastIndex((line) => line.includes("log_opened"));
  log.lines[second] = log.lines[second]!.replace("2026-01-02", "2026-01-03");
  return log;
}

async function shown(path: string, since: string): Promise<number> {
  const { code, stdout } = await run("show", "--since", since, path);
  assertEquals(code, 0);
  return stdout.split("\n").length - 1;
}

Deno.test("--since counts back from the last event by the wall clock, also in another segment", async () => {
  const { lines } = twoDays();
  await withLog(lines, async (path) => {
    for (const first of [lines.length, 3, 5]) {
      await split(path, lines, first);
      assertEquals([await shown(path, "23h"), await shown(path, "1d"), await shown(path, "25h")], [1, 2, 2]);
    }
  });
});

Deno.test("--since takes an ISO time with and without an offset", async () => {
  await withLog(twoDays().lines, async (path) => {
    assertEquals(await shown(path, "2026-01-02T03:04:05.677Z"), 2);
    assertEquals(await shown(path, "2026-01-02T04:04:05+00:00"), 1);
    assertEquals(await shown(path, "2026-01-04"), 0);
    assertEquals((await parseSince("2026-01-02T03:04", path)).wallMs, new Date(2026, 0, 2, 3, 4).getTime());
  });
  await assertRejects(() => parseSince("2026-13-45T99:00Z", "log"), UsageError);
  await assertRejects(() => parseSince("1e3", "log"), UsageError);
});

Deno.test("--since a duration uses the log's own time where it does not say when it was opened", async () => {
  const lines = new LogBuilder().open().lines.map((line) =>
    line.replace(/"opened_at":"[^"]*"/, '"opened_at":"?"')
  );
  const log = new LogBuilder();
  const flow = log.open().flow(1);
  log.add(flow, requestHeaders(1), completed(1));
  await withLog([...lines, ...log.lines.slice(1)], async (path) => {
    assertEquals(await shown(path, "1ms"), 1);
    assertEquals(await shown(path, "0s"), 1);
    assertEquals(await shown(path, "2026-01-02"), 0, "no wall clock, so nothing is known to be so late");
  });
});
