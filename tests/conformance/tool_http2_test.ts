/**
 * HTTP/2 through the proxy between clients and servers of other makes: curl to Go's server, over TLS and in the
 * clear with prior knowledge. What a client gets directly is what it must get through the proxy, byte for byte:
 * heads, interim responses, bodies, trailers and resets.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { curlThrough } from "../support/curl.ts";
import { patternBytes, sha256Hex } from "../support/origin.ts";
import { certificateArgs, endLane, makeServerFolder, trustConfig } from "../support/lane.ts";
import { type LogEvent, ProxyProcess } from "../support/proxy_process.ts";
import { type ServerProcess, startPeer } from "../support/server_process.ts";
import { type Outcome, run, tool } from "../support/tools.ts";

const UPLOAD = patternBytes(10_000_000);

let folder: string;
let origin: ServerProcess;
let secure: string;
let plain: string;
let proxy: ProxyProcess;

Deno.test.beforeAll(async () => {
  folder = await makeServerFolder();
  await Deno.writeFile(`${folder}/upload.bin`, UPLOAD);
  origin = await startPeer(tool("http2Peer"), certificateArgs(folder));
  secure = `https://localhost:${origin.ports[0]}`;
  plain = `http://localhost:${origin.ports[1]}`;
  proxy = await ProxyProcess.start("http2", {
    config: trustConfig(folder),
  });
});

Deno.test.afterAll(() => endLane(folder, [proxy], [origin]));

interface Way {
  readonly name: string;
  readonly url: () => string;
  readonly args: readonly string[];
}

const WAYS: readonly Way[] = [
  { name: "over TLS", url: () => secure, args: ["--http2"] },
  {
    name: "in the clear inside CONNECT",
    url: () => plain,
    args: ["--http2-prior-knowledge", "--proxytunnel"],
  },
];

/** curl's head lines (without the proxy's own, and without the time) and body, as they came. */
interface Got {
  readonly code: number;
  readonly heads: string;
  readonly bytes: number;
  readonly sha256: string;
}

async function read(path: string): Promise<Uint8Array> {
  try {
    return await Deno.readFile(path);
  } catch (error) {
    // Nothing came, so curl wrote no file.
    if (error instanceof Deno.errors.NotFound) return new Uint8Array();
    throw error;
  }
}

async function got(
  ask: (args: readonly string[]) => Promise<Outcome>,
  args: readonly string[],
): Promise<Got> {
  const place = await Deno.makeTempDir({ dir: folder });
  const { code } = await ask([
    ...["--suppress-connect-headers", "-D", `${place}/heads`, "-o", `${place}/body`],
    ...args,
  ]);
  const heads = new TextDecoder().decode(await read(`${place}/heads`)).replaceAll(/^date: .*\r\n/gm, "");
  const body = await read(`${place}/body`);
  return { code, heads, bytes: body.length, sha256: sha256Hex(body) };
}

const through = (args: readonly string[]) => curlThrough(proxy, args);
const direct = (args: readonly string[]) =>
  run(tool("curl"), ["-q", "-sS", "--max-time", "25", "--cacert", `${folder}/root.pem`, ...args]);

/** Asks both ways for `path`; gives what came, which is the same. */
async function sameAsDirect(way: Way, path: string, args: readonly string[] = []): Promise<Got> {
  const all = [...way.args, ...args, `${way.url()}${path}`];
  const [expected, actual] = [await got(direct, all), await got(through, all)];
  assertEquals(actual, expected, path);
  return actual;
}

/** The events of the flow in which `path` was asked for, once that flow is over. */
const flowOf = (path: string) =>
  proxy.flow(
    `a request for ${path}`,
    ({ kind, attributes }) => kind === "request_headers" && attributes.target === path,
  );

const completions = (events: readonly LogEvent[]) =>
  events.filter(({ kind }) => kind === "exchange_completed").map(({ attributes }) => attributes);

