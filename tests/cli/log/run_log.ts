/** Runs `log` commands on logs of a test's own. */
import { logCommand } from "../../../src/cli/log.ts";
import { INDEX_HEADER, indexRow, indexRowStartOf } from "../../../src/log/index_row.ts";

export interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export async function run(...args: string[]): Promise<Result> {
  let [stdout, stderr] = ["", ""];
  const code = await logCommand(args, {
    stdout: (text) => void (stdout += text),
    stderr: (text) => void (stderr += text),
    colour: false,
  });
  return { code, stdout, stderr };
}

export async function withLog(
  lines: readonly string[],
  test: (path: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "cli_log_" });
  try {
    await Deno.writeTextFile(`${folder}/log.jsonl`, lines.join(""));
    await test(`${folder}/log.jsonl`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Splits a log into two segments after `first` lines and writes their index. */
export async function split(path: string, lines: readonly string[], first: number): Promise<string[]> {
  const rows: string[] = [];
  const segments = [lines.slice(0, first), lines.slice(first)];
  for (const [number, part] of segments.entries()) {
    const name = number === 0 ? "log.jsonl" : "log.jsonl.part00001";
    let offset = 0;
    for (const line of part) {
      const length = new TextEncoder().encode(line).length;
      const start = indexRowStartOf(JSON.parse(line));
      if (start !== null) rows.push(indexRow(start, name, offset, length));
      offset += length;
    }
    await Deno.writeTextFile(number === 0 ? path : `${path}.part00001`, part.join(""));
  }
  await Deno.writeTextFile(`${path}.index.tsv`, INDEX_HEADER + rows.join(""));
  return rows;
}
