/**
 * OpenSSL as the client, as the server and as the judge of certificates: each TLS version on each side, with and
 * without SNI, by name and by address.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { makeAuthority } from "../support/certificates.ts";
import { type HttpOrigin, startHttpOrigin } from "../support/origin.ts";
import { startOpenssl } from "../support/openssl_server.ts";
import { type LogEvent, ProxyProcess } from "../support/proxy_process.ts";
import { type Outcome, run, tool } from "../support/tools.ts";

const authority = makeAuthority();
const serverCertificate = authority.issue({ names: ["localhost", "127.0.0.1"] });
const stranger = makeAuthority("a stranger").issue({ names: ["localhost"] });

let folder: string;
let origin: HttpOrigin;
let proxy: ProxyProcess;

Deno.test.beforeAll(async () => {
  folder = await Deno.makeTempDir();
  await Deno.writeTextFile(`${folder}/root.pem`, authority.certPem);
  await Deno.writeTextFile(`${folder}/server.pem`, serverCertificate.certPem + serverCertificate.keyPem);
  origin = await startHttpOrigin({ certificate: serverCertificate });
  proxy = await ProxyProcess.start("openssl", { config: config() });
});

Deno.test.afterAll(async () => {
  try {
    await proxy.stop();
  } finally {
    await proxy[Symbol.asyncDispose]();
    await origin.close();
    await Deno.remove(folder, { recursive: true });
  }
});

function config(more = ""): string {
  return `[tls]\nupstream_ca_bundle = ${JSON.stringify(`${folder}/root.pem`)}\n${more}`;
}

interface ClientOptions {
  readonly through?: ProxyProcess;
  readonly target?: string;
  readonly path?: string;
}

/** Asks for a page with `openssl s_client` through the proxy; the certificate must verify. */
function client(args: readonly string[], options: ClientOptions = {}): Promise<Outcome> {
  const { through = proxy, target = `localhost:${origin.port}`, path = "/fields" } = options;
  return run(tool("openssl"), [
    ...["s_client", "-proxy", through.authority, "-connect", target],
    ...["-CAfile", through.caPath, "-verify_return_error", "-showcerts", "-ign_eof", ...args],
  ], { stdin: `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n` });
}

/** The leaf the client was shown, in a file. */
async function leafOf(shown: Outcome): Promise<string> {
  const pem = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----\n/.exec(shown.stdout)?.[0] ?? "";
  const path = await Deno.makeTempFile({ dir: folder, suffix: ".pem" });
  await Deno.writeTextFile(path, pem);
  return path;
}

function assertAnswered(shown: Outcome, version: string): void {
  assertEquals(shown.code, 0, shown.stderr);
  assertStringIncludes(shown.stdout, "HTTP/1.1 200 OK");
  assertStringIncludes(shown.stdout, "Verify return code: 0 (ok)");
  assertStringIncludes(shown.stdout, `New, ${version}, Cipher is `);
}

for (const [flag, version] of [["-tls1_2", "TLSv1.2"], ["-tls1_3", "TLSv1.3"]] as const) {
  Deno.test(`s_client ${flag} is served in that version, whatever the origin speaks`, async () => {
    assertAnswered(
      await client([flag, "-servername", "localhost", "-verify_hostname", "localhost"]),
      version,
    );
    const handshake = (await proxy.events()).findLast(({ kind, attributes }) =>
      kind === "tls_handshake_succeeded" && attributes.side === "client"
    );
    assertEquals(handshake?.attributes.version, version);
  });

  Deno.test(`s_server ${flag} is reached in that version, whatever the client speaks`, async () => {
    await using server = await startServer([flag]);
    for (const clientFlag of ["-tls1_2", "-tls1_3"]) {
      const shown = await client([clientFlag, "-servername", "localhost"], {
        target: `localhost:${server.port}`,
        path: "/",
      });
      assertEquals(shown.code, 0, shown.stderr);
      assertStringIncludes(shown.stdout, "HTTP/1.0 200 ok");
      assertStringIncludes(shown.stdout, `${version}, Cipher is `);
    }
  });
}

