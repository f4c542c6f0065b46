/** Programs of other people that the tool lanes drive: where each is, and how to get it. */

/** Builds what `tests/peers` holds and pins: our own peers, and the tools of others that are Go modules. */
const GO_PEERS = "(cd tests/peers && go install tool ./...), with Go from https://go.dev";

export interface Tool {
  /** Names to look for, best first. */
  readonly programs: readonly string[];
  readonly howToGet: string;
}

export const TOOLS = {
  chromium: {
    programs: ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"],
    howToGet: "apt-get install chromium, brew install --cask chromium",
  },
  certutil: {
    programs: ["certutil"],
    howToGet: "apt-get install libnss3-tools, brew install nss",
  },
  ghz: { programs: ["ghz"], howToGet: GO_PEERS },
  grpcPeer: { programs: ["grpc_peer"], howToGet: GO_PEERS },
  grpcurl: { programs: ["grpcurl"], howToGet: GO_PEERS },
  h2load: { programs: ["h2load"], howToGet: "apt-get install nghttp2-client, brew install nghttp2" },
  h2spec: { programs: ["h2spec"], howToGet: GO_PEERS },
  http3Peer: { programs: ["http3_peer"], howToGet: GO_PEERS },
  http2Peer: { programs: ["http2_peer"], howToGet: GO_PEERS },
  curl: { programs: ["curl"], howToGet: "apt-get install curl, brew install curl" },
  git: { programs: ["git"], howToGet: "apt-get install git, brew install git" },
  mitmdump: {
    programs: ["mitmdump"],
    howToGet: "python3 -m venv ~/.cache/soth-mitm/mitmproxy && " +
      "~/.cache/soth-mitm/mitmproxy/bin/pip install mitmproxy==11.0.2",
  },
  nginx: {
    programs: ["nginx", "/usr/sbin/nginx"],
    howToGet: "apt-get install nginx-light, brew install nginx",
  },
  nghttp: { programs: ["nghttp"], howToGet: "apt-get install nghttp2-client, brew install nghttp2" },
  nghttpd: {
    programs: ["nghttpd", "/usr/sbin/nghttpd"],
    howToGet: "apt-get install nghttp2-server, brew install nghttp2",
  },
  node: { programs: ["node"], howToGet: "https://nodejs.org, apt-get install nodejs, brew install node" },
  openssl: { programs: ["openssl"], howToGet: "apt-get install openssl, brew install openssl" },
  testssl: {
    programs: ["testssl", "testssl.sh"],
    howToGet: "apt-get install testssl.sh, brew install testssl",
  },
  tlsPeer: { programs: ["tls_peer"], howToGet: GO_PEERS },
  payloadPeer: { programs: ["payload_peer"], howToGet: GO_PEERS },
  python: { programs: ["python3", "python"], howToGet: "apt-get install python3, brew install python" },
} as const satisfies { readonly [name: string]: Tool };

export type ToolName = keyof typeof TOOLS;

/** The program's path, or null where it is not installed. */
export function findTool(name: ToolName): string | null {
  const windows = Deno.build.os === "windows";
  // Windows has a `certutil` of its own, which knows nothing of NSS databases.
  if (windows && name === "certutil") return null;
  const folders = (Deno.env.get("PATH") ?? "").split(windows ? ";" : ":");
  folders.push(...goFolders(), ...pythonFolders());
  for (const program of TOOLS[name].programs) {
    const places = program.startsWith("/") ? [program] : folders.map((folder) => `${folder}/${program}`);
    for (const place of places) {
      const path = windows ? `${place}.exe` : place;
      if (isRunnable(path)) return path;
    }
  }
  return null;
}

/** The program's path; a test that needs it runs only where the lane found it. */
export function tool(name: ToolName): string {
  const path = findTool(name);
  if (path === null) throw new Error(`Cannot find ${name} on the PATH; get it by: ${TOOLS[name].howToGet}`);
  return path;
}

