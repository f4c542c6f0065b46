/**
 * nghttp2's programs on both sides of a reverse listener: what nghttp is told by nghttpd and by Go's server
 * directly, it is told through the proxy, whatever windows, padding, tables, priorities and pushes are used; and
 * under the load of h2load no request fails and each is in the log.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { patternBytes, sha256Hex } from "../support/origin.ts";
import { certificateArgs, endLane, makeServerFolder, trustConfig } from "../support/lane.ts";
import { type LogEvent, ProxyProcess } from "../support/proxy_process.ts";
import { type ServerProcess, startOnFreePorts, startPeer } from "../support/server_process.ts";
import { type Outcome, run, tool } from "../support/tools.ts";

const UPLOAD = patternBytes(3_000_000);

let folder: string;
let go: ServerProcess;

Deno.test.beforeAll(async () => {
  folder = await makeServerFolder();
  await Deno.writeFile(`${folder}/upload.bin`, UPLOAD);
  await Deno.mkdir(`${folder}/site`);
  await Deno.writeTextFile(`${folder}/site/index.html`, "the page\n");
  await Deno.writeTextFile(`${folder}/site/style.css`, "p { color: green }\n");
  await Deno.writeFile(`${folder}/site/big.bin`, patternBytes(5_000_000));
  go = await startPeer(tool("http2Peer"), certificateArgs(folder));
});

Deno.test.afterAll(() => endLane(folder, [], [go]));

/** A proxy that relays all it accepts to `origin`; its log verifies, or the test fails. */
async function inFrontOf(
  name: string,
  origin: string,
  work: (proxy: ProxyProcess) => Promise<void>,
): Promise<void> {
  await using proxy = await ProxyProcess.start(name, {
    args: ["--reverse", origin],
    config: trustConfig(folder),
  });
  await work(proxy);
  await proxy.stop();
}

function nghttp(port: number, path: string, args: readonly string[]): Promise<Outcome> {
  return run(tool("nghttp"), ["--no-verify-peer", ...args, `https://localhost:${port}${path}`]);
}

/** What nghttp asks, by what is unusual about it. */
const QUESTIONS: { readonly [what: string]: { readonly path: string; readonly args: readonly string[] } } = {
  "nothing unusual": { path: "/big.bin", args: [] },
  "windows of a kilobyte": { path: "/style.css", args: ["-w10", "-W10", "-m50"] },
  "a window of a kilobyte and a large body": { path: "/big.bin", args: ["-w12", "-W14"] },
  "windows of a gigabyte": { path: "/big.bin", args: ["-w30", "-W30"] },
  "padding": { path: "/style.css", args: ["--padding=200", "-m20"] },
  "tables without room": {
    path: "/style.css",
    args: ["--header-table-size=0", "--encoder-header-table-size=0", "-m20"],
  },
  "a table that shrinks and grows": {
    path: "/style.css",
    args: ["--header-table-size=100", "--header-table-size=8192", "-m20"],
  },
  "CONTINUATION": { path: "/style.css", args: ["--continuation", "-m20"] },
  "weights, and no dependencies": { path: "/style.css", args: ["-p200", "--no-dep", "-m20"] },
  "one stream at a time": { path: "/style.css", args: ["--max-concurrent-streams=1", "-M1", "-m20"] },
  "no push": { path: "/index.html", args: ["--no-push"] },
};

