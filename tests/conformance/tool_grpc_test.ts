/**
 * gRPC through the proxy, between programs of grpc-go that find it by HTTPS_PROXY alone: its interoperability
 * cases, grpcurl for each kind of call, ghz for many at once. What each is told directly, it must be told through
 * the proxy: messages, metadata, status, details and deadlines.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { certificateArgs, endLane, makeServerFolder, trustConfig } from "../support/lane.ts";
import { type LogEvent, ProxyProcess } from "../support/proxy_process.ts";
import { type ServerProcess, startPeer } from "../support/server_process.ts";
import { type Outcome, run, type RunOptions, tool, type ToolName } from "../support/tools.ts";

const SERVICE = "grpc.testing.TestService";

let folder: string;
let origin: ServerProcess;
let proxy: ProxyProcess;

Deno.test.beforeAll(async () => {
  folder = await makeServerFolder();
  origin = await startPeer(tool("grpcPeer"), ["serve", ...certificateArgs(folder)]);
  proxy = await ProxyProcess.start("grpc", {
    config: trustConfig(folder),
  });
});

Deno.test.afterAll(() => endLane(folder, [proxy], [origin]));

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

/** What the log must tell of a call: its method, its messages from the client and from the server, its status. */
type Told = readonly [method: string, requests: number, responses: number, status: number];

/**
 * Every case of `grpc_peer list`, and what its calls are; null where that depends on who is first, a side that
 * ends the call with RST_STREAM or one that answers.
 */
const CASES: { readonly [name: string]: readonly Told[] | null } = {
  empty_unary: [["EmptyCall", 1, 1, 0]],
  large_unary: [["UnaryCall", 1, 1, 0]],
  client_streaming: [["StreamingInputCall", 4, 1, 0]],
  server_streaming: [["StreamingOutputCall", 1, 4, 0]],
  ping_pong: [["FullDuplexCall", 4, 4, 0]],
  empty_stream: [["FullDuplexCall", 0, 0, 0]],
  timeout_on_sleeping_server: null,
  cancel_after_begin: null,
  cancel_after_first_response: null,
  status_code_and_message: [["UnaryCall", 1, 0, 2], ["FullDuplexCall", 1, 0, 2]],
  special_status_message: [["UnaryCall", 1, 0, 2]],
  custom_metadata: [["UnaryCall", 1, 1, 0], ["FullDuplexCall", 1, 1, 0]],
  unimplemented_method: [["UnimplementedCall", 1, 0, 12]],
  unimplemented_service: [["UnimplementedCall", 1, 0, 12]],
  large_messages: [["UnaryCall", 1, 1, 0]],
  gzip_messages: [["UnaryCall", 1, 1, 0], ["FullDuplexCall", 20, 20, 0]],
  long_bidirectional_stream: [["FullDuplexCall", 2000, 2000, 0]],
  small_calls_at_once: Array<Told>(200).fill(["UnaryCall", 1, 1, 0]),
  // More unfinished messages than the observers of a flow may keep: they tell of some only.
  large_calls_at_once: null,
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
      assertEquals(flow.at(-1)?.attributes.reason_code, "complete");
      if (expected !== null) assertEquals(toldOf(flow), [["EmptyCall", 1, 1, 0], ...expected]);
    });
  }
});

Deno.test("the log has a call's messages and its status as they were meant", async () => {
  const of = async (name: string) => {
    const before = (await proxy.events()).length;
    const way = through();
    const args = ["call", "-address", way.address, "-ca", way.trust, name];
    const { code, stderr } = await grpc("grpcPeer", way, args);
    assertEquals(code, 0, stderr);
    const flow = await proxy.eventsAfter(before);
    return (kind: string) => flow.filter((event) => event.kind === kind).map(({ attributes }) => attributes);
  };
  const large = await of("large_unary");
  const sizes = large("grpc_message").map(({ bytes }) => Number(bytes));
  // The payload and a few octets of its message.
  for (const [index, payload] of [271_828, 314_159].entries()) {
    assert(sizes[index]! > payload && sizes[index]! < payload + 30, sizes.join());
  }
  const [request] = large("grpc_headers");
  assertEquals([request?.service, request?.direction], [SERVICE, "request"]);
  assert(Number(request?.timeout_ns) > 25e9, "the client's deadline");
  const compressed = (await of("gzip_messages"))("grpc_message");
  assert(
    compressed.some((attributes) => attributes.compressed === true && Number(attributes.decoded_bytes) > 100),
  );
  const [special] = (await of("special_status_message"))("grpc_trailers");
  assertEquals(special?.grpc_message, "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n");
});

/** What the log tells of each call, in the order of their beginnings. */
function toldOf(events: readonly LogEvent[]): Told[] {
  const calls = new Map<string, LogEvent[]>();
  for (const event of events) {
    if (event.protocol !== "grpc") continue;
    const key = `${event.flow_id} ${event.stream_key}`;
    const known = calls.get(key);
    if (known === undefined) calls.set(key, [event]);
    else known.push(event);
  }
  return [...calls.values()].map((call) => {
    const messages = (direction: string) =>
      call.filter(({ kind, attributes }) => kind === "grpc_message" && attributes.direction === direction)
        .length;
    const head = call.find(({ kind }) => kind === "grpc_headers");
    const end = call.find(({ kind }) => kind === "grpc_trailers");
    return [
      String(head?.attributes.method),
      messages("request"),
      messages("response"),
      Number(end?.attributes.grpc_status ?? -1),
    ];
  });
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

interface Load {
  readonly calls: number;
  readonly data: unknown;
  /** Messages of each call. */
  readonly requests: number;
  readonly responses: number;
}

/** By method, over four connections. */
const LOADS: { readonly [method: string]: Load } = {
  UnaryCall: {
    calls: 3000,
    data: { response_size: 1024, payload: payload(256) },
    requests: 1,
    responses: 1,
  },
  StreamingInputCall: {
    calls: 300,
    data: Array(10).fill({ payload: payload(300) }),
    requests: 10,
    responses: 1,
  },
  StreamingOutputCall: {
    calls: 300,
    data: { response_parameters: Array(10).fill({ size: 300 }) },
    requests: 1,
    responses: 10,
  },
  FullDuplexCall: {
    calls: 300,
    data: Array(10).fill({ response_parameters: [{ size: 100 }], payload: payload(100) }),
    requests: 10,
    responses: 10,
  },
};

for (const [method, { calls, data, requests, responses }] of Object.entries(LOADS)) {
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
    const told = toldOf(events).filter(([called]) => called === method);
    assertEquals(told, Array<Told>(calls).fill([method, requests, responses, 0]));
  });
}

Deno.test("calls survive the GOAWAY of a server that lets no connection grow old", async () => {
  await using aging = await startPeer(tool("grpcPeer"), [
    ...["serve", ...certificateArgs(folder), "-age", "300ms"],
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
  const events = await proxy.eventsAfter(before);
  // ghz at times counts one call more, that it made while it closed its connections: nobody ever saw that one.
  assertEquals((JSON.parse(stdout) as GhzReport).statusCodeDistribution["OK"], 2000);
  const told = toldOf(events).filter(([called]) => called === "UnaryCall");
  assertEquals(told, Array<Told>(2000).fill(["UnaryCall", 1, 1, 0]));
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