Deno.test("s_client gets a leaf that openssl verifies strictly, for the name it asked for and for nothing else", async () => {
  const shown = await client(["-servername", "localhost"]);
  const leaf = await leafOf(shown);
  const verify = (...args: string[]) =>
    run(tool("openssl"), [
      "verify",
      "-x509_strict",
      "-purpose",
      "sslserver",
      "-CAfile",
      proxy.caPath,
      ...args,
      leaf,
    ]);
  assertEquals((await verify("-verify_hostname", "localhost")).code, 0);
  assertEquals((await verify("-verify_hostname", "elsewhere.example")).code !== 0, true);
  const text = await run(tool("openssl"), [
    ...["x509", "-in", leaf, "-noout", "-text", "-checkend", String(190 * 86400)],
  ]);
  assertStringIncludes(text.stdout, "DNS:localhost\n");
  assertStringIncludes(text.stdout, "TLS Web Server Authentication");
  assertStringIncludes(text.stdout, "ecdsa-with-SHA256");
  const late = await run(tool("openssl"), ["x509", "-in", leaf, "-noout", "-checkend", String(197 * 86400)]);
  assertStringIncludes(late.stdout, "will expire");
});

Deno.test("s_client without SNI gets a leaf for the CONNECT host", async () => {
  const shown = await client(["-noservername", "-verify_hostname", "localhost"]);
  assertAnswered(shown, "TLSv1.3");
});

Deno.test("s_client to an address gets a leaf with that address, not a name", async () => {
  const shown = await client(["-noservername", "-verify_ip", "127.0.0.1"], {
    target: `127.0.0.1:${origin.port}`,
  });
  assertAnswered(shown, "TLSv1.3");
  const text = await run(tool("openssl"), [
    "x509",
    "-in",
    await leafOf(shown),
    "-noout",
    "-ext",
    "subjectAltName",
  ]);
  assertStringIncludes(text.stdout, "IP Address:127.0.0.1");
  assert(!text.stdout.includes("DNS:"));
});

Deno.test("s_client that offers h2 and http/1.1 is given what the origin chose among its offers", async () => {
  await using server = await startServer(["-alpn", "http/1.1"]);
  const shown = await client(["-servername", "localhost", "-alpn", "h2,http/1.1"], {
    target: `localhost:${server.port}`,
    path: "/",
  });
  assertStringIncludes(shown.stdout, "ALPN protocol: http/1.1");
  const hello = (await proxy.events()).findLast(({ kind }) => kind === "tls_client_hello");
  assertEquals(hello?.attributes.alpn, ["h2", "http/1.1"]);
  assertEquals(hello?.attributes.sni, "localhost");
});

Deno.test("s_client that offers h2 alone is served h2 under the proxy's own certificate", async () => {
  await using server = await startServer(["-alpn", "h2"]);
  const shown = await run(tool("openssl"), [
    ...[
      "s_client",
      "-proxy",
      proxy.authority,
      "-connect",
      `localhost:${server.port}`,
      "-servername",
      "localhost",
    ],
    ...["-CAfile", proxy.caPath, "-verify_return_error", "-alpn", "h2", "-ign_eof"],
  ], { stdin: "GET / HTTP/1.0\r\n\r\n" });
  assertStringIncludes(shown.stdout, "Verify return code: 0 (ok)");
  assertStringIncludes(shown.stdout, "ALPN protocol: h2");
  const events = await proxy.flow(
    "the flow",
    ({ kind, server_port }) => kind === "stream_closed" && server_port === server.port,
  );
  const secured = events.filter(({ kind }) => kind === "tls_handshake_succeeded");
  assertEquals(secured.map(({ attributes }) => attributes.alpn), ["h2", "h2"]);
});

Deno.test("s_client of TLS 1.1 is refused with an alert, and the log says it was the client's handshake", async () => {
  const shown = await client(["-tls1_1", "-cipher", "ALL:@SECLEVEL=0", "-servername", "localhost"]);
  assert(shown.code !== 0);
  const failure = await proxy.eventually(
    "a failed handshake",
    ({ kind, attributes }) => kind === "tls_handshake_failed" && attributes.side === "client",
  );
  assertEquals(failure.attributes.normalized_reason, "handshake");
});

