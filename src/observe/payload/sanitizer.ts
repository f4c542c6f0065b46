/**
 * What servers put before JSON so that no page can read it as a script. A rule tells where the JSON begins and
 * ends; whether there is JSON, and so whether anything is taken off, the parser decides. The rules are a closed set.
 */
export const SANITIZER_RULES = [
  "paren_brackets",
  "while_loop",
  "for_loop",
  "comment",
  "comment_wrap",
] as const;
export type SanitizerRule = typeof SANITIZER_RULES[number];

/** The JSON that may lie behind a guard. */
export interface Guarded {
  readonly rule: SanitizerRule;
  readonly text: string;
}

/** Sticky, so that a match is at the beginning or none at all. */
const PREFIXES: Readonly<Record<"paren_brackets" | "while_loop" | "for_loop", RegExp>> = {
  paren_brackets: /\)\]\}'[ \t]*,?/y,
  while_loop: /while[ \t]*\([ \t]*(?:1|true)[ \t]*\)[ \t]*;?/y,
  for_loop: /for[ \t]*\([ \t]*;[ \t]*;[ \t]*\)[ \t]*;?/y,
};

/** What a text may be once its guard is off, the likeliest first. */
export function guardedBy(text: string): readonly Guarded[] {
  const start = /[^ \t\r\n]/.exec(text)?.index ?? 0;
  switch (text[start]) {
    case ")":
      return prefixed("paren_brackets", text, start);
    case "w":
      return prefixed("while_loop", text, start);
    case "f":
      return prefixed("for_loop", text, start);
    case "/":
      return commented(text, start);
    default:
      return [];
  }
}

function prefixed(rule: keyof typeof PREFIXES, text: string, start: number): Guarded[] {
  const prefix = PREFIXES[rule];
  prefix.lastIndex = start;
  return prefix.test(text) ? [{ rule, text: text.slice(prefix.lastIndex) }] : [];
}

/** A comment before the JSON, or the JSON in a comment, with or without a word of warning before it. */
function commented(text: string, start: number): Guarded[] {
  if (!text.startsWith("/*", start)) return [];
  const end = text.indexOf("*/", start + 2);
  if (end < 0) return [];
  const found: Guarded[] = [{ rule: "comment", text: text.slice(end + 2) }];
  const last = text.lastIndexOf("*/");
  if (text.slice(last + 2).trim() === "") {
    const inner = text.slice(start + 2, last);
    const begin = inner.search(/[[{]/);
    if (begin >= 0) found.push({ rule: "comment_wrap", text: inner.slice(begin) });
  }
  return found;
}
