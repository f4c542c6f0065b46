/** The files that `exec` gives its command: a bundle of roots (the system's, the user's, our CA), a preload. */
import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import type { Settings } from "../core/settings.ts";
import type { Environment } from "../runtime/config/directories.ts";
import { StartError } from "../runtime/start_error.ts";
import { loadTrustRoots } from "../runtime/trust_roots.ts";
import { TRUST_VARIABLES } from "./exec_environment.ts";

const USER_BUNDLE_BYTES_MAX = 8 * 1024 * 1024;

export async function bundleText(settings: Settings, env: Environment, caCertPem: string): Promise<string> {
  const { upstreamCaBundle } = settings.tls;
  const { roots } = await loadTrustRoots({ upstreamTrust: "system", upstreamCaBundle });
  const parts = [caCertPem, ...roots.map(({ pem }) => pem)];
  const paths = new Set(TRUST_VARIABLES.map((name) => env[name] ?? "").filter((path) => path !== ""));
  for (const path of paths) parts.push(await readUserBundle(path));
  return parts.map((part) => part.endsWith("\n") ? part : part + "\n").join("");
}

/**
 * Named by its content, so that many commands at once share one file and none sees half of one, and a
 * command that lives on (a daemon) keeps what it was started with.
 */
export async function writeExecFile(
  stateDir: string,
  name: string,
  extension: string,
  text: string,
): Promise<string> {
  const digest = createHash("sha256").update(text).digest("hex");
  const path = join(stateDir, "exec", `${name}-${digest.slice(0, 16)}.${extension}`);
  if (await holds(path, text)) return path;
  const directory = dirname(path);
  try {
    await Deno.mkdir(directory, { recursive: true, mode: 0o700 });
    const temporary = await Deno.makeTempFile({ dir: directory, prefix: ".new-" });
    try {
      await Deno.writeTextFile(temporary, text);
      if (Deno.build.os !== "windows") await Deno.chmod(temporary, 0o644);
      await Deno.rename(temporary, path);
    } catch (error) {
      await Deno.remove(temporary).catch(() => {});
      throw error;
    }
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new StartError(
      "proxy_init_failed",
      `Cannot write ${path}: ${why}; --state-dir DIR names a directory that can be written`,
      { cause },
    );
  }
  return path;
}

async function holds(path: string, text: string): Promise<boolean> {
  try {
    return await Deno.readTextFile(path) === text;
  } catch {
    return false;
  }
}

/** Empty where there is nothing to be had: the tool itself would complain of its own variable. */
async function readUserBundle(path: string): Promise<string> {
  try {
    const { isFile, size } = await Deno.stat(path);
    if (!isFile || size > USER_BUNDLE_BYTES_MAX) return "";
    const text = await Deno.readTextFile(path);
    return text.includes("-----BEGIN CERTIFICATE-----") ? text : "";
  } catch {
    return "";
  }
}
