/** `soth-mitm config check|print|schema`: looks at the configuration without starting anything. */
import { configSchema } from "../runtime/config/json_schema.ts";
import { loadSettings } from "../runtime/config/load.ts";
import { printSettings } from "../runtime/config/print.ts";
import { nearest } from "../runtime/config/suggest.ts";
import { CONFIG_HELP } from "./help.ts";
import { has, parseArguments } from "./options.ts";
import { CONFIG_OPTIONS, configPathOf, refusePositionals, settingFlags } from "./run_options.ts";
import { UsageError } from "./usage_error.ts";
import type { World } from "./world.ts";

const SUBCOMMANDS = ["check", "print", "schema"];

/** Throws a `StartError` that holds everything that is wrong. */
export async function configCommand(args: readonly string[], world: World): Promise<number> {
  const { console } = world;
  const parsed = parseArguments(args, CONFIG_OPTIONS);
  if (has(parsed, "help")) {
    console.stdout(CONFIG_HELP);
    return 0;
  }
  const [name, ...positionals] = parsed.positionals;
  if (name === undefined) throw new UsageError(`config needs a subcommand: ${SUBCOMMANDS.join(", ")}`);
  if (!SUBCOMMANDS.includes(name)) {
    const near = JSON.stringify(nearest(name, SUBCOMMANDS));
    throw new UsageError(`unknown subcommand config ${name} (did you mean ${near}?)`);
  }
  refusePositionals({ ...parsed, positionals }, `config ${name}`);
  if (name === "schema") {
    console.stdout(JSON.stringify(configSchema(), null, 2) + "\n");
    return 0;
  }
  const place = configPathOf(parsed);
  const loaded = await loadSettings({
    ...place,
    flags: settingFlags(parsed),
    env: world.env,
    cwd: world.cwd,
    platform: world.platform,
    // Nothing will be opened, and this command has given up what a proxy would need.
    checkGrants: false,
  });
  for (const warning of loaded.warnings) console.stderr(`soth-mitm: warning: ${warning}\n`);
  if (name === "print") console.stdout(printSettings(loaded));
  else console.stdout(`${place.configPath ?? "the configuration"} is valid\n`);
  return 0;
}
