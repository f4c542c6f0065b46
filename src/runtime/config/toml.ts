/**
 * TOML 1.0 (toml.io/en/v1.0.0) into nodes that know their line. Own code because the parser in the
 * standard library keeps no positions, takes the second of two equal keys in silence, reads `a = 1 b = 2`
 * as two lines, and refuses a comment before a comma: none of that will do for the file a person edits.
 * Dates are recognized and kept as text, since no setting is one.
 */
import { type ConfigNode, type ConfigTable, DEPTH_MAX, type SyntaxProblem } from "./node.ts";
import { problemAt, SyntaxFailure, TextCursor } from "./text_cursor.ts";

export function parseToml(text: string): ConfigTable | SyntaxProblem {
  const cursor = new TextCursor(text);
  try {
    return parseDocument(cursor);
  } catch (error) {
    if (error instanceof SyntaxFailure) return problemAt(text, error);
    throw error;
  }
}

/** How a table came to be decides what may still be added to it (toml.io, "Table"). */
type Origin = "header" | "implied" | "dotted" | "inline";

interface Table {
  readonly type: "table";
  readonly line: number;
  readonly entries: Map<string, Node>;
  origin: Origin;
}

interface List {
  readonly type: "list";
  readonly line: number;
  readonly items: Node[];
  /** Made by `[[name]]`, so that another `[[name]]` may add to it. */
  readonly ofTables: boolean;
}

type Node = Table | List | Exclude<ConfigNode, { type: "table" | "list" }>;

interface Key {
  readonly parts: readonly string[];
  readonly line: number;
  readonly at: number;
}

function parseDocument(cursor: TextCursor): ConfigTable {
  const root: Table = { type: "table", line: 1, entries: new Map(), origin: "header" };
  let current = root;
  for (skipBlankLines(cursor); !cursor.ended; skipBlankLines(cursor)) {
    if (cursor.here === "[") current = parseHeader(cursor, root);
    else parseAssignment(cursor, current, 0);
    endLine(cursor);
  }
  return root;
}

function parseHeader(cursor: TextCursor, root: Table): Table {
  const double = cursor.take("[[");
  if (!double) cursor.take("[");
  skipSpaces(cursor);
  const key = parseKey(cursor);
  const closing = double ? "]]" : "]";
  if (!cursor.take(closing)) {
    cursor.fail(`found ${cursor.describeHere()} where the header needs its ${closing}`);
  }
  const parent = walk(cursor, root, key, "implied");
  const name = key.parts.at(-1) ?? "";
  const there = parent.entries.get(name);
  const table: Table = { type: "table", line: key.line, entries: new Map(), origin: "header" };
  if (double) {
    if (there === undefined) {
      parent.entries.set(name, { type: "list", line: key.line, items: [table], ofTables: true });
    } else if (there.type === "list" && there.ofTables) there.items.push(table);
    else failRepeated(cursor, key, there);
    return table;
  }
  if (there === undefined) {
    parent.entries.set(name, table);
    return table;
  }
  if (there.type !== "table" || there.origin !== "implied") failRepeated(cursor, key, there);
  there.origin = "header";
  return there;
}

function parseAssignment(cursor: TextCursor, table: Table, depth: number): void {
  const key = parseKey(cursor);
  if (!cursor.take("=")) cursor.fail(`found ${cursor.describeHere()} where the key needs a "="`);
  skipSpaces(cursor);
  const parent = walk(cursor, table, key, "dotted");
  const name = key.parts.at(-1) ?? "";
  const there = parent.entries.get(name);
  if (there !== undefined) failRepeated(cursor, key, there);
  parent.entries.set(name, parseValue(cursor, depth));
  skipSpaces(cursor);
}

/** The table that holds the key's last part, made where it is missing. */
function walk(cursor: TextCursor, from: Table, key: Key, made: "implied" | "dotted"): Table {
  let table = from;
  for (const part of key.parts.slice(0, -1)) {
    let next = table.entries.get(part);
    if (next === undefined) {
      next = { type: "table", line: key.line, entries: new Map(), origin: made };
      table.entries.set(part, next);
    }
    // A header reaches into the newest table of a list; a dotted key never does.
    if (made === "implied" && next.type === "list" && next.ofTables) next = next.items.at(-1) ?? next;
    if (
      next.type !== "table" || next.origin === "inline" || (made === "dotted" && next.origin !== "dotted")
    ) failRepeated(cursor, key, next);
    table = next;
  }
  return table;
}

function failRepeated(cursor: TextCursor, key: Key, first: Node): never {
  cursor.fail(`${key.parts.join(".")} is already set in line ${first.line}`, key.at);
}

const BARE_KEY = /[A-Za-z0-9_-]+/y;

