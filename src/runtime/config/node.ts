/** What a configuration file says before anything judges it: plain nodes, with the line where one is known. */

export interface ConfigTable {
  readonly type: "table";
  /** From 1; 0 where it is not known. */
  readonly line: number;
  readonly entries: ReadonlyMap<string, ConfigNode>;
}

export interface ConfigList {
  readonly type: "list";
  readonly line: number;
  readonly items: readonly ConfigNode[];
}

export type ConfigNode =
  | ConfigTable
  | ConfigList
  | { readonly type: "string"; readonly line: number; readonly value: string }
  | { readonly type: "number"; readonly line: number; readonly value: number }
  | { readonly type: "boolean"; readonly line: number; readonly value: boolean }
  /** Something no setting takes: a date, null. */
  | { readonly type: "other"; readonly line: number; readonly text: string };

export interface SyntaxProblem {
  readonly type: "syntax_problem";
  readonly line: number;
  readonly column: number;
  readonly detail: string;
}

/** Nesting beyond this is refused; no setting is deeper than four. */
export const DEPTH_MAX = 32;

/** As an error message shows it: short, and what kind of value it is where that is not obvious. */
export function describeNode(node: ConfigNode): string {
  switch (node.type) {
    case "string":
      return quote(node.value);
    case "number":
    case "boolean":
      return String(node.value);
    case "other":
      return node.text;
    case "list":
      return `a list of ${node.items.length}`;
    case "table":
      return "a table";
  }
}

const QUOTED_CHARACTERS_MAX = 100;

export function quote(text: string): string {
  return text.length <= QUOTED_CHARACTERS_MAX
    ? JSON.stringify(text)
    : `${JSON.stringify(text.slice(0, QUOTED_CHARACTERS_MAX))}… (${text.length} characters)`;
}

/** Nodes of values without positions: a TOML document, or settings that a program gives as an object. */
export function nodeFromValue(value: unknown, depth = 0): ConfigNode {
  const line = 0;
  if (depth > DEPTH_MAX) return { type: "other", line, text: "a value nested too deep" };
  if (typeof value === "string") return { type: "string", line, value };
  if (typeof value === "number") return { type: "number", line, value };
  if (typeof value === "boolean") return { type: "boolean", line, value };
  if (Array.isArray(value)) {
    return { type: "list", line, items: value.map((item) => nodeFromValue(item, depth + 1)) };
  }
  if (value instanceof Date) return { type: "other", line, text: "a date or time" };
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).filter(([, item]) => item !== undefined)
      .map(([name, item]) => [name, nodeFromValue(item, depth + 1)] as const);
    return { type: "table", line, entries: new Map(entries) };
  }
  return { type: "other", line, text: value === null ? "null" : `a ${typeof value}` };
}
