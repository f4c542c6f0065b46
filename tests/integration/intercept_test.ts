import { assert, assertEquals, assertRejects } from "@std/assert";
import { Duplex } from "node:stream";
import * as tls from "node:tls";
import { makeAuthority, makeSelfSigned } from "../support/certificates.ts";
import { patternBytes, sha256Hex, startHttpOrigin, startRawOrigin } from "../support/origin.ts";
import { type TestProxy, withProxy } from "../support/proxy.ts";

const authority = makeAuthority();
const certificate = authority.issue({
  names: ["localhost", "127.0.0.1", "::1", "*.wild.test", "xn--bcher-kva.test"],
});

async function withTrust(
  work: (trust: { tls: { upstream_ca_bundle: string } }) => Promise<void>,
): Promise<void> {
  const bundle = await Deno.makeTempFile({ suffix: ".crt" });
  await Deno.writeTextFile(bundle, authority.certPem);
  try {
    await work({ tls: { upstream_ca_bundle: bundle } });
  } finally {
    await Deno.remove(bundle);
  }
}

async function get(proxy: TestProxy, target: string, path: string, options: tls.ConnectionOptions = {}) {
  const client = await proxy.tls(target, options);
  await client.write(`GET ${path} HTTP/1.1\r\nHost: ${target}\r\nConnection: close\r\n\r\n`);
  const head = await client.readThrough("\r\n\r\n");
  return { head, body: await client.readAll(), client };
}

Deno.test("an intercepted exchange is relayed unchanged and recorded", async () => {
  const origin = await startHttpOrigin({ certificate });
  await withTrust((trust) =>
    withProxy({ settings: trust }, async (proxy) => {
      const target = `localhost:${origin.port}`;
      const { head, body } = await get(proxy, target, "/bytes/40000");
      assert(head.startsWith("HTTP/1.1 200"), head);
      assertEquals(sha256Hex(body), sha256Hex(patternBytes(40_000)));
      const closed = await proxy.closed(1);
      assertEquals(closed.attributes.reason_code, "complete");
      const kinds = proxy.events.filter(({ flow_id }) => flow_id === "1-1").map(({ kind }) => kind);
      assertEquals(kinds, [
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
        "response_body_chunk",
        "response_body_chunk",
        "payload_decoded",
        "exchange_completed",
        "stream_closed",
      ]);
      const spans = proxy.of("response_body_chunk").map(({ attributes }) => [
        attributes.offset,
        attributes.bytes,
      ]);
      assertEquals(spans, [[0, 16384], [16384, 16384], [32768, 7232]]);
      const hello = proxy.of("tls_client_hello")[0]!.attributes;
      assertEquals(hello.sni, "localhost");
      assertEquals(hello.alpn, ["http/1.1"]);
    })
  );
  await origin.close();
});

Deno.test("the leaf comes from the cache the second time, and is for the name that was asked for", async () => {
  const origin = await startHttpOrigin({ certificate });
  await withTrust((trust) =>
    withProxy({ settings: trust }, async (proxy) => {
      const target = `localhost:${origin.port}`;
      for (const expected of ["miss", "hit"]) {
        const { client } = await get(proxy, target, "/bytes/1");
        assertEquals((client.socket as tls.TLSSocket).getPeerCertificate().subjectaltname, "DNS:localhost");
        const handshakes = proxy.of("tls_handshake_succeeded").filter(({ attributes }) =>
          attributes.side === "client"
        );
        assertEquals(handshakes.at(-1)!.attributes.cert_cache, expected);
      }
      await get(proxy, `127.0.0.1:${origin.port}`, "/bytes/1");
      assertEquals(proxy.mitm.counters.leafMisses, 2);
      assertEquals(proxy.mitm.counters.leafHits, 1);
    })
  );
  await origin.close();
});

