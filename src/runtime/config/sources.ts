/**
 * Where settings come from, the weakest first: defaults, a file (or an object), the environment, flags.
 * Each source gives values that are already checked, and says what is wrong in its own terms: a line
 * of the file, a variable, a flag.
 */
import { dirname, resolve } from "node:path";
import type { Action } from "../../core/session.ts";
import type { PolicyRule } from "../../core/settings.ts";
import { defaultStateDirectory, type Environment } from "./directories.ts";
import { readConfigFile } from "./file.ts";
import { type ConfigNode, describeNode, nodeFromValue } from "./node.ts";
import {
  type Descriptor,
  descriptorOf,
  DESCRIPTORS,
  ENVIRONMENT_PREFIX,
  environmentName,
  SECTIONS,
  SETTING_KEYS,
  type SettingKey,
} from "./schema.ts";
import { didYouMean, nearest } from "./suggest.ts";
import { readValue, type SettingValue } from "./values.ts";

/** What the command line says of settings, as it was written. */
export interface SettingFlags {
  readonly listen?: readonly string[];
  readonly stateDir?: string;
  readonly defaultAction?: string;
  readonly sinks?: readonly string[];
  /** `--reverse`: the mode and its origin in one. */
  readonly reverse?: string;
  /** `--intercept`, `--tunnel` and `--block` in the order given; they come before the rules of the file. */
  readonly rules?: readonly { readonly action: Action; readonly pattern: string }[];
}

export interface LoadOptions {
  readonly flags?: SettingFlags;
  readonly env?: Environment;
  readonly configPath?: string;
  /** Settings as an object shaped like a JSON file; they stand where a file would, above one that is also given. */
  readonly values?: Readonly<Record<string, unknown>>;
  /** What relative paths are relative to, outside the file. */
  readonly cwd: string;
  /** Whether the paths must be granted already; `config check` only judges what is written. */
  readonly checkGrants?: boolean;
  readonly platform?: typeof Deno.build.os;
}

export type OriginSource = "flag" | "env" | "file" | "default";

export interface Origin {
  readonly source: OriginSource;
  /** The flag, the variable, the file (with the line where its format tells it); empty for a default. */
  readonly name: string;
}

/** A value that a source gives to a key, already checked. */
export interface Assigned {
  readonly key: SettingKey;
  readonly value: SettingValue;
  readonly origin: Origin;
}

export function readDefaults(options: LoadOptions): Assigned[] {
  const origin: Origin = { source: "default", name: "" };
  return DESCRIPTORS.map((descriptor) => ({
    key: descriptor.key,
    value: defaultOf(descriptor, options),
    origin,
  }));
}

function defaultOf(descriptor: Descriptor, options: LoadOptions): SettingValue {
  switch (descriptor.type) {
    case "directory": {
      const directory = platformStateDirectory(options);
      return typeof directory === "string" ? directory : "";
    }
    case "optional_path":
    case "optional_origin":
      return null;
    case "rules":
    case "overrides":
      return [];
    default:
      return descriptor.default;
  }
}

function platformStateDirectory(options: LoadOptions) {
  return defaultStateDirectory(options.env ?? {}, options.platform ?? Deno.build.os);
}

export function missingStateDirectory(options: LoadOptions): string {
  const directory = platformStateDirectory(options);
  return `state_dir: ${typeof directory === "string" ? directory : directory.detail} (--state-dir DIR)`;
}

export async function readFileSource(
  configPath: string,
  cwd: string,
  problems: string[],
): Promise<Assigned[]> {
  const path = resolve(cwd, configPath);
  const file = await readConfigFile(path);
  if (file.type === "error") {
    problems.push(`${configPath}${file.line > 0 ? `:${file.line}` : ""}: ${file.detail}`);
    return [];
  }
  return readTable(file.root, "", {
    source: "file",
    baseDirectory: dirname(path),
    name: (line) => line > 0 ? `${configPath}:${line}` : configPath,
    problems,
  });
}

export function readValuesSource(options: LoadOptions, problems: string[]): Assigned[] {
  const root = nodeFromValue(options.values ?? {});
  if (root.type !== "table") return [];
  return readTable(root.entries, "", {
    source: "file",
    baseDirectory: options.cwd,
    name: () => "options",
    problems,
  });
}

interface Source {
  readonly source: OriginSource;
  readonly baseDirectory: string;
  name(line: number): string;
  readonly problems: string[];
}

/** Walks sections down to keys; what is neither is unknown. */
function readTable(entries: ReadonlyMap<string, ConfigNode>, prefix: string, source: Source): Assigned[] {
  const assigned: Assigned[] = [];
  for (const [name, node] of entries) {
    const key = prefix + name;
    const at = source.name(node.line);
    if (isSettingKey(key)) {
      const value = readSetting(key, node, source);
      if (value !== undefined) assigned.push({ key, value, origin: { source: source.source, name: at } });
    } else if (!SECTIONS.includes(key)) {
      const known = prefix === "" ? [...SETTING_KEYS, ...SECTIONS] : SETTING_KEYS;
      source.problems.push(`${at}: ${key}: unknown key${didYouMean(key, known)}`);
    } else if (node.type === "table") {
      assigned.push(...readTable(node.entries, `${key}.`, source));
    } else {
      source.problems.push(`${at}: ${key}: found ${describeNode(node)}; allowed: a table of settings`);
    }
  }
  return assigned;
}

