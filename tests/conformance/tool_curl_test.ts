/**
 * curl through the proxy, over plain HTTP and over intercepted TLS: what it asks is what the origin sees, what
 * the origin says is what it gets, and each refusal is the one the contract promises.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { makeAuthority, makeSelfSigned } from "../support/certificates.ts";
import { curlThrough } from "../support/curl.ts";
import { freePort } from "../support/free_port.ts";
import { type HttpOrigin, patternBytes, sha256Hex, startHttpOrigin } from "../support/origin.ts";
import { type LogEvent, ProxyProcess, soth } from "../support/proxy_process.ts";
import type { RunOptions } from "../support/tools.ts";

const authority = makeAuthority();
const UPLOAD = patternBytes(10_000_000);

let proxy: ProxyProcess;
let folder: string;
let plain: HttpOrigin;
let secure: HttpOrigin;
let tunnelled: HttpOrigin;
let wrong: HttpOrigin;

Deno.test.beforeAll(async () => {
  const localhost = { names: ["localhost", "127.0.0.1"] };
  folder = await Deno.makeTempDir();
  await Deno.writeTextFile(`${folder}/root.pem`, authority.certPem);
  plain = await startHttpOrigin();
  secure = await startHttpOrigin({ certificate: authority.issue(localhost) });
  tunnelled = await startHttpOrigin({ certificate: authority.issue(localhost) });
  wrong = await startHttpOrigin({ certificate: makeSelfSigned(localhost) });
  proxy = await ProxyProcess.start("curl", {
    config: `
      [tls]
      upstream_ca_bundle = ${JSON.stringify(`${folder}/root.pem`)}
      [policy]
      block_hosts = ["*.blocked.test"]
      ignore_hosts = ["localhost:${tunnelled.port}"]
    `,
  });
});

Deno.test.afterAll(async () => {
  try {
    await proxy.stop();
  } finally {
    await proxy[Symbol.asyncDispose]();
    for (const origin of [plain, secure, tunnelled, wrong]) await origin.close();
    await Deno.remove(folder, { recursive: true });
  }
});

const curl = (args: readonly string[], options: RunOptions & { readonly trust?: string } = {}) =>
  curlThrough(proxy, args, options);

/** The same check over both paths: absolute-form to the proxy, and inside an intercepted tunnel. */
function overBoth(name: string, check: (url: string, origin: HttpOrigin) => Promise<void>): void {
  Deno.test(`curl over http ${name}`, () => check(`http://localhost:${plain.port}`, plain));
  Deno.test(`curl over https ${name}`, () => check(`https://localhost:${secure.port}`, secure));
}

/** The events of the flow in which `target` was asked for, once that flow is over. */
const flowOf = (target: string) =>
  proxy.flow(
    `a request for ${target}`,
    ({ kind, attributes }) => kind === "request_headers" && String(attributes.target).endsWith(target),
  );

const kindsOf = (events: readonly LogEvent[]) => events.map(({ kind }) => kind);

overBoth("gets a body byte for byte", async (url) => {
  const { code, stdoutBytes, stderr } = await curl([`${url}/bytes/200000`]);
  assertEquals([code, stderr], [0, ""]);
  assertEquals(sha256Hex(stdoutBytes), sha256Hex(patternBytes(200_000)));
  const events = await flowOf("/bytes/200000");
  const chunks = events.filter(({ kind }) => kind === "response_body_chunk");
  assertEquals(chunks.map(({ attributes }) => attributes.bytes), [
    ...Array(12).fill(16384),
    200_000 - 12 * 16384,
  ]);
  assertEquals(events.find(({ kind }) => kind === "exchange_completed")?.attributes.outcome, "complete");
  assertEquals(events.at(-1)?.attributes.reason_code, "complete");
});

overBoth("posts 10 MB after Expect: 100-continue", async (url, origin) => {
  const { code, stdout } = await curl([
    "--data-binary",
    "@-",
    "-H",
    "Expect: 100-continue",
    `${url}/digest?10mb`,
  ], {
    stdin: UPLOAD,
  });
  assertEquals(code, 0);
  assertEquals(JSON.parse(stdout), { bytes: UPLOAD.length, sha256: sha256Hex(UPLOAD) });
  assertEquals(origin.requests.at(-1)?.bodySha256, sha256Hex(UPLOAD));
});

overBoth("uploads in chunks of unknown total", async (url, origin) => {
  const body = patternBytes(300_000);
  const { code, stdout } = await curl(["-T", "-", "-X", "POST", `${url}/digest?chunked`], { stdin: body });
  assertEquals(code, 0);
  assertEquals(JSON.parse(stdout).sha256, sha256Hex(body));
  const fields = origin.requests.at(-1)?.fields ?? [];
  assertEquals(fields.find(([name]) => name === "Transfer-Encoding")?.[1], "chunked");
});

