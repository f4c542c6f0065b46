/** The program: `deno task start` in a checkout, the executable in a release. */
import { resolve } from "node:path";
import { main } from "./main.ts";

if (import.meta.main) {
  enterCallersDirectory();
  Deno.exit(await main(Deno.args));
}

/** `deno task` starts in the project's folder; relative paths are meant from where the user stands. */
function enterCallersDirectory(): void {
  if (Deno.build.standalone || import.meta.dirname === undefined) return;
  const { state } = Deno.permissions.querySync({ name: "env", variable: "INIT_CWD" });
  const directory = state === "granted" ? Deno.env.get("INIT_CWD") : undefined;
  const project = resolve(import.meta.dirname, "../..");
  if (directory === undefined || directory === "" || Deno.cwd() !== project) return;
  Deno.chdir(directory);
}