Deno.test("servers and clients of one TLS version only are served, with and without SNI", async () => {
  await withTrust(async (trust) => {
    for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
      const origin = await startHttpOrigin({
        certificate,
        tls: { minVersion: version, maxVersion: version },
      });
      await withProxy({ settings: trust }, async (proxy) => {
        for (const client of ["TLSv1.2", "TLSv1.3"] as const) {
          for (const host of ["localhost", "127.0.0.1"]) {
            const options = { minVersion: client, maxVersion: client } as const;
            const { head } = await get(proxy, `${host}:${origin.port}`, "/bytes/1", options);
            assert(head.startsWith("HTTP/1.1 200"), `${version} ${client} ${host}: ${head}`);
          }
        }
        const seen = proxy.of("tls_handshake_succeeded").map(({ attributes }) =>
          `${attributes.side} ${attributes.version}`
        );
        assertEquals(seen.filter((text) => text === `server ${version}`).length, 4);
        assertEquals(seen.filter((text) => text === "client TLSv1.2").length, 2);
      });
      await origin.close();
    }
  });
});

Deno.test("a name other than the CONNECT host is decided anew: a block holds", async () => {
  const origin = await startHttpOrigin({ certificate });
  await withTrust((trust) =>
    withProxy({ settings: { ...trust, policy: { block_hosts: ["evil.test"] } } }, async (proxy) => {
      await assertRejects(() =>
        proxy.tls(`127.0.0.1:${origin.port}`, {
          servername: "evil.test",
          checkServerIdentity: () => undefined,
        })
      );
      assertEquals((await proxy.closed(1)).attributes.reason_code, "blocked");
      assertEquals(proxy.of("connect_decision", 1).length, 2);
      assertEquals(origin.requests.length, 0);
    })
  );
  await origin.close();
});

Deno.test("wildcard and internationalised names are served", async () => {
  const origin = await startHttpOrigin({ certificate });
  await withTrust((trust) =>
    withProxy({ settings: trust }, async (proxy) => {
      for (const name of ["deep.wild.test", "xn--bcher-kva.test"]) {
        const client = await proxy.tls(`127.0.0.1:${origin.port}`, { servername: name, host: name });
        await client.write(`GET /bytes/3 HTTP/1.1\r\nHost: ${name}\r\nConnection: close\r\n\r\n`);
        assert((await client.readThrough("\r\n\r\n")).startsWith("HTTP/1.1 200"));
        assertEquals(client.socket.getPeerCertificate().subjectaltname, `DNS:${name}`);
      }
    })
  );
  await origin.close();
});

Deno.test("a server whose certificate does not verify gets no request, and the client is told why inside TLS", async () => {
  const bad: [string, ReturnType<typeof makeSelfSigned>, string][] = [
    ["self-signed", makeSelfSigned({ names: ["localhost"] }), "unknown_ca"],
    ["unknown authority", makeAuthority("someone else").issue({ names: ["localhost"] }), "unknown_ca"],
    ["wrong name", authority.issue({ names: ["other.test"] }), "cert_validation"],
    [
      "expired",
      authority.issue({ names: ["localhost"], notBefore: new Date(0), notAfter: new Date(86_400_000) }),
      "cert_validation",
    ],
  ];
  await withTrust(async (trust) => {
    for (const [what, chain, reason] of bad) {
      const origin = await startHttpOrigin({ certificate: chain });
      await withProxy({ settings: trust }, async (proxy) => {
        const { head, body } = await get(proxy, `localhost:${origin.port}`, "/bytes/1");
        assert(head.startsWith("HTTP/1.1 502"), `${what}: ${head}`);
        assertEquals(JSON.parse(new TextDecoder().decode(body)).error, `server_tls_${reason}`, what);
        const failed = proxy.of("tls_handshake_failed")[0]!.attributes;
        assertEquals([failed.side, failed.normalized_reason], ["server", reason], what);
        assertEquals((await proxy.closed(1)).attributes.reason_code, "tls_handshake_failed");
        assertEquals(origin.requests.length, 0);
      });
      await origin.close();
    }
  });
});

