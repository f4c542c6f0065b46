/**
 * JSON without loss: ECMAScript's numbers are IEEE 754 doubles, those of RFC 8259 §6 have any digits. A number that
 * a double cannot say is kept as its own text, which `JSON.stringify` writes as it is.
 */

/** A number as it was written, made by `JSON.rawJSON`. */
export type RawNumber = { readonly rawJSON: string };

// TypeScript's library does not know these yet; the runtime does.
declare global {
  interface JSON {
    rawJSON(text: string): RawNumber;
    isRawJSON(value: unknown): value is RawNumber;
    parse(
      text: string,
      reviver: (key: string, value: unknown, context: { readonly source?: string }) => unknown,
    ): unknown;
  }
}

/** `JSON.parse`, numbers exact. Throws where it is no JSON. */
export function parseExact(text: string): unknown {
  return mayLoseDigits(text)
    ? JSON.parse(
      text,
      (_key, value, { source }) =>
        typeof value === "number" && source !== undefined && !saysTheSame(value, source)
          ? JSON.rawJSON(source)
          : value,
    )
    : JSON.parse(text);
}

/** A number in digits of its own where a double cannot say it. */
export function exactInteger(value: bigint): number | RawNumber {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : JSON.rawJSON(String(value));
}

/** So many digits every double can say. */
const SAFE_DIGITS = 15;
const SUSPECT = /\d[\d.]{15}|-0|\d[eE]/;
const [ZERO, NINE, DOT, MINUS, UPPER_E, LOWER_E] = [0x30, 0x39, 0x2e, 0x2d, 0x45, 0x65];

/**
 * Whether there may be a number in the text that a double cannot say: one with many digits, with an exponent, or a
 * negative zero. Digits in strings may be taken for one; that costs time, nothing else.
 */
function mayLoseDigits(text: string): boolean {
  // Nearly all JSON is through here, several times as fast as by the loop, which takes fewer for suspects.
  if (!SUSPECT.test(text)) return false;
  const { length } = text;
  for (let index = 0; index < length; index++) {
    const first = text.charCodeAt(index);
    if (first > NINE || first < ZERO) continue;
    const start = index;
    let code = first;
    while ((code <= NINE && code >= ZERO) || code === DOT) code = text.charCodeAt(++index);
    if (index - start > SAFE_DIGITS) return true;
    const negative = start > 0 && text.charCodeAt(start - 1) === MINUS;
    if (negative && first === ZERO && Number(text.slice(start, index)) === 0) return true;
    // Hexadecimal digits in a string look like exponents; what comes before them tells the two apart.
    if ((code === LOWER_E || code === UPPER_E) && beginsValue(text, negative ? start - 2 : start - 1)) {
      return true;
    }
  }
  return false;
}

function beginsValue(text: string, before: number): boolean {
  return before < 0 || ":,[ \t\r\n".includes(text[before]!);
}

/** Whether the number, as ECMAScript writes it, has the sign and the value that the text has. */
function saysTheSame(value: number, source: string): boolean {
  if (Object.is(value, -0)) return false;
  const written = String(value);
  return written === source || (Number.isFinite(value) && decimal(written) === decimal(source));
}

const EXPONENT_CHARACTERS_MAX = 20;

/** A number's sign, digits without zeros around them, and the power of ten they are multiplied with. */
function decimal(text: string): string {
  const [, sign, whole, fraction = "", exponent = "0"] = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(
    text,
  )!;
  const all = whole! + fraction;
  let [first, last] = [0, all.length];
  while (first < last && all[first] === "0") first++;
  while (last > first && all[last - 1] === "0") last--;
  if (first === last) return `${sign}0`;
  // As a number it would take as long as its digits are many; no double has such an exponent.
  if (exponent.length > EXPONENT_CHARACTERS_MAX) return text;
  const power = BigInt(exponent) - BigInt(fraction.length) + BigInt(all.length - last);
  return `${sign}${all.slice(first, last)}e${power}`;
}
