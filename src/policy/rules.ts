/**
 * Question → Decision, by configuration: rules in their order, first match wins; then `block_hosts`; then
 * `ignore_hosts`, so that block wins over tunnel; then the default. A question with a name from the
 * ClientHello is about two hosts, and a pattern speaks of it when it matches either: that is how
 * `*.example.com` reaches a client that connects to an address.
 *
 * A rule with paths or methods speaks of requests alone: a CONNECT has neither, so it is not matched by it. One
 * about ClientHellos is matched once there is one, by the host of the CONNECT or the name in the hello.
 *
 * Compiled once, because it is asked for every flow and, where a rule names paths or methods, for every
 * request: hosts and suffixes are looked up by hash, networks by hash for each prefix length in use; only
 * globs with a `*` elsewhere are tried one after the other, and the paths of rules whose host matches.
 */
import type { Decision, HelloFacts, Question } from "../core/session.ts";
import type { PolicyRule, Settings } from "../core/settings.ts";
import { helloFault, HelloFilter } from "./hello.ts";
import { type Subject, subjectOf } from "./host.ts";
import { comparablePath, matchesPath, methodFault, parsePathGlob, pathFault, type PathGlob } from "./path.ts";
import { matchesHost, NAME_LENGTH_MAX, networkBits, parsePattern, type Pattern } from "./pattern.ts";

export type Policy = (question: Question) => Decision;

export type CompiledPolicy =
  | {
    readonly type: "policy";
    readonly policy: Policy;
    /** A rule names paths or methods, so that single requests have to be asked about. */
    readonly decidesRequests: boolean;
    /** A rule is about ClientHellos, so that they have to be asked about. */
    readonly decidesHellos: boolean;
  }
  | { readonly type: "error"; readonly detail: string };

/** An error names the key and the pattern: `policy.rules[2].hosts[0] (rule "corp"): …`. */
export function compilePolicy(settings: Settings["policy"]): CompiledPolicy {
  const index = new PatternIndex();
  const helloIndex = new PatternIndex();
  const requestBlocks = new PatternIndex();
  const decisions: Decision[] = [];
  const ids = new Set<string>();
  for (const [at, rule] of settings.rules.entries()) {
    const where = `policy.rules[${at}]`;
    const detail = ruleFault(rule, ids);
    if (detail !== null) return { type: "error", detail: `${where}: ${detail}` };
    ids.add(rule.id);
    const hello = HelloFilter.of(rule);
    const fault = (hello === null ? index : helloIndex).addAll(
      rule.hosts,
      {
        rank: decisions.length,
        ports: rule.ports === undefined ? null : new Set(rule.ports),
        requests: requestFilter(rule),
        hello,
      },
      `${where}.hosts`,
      ` (rule "${rule.id}")`,
    );
    if (fault !== null) return { type: "error", detail: fault };
    if (rule.action === "block" && requestFilter(rule) !== null) {
      const ports = rule.ports === undefined ? null : new Set(rule.ports);
      requestBlocks.addAll(rule.hosts, { ...listEntry(0), ports }, where, "");
    }
    decisions.push(decisionOf(rule, hello !== null));
  }
  const blockFault = index.addAll(settings.blockHosts, listEntry(decisions.length), "policy.block_hosts", "");
  if (blockFault !== null) return { type: "error", detail: blockFault };
  decisions.push(Object.freeze({ action: "block", reason: "block_host", ruleId: null }));
  const ignoreFault = index.addAll(
    settings.ignoreHosts,
    listEntry(decisions.length),
    "policy.ignore_hosts",
    "",
  );
  if (ignoreFault !== null) return { type: "error", detail: ignoreFault };
  decisions.push(Object.freeze({ action: "tunnel", reason: "ignore_host", ruleId: null }));
  const fallback: Decision = Object.freeze({ action: settings.default, reason: "default", ruleId: null });
  const blocksRequests = settings.rules.some((rule) =>
    rule.action === "block" && requestFilter(rule) !== null
  );
  return {
    type: "policy",
    decidesRequests: settings.rules.some(({ paths, methods }) =>
      paths !== undefined || methods !== undefined
    ),
    decidesHellos: settings.rules.some((rule) => HelloFilter.of(rule) !== null),
    policy: (question) => {
      const { authority: { host, port }, sni, hello } = question;
      const asked = new Asked(port, question);
      let rank = index.firstMatch(host, asked);
      if (sni !== null) rank = Math.min(rank, index.firstMatch(sni, asked));
      if (hello !== undefined) {
        for (const name of new Set([host, sni ?? host, hello.connectHost])) {
          rank = Math.min(rank, helloIndex.firstMatch(name, asked));
        }
      }
      const decision = decisions[rank] ?? fallback;
      const plain = decision.prior ?? decision;
      // Whole connections are HTTP/3; a request that can be seen is none.
      if (question.path !== null) return plain;
      if (!blocksRequests || plain.action !== "intercept") return decision;
      const names = [host, sni ?? host, hello?.connectHost ?? host];
      if (names.every((name) => requestBlocks.firstMatch(name, asked) === NO_MATCH)) return decision;
      const marked: Decision = { ...plain, blocksRequests: true };
      return decision.prior === undefined ? marked : { ...decision, prior: marked };
    },
  };
}

