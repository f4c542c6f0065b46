import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import * as http2 from "node:http2";
import type { AddressInfo } from "node:net";
import * as tls from "node:tls";
import { makeAuthority } from "../support/certificates.ts";
import { freePort } from "../support/free_port.ts";
import { Connection, patternBytes, sha256Hex, startHttpOrigin } from "../support/origin.ts";
import { type TestProxy, withProxy } from "../support/proxy.ts";

const authority = makeAuthority();
const certificate = authority.issue({ names: ["localhost"] });
const GET = "GET /bytes/5000 HTTP/1.1\r\nHost: any.test\r\nConnection: close\r\n\r\n";

async function withReverse(
  origin: string,
  work: (proxy: TestProxy) => Promise<void>,
  more: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  const bundle = await Deno.makeTempFile({ suffix: ".crt" });
  await Deno.writeTextFile(bundle, authority.certPem);
  const route = { mode: "reverse", reverse_origin: origin };
  try {
    await withProxy({ settings: { route, tls: { upstream_ca_bundle: bundle }, ...more } }, work);
  } finally {
    await Deno.remove(bundle);
  }
}

async function secure(proxy: TestProxy, options: tls.ConnectionOptions): Promise<tls.TLSSocket> {
  const { socket } = await proxy.connect();
  socket.removeAllListeners("data");
  const secured = tls.connect({ socket, ca: proxy.caCertPem, servername: "any.test", ...options });
  await new Promise<void>((resolve, reject) => {
    secured.once("secureConnect", () => resolve());
    secured.once("error", reject);
  });
  return secured;
}

async function get(connection: Connection, request = GET): Promise<{ head: string; rest: Uint8Array }> {
  await connection.write(request);
  const head = await connection.readThrough("\r\n\r\n");
  return { head, rest: await connection.readAll() };
}

