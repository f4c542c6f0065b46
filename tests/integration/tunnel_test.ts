import { assert, assertEquals } from "@std/assert";
import { makeAuthority } from "../support/certificates.ts";
import { Connection, patternBytes, sha256Hex, startHttpOrigin, startRawOrigin } from "../support/origin.ts";
import { withProxy } from "../support/proxy.ts";
import { alpn, clientHello, serverName } from "../tls/hello_builder.ts";

const TUNNEL = { settings: { policy: { default: "tunnel" } } };

Deno.test("a tunnel carries what was sent right behind the CONNECT head", async () => {
  const origin = await startRawOrigin(async (connection) => {
    await connection.write(await connection.readExactly(5));
    connection.end();
  });
  await withProxy(TUNNEL, async (proxy) => {
    const client = await proxy.connect();
    await client.write(`CONNECT ${origin.authority} HTTP/1.1\r\n\r\nearly`);
    await client.readThrough("\r\n\r\n");
    assertEquals(new TextDecoder().decode(await client.readAll()), "early");
    client.end();
    const closed = await proxy.closed(1);
    assertEquals(closed.attributes.reason_code, "complete");
    assertEquals(closed.attributes.bytes_from_server, 5);
    assertEquals(proxy.of("tls_client_hello").length, 0);
  });
  await origin.close();
});

Deno.test("a tunnel carries a half-close in either direction while the other goes on", async () => {
  const origin = await startRawOrigin(async (connection) => {
    const heard = await connection.readAll();
    await connection.write(`heard ${heard.length}`);
    connection.end();
  });
  await withProxy(TUNNEL, async (proxy) => {
    const client = await proxy.tunnel(origin.authority);
    await client.write("question");
    client.end();
    assertEquals(new TextDecoder().decode(await client.readAll()), "heard 8");
    assertEquals((await proxy.closed(1)).attributes.reason_code, "complete");
  });
  await origin.close();

  let ended: (text: string) => void = () => {};
  const received = new Promise<string>((resolve) => ended = resolve);
  const talker = await startRawOrigin(async (connection) => {
    await connection.write("goodbye");
    connection.end();
    ended(new TextDecoder().decode(await connection.readAll()));
  });
  await withProxy(TUNNEL, async (proxy) => {
    const client = await proxy.tunnel(talker.authority);
    assertEquals(new TextDecoder().decode(await client.readAll()), "goodbye");
    await client.write("still here");
    client.end();
    assertEquals(await received, "still here");
  });
  await talker.close();
});

Deno.test("a tunnel carries a reset of either side as a reset", async () => {
  let seen: (error: unknown) => void = () => {};
  const atOrigin = new Promise<unknown>((resolve) => seen = resolve);
  const origin = await startRawOrigin(async (connection, index) => {
    if (index === 0) {
      await connection.read();
      connection.reset();
      return;
    }
    await connection.write("hello");
    try {
      await connection.readAll();
      seen(null);
    } catch (error) {
      seen(error);
    }
  });
  await withProxy(TUNNEL, async (proxy) => {
    const first = await proxy.tunnel(origin.authority);
    await first.write("x");
    const failure = await first.readAll().then(() => null, (error) => error);
    assertEquals(failure?.code, "ECONNRESET");
    assertEquals((await proxy.closed(1)).attributes.reason_code, "server_reset");

    const second = await proxy.tunnel(origin.authority);
    await second.readExactly(5);
    second.reset();
    assertEquals((await atOrigin as { code?: string } | null)?.code, "ECONNRESET");
    assertEquals((await proxy.closed(2)).attributes.reason_code, "client_reset");
  });
  await origin.close();
});

Deno.test("a tunnel relays megabytes both ways unchanged and counts them", async () => {
  const origin = await startHttpOrigin();
  await withProxy(TUNNEL, async (proxy) => {
    const client = await proxy.tunnel(origin.authority);
    const body = patternBytes(5_000_000);
    await client.write(
      `POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n`,
    );
    const sending = client.write(body);
    await client.readThrough("\r\n\r\n");
    assertEquals(sha256Hex(await client.readAll()), sha256Hex(body));
    await sending;
    client.end();
    const { attributes } = await proxy.closed(1);
    assert(attributes.bytes_from_client as number > body.length);
    assert(attributes.bytes_from_server as number > body.length);
  });
  await origin.close();
});

Deno.test("an idle tunnel ends after timeouts.tunnel_idle, and a live one does not", async () => {
  const origin = await startRawOrigin(async (connection) => {
    for (let part = await connection.read(); part !== null; part = await connection.read()) {
      await connection.write(part);
    }
    connection.end();
  });
  await withProxy(
    { settings: { policy: { default: "tunnel" }, timeouts: { tunnel_idle: "150ms" } } },
    async (proxy) => {
      const client = await proxy.tunnel(origin.authority);
      await client.write("a");
      await client.readExactly(1);
      const closed = await proxy.closed(1);
      assertEquals(closed.attributes.reason_code, "idle_timeout");
      assert(closed.attributes.duration_ns as number >= 150e6);
      assertEquals(await client.read(), null);
    },
  );
  await origin.close();
});

