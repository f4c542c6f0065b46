/**
 * TOML through smol-toml, as nodes. The library is strict (two equal keys are an error) but does not tell
 * where a value stands, so these nodes know no line; its errors do.
 */
import { parse, TomlError } from "smol-toml";
import { type ConfigNode, DEPTH_MAX, nodeFromValue, quote, type SyntaxProblem } from "./node.ts";

export function parseToml(text: string): ConfigNode | SyntaxProblem {
  try {
    return nodeFromValue(parse(text, { maxDepth: DEPTH_MAX }));
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const { line, column, message } = error;
    const [what = ""] = message.replace("Invalid TOML document: ", "").split("\n", 1);
    const found = text.split("\n", line).at(-1)?.trim() ?? "";
    const mend = /^invalid value|numeric/.test(what) ? " (text needs quotes)" : "";
    return { type: "syntax_problem", line, column, detail: `${what}${mend}; found ${quote(found)}` };
  }
}
