/**
 * PATTERN: which authorities a rule, a list or an option speaks of.
 *
 * | written | matches |
 * | --- | --- |
 * | `api.example.com` | that host |
 * | `*.example.com` | `example.com` and every name below it, at any depth |
 * | `api-*.example.com`, `example.*` | elsewhere `*` stands for any characters, also none, within one label |
 * | `*` | everything |
 * | `192.0.2.7`, `2001:db8::1` | that address, however it is spelled; `::ffff:192.0.2.7` is `192.0.2.7` |
 * | `192.0.2.0/24`, `2001:db8::/32` | that network; bits beyond the prefix do not matter |
 * | `192.0.2.*` | four parts, each a number or `*` |
 *
 * Each with an optional `:port`; IPv6 then in brackets: `[::1]:8443`, `[2001:db8::]/32:443` or
 * `[2001:db8::/32]:443`. Case, a trailing dot and the form of an IDN (U- or A-labels) do not matter.
 * Names are never resolved: a pattern for an address matches only where the client asked for an address.
 */
import type { Authority } from "../core/authority.ts";
import { type Address, canonicalName, parseIpv4, parseIpv6, type Subject, subjectOf } from "./host.ts";

export type Pattern = HostPattern & {
  /** Null: any port. */
  readonly port: number | null;
};

type HostPattern =
  | { readonly type: "any" }
  | { readonly type: "host"; readonly host: string }
  /** The name and everything below it. */
  | { readonly type: "suffix"; readonly suffix: string }
  /** `address`: the labels are the four parts of an IPv4 address. */
  | {
    readonly type: "glob";
    readonly labels: readonly string[];
    readonly anyDepth: boolean;
    readonly address: boolean;
  }
  /** `bits` are the leading `prefix` bits. */
  | { readonly type: "network"; readonly family: 4 | 6; readonly prefix: number; readonly bits: bigint };

export interface PatternError {
  readonly type: "error";
  readonly detail: string;
}

export function parsePattern(text: string): Pattern | PatternError {
  const trimmed = text.trim();
  if (trimmed === "") {
    return error(text, "is empty", "write a host, a glob such as *.example.com, an IP or a CIDR");
  }
  if (trimmed.length > PATTERN_LENGTH_MAX) {
    return error(
      trimmed.slice(0, 40) + "…",
      `has ${trimmed.length} characters`,
      "host names have at most 253",
    );
  }
  if (trimmed.includes("://")) {
    return error(trimmed, "is a URL", "write only its host, or host:port");
  }
  const split = splitPort(trimmed);
  if (split.type === "error") return split;
  const host = parseHostPattern(split.host, split.bracketed, trimmed);
  return host.type === "error" ? host : { ...host, port: split.port };
}

export function matches(pattern: Pattern, authority: Authority): boolean {
  return (pattern.port === null || pattern.port === authority.port) &&
    matchesHost(pattern, subjectOf(authority.host));
}

/** Without the port. */
export function matchesHost(pattern: Pattern, { host, address }: Subject): boolean {
  switch (pattern.type) {
    case "any":
      return true;
    case "host":
      return address === null && host === pattern.host;
    case "suffix":
      return address === null &&
        (host === pattern.suffix ||
          host.endsWith(pattern.suffix) && host.at(-pattern.suffix.length - 1) === ".");
    case "glob":
      return pattern.address === (address !== null) && matchesLabels(pattern, host.split("."));
    case "network":
      return address !== null && address.family === pattern.family &&
        networkBits(address, pattern.prefix) === pattern.bits;
  }
}

/** The leading `prefix` bits. */
export function networkBits(address: Address, prefix: number): bigint {
  return address.value >> BigInt(addressBits(address.family) - prefix);
}

/** RFC 1035 §2.3.4, without the root label. */
export const NAME_LENGTH_MAX = 253;
const LABEL_LENGTH_MAX = 63;
const PATTERN_LENGTH_MAX = 512;

type Split =
  | {
    readonly type: "split";
    readonly host: string;
    readonly port: number | null;
    readonly bracketed: boolean;
  }
  | PatternError;

function splitPort(text: string): Split {
  if (text.startsWith("[")) {
    const parts = /^\[([^\]]*)\](\/[0-9]+)?(?::(.*))?$/.exec(text);
    if (parts === null) return error(text, "has unmatched brackets", "write [2001:db8::1]:443");
    return withPort(text, parts[1]! + (parts[2] ?? ""), parts[3], true);
  }
  const colon = text.indexOf(":");
  // More than one colon outside brackets is an IPv6 address, which then has no port.
  if (colon === -1 || text.includes(":", colon + 1)) {
    return { type: "split", host: text, port: null, bracketed: false };
  }
  return withPort(text, text.slice(0, colon), text.slice(colon + 1), false);
}

function withPort(text: string, host: string, port: string | undefined, bracketed: boolean): Split {
  if (port === undefined) return { type: "split", host, port: null, bracketed };
  const number = /^[0-9]{1,5}$/.test(port) ? Number(port) : 0;
  if (number < 1 || number > 65_535) {
    return error(text, `has the port ${JSON.stringify(port)}`, "a port is a number from 1 to 65535");
  }
  return { type: "split", host, port: number, bracketed };
}

function parseHostPattern(host: string, bracketed: boolean, text: string): HostPattern | PatternError {
  if (host === "") return error(text, "has no host", "write *:443 for every host at a port");
  if (host === "*" && !bracketed) return { type: "any" };
  if (host.includes("/")) return parseNetwork(host, text);
  if (bracketed || host.includes(":")) {
    const address = parseIpv6(host);
    if (address === null) {
      return error(text, "is not an IPv6 address", "write 2001:db8::1 or [2001:db8::1]:443");
    }
    return wholeAddress(address);
  }
  return host.includes("*") ? parseGlob(host, text) : parseName(host, text);
}