overBoth("gets the head alone for HEAD, and no body for 204 and 304", async (url) => {
  const head = await curl(["-I", `${url}/bytes/12345`]);
  assertEquals(head.code, 0);
  assertStringIncludes(head.stdout, "Content-Length: 12345\r\n");
  for (const status of [204, 304]) {
    const { code, stdout } = await curl(["-w", "%{http_code} %{size_download}", `${url}/status/${status}`]);
    assertEquals([code, stdout], [0, `${status} 0`]);
  }
});

overBoth("passes a 404 through as the origin said it", async (url) => {
  const { code, stdout } = await curl(["-w", "%{http_code}", `${url}/nothing/here`]);
  assertEquals([code, stdout], [0, "not found\n404"]);
});

overBoth("keeps one connection for several exchanges", async (url, origin) => {
  const before = origin.connections();
  const { code, stdout } = await curl(["-w", "%{num_connects} ", `${url}/echo?keep1`, `${url}/echo?keep2`]);
  assertEquals([code, stdout], [0, "1 0 "]);
  assertEquals(origin.connections(), before + 1);
  const events = await flowOf("/echo?keep2");
  const requests = events.filter(({ kind }) => kind === "request_headers");
  assertEquals(requests.map(({ attributes }) => attributes.exchange_id), [1, 2]);
});

overBoth("gets chunks, trailers, gzip, a close-delimited body and early hints", async (url) => {
  const chunked = await curl([`${url}/chunked/50000/777`]);
  assertEquals(sha256Hex(chunked.stdoutBytes), sha256Hex(patternBytes(50_000)));
  const trailers = await curl(["-D", "-", `${url}/trailers`]);
  assertStringIncludes(trailers.stdout, "with trailers\n");
  assertStringIncludes(trailers.stdout, "X-Checksum: abc\r\n");
  assert(kindsOf(await flowOf("/trailers")).includes("response_trailers"));
  const gzip = await curl(["--compressed", `${url}/gzip/70000`]);
  assertEquals(sha256Hex(gzip.stdoutBytes), sha256Hex(patternBytes(70_000)));
  const closed = await curl([`${url}/close/90000`]);
  assertEquals([closed.code, sha256Hex(closed.stdoutBytes)], [0, sha256Hex(patternBytes(90_000))]);
  const hints = await curl(["-D", "-", `${url}/hints`]);
  assertStringIncludes(
    hints.stdout,
    "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\nHTTP/1.1 200 OK",
  );
});

overBoth("hears a refused expectation, and an answer that comes before its body is sent", async (url) => {
  const refused = await curl(
    ["-w", "%{http_code}", "-H", "Expect: 100-continue", "--data-binary", "@-", `${url}/refuse-expectation`],
    { stdin: patternBytes(2_000_000) },
  );
  assertStringIncludes(refused.stdout, "417");
  const early = await curl(["-w", "%{http_code}", "-H", "Expect:", "--data-binary", "@-", `${url}/early`], {
    stdin: patternBytes(2_000_000),
  });
  assertEquals([early.code, early.stdout], [0, "answered early\n200"]);
});

overBoth("speaks HTTP/1.0, with and without keep-alive", async (url) => {
  const { code, stdout } = await curl(["--http1.0", `${url}/fields?old`]);
  assertEquals(code, 0);
  assertEquals(JSON.parse(stdout)[0][0], "Host");
  const events = await flowOf("/fields?old");
  assertEquals(events.find(({ kind }) => kind === "request_headers")?.attributes.version, "HTTP/1.0");
});

overBoth("sends its fields unchanged, in order, without what was meant for the proxy", async (url) => {
  const { stdout } = await curl([
    ...["-H", "x-CaSe: a", "-H", "X-Twice: 1", "-H", "X-Twice: 2", "-H", "Accept:", "-H", "User-Agent:"],
    `${url}/fields?order`,
  ]);
  const host = new URL(url).host;
  assertEquals(JSON.parse(stdout), [["Host", host], ["x-CaSe", "a"], ["X-Twice", "1"], ["X-Twice", "2"]]);
});

overBoth("redacts secrets in the log, never on the wire", async (url) => {
  const { stdout } = await curl(["-H", "Authorization: Bearer abcdefgh", `${url}/fields?secret`]);
  assertStringIncludes(stdout, "Bearer abcdefgh");
  await flowOf("/fields?secret");
  const log = await Deno.readTextFile(proxy.folder.log);
  const line = log.split("\n").find((one) =>
    one.includes('"request_headers"') && one.includes("/fields?secret")
  )!;
  assertStringIncludes(line, '["Authorization","[redacted 15 bytes]"]');
  assert(!line.includes("abcdefgh"));
});

