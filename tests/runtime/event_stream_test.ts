import { assert, assertEquals } from "@std/assert";
import { EventStream } from "../../src/runtime/event_stream.ts";

Deno.test("EventStream gives what was pushed before and after reading began, then ends", async () => {
  const stream = new EventStream<number>();
  stream.push(1);
  const read: number[] = [];
  const reading = (async () => {
    for await (const event of stream) read.push(event);
  })();
  stream.push(2);
  stream.end();
  await reading;
  assertEquals(read, [1, 2]);
});

Deno.test("EventStream makes a pusher wait while its queue is full", async () => {
  const stream = new EventStream<number>();
  let waits: void | Promise<void>;
  let pushed = 0;
  do waits = stream.push(pushed++); while (waits === undefined);
  assertEquals(pushed, 256);
  const iterator = stream[Symbol.asyncIterator]();
  assertEquals((await iterator.next()).value, 0);
  await waits;
});

Deno.test("a reader that breaks off stops the queue and is reported", async () => {
  let ended = 0;
  const stream = new EventStream<number>(() => ended++);
  stream.push(1);
  stream.push(2);
  for await (const event of stream) {
    assertEquals(event, 1);
    break;
  }
  assertEquals(ended, 1);
  assert(stream.push(3) === undefined);
});
