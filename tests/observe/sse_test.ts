import { assert, assertEquals } from "@std/assert";
import { SSE, SSE_FIELD_BYTES_MAX } from "../../src/observe/sse.ts";
import { LIMITS, observe } from "./observed.ts";

const encoder = new TextEncoder();
const TYPE = ["content-type", "text/event-stream"] as const;

function told(reads: readonly string[], captureBytes = LIMITS.captureBytes) {
  const { events } = observe(reads.map((read) => encoder.encode(read)), {
    fields: [TYPE],
    observers: [SSE],
    limits: { captureBytes },
    cut: true,
  });
  return events.filter(({ kind }) => kind === "sse_event").map(({ attributes }) => attributes);
}

Deno.test("SSE tells an event at the CR of its blank line, before anything follows", () => {
  assertEquals(told(["data: a\r\r"])[0]?.["complete"], undefined);
  assertEquals(told(["data: a\r\n\r"])[0]?.["complete"], undefined);
  assertEquals(told(["data: a\r\n"])[0]?.["complete"], false);
  assertEquals(told(["data: a\r\n\r", "\ndata: b\n\n"]).map(({ data }) => data), ["a", "b"]);
});

Deno.test("SSE keeps an event's type and id up to their limit, and not an octet more", () => {
  for (const name of ["event", "id"]) {
    const [exact, over] = [SSE_FIELD_BYTES_MAX, SSE_FIELD_BYTES_MAX + 1].map((length) =>
      told([`${name}: ${"n".repeat(length)}\ndata: x\n\n`], 1)[0]!
    );
    assertEquals([String(exact![name]).length, exact!["truncated"]], [SSE_FIELD_BYTES_MAX, undefined]);
    assertEquals([String(over![name]).length, over!["truncated"]], [SSE_FIELD_BYTES_MAX, true]);
  }
});

Deno.test("SSE keeps data up to the limit, and not an octet more", () => {
  const [exact, over] = [8, 9].map((length) => told([`data: ${"d".repeat(length)}\n\n`], 8)[0]!);
  assertEquals([exact!["data"], exact!["truncated"]], ["dddddddd", undefined]);
  assertEquals([over!["data"], over!["truncated"], over!["bytes"]], ["dddddddd", true, 9]);
});

Deno.test("SSE needs no more room for a stream without end", () => {
  const read = encoder.encode(`data: ${"x".repeat(300)}\n\n`.repeat(30));
  const most = (reads: number) => {
    const { heldBytes, heldBytesMax, events } = observe(Array<Uint8Array>(reads).fill(read), {
      fields: [TYPE],
      observers: [SSE],
      keep: ({ kind }) => kind === "observer_stopped",
    });
    assertEquals([heldBytes, events.length], [0, 0]);
    return heldBytesMax;
  };
  assertEquals(most(1_000), most(2));
  assert(most(2) < 4_096);
});
