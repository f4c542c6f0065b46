/**
 * The effective settings: flags over environment over file over defaults, each key with its origin.
 * Everything that is wrong anywhere is reported in one `StartError`, since a person who mends a file
 * wants the whole list. Reads the one file it is given; what that file names is only resolved here.
 */
import { createHash } from "node:crypto";
import type { Settings } from "../../core/settings.ts";
import { StartError } from "../start_error.ts";
import { isLoopback, parseListenAddress } from "./address.ts";
import { missingGrants } from "./grants.ts";
import { DESCRIPTORS, type SettingKey, settingsPath } from "./schema.ts";
import {
  type Assigned,
  type LoadOptions,
  missingStateDirectory,
  type Origin,
  placeFlagRules,
  readDefaults,
  readEnvironmentSource,
  readFileSource,
  readFlags,
  readValuesSource,
} from "./sources.ts";

export type { LoadOptions, Origin, SettingFlags } from "./sources.ts";

export interface LoadedSettings {
  readonly settings: Settings;
  readonly origins: ReadonlyMap<SettingKey, Origin>;
  /** SHA-256 of the effective settings as canonical JSON, in hex. */
  readonly digest: string;
  /** Allowed, but perhaps not meant. */
  readonly warnings: readonly string[];
}

export async function loadSettings(options: LoadOptions): Promise<LoadedSettings> {
  const problems: string[] = [];
  const file = options.configPath === undefined
    ? []
    : await readFileSource(options.configPath, options.cwd, problems);
  return settle(options, file, problems);
}

/** The same without a file and without waiting, for settings that a program holds. */
export function settingsFromValues(options: Omit<LoadOptions, "configPath">): LoadedSettings {
  return settle(options, [], []);
}

function settle(options: LoadOptions, file: readonly Assigned[], problems: string[]): LoadedSettings {
  const effective = new Map<SettingKey, Assigned>();
  const assign = (assigned: readonly Assigned[]) => {
    for (const one of assigned) effective.set(one.key, one);
  };
  assign(readDefaults(options));
  assign(file);
  assign(readValuesSource(options, problems));
  assign(readEnvironmentSource(options, problems));
  assign(readFlags(options, problems));
  placeFlagRules(options, effective, problems);
  if (effective.get("state_dir")?.value === "") problems.push(missingStateDirectory(options));
  if (problems.length > 0) throw invalid(problems);

  const settings = assemble(effective);
  const origins = new Map([...effective].map(([key, { origin }]) => [key, origin]));
  problems.push(...contradictions(settings, origins));
  if (problems.length === 0 && options.checkGrants !== false) {
    problems.push(
      ...missingGrants(settings).map((missing) => withOrigin(missing.key, missing.detail, origins)),
    );
  }
  if (problems.length > 0) throw invalid(problems);
  return { settings, origins, digest: digestOf(settings), warnings: warningsOf(settings) };
}

// What only shows when all sources are together.

/** The table is proved to hold every path of `Settings` with its type (end of `schema.ts`), so the cast is safe. */
function assemble(effective: ReadonlyMap<SettingKey, Assigned>): Settings {
  const settings: Record<string, unknown> = {};
  for (const descriptor of DESCRIPTORS) {
    const path = settingsPath(descriptor);
    const name = path.pop() ?? "";
    let section = settings;
    for (const part of path) section = (section[part] ??= {}) as Record<string, unknown>;
    section[name] = effective.get(descriptor.key)?.value;
  }
  return settings as unknown as Settings;
}

