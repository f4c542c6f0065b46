/**
 * Reads TypeScript as tokens, far enough to know which words are code and which files a file refers to.
 *
 * Comments, strings, templates and regular expressions are told apart, so a banned word in a comment or a
 * message is no finding, and one inside `${…}` is. What it does not do, and what follows from that:
 * - It does not parse. Whether `/` divides is decided by the token before it; a regular expression that opens a
 *   statement right after a `}` would be read as a division. A file that ends inside a literal is an error,
 *   never silently half-read.
 * - It knows no scopes: a local variable named like a banned global is a finding. Another name is the mend.
 * - `import(expression)` and `new URL(expression, …)` with anything but one string literal cannot be followed.
 */

export type TokenKind = "word" | "string" | "template" | "regex" | "number" | "punctuator";

export interface Token {
  readonly kind: TokenKind;
  /** Strings without their quotes, escapes as written. */
  readonly text: string;
  /** From 1. */
  readonly line: number;
  readonly startsLine: boolean;
}

/** What a file says it needs: an import, a re-export, or a `new URL(…, import.meta.url)`. */
export interface Reference {
  readonly specifier: string;
  readonly line: number;
  readonly kind: "static" | "dynamic" | "url";
  readonly typeOnly: boolean;
}

export class UnreadableSource extends Error {
  override name = "UnreadableSource";
  constructor(message: string, readonly line: number) {
    super(message);
  }
}

/** Words after which `/` opens a regular expression, not a division. */
const BEFORE_EXPRESSION = new Set(
  "await case delete do else extends in instanceof new of return throw typeof void yield".split(" "),
);
const PUNCTUATORS = [
  ..."?. => ++ -- ** == != <= >= && || ?? << >>".split(" "),
  ..."=== !== **= <<= >>= &&= ||= ??= ... >>>".split(" "),
  ">>>=",
].sort((a, b) => b.length - a.length);
const WORD = /[$_\p{ID_Start}][$\u200c\u200d\p{ID_Continue}]*/uy;
const NUMBER = /(?:0[xob][\da-f_]+|(?:\d[\d_]*)?\.?\d[\d_]*(?:e[+-]?\d+)?\.?)n?/iy;

/** Throws `UnreadableSource` where the text ends inside a literal or a comment. */
export function tokenize(source: string): Token[] {
  const tokens: Token[] = [];
  /** Whether the `(` at each depth follows `if`, `while` or `for`: after its `)` an expression may start. */
  const parens: boolean[] = [];
  /** Brace depths at which a `}` goes on with a template. */
  const templates: number[] = [];
  let braces = 0;
  let position = 0;
  let line = 1;
  let startsLine = true;
  let closedCondition = false;

  const push = (kind: TokenKind, text: string) => {
    tokens.push({ kind, text, line, startsLine });
    startsLine = false;
  };
  const countLines = (from: number, to: number) => {
    for (let index = from; index < to; index++) if (source[index] === "\n") line++;
  };
  const unfinished = (what: string) => new UnreadableSource(`The file ends inside a ${what}`, line);

  const readTemplate = () => {
    const start = position;
    for (; position < source.length; position++) {
      const character = source[position];
      if (character === "\\") position++;
      else if (character === "`" || (character === "$" && source[position + 1] === "{")) {
        push("template", source.slice(start, position));
        countLines(start, position);
        if (character === "`") position++;
        else {
          position += 2;
          templates.push(braces);
        }
        return;
      }
    }
    throw unfinished("template");
  };

  while (position < source.length) {
    const character = source[position]!;
    if (character === "\n") {
      line++;
      startsLine = true;
      position++;
    } else if (/\s|\ufeff/.test(character)) {
      position++;
    } else if (source.startsWith("//", position) || (position === 0 && source.startsWith("#!"))) {
      const end = source.indexOf("\n", position);
      position = end === -1 ? source.length : end;
    } else if (source.startsWith("/*", position)) {
      const end = source.indexOf("*/", position + 2);
      if (end === -1) throw unfinished("comment");
      countLines(position, end);
      position = end + 2;
    } else if (character === '"' || character === "'") {
      const start = ++position;
      while (position < source.length && source[position] !== character && source[position] !== "\n") {
        position += source[position] === "\\" ? 2 : 1;
      }
      if (source[position] !== character) throw unfinished("string");
      push("string", source.slice(start, position++));
    } else if (character === "`") {
      position++;
      readTemplate();
    } else if (character === "}" && templates.at(-1) === braces) {
      templates.pop();
      position++;
      readTemplate();
    } else if (character === "/" && opensRegex(tokens, closedCondition)) {
      const start = position++;
      let inClass = false;
      while (position < source.length && source[position] !== "\n" && (inClass || source[position] !== "/")) {
        if (source[position] === "[") inClass = true;
        else if (source[position] === "]") inClass = false;
        position += source[position] === "\\" ? 2 : 1;
      }
      if (source[position] !== "/") throw unfinished("regular expression");
      push("regex", source.slice(start, ++position));
    } else {
      const word = match(WORD, source, position);
      const number = word === "" ? match(NUMBER, source, position) : "";
      const text = word || number || PUNCTUATORS.find((one) => source.startsWith(one, position)) || character;
      if (text === "(") parens.push(/^(if|while|for)$/.test(tokens.at(-1)?.text ?? ""));
      closedCondition = text === ")" && (parens.pop() ?? false);
      if (text === "{") braces++;
      if (text === "}") braces--;
      push(word !== "" ? "word" : number !== "" ? "number" : "punctuator", text);
      position += text.length;
    }
  }
  if (templates.length > 0) throw unfinished("template");
  return tokens;
}

