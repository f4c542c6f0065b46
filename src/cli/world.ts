/** What a command needs of the process it runs in. The entry file gives the real one, a test its own. */
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