function decisionOf({ id, action, http3 }: PolicyRule, onHello: boolean): Decision {
  const plain: Decision = { action, reason: "rule", ruleId: id };
  const prior: Decision = Object.freeze(onHello ? { ...plain, onHello: true } : plain);
  if (http3 !== true) return prior;
  return Object.freeze({ action: "tunnel", reason: "http3", ruleId: id, prior, http3By: "rule" });
}

export const HELLO_CONDITIONS = ["sni", "ja4", "alpn"] as const;

function ruleFault(rule: PolicyRule, ids: ReadonlySet<string>): string | null {
  if (rule.id === "") return "the id is empty; give each rule a name of its own, it appears in the event log";
  if (ids.has(rule.id)) return `the id "${rule.id}" is used by an earlier rule; ids must differ`;
  if (rule.hosts.length === 0) {
    return `rule "${rule.id}" has no hosts and would never match; write ["*"] for all`;
  }
  for (const name of ["ports", "paths", "methods", ...HELLO_CONDITIONS] as const) {
    if (rule[name]?.length !== 0) continue;
    return `rule "${rule.id}" has an empty list of ${name} and would never match; leave ${name} out for all`;
  }
  if (rule.http3 === true && (rule.paths ?? rule.methods) !== undefined) {
    return `rule "${rule.id}" is about requests, and what is passed through as HTTP/3 has none that can be seen`;
  }
  if (rule.http3 === true && rule.action === "block") {
    return `rule "${rule.id}" blocks, so that nothing passes through as HTTP/3; leave http3 out`;
  }
  for (const path of rule.paths ?? []) {
    const fault = pathFault(path);
    if (fault !== null) return `rule "${rule.id}" has the path ${JSON.stringify(path)}; allowed: ${fault}`;
  }
  for (const method of rule.methods ?? []) {
    const fault = methodFault(method);
    if (fault !== null) {
      return `rule "${rule.id}" has the method ${JSON.stringify(method)}; allowed: ${fault}`;
    }
  }
  for (const name of HELLO_CONDITIONS) {
    for (const text of rule[name] ?? []) {
      const fault = helloFault(name, text);
      if (fault !== null) {
        return `rule "${rule.id}" has the ${name} ${JSON.stringify(text)}; allowed: ${fault}`;
      }
    }
  }
  for (const port of rule.ports ?? []) {
    if (!Number.isInteger(port) || port < 1 || port > 65_535) {
      return `rule "${rule.id}" has the port ${port}; a port is a number from 1 to 65535`;
    }
  }
  return null;
}

/** Which requests a rule speaks of. */
interface RequestFilter {
  readonly methods: ReadonlySet<string> | null;
  /** Null: any path. */
  readonly paths: { readonly exact: ReadonlySet<string>; readonly globs: readonly PathGlob[] } | null;
}

