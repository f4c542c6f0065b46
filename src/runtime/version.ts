/** The one place the version is written is deno.json. */
import manifest from "../../deno.json" with { type: "json" };

export const VERSION: string = manifest.version;

/** Null in a checkout; `tasks/compile.ts` puts this module's place to one that names the commit it compiles. */
export const COMMIT: string | null = null;
