import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import { logCommand } from "../../src/cli/log.ts";
import { encodeEvent } from "../../src/log/encode.ts";
import { parseIndexRow } from "../../src/log/index_row.ts";
import { LOG_START } from "../../src/log/position.ts";
import { EventLog } from "../../src/runtime/event_log.ts";
import { FileSink, type SegmentFile } from "../../src/runtime/sinks/file_sink.ts";
import { SinkWriteError } from "../../src/runtime/sinks/sink.ts";
import { StartError } from "../../src/runtime/start_error.ts";
import { closed, decision, flowContext, received, requestHeaders } from "../log/log_builder.ts";
import { batchOf } from "../support/batches.ts";

async function withLog(test: (path: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "sinks_file_" });
  try {
    await test(`${folder}/log.jsonl`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Opens the log, records whole flows (some of them with text that is longer in bytes), closes it. */
async function session(path: string, rotateBytes: number, flows: number): Promise<readonly string[]> {
  const log = await EventLog.open({
    sinks: [path],
    rotateBytes,
    sync: "flush",
    onSinkFailure: "stop",
    header: { version: "0.1.0", configDigest: "sha256:00", openedAt: "2026-01-02T03:04:05Z" },
    onFailure(message) {
      throw new Error(message);
    },
  });
  for (let number = 1; number <= flows; number++) {
    const context = flowContext(log.flowIdPrefix + number);
    log.record(context, received, number);
    log.record(context, decision("tunnel"), number);
    log.record(context, {
      ...closed(),
      attributes: { ...closed().attributes, reason_detail: "ä".repeat(number) },
    }, number);
    // Small batches and large ones.
    if (number % 3 === 0) await log.flush();
  }
  await log.close();
  return log.notices;
}

async function verify(path: string): Promise<{ code: number; output: string }> {
  let output = "";
  const take = (text: string) => void (output += text);
  const code = await logCommand(["verify", path], { stdout: take, stderr: take, colour: false });
  return { code, output };
}

async function segmentsOf(path: string): Promise<string[]> {
  const folder = path.slice(0, path.lastIndexOf("/"));
  const names: string[] = [];
  for await (const { name } of Deno.readDir(folder)) {
    if (!name.endsWith(".tsv") && !name.endsWith(".torn") && !name.endsWith(".lock")) {
      names.push(`${folder}/${name}`);
    }
  }
  return names.sort();
}

/** Each row of the index leads to the event it names, and each event has its row. */
async function assertIndexed(path: string): Promise<void> {
  const folder = path.slice(0, path.lastIndexOf("/"));
  const rows = (await Deno.readTextFile(`${path}.index.tsv`)).trimEnd().split("\n").slice(1);
  const text = (await Promise.all((await segmentsOf(path)).map((segment) => Deno.readTextFile(segment))))
    .join("");
  const events = text.trimEnd().split("\n").filter((line) => !line.includes('"kind":"log_opened"'));
  assertEquals(rows.length, events.length);
  for (const [index, row] of rows.entries()) {
    const { segment, byteOffset, lineBytes } = parseIndexRow(row)!;
    const bytes = await Deno.readFile(`${folder}/${segment}`);
    const line = new TextDecoder().decode(bytes.subarray(byteOffset, byteOffset + lineBytes));
    assertEquals(line, events[index] + "\n");
    const event = JSON.parse(line);
    const { sequence_id, flow_id, flow_sequence_id, kind, protocol, stream_key } = event;
    assertEquals(row.split("\t").slice(0, 6), [
      String(sequence_id),
      flow_id,
      String(flow_sequence_id),
      kind,
      protocol,
      stream_key,
    ]);
  }
}

Deno.test("FileSink begins a segment before one would outgrow events.rotate_bytes, and indexes every event", async () => {
  await withLog(async (path) => {
    await session(path, 1500, 12);
    const segments = await segmentsOf(path);
    assertEquals(segments.slice(0, 3), [path, `${path}.part00001`, `${path}.part00002`]);
    for (const segment of segments) assert((await Deno.stat(segment)).size <= 1500, segment);
    await assertIndexed(path);
    assertEquals(await verify(path), {
      code: 0,
      output: `${path}: valid; 36 events, 12 flows, 0 exchanges, 1 opening\n`,
    });
  });
});

Deno.test("FileSink gives a line that is longer than events.rotate_bytes a segment of its own", async () => {
  await withLog(async (path) => {
    await session(path, 100, 2);
    assertEquals((await segmentsOf(path)).length, 7);
    await assertIndexed(path);
    assertEquals((await verify(path)).code, 0);
  });
});

Deno.test("FileSink goes on in the last segment, also with another size or none, and keeps the index whole", async () => {
  await withLog(async (path) => {
    // Without an index at first: it is made from the log when rotation begins.
    for (const rotateBytes of [0, 1500, 0, 3000]) {
      assertEquals(await session(path, rotateBytes, 5), []);
      if (rotateBytes > 0) await assertIndexed(path);
    }
    await assertIndexed(path);
    assertEquals(await verify(path), {
      code: 0,
      output: `${path}: valid; 60 events, 20 flows, 0 exchanges, 4 openings\n`,
    });
  });
});

Deno.test("FileSink completes an index that a crash cut anywhere, and makes a wrong one anew", async () => {
  await withLog(async (path) => {
    await session(path, 900, 4);
    const indexPath = `${path}.index.tsv`;
    const whole = await Deno.readFile(indexPath);
    const later = new TextEncoder().encode(
      "99\t1-9\t1\tstream_closed\ttunnel\tflow\tlog.jsonl.part00001\t800\t9000\n",
    );
    const foreign = new TextEncoder().encode("99\t1-9\t1\tstream_closed\ttunnel\tflow\tother\t0\t10\n");
    const header = whole.indexOf(10) + 1;
    const damaged: Uint8Array[] = [0, 5, header, header + 9, 300, whole.length - 1].map((cut) =>
      whole.subarray(0, cut)
    );
    damaged.push(new Uint8Array([...whole, ...later]), new Uint8Array([...whole, ...foreign]));
    for (const content of damaged) {
      await Deno.writeFile(indexPath, content);
      await session(path, 900, 1);
      await assertIndexed(path);
      const { code, output } = await verify(path);
      assertEquals([code, output.includes("note")], [0, false], output);
    }
    await Deno.remove(indexPath);
    await session(path, 900, 0);
    await assertIndexed(path);
  });
});

Deno.test("FileSink continues after a crash just behind the beginning of a segment", async () => {
  await withLog(async (path) => {
    await session(path, 900, 2);
    const next = `${path}.part${String((await segmentsOf(path)).length).padStart(5, "0")}`;
    await Deno.writeTextFile(next, "");
    await session(path, 900, 2);
    assertEquals((await verify(path)).code, 0);
    await assertIndexed(path);

    const torn = `${path}.part${String((await segmentsOf(path)).length).padStart(5, "0")}`;
    await Deno.writeTextFile(torn, '{"schema":"soth-mitm-event-log-v2","sequ');
    const notices = await session(path, 900, 2);
    assertStringIncludes(notices.join(), "its 40 bytes were moved");
    assertEquals(await Deno.readTextFile(`${path}.torn`), '{"schema":"soth-mitm-event-log-v2","sequ\n');
    assertEquals((await verify(path)).code, 0);
  });
});

Deno.test("FileSink refuses to continue a log whose end is no event", async () => {
  await withLog(async (path) => {
    await session(path, 0, 2);
    await Deno.writeTextFile(path, "\0\0\0\0\n", { append: true });
    const error = await assertRejects(() => session(path, 0, 1), StartError);
    assertStringIncludes(error.message, "its last whole line is not an event");
    assertStringIncludes(error.message, "move it away or name another file");
  });
});

/** A disk that takes `shortWrite` bytes at a time and `capacity` bytes in all. */
class FakeSegment implements SegmentFile {
  content = new Uint8Array(0);
  closed = false;
  synced = 0;

  constructor(readonly capacity = Infinity, readonly shortWrite = Infinity, readonly canTruncate = true) {}

  write(data: Uint8Array): Promise<number> {
    const count = Math.min(data.length, this.shortWrite, this.capacity - this.content.length);
    if (count === 0) {
      return Promise.reject(
        Object.assign(new Error("No space left on device (os error 28)"), { code: "ENOSPC" }),
      );
    }
    this.content = new Uint8Array([...this.content, ...data.subarray(0, count)]);
    return Promise.resolve(count);
  }

  truncate(length: number): Promise<void> {
    if (!this.canTruncate) return Promise.reject(new Error("read-only"));
    this.content = this.content.slice(0, length);
    return Promise.resolve();
  }

  syncData(): Promise<void> {
    this.synced++;
    return Promise.resolve();
  }

  close(): void {
    this.closed = true;
  }
}

function fakeSink(
  segments: readonly FakeSegment[],
  rotateBytes = 0,
): { sink: FileSink; released: () => number } {
  let released = 0;
  const sink = new FileSink(
    "log.jsonl",
    LOG_START,
    [],
    { file: segments[0]!, number: 0, bytes: 0 },
    { rotateBytes, sync: "flush" },
    null,
    (number) => Promise.resolve(segments[number]!),
    () => void released++,
  );
  return { sink, released: () => released };
}

const LINES = Array.from(
  { length: 5 },
  (_, index) =>
    encodeEvent(index + 1, 1, index + 1, flowContext(`1-${index}`), requestHeaders(1, { target: "/é" })),
);
const ALL = new TextEncoder().encode(LINES.join(""));

Deno.test("FileSink continues short writes", async () => {
  const segment = new FakeSegment(Infinity, 7);
  const { sink, released } = fakeSink([segment]);
  assertEquals(await sink.write(batchOf(LINES)), ALL.length);
  assertEquals(segment.content, ALL);
  await sink.close();
  assertEquals([segment.closed, segment.synced, released()], [true, 1, 1]);
});

Deno.test("FileSink leaves whole lines only, wherever the disk is full, and tells how many", async () => {
  for (let capacity = 0; capacity < ALL.length; capacity += 13) {
    const segment = new FakeSegment(capacity, 50);
    const { sink } = fakeSink([segment]);
    const error = await assertRejects(() => sink.write(batchOf(LINES)), SinkWriteError);
    assertStringIncludes(error.message, "event sink log.jsonl failed: the disk is full; free some space");
    const text = new TextDecoder().decode(segment.content);
    assertEquals(text, LINES.slice(0, error.linesWritten).join(""), `capacity ${capacity}`);
    assertEquals(
      error.linesWritten,
      LINES.findLastIndex((_, index) => byteLength(index + 1) <= capacity) + 1,
    );
    await sink.close();
  }
});

Deno.test("FileSink reports the fault also where the torn line cannot be cut off", async () => {
  const segment = new FakeSegment(byteLength(2) + 10, Infinity, false);
  const { sink } = fakeSink([segment]);
  const error = await assertRejects(() => sink.write(batchOf(LINES)), SinkWriteError);
  assertEquals(error.linesWritten, 2);
});

Deno.test("FileSink that fails in a later segment counts the lines of the earlier ones", async () => {
  const segments = [new FakeSegment(), new FakeSegment(), new FakeSegment(10)];
  const { sink } = fakeSink(segments, byteLength(2));
  const error = await assertRejects(() => sink.write(batchOf(LINES)), SinkWriteError);
  assertEquals(error.linesWritten, 4);
  assertEquals(segments.map(({ content }) => content.length), [
    byteLength(2),
    byteLength(4) - byteLength(2),
    0,
  ]);
  assertEquals(segments.map(({ closed }) => closed), [true, true, false]);
});

Deno.test("FileSink that cannot begin a segment says which", async () => {
  const sink = new FileSink(
    "log.jsonl",
    LOG_START,
    [],
    { file: new FakeSegment(), number: 8, bytes: 0 },
    { rotateBytes: byteLength(3), sync: "flush" },
    null,
    () => Promise.reject(new Deno.errors.PermissionDenied("Permission denied (os error 13)")),
    () => {},
  );
  const error = await assertRejects(() => sink.write(batchOf(LINES)), SinkWriteError);
  assertEquals(error.linesWritten, 3);
  assertStringIncludes(error.message, "log.jsonl.part00009 failed: access is denied");
});

Deno.test("FileSink writes every line once and in order, however lines, sizes and short writes fall", async () => {
  const texts = fc.array(fc.string({ unit: "grapheme", maxLength: 40 }), { minLength: 1, maxLength: 20 })
    .map((contents) => contents.map((content) => content.replaceAll("\n", " ") + "\n"));
  await fc.assert(
    fc.asyncProperty(
      texts,
      fc.nat(120),
      fc.integer({ min: 1, max: 50 }),
      async (lines, rotateBytes, shortWrite) => {
        const segments = lines.map(() => new FakeSegment(Infinity, shortWrite));
        const { sink } = fakeSink(segments, rotateBytes);
        await sink.write(batchOf(lines));
        const written = segments.map(({ content }) =>
          new TextDecoder("utf-8", { ignoreBOM: true }).decode(content)
        );
        assertEquals(written.join(""), lines.join(""));
        if (rotateBytes === 0) return;
        for (const { content } of segments) {
          assert(
            content.length <= rotateBytes || content.indexOf(10) === content.length - 1,
            "one long line at most",
          );
        }
      },
    ),
  );
});

function byteLength(lines: number): number {
  return new TextEncoder().encode(LINES.slice(0, lines).join("")).length;
}