function contradictions(settings: Settings, origins: ReadonlyMap<SettingKey, Origin>): string[] {
  const problems: string[] = [];
  const report = (key: SettingKey, detail: string) => problems.push(withOrigin(key, detail, origins));
  const { tls, limits, http, policy, route, overrides } = settings;
  if (tls.caCertPath !== null && tls.caKeyPath === null) {
    report("tls.ca_cert_path", "found without tls.ca_key_path; allowed: both or neither");
  }
  if (tls.caKeyPath !== null && tls.caCertPath === null) {
    report("tls.ca_key_path", "found without tls.ca_cert_path; allowed: both or neither");
  }
  if ((tls.upstreamClientCert === null) !== (tls.upstreamClientKey === null)) {
    const [given, missing] = tls.upstreamClientCert !== null
      ? ["tls.upstream_client_cert", "tls.upstream_client_key"] as const
      : ["tls.upstream_client_key", "tls.upstream_client_cert"] as const;
    report(given, `found without ${missing}; allowed: both or neither`);
  }
  if (tls.profile === "strict" && tls.upstreamSniMode === "disabled") {
    report(
      "tls.upstream_sni_mode",
      'found "disabled" with tls.profile = "strict"; allowed there: "auto", "required"',
    );
  }
  if (http.maxHeadBytes > limits.flowBufferBytes) {
    report(
      "http.max_head_bytes",
      `found ${http.maxHeadBytes}; allowed: at most limits.flow_buffer_bytes (${limits.flowBufferBytes})`,
    );
  }
  if (limits.flowBufferBytes > limits.maxInFlightBytes) {
    report(
      "limits.flow_buffer_bytes",
      `found ${limits.flowBufferBytes}; allowed: at most limits.max_in_flight_bytes (${limits.maxInFlightBytes})`,
    );
  }
  if (route.mode === "reverse" && route.reverseOrigin === null) {
    report("route.mode", 'found "reverse" without route.reverse_origin; allowed: both or neither');
  }
  if (route.mode === "forward" && route.reverseOrigin !== null) {
    report("route.reverse_origin", 'found without route.mode = "reverse"; allowed: both or neither');
  }
  const overrideIds = new Set<string>();
  for (const [index, { id, profile }] of overrides.entries()) {
    if (overrideIds.has(id)) {
      report("overrides", `override ${index + 1}: the id ${JSON.stringify(id)} is taken; ids are unique`);
    }
    overrideIds.add(id);
    if (profile === "strict" && tls.upstreamSniMode === "disabled") {
      report(
        "overrides",
        `override ${index + 1}: the profile "strict" does not go with tls.upstream_sni_mode = "disabled"`,
      );
    }
  }
  const ids = new Set<string>();
  for (const [index, { id }] of policy.rules.entries()) {
    if (ids.has(id)) {
      report("policy.rules", `rule ${index + 1}: the id ${JSON.stringify(id)} is taken; ids are unique`);
    }
    ids.add(id);
  }
  return problems;
}

function withOrigin(key: SettingKey, detail: string, origins: ReadonlyMap<SettingKey, Origin>): string {
  const origin = origins.get(key);
  const where = origin === undefined || origin.source === "default" ? "" : `${origin.name}: `;
  return `${where}${key}: ${detail}`;
}

function warningsOf({ listen, policy, overrides }: Settings): string[] {
  const warnings: string[] = [];
  for (const text of listen) {
    const address = parseListenAddress(text);
    if (address.type !== "error" && !isLoopback(address)) {
      warnings.push(
        `listen: ${text} is not a loopback address: every machine that reaches it can use the proxy`,
      );
    }
  }
  for (const { id, hosts, skipUpstreamVerify } of overrides) {
    if (!skipUpstreamVerify) continue;
    warnings.push(
      `overrides: ${JSON.stringify(id)} skips the verification of ${
        hosts.join(", ")
      }: whoever stands between ` +
        "can read and change what passes",
    );
  }
  const blocked = new Set(policy.blockHosts);
  for (const pattern of policy.ignoreHosts) {
    if (blocked.has(pattern)) {
      warnings.push(`policy.ignore_hosts: ${pattern} is also in policy.block_hosts, which wins`);
    }
  }
  return warnings;
}

function invalid(problems: readonly string[]): StartError {
  const [first] = problems;
  if (problems.length === 1 && first !== undefined) return new StartError("config_invalid", first);
  const list = problems.map((problem) => `\n  ${problem}`).join("");
  return new StartError("config_invalid", `the configuration has ${problems.length} errors:${list}`);
}

function digestOf(settings: Settings): string {
  return createHash("sha256").update(canonicalJson(settings)).digest("hex");
}

function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) => {
    if (typeof inner !== "object" || inner === null || Array.isArray(inner)) return inner;
    return Object.fromEntries(Object.entries(inner).sort(([a], [b]) => a < b ? -1 : 1));
  });
}
