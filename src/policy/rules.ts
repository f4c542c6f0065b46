/**
 * Question → Decision, by configuration: rules in their order, first match wins; then `block_hosts`; then
 * `ignore_hosts`, so that block wins over tunnel; then the default. A question with a name from the
 * ClientHello is about two hosts, and a pattern speaks of it when it matches either: that is how
 * `*.example.com` reaches a client that connects to an address.
 *
 * Compiled once, because it is asked for every flow and every plain-HTTP request: hosts and suffixes are
 * looked up by hash, networks by hash for each prefix length in use; only globs with a `*` elsewhere are
 * tried one after the other.
 */
import type { Decision, Question } from "../core/session.ts";
import type { PolicyRule, Settings } from "../core/settings.ts";
import { type Subject, subjectOf } from "./host.ts";
import { matchesHost, NAME_LENGTH_MAX, networkBits, parsePattern, type Pattern } from "./pattern.ts";

export type Policy = (question: Question) => Decision;

export type CompiledPolicy =
  | { readonly type: "policy"; readonly policy: Policy }
  | { readonly type: "error"; readonly detail: string };

/** An error names the key and the pattern: `policy.rules[2].hosts[0] (rule "corp"): …`. */
export function compilePolicy(settings: Settings["policy"]): CompiledPolicy {
  const index = new PatternIndex();
  const decisions: Decision[] = [];
  const ids = new Set<string>();
  for (const [at, rule] of settings.rules.entries()) {
    const where = `policy.rules[${at}]`;
    const detail = ruleFault(rule, ids);
    if (detail !== null) return { type: "error", detail: `${where}: ${detail}` };
    ids.add(rule.id);
    const ports = rule.ports === undefined ? null : new Set(rule.ports);
    const fault = index.addAll(rule.hosts, decisions.length, ports, `${where}.hosts`, ` (rule "${rule.id}")`);
    if (fault !== null) return { type: "error", detail: fault };
    decisions.push(Object.freeze({ action: rule.action, reason: "rule", ruleId: rule.id }));
  }
  const blockFault = index.addAll(settings.blockHosts, decisions.length, null, "policy.block_hosts", "");
  if (blockFault !== null) return { type: "error", detail: blockFault };
  decisions.push(Object.freeze({ action: "block", reason: "block_host", ruleId: null }));
  const ignoreFault = index.addAll(settings.ignoreHosts, decisions.length, null, "policy.ignore_hosts", "");
  if (ignoreFault !== null) return { type: "error", detail: ignoreFault };
  decisions.push(Object.freeze({ action: "tunnel", reason: "ignore_host", ruleId: null }));
  const fallback: Decision = Object.freeze({ action: settings.default, reason: "default", ruleId: null });
  return {
    type: "policy",
    policy: ({ authority: { host, port }, sni }) => {
      const rank = index.firstMatch(host, port);
      return decisions[sni === null ? rank : Math.min(rank, index.firstMatch(sni, port))] ?? fallback;
    },
  };
}

function ruleFault(rule: PolicyRule, ids: ReadonlySet<string>): string | null {
  if (rule.id === "") return "the id is empty; give each rule a name of its own, it appears in the event log";
  if (ids.has(rule.id)) return `the id "${rule.id}" is used by an earlier rule; ids must differ`;
  if (rule.hosts.length === 0) {
    return `rule "${rule.id}" has no hosts and would never match; write ["*"] for all`;
  }
  if (rule.ports === undefined) return null;
  if (rule.ports.length === 0) {
    return `rule "${rule.id}" has an empty list of ports and would never match; leave ports out for all`;
  }
  for (const port of rule.ports) {
    if (!Number.isInteger(port) || port < 1 || port > 65_535) {
      return `rule "${rule.id}" has the port ${port}; a port is a number from 1 to 65535`;
    }
  }
  return null;
}