Deno.test("a client that does not trust the CA is a recorded handshake failure of its side", async () => {
  const origin = await startHttpOrigin({ certificate });
  await withTrust((trust) =>
    withProxy({ settings: trust }, async (proxy) => {
      await assertRejects(() => proxy.tls(`localhost:${origin.port}`, { ca: authority.certPem }));
      const closed = await proxy.closed(1);
      assertEquals(closed.attributes.reason_code, "tls_handshake_failed");
      const failed = proxy.of("tls_handshake_failed")[0]!.attributes;
      assertEquals([failed.side, failed.normalized_reason], ["client", "unknown_ca"]);
    })
  );
  await origin.close();
});

Deno.test("without http.http2_enabled a client that offers only h2 is tunnelled, and the reason is on record", async () => {
  const origin = await startHttpOrigin({ certificate, tls: { ALPNProtocols: ["h2"] } });
  await withTrust((trust) =>
    withProxy({ settings: { ...trust, http: { http2_enabled: false } } }, async (proxy) => {
      const client = await proxy.tls(`localhost:${origin.port}`, {
        ALPNProtocols: ["h2"],
        ca: authority.certPem,
      });
      assertEquals(client.socket.alpnProtocol, "h2");
      client.end();
      const closed = await proxy.closed(1);
      assertEquals(closed.attributes.reason_detail, "the client offers only h2");
      assertEquals(
        proxy.of("tls_client_hello")[0]!.attributes.tunnelled_because,
        "the client offers only h2",
      );
      assertEquals(proxy.of("tls_handshake_started").length, 0);
    })
  );
  await origin.close();
});

