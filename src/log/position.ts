/**
 * Where a log stands after a line: what a further opening goes on from. Read from the last whole line
 * alone, so that a log of any length is continued at once.
 */
import { LOG_SCHEMA } from "./encode.ts";

export interface LogPosition {
  /** The ordinal of the last opening, 0 in an empty log. */
  readonly opening: number;
  readonly sequenceId: number;
  readonly timeNs: number;
}

export const LOG_START: LogPosition = { opening: 0, sequenceId: 0, timeNs: 0 };

/** Null: not a line of an event log. */
export function positionAfter(line: string): LogPosition | null {
  const parsed = parseObject(line);
  if (parsed === null || parsed["schema"] !== LOG_SCHEMA) return null;
  const position = parsed["kind"] === "log_opened"
    ? {
      opening: parsed["opening"],
      sequenceId: parsed["continues_sequence_id"],
      timeNs: parsed["continues_time_ns"],
    }
    : {
      opening: parseFlowId(parsed["flow_id"])?.opening,
      sequenceId: parsed["sequence_id"],
      timeNs: parsed["time_ns"],
    };
  const { opening, sequenceId, timeNs } = position;
  return isCount(opening) && isCount(sequenceId) && isCount(timeNs) && opening > 0
    ? { opening, sequenceId, timeNs }
    : null;
}

/** `OPENING-NUMBER`: the flow's number counts within an opening, so that an id never comes twice in a log. */
export function parseFlowId(flowId: unknown): { opening: number; flow: number } | null {
  if (typeof flowId !== "string" || flowId.length > 40) return null;
  const match = /^([1-9][0-9]*)-([1-9][0-9]*)$/.exec(flowId);
  return match === null ? null : { opening: Number(match[1]), flow: Number(match[2]) };
}

/** The first whole instant after this one that a double can tell from it. */
export function instantAfter(timeNs: number): number {
  let step = 1;
  while (timeNs + step <= timeNs) step *= 2;
  return timeNs + step;
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0;
}

function parseObject(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value as Record<string, unknown> : null;
  } catch {
    return null;
  }
}
