/**
 * All that a `FrameReader` tells of some reads, in a form that doesn't depend on how they were cut:
 * the pieces of a frame are put together again, and every view is copied while it is valid.
 */
import { assert } from "../../src/core/assert.ts";
import type { Side } from "../../src/core/side.ts";
import type { Http2Error } from "../../src/http2/errors.ts";
import type { ControlFrame, FrameHeader } from "../../src/http2/frames.ts";
import { FrameReader } from "../../src/http2/frame_reader.ts";
import { join } from "./frame_builder.ts";

export type Told =
  | { readonly type: "preface" }
  | { readonly type: "frame"; readonly frame: ControlFrame }
  | {
    readonly type: "pieces";
    readonly header: FrameHeader;
    readonly paddingBytes: number;
    readonly content: Uint8Array;
    readonly ended: boolean;
  }
  | { readonly type: "stream_error" | "error"; readonly error: Http2Error };

export interface Transcript {
  readonly told: readonly Told[];
  /** Every `raw`, in order. */
  readonly forwarded: Uint8Array;
  readonly heldBytes: number;
  readonly betweenFrames: boolean;
  readonly heldBytesMax: number;
}

export interface TranscriptOptions {
  readonly by: Side;
  readonly maxHeldBytes?: number;
  readonly maxFrameSize?: number;
}

export function transcribe(options: TranscriptOptions, reads: readonly Uint8Array[]): Transcript {
  const reader = new FrameReader({ by: options.by, maxHeldBytes: options.maxHeldBytes ?? 65_536 });
  if (options.maxFrameSize !== undefined) reader.maxFrameSize = options.maxFrameSize;
  const told: Told[] = [];
  const raws: Uint8Array[] = [];
  let heldBytesMax = 0;
  for (const read of reads) {
    // The read's memory is used again for the next one, as a driver does.
    const data = read.slice();
    readAll(reader, data, told, raws);
    heldBytesMax = Math.max(heldBytesMax, reader.heldBytes);
    data.fill(0xee);
  }
  return {
    told,
    forwarded: join(...raws),
    heldBytes: reader.heldBytes,
    betweenFrames: reader.betweenFrames,
    heldBytesMax,
  };
}

function readAll(reader: FrameReader, data: Uint8Array, told: Told[], raws: Uint8Array[]): void {
  let at = 0;
  for (;;) {
    const event = reader.read(data, at);
    if (event.type === "more") return;
    if (event.type === "error") {
      if (told.at(-1)?.type !== "error") told.push({ type: "error", error: event });
      return;
    }
    assert(event.next >= at && event.next <= data.length, "an event ends within the data");
    at = event.next;
    switch (event.type) {
      case "stream_error":
        told.push({ type: "stream_error", error: event.error });
        continue;
      case "preface":
        told.push({ type: "preface" });
        break;
      case "frame":
        told.push({ type: "frame", frame: structuredClone(event.frame) });
        break;
      case "piece": {
        const { header, paddingBytes } = event;
        const before = told.at(-1);
        const continued = before?.type === "pieces" && !before.ended ? before : null;
        assert(event.begins === (continued === null), "a frame begins once");
        if (continued !== null) told.pop();
        const content = join(continued?.content ?? new Uint8Array(0), event.content);
        told.push({ type: "pieces", header, paddingBytes, content, ended: event.ends });
      }
    }
    raws.push(event.raw.slice());
  }
}

/** The same without what depends on where the last read ends. */
export function comparable({ told, forwarded, heldBytes, betweenFrames }: Transcript): unknown {
  return { told, forwarded, heldBytes, betweenFrames };
}
