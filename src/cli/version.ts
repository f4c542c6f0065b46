/** What `--version` says. */
import { COMMIT, VERSION } from "../runtime/version.ts";

export function versionText(): string {
  return `soth-mitm ${VERSION} (${COMMIT ?? "checkout"}) deno ${Deno.version.deno} ${Deno.build.target}\n`;
}
