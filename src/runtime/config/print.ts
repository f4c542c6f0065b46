/**
 * `config print`: the effective settings as a TOML file, each with where it came from. What it prints is
 * itself a configuration file that gives the same settings.
 */
import type { HostOverride, PolicyRule } from "../../core/settings.ts";
import { HELLO_CONDITIONS } from "../../policy/rules.ts";
import type { LoadedSettings, Origin } from "./load.ts";
import { type Descriptor, DESCRIPTORS, settingsPath } from "./schema.ts";
import { formatDuration, formatSize } from "./units.ts";
import type { SettingValue } from "./values.ts";

export function printSettings(loaded: LoadedSettings): string {
  const lines: string[] = [];
  let section = "";
  for (const descriptor of DESCRIPTORS) {
    const cut = descriptor.key.lastIndexOf(".");
    const ofSection = cut < 0 ? "" : descriptor.key.slice(0, cut);
    if (ofSection !== section) lines.push("", `[${ofSection}]`);
    section = ofSection;
    const value = valueAt(loaded.settings, settingsPath(descriptor));
    const written = writeValue(descriptor, value);
    const name = descriptor.key.slice(cut + 1);
    const origin = describeOrigin(loaded.origins.get(descriptor.key));
    lines.push(written === null ? `# ${name} is not set  # ${origin}` : `${name} = ${written}  # ${origin}`);
  }
  return lines.join("\n") + "\n";
}

function describeOrigin(origin: Origin | undefined): string {
  if (origin === undefined) return "default";
  return origin.name === "" ? origin.source : `${origin.source} ${origin.name}`;
}

function valueAt(settings: unknown, path: readonly string[]): SettingValue {
  let value: unknown = settings;
  for (const name of path) value = (value as Readonly<Record<string, unknown>>)[name];
  return value as SettingValue;
}

function writeValue(descriptor: Descriptor, value: SettingValue): string | null {
  if (value === null) return null;
  if (typeof value === "string") return quoteToml(value);
  if (typeof value === "boolean") return String(value);
  if (typeof value === "number") {
    if (descriptor.type === "duration") return quoteToml(formatDuration(value));
    if (descriptor.type !== "size") return String(value);
    const size = formatSize(value);
    return size === String(value) ? size : quoteToml(size);
  }
  return writeList(value.map((item) => {
    if (typeof item === "string") return quoteToml(item);
    return "action" in item ? writeRule(item) : writeOverride(item);
  }));
}

function writeOverride(override: HostOverride): string {
  const { id, hosts, forceTunnel, http3, disableH2, skipUpstreamVerify, stripAltSvc, profile } = override;
  const { strictHeaders, clientCert, clientKey } = override;
  const written = [`id = ${quoteToml(id)}`, `hosts = ${writeList(hosts.map(quoteToml))}`];
  if (forceTunnel) written.push("force_tunnel = true");
  if (http3) written.push("http3 = true");
  if (disableH2) written.push("disable_h2 = true");
  if (skipUpstreamVerify) written.push("skip_upstream_verify = true");
  if (stripAltSvc) written.push("strip_alt_svc = true");
  if (!strictHeaders) written.push("strict_headers = false");
  if (profile !== null) written.push(`profile = ${quoteToml(profile)}`);
  if (clientCert !== undefined) written.push(`client_cert = ${quoteToml(clientCert)}`);
  if (clientKey !== undefined) written.push(`client_key = ${quoteToml(clientKey)}`);
  return `{ ${written.join(", ")} }`;
}

function writeRule(rule: PolicyRule): string {
  const { id, hosts, ports, action } = rule;
  const written = [`id = ${quoteToml(id)}`, `hosts = ${writeList(hosts.map(quoteToml))}`];
  if (ports !== undefined) written.push(`ports = ${writeList(ports.map(String))}`);
  for (const name of ["paths", "methods", ...HELLO_CONDITIONS] as const) {
    const texts = rule[name];
    if (texts !== undefined) written.push(`${name} = ${writeList(texts.map(quoteToml))}`);
  }
  if (rule.http3 === true) written.push("http3 = true");
  written.push(`action = ${quoteToml(action)}`);
  return `{ ${written.join(", ")} }`;
}

function writeList(items: readonly string[]): string {
  return `[${items.join(", ")}]`;
}

/** JSON's escapes are TOML's, but for DEL, which TOML wants escaped too. */
export function quoteToml(text: string): string {
  return JSON.stringify(text).replaceAll("\x7f", "\\u007f");
}
