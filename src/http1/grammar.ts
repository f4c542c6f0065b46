/**
 * The octet classes of RFC 9110 §5.6 and RFC 9112 §2–§7 as one table, and the way from octets to
 * strings. Strings are latin-1: character code n is octet n, so nothing is lost and offsets agree.
 */

export const HTAB = 0x09;
export const LF = 0x0a;
export const CR = 0x0d;
export const SP = 0x20;
export const COLON = 0x3a;

/** `tchar` of RFC 9110 §5.6.2: field names and methods. */
export const TOKEN = 1;
/** `HTAB / SP / VCHAR / obs-text` (RFC 9110 §5.5): whatever may stand in a line of a head at all. */
export const TEXT = 2;
/**
 * Octets of a request-target. RFC 3986 allows fewer, but browsers and tools send `|`, `"`, `^` and
 * the like unescaped, and no reader takes them for a delimiter. `#` is refused: a fragment never
 * goes on the wire, and readers disagree on where the path ends. So is everything outside ASCII.
 */
export const TARGET = 4;
/** `qdtext` of RFC 9110 §5.6.4: TEXT without `"` and `\`. */
export const QUOTED_TEXT = 8;
/**
 * Control octets that RFC 9110 §5.5 forbids in a value and that no reader takes for the end of a line. VT, FF and
 * 0x1c to 0x1e are such to some, as CR and LF are to all; NUL ends strings.
 */
export const CONTROL = 16;

export const OCTET_CLASS = octetClasses();

/** The value of a hexadecimal digit, 255 for every other octet. */
export const HEX_VALUE = hexValues();

function octetClasses(): Uint8Array {
  const classes = new Uint8Array(256);
  for (let octet = 0; octet < 256; octet++) {
    const character = String.fromCharCode(octet);
    const visible = octet > 0x20 && octet < 0x7f;
    const text = visible || octet === SP || octet === HTAB || octet >= 0x80;
    let bits = 0;
    if (visible && /[A-Za-z0-9!#$%&'*+.^_`|~-]/.test(character)) bits |= TOKEN;
    if (text) bits |= TEXT;
    if (visible && character !== "#") bits |= TARGET;
    if (text && character !== '"' && character !== "\\") bits |= QUOTED_TEXT;
    const control = octet >= 0x01 && octet <= 0x08 || octet >= 0x0e && octet <= 0x1b;
    if (control || octet === 0x1f || octet === 0x7f) bits |= CONTROL;
    classes[octet] = bits;
  }
  return classes;
}

function hexValues(): Uint8Array {
  const values = new Uint8Array(256).fill(255);
  for (let digit = 0; digit < 16; digit++) {
    const character = digit.toString(16);
    values[character.charCodeAt(0)] = digit;
    values[character.toUpperCase().charCodeAt(0)] = digit;
  }
  return values;
}

const asciiDecoder = new TextDecoder();
const ARGUMENTS_MAX = 8192;

/**
 * Octets as a latin-1 string. ASCII, nearly always the case, takes the decoder's fast path;
 * `TextDecoder("latin1")` is no help for the rest, since it really means windows-1252.
 */
export function decodeLatin1(bytes: Uint8Array): string {
  let seen = 0;
  for (let index = 0; index < bytes.length; index++) seen |= bytes[index]!;
  if (seen < 0x80) return asciiDecoder.decode(bytes);
  let text = "";
  for (let from = 0; from < bytes.length; from += ARGUMENTS_MAX) {
    // `apply` takes any array-like and is many times faster here than spreading.
    const part = bytes.subarray(from, from + ARGUMENTS_MAX) as ArrayLike<number> as number[];
    text += String.fromCharCode.apply(null, part);
  }
  return text;
}

/** The inverse of `decodeLatin1`, for strings that came from it. */
export function encodeLatin1(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let index = 0; index < text.length; index++) bytes[index] = text.charCodeAt(index);
  return bytes;
}
