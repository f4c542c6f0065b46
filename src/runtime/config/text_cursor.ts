/** A position in the text of a configuration file, shared by the TOML and the JSON parser. */
import type { SyntaxProblem } from "./node.ts";

/** Thrown inside a parser and caught at its one entry, which gives the problem as a value. */
export class SyntaxFailure extends Error {
  constructor(readonly at: number, readonly detail: string) {
    super(detail);
  }
}

export class TextCursor {
  at = 0;
  #line = 1;
  #countedTo = 0;

  constructor(readonly text: string) {}

  get ended(): boolean {
    return this.at >= this.text.length;
  }

  /** The character here, or the empty string at the end. */
  get here(): string {
    return this.text[this.at] ?? "";
  }

  startsWith(token: string): boolean {
    return this.text.startsWith(token, this.at);
  }

  /** Steps over `token` if it is here. */
  take(token: string): boolean {
    if (!this.startsWith(token)) return false;
    this.at += token.length;
    return true;
  }

  /** Matches a sticky pattern here and steps over it; the empty string where it does not match. */
  match(pattern: RegExp): string {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text)?.[0] ?? "";
    this.at += found.length;
    return found;
  }

  /** The line the cursor is on. Each call counts on from the last, so a whole parse counts each line once. */
  line(): number {
    for (; this.#countedTo < this.at; this.#countedTo++) {
      if (this.text.charCodeAt(this.#countedTo) === 10) this.#line++;
    }
    return this.#line;
  }

  fail(detail: string, at = this.at): never {
    throw new SyntaxFailure(at, detail);
  }

  /** `"x"`, or `the end of the line`, or `the end of the file`. */
  describeHere(): string {
    if (this.ended) return "the end of the file";
    if (this.here === "\n" || this.startsWith("\r\n")) return "the end of the line";
    return JSON.stringify(String.fromCodePoint(this.text.codePointAt(this.at) ?? 0));
  }
}

export function problemAt(text: string, { at, detail }: SyntaxFailure): SyntaxProblem {
  const before = text.slice(0, at);
  const lineStart = before.lastIndexOf("\n") + 1;
  return {
    type: "syntax_problem",
    line: before.split("\n").length,
    column: at - lineStart + 1,
    detail,
  };
}