function readSetting(key: SettingKey, node: ConfigNode, source: Source): SettingValue | undefined {
  const descriptor = descriptorOf(key);
  if (descriptor === undefined) return undefined;
  return readValue(descriptor, node, {
    baseDirectory: source.baseDirectory,
    report: (line, where, detail) => void source.problems.push(`${source.name(line)}: ${where}: ${detail}`),
  });
}

export function readEnvironmentSource(options: LoadOptions, problems: string[]): Assigned[] {
  const environment = options.env ?? {};
  const assigned: Assigned[] = [];
  const names = new Map(SETTING_KEYS.map((key) => [environmentName(key), key]));
  for (const [name, text] of Object.entries(environment)) {
    // An empty variable counts as none, as shells and container files make them by accident.
    if (!name.startsWith(ENVIRONMENT_PREFIX) || text === undefined || text === "") continue;
    const key = names.get(name);
    const descriptor = key === undefined ? undefined : descriptorOf(key);
    if (key === undefined || descriptor === undefined) {
      problems.push(`${name}: unknown variable (did you mean ${nearest(name, [...names.keys()])}?)`);
      continue;
    }
    const node = nodeFromVariable(descriptor, text);
    const source: Source = { source: "env", baseDirectory: options.cwd, name: () => name, problems };
    const value = readSetting(key, node, source);
    if (value !== undefined) assigned.push({ key, value, origin: { source: "env", name } });
  }
  return assigned;
}

/** Variables are text: lists are cut at commas, tables are a JSON list, counts are digits, switches true or false. */
function nodeFromVariable(descriptor: Descriptor, text: string): ConfigNode {
  if (descriptor.type === "list") {
    return nodeFromValue(text.split(",").map((item) => item.trim()).filter((item) => item !== ""));
  }
  if (descriptor.type === "count" && /^\d{1,15}$/.test(text)) return nodeFromValue(Number(text));
  if (descriptor.type === "switch" && (text === "true" || text === "false")) {
    return nodeFromValue(text === "true");
  }
  if (descriptor.type !== "rules" && descriptor.type !== "overrides") return nodeFromValue(text);
  try {
    return nodeFromValue(JSON.parse(text));
  } catch {
    return nodeFromValue(text);
  }
}

export function readFlags({ flags = {}, cwd }: LoadOptions, problems: string[]): Assigned[] {
  const given: readonly (readonly [SettingKey, string, unknown])[] = [
    ["listen", "--listen", flags.listen],
    ["state_dir", "--state-dir", flags.stateDir],
    ["policy.default", "--default", flags.defaultAction],
    ["events.sinks", "--events", flags.sinks],
    ["route.mode", "--reverse", flags.reverse === undefined ? undefined : "reverse"],
    ["route.reverse_origin", "--reverse", flags.reverse],
  ];
  const assigned: Assigned[] = [];
  for (const [key, name, raw] of given) {
    if (raw === undefined) continue;
    const source: Source = { source: "flag", baseDirectory: cwd, name: () => name, problems };
    const value = readSetting(key, nodeFromValue(raw), source);
    if (value !== undefined) assigned.push({ key, value, origin: { source: "flag", name } });
  }
  return assigned;
}

/** Rules of the command line do not replace those of the file: they are asked first. */
export function placeFlagRules(
  { flags, cwd }: LoadOptions,
  effective: Map<SettingKey, Assigned>,
  problems: string[],
): void {
  const given = flags?.rules ?? [];
  const configured = effective.get("policy.rules");
  if (given.length === 0 || configured === undefined) return;
  const rules: PolicyRule[] = [];
  for (const [index, { action, pattern }] of given.entries()) {
    const name = `--${action}`;
    const source: Source = { source: "flag", baseDirectory: cwd, name: () => name, problems };
    const node = nodeFromValue([{ id: `flag-${index + 1}`, hosts: [pattern], action }]);
    const value = readSetting("policy.rules", node, source);
    if (value !== undefined) rules.push(...value as readonly PolicyRule[]);
  }
  const name = [...new Set(given.map(({ action }) => `--${action}`))].join(" ");
  const after = configured.origin.source === "default" ? "" : `, then ${configured.origin.name}`;
  effective.set("policy.rules", {
    key: "policy.rules",
    value: [...rules, ...configured.value as readonly PolicyRule[]],
    origin: { source: "flag", name: name + after },
  });
}

function isSettingKey(key: string): key is SettingKey {
  return descriptorOf(key) !== undefined;
}
