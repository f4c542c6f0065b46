/** Settings for tests of the certificate authority, and a state directory that goes away after them. */
import type { Settings } from "../../src/core/settings.ts";
import { settingsFromValues } from "../../src/runtime/config/load.ts";

/** The effective settings of a configuration that says only this about `[tls]`. */
export function caSettings(stateDir: string, tls: Readonly<Record<string, unknown>> = {}): Settings {
  return settingsFromValues({ values: { state_dir: stateDir, tls }, cwd: "/", env: {} }).settings;
}

export async function withStateDir(work: (stateDir: string) => Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "soth-mitm-ca-" });
  try {
    await work(`${directory}/state`);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}
