/**
 * `tidy` holds the code base to its own design: who may import whom, what may not be ambient, which files may
 * exist, and that each source file has a test. Run by `deno task check`.
 *
 * The rules look at tokens (see `source_tokens.ts` for what that can and cannot know). Each finding says where,
 * what was found and what is allowed. There is no comment that silences a rule; the exceptions are the tables
 * below, each with its reason.
 */
import { type Reference, references, type Token, tokenize, UnreadableSource } from "./source_tokens.ts";

/** `src` folders from the bottom up; a file imports from its own folder and from lower ranks only. */
export const FOLDER_RANKS: { readonly [folder: string]: number } = {
  core: 0,
  log: 1,
  http: 2,
  http1: 3,
  http2: 3,
  tls: 4,
  observe: 5,
  policy: 6,
  proxy: 7,
  runtime: 8,
  sim: 9,
  cli: 10,
};

/** Folders that may touch the world. All others are synchronous functions of their arguments. */
const WORLDLY = new Set(["runtime", "sim", "cli"]);

/** Names that reach time, randomness, the system or the event loop. */
const AMBIENT = new Set(
  [
    "Date Temporal performance crypto Deno process globalThis self window navigator console fetch require eval",
    "setTimeout setInterval setImmediate clearTimeout clearInterval clearImmediate queueMicrotask",
    "async await Promise Worker WebSocket EventSource BroadcastChannel MessageChannel AbortSignal Atomics",
    "localStorage sessionStorage alert confirm prompt",
  ].join(" ").split(" "),
);
/** In the simulator time and chance come from the seed; only its command, `main.ts`, knows the real clock. */
const AMBIENT_IN_SIM = new Set(
  "Date Temporal performance setTimeout setInterval setImmediate crypto".split(" "),
);

/** Packages below `runtime`, by folder. All of them are functions of their arguments as they are used there. */
const PURE_PACKAGES: { readonly [folder: string]: readonly string[] } = {
  log: ["@std/fmt/colors"],
  observe: ["eventsource-parser", "msgpackr", "brotli/dec/context.js", "brotli/dec/dictionary.bin.js"],
  // In parts, because the start of the proxy should not wait for the whole of it.
  tls: ["asn1", "hmac", "pem", "pkcs12", "util"].map((part) => `node-forge/lib/${part}.js`),
};
/** The one platform module that is data and not I/O. */
const PURE_PLATFORM_MODULES = new Set(["node:buffer"]);

const TOP_LEVEL = /^(deno\.json|deno\.lock|mod\.ts|README\.md|LICENSE|\..*|(src|tests|fixtures|tasks)\/.*)$/;
const KEY_FILE = /\.(pem|key|p12|pfx|crt|cer|der)$/i;
const KEY_TEXT = /-----BEGIN [A-Z0-9 ]*(PRIVATE KEY|CERTIFICATE)-----(?:\\r|\\n|\s)*[A-Za-z0-9+/=]{40}/;

/** Files that run without anybody importing them. */
const ENTRY_POINTS = /^(mod\.ts|src\/cli\/soth_mitm\.ts|src\/sim\/main\.ts|tasks\/[^/]+\.ts)$/;

/** Sources with logic that no test of their folder imports, and where their behaviour is shown instead. */
const WITHOUT_TEST: { readonly [path: string]: string } = {
  "src/cli/run.ts": "tests/cli/run_test.ts, as a process of its own",
  "src/cli/soth_mitm.ts": "the entry point; tests/integration and the tool lanes run it",
  "src/http1/connection.ts":
    "tests/http1/relay_test.ts and tests/proxy/session_{http,forward}_test.ts, through the relay",
  "src/http1/requests.ts":
    "tests/http1/relay_test.ts and tests/proxy/session_{http,forward}_test.ts, through the relay",
  "src/http1/responses.ts":
    "tests/http1/relay_test.ts and tests/proxy/session_{http,forward}_test.ts, through the relay",
  "src/http2/alt_svc_filter.ts": "tests/http2/relay*_test.ts, through the relay",
  "src/http2/connection.ts": "tests/http2/relay*_test.ts, through the relay",
  "src/http2/data_frames.ts": "tests/http2/relay*_test.ts, through the relay",
  "src/http2/field_blocks.ts": "tests/http2/relay*_test.ts and gated_relay_test.ts, through the relay",
  "src/proxy/datagram_tunnel.ts": "tests/proxy/session_udp_test.ts, through the session",
  "src/proxy/first_request.ts": "tests/proxy/session_test.ts, through the session",
  "src/proxy/flow_policy.ts": "tests/proxy/session_*_test.ts and http3_test.ts, through the session",
  "src/proxy/handshake_failures.ts": "tests/proxy/session_tls_test.ts, through the session",
  "src/proxy/http_relaying.ts":
    "tests/proxy/session_http_test.ts and session_forward_test.ts, through the session",
  "src/proxy/interception.ts": "tests/proxy/session_tls_test.ts, through the session",
  "src/proxy/learned_bypass.ts": "tests/proxy/session_learning_test.ts, through the session",
  "src/proxy/peeking.ts": "tests/proxy/session_test.ts and session_tls_test.ts, through the session",
  "src/proxy/phases.ts": "tests/proxy/session_*_test.ts, through the session",
  "src/runtime/accepted_socket.ts": "tests/integration, over real sockets",
  "src/runtime/library.ts": "tests/integration/library_test.ts",
  "src/runtime/proxy.ts": "tests/integration, over real sockets",
};

