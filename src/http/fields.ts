/** Field lines of RFC 9110 §5: name and value in the order, case and repetition they came, values as latin-1. */
export type Field = readonly [name: string, value: string];

/** All values of a field; `name` is given in lower case. */
export function fieldValues(fields: readonly Field[], name: string): string[] {
  const values: string[] = [];
  for (const [fieldName, value] of fields) {
    if (fieldName.length === name.length && fieldName.toLowerCase() === name) values.push(value);
  }
  return values;
}

/** The elements of a comma-separated list field (RFC 9110 §5.6.1), lower-cased, empty elements dropped. */
export function listElements(values: readonly string[]): string[] {
  const elements: string[] = [];
  for (const value of values) {
    for (const element of value.split(",")) {
      const trimmed = element.trim().toLowerCase();
      if (trimmed !== "") elements.push(trimmed);
    }
  }
  return elements;
}
