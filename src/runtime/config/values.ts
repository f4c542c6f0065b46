/**
 * From a node to the value of a setting, or to problems that say what was found and what is allowed.
 * One function per kind of setting; the limits come from the table in `schema.ts`.
 */
import { resolve } from "node:path";
import type { Action } from "../../core/session.ts";
import type { HostOverride, PolicyRule } from "../../core/settings.ts";
import { helloFault } from "../../policy/hello.ts";
import { methodFault, pathFault } from "../../policy/path.ts";
import { HELLO_CONDITIONS } from "../../policy/rules.ts";
import { parsePattern } from "../../policy/pattern.ts";
import { formatOrigin, parseOrigin } from "../../proxy/origin.ts";
import { ADDRESS_FORMS, formatListenAddress, parseListenAddress } from "./address.ts";
import { type ConfigNode, type ConfigTable, describeNode, quote } from "./node.ts";
import { ACTIONS, type Descriptor, type ListItem, TLS_PROFILES } from "./schema.ts";
import { didYouMean } from "./suggest.ts";
import { formatDuration, formatSize, parseDuration, parseSize } from "./units.ts";

export type SettingValue =
  | string
  | number
  | boolean
  | null
  | readonly string[]
  | readonly PolicyRule[]
  | readonly HostOverride[];

/** Where a node came from: who is told of a problem, and what relative paths are relative to. */
export interface ValueContext {
  readonly baseDirectory: string;
  report(line: number, key: string, detail: string): undefined;
}

/** Undefined when a problem was reported. */
export function readValue(
  descriptor: Descriptor,
  node: ConfigNode,
  context: ValueContext,
): SettingValue | undefined {
  const refuse = (detail: string): undefined => context.report(node.line, descriptor.key, detail);
  const refuseAs = (allowed: string, hint = ""): undefined =>
    refuse(`found ${describeNode(node)}; allowed: ${allowed}${hint}`);

  switch (descriptor.type) {
    case "duration":
    case "size":
    case "count":
      return readRanged(descriptor, node) ?? refuseAs(allowedText(descriptor));
    case "switch":
      return node.type === "boolean" ? node.value : refuseAs(allowedText(descriptor));
    case "choice":
      if (node.type === "string" && descriptor.choices.includes(node.value)) return node.value;
      return refuseAs(
        allowedText(descriptor),
        node.type === "string" ? didYouMean(node.value, descriptor.choices) : "",
      );
    case "text": {
      // deno-lint-ignore no-control-regex
      if (node.type !== "string" || /[\x00-\x1f\x7f]/.test(node.value)) {
        return refuseAs(allowedText(descriptor));
      }
      const characters = [...node.value].length;
      return characters >= 1 && characters <= descriptor.maxCharacters
        ? node.value
        : refuseAs(allowedText(descriptor));
    }
    case "choice_or_path":
      if (node.type === "string" && descriptor.choices.includes(node.value)) return node.value;
      return readPath(node, context) ?? refuseAs(allowedText(descriptor));
    case "directory":
    case "optional_path":
      return readPath(node, context) ?? refuseAs(allowedText(descriptor));
    case "optional_origin": {
      if (node.type !== "string") return refuseAs(allowedText(descriptor));
      const origin = parseOrigin(node.value);
      return "detail" in origin
        ? refuse(`found ${quote(node.value)}: ${origin.detail}; allowed: ${allowedText(descriptor)}`)
        : formatOrigin(origin);
    }
    case "list":
      return readList(descriptor, node, context);
    case "rules":
      return readTables(descriptor, node, context, RULE_KEYS, readRule);
    case "overrides":
      return readTables(descriptor, node, context, OVERRIDE_KEYS, readOverride);
  }
}

