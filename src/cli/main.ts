/**
 * The command line: finds the command, gives up what that command will never need, and runs it.
 * Commands are imported when asked for, so that starting the proxy does not wait for the rest.
 */
import { loadSettings, settingsFromValues } from "../runtime/config/load.ts";
import { nearest } from "../runtime/config/suggest.ts";
import { descriptorLimit } from "../runtime/descriptors.ts";
import { type KeptPermissions, NOTHING } from "../runtime/permissions.ts";
import { MAIN_HELP } from "./help.ts";
import { parseArguments } from "./options.ts";
import { Reporter } from "./reporter.ts";
import { configPathOf, PLACE_OPTIONS, settingFlags } from "./run_options.ts";
import { UsageError } from "./usage_error.ts";
import { versionText } from "./version.ts";
import { systemWorld, type World } from "./world.ts";

interface Command {
  /** Paths are not known yet, so reads and writes are kept whole or not at all. */
  readonly keep: KeptPermissions;
  run(args: readonly string[], world: World): Promise<number>;
}

const SOMEWHERE = ["/"];

const COMMANDS: Readonly<Record<string, Command>> = {
  run: {
    keep: { ...NOTHING, env: true, sys: true, net: true, read: SOMEWHERE, write: SOMEWHERE },
    run: async (args, world) => (await import("./run.ts")).runCommand(args, world),
  },
  exec: {
    keep: { ...NOTHING, run: true, env: true, sys: true, net: true, read: SOMEWHERE, write: SOMEWHERE },
    run: async (args, world) => (await import("./exec.ts")).execCommand(args, world),
  },
  ca: {
    keep: { ...NOTHING, run: true, env: true, sys: true, read: SOMEWHERE, write: SOMEWHERE },
    run: runCa,
  },
  config: {
    keep: { ...NOTHING, read: SOMEWHERE },
    run: async (args, world) => (await import("./config.ts")).configCommand(args, world),
  },
  log: {
    keep: { ...NOTHING, read: SOMEWHERE },
    run: runLog,
  },
  "tls-replay": {
    keep: { ...NOTHING, net: true, read: SOMEWHERE, write: SOMEWHERE },
    run: async (args, world) => (await import("./tls_replay.ts")).tlsReplayCommand(args, world),
  },
  learned: {
    keep: { ...NOTHING, read: SOMEWHERE, write: SOMEWHERE },
    run: async (args, world) => (await import("./learned.ts")).learnedCommand(args, world),
  },
};

/** Runs one command line; the result is the exit code. */
export async function main(args: readonly string[], world: World = systemWorld()): Promise<number> {
  try {
    const [first] = args;
    if (first === "--help" || first === "-h" || first === "help") {
      world.console.stdout(MAIN_HELP);
      return 0;
    }
    if (first === "--version" || first === "-V") {
      world.console.stdout(versionText());
      return 0;
    }
    const named = first !== undefined && !first.startsWith("-");
    const name = named ? first : "run";
    const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
    if (command === undefined) {
      const near = nearest(name, Object.keys(COMMANDS));
      throw new UsageError(`unknown command ${JSON.stringify(name)} (did you mean ${JSON.stringify(near)}?)`);
    }
    // Only a shell tells the limit, and `run` gives up running programs next.
    if (name === "run" || name === "exec") descriptorLimit();
    world.dropPermissions(command.keep);
    return await command.run(named ? args.slice(1) : args, world);
  } catch (error) {
    // An error before the options are known; the exit line is due all the same.
    const statusLines = beforeDashes(args).includes("--status-lines");
    return new Reporter(world.console, { statusLines, quiet: false, logLevel: "info" }).fail(error);
  }
}

function beforeDashes(args: readonly string[]): readonly string[] {
  const dashes = args.indexOf("--");
  return dashes < 0 ? args : args.slice(0, dashes);
}

/** `--config` and `--state-dir` stand anywhere among the arguments of `ca`; the rest is its own. */
async function runCa(args: readonly string[], world: World): Promise<number> {
  const { caCommand } = await import("./ca.ts");
  const { own, place } = splitPlace(args);
  const parsed = parseArguments(place, PLACE_OPTIONS);
  const { console, env, cwd, platform } = world;
  const isHelp = own.length === 0 || own.includes("--help") || own.includes("-h");
  const options = { flags: settingFlags(parsed), env, cwd, platform, checkGrants: false };
  const { settings } = isHelp
    ? settingsFromValues({ values: { state_dir: "." }, cwd, checkGrants: false })
    : await loadSettings({ ...options, ...configPathOf(parsed) });
  return await caCommand(own, { settings, io: console, platform });
}

function splitPlace(args: readonly string[]): { own: string[]; place: string[] } {
  const own: string[] = [];
  const place: string[] = [];
  for (let index = 0; index < args.length; index++) {
    const argument = args[index] ?? "";
    const [name = ""] = argument.split("=", 1);
    if (!Object.hasOwn(PLACE_OPTIONS, name.slice(2)) || !name.startsWith("--")) own.push(argument);
    else {
      place.push(argument);
      const value = args[index + 1];
      if (name === argument && value !== undefined) {
        place.push(value);
        index++;
      }
    }
  }
  return { own, place };
}

async function runLog(args: readonly string[], { console }: World): Promise<number> {
  const { logCommand } = await import("./log.ts");
  return await logCommand([...args], {
    stdout: console.stdout,
    stderr: console.stderr,
    colour: console.stdoutIsTerminal && !console.noColour,
  });
}
