/**
 * Reads one configuration file: its name decides the format, and what it may cost is bounded. Parsers are
 * imported when there is something to parse, so that a proxy without a file starts without them.
 */
import { type ConfigNode, describeNode, type SyntaxProblem } from "./node.ts";

export const CONFIG_FILE_BYTES_MAX = 1024 * 1024;

export type ConfigFile =
  | { readonly type: "config_file"; readonly root: ReadonlyMap<string, ConfigNode> }
  | { readonly type: "error"; readonly line: number; readonly detail: string };

export async function readConfigFile(path: string): Promise<ConfigFile> {
  const format = formatOf(path);
  if (format === null) return refuse("the name must end in .toml, .json or .jsonc");
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(await readBounded(path));
  } catch (error) {
    return refuse(explain(error, path));
  }
  return await parseConfigText(text, format);
}

type ConfigFormat = "toml" | "json" | "jsonc";

async function parseConfigText(text: string, format: ConfigFormat): Promise<ConfigFile> {
  const root = format === "toml"
    ? (await import("./toml.ts")).parseToml(text)
    : (await import("./json.ts")).parseJson(text, { comments: format === "jsonc" });
  if (root.type === "syntax_problem") return refuse(describeSyntax(root), root.line);
  if (root.type !== "table") {
    return refuse(`found ${describeNode(root)}; allowed: an object of settings`, root.line);
  }
  // An editor's pointer to the schema; JSON has no other place for it.
  const entries = new Map(root.entries);
  if (format !== "toml" && entries.get("$schema")?.type === "string") entries.delete("$schema");
  return { type: "config_file", root: entries };
}

function formatOf(path: string): ConfigFormat | null {
  const extension = path.slice(path.lastIndexOf(".") + 1).toLowerCase();
  return extension === "toml" || extension === "json" || extension === "jsonc" ? extension : null;
}

async function readBounded(path: string): Promise<Uint8Array> {
  using file = await Deno.open(path, { read: true });
  const buffer = new Uint8Array(CONFIG_FILE_BYTES_MAX + 1);
  let length = 0;
  while (length < buffer.length) {
    const read = await file.read(buffer.subarray(length));
    if (read === null) return buffer.subarray(0, length);
    length += read;
  }
  throw new RangeError(`it is larger than ${CONFIG_FILE_BYTES_MAX} bytes`);
}

function explain(error: unknown, path: string): string {
  if (error instanceof Deno.errors.NotFound) return "there is no such file";
  if (error instanceof Deno.errors.NotCapable) {
    return `reading it is not granted; run with --allow-read=${path}`;
  }
  if (error instanceof Deno.errors.PermissionDenied) return "the system does not let this user read it";
  if (error instanceof TypeError) return "it is not UTF-8 text";
  return error instanceof Error ? error.message : String(error);
}

function describeSyntax(problem: SyntaxProblem): string {
  return `column ${problem.column}: ${problem.detail}`;
}

function refuse(detail: string, line = 0): ConfigFile {
  return { type: "error", line, detail };
}