function requestFilter({ paths, methods }: PolicyRule): RequestFilter | null {
  if (paths === undefined && methods === undefined) return null;
  const globs = paths?.map(parsePathGlob);
  return {
    methods: methods === undefined ? null : new Set(methods),
    paths: globs === undefined ? null : {
      exact: new Set(globs.filter((glob) => glob.length === 1).map(([path]) => path)),
      globs: globs.filter((glob) => glob.length > 1),
    },
  };
}

/** What a question is about beside the host; the path is brought into its one spelling where a rule needs it. */
class Asked {
  #path: string | null = null;

  get hello(): HelloFacts | undefined {
    return this.question.hello;
  }

  constructor(readonly port: number, private readonly question: Question) {}

  isAmong({ methods, paths }: RequestFilter): boolean {
    const { method, path } = this.question;
    if (path === null || (methods !== null && !methods.has(method))) return false;
    if (paths === null) return true;
    const comparable = this.#path ??= comparablePath(path);
    return paths.exact.has(comparable) || paths.globs.some((glob) => matchesPath(glob, comparable));
  }
}

/** What an entry asks for beside the host. `rank` is the place of its decision, lower wins. */
interface Conditions {
  readonly rank: number;
  readonly ports: ReadonlySet<number> | null;
  /** Null: CONNECT and every request. */
  readonly requests: RequestFilter | null;
  readonly hello: HelloFilter | null;
}

function listEntry(rank: number): Conditions {
  return { rank, ports: null, requests: null, hello: null };
}

/** One pattern in its place. */
interface Entry extends Conditions {
  readonly pattern: Pattern;
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
    conditions: Conditions,
    where: string,
    note: string,
  ): string | null {
    for (const [at, text] of texts.entries()) {
      const pattern = parsePattern(text);
      if (pattern.type === "error") return `${where}[${at}]${note}: ${pattern.detail}`;
      this.#bucket(pattern).push({ ...conditions, pattern });
    }
    return null;
  }

  /** The lowest rank of all patterns that match. */
  firstMatch(host: string, asked: Asked): number {
    const subject = subjectOf(host);
    const rank = firstFor(asked, this.#any, NO_MATCH);
    return this.#firstGlob(subject, asked, this.#firstIndexed(subject, asked, rank));
  }

  #firstIndexed({ host, address }: Subject, asked: Asked, known: number): number {
    let rank = known;
    if (address !== null) {
      for (const [prefix, entries] of this.#networks[address.family]) {
        rank = firstFor(asked, entries.get(networkBits(address, prefix)), rank);
      }
      return rank;
    }
    rank = firstFor(asked, this.#hosts.get(host), rank);
    if (this.#suffixes.size === 0) return rank;
    // Longer suffixes do not exist, so a host of any length costs at most 127 look-ups.
    let at = host.length <= NAME_LENGTH_MAX ? 0 : host.indexOf(".", host.length - NAME_LENGTH_MAX - 1) + 1;
    if (at === 0 && host.length > NAME_LENGTH_MAX) return rank;
    do {
      rank = firstFor(asked, this.#suffixes.get(at === 0 ? host : host.slice(at)), rank);
      at = host.indexOf(".", at) + 1;
    } while (at > 0);
    return rank;
  }

  #firstGlob(subject: Subject, asked: Asked, known: number): number {
    for (const entry of this.#globs) {
      if (entry.rank >= known) break;
      if (matchesHost(entry.pattern, subject) && applies(entry, asked)) return entry.rank;
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

/** The rank of the first entry that applies, if it is lower than what is known already. */
function firstFor(asked: Asked, entries: readonly Entry[] | undefined, known: number): number {
  if (entries === undefined) return known;
  for (const entry of entries) {
    if (entry.rank >= known) break;
    if (applies(entry, asked)) return entry.rank;
  }
  return known;
}

function applies({ pattern, ports, requests, hello }: Entry, asked: Asked): boolean {
  return (pattern.port === null || pattern.port === asked.port) &&
    (ports === null || ports.has(asked.port)) &&
    (requests === null || asked.isAmong(requests)) &&
    (hello === null || (asked.hello !== undefined && hello.matches(asked.hello)));
}
