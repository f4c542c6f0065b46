/**
 * gRPC through the proxy, between programs of grpc-go that find it by HTTPS_PROXY alone: its interoperability
 * cases, grpcurl for each kind of call, ghz for many at once. What each is told directly, it must be told through
 * the proxy: messages, metadata, status, details and deadlines.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { makeAuthority } from "../support/certificates.ts";
import { type LogEvent, ProxyProcess } from "../support/proxy_process.ts";
import { type ServerProcess, startPeer } from "../support/server_process.ts";
import { type Outcome, run, type RunOptions, tool, type ToolName } from "../support/tools.ts";

const SERVICE = "grpc.testing.TestService";

let folder: string;
let origin: ServerProcess;
let proxy: ProxyProcess;

Deno.test.beforeAll(async () => {
  folder = await Deno.makeTempDir();
  const authority = makeAuthority();
  const { certPem, keyPem } = authority.issue({ names: ["localhost"] });
  await Deno.writeTextFile(`${folder}/root.pem`, authority.certPem);
  await Deno.writeTextFile(`${folder}/server.pem`, certPem);
  await Deno.writeTextFile(`${folder}/server.key`, keyPem);
  origin = await startPeer(tool("grpcPeer"), [
    ...["serve", "-cert", `${folder}/server.pem`, "-key", `${folder}/server.key`],
  ]);
  proxy = await ProxyProcess.start("grpc", {
    config: `[tls]\nupstream_ca_bundle = ${JSON.stringify(`${folder}/root.pem`)}\n`,
  });
});

Deno.test.afterAll(async () => {
  try {
    await proxy.stop();
  } finally {
    await proxy[Symbol.asyncDispose]();
    await origin[Symbol.asyncDispose]();
    await Deno.remove(folder, { recursive: true });
  }
});

interface Way {
  readonly address: string;
  readonly trust: string;
  readonly env: { readonly [name: string]: string };
}

const direct = (): Way => ({
  address: `localhost:${origin.ports[0]}`,
  trust: `${folder}/root.pem`,
  env: {},
});

/** Go never asks a proxy for `localhost`; with the root's dot it is another name to Go, and the same to the proxy. */
const through = (): Way => ({
  address: `localhost.:${origin.ports[0]}`,
  trust: proxy.caPath,
  env: { HTTPS_PROXY: proxy.url },
});

function grpc(name: ToolName, way: Way, args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  return run(tool(name), args, { ...options, env: way.env });
}

/**
 * Every case of `grpc_peer list`, and with which status its calls end; null where that depends on who is first,
 * a side that ends the call with RST_STREAM or one that answers.
 */
const CASES: { readonly [name: string]: readonly string[] | null } = {
  empty_unary: ["0"],
  large_unary: ["0"],
  client_streaming: ["0"],
  server_streaming: ["0"],
  ping_pong: ["0"],
  empty_stream: ["0"],
  timeout_on_sleeping_server: null,
  cancel_after_begin: null,
  cancel_after_first_response: null,
  status_code_and_message: ["2", "2"],
  special_status_message: ["2"],
  custom_metadata: ["0", "0"],
  unimplemented_method: ["12"],
  unimplemented_service: ["12"],
  large_messages: ["0"],
  gzip_messages: ["0", "0"],
  long_bidirectional_stream: ["0"],
  concurrent_calls: Array(200).fill("0"),
  response_too_large: null,
};

Deno.test("the interoperability cases of grpc-go pass through the proxy as they do directly", async (t) => {
  const { stdout } = await run(tool("grpcPeer"), ["list"]);
  assertEquals(stdout.trim().split("\n"), Object.keys(CASES));
  for (const [name, expected] of Object.entries(CASES)) {
    await t.step(name, async () => {
      const before = (await proxy.events()).length;
      for (const way of [direct(), through()]) {
        // The first call makes the connection: some cases are over before there is one.
        const args = ["call", "-address", way.address, "-ca", way.trust, "empty_unary", name];
        const { code, stdout, stderr } = await grpc("grpcPeer", way, args, { timeoutMs: 60_000 });
        assertEquals([code, stdout], [0, `ok empty_unary\nok ${name}\n`], stderr);
      }
      const flow = await proxy.eventsAfter(before);
      if (expected !== null) assertEquals(statusesOf(flow), ["0", ...expected]);
      assertEquals(flow.at(-1)?.attributes.reason_code, "complete");
    });
  }
});