function match(pattern: RegExp, source: string, position: number): string {
  pattern.lastIndex = position;
  return pattern.exec(source)?.[0] ?? "";
}

function opensRegex(tokens: readonly Token[], closedCondition: boolean): boolean {
  const before = tokens.at(-1);
  if (before === undefined) return true;
  if (before.kind === "word") return BEFORE_EXPRESSION.has(before.text) && tokens.at(-2)?.text !== ".";
  if (before.kind !== "punctuator") return false;
  if (before.text === ")") return closedCondition;
  if (["]", "}", "++", "--"].includes(before.text)) return false;
  // `count! / 2`: a `!` after a value is TypeScript's "not null", so the slash divides.
  const value = tokens.at(-2);
  return !(before.text === "!" && value !== undefined && !before.startsLine &&
    (value.text === ")" || value.text === "]" ||
      (value.kind === "word" && !BEFORE_EXPRESSION.has(value.text))));
}

/** The other files and packages that `tokens` refer to, in order. */
export function references(tokens: readonly Token[]): Reference[] {
  const found: Reference[] = [];
  tokens.forEach((token, index) => {
    if (token.kind !== "word" || tokens[index - 1]?.text === ".") return;
    const next = tokens[index + 1];
    if (token.text === "import" && next?.text === "(") {
      const argument = tokens[index + 2];
      if (argument?.kind === "string") found.push(reference(argument, "dynamic", false));
    } else if (token.text === "import" && next?.kind === "string") {
      found.push(reference(next, "static", false));
    } else if (token.text === "import" && next?.text !== ".") {
      const target = fromClause(tokens, index + 1);
      if (target !== null) found.push(reference(target, "static", next?.text === "type"));
    } else if (token.text === "export") {
      const isType = next?.text === "type";
      const opening = tokens[index + (isType ? 2 : 1)]?.text;
      const target = opening === "*" || opening === "{" ? fromClause(tokens, index + 1) : null;
      if (target !== null) found.push(reference(target, "static", isType));
    } else if (token.text === "URL" && tokens[index - 1]?.text === "new" && next?.text === "(") {
      const argument = tokens[index + 2];
      const base = tokens.slice(index + 3, index + 9).map((one) => one.text).join("");
      if (argument?.kind === "string" && base.startsWith(",import.meta.url")) {
        found.push(reference(argument, "url", false));
      }
    }
  });
  return found;
}

function reference(target: Token, kind: Reference["kind"], typeOnly: boolean): Reference {
  return { specifier: target.text, line: target.line, kind, typeOnly };
}

/** The string after `from`, when the clause that starts at `index` has one. */
function fromClause(tokens: readonly Token[], index: number): Token | null {
  let depth = 0;
  for (let at = index; at < tokens.length; at++) {
    const token = tokens[at]!;
    const next = tokens[at + 1];
    if (token.text === "{" && token.kind === "punctuator") depth++;
    else if (token.text === "}" && token.kind === "punctuator") {
      depth--;
      if (depth === 0 && next?.text !== "from") return null;
    } else if (depth === 0 && token.text === "from" && next?.kind === "string") return next;
    else if (token.text === ";" || token.text === "=" || token.kind === "string") return null;
  }
  return null;
}
