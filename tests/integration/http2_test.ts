import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import * as http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { makeAuthority } from "../support/certificates.ts";
import { patternBytes, sha256Hex, startHttpOrigin } from "../support/origin.ts";
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

/** An HTTP/2 origin of another make: `/bytes/N` gives a body and trailers, `/echo` what it is sent. */
async function startHttp2Origin() {
  const server = http2.createSecureServer({ cert: certificate.certPem, key: certificate.keyPem });
  server.on("stream", (stream, headers) => {
    const path = String(headers[":path"]);
    if (path === "/echo") {
      const parts: Uint8Array[] = [];
      stream.on("data", (part: Uint8Array) => parts.push(part));
      stream.on("end", () => {
        stream.respond({ ":status": 200 });
        stream.end(new Uint8Array(parts.flatMap((part) => [...part])));
      });
      return;
    }
    stream.respond({ ":status": 200, "content-type": "application/octet-stream" });
    stream.end(patternBytes(Number(path.slice("/bytes/".length))));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    close: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}

async function connect(proxy: TestProxy, port: number): Promise<http2.ClientHttp2Session> {
  const { socket } = await proxy.tls(`localhost:${port}`, { ALPNProtocols: ["h2", "http/1.1"] });
  assertEquals(socket.alpnProtocol, "h2");
  socket.removeAllListeners("data");
  return http2.connect(`https://localhost:${port}`, { createConnection: () => socket });
}

function ask(session: http2.ClientHttp2Session, path: string, body?: Uint8Array): Promise<Uint8Array> {
  const stream = session.request({ ":path": path, ":method": body === undefined ? "GET" : "POST" });
  const parts: Uint8Array[] = [];
  stream.on("data", (part: Uint8Array) => parts.push(part));
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
  stream.on("end", () => resolve(new Uint8Array(parts.flatMap((part) => [...part]))));
  stream.on("error", reject);
  stream.end(body);
  return promise;
}

Deno.test("HTTP/2 is relayed between a client and a server of another make, many streams at once", async () => {
  const origin = await startHttp2Origin();
  await withTrust((trust) =>
    withProxy({ settings: trust }, async (proxy) => {
      const session = await connect(proxy, origin.port);
      const sizes = Array.from({ length: 40 }, (_, index) => index * 1000);
      const bodies = await Promise.all(sizes.map((size) => ask(session, `/bytes/${size}`)));
      for (const [index, body] of bodies.entries()) {
        assertEquals(sha256Hex(body), sha256Hex(patternBytes(sizes[index]!)));
      }
      const sent = patternBytes(200_000);
      assertEquals(sha256Hex(await ask(session, "/echo", sent)), sha256Hex(sent));
      session.close();
      const closed = await proxy.closed(1);
      assertEquals(closed.protocol, "http2");
      assertEquals(closed.attributes.reason_code, "complete");
      const completed = proxy.of("exchange_completed", 1);
      assertEquals(completed.length, 41);
      assert(completed.every(({ attributes }) => attributes.outcome === "complete"));
      assertEquals(completed.at(-1)!.attributes.request_body_bytes, 200_000);
      assertEquals(new Set(completed.map(({ stream_key }) => stream_key)).size, 41);
    })
  );
  await origin.close();
});

Deno.test("the client is offered what the server chose: a server without h2 is spoken to in HTTP/1.1", async () => {
  const origin = await startHttpOrigin({ certificate, tls: { ALPNProtocols: ["http/1.1"] } });
  await withTrust((trust) =>
    withProxy({ settings: trust }, async (proxy) => {
      const client = await proxy.tls(`localhost:${origin.port}`, { ALPNProtocols: ["h2", "http/1.1"] });
      assertEquals(client.socket.alpnProtocol, "http/1.1");
      await client.write("GET /bytes/1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
      assert((await client.readThrough("\r\n\r\n")).startsWith("HTTP/1.1 200"));
    })
  );
  await origin.close();
});

Deno.test("a client that offers only h2 fails at a server without it as it would without a proxy", async () => {
  const origin = await startHttpOrigin({ certificate, tls: { ALPNProtocols: ["http/1.1"] } });
  await withTrust((trust) =>
    withProxy({ settings: trust }, async (proxy) => {
      const failure = await proxy.tls(`localhost:${origin.port}`, { ALPNProtocols: ["h2"] })
        .then(() => null, (error: Error & { code?: string }) => error.code);
      assertEquals(failure, "ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL");
      const closed = await proxy.closed(1);
      assertEquals(closed.attributes.reason_code, "tls_handshake_failed");
      assertStringIncludes(
        String(closed.attributes.reason_detail),
        "speaks none of the protocols that the client offers (h2)",
      );
      assertEquals(proxy.of("tls_handshake_failed").map(({ attributes }) => attributes.side), [
        "server",
        "client",
      ]);
    })
  );
  await origin.close();
});

Deno.test("a client that offers only h2 is told in HTTP/2 that the server is not trusted", async () => {
  const origin = await startHttp2Origin();
  await withProxy({}, async (proxy) => {
    const { socket } = await proxy.tls(`localhost:${origin.port}`, { ALPNProtocols: ["h2"] });
    socket.removeAllListeners("data");
    const session = http2.connect(`https://localhost:${origin.port}`, { createConnection: () => socket });
    const stream = session.request({ ":path": "/" });
    const status = new Promise((resolve) => stream.once("response", (head) => resolve(head[":status"])));
    const parts: Uint8Array[] = [];
    for await (const part of stream) parts.push(part as Uint8Array);
    assertEquals(await status, 502);
    const body = new TextDecoder().decode(new Uint8Array(parts.flatMap((part) => [...part])));
    assertEquals(JSON.parse(body).error, "server_tls_unknown_ca");
    session.destroy();
    assertEquals((await proxy.closed(1)).attributes.reason_code, "tls_handshake_failed");
  });
  await origin.close();
});

Deno.test("http.http2_enabled = false leaves h2 out towards both sides", async () => {
  const origin = await startHttpOrigin({ certificate, tls: { ALPNProtocols: ["h2", "http/1.1"] } });
  await withTrust((trust) =>
    withProxy({ settings: { ...trust, http: { http2_enabled: false } } }, async (proxy) => {
      const client = await proxy.tls(`localhost:${origin.port}`, { ALPNProtocols: ["h2", "http/1.1"] });
      assertEquals(client.socket.alpnProtocol, "http/1.1");
      const started = proxy.of("tls_handshake_started")[0]!.attributes;
      assertEquals(started.alpn_offered, ["http/1.1"]);
    })
  );
  await origin.close();
});
