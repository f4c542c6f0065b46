/** What a command needs of the process it runs in. The entry file gives the real one, a test its own. */
import { resolve } from "node:path";
import type { Environment } from "../runtime/config/directories.ts";
import { readEnvironment } from "../runtime/config/environment.ts";
import { dropPermissions, type KeptPermissions, type PermissionReport } from "../runtime/permissions.ts";
import { type Console, systemConsole } from "./console.ts";
import { REPLACED_VARIABLES } from "./exec_environment.ts";

export interface World {
  readonly console: Console;
  readonly env: Environment;
  readonly cwd: string;
  readonly platform: typeof Deno.build.os;
  dropPermissions(keep: KeptPermissions): PermissionReport;
}

export function systemWorld(): World {
  const env = readEnvironment(["NO_COLOR", ...REPLACED_VARIABLES]);
  return { console: systemConsole(env), env, cwd: Deno.cwd(), platform: Deno.build.os, dropPermissions };
}

/** `deno task` starts in the project's folder; relative paths are meant from where the user stands. */
export function enterCallersDirectory(): void {
  const { state } = Deno.permissions.querySync({ name: "env", variable: "INIT_CWD" });
  const called = state === "granted" ? Deno.env.get("INIT_CWD") : undefined;
  const { dirname } = import.meta;
  const project = Deno.build.standalone || dirname === undefined ? null : resolve(dirname, "../..");
  const directory = callersDirectory(Deno.cwd(), called, project);
  if (directory !== null) Deno.chdir(directory);
}

/** Null: stay. Other programs (npm) leave an `INIT_CWD` too, so it counts only where a task would start. */
export function callersDirectory(
  cwd: string,
  called: string | undefined,
  project: string | null,
): string | null {
  return called === undefined || called === "" || cwd !== project ? null : called;
}
