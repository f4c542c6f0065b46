/** Field lines of RFC 9110 §5: name and value in the order, case and repetition they came, values as latin-1. */
export type Field = readonly [name: string, value: string];

/** Where else a server can be reached (RFC 7838): how clients learn that it speaks HTTP/3. */
export const ALT_SVC = "alt-svc";

/** The elements of a comma-separated list field (RFC 9110 §5.6.1), lower-cased, empty elements dropped. */
export function listElements(values: readonly string[]): string[] {
  const elements: string[] = [];
  for (const value of values) {
    for (const element of value.split(",")) {
      const trimmed = trimOws(element).toLowerCase();
      if (trimmed !== "") elements.push(trimmed);
    }
  }
  return elements;
}

/**
 * Without optional white space around it. Only SP and HTAB are that (RFC 9110 §5.6.3): `trim()` would take NBSP
 * too, and a pattern anchored at the end would look for it behind each of a thousand inner spaces.
 */
function trimOws(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isOws(text.charCodeAt(start))) start++;
  while (end > start && isOws(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

function isOws(code: number): boolean {
  return code === 0x20 || code === 0x09;
}