/** What a setting takes, in words: error messages, `config --help` and the README say the same. */
export function allowedText(descriptor: Descriptor): string {
  switch (descriptor.type) {
    case "duration":
      return ranged(descriptor, formatDuration, 'such as "500ms", "30s", "5m", "2h", "1d"');
    case "size":
      return ranged(descriptor, formatSize, 'a number of bytes or a text such as "64KiB", "1MiB", "10kB"');
    case "count":
      return ranged(descriptor, String, "a whole number");
    case "switch":
      return "true, false";
    case "choice":
      return descriptor.choices.map((choice) => JSON.stringify(choice)).join(", ");
    case "text":
      return `1 to ${descriptor.maxCharacters} characters`;
    case "choice_or_path":
      return `${descriptor.choices.map((choice) => JSON.stringify(choice)).join(", ")} or the path of a file`;
    case "directory":
      return "the path of a directory";
    case "optional_path":
      return "the path of a file";
    case "optional_origin":
      return 'https:// or http://, a host and a port, such as "https://127.0.0.1:9443"';
    case "list":
      return `a list of ${descriptor.minItems} to ${descriptor.maxItems}: ${ITEMS[descriptor.item].allowed}`;
    case "rules":
      return `a list of at most ${descriptor.maxItems} tables {id, hosts, ports?, paths?, methods?, sni?, ja4?, alpn?, http3?, action}`;
    case "overrides":
      return `a list of at most ${descriptor.maxItems} tables {${
        OVERRIDE_KEYS.join(", ")
      }}, all but id and hosts optional`;
  }
}

function ranged(
  { min, max, zero }: { min: number; max: number; zero?: string },
  format: (value: number) => string,
  form: string,
): string {
  const range = `${format(min)} to ${format(max)}`;
  return `${zero === undefined ? "" : `${format(0)} (${zero}) or `}${range}, ${form}`;
}

function readRanged(
  descriptor: Extract<Descriptor, { type: "duration" | "size" | "count" }>,
  node: ConfigNode,
): number | undefined {
  let value: number | null = null;
  if (node.type === "string") {
    if (descriptor.type === "duration") value = parseDuration(node.value);
    if (descriptor.type === "size") value = parseSize(node.value);
  } else if (node.type === "number" && descriptor.type !== "duration") value = node.value;
  if (value === null || !Number.isSafeInteger(value)) return undefined;
  if (value === 0 && descriptor.zero !== undefined) return 0;
  return value >= descriptor.min && value <= descriptor.max ? value : undefined;
}

const PATH_CHARACTERS_MAX = 4_096;

function readPath(node: ConfigNode, context: ValueContext): string | undefined {
  if (node.type !== "string" || node.value === "" || node.value.includes("\0")) return undefined;
  if (node.value.length > PATH_CHARACTERS_MAX) return undefined;
  return resolve(context.baseDirectory, node.value);
}

/** The value an element stands for, or what is wrong with it. */
type ItemResult = { readonly value: string } | { readonly detail: string };

interface ItemKind {
  readonly allowed: string;
  read(text: string, context: ValueContext): ItemResult;
  /** Whether two equal elements are a mistake. */
  repeats(value: string): boolean;
}

/** A token of RFC 9110 §5.6.2; also the `pattern` of field names in the JSON Schema. */
export const FIELD_NAME_PATTERN = "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$";
const FIELD_NAME = new RegExp(FIELD_NAME_PATTERN);

const ITEMS: Readonly<Record<ListItem, ItemKind>> = {
  address: {
    allowed: ADDRESS_FORMS,
    read(text, context) {
      const address = parseListenAddress(text);
      if (address.type === "error") {
        return { detail: `found ${quote(text)}: ${address.detail}; allowed: ${ADDRESS_FORMS}` };
      }
      if (address.type === "tcp") return { value: formatListenAddress(address) };
      return { value: `unix:${resolve(context.baseDirectory, address.path)}` };
    },
    repeats: (value) => value.startsWith("unix:") || !value.endsWith(":0"),
  },
  pattern: {
    allowed: 'a host, a glob, an IP or a CIDR, each with an optional :port, such as "*.example.com:443"',
    read: readPattern,
    repeats: () => false,
  },
  sink: {
    allowed: 'the path of a file, "-" for standard output, or unix:/path',
    read(text, context) {
      if (text === "-") return { value: text };
      const unix = text.startsWith("unix:");
      const path = unix ? text.slice("unix:".length) : text;
      const scheme = unix ? undefined : /^([A-Za-z][A-Za-z0-9+.-]*):\/\//.exec(text)?.[1];
      if (path === "" || path.includes("\0") || path.length > PATH_CHARACTERS_MAX || scheme !== undefined) {
        const unknown = scheme === undefined ? "" : `: there are no ${scheme} sinks`;
        return { detail: `found ${quote(text)}${unknown}; allowed: ${this.allowed}` };
      }
      return { value: `${unix ? "unix:" : ""}${resolve(context.baseDirectory, path)}` };
    },
    repeats: () => true,
  },
  field_name: {
    allowed: "names of header fields",
    read(text) {
      if (FIELD_NAME.test(text)) return { value: text.toLowerCase() };
      return { detail: `found ${quote(text)}; allowed: the name of a header field, such as "authorization"` };
    },
    repeats: () => false,
  },
};