/** Where `go install` puts programs, which is often not on the PATH. */
function goFolders(): string[] {
  const home = Deno.env.get("HOME") ?? Deno.env.get("USERPROFILE");
  const path = Deno.env.get("GOPATH") ?? (home === undefined ? undefined : `${home}/go`);
  const folder = Deno.env.get("GOBIN") ?? (path === undefined ? undefined : `${path}/bin`);
  return folder === undefined ? [] : [folder];
}

/** The virtual environment of `howToGet`, for what comes from PyPI. */
function pythonFolders(): string[] {
  const home = Deno.env.get("HOME") ?? Deno.env.get("USERPROFILE");
  return home === undefined ? [] : [`${home}/.cache/soth-mitm/mitmproxy/bin`];
}

function isRunnable(path: string): boolean {
  try {
    const { isFile, mode } = Deno.statSync(path);
    return isFile && (mode === null || (mode & 0o111) !== 0);
  } catch {
    return false;
  }
}

/** The environment of this process for another Deno: it may need what leads it to its packages. */
export function denoEnvironment(more: { readonly [name: string]: string } = {}): { [name: string]: string } {
  // `deno task` leaves INIT_CWD, and the proxy takes relative paths from there.
  const kept = Object.entries(Deno.env.toObject())
    .filter(([name]) => !name.startsWith("SOTH_MITM_") && name !== "INIT_CWD");
  return { ...Object.fromEntries(kept), NO_COLOR: "1", ...more };
}

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly stdoutBytes: Uint8Array;
}

export interface RunOptions {
  /** Added to `plainEnvironment`. */
  readonly env?: { readonly [name: string]: string };
  /** Instead of `plainEnvironment`. */
  readonly wholeEnv?: { readonly [name: string]: string };
  readonly stdin?: string | Uint8Array;
  readonly cwd?: string;
  readonly timeoutMs?: number;
}

/** Variables that would make a tool use another proxy, another trust store or another configuration. */
const FOREIGN_VARIABLE =
  /^(SOTH_MITM_.*|(HTTPS?|ALL|NO)_PROXY|(https?|all|no)_proxy|SSL_CERT_(FILE|DIR)|CURL_CA_BUNDLE|REQUESTS_CA_BUNDLE|NODE_EXTRA_CA_CERTS|NODE_USE_ENV_PROXY|DENO_CERT|GIT_SSL_CAINFO)$/;

/** The environment of this process without what would lead a tool elsewhere. */
export function plainEnvironment(more: { readonly [name: string]: string } = {}): { [name: string]: string } {
  const kept = Object.entries(Deno.env.toObject()).filter(([name]) => !FOREIGN_VARIABLE.test(name));
  return { ...Object.fromEntries(kept), NO_COLOR: "1", ...more };
}

/** Runs a program to its end; past the time limit it is killed and that is the error. */
export async function run(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Outcome> {
  const timeoutMs = options.timeoutMs ?? 30_000;
  const child = new Deno.Command(program, {
    args: [...args],
    env: options.wholeEnv ?? plainEnvironment(options.env),
    clearEnv: true,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  }).spawn();
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, timeoutMs);
  const feed = async () => {
    const writer = child.stdin.getWriter();
    const { stdin = "" } = options;
    try {
      await writer.write(typeof stdin === "string" ? new TextEncoder().encode(stdin) : stdin);
      await writer.close();
    } catch {
      // The program ended without reading its input; its exit code tells.
    }
  };
  const [output] = await Promise.all([child.output(), feed()]);
  clearTimeout(timer);
  const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  if (late) {
    throw new Error(`${program} ${args.join(" ")} ran longer than ${timeoutMs} ms\n${decode(output.stderr)}`);
  }
  return {
    code: output.code,
    stdout: decode(output.stdout),
    stderr: decode(output.stderr),
    stdoutBytes: output.stdout,
  };
}