/** Folders that are built and tested ahead of the code that will use them. */
const AHEAD_OF_USE: { readonly [folder: string]: string } = {};

/** Folders of which a test need only reach a file somehow: every seed runs the whole simulator. */
const TESTED_AS_A_WHOLE = new Set(["sim"]);

export interface Finding {
  readonly path: string;
  readonly line: number;
  readonly message: string;
}

/** Checks `paths` (relative, with slashes) as read by `read`. */
export function tidy(
  paths: readonly string[],
  read: (path: string) => string,
  aheadOfUse: { readonly [folder: string]: string } = {},
): Finding[] {
  const findings: Finding[] = [];
  const sources = new Map<string, Source>();
  for (const path of paths) {
    if (!TOP_LEVEL.test(path)) {
      findings.push(
        at(path, 1, "stands at the top level, which holds only what the design lists; move it into a folder"),
      );
    }
    if (KEY_FILE.test(path)) {
      findings.push(at(path, 1, "looks like a key or certificate; tests make theirs at run time"));
      continue;
    }
    if (!/\.(ts|js|json|md|toml|yml|yaml|sh|txt|jsonl)$|(^|\/)(\.ci\/run|LICENSE)$/.test(path)) continue;
    const text = read(path);
    if (KEY_TEXT.test(text)) {
      const line = text.slice(0, text.search(KEY_TEXT)).split("\n").length;
      findings.push(at(path, line, "holds a key or certificate; tests make theirs at run time"));
    }
    if (!path.endsWith(".ts")) continue;
    try {
      const tokens = tokenize(text);
      sources.set(path, { path, tokens, references: references(tokens) });
    } catch (error) {
      if (!(error instanceof UnreadableSource)) throw error;
      findings.push(at(path, error.line, error.message));
    }
  }
  for (const source of sources.values()) {
    findings.push(...importFindings(source), ...ambientFindings(source));
  }
  findings.push(...mirrorFindings(sources), ...deadFindings(sources, Object.keys(aheadOfUse)));
  return findings.sort((a, b) => a.path === b.path ? a.line - b.line : a.path < b.path ? -1 : 1);
}

interface Source {
  readonly path: string;
  readonly tokens: readonly Token[];
  readonly references: readonly Reference[];
}

function importFindings(source: Source): Finding[] {
  const findings: Finding[] = [];
  const folder = folderOf(source.path);
  const find = (line: number, message: string) => findings.push(at(source.path, line, message));
  if (source.path.startsWith("src/") && (folder === null || !Object.hasOwn(FOLDER_RANKS, folder))) {
    find(1, `is in no folder of the design's table (${Object.keys(FOLDER_RANKS).join(", ")})`);
    return findings;
  }
  for (const { specifier, line, kind } of source.references) {
    if (/^(npm|jsr|https?|data|blob|file):/.test(specifier)) {
      find(line, `imports "${specifier}"; packages come through the import map of deno.json`);
    } else if (specifier.startsWith(".")) {
      const target = resolve(source.path, specifier);
      if (target !== null) findings.push(...arrowFindings(source.path, target, line));
      // Tests may read the published vectors, which lie beside the project.
      else if (kind !== "url" || folder !== null) find(line, `refers to "${specifier}", outside the project`);
    } else if (folder !== null && !WORLDLY.has(folder)) {
      const allowed = PURE_PACKAGES[folder] ?? [];
      if (!allowed.includes(specifier) && !PURE_PLATFORM_MODULES.has(specifier)) {
        const names = [...allowed, ...PURE_PLATFORM_MODULES].join(", ");
        find(line, `imports "${specifier}"; src/${folder} does no I/O and may import only ${names}`);
      }
    }
  }
  return findings;
}