Deno.test("a blocked target gets 403 and no socket is opened to it", async () => {
  const origin = await startRawOrigin(() => {});
  await withProxy({ settings: { policy: { block_hosts: [`127.0.0.1:${origin.port}`] } } }, async (proxy) => {
    const client = await proxy.connect();
    await client.write(`CONNECT ${origin.authority} HTTP/1.1\r\n\r\n`);
    const head = await client.readThrough("\r\n\r\n");
    assert(head.startsWith("HTTP/1.1 403 Forbidden\r\n"), head);
    assert(head.includes("Proxy-Status: soth-mitm; error=http_request_denied\r\n"), head);
    const body = await client.readAll();
    assertEquals(Number(/Content-Length: (\d+)/.exec(head)![1]), body.length);
    assertEquals(JSON.parse(new TextDecoder().decode(body)).error, "blocked");
    assertEquals(proxy.of("connect_decision", 1)[0]!.attributes, { action: "block", reason: "block_host" });
    assertEquals((await proxy.closed(1)).attributes.reason_code, "blocked");
    assertEquals(origin.connections(), 0);
  });
  await origin.close();
});

Deno.test("a dial that fails is answered with the status of its kind", async () => {
  await withProxy({}, async (proxy) => {
    const answers: [string, number, string][] = [
      ["127.0.0.1:1", 502, "upstream_connect_failed"],
      ["no-such-name.invalid:443", 502, "upstream_connect_failed"],
      [`127.0.0.1:${proxy.port}`, 508, "route_failed"],
      [`localhost:${proxy.port}`, 508, "route_failed"],
      [`0.0.0.0:${proxy.port}`, 508, "route_failed"],
      // The kernel takes an IPv4-mapped address for the IPv4 address in it.
      [`[::ffff:127.0.0.1]:${proxy.port}`, 508, "route_failed"],
      [`[::ffff:0.0.0.0]:${proxy.port}`, 508, "route_failed"],
    ];
    for (const [index, [authority, status, reason]] of answers.entries()) {
      const client: Connection = await proxy.connect();
      await client.write(`CONNECT ${authority} HTTP/1.1\r\n\r\n`);
      const head = await client.readThrough("\r\n\r\n");
      assert(head.startsWith(`HTTP/1.1 ${status} `), `${authority}: ${head}`);
      assertEquals((await proxy.closed(index + 1)).attributes.reason_code, reason);
    }
  });
});

Deno.test("a tunnel's ClientHello is on record, and rules about it decide before the server sees it", async () => {
  const authority = makeAuthority();
  const certificate = authority.issue({ names: ["localhost"] });
  const origin = await startHttpOrigin({ certificate });
  const get = "GET /bytes/5 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  const target = `localhost:${origin.port}`;
  const options = { ca: authority.certPem, ALPNProtocols: ["http/1.1"] };
  const hello = clientHello({ extensions: [serverName("localhost"), alpn("http/1.1")] });
  let ja4 = "";
  await withProxy(TUNNEL, async (proxy) => {
    const client = await proxy.tls(target, options);
    await client.write(get);
    assert((await client.readThrough("\r\n\r\n")).startsWith("HTTP/1.1 200"));
    client.socket.destroy();
    await proxy.closed(1);
    const [hello] = proxy.of("tls_client_hello", 1);
    assertEquals([hello!.attributes.sni, hello!.attributes.alpn], ["localhost", ["http/1.1"]]);
    assertEquals(hello!.attributes.ech_offered, false);
    assert((hello!.attributes.groups as string[]).includes("x25519"));
    assert((hello!.attributes.key_shares as string[]).length > 0);
    assert((hello!.attributes.cipher_suites as string[]).includes("0x1301"));
    ja4 = String(hello!.attributes.ja4);
  });
  const ruled = (action: string, initial: string) => ({
    settings: {
      policy: {
        default: initial,
        rules: [{ id: "hello", hosts: ["localhost"], ja4: [ja4, "t12*"], action }],
      },
    },
  });
  await withProxy(ruled("block", "tunnel"), async (proxy) => {
    const before = origin.connections;
    const refused = await proxy.tunnel(target);
    await refused.write(hello);
    const closed = await proxy.closed(1);
    assertEquals(closed.attributes.reason_code, "blocked");
    assertEquals(proxy.of("connect_decision", 1).map(({ attributes }) => attributes.action), [
      "tunnel",
      "block",
    ]);
    assertEquals(origin.connections, before, "no handshake reached the server");
  });
  await withProxy(ruled("tunnel", "intercept"), async (proxy) => {
    const client = await proxy.tls(target, options);
    await client.write(get);
    await client.readThrough("\r\n\r\n");
    client.socket.destroy();
    assertEquals((await proxy.closed(1)).protocol, "tunnel");
  });
  await origin.close();
});