/** grpc-status of each call in the order of their ends; it is in the head where there is nothing but trailers. */
function statusesOf(events: readonly LogEvent[]): string[] {
  return events.filter(({ kind }) => kind === "response_headers" || kind === "response_trailers")
    .flatMap(({ attributes }) => attributes.headers as [string, string][])
    .filter(([name]) => name === "grpc-status").map(([, value]) => value);
}

interface Call {
  readonly method: string;
  readonly messages: readonly unknown[];
  readonly args?: readonly string[];
}

const payload = (size: number) => ({ type: "COMPRESSABLE", body: btoa("x".repeat(size)) });

const CALLS: { readonly [what: string]: Call } = {
  "a unary call": { method: "UnaryCall", messages: [{ response_size: 1000, payload: payload(500) }] },
  "a unary call of 5 MiB each way": {
    method: "UnaryCall",
    messages: [{ response_size: 5 << 20, payload: payload(5 << 20) }],
    args: ["-max-msg-sz", String(16 << 20)],
  },
  "a client's stream": {
    method: "StreamingInputCall",
    messages: Array.from({ length: 50 }, (_, index) => ({ payload: payload(index * 100) })),
  },
  "a server's stream": {
    method: "StreamingOutputCall",
    messages: [{
      response_parameters: Array.from({ length: 50 }, (_, index) => ({ size: 1 + index * 100 })),
    }],
  },
  "a stream both ways": {
    method: "FullDuplexCall",
    messages: Array.from(
      { length: 50 },
      (_, index) => ({ response_parameters: [{ size: index * 10 }], payload: payload(index) }),
    ),
  },
  "metadata that comes back": {
    method: "UnaryCall",
    messages: [{ response_size: 1 }],
    args: [
      ...[
        "-H",
        "x-grpc-test-echo-initial: first",
        "-H",
        `x-grpc-test-echo-trailing-bin: ${btoa("\x00\xff")}`,
      ],
    ],
  },
  "an error with a message of its own": {
    method: "UnaryCall",
    messages: [{ response_status: { code: 9, message: "nicht möglich: 100 %" } }],
  },
  "an error in the middle of a stream": {
    method: "FullDuplexCall",
    messages: [{ response_parameters: [{ size: 10 }] }, {
      response_status: { code: 10, message: "aborted" },
    }],
  },
  "a method nobody implements": { method: "UnimplementedCall", messages: [{}] },
  "a message over the client's limit": { method: "UnaryCall", messages: [{ response_size: 5 << 20 }] },
};

for (const [what, call] of Object.entries(CALLS)) {
  Deno.test(`grpcurl is told the same through the proxy as directly of ${what}`, async () => {
    const before = (await proxy.events()).length;
    const [expected, actual] = [await grpcurl(direct(), call), await grpcurl(through(), call)];
    assertEquals(actual.code, expected.code, actual.stderr);
    assertEquals(actual.stdout, expected.stdout);
    assertEquals(actual.stderr, expected.stderr);
    const flow = await proxy.eventsAfter(before);
    const asked = flow.filter(({ kind }) => kind === "request_headers").map(({ attributes }) =>
      attributes.target
    );
    assert(asked.includes(`/${SERVICE}/${call.method}`), asked.join());
  });
}

/** It learns the service's types by reflection, itself a stream both ways. */
async function grpcurl(way: Way, { method, messages, args = [] }: Call): Promise<Outcome> {
  const outcome = await grpc("grpcurl", way, [
    ...["-v", "-cacert", way.trust, "-max-time", "20", ...args],
    ...["-d", "@", way.address, `${SERVICE}/${method}`],
  ], { stdin: messages.map((message) => JSON.stringify(message)).join("\n") });
  return { ...outcome, stdout: sortedMetadata(outcome.stdout) };
}

/** Metadata is a map to grpcurl, and shown in the order of the day. */
function sortedMetadata(text: string): string {
  return text.replace(
    /(?<=metadata|headers received|trailers received):\n((?:[a-z].*\n)+)/g,
    (_, lines: string) => `:\n${lines.split("\n").filter((line) => line !== "").sort().join("\n")}\n`,
  );
}