async function startHttp2Origin(secure: boolean) {
  const server = secure
    ? http2.createSecureServer({ cert: certificate.certPem, key: certificate.keyPem })
    : http2.createServer();
  server.on("stream", (stream, headers) => {
    stream.respond({ ":status": 200 });
    stream.end(patternBytes(Number(String(headers[":path"]).slice("/bytes/".length))));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    close: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}

/** Twenty streams at once on one connection; each body is what was asked for. */
async function askAll(session: http2.ClientHttp2Session): Promise<void> {
  await Promise.all(Array.from({ length: 20 }, async (_, index) => {
    const stream = session.request({ ":path": `/bytes/${index * 1000}` });
    const parts: Uint8Array[] = [];
    for await (const part of stream) parts.push(part as Uint8Array);
    const body = new Uint8Array(parts.flatMap((part) => [...part]));
    assertEquals(sha256Hex(body), sha256Hex(patternBytes(index * 1000)));
  }));
  session.close();
}

Deno.test("a reverse listener relays TLS and the clear to an origin in TLS, verified for its own name", async () => {
  const origin = await startHttpOrigin({ certificate });
  await withReverse(`https://localhost:${origin.port}`, async (proxy) => {
    const inTls = await get(new Connection(await secure(proxy, { ALPNProtocols: ["http/1.1"] })));
    const inTheClear = await get(await proxy.connect());
    for (const { head, rest } of [inTls, inTheClear]) {
      assert(head.startsWith("HTTP/1.1 200"), head);
      assertEquals(sha256Hex(rest), sha256Hex(patternBytes(5000)));
    }
    for (const flow of [1, 2]) {
      assertEquals((await proxy.closed(flow)).attributes.reason_code, "complete");
      assertEquals(proxy.of("connect_received", flow)[0]!.attributes, {
        authority: `localhost:${origin.port}`,
        method: "REVERSE",
      });
    }
    assertEquals(proxy.of("tls_client_hello", 1)[0]!.attributes.sni, "any.test");
    assertEquals(proxy.of("request_headers").map(({ attributes }) => attributes.scheme), ["https", "http"]);
  });
  await origin.close();
});

Deno.test("a reverse listener relays HTTP/2, in TLS and with prior knowledge, to an origin in TLS", async () => {
  const origin = await startHttp2Origin(true);
  await withReverse(`https://localhost:${origin.port}`, async (proxy) => {
    const socket = await secure(proxy, { ALPNProtocols: ["h2", "http/1.1"] });
    assertEquals(socket.alpnProtocol, "h2");
    await askAll(http2.connect("https://any.test", { createConnection: () => socket }));
    await askAll(http2.connect(`http://127.0.0.1:${proxy.port}`));
    for (const flow of [1, 2]) {
      const closed = await proxy.closed(flow);
      assertEquals([closed.protocol, closed.attributes.reason_code], ["http2", "complete"]);
      assertEquals(proxy.of("exchange_completed", flow).length, 20);
    }
  });
  await origin.close();
});

Deno.test("a reverse listener ends TLS in front of an origin in the clear: HTTP/1.1, and h2 to who offers no other", async () => {
  const http1 = await startHttpOrigin();
  await withReverse(http1.url, async (proxy) => {
    const socket = await secure(proxy, { ALPNProtocols: ["h2", "http/1.1"] });
    assertEquals(socket.alpnProtocol, "http/1.1");
    const { head, rest } = await get(new Connection(socket));
    assert(head.startsWith("HTTP/1.1 200"), head);
    assertEquals(rest.length, 5000);
    assertEquals((await get(await proxy.connect())).rest.length, 5000);
  });
  await http1.close();
  const prior = await startHttp2Origin(false);
  await withReverse(`http://127.0.0.1:${prior.port}`, async (proxy) => {
    const socket = await secure(proxy, { ALPNProtocols: ["h2"] });
    assertEquals(socket.alpnProtocol, "h2");
    await askAll(http2.connect("https://any.test", { createConnection: () => socket }));
    await askAll(http2.connect(`http://127.0.0.1:${proxy.port}`));
    assertEquals((await proxy.closed(2)).protocol, "http2");
  });
  await prior.close();
});

Deno.test("a reverse listener tells in TLS and in the clear that its origin is down, not trusted, or blocked", async () => {
  const stranger = makeAuthority("Stranger").issue({ names: ["localhost"] });
  const untrusted = await startHttpOrigin({ certificate: stranger });
  const told = async (proxy: TestProxy, status: number, code: string) => {
    const inTls = await get(new Connection(await secure(proxy, { ALPNProtocols: ["http/1.1"] })));
    for (const { head, rest } of [inTls, await get(await proxy.connect())]) {
      assert(head.startsWith(`HTTP/1.1 ${status} `), head);
      assertStringIncludes(new TextDecoder().decode(rest), `"error":"${code}"`);
    }
  };
  await withReverse(
    `https://localhost:${await freePort()}`,
    (proxy) => told(proxy, 502, "connection_refused"),
  );
  await withReverse(
    `https://localhost:${untrusted.port}`,
    (proxy) => told(proxy, 502, "server_tls_unknown_ca"),
  );
  await withReverse(
    `https://localhost:${untrusted.port}`,
    async (proxy) => {
      await told(proxy, 403, "blocked");
      assertEquals((await proxy.closed(1)).attributes.reason_code, "blocked");
    },
    { policy: { default: "block" } },
  );
  assertEquals(untrusted.requests.length, 0);
  await untrusted.close();
});

Deno.test("a reverse listener that tunnels shows the origin's own certificate", async () => {
  const origin = await startHttpOrigin({ certificate });
  await withReverse(`https://localhost:${origin.port}`, async (proxy) => {
    const socket = await secure(proxy, { ca: authority.certPem, servername: "localhost" });
    assertEquals((await get(new Connection(socket))).rest.length, 5000);
    socket.end();
    assertEquals((await proxy.closed(1)).protocol, "tunnel");
  }, { policy: { default: "tunnel" } });
  await origin.close();
});
