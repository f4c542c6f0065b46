/** Quotes what was found in a message, for the details of errors in either version of HTTP. */
const QUOTED_LENGTH_MAX = 64;

/** A found value for a message: short, on one line, nothing in it that a terminal would act on. */
export function quoteFound(value: string): string {
  let quoted = '"';
  for (let index = 0; index < value.length && index < QUOTED_LENGTH_MAX; index++) {
    const code = value.charCodeAt(index);
    quoted += code < 0x20 || code > 0x7e
      ? `\\x${code.toString(16).padStart(2, "0")}`
      : code === 0x22 || code === 0x5c
      ? `\\${value[index]}`
      : value[index];
  }
  return quoted + (value.length > QUOTED_LENGTH_MAX ? '…"' : '"');
}
