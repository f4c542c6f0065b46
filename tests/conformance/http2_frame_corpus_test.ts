/**
 * The frames of http2jp/http2-frame-test-case against the frame reader, in reads of several sizes.
 * A row is one frame; what must come before it on a connection stands before it here: SETTINGS, and
 * HEADERS for a CONTINUATION. Differences would be listed in `fixtures/expected.jsonl`; there are none.
 */
import { assertEquals } from "@std/assert";
import { assert } from "../../src/core/assert.ts";
import { errorCodeNumber } from "../../src/http2/errors.ts";
import { readFrameHeader } from "../../src/http2/frames.ts";
import { cutInto } from "../support/golden.ts";
import { EMPTY_SETTINGS, frame, join, T } from "../http2/frame_builder.ts";
import { type Told, transcribe } from "../http2/transcript.ts";
import { readCorpus, unlisted } from "../support/corpora.ts";

interface CorpusRow {
  id: string;
  input_hex: string;
  expected: {
    /** The error codes of RFC 9113 §7 that may answer the frame; null where it is valid. */
    error: number[] | null;
    frame: {
      length: number;
      type: number;
      flags: number;
      stream_identifier: number;
      frame_payload: Record<string, unknown>;
    } | null;
  };
}

Deno.test("FrameReader gives the frames of http2-frame-test-case, or fixtures/expected.jsonl says why not", () => {
  const rows = readCorpus<CorpusRow>("http2-frame");
  if (rows === null) {
    console.log("skipped: http2-frame is not in ../shared/corpora");
    return;
  }
  const differences: { id: string; ours: string }[] = [];
  for (const { id, input_hex, expected } of rows) {
    const bytes = Uint8Array.fromHex(input_hex);
    const header = readFrameHeader(bytes, 0);
    const before = header.type === T.CONTINUATION
      ? join(EMPTY_SETTINGS, frame(T.HEADERS, 0, header.streamId))
      : EMPTY_SETTINGS;
    const stream = join(before, bytes);
    const transcript = transcribe({ by: "server" }, [stream]);
    for (const size of [1, 3, 9, 10]) {
      assertEquals(
        transcribe({ by: "server" }, cutInto(stream, size)).told,
        transcript.told,
        `${id} by ${size}`,
      );
    }
    const told = transcript.told.at(-1)!;
    if (expected.frame === null) {
      const ours = told.type === "error" || told.type === "stream_error"
        ? errorCodeNumber(told.error.errorCode)
        : null;
      if (ours === null || !expected.error!.includes(ours)) differences.push({ id, ours: `error ${ours}` });
      continue;
    }
    const { length, type, flags, stream_identifier, frame_payload } = expected.frame;
    assertEquals(header, { length, type, flags, streamId: stream_identifier }, id);
    assertEquals(transcript.forwarded, stream, `${id} is forwarded as it came`);
    const ours = payloadOf(told, bytes);
    if (JSON.stringify(ours) !== JSON.stringify(sorted(frame_payload))) {
      differences.push({ id, ours: JSON.stringify(ours) });
    }
  }
  assertEquals(unlisted("http2-frame", differences), []);
  console.log(`http2-frame: ${rows.length - differences.length} of ${rows.length} frames agree`);
});

/** In the words of the corpus. */
function payloadOf(told: Told, bytes: Uint8Array): Record<string, unknown> {
  if (told.type === "pieces") {
    return sorted({ data: text(told.content), ...paddingOf(bytes) });
  }
  assert(told.type === "frame", JSON.stringify(told));
  const { frame } = told;
  switch (frame.type) {
    case "headers":
      return sorted({
        header_block_fragment: text(frame.fragment),
        stream_dependency: frame.priority?.dependency ?? null,
        exclusive: frame.priority?.exclusive ?? null,
        weight: frame.priority?.weight ?? null,
        ...paddingOf(bytes),
      });
    case "push_promise":
      return sorted({
        header_block_fragment: text(frame.fragment),
        promised_stream_id: frame.promisedStreamId,
        ...paddingOf(bytes),
      });
    case "continuation":
      return { header_block_fragment: text(frame.fragment) };
    case "priority":
      return sorted({
        stream_dependency: frame.priority.dependency,
        exclusive: frame.priority.exclusive,
        weight: frame.priority.weight,
        padding: null,
        padding_length: null,
      });
    case "rst_stream":
      return { error_code: frame.errorCode };
    case "settings":
      return { settings: frame.settings };
    case "ping":
      return { opaque_data: text(frame.opaque) };
    case "goaway":
      return sorted({
        last_stream_id: frame.lastStreamId,
        error_code: frame.errorCode,
        additional_debug_data: text(frame.debugData),
      });
    case "window_update":
      return { window_size_increment: frame.increment };
  }
}

function paddingOf(bytes: Uint8Array): { padding: string | null; padding_length: number | null } {
  if ((bytes[4]! & 0x8) === 0) return { padding: null, padding_length: null };
  const length = bytes[9]!;
  return { padding: text(bytes.subarray(bytes.length - length)), padding_length: length };
}

function text(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

function sorted(record: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(record).sort(([a], [b]) => a < b ? -1 : 1));
}
