import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { Notice } from "../../mod.ts";
import { makeAuthority } from "../support/certificates.ts";
import { type Connection, startHttpOrigin, startRawOrigin } from "../support/origin.ts";
import { type TestProxy, withProxy } from "../support/proxy.ts";

const authority = makeAuthority();
const DAY_MS = 86_400_000;
const GET = "GET /bytes/1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

async function withOverrides(
  overrides: readonly Readonly<Record<string, unknown>>[],
  work: (proxy: TestProxy) => Promise<void>,
  more: Readonly<Record<string, unknown>> = {},
  onNotice: (notice: Notice) => void = () => {},
): Promise<void> {
  const bundle = await Deno.makeTempFile({ suffix: ".crt" });
  await Deno.writeTextFile(bundle, authority.certPem);
  try {
    const settings = { tls: { upstream_ca_bundle: bundle }, overrides, ...more };
    await withProxy({ settings, onNotice }, work);
  } finally {
    await Deno.remove(bundle);
  }
}

async function status(proxy: TestProxy, host: string): Promise<string> {
  const client = await proxy.tls(host);
  await client.write(GET);
  return (await client.readThrough("\r\n\r\n")).slice(9, 12);
}

Deno.test("skip_upstream_verify takes what does not verify, says what is wrong with it, and warns", async () => {
  const stranger = makeAuthority("Stranger");
  const then = (days: number) => new Date(Date.now() + days * DAY_MS);
  const cases = [
    [stranger.issue({ names: ["localhost"] }), "which is not trusted"],
    [authority.issue({ names: ["localhost"], notBefore: then(-9), notAfter: then(-1) }), "CERT_HAS_EXPIRED"],
    [authority.issue({ names: ["other.test"] }), "other.test"],
    [authority.issue({ names: ["localhost"] }), null],
  ] as const;
  for (const [certificate, wrong] of cases) {
    const origin = await startHttpOrigin({ certificate });
    const strict = await startHttpOrigin({ certificate });
    const hosts = [`localhost:${origin.port}`];
    const notices: string[] = [];
    await withOverrides(
      [{ id: "lax", hosts, skip_upstream_verify: true }],
      async (proxy) => {
        assertEquals(await status(proxy, `localhost:${origin.port}`), "200");
        // The same name at another port is not what the override speaks of, whatever the runtime remembers.
        assertEquals(await status(proxy, `localhost:${strict.port}`), wrong === null ? "200" : "502");
        assertEquals(await status(proxy, `localhost:${origin.port}`), "200");
        assertEquals(proxy.of("connect_decision", 1)[0]!.attributes.override_id, "lax");
        const { verified, verify_error } = proxy.of("tls_handshake_succeeded", 1)[0]!.attributes;
        assertEquals(verified, wrong === null);
        if (wrong !== null) assertStringIncludes(String(verify_error), wrong);
        assertEquals(proxy.of("connect_decision", 2)[0]!.attributes.override_id, undefined);
      },
      {},
      ({ message }) => notices.push(message),
    );
    assert(notices.some((message) => message.includes('"lax" skips the verification')), notices.join("\n"));
    await origin.close();
    await strict.close();
  }
});

Deno.test("disable_h2 and force_tunnel hold for their hosts alone, and a block stays a block", async () => {
  const certificate = authority.issue({ names: ["localhost", "127.0.0.1"] });
  const origin = await startHttpOrigin({ certificate, tls: { ALPNProtocols: ["h2", "http/1.1"] } });
  const overrides = [
    { id: "pinned", hosts: ["127.0.0.1"], force_tunnel: true },
    { id: "old", hosts: ["localhost"], disable_h2: true },
  ];
  const offered = { ALPNProtocols: ["h2", "http/1.1"] };
  await withOverrides(overrides, async (proxy) => {
    const old = await proxy.tls(`localhost:${origin.port}`, offered);
    assertEquals(old.socket.alpnProtocol, "http/1.1");
    assertEquals(proxy.of("tls_handshake_started", 1)[0]!.attributes.alpn_offered, ["http/1.1"]);
    const pinned = await proxy.tls(`127.0.0.1:${origin.port}`, { ...offered, ca: authority.certPem });
    assertEquals(pinned.socket.alpnProtocol, "h2");
    assertEquals(proxy.of("connect_decision", 2)[0]!.attributes, {
      action: "tunnel",
      reason: "override",
      rule_id: "pinned",
    });
    pinned.socket.destroy();
  });
  await withOverrides(overrides, async (proxy) => {
    const connection = await proxy.connect();
    await connection.write(`CONNECT 127.0.0.1:${origin.port} HTTP/1.1\r\n\r\n`);
    assert((await connection.readThrough("\r\n\r\n")).startsWith("HTTP/1.1 403"));
  }, { policy: { default: "block" } });
  await origin.close();
});

