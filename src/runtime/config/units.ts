/**
 * Durations and sizes as people write them. A duration is a whole number and a unit (`500ms`, `30s`,
 * `5m`, `2h`, `1d`), a size is a whole number of bytes, bare or with a unit (`64KiB`, `10kB`).
 * One unit each: `1m30s` and `1.5MiB` are refused, so that a value has one obvious reading.
 */

const MILLISECONDS_PER: Readonly<Record<string, number>> = {
  d: 86_400_000,
  h: 3_600_000,
  m: 60_000,
  s: 1_000,
  ms: 1,
};

const BYTES_PER: Readonly<Record<string, number>> = {
  TiB: 1024 ** 4,
  GiB: 1024 ** 3,
  MiB: 1024 ** 2,
  KiB: 1024,
  TB: 1000 ** 4,
  GB: 1000 ** 3,
  MB: 1000 ** 2,
  kB: 1000,
  B: 1,
};

/** Also the `pattern` of durations in the JSON Schema. */
export const DURATION_PATTERN = "^[0-9]{1,12}(ms|s|m|h|d)$";
/** Also the `pattern` of sizes in the JSON Schema. */
export const SIZE_PATTERN = "^[0-9]{1,15}(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)?$";

const DURATION = new RegExp(DURATION_PATTERN);
const SIZE = new RegExp(SIZE_PATTERN);

/** Milliseconds, or null when `text` is not a duration. */
export function parseDuration(text: string): number | null {
  const unit = DURATION.exec(text)?.[1];
  return unit === undefined ? null : exact(text.slice(0, -unit.length), MILLISECONDS_PER[unit]);
}

/** Bytes, or null when `text` is not a size. */
export function parseSize(text: string): number | null {
  const match = SIZE.exec(text);
  if (match === null) return null;
  const unit = match[1] ?? "";
  return exact(text.slice(0, text.length - unit.length), unit === "" ? 1 : BYTES_PER[unit]);
}

/** The shortest exact form: `90000` is `90s`, zero is `0s`. */
export function formatDuration(milliseconds: number): string {
  if (milliseconds === 0) return "0s";
  for (const [unit, factor] of Object.entries(MILLISECONDS_PER)) {
    if (milliseconds % factor === 0) return `${milliseconds / factor}${unit}`;
  }
  return `${milliseconds}ms`;
}

/** The shortest exact form in binary units: `65536` is `64KiB`, `1000` stays `1000`. */
export function formatSize(bytes: number): string {
  if (bytes === 0) return "0";
  for (const unit of ["TiB", "GiB", "MiB", "KiB"]) {
    const factor = BYTES_PER[unit];
    if (factor !== undefined && bytes % factor === 0) return `${bytes / factor}${unit}`;
  }
  return String(bytes);
}

function exact(digits: string, factor: number | undefined): number | null {
  if (factor === undefined) return null;
  const value = Number(digits) * factor;
  return Number.isSafeInteger(value) ? value : null;
}