function parseKey(cursor: TextCursor): Key {
  skipSpaces(cursor);
  const at = cursor.at;
  const line = cursor.line();
  const parts: string[] = [];
  do {
    skipSpaces(cursor);
    if (cursor.startsWith('"""') || cursor.startsWith("'''")) {
      cursor.fail("a key cannot be a multi-line string");
    }
    if (cursor.here === '"') parts.push(parseBasicString(cursor));
    else if (cursor.here === "'") parts.push(parseLiteralString(cursor));
    else {
      const part = cursor.match(BARE_KEY);
      if (part === "") cursor.fail(`found ${cursor.describeHere()} where a key is needed`);
      parts.push(part);
    }
    if (parts.length > DEPTH_MAX) cursor.fail(`a key of more than ${DEPTH_MAX} parts`, at);
    skipSpaces(cursor);
  } while (cursor.take("."));
  return { parts, line, at };
}

function parseValue(cursor: TextCursor, depth: number): Node {
  if (depth > DEPTH_MAX) cursor.fail(`values nested more than ${DEPTH_MAX} deep`);
  const line = cursor.line();
  if (cursor.take('"""')) return { type: "string", line, value: parseMultiline(cursor, '"""') };
  if (cursor.take("'''")) return { type: "string", line, value: parseMultiline(cursor, "'''") };
  switch (cursor.here) {
    case '"':
      return { type: "string", line, value: parseBasicString(cursor) };
    case "'":
      return { type: "string", line, value: parseLiteralString(cursor) };
    case "[":
      return parseList(cursor, line, depth);
    case "{":
      return parseInlineTable(cursor, line, depth);
    default:
      return parseScalar(cursor, line);
  }
}

function parseList(cursor: TextCursor, line: number, depth: number): List {
  const items: Node[] = [];
  cursor.take("[");
  for (skipBlankLines(cursor); !cursor.take("]"); skipBlankLines(cursor)) {
    if (cursor.ended) cursor.fail(`the list opened in line ${line} is not closed`);
    items.push(parseValue(cursor, depth + 1));
    skipBlankLines(cursor);
    if (!cursor.take(",") && cursor.here !== "]") {
      if (cursor.ended) cursor.fail(`the list opened in line ${line} is not closed`);
      cursor.fail(`found ${cursor.describeHere()} where the list needs a "," or "]"`);
    }
  }
  return { type: "list", line, items, ofTables: false };
}

function parseInlineTable(cursor: TextCursor, line: number, depth: number): Table {
  const table: Table = { type: "table", line, entries: new Map(), origin: "header" };
  cursor.take("{");
  skipSpaces(cursor);
  if (!cursor.take("}")) {
    do {
      parseAssignment(cursor, table, depth + 1);
    } while (cursor.take(","));
    if (!cursor.take("}")) {
      cursor.fail(
        `found ${cursor.describeHere()} where the inline table needs a "," or "}" on the same line`,
      );
    }
  }
  seal(table);
  return table;
}

/** Inline tables are complete where they stand, with the tables their dotted keys made. */
function seal(table: Table): void {
  table.origin = "inline";
  for (const node of table.entries.values()) {
    if (node.type === "table" && node.origin === "dotted") seal(node);
  }
}