Deno.test("nghttp is told by nghttpd through the proxy what it is told directly", async (t) => {
  await using server = await startOnFreePorts(tool("nghttpd"), 1, ([port]) => [
    ...["--address", "127.0.0.1", "--htdocs", `${folder}/site`, "--trailer", "x-trailer: t"],
    ...["--padding", "100", "--push", "/index.html=/style.css", "--echo-upload"],
    ...[String(port), `${folder}/server.key`, `${folder}/server.pem`],
  ]);
  await inFrontOf("nghttpd", `https://localhost:${server.ports[0]}`, async (proxy) => {
    for (const [what, { path, args }] of Object.entries(QUESTIONS)) {
      await t.step(what, async () => {
        const before = (await proxy.events()).length;
        const expected = await nghttp(server.ports[0]!, path, args);
        const actual = await nghttp(proxy.port, path, args);
        assertEquals([expected.code, expected.stderr], [0, ""]);
        assertEquals([actual.code, actual.stderr], [0, ""]);
        assertEquals(actual.stdoutBytes.length, expected.stdoutBytes.length);
        assertEquals(sha256Hex(actual.stdoutBytes), sha256Hex(expected.stdoutBytes));
        const events = await proxy.eventsAfter(before);
        assertAllComplete(events);
        const trailers = events.filter(({ kind }) => kind === "response_trailers");
        assert(trailers.length > 0);
        for (const { attributes } of trailers) assertEquals(attributes.headers, [["x-trailer", "t"]]);
      });
    }

    await t.step("a page and what is pushed with it", async () => {
      const before = (await proxy.events()).length;
      const { code, stdout } = await nghttp(proxy.port, "/index.html", ["--verbose"]);
      assertEquals(code, 0);
      assertStringIncludes(stdout, "recv PUSH_PROMISE frame");
      assertStringIncludes(stdout, "the page\n");
      assertStringIncludes(stdout, "p { color: green }\n");
      const events = await proxy.eventsAfter(before);
      const asked = events.filter(({ kind }) => kind === "request_headers");
      const [page, style] = asked;
      assertEquals([asked.length, page?.attributes.target, style?.attributes.target, style?.stream_key], [
        2,
        "/index.html",
        "/style.css",
        "h2:2",
      ]);
      assertAllComplete(events);
    });

    await t.step("an upload that comes back, with trailers", async () => {
      const before = (await proxy.events()).length;
      const { code, stdoutBytes } = await nghttp(proxy.port, "/echo", [
        ...["--data", `${folder}/upload.bin`, "--trailer", "x-sent: yes", "--padding=10", "-w16"],
      ]);
      assertEquals([code, sha256Hex(stdoutBytes)], [0, sha256Hex(UPLOAD)]);
      const events = await proxy.eventsAfter(before);
      const trailers = events.find(({ kind }) => kind === "request_trailers");
      assertEquals(trailers?.attributes.headers, [["x-sent", "yes"]]);
      assertAllComplete(events);
    });
  });
});

Deno.test("nghttp is told by Go's server through the proxy what it is told directly", async (t) => {
  const [port] = go.ports;
  await inFrontOf("nghttp-go", `https://localhost:${port}`, async (proxy) => {
    await t.step("trailers of both messages", async () => {
      const args = ["--data", `${folder}/upload.bin`, "--trailer", "x-sent: yes"];
      const before = (await proxy.events()).length;
      const expected = await nghttp(port!, "/trailers", args);
      const actual = await nghttp(proxy.port, "/trailers", args);
      assertEquals([actual.code, actual.stdout], [expected.code, expected.stdout]);
      assertStringIncludes(actual.stdout, "X-Sent: yes\n");
      assertAllComplete(await proxy.eventsAfter(before));
    });

    await t.step("an answer that comes before the request's body is sent", async () => {
      const before = (await proxy.events()).length;
      const { stdout } = await nghttp(proxy.port, "/early", ["--verbose", "--data", `${folder}/upload.bin`]);
      assertStringIncludes(stdout, "answered early\n");
      assertMatch(stdout, /recv RST_STREAM frame.*\n.*error_code=NO_ERROR/);
      const events = await proxy.eventsAfter(before);
      const completed = events.find(({ kind }) => kind === "exchange_completed")?.attributes;
      assertEquals(completed?.outcome, "complete");
      const sent = Number(completed?.request_body_bytes);
      assert(sent < UPLOAD.length, String(sent));
    });

    await t.step("early hints, and a stream that is reset", async () => {
      const hints = await nghttp(proxy.port, "/hints", ["--verbose"]);
      assertEquals(hints.stdout.match(/:status: \d+/g), [":status: 103", ":status: 103", ":status: 200"]);
      const abort = await nghttp(proxy.port, "/abort", ["--verbose", "--null-out"]);
      assertMatch(abort.stdout, /recv RST_STREAM frame.*\n.*error_code=INTERNAL_ERROR/);
    });
  });
});

