/**
 * JSON (RFC 8259), and JSONC on request: comments and trailing commas. Gives the same nodes as the TOML
 * parser, with lines. Two equal names in an object are an error here, since one of them would be lost.
 */
import { type ConfigNode, DEPTH_MAX, type SyntaxProblem } from "./node.ts";
import { problemAt, SyntaxFailure, TextCursor } from "./text_cursor.ts";

export interface JsonOptions {
  /** JSONC: `//` and `/* … *\/` comments, a comma before a closing bracket. */
  readonly comments: boolean;
}

export function parseJson(text: string, options: JsonOptions): ConfigNode | SyntaxProblem {
  const cursor = new TextCursor(text);
  try {
    skipSpace(cursor, options);
    const node = parseValue(cursor, options, 0);
    skipSpace(cursor, options);
    if (!cursor.ended) cursor.fail(`found ${cursor.describeHere()} after the end of the value`);
    return node;
  } catch (error) {
    if (error instanceof SyntaxFailure) return problemAt(text, error);
    throw error;
  }
}

const WORD = /[A-Za-z0-9_$]+/y;
const NUMBER = /-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?/y;

function parseValue(cursor: TextCursor, options: JsonOptions, depth: number): ConfigNode {
  if (depth > DEPTH_MAX) cursor.fail(`values nested more than ${DEPTH_MAX} deep`);
  const line = cursor.line();
  if (cursor.here === "{") return parseObject(cursor, options, depth, line);
  if (cursor.here === "[") return parseArray(cursor, options, depth, line);
  if (cursor.here === '"') return { type: "string", line, value: parseString(cursor) };
  const number = cursor.match(NUMBER);
  if (number !== "") return { type: "number", line, value: Number(number) };
  const at = cursor.at;
  const word = cursor.match(WORD);
  if (word === "true" || word === "false") return { type: "boolean", line, value: word === "true" };
  if (word === "null") return { type: "other", line, text: "null" };
  if (word === "") cursor.fail(`found ${cursor.describeHere()} where a value is needed`);
  return cursor.fail(`found ${word}, which is no JSON value; text needs quotes: "${word}"`, at);
}

function parseObject(cursor: TextCursor, options: JsonOptions, depth: number, line: number): ConfigNode {
  const entries = new Map<string, ConfigNode>();
  cursor.take("{");
  parseElements(cursor, options, "}", line, () => {
    const at = cursor.at;
    if (cursor.here !== '"') cursor.fail(`found ${cursor.describeHere()} where a name in quotes is needed`);
    const name = parseString(cursor);
    const first = entries.get(name);
    if (first !== undefined) cursor.fail(`${name} is already set in line ${first.line}`, at);
    skipSpace(cursor, options);
    if (!cursor.take(":")) cursor.fail(`found ${cursor.describeHere()} where the name needs a ":"`);
    skipSpace(cursor, options);
    entries.set(name, parseValue(cursor, options, depth + 1));
  });
  return { type: "table", line, entries };
}

function parseArray(cursor: TextCursor, options: JsonOptions, depth: number, line: number): ConfigNode {
  const items: ConfigNode[] = [];
  cursor.take("[");
  parseElements(cursor, options, "]", line, () => items.push(parseValue(cursor, options, depth + 1)));
  return { type: "list", line, items };
}

function parseElements(
  cursor: TextCursor,
  options: JsonOptions,
  closing: "}" | "]",
  line: number,
  parseElement: () => void,
): void {
  skipSpace(cursor, options);
  if (cursor.take(closing)) return;
  for (;;) {
    parseElement();
    skipSpace(cursor, options);
    if (cursor.take(closing)) return;
    const comma = cursor.at;
    if (!cursor.take(",")) {
      if (cursor.ended) cursor.fail(`the bracket opened in line ${line} is not closed`);
      cursor.fail(`found ${cursor.describeHere()} where "," or "${closing}" is needed`);
    }
    skipSpace(cursor, options);
    if (cursor.here === closing) {
      if (!options.comments) {
        cursor.fail("JSON has no trailing commas; a .jsonc file may have them", comma);
      }
      cursor.take(closing);
      return;
    }
  }
}

// deno-lint-ignore no-control-regex
const PLAIN = /[^"\\\x00-\x1f]+/y;
const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})/y;

function parseString(cursor: TextCursor): string {
  const opened = cursor.at;
  cursor.take('"');
  while (!cursor.take('"')) {
    if (cursor.match(PLAIN) !== "" || cursor.match(ESCAPE) !== "") continue;
    if (cursor.here === "\\") {
      cursor.fail('found an escape other than \\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX');
    }
    if (cursor.ended || cursor.here === "\n" || cursor.here === "\r") {
      cursor.fail("the string is not closed on its line", opened);
    }
    cursor.fail(`a string cannot hold the bare control character ${cursor.describeHere()}`);
  }
  return JSON.parse(cursor.text.slice(opened, cursor.at));
}

const SPACE = /[ \t\r\n]+/y;
const LINE_COMMENT = /\/\/[^\n]*/y;

function skipSpace(cursor: TextCursor, options: JsonOptions): void {
  for (;;) {
    cursor.match(SPACE);
    if (!cursor.startsWith("//") && !cursor.startsWith("/*")) return;
    if (!options.comments) cursor.fail("JSON has no comments; a .jsonc file may have them");
    if (cursor.match(LINE_COMMENT) !== "") continue;
    const end = cursor.text.indexOf("*/", cursor.at + 2);
    if (end < 0) cursor.fail("the comment is not closed");
    cursor.at = end + 2;
  }
}