Deno.test("curl over https sees the events of an intercepted flow in their order", async () => {
  await curl([`https://localhost:${secure.port}/bytes/5?order`]);
  const events = await flowOf("/bytes/5?order");
  assertEquals(kindsOf(events), [
    "connect_received",
    "connect_decision",
    "tls_client_hello",
    "tls_handshake_started",
    "tls_handshake_succeeded",
    "tls_handshake_started",
    "tls_handshake_succeeded",
    "request_headers",
    "response_headers",
    "response_body_chunk",
    "payload_decoded",
    "exchange_completed",
    "stream_closed",
  ]);
  const handshakes = events.filter(({ kind }) => kind === "tls_handshake_succeeded");
  assertEquals(handshakes.map(({ attributes }) => attributes.side), ["server", "client"]);
  assertEquals(events[1]?.attributes, { action: "intercept", reason: "default" });
});

/** A refusal that answers plain requests and CONNECTs alike. */
async function assertRefused(host: string, port: number, status: number, proxyError: string): Promise<void> {
  const { code, stdout } = await curl(["-D", "-", `http://${host}:${port}/`]);
  assertEquals(code, 0);
  assertRefusal(stdout, status, proxyError);
  const connect = await curl(["-w", "%{http_connect}", `https://${host}:${port}/`]);
  assertEquals([connect.code !== 0, connect.stdout], [true, String(status)]);
  assertRefusal(await connectTo(`${host}:${port}`), status, proxyError);
}

function assertRefusal(answer: string, status: number, proxyError: string): void {
  const [head = "", body = ""] = answer.split("\r\n\r\n");
  assertStringIncludes(head, `HTTP/1.1 ${status} `);
  assertEquals(/^content-length: (\d+)/im.exec(head)?.[1], String(new TextEncoder().encode(body).length));
  assertStringIncludes(/^proxy-status: (.*)/im.exec(head)?.[1] ?? "", `soth-mitm; error=${proxyError}`);
  assertEquals(Object.keys(JSON.parse(body)), ["error", "detail"]);
}

/** The whole answer to a CONNECT, which curl does not show. */
async function connectTo(target: string): Promise<string> {
  const connection = await Deno.connect({ hostname: proxy.host, port: proxy.port });
  await connection.write(new TextEncoder().encode(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`));
  const answer = await new Response(connection.readable).text();
  return answer;
}

Deno.test("curl gets 403 for a blocked host, and no socket was opened for it", async () => {
  await assertRefused("a.blocked.test", 80, 403, "http_request_denied");
  const events = await proxy.events();
  const flows = events.filter(({ server_host }) => server_host === "a.blocked.test");
  const decision = flows.find(({ kind }) => kind === "connect_decision");
  assertEquals(decision?.attributes, { action: "block", reason: "block_host" });
  assert(
    flows.some(({ kind, attributes }) => kind === "stream_closed" && attributes.reason_code === "blocked"),
  );
});

Deno.test("curl gets 502 for a server that refuses", async () => {
  await assertRefused("127.0.0.1", freePort(), 502, "connection_refused");
});

Deno.test("curl gets 502 for a name that does not resolve", async () => {
  await assertRefused("nowhere.invalid", 80, 502, "dns_error");
});

Deno.test("curl gets 508 for the proxy itself, by address and by name", async () => {
  await assertRefused("127.0.0.1", proxy.port, 508, "proxy_loop_detected");
  await assertRefused("localhost", proxy.port, 508, "proxy_loop_detected");
});

Deno.test("curl gets 502 for a server whose certificate nobody vouches for, and the server no request", async () => {
  const { code, stdout } = await curl([
    "-w",
    "%{http_connect} %{http_code}",
    `https://localhost:${wrong.port}/secret`,
  ]);
  const [body = "", status] = stdout.split("\n");
  assertEquals([code, status], [0, "200 502"], "the handshake follows the 200, so the 502 comes inside TLS");
  assertEquals(Object.keys(JSON.parse(body)), ["error", "detail"]);
  assertEquals(wrong.requests, []);
  const failure = await proxy.eventually(
    "a failed handshake",
    ({ kind, server_port }) => kind === "tls_handshake_failed" && server_port === wrong.port,
  );
  assertEquals(failure.attributes.side, "server");
  assertEquals(failure.attributes.normalized_reason, "unknown_ca");
});

