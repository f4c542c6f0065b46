/**
 * `soth-mitm exec -- COMMAND`: programs that know nothing of the proxy go through it and trust its CA, by the
 * environment alone.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { makeAuthority } from "../support/certificates.ts";
import { type HttpOrigin, startHttpOrigin } from "../support/origin.ts";
import { type LaneFolder, type LogEvent, makeLaneFolder, soth } from "../support/proxy_process.ts";
import { run, tool } from "../support/tools.ts";

let folder: string;
let origin: HttpOrigin;

Deno.test.beforeAll(async () => {
  folder = await Deno.makeTempDir();
  const authority = makeAuthority();
  await Deno.writeTextFile(`${folder}/root.pem`, authority.certPem);
  await Deno.writeTextFile(
    `${folder}/config.toml`,
    `[tls]\nupstream_ca_bundle = ${JSON.stringify(`${folder}/root.pem`)}\n`,
  );
  await makeRepository(`${folder}/repository.git`);
  origin = await startHttpOrigin({
    certificate: authority.issue({ names: ["localhost"] }),
    pages: (path) => repositoryFile(path),
  });
});

Deno.test.afterAll(async () => {
  await origin.close();
  await Deno.remove(folder, { recursive: true });
});

/** A repository that can be served as plain files ("dumb" HTTP). */
async function makeRepository(path: string): Promise<void> {
  const author = {
    GIT_AUTHOR_NAME: "a",
    GIT_AUTHOR_EMAIL: "a@a",
    GIT_COMMITTER_NAME: "a",
    GIT_COMMITTER_EMAIL: "a@a",
  };
  const git = async (...args: string[]) => {
    const { code, stdout, stderr } = await run(tool("git"), ["-C", path, ...args], { env: author });
    assertEquals(code, 0, stderr);
    return stdout.trim();
  };
  await Deno.mkdir(path);
  await git("init", "--quiet", "--bare", "--initial-branch=main");
  const tree = await git("hash-object", "-t", "tree", "-w", "--stdin");
  await git("update-ref", "refs/heads/main", await git("commit-tree", "-m", "first", tree));
  await git("update-server-info");
}

function repositoryFile(path: string): { type: string; body: Uint8Array } | null {
  if (!path.startsWith("/repository.git/") || path.includes("..")) return null;
  try {
    return { type: "text/plain", body: Deno.readFileSync(`${folder}${path}`) };
  } catch {
    return null;
  }
}

interface Executed {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly events: readonly LogEvent[];
}

/** Runs a command through a proxy of its own; its log must verify. */
async function exec(command: readonly string[], more: readonly string[] = []): Promise<Executed> {
  const lane: LaneFolder = await makeLaneFolder("exec");
  const args = [
    "--state-dir",
    `${lane.state}/state`,
    "--events",
    lane.log,
    "--config",
    `${folder}/config.toml`,
  ];
  const done = await soth("exec", [...args, ...more, "--", ...command], { timeoutMs: 60_000 });
  const verified = await soth("log", ["verify", lane.log]);
  assertEquals(verified.code, 0, verified.stdout + verified.stderr);
  const lines = (await Deno.readTextFile(lane.log)).split("\n").filter((line) => line !== "");
  await Deno.remove(lane.state, { recursive: true });
  return { ...done, events: lines.map((line) => JSON.parse(line) as LogEvent) };
}

function assertIntercepted(done: Executed, target: string): void {
  assertEquals(done.code, 0, done.stderr);
  const request = done.events.find(({ kind, attributes }) =>
    kind === "request_headers" && String(attributes.target).startsWith(target)
  );
  assertEquals(request?.attributes.scheme, "https", `no https request for ${target} in the log`);
}

const PRINT_ENVIRONMENT = "console.log(JSON.stringify(process.env))";

Deno.test("exec lets curl through without any setup", async () => {
  const done = await exec([tool("curl"), "-q", "-sS", `https://localhost:${origin.port}/bytes/5`]);
  assertIntercepted(done, "/bytes/5");
  assertEquals(done.stdout.length > 0, true);
});

Deno.test("exec lets git ls-remote through without any setup", async () => {
  const done = await exec([tool("git"), "ls-remote", `https://localhost:${origin.port}/repository.git`]);
  assertIntercepted(done, "/repository.git/info/refs");
  assertStringIncludes(done.stdout, "refs/heads/main");
});

