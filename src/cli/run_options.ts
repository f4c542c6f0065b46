/** The options of `run`, `exec` and `config`, and what they say of settings. */
import type { SettingFlags } from "../runtime/config/load.ts";
import { didYouMean } from "../runtime/config/suggest.ts";
import { type OptionSpecs, type ParsedArguments, valuesInOrder, valuesOf } from "./options.ts";
import { UsageError } from "./usage_error.ts";

const HELP_OPTION = { help: { help: "print this text" } } as const satisfies OptionSpecs;

/** What says where the configuration and the state are; `ca` takes these too. */
export const PLACE_OPTIONS = {
  config: { value: "FILE", help: "settings from a .toml, .json or .jsonc file" },
  "state-dir": { value: "DIR", help: "where the CA and learned state live" },
} as const satisfies OptionSpecs;

/** All options that become settings. */
export const SETTING_OPTIONS = {
  listen: {
    value: "ADDR",
    repeats: true,
    help: "host:port, [v6]:port or unix:/path; port 0 takes a free one",
  },
  ...PLACE_OPTIONS,
  events: { value: "SINK", repeats: true, help: "write events to a file, - or unix:/path" },
  intercept: { value: "PATTERN", repeats: true, help: "decrypt and observe these hosts" },
  tunnel: { value: "PATTERN", repeats: true, help: "relay these hosts untouched" },
  block: { value: "PATTERN", repeats: true, help: "refuse these hosts" },
  reverse: { value: "ORIGIN", help: "relay all that is accepted to https://host:port or http://host:port" },
  default: { value: "ACTION", help: "intercept, tunnel or block what nothing else names" },
} as const satisfies OptionSpecs;

export const RUN_OPTIONS = {
  ...SETTING_OPTIONS,
  "status-lines": { help: "one line of JSON on standard error for each stage" },
  quiet: { help: "no start block, no line for each exchange" },
  "log-level": { value: "LEVEL", help: "notices on standard error: error, warn, info (default) or debug" },
  ...HELP_OPTION,
} as const satisfies OptionSpecs;

export const CONFIG_OPTIONS = { ...SETTING_OPTIONS, ...HELP_OPTION } as const satisfies OptionSpecs;

export const LOG_LEVELS = ["error", "warn", "info", "debug"] as const;
export type LogLevel = typeof LOG_LEVELS[number];

export function settingFlags(parsed: ParsedArguments): SettingFlags {
  const listen = valuesOf(parsed, "listen");
  const sinks = valuesOf(parsed, "events");
  const [stateDir] = valuesOf(parsed, "state-dir");
  const [defaultAction] = valuesOf(parsed, "default");
  const [reverse] = valuesOf(parsed, "reverse");
  return {
    ...(listen.length === 0 ? {} : { listen }),
    ...(sinks.length === 0 ? {} : { sinks }),
    ...(stateDir === undefined ? {} : { stateDir }),
    ...(defaultAction === undefined ? {} : { defaultAction }),
    ...(reverse === undefined ? {} : { reverse }),
    rules: valuesInOrder(parsed, ["intercept", "tunnel", "block"])
      .map(({ name: action, value: pattern }) => ({ action, pattern })),
  };
}

export function configPathOf(parsed: ParsedArguments): { configPath?: string } {
  const [configPath] = valuesOf(parsed, "config");
  return configPath === undefined ? {} : { configPath };
}

export function logLevelOf(parsed: ParsedArguments): LogLevel {
  const [given = "info"] = valuesOf(parsed, "log-level");
  const level = LOG_LEVELS.find((known) => known === given);
  if (level !== undefined) return level;
  throw new UsageError(
    `--log-level: found ${JSON.stringify(given)}; allowed: ${LOG_LEVELS.join(", ")}${
      didYouMean(given, LOG_LEVELS)
    }`,
  );
}

export function refusePositionals(
  { positionals, rest }: Pick<ParsedArguments, "positionals" | "rest">,
  command: string,
): void {
  const [first] = [...positionals, ...rest ?? []];
  if (first === undefined) return;
  throw new UsageError(`unexpected argument ${JSON.stringify(first)}: ${command} takes options only`);
}
