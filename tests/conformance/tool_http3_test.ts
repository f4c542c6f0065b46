/**
 * HTTP/3 through the proxy, between client and server of quic-go: QUIC comes by CONNECT-UDP, its capsules written
 * and read by quic-go. What the client gets directly it must get through the proxy, from the server's own
 * certificate; and curl's CONNECT with an ALPN field must be let through undecrypted.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { curlThrough } from "../support/curl.ts";
import { patternBytes, sha256Hex } from "../support/origin.ts";
import { certificateArgs, endLane, makeServerFolder, trustConfig } from "../support/lane.ts";
import { type LogEvent, ProxyProcess } from "../support/proxy_process.ts";
import { type ServerProcess, startPeer } from "../support/server_process.ts";
import { type Outcome, run, tool } from "../support/tools.ts";

const UPLOAD = patternBytes(3_000_000);

let folder: string;
let origin: ServerProcess;
let tcpOrigin: ServerProcess;
let issuer: string;

Deno.test.beforeAll(async () => {
  folder = await makeServerFolder();
  await Deno.writeFile(`${folder}/upload.bin`, UPLOAD);
  const files = certificateArgs(folder);
  origin = await startPeer(tool("http3Peer"), ["serve", ...files]);
  tcpOrigin = await startPeer(tool("http2Peer"), files);
  [{ issuer }] = parsed(await fetched("/bytes/1"));
});

Deno.test.afterAll(() => endLane(folder, [], [origin, tcpOrigin]));

interface Response {
  readonly proto: string;
  readonly status: number;
  readonly bytes: number;
  readonly sha256: string;
  readonly text?: string;
  readonly trailers?: { readonly [name: string]: string };
  readonly issuer: string;
}

/** Directly where no proxy is given. */
function fetched(path: string, proxy?: ProxyProcess, args: readonly string[] = []): Promise<Outcome> {
  const through = proxy === undefined ? [] : ["-proxy", `${proxy.host}:${proxy.port}`];
  return run(tool("http3Peer"), [
    ...["get", "-root", `${folder}/root.pem`, ...through, ...args],
    `https://localhost:${origin.ports[0]}${path}`,
  ], {
    timeoutMs: 90_000,
    // quic-go would say that a tunnel has no receive buffer.
    env: { QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING: "true" },
  });
}

function parsed({ code, stdout, stderr }: Outcome): [Response, ...Response[]] {
  assertEquals([code, stderr], [0, ""]);
  return JSON.parse(stdout);
}

async function withProxy(
  config: string,
  work: (proxy: ProxyProcess) => Promise<void>,
): Promise<readonly LogEvent[]> {
  await using proxy = await ProxyProcess.start("http3", { config });
  await work(proxy);
  await proxy.stop();
  return await proxy.events();
}

function attributesOf(events: readonly LogEvent[], kind: string) {
  return events.filter((event) => event.kind === kind).map(({ attributes }) => attributes);
}

Deno.test("an HTTP/3 client of quic-go gets through CONNECT-UDP what it gets directly, undecrypted", async () => {
  const events = await withProxy("", async (proxy) => {
    for (const path of ["/bytes/0", "/bytes/1000000", "/status/418", "/trailers"]) {
      const direct = parsed(await fetched(path));
      const [first] = direct;
      assertEquals(first.proto, "HTTP/3.0");
      assertEquals(parsed(await fetched(path, proxy)), direct, path);
    }
    const args = ["-upload", `${folder}/upload.bin`];
    const [{ text }] = parsed(await fetched("/digest", proxy, args));
    assertEquals(JSON.parse(text!), { bytes: UPLOAD.length, sha256: await sha256Hex(UPLOAD) });
  });
  for (const passed of attributesOf(events, "http3_passthrough")) {
    assertEquals(passed, { hint: "connect_udp", prior_action: "intercept" });
  }
  const closed = events.filter(({ kind }) => kind === "stream_closed");
  assertEquals(closed.length, 5);
  for (const { protocol, attributes, server_host, server_port } of closed) {
    assertEquals([protocol, server_host, server_port], ["http3", "localhost", origin.ports[0]]);
    assert((attributes["datagrams_from_client"] as number) > 2, JSON.stringify(attributes));
    assert((attributes["datagrams_from_server"] as number) > 2, JSON.stringify(attributes));
  }
  assert((closed[1]!.attributes["bytes_from_server"] as number) > 1_000_000);
  assert((closed[4]!.attributes["datagram_bytes_from_client"] as number) > UPLOAD.length);
  // Nothing of the exchanges is there to be seen.
  assertEquals(attributesOf(events, "request_headers"), []);
});