Deno.test("grpcurl's deadline ends a call that takes longer, and the log says that it was ended", async () => {
  const before = (await proxy.events()).length;
  const sleepy = JSON.stringify({ response_parameters: [{ size: 1, interval_us: 20_000_000 }] });
  const ask = (way: Way) =>
    grpc("grpcurl", way, [
      ...[
        "-cacert",
        way.trust,
        "-max-time",
        "1",
        "-d",
        sleepy,
        way.address,
        `${SERVICE}/StreamingOutputCall`,
      ],
    ]);
  const [expected, actual] = [await ask(direct()), await ask(through())];
  for (const { code, stderr } of [expected, actual]) {
    assertEquals(code, 64 + 4, stderr);
    assertStringIncludes(stderr, "Code: DeadlineExceeded");
  }
  const flow = await proxy.eventsAfter(before);
  const asked = flow.find(({ kind, attributes }) =>
    kind === "request_headers" && attributes.target === `/${SERVICE}/StreamingOutputCall`
  );
  const fields = asked?.attributes.headers as [string, string][];
  assert(fields.some(([name]) => name === "grpc-timeout"), JSON.stringify(fields));
  const completed = flow.find(({ kind, stream_key }) =>
    kind === "exchange_completed" && stream_key === asked?.stream_key
  );
  // Both sides know the deadline, and either may be first.
  assert(
    ["client_aborted", "reset"].includes(String(completed?.attributes.outcome)),
    JSON.stringify(completed),
  );
});

interface GhzReport {
  readonly count: number;
  readonly rps: number;
  readonly statusCodeDistribution: { readonly [code: string]: number };
}

/** How many calls of each kind, over four connections. */
const LOADS: { readonly [method: string]: { readonly calls: number; readonly data: unknown } } = {
  UnaryCall: { calls: 3000, data: { response_size: 1024, payload: payload(256) } },
  StreamingInputCall: { calls: 300, data: Array(10).fill({ payload: payload(300) }) },
  StreamingOutputCall: { calls: 300, data: { response_parameters: Array(10).fill({ size: 300 }) } },
  FullDuplexCall: {
    calls: 300,
    data: Array(10).fill({ response_parameters: [{ size: 100 }], payload: payload(100) }),
  },
};

for (const [method, { calls, data }] of Object.entries(LOADS)) {
  Deno.test(`ghz makes ${calls} calls of ${method}, forty at once, and none fails`, async () => {
    const before = (await proxy.events()).length;
    const way = through();
    const { code, stdout, stderr } = await grpc("ghz", way, [
      ...["--cacert", way.trust, "--call", `${SERVICE}/${method}`, "-d", JSON.stringify(data), "-O", "json"],
      ...["-n", String(calls), "-c", "40", "--connections", "4", way.address],
    ], { timeoutMs: 60_000 });
    assertEquals(code, 0, stderr);
    const said = JSON.parse(stdout) as GhzReport;
    console.log(`${method}: ${said.count} calls, ${Math.round(said.rps)} a second`);
    assertEquals([said.count, said.statusCodeDistribution], [calls, { OK: calls }]);
    const events = await proxy.eventsAfter(before);
    const asked = events.filter(({ kind, attributes }) =>
      kind === "request_headers" && attributes.target === `/${SERVICE}/${method}`
    );
    assertEquals(asked.length, calls);
    const streams = new Set(asked.map(({ flow_id, stream_key }) => `${flow_id} ${stream_key}`));
    const own = events.filter(({ flow_id, stream_key }) => streams.has(`${flow_id} ${stream_key}`));
    assertEquals(statusesOf(own), Array(calls).fill("0"));
  });
}

Deno.test("calls survive the GOAWAY of a server that lets no connection grow old", async () => {
  await using aging = await startPeer(tool("grpcPeer"), [
    ...["serve", "-cert", `${folder}/server.pem`, "-key", `${folder}/server.key`, "-age", "300ms"],
  ]);
  const before = (await proxy.events()).length;
  const way = through();
  // Paced, so that connections age while calls are under way.
  const { code, stdout, stderr } = await grpc("ghz", way, [
    ...[
      "--cacert",
      way.trust,
      "--call",
      `${SERVICE}/UnaryCall`,
      "-d",
      JSON.stringify({ response_size: 500 }),
    ],
    ...["-O", "json", "-n", "2000", "-c", "20", "--connections", "2", "--rps", "1000"],
    `localhost.:${aging.ports[0]}`,
  ], { timeoutMs: 60_000 });
  assertEquals(code, 0, stderr);
  assertEquals((JSON.parse(stdout) as GhzReport).statusCodeDistribution, { OK: 2000 });
  const events = await proxy.eventsAfter(before);
  // Not the one over which ghz learns the types: it leaves that with its stream open.
  const calling = new Set(
    events.filter(({ attributes }) => attributes.target === `/${SERVICE}/UnaryCall`).map(({ flow_id }) =>
      flow_id
    ),
  );
  assert(calling.size >= 6, `${calling.size} connections`);
  const ends = events.filter(({ kind, flow_id }) => kind === "stream_closed" && calling.has(flow_id));
  assertEquals(ends.map(({ attributes }) => attributes.reason_code), ends.map(() => "complete"));
});
