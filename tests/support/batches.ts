/** What sinks are given to write, as lines and back. */
import type { Batch } from "../../src/runtime/sinks/sink.ts";

export function batchOf(lines: readonly string[]): Batch {
  return { data: new TextEncoder().encode(lines.join("")), lines: lines.length, rows: null };
}

/** Each with its line end. */
export function linesOf(data: Uint8Array): string[] {
  return new TextDecoder().decode(data).match(/[^\n]*\n/g) ?? [];
}