for (const flag of ["-tls1_2", "-tls1_3"]) {
  Deno.test(`s_client ${flag} resumes its session with a ticket, and the log says so`, async () => {
    const session = `${folder}/session${flag}`;
    await client([flag, "-servername", "localhost", "-sess_out", session]);
    const shown = await client([flag, "-servername", "localhost", "-sess_in", session]);
    assertStringIncludes(shown.stdout, "Reused, ");
    assertStringIncludes(shown.stdout, "HTTP/1.1 200 OK");
    const version = flag === "-tls1_2" ? "TLSv1.2" : "TLSv1.3";
    const isHandshake = ({ kind, attributes }: LogEvent) =>
      kind === "tls_handshake_succeeded" && attributes.side === "client" && attributes.version === version;
    await proxy.eventually(
      "a resumed handshake",
      (event) => isHandshake(event) && event.attributes.resumed === true,
    );
    const resumed = (await proxy.events()).filter(isHandshake).slice(-2).map(({ attributes }) =>
      attributes.resumed
    );
    assertEquals(resumed, [false, true]);
  });
}

for (const flag of ["-tls1_2", "-tls1_3"]) {
  Deno.test(`a server ${flag} that takes over from another is judged by a full handshake, whatever tickets it gave`, async () => {
    await using trusted = await startServer([flag]);
    await Deno.writeTextFile(`${folder}/stranger.pem`, stranger.certPem + stranger.keyPem);
    await using other = await startOpenssl(`${folder}/stranger.pem`, [flag]);
    const address = startSwitch(trusted.port);
    await using through = await ProxyProcess.start(`openssl-taken-over${flag}`, {
      config: `[tls]\nupstream_trust = ${JSON.stringify(`${folder}/root.pem`)}\n` +
        `[[overrides]]\nid = "any"\nhosts = ["localhost:${other.port}"]\nskip_upstream_verify = true\n`,
    });
    const ask = async (port: number) => {
      const target = `localhost:${port}`;
      const shown = await client(["-servername", "localhost"], { through, target, path: "/" });
      return /HTTP\/1\.[01] (\d+)/.exec(shown.stdout)?.[1];
    };
    assertEquals([await ask(address.port), await ask(address.port)], ["200", "200"]);
    // The stranger gives tickets of its own for that name, to connections that verify nothing.
    assertEquals([await ask(other.port), await ask(other.port)], ["200", "200"]);
    address.leadsTo = other.port;
    assertEquals([await ask(address.port), await ask(address.port)], ["502", "502"]);
    address.leadsTo = trusted.port;
    assertEquals([await ask(address.port), await ask(address.port)], ["200", "200"]);
    await through.stop();
    address.close();

    const events = await through.events();
    const handshakes = (port: number) =>
      events.filter(({ kind, server_port, attributes }) =>
        /^tls_handshake_(succeeded|failed)$/.test(kind) && server_port === port &&
        attributes.side === "server"
      ).map(({ attributes: { normalized_reason, resumed, verified } }) =>
        normalized_reason ?? verified ?? resumed
      );
    assertEquals(handshakes(address.port), [false, true, "unknown_ca", "unknown_ca", false, true]);
    assertEquals(handshakes(other.port), [false, false]);
  });
}

Deno.test("the compat certificate profile signs with RSA, the strict profile refuses TLS 1.2", async () => {
  await using other = await ProxyProcess.start("openssl-profiles", {
    config: config(`downstream_cert_profile = "compat"\nprofile = "strict"\n`),
  });
  const shown = await client(["-tls1_3", "-servername", "localhost"], { through: other });
  assertAnswered(shown, "TLSv1.3");
  const text = await run(tool("openssl"), ["x509", "-in", await leafOf(shown), "-noout", "-text"]);
  assertStringIncludes(text.stdout, "Public-Key: (2048 bit)");
  assert((await client(["-tls1_2", "-servername", "localhost"], { through: other })).code !== 0);
  await other.stop();
});

function startServer(args: readonly string[]) {
  return startOpenssl(`${folder}/server.pem`, args);
}

/** A port of its own that leads to another one, and later maybe to yet another. */
function startSwitch(port: number) {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const leading = {
    port: listener.addr.port,
    leadsTo: port,
    close: () => listener.close(),
  };
  const lead = async (from: Deno.Conn) => {
    const to = await Deno.connect({ hostname: "127.0.0.1", port: leading.leadsTo });
    await Promise.allSettled([from.readable.pipeTo(to.writable), to.readable.pipeTo(from.writable)]);
  };
  (async () => {
    for await (const from of listener) void lead(from);
  })();
  return leading;
}
