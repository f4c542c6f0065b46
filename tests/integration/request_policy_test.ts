/** Policy for single requests, with clients and servers of other makes. */
import { assert, assertEquals } from "@std/assert";
import * as http2 from "node:http2";
import type { AddressInfo } from "node:net";
import type { Action, Question } from "../../mod.ts";
import { makeAuthority } from "../support/certificates.ts";
import { patternBytes, startHttpOrigin } from "../support/origin.ts";
import { type TestProxy, withProxy } from "../support/proxy.ts";

const authority = makeAuthority();
const certificate = authority.issue({ names: ["localhost"] });

async function withTrust(work: (trust: { tls: { upstream_ca_bundle: string } }) => Promise<void>) {
  const bundle = await Deno.makeTempFile({ suffix: ".crt" });
  await Deno.writeTextFile(bundle, authority.certPem);
  try {
    await work({ tls: { upstream_ca_bundle: bundle } });
  } finally {
    await Deno.remove(bundle);
  }
}

/** Answers each request with its path and how much it was sent, and keeps the paths. */
async function startHttp2Origin() {
  const paths: string[] = [];
  const server = http2.createSecureServer({ cert: certificate.certPem, key: certificate.keyPem });
  server.on("stream", (stream, headers) => {
    paths.push(String(headers[":path"]));
    let bytes = 0;
    stream.on("data", (part: Uint8Array) => bytes += part.length);
    stream.on("end", () => {
      stream.respond({ ":status": 200 });
      stream.end(`${headers[":path"]} ${bytes}`);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    paths,
    close: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}

async function connect(proxy: TestProxy, port: number): Promise<http2.ClientHttp2Session> {
  const { socket } = await proxy.tls(`localhost:${port}`, { ALPNProtocols: ["h2"] });
  socket.removeAllListeners("data");
  return http2.connect(`https://localhost:${port}`, { createConnection: () => socket });
}

interface Got {
  readonly status: number;
  readonly text: string;
}

function ask(
  session: http2.ClientHttp2Session,
  path: string,
  options: { readonly body?: Uint8Array; readonly headers?: http2.OutgoingHttpHeaders } = {},
): Promise<Got> {
  const { body, headers } = options;
  const stream = session.request({
    ":path": path,
    ":method": body === undefined ? "GET" : "POST",
    "x-path": path,
    ...headers,
  });
  let status = 0;
  let text = "";
  stream.setEncoding("utf8");
  stream.on("response", (head) => status = Number(head[":status"]));
  stream.on("data", (part: string) => text += part);
  const { promise, resolve, reject } = Promise.withResolvers<Got>();
  stream.on("end", () => resolve({ status, text }));
  stream.on("error", reject);
  stream.end(body);
  return promise;
}

const byPath = ({ path }: Question): Action => path?.startsWith("/no") ? "block" : "intercept";

for (
  const [name, policy] of [
    ["a policy function", byPath],
    ["an asynchronous one", async (question: Question) => {
      await new Promise((resolve) => setTimeout(resolve, 1));
      return byPath(question);
    }],
    ["rules with paths", undefined],
  ] as const
) {
  Deno.test(`HTTP/2 with ${name}: blocked streams get a 403, all others their answers`, async () => {
    const origin = await startHttp2Origin();
    await withTrust((trust) => {
      const rules = [{ id: "no", hosts: ["localhost"], paths: ["/no*"], action: "block" }];
      const settings = policy === undefined ? { ...trust, policy: { rules } } : trust;
      return withProxy({ settings, ...(policy === undefined ? {} : { policy }) }, async (proxy) => {
        const session = await connect(proxy, origin.port);
        const paths = Array.from(
          { length: 30 },
          (_, index) => index % 3 === 1 ? `/no/${index}` : `/${index}`,
        );
        const got = await Promise.all(
          paths.map((path, index) =>
            ask(session, path, index % 2 === 0 ? {} : { body: patternBytes(20_000) })
          ),
        );
        const detail = `localhost:${origin.port} is blocked by ${
          policy === undefined ? "rule no" : "policy"
        }`;
        for (const [index, path] of paths.entries()) {
          const { status, text } = got[index]!;
          if (path.startsWith("/no")) {
            assertEquals(status, 403);
            assertEquals(JSON.parse(text), { error: "blocked", detail });
          } else assertEquals([status, text], [200, `${path} ${index % 2 === 0 ? 0 : 20_000}`]);
        }
        assert(origin.paths.every((path) => !path.startsWith("/no")));
        assertEquals(origin.paths.length, 20);
        // After all that the connection is as good as ever, also for more than a window.
        assertEquals(await ask(session, "/last", { body: patternBytes(300_000) }), {
          status: 200,
          text: "/last 300000",
        });
        session.close();
        assertEquals((await proxy.closed(1)).attributes.reason_code, "complete");
        const blocked = proxy.of("exchange_completed", 1).filter(({ attributes }) =>
          attributes.outcome === "blocked"
        );
        assertEquals(blocked.length, 10);
        assert(blocked.every(({ attributes }) => attributes.answer_status === 403));
        const decided = proxy.of("connect_decision", 1).filter(({ stream_key }) => stream_key !== "flow");
        assertEquals(
          decided.map(({ stream_key }) => stream_key).sort(),
          blocked.map(({ stream_key }) => stream_key).sort(),
        );
      });
    });
    await origin.close();
  });
}

Deno.test("HTTP/2: so many answers of the proxy's own that they fill the window many times do not stall it", async () => {
  const origin = await startHttp2Origin();
  await withTrust((trust) =>
    withProxy({ settings: trust, policy: byPath }, async (proxy) => {
      const session = await connect(proxy, origin.port);
      for (let round = 0; round < 40; round++) {
        const got = await Promise.all(Array.from({ length: 50 }, () => ask(session, "/no")));
        assert(got.every(({ status, text }) => status === 403 && text.endsWith("}\n")));
      }
      assertEquals((await ask(session, "/yes")).text, "/yes 0");
      session.close();
      await proxy.closed(1);
    })
  );
  await origin.close();
});

Deno.test("HTTP/2: an authority other than the CONNECT's is decided anew", async () => {
  const origin = await startHttp2Origin();
  const policy = ({ authority }: Question): Action => authority.host === "bad.test" ? "block" : "intercept";
  await withTrust((trust) =>
    withProxy({ settings: trust, policy }, async (proxy) => {
      const session = await connect(proxy, origin.port);
      assertEquals((await ask(session, "/a", { headers: { ":authority": "bad.test" } })).status, 403);
      assertEquals((await ask(session, "/b", { headers: { ":authority": "good.test" } })).status, 200);
      session.close();
      await proxy.closed(1);
      assertEquals(
        proxy.of("connect_decision", 1).slice(1).map(({ attributes }) => [
          attributes.authority,
          attributes.action,
        ]),
        [["bad.test:443", "block"], ["good.test:443", "intercept"]],
      );
    })
  );
  assertEquals(origin.paths, ["/b"]);
  await origin.close();
});

Deno.test("fetch through the proxy, in HTTP/1.1: blocked requests get a 403 on a connection that goes on", async () => {
  const origin = await startHttpOrigin({ certificate, tls: { ALPNProtocols: ["http/1.1"] } });
  await withTrust((trust) => {
    const rules = [
      { id: "no", hosts: ["localhost"], paths: ["/no/*"], action: "block" },
      { id: "read-only", hosts: ["localhost"], methods: ["PUT"], action: "block" },
    ];
    return withProxy({ settings: { ...trust, policy: { rules } } }, async (proxy) => {
      const client = Deno.createHttpClient({
        proxy: { url: `http://${proxy.host}:${proxy.port}` },
        caCerts: [proxy.caCertPem],
        http2: false,
        poolMaxIdlePerHost: 1,
      });
      const statuses: number[] = [];
      for (const path of ["/bytes/5", "/no/1", "/%6eo/2", "/bytes/7"]) {
        const response = await fetch(`https://localhost:${origin.port}${path}`, { client });
        statuses.push(response.status);
        const body = await response.text();
        if (response.status !== 403) continue;
        assertEquals(response.headers.get("proxy-status"), "soth-mitm; error=http_request_denied");
        assertEquals(JSON.parse(body).detail, `localhost:${origin.port} is blocked by rule no`);
      }
      const put = await fetch(`https://localhost:${origin.port}/echo`, { client, method: "PUT", body: "x" });
      assertEquals(
        JSON.parse(await put.text()).detail,
        `localhost:${origin.port} is blocked by rule read-only`,
      );
      assertEquals([...statuses, put.status], [200, 403, 403, 200, 403]);
      client.close();
      await proxy.closed(1);
      assertEquals(proxy.of("exchange_completed", 1).map(({ attributes }) => attributes.outcome), [
        "complete",
        "blocked",
        "blocked",
        "complete",
        "blocked",
      ]);
      assertEquals(origin.connections(), 1);
    });
  });
  await origin.close();
});
