import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import { LOG_START } from "../../src/log/position.ts";
import { type Batch, type Sink, SinkWriteError } from "../../src/runtime/sinks/sink.ts";
import { SinkQueue } from "../../src/runtime/sinks/sink_queue.ts";
import { StreamSink } from "../../src/runtime/sinks/stream_sink.ts";
import { Subscription } from "../../src/runtime/sinks/subscription.ts";
import type { LoggedEvent } from "../../src/core/event.ts";
import { batchOf, linesOf } from "../support/batches.ts";

interface Report {
  readonly failures: { message: string; linesLost: number }[];
  progress: number;
}

/** A batch as a sink saw it, kept after its write. */
interface SeenBatch {
  readonly lines: readonly string[];
  readonly rows: readonly string[] | null;
}

function queueOver(
  write: (batch: Batch) => Promise<number>,
  indexed = false,
): { queue: SinkQueue; batches: SeenBatch[]; report: Report; closes: () => number } {
  const batches: SeenBatch[] = [];
  const report: Report = { failures: [], progress: 0 };
  let closes = 0;
  const sink: Sink = {
    name: "test",
    position: LOG_START,
    indexed,
    notices: [],
    write(batch) {
      batches.push(seen(batch));
      return write(batch);
    },
    close() {
      closes++;
      return Promise.resolve();
    },
  };
  const queue = new SinkQueue(sink, 0, {
    progressed: () => void report.progress++,
    failed: (message, linesLost) => void report.failures.push({ message, linesLost }),
  });
  return { queue, batches, report, closes: () => closes };
}

function seen({ data, lines, rows }: Batch): SeenBatch {
  const all = linesOf(data);
  assertEquals(all.length, lines);
  return { lines: all, rows: rows === null ? null : [...rows] };
}

const size = ({ data }: Batch) => Promise.resolve(data.length);

Deno.test("SinkQueue writes what comes within a few milliseconds as one batch", async () => {
  const written = Promise.withResolvers<void>();
  const { queue, batches } = queueOver((batch) => {
    written.resolve();
    return size(batch);
  });
  for (const line of ["a\n", "b\n", "c\n"]) queue.push(line, "");
  assertEquals(batches.length, 0);
  // No flush: the queue's own timer writes.
  await written.promise;
  await queue.flush();
  assertEquals(batches, [{ lines: ["a\n", "b\n", "c\n"], rows: null }]);
  assertEquals([queue.queuedBytes, queue.bytesWritten], [0, 6]);
  await queue.close();
});

Deno.test("SinkQueue writes at once when much is queued, in batches that do not grow with it", async () => {
  const { queue, batches } = queueOver(size);
  const line = "x".repeat(1023) + "\n";
  for (let count = 0; count < 2000; count++) queue.push(line, "");
  assertEquals(batches.length, 1, "the first batch did not wait");
  await queue.flush();
  for (const { lines } of batches) assert(lines.length <= 257, String(lines.length));
  assertEquals(batches.flatMap(({ lines }) => lines).length, 2000);
  await queue.close();
});

Deno.test("SinkQueue gives rows to a sink that keeps an index, beside their lines", async () => {
  const { queue, batches } = queueOver(size, true);
  queue.push("header\n", "");
  queue.push("event\n", "1\tf");
  await queue.flush();
  assertEquals(batches, [{ lines: ["header\n", "event\n"], rows: ["", "1\tf"] }]);
  await queue.close();
});

Deno.test("SinkQueue has one write under way, keeps the order and loses nothing, however writes and pushes fall", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.scheduler(),
      fc.array(fc.nat(3), { minLength: 1, maxLength: 20 }),
      async (scheduler, bursts) => {
        let under = 0;
        const { queue, batches } = queueOver(async (batch) => {
          assertEquals(++under, 1);
          await scheduler.schedule(Promise.resolve());
          under--;
          return batch.data.length;
        });
        let pushed = 0;
        const pushing = scheduler.scheduleSequence(bursts.map((burst) => () => {
          for (let count = 0; count < burst; count++) queue.push(`${pushed++}\n`, "");
          void queue.flush();
          return Promise.resolve();
        }));
        await scheduler.waitFor(pushing.task.then(() => queue.flush()));
        assertEquals(
          batches.flatMap(({ lines }) => lines),
          Array.from({ length: pushed }, (_, index) => `${index}\n`),
        );
        await queue.close();
      },
    ),
    { numRuns: 50 },
  );
});

