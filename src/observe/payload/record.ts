/**
 * `payload_decoded`, for whole messages and for units within them. The stages that a payload has passed are named in
 * the order of the chain: each has one place here, so that none can come twice or before another.
 */
import type { Protocol } from "../../core/event.ts";
import type { ObserverContext } from "../observer.ts";
import { type DecodedPayload, decodePayload, type PayloadFormat, type PayloadType } from "./decode.ts";
import type { SanitizerRule } from "./sanitizer.ts";

type RecordContext = Pick<ObserverContext, "limits" | "passed" | "emit" | "report">;

interface PassedStages {
  /** Transfer and content codings, in the order in which they came off. */
  readonly codings: readonly string[];
  readonly framing?: string | undefined;
  readonly sanitizer?: SanitizerRule | null;
  /** Missing where the payload was not read. */
  readonly payload?: PayloadFormat;
}

function stageNames({ codings, framing, sanitizer = null, payload }: PassedStages): string[] {
  return [
    ...codings,
    ...(framing === undefined ? [] : [framing]),
    ...(sanitizer === null ? [] : ["sanitizer"]),
    ...(payload === undefined ? [] : [payload]),
  ];
}

/** Of payloads without codings. */
const STAGES_OF: Readonly<Record<PayloadFormat, readonly string[]>> = {
  json: ["json"],
  msgpack: ["msgpack"],
  form: ["form"],
  text: ["text"],
  binary: ["binary"],
};

/** A frame, line or event, whole, that an observer has taken out of a message. */
export interface PayloadUnit {
  /** The name of the stage that framed it: `sse`, `ndjson`, `websocket`. */
  readonly framing: string;
  /** As in the unit's own event. */
  readonly index: number;
  readonly type: PayloadType;
  /** Codings of its own that came off after those of the message, such as `permessage-deflate`. */
  readonly codings?: readonly string[];
  readonly protocol?: Protocol;
}

/** For a unit that nobody declares to be anything: it is told of where it is JSON or MsgPack, else its event says all. */
export const UNDECLARED: PayloadType = { kind: "unknown", charset: null };

/** Says what is in a unit. Of one that is longer than `capture.payload_bytes` its own event is all there is. */
export function recordUnit(context: RecordContext, content: Uint8Array, unit: PayloadUnit): void {
  if (content.length === 0 || content.length > context.limits.payloadBytes) return;
  const decoded = decodePayload(content, unit.type);
  if (decoded.type === "error") {
    context.report("payload", decoded.detail, { index: unit.index });
  } else if (decoded.format !== "binary") {
    recordPayload(context, decoded, { bytes: content.length, sha256: null, unit });
  }
}

export function recordPayload(
  context: RecordContext,
  { format, sanitizer, value, guessed }: DecodedPayload & { type: "payload" },
  { bytes, sha256, unit }: { bytes: number; sha256: string | null; unit?: PayloadUnit },
): void {
  if (unit === undefined && sanitizer === null && sha256 === null && !guessed) {
    // As most are, without what an object that is put together costs.
    const stages = context.passed.length === 0
      ? STAGES_OF[format]
      : stageNames({ codings: context.passed, payload: format });
    context.emit(
      "payload_decoded",
      value === undefined
        ? { bytes, format, sanitized: false, stages, value_omitted: true }
        : { bytes, format, sanitized: false, stages, value },
    );
    return;
  }
  const codings = [...context.passed, ...(unit?.codings ?? [])];
  context.emit("payload_decoded", {
    bytes,
    format,
    ...(guessed && unit === undefined ? { guessed } : {}),
    ...(unit === undefined ? {} : { index: unit.index }),
    sanitized: sanitizer !== null,
    ...(sanitizer === null ? {} : { sanitizer }),
    ...(sha256 === null ? {} : { sha256 }),
    stages: stageNames({ codings, framing: unit?.framing, sanitizer, payload: format }),
    ...(value === undefined ? {} : { value }),
  }, unit?.protocol);
}

/** What is told of a payload that is too long to be read, was cut, or is nothing that can be read. */
export function recordUnread(
  context: RecordContext,
  { bytes, format, cut, sha256 }: {
    bytes: number;
    format: PayloadFormat;
    cut: boolean;
    sha256: string | null;
  },
): void {
  const binary = format === "binary";
  context.emit("payload_decoded", {
    bytes,
    ...(cut ? { complete: false } : {}),
    format,
    sanitized: false,
    ...(sha256 === null ? {} : { sha256 }),
    stages: stageNames({ codings: context.passed, ...(binary ? { payload: format } : {}) }),
    ...(binary ? {} : { value_omitted: true }),
  });
}
