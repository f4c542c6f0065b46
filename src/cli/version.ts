/** What `--version` says. */
import { VERSION } from "../runtime/version.ts";

/** `checkout` where the sources run as they are; `deno task compile` puts the commit in place of the word. */
export const COMMIT = "checkout";

export function versionText(): string {
  return `soth-mitm ${VERSION} (${COMMIT}; deno ${Deno.version.deno}, ${Deno.build.target})\n`;
}