const ESCAPES: Readonly<Record<string, string>> = {
  b: "\b",
  t: "\t",
  n: "\n",
  f: "\f",
  r: "\r",
  '"': '"',
  "\\": "\\",
};
// deno-lint-ignore no-control-regex
const PLAIN_BASIC = /[^"\\\x00-\x08\x0a-\x1f\x7f]+/y;
// deno-lint-ignore no-control-regex
const PLAIN_LITERAL = /[^'\x00-\x08\x0a-\x1f\x7f]+/y;
const HEX4 = /[0-9A-Fa-f]{4}/y;
const HEX8 = /[0-9A-Fa-f]{8}/y;

function parseBasicString(cursor: TextCursor): string {
  const opened = cursor.at;
  cursor.take('"');
  let value = "";
  while (!cursor.take('"')) {
    value += cursor.match(PLAIN_BASIC);
    if (cursor.here === "\\") value += parseEscape(cursor);
    else if (cursor.here !== '"') failInString(cursor, opened);
  }
  return value;
}

function parseLiteralString(cursor: TextCursor): string {
  const opened = cursor.at;
  cursor.take("'");
  const value = cursor.match(PLAIN_LITERAL);
  if (!cursor.take("'")) failInString(cursor, opened);
  return value;
}

function parseMultiline(cursor: TextCursor, quotes: '"""' | "'''"): string {
  const opened = cursor.at - 3;
  const [mark] = quotes;
  const plain = mark === '"' ? PLAIN_BASIC : PLAIN_LITERAL;
  let value = "";
  takeLineEnd(cursor);
  for (;;) {
    value += cursor.match(plain);
    if (cursor.startsWith(quotes)) {
      // Up to two quotation marks may stand right before the closing three.
      const run = cursor.match(mark === '"' ? /"{3,5}/y : /'{3,5}/y);
      return value + run.slice(3);
    }
    if (mark !== undefined && cursor.take(mark)) value += mark;
    else if (takeLineEnd(cursor)) value += "\n";
    else if (cursor.here === "\\" && mark === '"') {
      // A backslash that ends a line swallows all white space up to the next character.
      if (cursor.match(/\\[ \t]*\r?\n[ \t\r\n]*/y) === "") value += parseEscape(cursor);
    } else if (cursor.ended) cursor.fail("the multi-line string is not closed", opened);
    else cursor.fail(`a string cannot hold the control character ${cursor.describeHere()}`);
  }
}

function parseEscape(cursor: TextCursor): string {
  const at = cursor.at;
  cursor.take("\\");
  const letter = cursor.here;
  const plain = ESCAPES[letter];
  cursor.at++;
  if (plain !== undefined) return plain;
  const digits = letter === "u" ? cursor.match(HEX4) : letter === "U" ? cursor.match(HEX8) : "";
  const codePoint = digits === "" ? NaN : parseInt(digits, 16);
  const scalar = codePoint < 0xd800 || (codePoint > 0xdfff && codePoint <= 0x10ffff);
  if (!scalar) {
    cursor.fail(
      `found the escape \\${letter}; allowed are \\b \\t \\n \\f \\r \\" \\\\ \\uXXXX \\UXXXXXXXX ` +
        `(or write the text in 'single quotes')`,
      at,
    );
  }
  return String.fromCodePoint(codePoint);
}

function failInString(cursor: TextCursor, opened: number): never {
  if (cursor.ended || cursor.here === "\n" || cursor.here === "\r") {
    cursor.fail("the string is not closed on its line", opened);
  }
  cursor.fail(`a string cannot hold the control character ${cursor.describeHere()}`);
}

const BARE_VALUE = /[A-Za-z0-9+_.:-]+/y;
const TIME_AFTER_DATE = / \d{2}:[0-9:.]+([Zz]|[+-]\d{2}:\d{2})?/y;
const RADIX_INTEGER = /^0(x[0-9A-Fa-f](_?[0-9A-Fa-f])*|o[0-7](_?[0-7])*|b[01](_?[01])*)$/;
const DECIMAL = /^[+-]?(0|[1-9](_?\d)*)(\.\d(_?\d)*)?([eE][+-]?\d(_?\d)*)?$/;
const DATE = /^\d{4}-\d{2}-\d{2}([Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})?)?$/;
const TIME = /^\d{2}:\d{2}:\d{2}(\.\d+)?$/;

function parseScalar(cursor: TextCursor, line: number): Node {
  const at = cursor.at;
  const word = cursor.match(BARE_VALUE);
  if (word === "") cursor.fail(`found ${cursor.describeHere()} where a value is needed`);
  if (word === "true" || word === "false") return { type: "boolean", line, value: word === "true" };
  if (DECIMAL.test(word) || RADIX_INTEGER.test(word)) {
    return { type: "number", line, value: Number(word.replaceAll("_", "")) };
  }
  if (/^[+-]?(inf|nan)$/.test(word)) {
    const value = word.endsWith("nan") ? NaN : word.startsWith("-") ? -Infinity : Infinity;
    return { type: "number", line, value };
  }
  if (DATE.test(word)) {
    const time = word.length === 10 ? cursor.match(TIME_AFTER_DATE) : "";
    return { type: "other", line, text: `the date ${word}${time}` };
  }
  if (TIME.test(word)) return { type: "other", line, text: `the time ${word}` };
  return cursor.fail(`found ${word}, which is no TOML value; text needs quotes: "${word}"`, at);
}

const SPACES = /[ \t]+/y;
// deno-lint-ignore no-control-regex
const COMMENT = /#[^\x00-\x08\x0a-\x1f\x7f]*/y;

function skipSpaces(cursor: TextCursor): void {
  cursor.match(SPACES);
}

function takeLineEnd(cursor: TextCursor): boolean {
  return cursor.take("\n") || cursor.take("\r\n");
}

function skipBlankLines(cursor: TextCursor): void {
  do {
    skipSpaces(cursor);
    cursor.match(COMMENT);
  } while (takeLineEnd(cursor));
}

function endLine(cursor: TextCursor): void {
  skipSpaces(cursor);
  cursor.match(COMMENT);
  if (!takeLineEnd(cursor) && !cursor.ended) {
    cursor.fail(`found ${cursor.describeHere()} where the line should end`);
  }
}