Deno.test("curl sees the origin's own certificate through a tunnel, and the log sees no request", async () => {
  const url = `https://localhost:${tunnelled.port}/bytes/1000`;
  assertEquals((await curl([url])).code, 60, "the proxy's CA does not vouch for the origin");
  const { code, stdoutBytes } = await curl([url], { trust: `${folder}/root.pem` });
  assertEquals([code, sha256Hex(stdoutBytes)], [0, sha256Hex(patternBytes(1000))]);
  const events = await proxy.flow(
    "a closed tunnel",
    ({ kind, protocol, server_port, attributes }) =>
      kind === "stream_closed" && protocol === "tunnel" && server_port === tunnelled.port &&
      Number(attributes.bytes_from_server) > 2000,
  );
  assertEquals(kindsOf(events), [
    "connect_received",
    "connect_decision",
    "tls_client_hello",
    "stream_closed",
  ]);
});

Deno.test("curl that does not trust the CA fails, and the log says on which side and why", async () => {
  const { code } = await curl([`https://localhost:${secure.port}/`], { trust: `${folder}/root.pem` });
  assertEquals(code, 60);
  const failure = await proxy.eventually(
    "a failed handshake",
    ({ kind, attributes }) => kind === "tls_handshake_failed" && attributes.side === "client",
  );
  assertEquals(failure.attributes.normalized_reason, "unknown_ca");
});

Deno.test("curl that leaves in mid-download is client_aborted, not the server's failure", async () => {
  const leave = ["--limit-rate", "100K", "--max-time", "0.5", "-o", "-"];
  const { code } = await curl([...leave, `https://localhost:${secure.port}/endless`]);
  assertEquals(code, 28);
  const events = await flowOf("/endless");
  assertEquals(
    events.find(({ kind }) => kind === "exchange_completed")?.attributes.outcome,
    "client_aborted",
  );
});

Deno.test("curl hears of a server that breaks off as a broken transfer", async () => {
  for (const path of ["truncate", "reset"]) {
    const { code } = await curl([`https://localhost:${secure.port}/${path}`]);
    assert([18, 56].includes(code), `exit ${code}`);
    const events = await flowOf(`/${path}`);
    assertEquals(
      events.find(({ kind }) => kind === "exchange_completed")?.attributes.outcome,
      "server_aborted",
    );
  }
});

Deno.test("log show prints the exchanges of this log for a person to read", async () => {
  const { code, stdout } = await soth("log", ["show", proxy.folder.log]);
  assertEquals(code, 0);
  assertStringIncludes(stdout, "/bytes/200000");
  assertStringIncludes(stdout, "a.blocked.test");
});

Deno.test("curl that trusts the server's CA alone is learned, let through in TLS, listed, and intercepted again once cleared", async () => {
  await using other = await ProxyProcess.start("curl-learned", {
    config: `
      [tls]
      upstream_ca_bundle = ${JSON.stringify(`${folder}/root.pem`)}
      learned_bypass = "on"
      learned_bypass_failures = 3
    `,
  });
  const pinned = async (...args: string[]) => {
    const url = `https://localhost:${secure.port}/bytes/5`;
    const { code } = await curlThrough(other, [...args, "-o", "/dev/null", url], {
      trust: `${folder}/root.pem`,
    });
    // What was learned of it is known once its flow is over.
    await other.eventsAfter(0);
    return code;
  };
  const learned = async (...args: string[]) => {
    const { stdout } = await soth("learned", [...args, "--state-dir", `${other.folder.state}/state`]);
    return stdout;
  };
  const refused = 60;
  assertEquals([await pinned(), await pinned(), await pinned()], [refused, refused, refused]);
  assertEquals(await pinned(), 0);
  // The second of two connections resumes the session of the first, and its ClientHello has another JA4.
  const last = `https://localhost:${secure.port}/last`;
  assertEquals(await pinned("-o", "/dev/null", last), 0);
  assertEquals(await pinned("--tls-max", "1.2"), refused, "another client");
  const listed = await learned("list");
  for (const part of ["localhost\n", "3 failures", "UnknownCA"]) assertStringIncludes(listed, part);
  assertEquals(await learned("clear", "--host", "localhost"), "1 learned bypass cleared\n");
  assertEquals(await pinned(), refused);
  await other.stop();
  const outcomes = (await other.events()).filter(({ kind }) => kind === "tls_learning_audit")
    .map(({ attributes }) => attributes.outcome);
  assertEquals(outcomes.slice(0, 6), ["counted", "counted", "learned", "bypassed", "bypassed", "bypassed"]);
  const offered = (await other.events()).filter(({ kind }) => kind === "tls_client_hello");
  assertEquals(new Set(offered.slice(3, 6).map(({ attributes }) => attributes.ja4)).size, 2);
});
