/**
 * How many descriptors the process may have. The runtime raises the limit at start as far as it may go, and
 * tells nobody; Linux has it in a file that Deno shows only to a program that may do everything, and everywhere
 * but on Windows (which has no such limit) a shell inherits it and says it.
 */
const LIMITS_FILE = "/proc/self/limits";

let known: number | null = null;

/**
 * Null where there is no limit, or where neither the file nor a shell is ours to ask. Once known it stays known,
 * so a program asks before it gives up running others.
 */
export function descriptorLimit(): number | null {
  if (Deno.build.os === "windows") return null;
  known ??= limitOf(fromFile()) ?? limitOf(fromShell());
  return known;
}

function limitOf(text: string | undefined): number | null {
  return text === undefined || !/^\d+$/.test(text) ? null : Number(text);
}

function fromFile(): string | undefined {
  if (Deno.build.os !== "linux") return undefined;
  try {
    return /^Max open files\s+(\d+)/m.exec(Deno.readTextFileSync(LIMITS_FILE))?.[1];
  } catch {
    return undefined;
  }
}

function fromShell(): string | undefined {
  try {
    const shell = new Deno.Command("sh", { args: ["-c", "ulimit -n"], stdin: "null", stderr: "null" });
    return new TextDecoder().decode(shell.outputSync().stdout).trim();
  } catch {
    return undefined;
  }
}
