/**
 * Lists of field lines that will come again: what is made of them for the log is kept with them. Whoever
 * knows that one and the same list stands for many messages says so; for all others nothing is kept. An
 * entry lives as long as its list.
 */
type FieldLine = readonly [name: string, value: string];

interface Recurring {
  redaction: { readonly names: ReadonlySet<string>; readonly lines: readonly FieldLine[] } | null;
  json: string | null;
}

const RECURRING = new WeakMap<object, Recurring>();

/** The list must not change any more. */
export function expectAgain(lines: readonly FieldLine[]): void {
  if (!RECURRING.has(lines)) RECURRING.set(lines, { redaction: null, json: null });
}

/** What `redact` makes of the lines, made once where they come again. */
export function redactedOnce(
  lines: readonly FieldLine[],
  names: ReadonlySet<string>,
  redact: () => readonly FieldLine[],
): readonly FieldLine[] {
  const recurring = RECURRING.get(lines);
  if (recurring === undefined) return redact();
  if (recurring.redaction?.names !== names) {
    const redacted = redact();
    recurring.redaction = { names, lines: redacted };
    expectAgain(redacted);
  }
  return recurring.redaction!.lines;
}

/** The JSON of a list that comes again; null for every other value. */
export function recurringJson(value: unknown): string | null {
  if (!Array.isArray(value)) return null;
  const recurring = RECURRING.get(value);
  return recurring === undefined ? null : recurring.json ??= JSON.stringify(value);
}