Deno.test("exec lets Python's urllib through without any setup, and requests where it is installed", async () => {
  const url = `https://localhost:${origin.port}`;
  const code = `
import json, urllib.request
print(urllib.request.urlopen("${url}/echo?urllib", data=b"from urllib").read().decode())
try:
    import requests
except ImportError:
    print("no requests here")
else:
    print(requests.post("${url}/echo?requests", data=b"from requests").text)
`;
  const done = await exec([tool("python"), "-c", code]);
  assertIntercepted(done, "/echo?urllib");
  assertStringIncludes(done.stdout, "from urllib");
  if (!done.stdout.includes("no requests here")) {
    assertStringIncludes(done.stdout, "from requests");
    assertIntercepted(done, "/echo?requests");
  }
});

Deno.test("exec lets Node's fetch and https through without any setup, whatever its version", async () => {
  const url = `https://localhost:${origin.port}`;
  const code = `
    require("https").get("${url}/fields?https", (response) => {
      let text = "";
      response.on("data", (data) => text += data).on("end", () => console.log("got " + text));
    });
    fetch("${url}/echo?fetch", { method: "POST", body: "from fetch" })
      .then((response) => response.text()).then((text) => console.log(text));
  `;
  const done = await exec([tool("node"), "-e", code]);
  assertIntercepted(done, "/fields?https");
  assertIntercepted(done, "/echo?fetch");
  assertStringIncludes(done.stdout, "from fetch");
  assertStringIncludes(done.stdout.toLowerCase(), 'got [["host"');
});

Deno.test("exec lets a Node program through that asks the proxy by an agent of its own", async () => {
  const code = `
    const [url] = process.argv.slice(-1);
    const { host, hostname } = new URL(url);
    const proxy = new URL(process.env.HTTPS_PROXY);
    require("http").request({ host: proxy.hostname, port: proxy.port, method: "CONNECT", path: host, headers: { host } })
      .on("connect", (_, socket) => require("https").get(url, { createConnection: () =>
        require("tls").connect({ socket, servername: hostname }) }, (response) => {
          let text = "";
          response.on("data", (data) => text += data).on("end", () => console.log("got " + text));
        })).end();
  `;
  const done = await exec([tool("node"), "-e", code, `https://localhost:${origin.port}/fields?agent`]);
  assertIntercepted(done, "/fields?agent");
  assertStringIncludes(done.stdout.toLowerCase(), 'got [["host"');
});

Deno.test("exec lets Deno's fetch through without any setup", async () => {
  const code = `console.log(await (await fetch("https://localhost:${origin.port}/fields?deno")).text())`;
  const done = await exec([Deno.execPath(), "eval", code]);
  assertIntercepted(done, "/fields?deno");
});

Deno.test("exec exits with the command's own status", async () => {
  assertEquals((await exec([tool("node"), "-e", "process.exit(7)"])).code, 7);
});

Deno.test("exec gives the command the proxy and the CA in every variable the contract names", async () => {
  const done = await exec([tool("node"), "-e", PRINT_ENVIRONMENT]);
  const environment = JSON.parse(done.stdout) as { [name: string]: string };
  for (const name of ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"]) {
    assertStringIncludes(environment[name] ?? "", "http://127.0.0.1:");
  }
  const bundles = [
    ..."SSL_CERT_FILE CURL_CA_BUNDLE REQUESTS_CA_BUNDLE NODE_EXTRA_CA_CERTS DENO_CERT".split(" "),
    ..."GIT_SSL_CAINFO CARGO_HTTP_CAINFO AWS_CA_BUNDLE PIP_CERT".split(" "),
  ];
  for (const name of bundles) assert(environment[name] !== undefined, `${name} is not set`);
  assertEquals(environment.NODE_USE_ENV_PROXY, "1");
});

Deno.test("exec blocks what it is told to block", async () => {
  const done = await exec(
    [tool("curl"), "-q", "-s", "-w", "%{http_connect}", `https://localhost:${origin.port}/`],
    ["--block", "localhost"],
  );
  assertStringIncludes(done.stdout, "403");
  assert(done.code !== 0);
});