function parseNetwork(host: string, text: string): HostPattern | PatternError {
  const [left, right, ...rest] = host.split("/");
  const ipv4 = parseIpv4(left!);
  const written: 4 | 6 = ipv4 === null ? 6 : 4;
  const address: Address | null = ipv4 === null ? parseIpv6(left!) : { family: 4, value: ipv4 };
  if (address === null || rest.length > 0) {
    return error(
      text,
      "is neither a host nor a network",
      "paths are no part of a pattern; a network is 10.0.0.0/8",
    );
  }
  const prefix = /^[0-9]{1,3}$/.test(right!) ? Number(right) : -1;
  if (prefix < 0 || prefix > addressBits(written)) {
    return error(
      text,
      `has the prefix length ${JSON.stringify(right)}`,
      `allowed is 0 to ${addressBits(written)}`,
    );
  }
  if (written === address.family) return network(address, prefix);
  // IPv4-mapped: a network of IPv4 addresses when the prefix reaches into them, else of IPv6 ones.
  if (prefix >= 96) return network(address, prefix - 96);
  return network({ family: 6, value: 0xffffn << 32n | address.value }, prefix);
}

function network(address: Address, prefix: number): HostPattern {
  return { type: "network", family: address.family, prefix, bits: networkBits(address, prefix) };
}

function wholeAddress(address: Address): HostPattern {
  return network(address, addressBits(address.family));
}

function parseName(host: string, text: string): HostPattern | PatternError {
  const name = canonicalName(host);
  const labels = name?.split(".") ?? [];
  if (name === null || name.length > NAME_LENGTH_MAX || !labels.every((label) => isLabel(label))) {
    return notAHost(text);
  }
  if (!endsInNumber(labels)) return { type: "host", host: name };
  const value = parseIpv4(name);
  if (value === null) {
    return error(text, "ends in a number but is no IPv4 address", "write four numbers: 192.0.2.7");
  }
  return wholeAddress({ family: 4, value });
}

function parseGlob(host: string, text: string): HostPattern | PatternError {
  if (host.includes("**")) {
    return error(text, "has **", "*.example.com already means example.com and everything below it");
  }
  const labels: string[] = [];
  for (const label of (host.endsWith(".") ? host.slice(0, -1) : host).split(".")) {
    const canonical = label.includes("*") ? label.toLowerCase() : canonicalName(label);
    if (canonical === null || !isLabel(canonical.replaceAll("*", "x"))) return notAHost(text);
    labels.push(canonical);
  }
  const numbers = labels.filter((label) => /^[0-9]+$/.test(label)).length;
  const onlyStars = labels.every((label) => label === "*" || /^[0-9]+$/.test(label));
  if (numbers > 0 && onlyStars) {
    if (
      labels.length === 4 && labels.every((label) => label === "*" || parseIpv4(`${label}.0.0.0`) !== null)
    ) {
      return { type: "glob", labels, anyDepth: false, address: true };
    }
    return error(
      text,
      "is no pattern for addresses",
      "write four parts (10.0.0.*) or a network (10.0.0.0/8)",
    );
  }
  if (endsInNumber(labels)) {
    return error(text, "ends in a number, as no host name does", "for addresses write a network: 10.0.0.0/8");
  }
  const anyDepth = labels[0] === "*" && labels.length > 1;
  const fixed = anyDepth ? labels.slice(1) : labels;
  if (anyDepth && fixed.every((label) => !label.includes("*"))) {
    const suffix = fixed.join(".");
    return suffix.length > NAME_LENGTH_MAX ? notAHost(text) : { type: "suffix", suffix };
  }
  return { type: "glob", labels: fixed, anyDepth, address: false };
}

function notAHost(text: string): PatternError {
  return error(
    text,
    "is not a host",
    "labels are letters, digits, hyphens and underscores, 1 to 63 of them, 253 characters in all",
  );
}

function isLabel(label: string): boolean {
  return /^[a-z0-9_-]{1,63}$/.test(label);
}

/** Such a name is an IPv4 address or nothing (WHATWG URL, "ends in a number"). */
function endsInNumber(labels: readonly string[]): boolean {
  return /^(?:[0-9]+|0x[0-9a-f]*)$/.test(labels[labels.length - 1]!);
}

function matchesLabels(
  { labels, anyDepth }: { readonly labels: readonly string[]; readonly anyDepth: boolean },
  found: readonly string[],
): boolean {
  const skipped = found.length - labels.length;
  if (skipped < 0 || skipped > 0 && !anyDepth) return false;
  return labels.every((label, index) => matchesLabel(label, found[skipped + index]!));
}

/**
 * `*` takes as little as it can; on a mismatch the last one takes a character more. At most 63 × 63 steps:
 * no resolver knows longer labels.
 */
function matchesLabel(glob: string, label: string): boolean {
  if (label.length > LABEL_LENGTH_MAX) return false;
  let at = 0;
  let inGlob = 0;
  let star = -1;
  let starAt = 0;
  while (at < label.length) {
    if (glob[inGlob] === "*") {
      star = inGlob++;
      starAt = at;
    } else if (glob[inGlob] === label[at]) {
      inGlob++;
      at++;
    } else if (star !== -1) {
      inGlob = star + 1;
      at = ++starAt;
    } else {
      return false;
    }
  }
  while (glob[inGlob] === "*") inGlob++;
  return inGlob === glob.length;
}

function addressBits(family: 4 | 6): number {
  return family === 4 ? 32 : 128;
}

function error(text: string, found: string, mend: string): PatternError {
  return { type: "error", detail: `the pattern ${JSON.stringify(text)} ${found}; ${mend}` };
}
