/** The one place the version is written is deno.json. */
import manifest from "../../deno.json" with { type: "json" };

export const VERSION: string = manifest.version;
