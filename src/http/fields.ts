/** Field lines of RFC 9110 §5: name and value in the order, case and repetition they came, values as latin-1. */
export type Field = readonly [name: string, value: string];

/** The elements of a comma-separated list field (RFC 9110 §5.6.1), lower-cased, empty elements dropped. */
export function listElements(values: readonly string[]): string[] {
  const elements: string[] = [];
  for (const value of values) {
    for (const element of value.split(",")) {
      // Only SP and HTAB are white space here (RFC 9110 §5.6.3): trim() would take NBSP too.
      const trimmed = element.replace(/^[ \t]+|[ \t]+$/g, "").toLowerCase();
      if (trimmed !== "") elements.push(trimmed);
    }
  }
  return elements;
}
