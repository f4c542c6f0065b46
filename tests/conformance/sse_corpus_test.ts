/**
 * The event streams of WPT, eventsource-parser and launchdarkly against the SSE observer: what a browser
 * dispatches is what is told as complete. Each row whole, as the row cuts it, and octet by octet.
 * Differences would be listed in `fixtures/expected.jsonl`, each with its reason; there are none.
 */
import { assertEquals, assertObjectMatch } from "@std/assert";
import { assert } from "../../src/core/assert.ts";
import type { Attributes } from "../../src/core/event.ts";
import { SSE } from "../../src/observe/sse.ts";
import { readCorpus, unlisted } from "../support/corpora.ts";
import { LIMITS, observe } from "../observe/observed.ts";
import { cutInto } from "../support/golden.ts";

interface CorpusRow {
  id: string;
  mime: string;
  /** What is sent, or how it is made. */
  input_hex?: string;
  gen?: { prefix_hex?: string; repeat_hex: string; times: number; suffix_hex?: string };
  chunks_hex?: string[] | null;
  expected: {
    events?: { event: string; data: string; id: string }[];
    retry?: number | null;
    comments?: number;
    not_sse?: true;
  };
}

Deno.test("SSE events are those of the published vectors, or fixtures/expected.jsonl says why not", () => {
  const rows = readCorpus<CorpusRow>("sse");
  if (rows === null) {
    console.log("skipped: sse is not in ../shared/corpora");
    return;
  }
  const differences: { id: string; ours: string }[] = [];
  const published = rows.filter(({ input_hex }) => input_hex !== undefined);
  for (const { id, mime, input_hex, chunks_hex, expected } of published) {
    const content = Uint8Array.fromHex(input_hex!);
    const cuts = [[content], cutInto(content, 1), ...(chunks_hex ? [chunks_hex.map(fromHex)] : [])];
    for (const reads of cuts) {
      const ours = eventsOf(reads, mime);
      const { events = [], retry = null, comments = 0 } = expected;
      if (JSON.stringify(ours) !== JSON.stringify({ events, retry, comments })) {
        differences.push({ id, ours: JSON.stringify(ours) });
        break;
      }
    }
  }
  assertEquals(unlisted("sse", differences), []);
  console.log(`sse: ${published.length - differences.length} of ${published.length} streams agree`);
});

interface Hostile {
  readonly events: number;
  readonly first: Attributes;
}

/** What the hostile rows are about: how many events, and how long the first is told to be. */
const HOSTILE: Readonly<Record<string, Hostile>> = {
  "hostile/no-newline-10MiB": { events: 1, first: { bytes: 10 * 1024 * 1024, truncated: true } },
  "hostile/data-lines-1M": { events: 1, first: { bytes: 1_999_999, truncated: true } },
  "hostile/comments-only-1M": { events: 1, first: { bytes: 0, comments: 1_000_000 } },
  "hostile/id-1MiB": { events: 1, first: { id: "a".repeat(1024), data: "x", truncated: true } },
  "hostile/empty-events-1M": { events: 1_000_000, first: { bytes: 0, data: "" } },
  "hostile/invalid-utf8": { events: 1, first: { bytes: 65_536, data: "\ufffd".repeat(65_536) } },
  "hostile/retry-huge": { events: 1, first: { data: "x", retry_ms: Number.MAX_SAFE_INTEGER } },
  "hostile/cut-mid-utf8": { events: 1, first: { data: "\ufffd", data_base64: "4oI=", complete: false } },
  "hostile/gzip-like-body": { events: 0, first: {} },
};

Deno.test("hostile event streams are told within bounds", () => {
  const rows = readCorpus<CorpusRow>("sse");
  if (rows === null) {
    console.log("skipped: sse is not in ../shared/corpora");
    return;
  }
  for (const { id, mime, gen } of rows) {
    if (gen === undefined) continue;
    const expected = HOSTILE[id];
    assert(expected !== undefined, `${id} has nothing to be held against`);
    const compressed = id === "hostile/gzip-like-body";
    let first: Attributes | null = null;
    let count = 0;
    const { heldBytes, heldBytesMax } = observe(cutInto(generated(gen), 16_384), {
      fields: [["content-type", mime], ...(compressed ? [["content-encoding", "gzip"] as const] : [])],
      observers: [SSE],
      keep: ({ kind, attributes }) => {
        assert(kind !== "observer_stopped", id);
        if (kind !== "sse_event") return false;
        count++;
        first ??= attributes;
        return false;
      },
    });
    assertEquals(count, expected.events, id);
    assertObjectMatch(first ?? {}, expected.first, id);
    assert(heldBytesMax < 4 * LIMITS.captureBytes, `${id}: ${heldBytesMax} octets were held`);
    assertEquals(heldBytes, 0, id);
  }
});

function generated(
  { prefix_hex = "", repeat_hex, times, suffix_hex = "" }: NonNullable<CorpusRow["gen"]>,
): Uint8Array {
  const repeated = fromHex(repeat_hex);
  const [prefix, suffix] = [fromHex(prefix_hex), fromHex(suffix_hex)];
  const content = new Uint8Array(prefix.length + repeated.length * times + suffix.length);
  content.set(prefix);
  for (let time = 0; time < times; time++) content.set(repeated, prefix.length + time * repeated.length);
  content.set(suffix, content.length - suffix.length);
  return content;
}

const fromHex = (hex: string) => Uint8Array.fromHex(hex);

function eventsOf(reads: readonly Uint8Array[], mime: string) {
  const { events } = observe(reads, { fields: [["content-type", mime]], observers: [SSE] });
  const told = events.filter(({ kind }) => kind === "sse_event").map(({ attributes }) => attributes);
  return {
    events: told.filter(({ complete }) => complete !== false).map(({ event = "message", data, id = "" }) => ({
      event,
      data,
      id,
    })),
    retry: told.findLast(({ retry_ms }) => retry_ms !== undefined)?.["retry_ms"] ?? null,
    comments: told.reduce((sum, { comments = 0 }) => sum + Number(comments), 0),
  };
}
