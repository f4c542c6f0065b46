/**
 * Text from outside for a terminal. Control characters (C0, DEL and C1, where ESC and CSI live), line and
 * paragraph separators, characters that reverse or hide text, and lone surrogates are spelled out as escapes.
 */
export function visible(text: string): string {
  return text.replace(UNSAFE, (character) => {
    const code = character.codePointAt(0)!;
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`;
  });
}

/** The same for JSON on one line: still JSON, of the same value. */
export function visibleJson(json: string): string {
  return json.replace(UNSAFE, (character) => {
    let escaped = "";
    for (let index = 0; index < character.length; index++) {
      escaped += `\\u${character.charCodeAt(index).toString(16).padStart(4, "0")}`;
    }
    return escaped;
  });
}

// Cc control, Cf format (bidi controls, zero width, tags), Cs lone surrogates, Zl and Zp separators.
const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
