import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { plural } from "../../../src/cli/log/command.ts";
import { VERIFY } from "../../../src/cli/log/verify.ts";
import { INDEX_HEADER, indexRow } from "../../../src/log/index_row.ts";
import { goodLog } from "../../log/log_builder.ts";
import { run, split, withLog } from "./run_log.ts";

Deno.test("log verify accepts a good log and says what is in it and what was cut off", async () => {
  const { lines } = goodLog();
  await withLog(lines, async (path) => {
    assertEquals(await run("verify", path), {
      code: 0,
      stdout: `${path}: valid; ${lines.length - 2} events, 7 flows, 5 exchanges, 2 openings\n` +
        "  note: 1 flow cut off where the log was opened again\n",
      stderr: "",
    });
  });
});

Deno.test("log verify says where a torn log ends and how many flows are open there", async () => {
  const { lines } = goodLog();
  const whole = lines.slice(0, 8).join("");
  await withLog([whole, lines[8]!.slice(0, 30)], async (path) => {
    const { code, stdout } = await run("verify", path);
    assertEquals(code, 0);
    assertEquals(stdout.split("\n").slice(1, 3), [
      `  note: the log ends at byte ${whole.length} of ${path}; 30 bytes of a line that was never finished follow`,
      "  note: 2 flows open at its end: it was cut off there, or is still being written",
    ]);
  });
  await withLog([], async (path) => {
    const { code, stdout } = await run("verify", path);
    assertEquals([code, stdout.split("\n")[1]], [0, "  note: nothing was ever written to it"]);
  });
});

Deno.test("log verify names file, line, invariant and byte of the first violation and exits with 1", async () => {
  const { lines } = goodLog();
  const offset = lines[0]!.length + lines[1]!.length;
  lines[2] = lines[2]!.replace('"sequence_id":2', '"sequence_id":3');
  lines[5] = "";
  await withLog(lines, async (path) => {
    assertEquals(await run("verify", path), {
      code: 1,
      stdout: `${path}:3: invalid: sequence_id: found 3, expected 2 (byte ${offset})\n`,
      stderr: "",
    });
  });
  await withLog(["shopping list"], async (path) => {
    const { code, stdout } = await run("verify", path);
    assertEquals(code, 1);
    assertStringIncludes(stdout, `${path}:1: invalid: line_end`);
  });
});

Deno.test("log verify never prints a control character of the log", async () => {
  await withLog(['{"\x1b[2J": \u009b\n'], async (path) => {
    const { code, stdout } = await run("verify", path);
    assertEquals(code, 1);
    // deno-lint-ignore no-control-regex
    assert(!/[\x00-\x09\x0b-\x1f\x7f-\x9f]/.test(stdout), JSON.stringify(stdout));
  });
});

Deno.test("log verify follows segments and checks the index against them", async () => {
  const { lines } = goodLog();
  await withLog(lines, async (path) => {
    const rows = await split(path, lines, 9);
    const indexPath = `${path}.index.tsv`;
    const good = await run("verify", path);
    assertEquals([good.code, good.stdout.includes("index")], [0, false], good.stdout);

    const writeIndex = (changed: string[]) => Deno.writeTextFile(indexPath, INDEX_HEADER + changed.join(""));
    await writeIndex(rows.with(10, rows[10]!.replace("\t", "9\t")));
    const wrong = await run("verify", path);
    assertEquals(wrong.code, 1);
    // The eleventh event is the third line of the second segment.
    assertStringIncludes(wrong.stdout, `${path}.part00001:3: invalid: index: row 12 of the index is "`);

    await writeIndex(rows.toSpliced(4, 1));
    assertStringIncludes((await run("verify", path)).stdout, `${path}:6: invalid: index`);

    await writeIndex([...rows, rows[0]!.replace("\tlog.jsonl\t", "\tlog.jsonl.part00002\t")]);
    assertStringIncludes(
      (await run("verify", path)).stdout,
      `${indexPath}:${rows.length + 2}: invalid: index`,
    );

    await Deno.writeTextFile(indexPath, "x\n");
    assertStringIncludes((await run("verify", path)).stderr, "is not an index of an event log");
  });
});

Deno.test("log verify takes an index that lags behind its log, or lacks, for what a crash leaves", async () => {
  const { lines } = goodLog();
  await withLog(lines, async (path) => {
    const rows = await split(path, lines, 9);
    const indexPath = `${path}.index.tsv`;
    await Deno.writeTextFile(indexPath, INDEX_HEADER + rows.slice(0, -2).join("") + "12\t1-");
    const lagging = await run("verify", path);
    assertEquals(lagging.code, 0);
    assertStringIncludes(
      lagging.stdout,
      "note: the index lacks the last 2 events; opening the log again completes it",
    );
    await Deno.writeTextFile(indexPath, "");
    assertEquals((await run("verify", path)).code, 0);
    await Deno.remove(indexPath);
    const without = await run("verify", path);
    assertEquals(without.code, 0);
    assertStringIncludes(without.stdout, `note: there is no index (${path}.index.tsv)`);
  });
});

Deno.test("log verify takes rows beyond the lines it read for growth, where the file holds them", async () => {
  const { lines } = goodLog();
  await withLog(lines, async (path) => {
    const rows = await split(path, lines, lines.length);
    await Deno.remove(`${path}.part00001`);
    const { size } = await Deno.stat(path);
    const verifyWith = async (offset: number) => {
      const row = indexRow("x\t".repeat(5) + "x", "log.jsonl", offset, 30);
      await Deno.writeTextFile(`${path}.index.tsv`, INDEX_HEADER + rows.join("") + row);
      return (await run("verify", path)).code;
    };
    assertEquals(await verifyWith(size), 1, "there is nothing there");
    assertEquals(await verifyWith(0), 1, "what is there has a row of its own");
    // As it looks when the log is read in the middle of a write, and the index after it.
    await Deno.writeTextFile(path, lines[1]!.slice(0, 30), { append: true });
    assertEquals(await verifyWith(size), 0);
  });
});

Deno.test("log verify refuses a segment that is torn where another follows, and a segment given alone", async () => {
  const { lines } = goodLog();
  await withLog(lines, async (path) => {
    await split(path, lines, 9);
    const alone = await run("verify", `${path}.part00001`);
    assertStringIncludes(alone.stdout, `${path}.part00001:1: invalid: header_first`);
    const text = await Deno.readTextFile(path);
    await Deno.writeTextFile(path, text.slice(0, -5));
    const torn = await run("verify", path);
    assertEquals(torn.code, 1);
    assertStringIncludes(
      torn.stdout,
      `${path}:9: invalid: line_end: the segment ends in the middle of a line`,
    );
  });
});

Deno.test("log verify explains itself, and counts in words", async () => {
  assertEquals(await run("verify", "--help"), { code: 0, stdout: VERIFY.help, stderr: "" });
  assertEquals([0, 1, 2].map((count) => plural(count, "flow")), ["0 flows", "1 flow", "2 flows"]);
});
