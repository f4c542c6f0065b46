/**
 * JSON (RFC 8259), and JSONC on request, through jsonc-parser, as nodes with their lines. What the library
 * leaves open is closed here: two equal names in an object are an error, since one of them would be lost,
 * and nesting is bounded.
 */
import { printParseErrorCode, visit } from "jsonc-parser";
import { type ConfigNode, DEPTH_MAX, nodeFromValue, quote, type SyntaxProblem } from "./node.ts";

export interface JsonOptions {
  /** JSONC: `//` and `/* … *\/` comments, a comma before a closing bracket. */
  readonly comments: boolean;
}

/** Ends the visit at the first problem; caught at the one entry, which gives the problem as a value. */
class Stop extends Error {
  constructor(readonly problem: SyntaxProblem) {
    super(problem.detail);
  }
}

type Container =
  | { readonly type: "table"; readonly line: number; readonly entries: Map<string, ConfigNode> }
  | { readonly type: "list"; readonly line: number; readonly items: ConfigNode[] };

export function parseJson(text: string, { comments }: JsonOptions): ConfigNode | SyntaxProblem {
  const open: { readonly container: Container; name: string }[] = [];
  let root: ConfigNode = { type: "other", line: 1, text: "nothing" };
  // The library counts lines and columns from 0. It goes on after an error; the first is what a person mends.
  const stop = (line: number, column: number, detail: string): never => {
    throw new Stop({ type: "syntax_problem", line: line + 1, column: column + 1, detail });
  };
  const add = (node: ConfigNode) => {
    const parent = open.at(-1);
    if (parent === undefined) root = node;
    else if (parent.container.type === "list") parent.container.items.push(node);
    else parent.container.entries.set(parent.name, node);
  };
  const begin = (container: Container, line: number, column: number) => {
    if (open.length > DEPTH_MAX) stop(line, column, `values nested more than ${DEPTH_MAX} deep`);
    add(container);
    open.push({ container, name: "" });
  };
  try {
    visit(text, {
      onObjectBegin: (_offset, _length, line, column) =>
        begin({ type: "table", line: line + 1, entries: new Map() }, line, column),
      onArrayBegin: (_offset, _length, line, column) =>
        begin({ type: "list", line: line + 1, items: [] }, line, column),
      onObjectEnd: () => void open.pop(),
      onArrayEnd: () => void open.pop(),
      onObjectProperty(name, _offset, _length, line, column) {
        const parent = open.at(-1);
        if (parent?.container.type !== "table") return;
        const first = parent.container.entries.get(name);
        if (first !== undefined) stop(line, column, `${quote(name)} is already set in line ${first.line}`);
        parent.name = name;
      },
      onLiteralValue: (value: unknown, _offset, _length, line) =>
        add({ ...nodeFromValue(value), line: line + 1 }),
      onError: (error, offset, length, line, column) =>
        stop(
          line,
          column,
          describeError(text, { name: printParseErrorCode(error), offset, length, comments }),
        ),
    }, { disallowComments: !comments, allowTrailingComma: comments });
  } catch (error) {
    if (error instanceof Stop) return error.problem;
    throw error;
  }
  return root;
}

/** What the library's names for its errors mean, after what was found. */
const EXPECTED: Readonly<Record<string, string>> = {
  InvalidSymbol: "which is no JSON value (text needs quotes)",
  PropertyNameExpected: "where a name in quotes is needed",
  ValueExpected: "where a value is needed",
  ColonExpected: 'where the name needs a ":"',
  CommaExpected: 'where a "," or the closing bracket is needed',
  CloseBraceExpected: 'where the object needs its "}"',
  CloseBracketExpected: 'where the list needs its "]"',
  EndOfFileExpected: "after the end of the value",
  InvalidNumberFormat: "which is no number",
  UnexpectedEndOfNumber: "a number that is not finished",
  UnexpectedEndOfComment: "a comment that is not closed",
  UnexpectedEndOfString: "a string that is not closed on its line",
  InvalidUnicode: "a string with a \\u escape that has no four hex digits",
  InvalidEscapeCharacter: 'a string with an escape other than \\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX',
  InvalidCharacter: "a string with a bare control character",
};

function describeError(
  text: string,
  { name, offset, length, comments }: { name: string; offset: number; length: number; comments: boolean },
): string {
  if (name === "InvalidCommentToken") return "JSON has no comments; a .jsonc file may have them";
  const token = text.slice(offset, offset + length);
  const closes = token === "}" || token === "]";
  if (!comments && closes && text.slice(0, offset).trimEnd().endsWith(",")) {
    return `found ${quote(token)} after a ","; JSON has no trailing commas, a .jsonc file may have them`;
  }
  const found = token === "" ? "the end of the file" : quote(token);
  return `found ${found}, ${EXPECTED[name] ?? name}`;
}