function arrowFindings(path: string, target: string, line: number): Finding[] {
  const targetFolder = folderOf(target);
  if (path === "mod.ts") {
    return targetFolder === "sim" || targetFolder === "cli"
      ? [at(path, line, `imports ${target}; the library does not need src/${targetFolder}`)]
      : [];
  }
  const folder = folderOf(path);
  // The version is written once, in deno.json.
  if (folder === null || target === "deno.json") return [];
  // Tables that users may put their own in the place of.
  if (folder === "cli" && target.startsWith("fixtures/") && target.endsWith(".json")) return [];
  if (targetFolder === null) {
    return [at(path, line, `imports ${target}; src imports only from src`)];
  }
  const rank = FOLDER_RANKS[folder] ?? -1;
  const targetRank = FOLDER_RANKS[targetFolder] ?? Infinity;
  if (folder === targetFolder || targetRank < rank) return [];
  const below = Object.keys(FOLDER_RANKS).filter((name) => FOLDER_RANKS[name]! < rank);
  const allowed = below.length === 0 ? "nothing but itself" : below.join(", ");
  return [at(path, line, `imports ${target}; src/${folder} may import from ${allowed}`)];
}

function ambientFindings({ path, tokens }: Source): Finding[] {
  const folder = folderOf(path);
  if (folder === null || folder === "runtime" || folder === "cli" || path === "src/sim/main.ts") return [];
  const banned = folder === "sim" ? AMBIENT_IN_SIM : AMBIENT;
  const findings: Finding[] = [];
  tokens.forEach((token, index) => {
    if (token.kind !== "word" || isMemberName(tokens, index)) return;
    const isRandom = token.text === "Math" && tokens[index + 2]?.text === "random";
    if (isRandom || banned.has(token.text)) {
      const name = isRandom ? "Math.random" : token.text;
      findings.push(
        at(path, token.line, `uses ${name}; in src/${folder} time, chance and I/O are arguments`),
      );
    }
    if (token.text === "import" && tokens[index + 1]?.text === "(") {
      findings.push(at(path, token.line, `imports dynamically; src/${folder} knows its modules beforehand`));
    }
  });
  return findings;
}

/** `.name`, or `name:` and `name?:` where a member of an object or a type begins. */
function isMemberName(tokens: readonly Token[], index: number): boolean {
  const before = tokens[index - 1];
  if (before?.text === "." || before?.text === "?.") return true;
  const after = tokens[index + 1]?.text === "?" ? tokens[index + 2] : tokens[index + 1];
  if (after?.text !== ":") return false;
  return before === undefined || ["{", ",", ";", "(", "readonly"].includes(before.text) ||
    (tokens[index]!.startsLine && before.kind !== "punctuator");
}