/** One pattern in its place: `rank` is the place of its decision, lower wins. */
interface Entry {
  readonly rank: number;
  readonly pattern: Pattern;
  readonly ports: ReadonlySet<number> | null;
}

const NO_MATCH = Number.MAX_SAFE_INTEGER;

/** Every list of entries is in the order of rank, because patterns are added in that order. */
class PatternIndex {
  #any: Entry[] = [];
  #hosts = new Map<string, Entry[]>();
  #suffixes = new Map<string, Entry[]>();
  #globs: Entry[] = [];
  #networks = { 4: new Map<number, Map<bigint, Entry[]>>(), 6: new Map<number, Map<bigint, Entry[]>>() };

  /** Gives what is wrong with the first bad pattern, or null. */
  addAll(
    texts: readonly string[],
    rank: number,
    ports: ReadonlySet<number> | null,
    where: string,
    note: string,
  ): string | null {
    for (const [at, text] of texts.entries()) {
      const pattern = parsePattern(text);
      if (pattern.type === "error") return `${where}[${at}]${note}: ${pattern.detail}`;
      this.#bucket(pattern).push({ rank, pattern, ports });
    }
    return null;
  }

  /** The lowest rank of all patterns that match. */
  firstMatch(host: string, port: number): number {
    const subject = subjectOf(host);
    const rank = firstForPort(this.#any, port, NO_MATCH);
    return this.#firstGlob(subject, port, this.#firstIndexed(subject, port, rank));
  }

  #firstIndexed({ host, address }: Subject, port: number, known: number): number {
    let rank = known;
    if (address !== null) {
      for (const [prefix, entries] of this.#networks[address.family]) {
        rank = firstForPort(entries.get(networkBits(address, prefix)), port, rank);
      }
      return rank;
    }
    rank = firstForPort(this.#hosts.get(host), port, rank);
    if (this.#suffixes.size === 0) return rank;
    // Longer suffixes do not exist, so a host of any length costs at most 127 look-ups.
    let at = host.length <= NAME_LENGTH_MAX ? 0 : host.indexOf(".", host.length - NAME_LENGTH_MAX - 1) + 1;
    if (at === 0 && host.length > NAME_LENGTH_MAX) return rank;
    do {
      rank = firstForPort(this.#suffixes.get(at === 0 ? host : host.slice(at)), port, rank);
      at = host.indexOf(".", at) + 1;
    } while (at > 0);
    return rank;
  }

  #firstGlob(subject: Subject, port: number, known: number): number {
    for (const entry of this.#globs) {
      if (entry.rank >= known) break;
      if (isForPort(entry, port) && matchesHost(entry.pattern, subject)) return entry.rank;
    }
    return known;
  }

  #bucket(pattern: Pattern): Entry[] {
    switch (pattern.type) {
      case "any":
        return this.#any;
      case "host":
        return bucketOf(this.#hosts, pattern.host);
      case "suffix":
        return bucketOf(this.#suffixes, pattern.suffix);
      case "glob":
        return this.#globs;
      case "network": {
        const networks = this.#networks[pattern.family];
        let entries = networks.get(pattern.prefix);
        if (entries === undefined) networks.set(pattern.prefix, entries = new Map());
        return bucketOf(entries, pattern.bits);
      }
    }
  }
}

function bucketOf<Key>(buckets: Map<Key, Entry[]>, key: Key): Entry[] {
  let bucket = buckets.get(key);
  if (bucket === undefined) buckets.set(key, bucket = []);
  return bucket;
}

/** The rank of the first entry for this port, if it is lower than what is known already. */
function firstForPort(entries: readonly Entry[] | undefined, port: number, known: number): number {
  if (entries === undefined) return known;
  for (const entry of entries) {
    if (entry.rank >= known) break;
    if (isForPort(entry, port)) return entry.rank;
  }
  return known;
}

function isForPort({ pattern, ports }: Entry, port: number): boolean {
  return (pattern.port === null || pattern.port === port) && (ports === null || ports.has(port));
}