function readPattern(text: string): ItemResult {
  const pattern = parsePattern(text);
  return pattern.type === "error" ? { detail: pattern.detail } : { value: text.trim() };
}

function readList(
  descriptor: Extract<Descriptor, { type: "list" }>,
  node: ConfigNode,
  context: ValueContext,
): readonly string[] | undefined {
  const { minItems, maxItems } = descriptor;
  if (node.type !== "list" || node.items.length < minItems || node.items.length > maxItems) {
    context.report(
      node.line,
      descriptor.key,
      `found ${describeNode(node)}; allowed: ${allowedText(descriptor)}`,
    );
    return undefined;
  }
  const kind = ITEMS[descriptor.item];
  const values = readItems(descriptor.key, kind, node.items, context);
  if (values === undefined) return undefined;
  const repeated = values.findIndex((value, index) => kind.repeats(value) && values.indexOf(value) < index);
  if (repeated >= 0) {
    context.report(
      node.items[repeated]?.line ?? node.line,
      `${descriptor.key}[${repeated}]`,
      `${quote(values[repeated] ?? "")} is listed twice; name it once`,
    );
    return undefined;
  }
  return values;
}

function readItems(
  key: string,
  kind: ItemKind,
  items: readonly ConfigNode[],
  context: ValueContext,
): readonly string[] | undefined {
  const values: string[] = [];
  for (const [index, item] of items.entries()) {
    const result = item.type === "string"
      ? kind.read(item.value, context)
      : { detail: `found ${describeNode(item)}; allowed: ${kind.allowed}` };
    if ("value" in result) values.push(result.value);
    else context.report(item.line, `${key}[${index}]`, result.detail);
  }
  return values.length === items.length ? values : undefined;
}

const RULE_KEYS = [
  "id",
  "hosts",
  "ports",
  "paths",
  "methods",
  ...HELLO_CONDITIONS,
  "http3",
  "action",
] as const;
export const RULE_ID_CHARACTERS_MAX = 128;
export const RULE_HOSTS_MAX = 10_000;
export const RULE_PORTS_MAX = 1_024;
export const RULE_PATHS_MAX = 1_024;
export const RULE_METHODS_MAX = 64;
export const RULE_HELLO_MAX = 1_024;

function readTables<Value>(
  descriptor: Extract<Descriptor, { type: "rules" | "overrides" }>,
  node: ConfigNode,
  context: ValueContext,
  keys: readonly string[],
  read: (key: string, table: ConfigTable, context: ValueContext) => Value | undefined,
): readonly Value[] | undefined {
  if (node.type !== "list" || node.items.length > descriptor.maxItems) {
    context.report(
      node.line,
      descriptor.key,
      `found ${describeNode(node)}; allowed: ${allowedText(descriptor)}`,
    );
    return undefined;
  }
  const values: Value[] = [];
  for (const [index, item] of node.items.entries()) {
    const key = `${descriptor.key}[${index}]`;
    if (item.type !== "table") {
      context.report(item.line, key, `found ${describeNode(item)}; allowed: a table of ${keys.join(", ")}`);
      continue;
    }
    const value = read(key, item, context);
    if (value !== undefined) values.push(value);
  }
  return values.length === node.items.length ? values : undefined;
}

