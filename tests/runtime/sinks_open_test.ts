import { assertEquals, assertRejects } from "@std/assert";
import { encodeHeader } from "../../src/log/encode.ts";
import { INDEX_HEADER, indexRow, indexRowStartOf } from "../../src/log/index_row.ts";
import { IndexFile } from "../../src/runtime/sinks/index_file.ts";
import { openSink } from "../../src/runtime/sinks/open_sink.ts";
import { type LogLine, readLog } from "../../src/runtime/sinks/read_log.ts";
import { resumeLog } from "../../src/runtime/sinks/resume.ts";
import { StartError } from "../../src/runtime/start_error.ts";
import { LogBuilder, received } from "../log/log_builder.ts";

const OPTIONS = { rotateBytes: 0, sync: "flush" } as const;
/** For tests of what is left open: the runner does not look by itself. */
const LEAKS_NOTHING = { sanitizeResources: true, sanitizeOps: true };

async function withFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "sinks_open_" });
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** A log of `events` events in one flow. */
function logLines(events: number): string[] {
  const log = new LogBuilder().open();
  const flow = log.flow(1);
  for (let count = 0; count < events; count++) log.add(flow, received);
  return log.lines;
}

Deno.test("openSink knows standard output, files and what does not exist yet", async () => {
  await withFolder(async (folder) => {
    const output = await openSink("-", OPTIONS);
    assertEquals([output.name, output.position.opening, output.indexed], ["-", 0, false]);
    const file = await openSink(`${folder}/new.jsonl`, OPTIONS);
    assertEquals([file.name, file.position.sequenceId, file.indexed], [`${folder}/new.jsonl`, 0, false]);
    await file.close();
    const rotated = await openSink(`${folder}/rotated.jsonl`, { ...OPTIONS, rotateBytes: 100 });
    assertEquals(rotated.indexed, true);
    await rotated.close();
    await assertRejects(() => openSink(folder, OPTIONS), StartError, "it is a folder; name a file in it");
    await assertRejects(
      () => openSink("grpc://a", OPTIONS),
      StartError,
      'sinks of the scheme "grpc" do not exist',
    );
  });
});

Deno.test("resumeLog reads where a log stands from its end alone", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/log.jsonl`;
    const lines = logLines(5);
    // What is between the first bytes and the end is not looked at.
    lines[2] = "x".repeat(300_000) + "\n";
    await Deno.writeTextFile(path, lines.join(""), { mode: 0o600 });
    const resumed = await resumeLog(path, false);
    const { sequence_id, time_ns } = JSON.parse(lines.at(-1)!);
    assertEquals(resumed.position, { opening: 1, sequenceId: sequence_id, timeNs: time_ns });
    assertEquals([resumed.segment, resumed.segmentBytes], [0, lines.join("").length]);
    assertEquals([resumed.notices, resumed.index], [[], null]);
    resumed.file.close();
    resumed.release();
  });
});

Deno.test("resumeLog begins a log in an empty file, as one that was never opened", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/log.jsonl`;
    await Deno.writeTextFile(path, "", { mode: 0o600 });
    const resumed = await resumeLog(path, false);
    assertEquals([resumed.position, resumed.notices], [{ opening: 0, sequenceId: 0, timeNs: 0 }, []]);
    resumed.file.close();
    resumed.release();
  });
});

Deno.test({
  name: "resumeLog says of an empty file, too, that others can read it",
  ignore: Deno.build.os === "windows",
  async fn() {
    await withFolder(async (folder) => {
      const path = `${folder}/log.jsonl`;
      await Deno.writeTextFile(path, "");
      await Deno.chmod(path, 0o644);
      const { notices, file, release } = await resumeLog(path, false);
      assertEquals(notices.map((notice) => /mode 644.*chmod 600/.test(notice)), [true], notices.join());
      file.close();
      release();
    });
  },
});

Deno.test("resumeLog lets go of every file where it refuses", LEAKS_NOTHING, async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/log.jsonl`;
    const header = logLines(0)[0]!;
    await Deno.writeTextFile(path, header + "{}\n");
    await assertRejects(() => resumeLog(path, true), StartError, "its last whole line is not an event");
    await Deno.writeTextFile(path, header);
    const resumed = await resumeLog(path, true);
    resumed.index!.close();
    resumed.file.close();
    resumed.release();
  });
});

Deno.test("IndexFile makes what is missing from the log, and refuses a log it cannot read", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/log.jsonl`;
    const lines = logLines(4);
    const text = lines.join("");
    await Deno.writeTextFile(path, text);
    let offset = lines[0]!.length;
    const rows = lines.slice(1).map((line) => {
      const row = indexRow(indexRowStartOf(JSON.parse(line))!, "log.jsonl", offset, line.length);
      offset += line.length;
      return row;
    });
    const indexPath = `${path}.index.tsv`;
    const whole = INDEX_HEADER + rows.join("");
    for (let cut = 0; cut <= whole.length; cut += 7) {
      await Deno.writeTextFile(indexPath, whole.slice(0, cut));
      const index = await IndexFile.open(indexPath, path, { segment: 0, bytes: text.length });
      assertEquals(await index.append(""), null);
      index.close();
      assertEquals(await Deno.readTextFile(indexPath), whole, `cut at ${cut}`);
    }
    await Deno.remove(indexPath);
    await Deno.writeTextFile(path, text.replace('{"schema"', '["schema"').replace(lines[2]!, "broken\n"));
    const open = () => IndexFile.open(indexPath, path, { segment: 0, bytes: text.length });
    await assertRejects(open, Error, "is not an event, so the index cannot be made");
  });
});

Deno.test(
  "readLog gives the lines of all segments with their places, and stops early without harm",
  LEAKS_NOTHING,
  async () => {
    await withFolder(async (folder) => {
      const path = `${folder}/log.jsonl`;
      const header = encodeHeader({
        version: "",
        openedAt: "",
        configDigest: "",
        opening: 1,
        continuesSequenceId: 0,
        continuesTimeNs: 0,
      });
      await Deno.writeTextFile(path, header + "a\n");
      await Deno.writeTextFile(`${path}.part00001`, "b\nc\n");
      await Deno.writeTextFile(`${path}.part00002`, "d\ntorn");
      const places: unknown[] = [];
      for await (const line of readLog(path)) places.push(place(line));
      assertEquals(places, [
        ["log.jsonl", 1, 0, "newline", false],
        ["log.jsonl", 2, header.length, "newline", false],
        ["log.jsonl.part00001", 1, 0, "newline", false],
        ["log.jsonl.part00001", 2, 2, "newline", false],
        ["log.jsonl.part00002", 1, 0, "newline", true],
        ["log.jsonl.part00002", 2, 2, "file", true],
      ]);
      // The test's own check for open files notices what would be left behind.
      for await (const line of readLog(path)) if (line.segment === "log.jsonl.part00001") break;
      await assertRejects(() => readLog(`${folder}/none`).next(), Deno.errors.NotFound);
    });
  },
);

function place({ segment, lineNumber, byteOffset, end, lastSegment }: LogLine): unknown[] {
  return [segment, lineNumber, byteOffset, end, lastSegment];
}
