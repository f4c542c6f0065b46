/**
 * `NAME.index.tsv`: where each event of a segmented log lies. The segments are `NAME`, `NAME.part00001`, …
 * and together, one after the other, they are the log. The index can always be made again from them.
 */
import type { FlowContext, FlowEvent } from "../core/event.ts";

export const INDEX_COLUMNS = [
  "sequence_id",
  "flow_id",
  "flow_sequence_id",
  "kind",
  "protocol",
  "stream_key",
  "segment",
  "byte_offset",
  "line_bytes",
] as const;

export const INDEX_HEADER = INDEX_COLUMNS.join("\t") + "\n";

/** Segments are counted from 0, the log's own name. */
export function segmentName(name: string, segment: number): string {
  return segment === 0 ? name : `${name}.part${String(segment).padStart(5, "0")}`;
}

/** The columns before `segment`. */
export function indexRowStart(
  sequenceId: number,
  flowSequenceId: number,
  context: FlowContext,
  event: FlowEvent,
): string {
  return `${sequenceId}\t${context.flowId}\t${flowSequenceId}\t${event.kind}\t${event.protocol}\t${event.streamKey}`;
}

export function indexRow(start: string, segment: string, byteOffset: number, lineBytes: number): string {
  return `${start}\t${segment}\t${byteOffset}\t${lineBytes}\n`;
}

/** The same of a parsed line; null for `log_opened`, which is no event, and for what is no object at all. */
export function indexRowStartOf(line: unknown): string | null {
  if (typeof line !== "object" || line === null) return null;
  const event = line as Readonly<Record<string, unknown>>;
  if (event["kind"] === "log_opened") return null;
  return INDEX_COLUMNS.slice(0, 6).map((column) => String(event[column])).join("\t");
}

/** Where the event of a row lies; null: not a row. */
export function parseIndexRow(
  row: string,
): { segment: string; byteOffset: number; lineBytes: number } | null {
  const columns = row.split("\t");
  if (columns.length !== INDEX_COLUMNS.length) return null;
  const byteOffset = Number(columns[7]);
  const lineBytes = Number(columns[8]);
  if (!Number.isSafeInteger(byteOffset) || !Number.isSafeInteger(lineBytes)) return null;
  if (byteOffset < 0 || lineBytes < 0) return null;
  return { segment: columns[6]!, byteOffset, lineBytes };
}