Deno.test("HTTP inside CONNECT without TLS is observed in the clear, anything else is tunnelled", async () => {
  const origin = await startHttpOrigin();
  const echo = await startRawOrigin(async (connection) => {
    await connection.write(await connection.readExactly(4));
    connection.end();
  });
  const greeter = await startRawOrigin(async (connection) => {
    await connection.write("220 hello\r\n");
    await connection.readThrough("\r\n");
    connection.end();
  });
  await withProxy({}, async (proxy) => {
    const http = await proxy.tunnel(origin.authority);
    await http.write("GET /bytes/7 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert((await http.readThrough("\r\n\r\n")).startsWith("HTTP/1.1 200"));
    await proxy.closed(1);
    assertEquals(proxy.of("request_headers", 1)[0]!.attributes.scheme, "http");

    const other = await proxy.tunnel(echo.authority);
    await other.write("\x00\x01\x02\x03");
    assertEquals([...await other.readAll()], [0, 1, 2, 3]);
    other.end();
    assertEquals((await proxy.closed(2)).attributes.reason_detail, "neither TLS nor HTTP");

    const smtp = await proxy.tunnel(greeter.authority);
    assertEquals(await smtp.readThrough("\n"), "220 hello\r\n");
    await smtp.write("QUIT\r\n");
    assertEquals((await smtp.readAll()).length, 0);
    smtp.end();
    assertEquals((await proxy.closed(3)).attributes.reason_detail, "the server spoke first");
  });
  for (const one of [origin, echo, greeter]) await one.close();
});

Deno.test("100 connections that wait for the same new name mint one leaf", async () => {
  const origin = await startHttpOrigin({ certificate });
  await withTrust((trust) =>
    withProxy({ settings: trust }, async (proxy) => {
      const target = `localhost:${origin.port}`;
      await Promise.all(Array.from({ length: 100 }, () => get(proxy, target, "/bytes/1")));
      assertEquals(proxy.mitm.counters.leafMisses, 1);
      assertEquals(proxy.mitm.counters.leafHits, 99);
    })
  );
  await origin.close();
});

Deno.test("a response that only its end delimits is whole with the end of TLS, and cut off without it", async () => {
  for (const graceful of [true, false]) {
    // TLS on a stream over the socket, so that the socket can be ended behind TLS's back.
    const origin = await startRawOrigin(({ socket }) => {
      socket.removeAllListeners("data");
      const transport = new Duplex({
        read: () => {},
        write: (chunk, _encoding, done) => socket.write(chunk, () => done()),
        final: (done) => socket.end(() => done()),
      });
      socket.on("data", (data: Uint8Array) => transport.push(data));
      const secure = new tls.TLSSocket(transport as never, {
        isServer: true,
        cert: certificate.certPem,
        key: certificate.keyPem,
      });
      secure.on("error", () => {});
      secure.once("data", () => {
        secure.write("HTTP/1.1 200 OK\r\n\r\npart", () => graceful ? secure.end() : socket.end());
      });
    });
    await withTrust((trust) =>
      withProxy({ settings: trust }, async (proxy) => {
        const client = await proxy.tls(`localhost:${origin.port}`);
        await client.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        await client.readThrough("\r\n\r\n");
        await client.readAll().catch(() => {});
        const completed = await proxy.event(({ kind }) => kind === "exchange_completed");
        assertEquals(completed.attributes.outcome, graceful ? "complete" : "server_aborted");
        const closed = await proxy.closed(1);
        assertEquals(closed.attributes.reason_code, graceful ? "complete" : "server_reset");
      })
    );
    await origin.close();
  }
});

Deno.test("tls.upstream_sni_mode: disabled sends no name and still verifies it, required wants one from the client", async () => {
  const names: (string | false)[] = [];
  const other = authority.issue({ names: ["other.test"] });
  for (const chain of [certificate, other]) {
    const origin = await startRawOrigin(async (connection) => {
      names.push((connection.socket as tls.TLSSocket & { servername: string | false }).servername || false);
      await connection.readThrough("\r\n\r\n");
      await connection.write("HTTP/1.1 204 No Content\r\n\r\n");
    }, { certificate: chain });
    await withTrust((trust) =>
      withProxy({ settings: { tls: { ...trust.tls, upstream_sni_mode: "disabled" } } }, async (proxy) => {
        const client = await proxy.tls(`localhost:${origin.port}`);
        await client.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        const head = await client.readThrough("\r\n\r\n");
        assertEquals(head.split(" ")[1], chain === certificate ? "204" : "502", head);
      })
    );
    await origin.close();
  }
  assertEquals(names, [false]);
  const origin = await startHttpOrigin({ certificate });
  await withTrust((trust) =>
    withProxy({ settings: { tls: { ...trust.tls, upstream_sni_mode: "required" } } }, async (proxy) => {
      assert((await get(proxy, `localhost:${origin.port}`, "/bytes/1")).head.startsWith("HTTP/1.1 200"));
      assert((await get(proxy, `127.0.0.1:${origin.port}`, "/bytes/1")).head.startsWith("HTTP/1.1 502"));
    })
  );
  await origin.close();
});

Deno.test("tls.profile strict speaks TLS 1.3 alone, on either side", async () => {
  const old = await startHttpOrigin({ certificate, tls: { maxVersion: "TLSv1.2" } });
  const origin = await startHttpOrigin({ certificate });
  await withTrust((trust) =>
    withProxy({ settings: { tls: { ...trust.tls, profile: "strict" } } }, async (proxy) => {
      assert((await get(proxy, `localhost:${origin.port}`, "/bytes/1")).head.startsWith("HTTP/1.1 200"));
      assert((await get(proxy, `localhost:${old.port}`, "/bytes/1")).head.startsWith("HTTP/1.1 502"));
      await assertRejects(() => proxy.tls(`localhost:${origin.port}`, { maxVersion: "TLSv1.2" }));
    })
  );
  for (const one of [old, origin]) await one.close();
});

Deno.test("the refusal inside TLS answers HEAD without a body, and a head that is too large with 431", async () => {
  const origin = await startHttpOrigin({ certificate: makeSelfSigned({ names: ["localhost"] }) });
  await withTrust((trust) =>
    withProxy({ settings: { ...trust, http: { max_head_bytes: 1024 } } }, async (proxy) => {
      const target = `localhost:${origin.port}`;
      const head = await proxy.tls(target);
      await head.write("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n");
      assert((await head.readThrough("\r\n\r\n")).startsWith("HTTP/1.1 502"));
      assertEquals((await head.readAll()).length, 0);
      const large = await proxy.tls(target);
      await large.write(`GET / HTTP/1.1\r\nX: ${"a".repeat(2000)}\r\n\r\n`);
      assert((await large.readThrough("\r\n\r\n")).startsWith("HTTP/1.1 431"));
    })
  );
  await origin.close();
});