function readRule(key: string, table: ConfigTable, context: ValueContext): PolicyRule | undefined {
  let faults = 0;
  const refuse = (name: string, node: ConfigNode | undefined, allowed: string) => {
    faults++;
    reportIn(table, `${key}.${name}`, node, allowed, context);
  };
  if (!knowsKeys(key, table, RULE_KEYS, context)) faults++;
  const named = readNamed(key, table, context);

  const ports = table.entries.get("ports");
  const portNumbers: number[] = [];
  if (ports !== undefined) {
    const allowed = `a list of 1 to ${RULE_PORTS_MAX} whole numbers from 1 to 65535`;
    if (ports.type !== "list" || ports.items.length === 0 || ports.items.length > RULE_PORTS_MAX) {
      refuse("ports", ports, allowed);
    } else {
      for (const [index, port] of ports.items.entries()) {
        if (
          port.type === "number" && Number.isInteger(port.value) && port.value >= 1 && port.value <= 65_535
        ) {
          portNumbers.push(port.value);
        } else refuse(`ports[${index}]`, port, "a whole number from 1 to 65535");
      }
    }
  }

  const readTexts = (
    name: "paths" | "methods" | typeof HELLO_CONDITIONS[number],
    max: number,
    what: string,
    fault: (text: string) => string | null,
  ) => {
    const list = table.entries.get(name);
    if (list === undefined) return undefined;
    if (list.type !== "list" || list.items.length === 0 || list.items.length > max) {
      refuse(name, list, `a list of 1 to ${max}: ${what}`);
      return undefined;
    }
    return list.items.flatMap((item, index) => {
      if (item.type === "string" && fault(item.value) === null) return [item.value];
      refuse(`${name}[${index}]`, item, item.type === "string" ? `${fault(item.value)}` : what);
      return [];
    });
  };
  const paths = readTexts("paths", RULE_PATHS_MAX, "globs on the path such as /admin/*", pathFault);
  const methods = readTexts("methods", RULE_METHODS_MAX, "request methods such as POST", methodFault);
  const readHello = (name: typeof HELLO_CONDITIONS[number], what: string) =>
    readTexts(name, RULE_HELLO_MAX, what, (text) => helloFault(name, text));
  const sni = readHello("sni", "hosts and globs such as *.example.com");
  const ja4 = readHello("ja4", "JA4 fingerprints");
  const alpn = readHello("alpn", "protocol names such as h2");

  const http3 = table.entries.get("http3");
  const isHttp3 = http3?.type === "boolean" && http3.value;
  if (http3 !== undefined && http3.type !== "boolean") refuse("http3", http3, "true, false");

  const action = table.entries.get("action");
  const known = ACTIONS.find((candidate: Action) => action?.type === "string" && candidate === action.value);
  if (known === undefined) {
    refuse(
      "action",
      action,
      ACTIONS.map((candidate) => JSON.stringify(candidate)).join(", ") +
        (action?.type === "string" ? didYouMean(action.value, ACTIONS) : ""),
    );
  }

  if (isHttp3 && (paths !== undefined || methods !== undefined)) {
    refuse("http3", http3, "false with paths or methods: of what is passed through no request can be seen");
  }
  if (isHttp3 && known === "block") refuse("http3", http3, "false with the action block, which wins");

  if (faults > 0 || named === undefined || known === undefined) return undefined;
  return {
    ...named,
    ...(ports === undefined ? {} : { ports: portNumbers }),
    ...(paths === undefined ? {} : { paths }),
    ...(methods === undefined ? {} : { methods }),
    ...(sni === undefined ? {} : { sni }),
    ...(ja4 === undefined ? {} : { ja4 }),
    ...(alpn === undefined ? {} : { alpn }),
    ...(isHttp3 ? { http3: true } : {}),
    action: known,
  };
}

const OVERRIDE_SWITCHES = [
  "force_tunnel",
  "http3",
  "disable_h2",
  "skip_upstream_verify",
  "strip_alt_svc",
] as const;
const OVERRIDE_KEYS = [
  "id",
  "hosts",
  ...OVERRIDE_SWITCHES,
  "strict_headers",
  "profile",
  "client_cert",
  "client_key",
] as const;