Deno.test("profile holds for both sides of its hosts: strict refuses TLS 1.2 there and nowhere else", async () => {
  const certificate = authority.issue({ names: ["localhost"] });
  const old = await startHttpOrigin({ certificate, tls: { maxVersion: "TLSv1.2" } });
  const modern = await startHttpOrigin({ certificate });
  const hosts = [`localhost:${old.port}`, `localhost:${modern.port}`];
  const tls12 = { maxVersion: "TLSv1.2" } as const;
  await withOverrides([{ id: "strict", hosts, profile: "strict" }], async (proxy) => {
    assertEquals(await status(proxy, `localhost:${old.port}`), "502");
    const refused = await proxy.tls(`localhost:${modern.port}`, tls12).then(() => false, () => true);
    assert(refused);
  });
  await withOverrides([], async (proxy) => {
    assertEquals(await status(proxy, `localhost:${old.port}`), "200");
    assertEquals((await proxy.tls(`localhost:${modern.port}`, tls12)).socket.getProtocol(), "TLSv1.2");
  });
  const lenient = [{ id: "lenient", hosts: [`localhost:${old.port}`], profile: "compat" }];
  await withOverrides(lenient, async (proxy) => {
    assertEquals(await status(proxy, `localhost:${old.port}`), "200");
  }, {});
  await old.close();
  await modern.close();
});

Deno.test("strip_alt_svc keeps Alt-Svc from the clients of its hosts, over TLS and in plain requests", async () => {
  const certificate = authority.issue({ names: ["localhost", "127.0.0.1"] });
  const response = 'HTTP/1.1 200 OK\r\nAlt-Svc: h3=":443"\r\nContent-Length: 2\r\n\r\nok';
  const answer = async (connection: Connection) => {
    await connection.readThrough("\r\n\r\n");
    await connection.write(response);
    connection.end();
  };
  const [secure, plain] = [await startRawOrigin(answer, { certificate }), await startRawOrigin(answer)];
  const stripped = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
  await withOverrides([{ id: "on-tcp", hosts: ["localhost"], strip_alt_svc: true }], async (proxy) => {
    const said = async (host: string) => {
      const client = await proxy.tls(`${host}:${secure.port}`);
      await client.write(GET);
      return new TextDecoder().decode(await client.readAll());
    };
    assertEquals(await said("localhost"), stripped);
    assertEquals(await said("127.0.0.1"), response);
    const client = await proxy.connect();
    const host = `localhost:${plain.port}`;
    await client.write(`GET http://${host}/ HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
    assertEquals(new TextDecoder().decode(await client.readAll()), stripped);
    await Promise.all([1, 2, 3].map((flow) => proxy.closed(flow)));
    for (const [flow, names] of [[1, ["alt-svc"]], [2, undefined], [3, ["alt-svc"]]] as const) {
      assertEquals(proxy.of("exchange_completed", flow)[0]!.attributes.stripped, names);
      const { headers } = proxy.of("response_headers", flow)[0]!.attributes;
      assertEquals((headers as string[][])[0], ["Alt-Svc", 'h3=":443"']);
    }
    assertEquals(proxy.of("connect_decision", 1)[0]!.attributes.override_id, "on-tcp");
  });
  await secure.close();
  await plain.close();
});
