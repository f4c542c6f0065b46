/** `soth-mitm learned list|clear`: what clients are let through for at the moment, and the end of it. */
import type { Settings } from "../core/settings.ts";
import { visible } from "../log/visible.ts";
import { isInForce, type LearnedBypass } from "../policy/learning.ts";
import { formatDuration } from "../runtime/config/units.ts";
import { loadSettings } from "../runtime/config/load.ts";
import { nearest } from "../runtime/config/suggest.ts";
import { asidePath, changeLearned, learnedPath, readLearned } from "../runtime/learned_file.ts";
import { StartError } from "../runtime/start_error.ts";
import {
  has,
  optionsHelp,
  type OptionSpecs,
  parseArguments,
  type ParsedArguments,
  valuesOf,
} from "./options.ts";
import { configPathOf, PLACE_OPTIONS, refusePositionals, settingFlags } from "./run_options.ts";
import { UsageError } from "./usage_error.ts";
import type { World } from "./world.ts";

const OPTIONS = {
  host: { value: "HOST", help: "only what was learned of this very host" },
  ...PLACE_OPTIONS,
  help: { help: "print this text" },
} as const satisfies OptionSpecs;

const HELP =
  `Usage: soth-mitm learned list [--host HOST]     the bypasses in force: host, client, evidence, end
       soth-mitm learned clear [--host HOST]    end them, in a running proxy too

A bypass is learned with tls.learned_bypass = "on": a client that has refused the CA for a host
tls.learned_bypass_failures times within tls.learned_bypass_window is tunnelled to that host until
tls.learned_bypass_ttl is over.

${optionsHelp(OPTIONS)}`;

const SUBCOMMANDS = ["list", "clear"] as const;

/** Throws a `StartError`. */
export async function learnedCommand(
  args: readonly string[],
  world: World,
  nowMs: () => number = Date.now,
): Promise<number> {
  const parsed = parseArguments(args, OPTIONS);
  if (has(parsed, "help")) {
    world.console.stdout(HELP);
    return 0;
  }
  const [name, ...positionals] = parsed.positionals;
  if (name === undefined) throw new UsageError(`learned needs a subcommand: ${SUBCOMMANDS.join(", ")}`);
  const command = SUBCOMMANDS.find((known) => known === name);
  if (command === undefined) {
    const near = JSON.stringify(nearest(name, SUBCOMMANDS));
    throw new UsageError(`unknown subcommand learned ${name} (did you mean ${near}?)`);
  }
  refusePositionals({ ...parsed, positionals }, `learned ${name}`);
  const settings = await settingsOf(parsed, world);
  const [host = null] = valuesOf(parsed, "host");
  const wanted = ({ host: found }: LearnedBypass) => host === null || found === host.toLowerCase();
  try {
    return command === "list"
      ? list(settings, wanted, world, nowMs())
      : await clear(settings, wanted, world, nowMs());
  } catch (error) {
    throw fileError(learnedPath(settings.stateDir), error);
  }
}

async function settingsOf(parsed: ParsedArguments, { env, cwd, platform }: World): Promise<Settings> {
  const { settings } = await loadSettings({
    ...configPathOf(parsed),
    flags: settingFlags(parsed),
    env,
    cwd,
    platform,
    checkGrants: false,
  });
  return settings;
}

function list(
  { stateDir, tls }: Settings,
  wanted: (entry: LearnedBypass) => boolean,
  { console }: World,
  nowMs: number,
): number {
  const path = learnedPath(stateDir);
  const found = readLearned(path);
  if (found.type === "unusable") {
    console.stderr(
      `soth-mitm: ${path} cannot be read: ${found.detail}; nothing of it is in force, ` +
        `and "soth-mitm learned clear" moves it away\n`,
    );
    return 1;
  }
  const entries = found.entries.filter((entry) => wanted(entry) && isInForce(entry, nowMs));
  if (entries.length === 0) {
    console.stdout("no learned bypass is in force\n");
    if (tls.learnedBypass !== "on") {
      console.stdout(
        `with these settings (tls.learned_bypass = "${tls.learnedBypass}") none is learned\n`,
      );
    }
    return 0;
  }
  for (const entry of entries) console.stdout(entryText(entry, nowMs));
  return 0;
}

function entryText({ host, fingerprint, expiresMs, evidence }: LearnedBypass, nowMs: number): string {
  const { failures, firstMs, lastMs, error } = evidence;
  const left = formatDuration(Math.max(1, Math.ceil((expiresMs - nowMs) / 1_000)) * 1_000);
  const when = failures === 1 ? `at ${time(lastMs)}` : `from ${time(firstMs)} to ${time(lastMs)}`;
  return `${visible(host)}
  client    ${visible(fingerprint)} (JA4)
  evidence  ${failures} ${failures === 1 ? "failure" : "failures"} ${when}
            ${visible(error)}
  until     ${time(expiresMs)} (${left})
`;
}

async function clear(
  { stateDir }: Settings,
  wanted: (entry: LearnedBypass) => boolean,
  { console }: World,
  nowMs: number,
): Promise<number> {
  const path = learnedPath(stateDir);
  const found = readLearned(path);
  // Where there is nothing, nothing is made.
  if (found.type === "entries" && !found.entries.some(wanted)) {
    console.stdout("no learned bypass to clear\n");
    return 0;
  }
  let cleared = 0;
  const { setAside } = await changeLearned(stateDir, (entries) => {
    const inForce = entries.filter((entry) => isInForce(entry, nowMs));
    const left = inForce.filter((entry) => !wanted(entry));
    cleared = inForce.length - left.length;
    return left;
  });
  if (setAside !== null) {
    console.stderr(`soth-mitm: ${path} could not be read (${setAside}); moved to ${asidePath(path)}\n`);
  }
  console.stdout(`${cleared} learned ${cleared === 1 ? "bypass" : "bypasses"} cleared\n`);
  return 0;
}

/** To the second, which is as exact as anyone reads it. */
function time(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");
}

function fileError(path: string, error: unknown): unknown {
  if (error instanceof UsageError || error instanceof StartError || !(error instanceof Error)) return error;
  return new StartError("proxy_init_failed", `Cannot use ${path}: ${error.message}`, { cause: error });
}
