/** The program: `deno task start` in a checkout, the executable in a release. */
import { main } from "./main.ts";
import { enterCallersDirectory } from "./world.ts";

if (import.meta.main) {
  enterCallersDirectory();
  Deno.exit(await main(Deno.args));
}
