/** Numbers of a benchmark and how they are put: medians, ratios of interleaved rounds, tables, aims. */

/** One round of one contender. */
export interface Sample {
  /** Requests, connections or bytes a second. */
  readonly rate: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** CPU time of the measured process for one unit; null where the platform does not tell. */
  readonly cpuNs: number | null;
  /** How much of the time its JavaScript thread ran: well below 1 the load was the limit, not the process. */
  readonly busy: number | null;
}

export interface Aim {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly limit: number;
  readonly atMost: boolean;
}

export function median(values: readonly number[]): number {
  if (values.length === 0) return NaN;
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/**
 * The median of the rounds' own ratios. Two contenders run next to each other in a round, so what slows the
 * machine for a while slows both.
 */
export function pairedRatio(samples: readonly Sample[], peers: readonly Sample[]): number {
  const rounds = Math.min(samples.length, peers.length);
  return median(Array.from({ length: rounds }, (_, round) => samples[round]!.rate / peers[round]!.rate));
}

/** The same for the CPU time of a unit, peer over contender: above 1 the contender is the cheaper one. */
export function cpuRatio(samples: readonly Sample[], peers: readonly Sample[]): number | null {
  const own = medianOf(samples, "cpuNs");
  const peer = medianOf(peers, "cpuNs");
  return own === null || peer === null || own === 0 ? null : peer / own;
}

export function medianOf(samples: readonly Sample[], key: keyof Sample): number | null {
  const values = samples.map((sample) => sample[key]).filter((value) => value !== null);
  return values.length === 0 ? null : median(values);
}

export function isMet({ value, limit, atMost }: Aim): boolean {
  return atMost ? value <= limit : value >= limit;
}

/** Columns as wide as they need to be; all but the first are numbers and stand right. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0))
  );
  const line = (cells: readonly string[]) =>
    cells.map((cell, column) => column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!))
      .join("  ").trimEnd();
  return [line(header), ...rows.map(line)].join("\n");
}

/** Three digits are all that a benchmark can mean. */
export function figure(value: number | null): string {
  if (value === null || Number.isNaN(value)) return "-";
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

export function aimRows(aims: readonly Aim[]): string[][] {
  return aims.map((aim) => [
    aim.name,
    `${figure(aim.value)}${aim.unit}`,
    `${aim.atMost ? "≤" : "≥"} ${aim.limit}${aim.unit}`,
    Number.isNaN(aim.value) ? "not measured" : isMet(aim) ? "met" : "missed",
  ]);
}