for (const way of WAYS) {
  const { name } = way;

  Deno.test(`curl ${name} gets bodies of many sizes as it does directly`, async () => {
    for (const size of [0, 1, 16_384, 65_535, 65_536, 1_000_001, 20_000_000]) {
      const { code, heads, bytes, sha256 } = await sameAsDirect(way, `/bytes/${size}`);
      assertEquals([code, bytes, sha256], [0, size, sha256Hex(patternBytes(size))]);
      assertStringIncludes(heads, "HTTP/2 200");
    }
  });

  Deno.test(`curl ${name} posts 10 MB of known and of unknown length, and gets them back`, async () => {
    const expected = JSON.stringify({ bytes: UPLOAD.length, sha256: sha256Hex(UPLOAD) }) + "\n";
    for (const args of [["--data-binary", `@${folder}/upload.bin`], ["-T", "-", "-X", "POST"]]) {
      const { code, stdout } = await curlThrough(proxy, [...way.args, ...args, `${way.url()}/digest`], {
        stdin: UPLOAD,
      });
      assertEquals([code, stdout], [0, expected]);
    }
    const echoed = await curlThrough(proxy, [
      ...[...way.args, "--data-binary", `@${folder}/upload.bin`, `${way.url()}/echo`],
    ]);
    assertEquals([echoed.code, sha256Hex(echoed.stdoutBytes)], [0, sha256Hex(UPLOAD)]);
    const [completed] = completions(await flowOf("/echo"));
    assertEquals(completed?.outcome, "complete");
    assertEquals([completed?.request_body_bytes, completed?.response_body_bytes], [10_000_000, 10_000_000]);
  });

  Deno.test(`curl ${name} gets the head alone for HEAD, and no body for 204 and 304`, async () => {
    const head = await sameAsDirect(way, "/bytes/12345", ["--head"]);
    assertStringIncludes(head.heads, "content-length: 12345\r\n");
    for (const status of [204, 304, 404, 500]) {
      const { code, heads, bytes } = await sameAsDirect(way, `/status/${status}`);
      assertEquals([code, bytes], [0, 0]);
      assertStringIncludes(heads, `HTTP/2 ${status}`);
    }
  });

  Deno.test(`curl ${name} gets trailers and early hints as it does directly`, async () => {
    const { heads } = await sameAsDirect(way, "/trailers");
    assertStringIncludes(heads, "x-checksum: abc\r\nx-count: 14\r\n");
    const trailers = (await flowOf("/trailers")).find(({ kind }) => kind === "response_trailers");
    assertEquals(trailers?.attributes.headers, [["x-checksum", "abc"], ["x-count", "14"]]);
    const hints = await sameAsDirect(way, "/hints");
    assertEquals(hints.heads.match(/^HTTP\/2 (\d+)/gm), ["HTTP/2 103", "HTTP/2 103", "HTTP/2 200"]);
    const interim = (await flowOf("/hints")).filter(({ kind }) => kind === "response_headers");
    assertEquals(interim.map(({ attributes }) => [attributes.status, attributes.interim ?? false]), [
      [103, true],
      [103, true],
      [200, false],
    ]);
  });

  Deno.test(`curl ${name} sees a reset of its stream as it does directly`, async () => {
    // How much of the body curl keeps depends on whether it reads the reset together with it.
    const args = [...way.args, `${way.url()}/abort`];
    assertEquals([(await got(direct, args)).code, (await got(through, args)).code], [92, 92]);
    const [completed] = completions(await flowOf("/abort"));
    assertEquals([completed?.outcome, completed?.error_by, completed?.error_code], [
      "reset",
      "server",
      "INTERNAL_ERROR",
    ]);
  });
}

// In the clear curl 7.88 fails when it uses a connection again, without any proxy, so these are over TLS alone.

Deno.test("curl over TLS keeps one connection for exchanges that follow each other", async () => {
  const urls = Array.from({ length: 30 }, (_, index) => `${secure}/status/204?${index}`);
  const told = ["-w", "%{http_version} %{num_connects}\n"];
  const { code, stdout } = await curlThrough(proxy, ["--http2", ...told, ...urls]);
  assertEquals([code, stdout], [0, "2 1\n" + "2 0\n".repeat(29)]);
});

Deno.test("curl over TLS asks two hundred times at once over few connections", async () => {
  const place = await Deno.makeTempDir({ dir: folder });
  const indices = Array.from({ length: 200 }, (_, index) => index);
  const { code, stderr } = await curlThrough(proxy, [
    ...["--http2", "--no-progress-meter", "--parallel", "--parallel-max", "100"],
    ...indices.flatMap((index) => ["-o", `${place}/${index}`, `${secure}/part/${index}`]),
  ]);
  assertEquals([code, stderr], [0, ""]);
  const flows = new Map<string, LogEvent[]>();
  for (const index of indices) {
    assertEquals(await Deno.readFile(`${place}/${index}`), patternBytes(100 + 97 * index), String(index));
    const flow = await flowOf(`/part/${index}`);
    flows.set(flow[0]!.flow_id, flow);
  }
  const completed = [...flows.values()].flatMap(completions);
  assertEquals(completed.map(({ outcome }) => outcome), Array(200).fill("complete"));
  // It opens another where the first is not ready when it wants to ask; each carries many streams all the same.
  assert(flows.size <= 20, `${flows.size} connections`);
});

Deno.test("curl that leaves in the middle of a body ends its stream, and the log says so", async () => {
  const { code } = await curlThrough(proxy, [
    "--http2",
    "--max-filesize",
    "1000",
    `${secure}/bytes/3000000?leave`,
  ]);
  assertEquals(code, 63);
  const [completed] = completions(await flowOf("/bytes/3000000?leave"));
  assertEquals(completed?.outcome, "client_aborted");
});

Deno.test("a stream under way when the proxy is stopped finishes, whole, within timeouts.drain", async () => {
  await using stopped = await ProxyProcess.start("http2-stopped", {
    config: trustConfig(folder),
  });
  // Two seconds at that rate, of the five that draining may take.
  const asked = curlThrough(stopped, ["--http2", "--limit-rate", "2M", `${secure}/bytes/4000000`]);
  await stopped.eventually("the response", ({ kind }) => kind === "response_headers");
  await stopped.stop();
  const { code, stdoutBytes } = await asked;
  assertEquals([code, stdoutBytes.length, sha256Hex(stdoutBytes)], [
    0,
    4_000_000,
    sha256Hex(patternBytes(4_000_000)),
  ]);
  const events = await stopped.events();
  assertEquals(completions(events).map(({ outcome }) => outcome), ["complete"]);
  assertEquals(events.at(-1)?.attributes.reason_code, "shutdown");
});