function readOverride(key: string, table: ConfigTable, context: ValueContext): HostOverride | undefined {
  let faults = 0;
  const refuse = (name: string, node: ConfigNode | undefined, allowed: string) => {
    faults++;
    reportIn(table, `${key}.${name}`, node, allowed, context);
  };
  if (!knowsKeys(key, table, OVERRIDE_KEYS, context)) faults++;
  const named = readNamed(key, table, context);
  const readSwitch = (name: typeof OVERRIDE_SWITCHES[number] | "strict_headers", otherwise: boolean) => {
    const node = table.entries.get(name);
    if (node !== undefined && node.type !== "boolean") refuse(name, node, "true, false");
    return node?.type === "boolean" ? node.value : otherwise;
  };
  const [forceTunnel, http3, disableH2, skipUpstreamVerify, stripAltSvc] = OVERRIDE_SWITCHES.map((name) =>
    readSwitch(name, false)
  );
  const strictHeaders = readSwitch("strict_headers", true);
  const wanted = table.entries.get("profile");
  const profile = TLS_PROFILES.find((known) => wanted?.type === "string" && known === wanted.value) ?? null;
  if (wanted !== undefined && profile === null) {
    refuse("profile", wanted, TLS_PROFILES.map((known) => JSON.stringify(known)).join(", "));
  }
  if (faults > 0 || named === undefined) return undefined;
  const [clientCert, clientKey] = (["client_cert", "client_key"] as const).map((name) => {
    const node = table.entries.get(name);
    const path = node === undefined ? undefined : readPath(node, context);
    if (node !== undefined && path === undefined) refuse(name, node, "the path of a file");
    return path;
  });
  if (faults > 0) return undefined;
  if ((clientCert === undefined) !== (clientKey === undefined)) {
    return context.report(
      table.line,
      key,
      "found one of client_cert and client_key alone; allowed: both or neither",
    );
  }
  const others = disableH2 || skipUpstreamVerify || stripAltSvc || !strictHeaders || profile !== null ||
    clientCert !== undefined;
  if (!forceTunnel && !http3 && !others) {
    return context.report(
      table.line,
      key,
      `it overrides nothing; allowed: one of ${OVERRIDE_KEYS.slice(2).join(", ")}`,
    );
  }
  if ((forceTunnel || http3) && (others || (forceTunnel && http3))) {
    return context.report(
      table.line,
      key,
      `found ${http3 ? "http3" : "force_tunnel"} beside others, which a tunnel leaves nothing to do`,
    );
  }
  return {
    ...named,
    forceTunnel: forceTunnel === true,
    http3: http3 === true,
    disableH2: disableH2 === true,
    skipUpstreamVerify: skipUpstreamVerify === true,
    stripAltSvc: stripAltSvc === true,
    strictHeaders,
    ...(clientCert === undefined || clientKey === undefined ? {} : { clientCert, clientKey }),
    profile,
  };
}

function reportIn(
  table: ConfigTable,
  key: string,
  node: ConfigNode | undefined,
  allowed: string,
  context: ValueContext,
): void {
  const found = node === undefined ? "it is missing" : `found ${describeNode(node)}`;
  context.report(node?.line ?? table.line, key, `${found}; allowed: ${allowed}`);
}

function knowsKeys(key: string, table: ConfigTable, keys: readonly string[], context: ValueContext): boolean {
  const unknown = [...table.entries].filter(([name]) => !keys.includes(name));
  for (const [name, node] of unknown) {
    context.report(node.line, `${key}.${name}`, `unknown key${didYouMean(name, keys)}`);
  }
  return unknown.length === 0;
}

/** What every table of a list begins with: its own name, and the hosts it is about. */
function readNamed(
  key: string,
  table: ConfigTable,
  context: ValueContext,
): { readonly id: string; readonly hosts: readonly string[] } | undefined {
  const id = table.entries.get("id");
  const idText = id?.type === "string" ? id.value : "";
  const idFits = idText !== "" && idText.length <= RULE_ID_CHARACTERS_MAX;
  if (!idFits) {
    reportIn(table, `${key}.id`, id, `a text of 1 to ${RULE_ID_CHARACTERS_MAX} characters`, context);
  }
  const list = table.entries.get("hosts");
  let hosts: readonly string[] | undefined;
  if (list?.type !== "list" || list.items.length === 0 || list.items.length > RULE_HOSTS_MAX) {
    const allowed = `a list of 1 to ${RULE_HOSTS_MAX}: ${ITEMS.pattern.allowed}`;
    reportIn(table, `${key}.hosts`, list, allowed, context);
  } else hosts = readItems(`${key}.hosts`, ITEMS.pattern, list.items, context);
  return idFits && hosts !== undefined ? { id: idText, hosts } : undefined;
}