function assertAllComplete(events: readonly LogEvent[]): void {
  const asked = events.filter(({ kind }) => kind === "request_headers").length;
  const outcomes = events.filter(({ kind }) => kind === "exchange_completed").map(({ attributes }) =>
    attributes.outcome
  );
  assertEquals(outcomes, Array(asked).fill("complete"));
  const closed = events.filter(({ kind }) => kind === "stream_closed");
  assertEquals(closed.map(({ attributes }) => attributes.reason_code), closed.map(() => "complete"));
}

interface Load {
  readonly scheme: "https" | "http";
  readonly path: string;
  readonly requests: number;
  readonly args: readonly string[];
}

const LOADS: { readonly [what: string]: Load } = {
  "16,000 requests for 1 KiB": { scheme: "https", path: "/bytes/1024", requests: 16_000, args: [] },
  "16,000 requests in the clear": { scheme: "http", path: "/bytes/1024", requests: 16_000, args: [] },
  "2,000 requests for 100 kB through small windows": {
    scheme: "https",
    path: "/bytes/100000",
    requests: 2_000,
    args: ["-w14", "-W15"],
  },
  "800 uploads of 300 kB": { scheme: "https", path: "/digest", requests: 800, args: ["--data=upload-small"] },
};

Deno.test("under 8 connections of 100 streams no request of h2load fails, and each is in the log", async (t) => {
  await Deno.writeFile(`${folder}/upload-small`, UPLOAD.subarray(0, 300_000));
  for (const [what, { scheme, path, requests, args }] of Object.entries(LOADS)) {
    await t.step(what, async () => {
      const port = go.ports[scheme === "https" ? 0 : 1];
      await inFrontOf("h2load", `${scheme}://localhost:${port}`, async (proxy) => {
        const { code, stdout } = await run(tool("h2load"), [
          ...["-n", String(requests), "-c8", "-m100", ...args, `${scheme}://localhost:${proxy.port}${path}`],
        ], { cwd: folder, timeoutMs: 60_000 });
        assertEquals(code, 0);
        const finished = stdout.split("\n").find((line) => line.startsWith("finished in"));
        console.log(`${what}: ${finished}`);
        assertStringIncludes(
          stdout,
          `requests: ${requests} total, ${requests} started, ${requests} done, ${requests} succeeded, ` +
            "0 failed, 0 errored, 0 timeout",
        );
        assertStringIncludes(stdout, `status codes: ${requests} 2xx, 0 3xx, 0 4xx, 0 5xx`);
        const events = await proxy.eventsAfter(0);
        const asked = events.filter(({ kind }) => kind === "request_headers");
        assertEquals(asked.length, requests);
        assertEquals(new Set(asked.map(({ flow_id }) => flow_id)).size, 8);
        assertAllComplete(events);
      });
    });
  }
});

Deno.test("a thousand streams at once on one connection are relayed, and each is in the log", async () => {
  await using server = await startOnFreePorts(tool("nghttpd"), 1, ([port]) => [
    ...["--address", "127.0.0.1", "--htdocs", `${folder}/site`, "--max-concurrent-streams=1000"],
    ...[String(port), `${folder}/server.key`, `${folder}/server.pem`],
  ]);
  await inFrontOf("thousand", `https://localhost:${server.ports[0]}`, async (proxy) => {
    const { code, stdout } = await run(tool("h2load"), [
      ...["-n", "5000", "-c1", "-m1000", `https://localhost:${proxy.port}/style.css`],
    ]);
    assertEquals(code, 0);
    assertStringIncludes(stdout, "5000 succeeded, 0 failed, 0 errored, 0 timeout");
    const events = await proxy.eventsAfter(0);
    let most = 0;
    let open = 0;
    for (const { kind } of events) {
      if (kind === "request_headers") most = Math.max(most, ++open);
      else if (kind === "exchange_completed") open--;
    }
    assertEquals([most, open], [1000, 0]);
    assertAllComplete(events);
  });
});