Deno.test("many requests at once share one CONNECT-UDP", async () => {
  const events = await withProxy("", async (proxy) => {
    const responses = parsed(await fetched("/bytes/100000", proxy, ["-times", "30"]));
    assertEquals(responses.length, 30);
    const sha256 = await sha256Hex(patternBytes(100_000));
    for (const response of responses) assertEquals([response.sha256, response.issuer], [sha256, issuer]);
  });
  assertEquals(attributesOf(events, "connect_received").map(({ method }) => method), ["CONNECT-UDP"]);
});

Deno.test("a block wins over CONNECT-UDP, and without passthrough there is none where policy intercepts", async () => {
  for (
    const [config, reason] of [
      ['[policy]\nblock_hosts = ["localhost"]\n', "block_host"],
      ["[http]\nhttp3_passthrough = false\n", "http3"],
    ] as const
  ) {
    const events = await withProxy(config, async (proxy) => {
      const { code, stderr } = await fetched("/bytes/1", proxy);
      assertEquals(code, 1);
      assertStringIncludes(stderr, "the proxy answers 403 Forbidden");
    });
    assertEquals(attributesOf(events, "connect_decision"), [{ action: "block", reason }]);
    assertEquals(attributesOf(events, "http3_passthrough"), []);
  }
});

Deno.test("curl's CONNECT with an ALPN field that names h3 is not decrypted, and one without is", async () => {
  const url = `https://localhost:${tcpOrigin.ports[0]}/bytes/1000`;
  const events = await withProxy(
    trustConfig(folder),
    async (proxy) => {
      const digest = await sha256Hex(patternBytes(1000));
      const hinted = await curlThrough(proxy, ["--proxy-header", "ALPN: h3", url], {
        trust: `${folder}/root.pem`,
      });
      assertEquals([hinted.code, await sha256Hex(hinted.stdoutBytes)], [0, digest]);
      const plain = await curlThrough(proxy, [url]);
      assertEquals([plain.code, await sha256Hex(plain.stdoutBytes)], [0, digest]);
    },
  );
  assertEquals(attributesOf(events, "http3_passthrough"), [{
    hint: "connect_alpn",
    prior_action: "intercept",
  }]);
  assertEquals(attributesOf(events, "connect_decision").map(({ action, reason }) => [action, reason]), [
    ["tunnel", "http3"],
    ["intercept", "default"],
  ]);
  assertEquals(attributesOf(events, "request_headers").length, 1);
});

Deno.test("curl learns of no other service where strip_alt_svc says so, in HTTP/1.1 and HTTP/2", async () => {
  const url = `https://localhost:${tcpOrigin.ports[0]}/alt-svc`;
  const bundle = trustConfig(folder);
  const override = '[[overrides]]\nid = "on-tcp"\nhosts = ["localhost"]\nstrip_alt_svc = true\n';
  for (const [config, strips] of [[bundle, false], [bundle + override, true]] as const) {
    const events = await withProxy(config, async (proxy) => {
      for (const version of ["--http1.1", "--http2"]) {
        const cache = `${folder}/alt-svc${version}-${strips}.txt`;
        // Three on one connection: the server has the field in its HPACK table by then.
        const { code, stdout } = await curlThrough(proxy, [version, "-i", "--alt-svc", cache, url, url, url]);
        assertEquals(code, 0);
        assertEquals(stdout.toLowerCase().split("x-after: stays").length, 4, stdout);
        assertEquals(stdout.split("elsewhere\n").length, 4, stdout);
        assertEquals(/^alt-svc:/im.test(stdout), !strips, stdout);
        const learned = (await Deno.readTextFile(cache)).split("\n").filter((line) => /^h[12]/.test(line));
        assertEquals(learned.length > 0, !strips, learned.join("\n"));
      }
    });
    const stripped = attributesOf(events, "exchange_completed").map((attributes) => attributes["stripped"]);
    assertEquals(stripped, new Array(6).fill(strips ? ["alt-svc"] : undefined));
    for (const { headers } of attributesOf(events, "response_headers")) {
      assert((headers as string[][]).some(([name]) => name!.toLowerCase() === "alt-svc"));
    }
  }
});