/** Each source with logic is imported by a test of its folder, best by its mirror. */
function mirrorFindings(sources: ReadonlyMap<string, Source>): Finding[] {
  const findings: Finding[] = [];
  const tested = new Set<string>();
  for (const { path, references } of sources.values()) {
    const folder = /^tests\/([^/]+)\/.*_test\.ts$/.exec(path)?.[1] ?? "";
    if (!Object.hasOwn(FOLDER_RANKS, folder)) continue;
    for (const { specifier } of references) {
      const target = specifier.startsWith(".") ? resolve(path, specifier) : null;
      if (target !== null && folderOf(target) === folder) tested.add(target);
    }
  }
  const whole = [...tested].filter((path) => TESTED_AS_A_WHOLE.has(folderOf(path) ?? ""));
  for (const path of reach(whole, sources)) {
    if (TESTED_AS_A_WHOLE.has(folderOf(path) ?? "")) tested.add(path);
  }
  for (const source of sources.values()) {
    const { path } = source;
    if (!path.startsWith("src/") || tested.has(path) === !Object.hasOwn(WITHOUT_TEST, path)) continue;
    if (tested.has(path)) {
      findings.push(at(path, 1, "has a test now; take it off the list of exceptions in tasks/tidy.ts"));
    } else if (hasLogic(source)) {
      const place = path.replace(/^src\//, "tests/").replace(/\.ts$/, "_test.ts");
      findings.push(at(path, 1, `has logic that no test of its folder imports; ${place} is its place`));
    }
  }
  return findings;
}

/** Whether a file declares anything but types, tables and re-exports. */
function hasLogic({ tokens }: Source): boolean {
  let depth = 0;
  let declares = "";
  return tokens.some((token) => {
    if (token.kind === "punctuator") {
      if ("([{".includes(token.text)) depth++;
      else if (")]}".includes(token.text)) depth--;
    }
    if (depth > 0) return false;
    if (token.kind === "word" && /^(const|let|type|interface)$/.test(token.text)) declares = token.text;
    return (token.kind === "word" && /^(function|class)$/.test(token.text)) ||
      (token.text === "=>" && /^(const|let)$/.test(declares));
  });
}

/** Sources that no command, task or library user reaches, and test helpers that no test reaches. */
function deadFindings(sources: ReadonlyMap<string, Source>, aheadOfUse: readonly string[]): Finding[] {
  const paths = [...sources.keys()];
  const used = reach(paths.filter((path) => ENTRY_POINTS.test(path)), sources);
  const tested = reach(paths.filter((path) => ENTRY_POINTS.test(path) || path.endsWith("_test.ts")), sources);
  return paths.flatMap((path) => {
    const folder = aheadOfUse.find((one) => path.startsWith(one));
    if (folder !== undefined) {
      return used.has(path) ? [at(path, 1, `is used now; take ${folder} off the list in tasks/tidy.ts`)] : [];
    }
    if (path.startsWith("src/") && !used.has(path)) {
      return [at(path, 1, "is dead: neither mod.ts, the command line, the simulator nor a task reaches it")];
    }
    if (path.startsWith("tests/") && !tested.has(path)) return [at(path, 1, "is dead: no test reaches it")];
    return [];
  });
}

function reach(roots: readonly string[], sources: ReadonlyMap<string, Source>): Set<string> {
  const seen = new Set<string>(roots);
  const left = [...roots];
  for (let path = left.pop(); path !== undefined; path = left.pop()) {
    for (const { specifier } of sources.get(path)?.references ?? []) {
      const target = specifier.startsWith(".") ? resolve(path, specifier) : null;
      if (target === null || seen.has(target)) continue;
      seen.add(target);
      left.push(target);
    }
  }
  return seen;
}

/** The folder of the design's table that a path belongs to; null outside `src`. */
function folderOf(path: string): string | null {
  return /^src\/([^/]+)\//.exec(path)?.[1] ?? null;
}

function resolve(from: string, specifier: string): string | null {
  const parts = from.split("/").slice(0, -1);
  for (const part of specifier.split("/")) {
    if (part === "..") {
      if (parts.pop() === undefined) return null;
    } else if (part !== ".") parts.push(part);
  }
  return parts.join("/");
}

function at(path: string, line: number, message: string): Finding {
  return { path, line, message };
}

/** What git would commit; without git, everything that is not a dot folder or a product. */
export function projectPaths(root: string): string[] {
  try {
    const { success, stdout } = new Deno.Command("git", {
      args: ["ls-files", "-z", "--cached", "--others", "--exclude-standard"],
      cwd: root,
      stderr: "null",
    }).outputSync();
    if (success) {
      const listed = new TextDecoder().decode(stdout).split("\0").filter((path) => path !== "");
      // A file that was removed but not yet committed is still listed.
      return [...new Set(listed)].filter((path) => exists(`${root}/${path}`));
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return walk(root, "");
}

function exists(path: string): boolean {
  try {
    return Deno.lstatSync(path).isFile;
  } catch {
    return false;
  }
}

function walk(root: string, folder: string): string[] {
  return [...Deno.readDirSync(`${root}/${folder}`)].flatMap((entry) => {
    const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
    if (entry.isFile) return [path];
    const skipped = entry.name === ".git" || entry.name === "node_modules" ||
      /^(dist|report|coverage)$/.test(path);
    return entry.isDirectory && !skipped ? walk(root, path) : [];
  });
}

if (import.meta.main) {
  const root = Deno.args[0] ?? ".";
  const paths = projectPaths(root);
  const findings = tidy(paths, (path) => Deno.readTextFileSync(`${root}/${path}`), AHEAD_OF_USE);
  for (const { path, line, message } of findings) console.error(`${path}:${line} ${message}`);
  console.error(`tidy: ${paths.length} files, ${findings.length} findings`);
  if (findings.length > 0) Deno.exit(1);
}