Deno.test("SinkQueue reports a failure once with what was lost, closes the sink and takes no more", async () => {
  const { queue, report, closes } = queueOver(() =>
    Promise.reject(new SinkWriteError("sink test failed: full", 2))
  );
  for (let count = 0; count < 5; count++) queue.push("x\n", "");
  await queue.flush();
  queue.push("y\n", "");
  await queue.flush();
  assertEquals(report.failures, [{ message: "sink test failed: full", linesLost: 3 }]);
  assertEquals([queue.failed, queue.queuedBytes, closes()], [true, 0, 1]);
});

Deno.test("SinkQueue names the sink also where it threw something else", async () => {
  const { queue, report } = queueOver(() => Promise.reject(new Error("boom")));
  queue.push("x\n", "");
  await queue.flush();
  assertEquals(report.failures, [{ message: "event sink test failed: boom", linesLost: 1 }]);
});

Deno.test("StreamSink continues short writes and counts the lines that went out before a fault", async () => {
  let taken = "";
  let closes = 0;
  let room = Infinity;
  const writer = {
    write(data: Uint8Array): Promise<number> {
      if (room === 0) return Promise.reject(new Deno.errors.BrokenPipe("Broken pipe (os error 32)"));
      const count = Math.min(3, data.length, room);
      room -= count;
      taken += new TextDecoder().decode(data.subarray(0, count));
      return Promise.resolve(count);
    },
  };
  const sink = new StreamSink("-", writer, () => void closes++);
  assertEquals(await sink.write(batchOf(["one\n", "two\n"])), 8);
  room = 9;
  const error = await sink.write(batchOf(["four\n", "five\n"])).catch((fault) => fault);
  assert(error instanceof SinkWriteError);
  assertEquals([taken, error.linesWritten], ["one\ntwo\nfour\nfive", 1]);
  assertStringIncludes(error.message, "event sink - failed: the reader has gone away");
  await sink.close();
  assertEquals(closes, 1);
});

Deno.test("Subscription keeps events in order and its queue small while it waits for promises", async () => {
  const taken: number[] = [];
  const pending: (() => void)[] = [];
  let progress = 0;
  const subscription = new Subscription(
    ({ sequence_id }) => {
      taken.push(sequence_id);
      // Every third is consumed at once.
      return sequence_id % 3 === 0 ? undefined : new Promise<void>((resolve) => pending.push(resolve));
    },
    { progressed: () => void progress++, failed: (fault) => assertEquals(fault, null) },
  );
  for (let sequence_id = 1; sequence_id <= 100; sequence_id++) {
    subscription.deliver({ sequence_id } as LoggedEvent);
  }
  assertEquals([taken, subscription.waiting], [[1], 100]);
  const flushed = subscription.flush();
  while (subscription.waiting > 0) {
    pending.shift()?.();
    await Promise.resolve();
  }
  await flushed;
  assertEquals(taken, Array.from({ length: 100 }, (_, index) => index + 1));
  assert(progress > 60);
});

Deno.test("Subscription that is detached gets nothing more and holds up nobody", async () => {
  let calls = 0;
  const subscription = new Subscription(() => {
    calls++;
    return new Promise<void>(() => {});
  }, { progressed() {}, failed() {} });
  for (let count = 0; count < 3; count++) subscription.deliver({} as LoggedEvent);
  const flushed = subscription.flush();
  subscription.detach();
  subscription.deliver({} as LoggedEvent);
  await flushed;
  assertEquals([calls, subscription.waiting], [1, 0]);
});
