/**
 * Redaction of field values (RFC 9110 §5) before anything is written: the name, the order and the
 * number of bytes stay, the value does not.
 */

import { redactedOnce } from "./recurring.ts";

/** `http/fields.ts` calls this a `Field`; the log comes before HTTP and only needs its shape. */
type FieldLine = readonly [name: string, value: string];

/** `names` are in lower case. Values are latin-1, so a value's length is its number of bytes. */
export function redactFields(fields: readonly FieldLine[], names: ReadonlySet<string>): readonly FieldLine[] {
  return names.size === 0 ? fields : redactedOnce(fields, names, () => redact(fields, names));
}

function redact(fields: readonly FieldLine[], names: ReadonlySet<string>): readonly FieldLine[] {
  const lengths = lengthsOf(names);
  let redacted: FieldLine[] | null = null;
  for (let index = 0; index < fields.length; index++) {
    const [name, value] = fields[index]!;
    if (!lengths.has(name.length) || !names.has(name.toLowerCase())) continue;
    redacted ??= fields.slice();
    redacted[index] = [name, `[redacted ${value.length} bytes]`];
  }
  return redacted ?? fields;
}

/** Most fields are told apart by their length alone, which spares them a lower-case copy. */
const LENGTHS = new WeakMap<ReadonlySet<string>, ReadonlySet<number>>();

function lengthsOf(names: ReadonlySet<string>): ReadonlySet<number> {
  let lengths = LENGTHS.get(names);
  if (lengths === undefined) {
    lengths = new Set([...names].map(({ length }) => length));
    LENGTHS.set(names, lengths);
  }
  return lengths;
}
