import { assert, assertEquals, assertRejects } from "@std/assert";
import { X509Certificate } from "node:crypto";
import tls from "node:tls";
import { ServerTrust } from "../../src/runtime/server_trust.ts";
import { type Certificate, makeAuthority, type TestAuthority } from "../support/certificates.ts";

const DAY_MS = 86_400_000;
const LOCAL = { names: ["localhost", "127.0.0.1"] };

Deno.test("ServerTrust verifies with all roots first, then with those alone that can have anchored the host", async () => {
  const [first, second] = [makeAuthority("first root"), makeAuthority("second root")];
  await using bundle = await bundleOf(first, second);
  const trust = await ServerTrust.load({
    upstreamTrust: "bundled",
    upstreamCaBundle: bundle.path,
    profile: "default",
  });
  await using server = await serve(second.issue(LOCAL));
  const before = trust.contextFor("localhost");
  assertEquals(before.narrow, false);
  const socket = await handshake(server.port, before.context);
  trust.learned("localhost", socket);
  socket.destroy();
  const after = trust.contextFor("localhost");
  assertEquals(after.narrow, true);
  (await handshake(server.port, after.context)).destroy();
  assertEquals(trust.contextFor("other.example").narrow, false);

  // The narrow context is a subset: it holds the second root, not the first.
  await using other = await serve(first.issue(LOCAL));
  assertEquals(await refusal(other.port, after.context), "UNABLE_TO_VERIFY_LEAF_SIGNATURE");
  (await handshake(other.port, before.context)).destroy();
});

Deno.test("ServerTrust: after forget the whole set decides again, and what is learned then comes on top", async () => {
  const [first, second] = [makeAuthority("first root"), makeAuthority("second root")];
  await using bundle = await bundleOf(first, second);
  const trust = await ServerTrust.load({
    upstreamTrust: "bundled",
    upstreamCaBundle: bundle.path,
    profile: "default",
  });
  await using servers = await serve(first.issue(LOCAL));
  await using moved = await serve(second.issue(LOCAL));
  const learn = async (port: number) => {
    const socket = await handshake(port, trust.contextFor("localhost").context);
    trust.learned("localhost", socket);
    socket.destroy();
  };
  await learn(servers.port);
  assert(trust.contextFor("localhost").narrow);
  await refusal(moved.port, trust.contextFor("localhost").context);
  trust.forget("localhost");
  assertEquals(trust.contextFor("localhost").narrow, false);
  await learn(moved.port);
  const both = trust.contextFor("localhost");
  assert(both.narrow);
  (await handshake(servers.port, both.context)).destroy();
  (await handshake(moved.port, both.context)).destroy();
});

Deno.test("ServerTrust keeps every root of the same name, since only the signature tells them apart", async () => {
  const [first, second] = [makeAuthority("namesake"), makeAuthority("namesake")];
  const hosts = ["a.example", "b.example"];
  await using bundle = await bundleOf(first, second);
  const trust = await ServerTrust.load({
    upstreamTrust: "bundled",
    upstreamCaBundle: bundle.path,
    profile: "default",
  });
  await using a = await serve(first.issue(LOCAL));
  await using b = await serve(second.issue(LOCAL));
  for (const [at, { port }] of [a, b].entries()) {
    const host = hosts[at]!;
    const socket = await handshake(port, trust.contextFor(host).context);
    trust.learned(host, socket);
    socket.destroy();
    const narrow = trust.contextFor(host);
    assert(narrow.narrow);
    (await handshake(port, narrow.context)).destroy();
  }
});

Deno.test("ServerTrust remembers 1024 hosts, and of 1025 forgets the one not used for longest", async () => {
  const authority = makeAuthority("root");
  await using bundle = await bundleOf(authority);
  const trust = await ServerTrust.load({
    upstreamTrust: "bundled",
    upstreamCaBundle: bundle.path,
    profile: "default",
  });
  await using server = await serve(authority.issue(LOCAL));
  const socket = await handshake(server.port, trust.contextFor("h0").context);
  for (let host = 0; host < 1024; host++) trust.learned(`h${host}`, socket);
  assert(trust.contextFor("h0").narrow);
  trust.learned("h1024", socket);
  socket.destroy();
  assert(trust.contextFor("h0").narrow);
  assert(!trust.contextFor("h1").narrow);
  assert(trust.contextFor("h1024").narrow);
});

Deno.test("ServerTrust refuses an unknown root, a namesake of a known one and an expired leaf, with either context", async () => {
  const known = makeAuthority("known root");
  await using bundle = await bundleOf(known);
  const trust = await ServerTrust.load({
    upstreamTrust: "bundled",
    upstreamCaBundle: bundle.path,
    profile: "default",
  });
  const full = trust.contextFor("localhost").context;
  await using good = await serve(known.issue(LOCAL));
  const socket = await handshake(good.port, full);
  trust.learned("localhost", socket);
  socket.destroy();
  const narrow = trust.contextFor("localhost");
  assert(narrow.narrow);
  const expired = { notBefore: new Date(Date.now() - 2 * DAY_MS), notAfter: new Date(Date.now() - DAY_MS) };
  const leaves = [
    makeAuthority("unknown root").issue(LOCAL),
    makeAuthority("known root").issue(LOCAL),
    known.issue({ ...LOCAL, ...expired }),
  ];
  for (const leaf of leaves) {
    await using server = await serve(leaf);
    assertEquals(await refusal(server.port, full), "UNABLE_TO_VERIFY_LEAF_SIGNATURE");
    assertEquals(await refusal(server.port, narrow.context), "UNABLE_TO_VERIFY_LEAF_SIGNATURE");
  }
});

Deno.test("ServerTrust learns nothing when there are few roots, and nothing from a connection that was not verified", async () => {
  const authority = makeAuthority("only root");
  await using bundle = await bundleOf(authority);
  await using server = await serve(authority.issue(LOCAL));
  const few = await ServerTrust.load({
    upstreamTrust: bundle.path,
    upstreamCaBundle: null,
    profile: "default",
  });
  const socket = await handshake(server.port, few.contextFor("localhost").context);
  few.learned("localhost", socket);
  socket.destroy();
  assertEquals(few.contextFor("localhost").narrow, false);

  const many = await ServerTrust.load({
    upstreamTrust: "bundled",
    upstreamCaBundle: null,
    profile: "default",
  });
  const unverified = await handshake(server.port, many.contextFor("localhost").context, {
    rejectUnauthorized: false,
  });
  many.learned("localhost", unverified);
  unverified.destroy();
  assertEquals(many.contextFor("localhost").narrow, false);
});

Deno.test("ServerTrust gives all roots as PEM for other programs", async () => {
  const authorities = [makeAuthority("first root"), makeAuthority("second root")];
  await using bundle = await bundleOf(...authorities);
  const trust = await ServerTrust.load({
    upstreamTrust: bundle.path,
    upstreamCaBundle: null,
    profile: "default",
  });
  const written = (pem: string) => new X509Certificate(pem).fingerprint256;
  const pems = trust.readRoots().split(/(?<=-----END CERTIFICATE-----\n)/);
  assertEquals(pems.map(written), authorities.map(({ certPem }) => written(certPem)));
});

Deno.test("ServerTrust with the strict profile speaks TLS 1.3 only, else 1.2 too", async () => {
  const authority = makeAuthority("root");
  await using bundle = await bundleOf(authority);
  await using old = await serve(authority.issue(LOCAL), { maxVersion: "TLSv1.2" });
  for (const profile of ["default", "compat"] as const) {
    const trust = await ServerTrust.load({ upstreamTrust: bundle.path, upstreamCaBundle: null, profile });
    const socket = await handshake(old.port, trust.contextFor("localhost").context);
    assertEquals(socket.getProtocol(), "TLSv1.2");
    socket.destroy();
  }
  const strict = await ServerTrust.load({
    upstreamTrust: bundle.path,
    upstreamCaBundle: null,
    profile: "strict",
  });
  assertEquals(
    await refusal(old.port, strict.contextFor("localhost").context),
    "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION",
  );
});

Deno.test("ServerTrust makes repeated handshakes cheap", async () => {
  const authority = makeAuthority("timing root");
  await using bundle = await bundleOf(authority);
  await using server = await serve(authority.issue(LOCAL));
  const trust = await ServerTrust.load({
    upstreamTrust: "bundled",
    upstreamCaBundle: bundle.path,
    profile: "default",
  });
  const average = async (context: tls.SecureContext) => {
    const rounds = 20;
    const started = performance.now();
    for (let round = 0; round < rounds; round++) (await handshake(server.port, context)).destroy();
    return ((performance.now() - started) / rounds).toFixed(2);
  };
  const full = trust.contextFor("localhost").context;
  const socket = await handshake(server.port, full);
  const started = performance.now();
  trust.learned("localhost", socket);
  const learning = (performance.now() - started).toFixed(2);
  socket.destroy();
  console.log(
    `a handshake takes ${await average(full)} ms with all roots,`,
    `${await average(
      trust.contextFor("localhost").context,
    )} ms with the host's own; learning took ${learning} ms`,
  );
});

async function bundleOf(...authorities: readonly TestAuthority[]) {
  const path = await Deno.makeTempFile({ suffix: ".pem" });
  const text = authorities.map(({ certPem }, at) =>
    `# root ${at}\r\n${certPem.replaceAll("\n", "\r\n")}\r\n`
  );
  await Deno.writeTextFile(path, text.join("\n"));
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path) };
}

async function serve({ certPem, keyPem }: Certificate, options: tls.TlsOptions = {}) {
  const server = tls.createServer({ cert: certPem, key: keyPem, ...options }, (socket) => {
    socket.on("error", () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("not listening");
  return {
    port: address.port,
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}

function handshake(
  port: number,
  secureContext: tls.SecureContext,
  options: tls.ConnectionOptions = {},
): Promise<tls.TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({
      host: "127.0.0.1",
      port,
      servername: "localhost",
      secureContext,
      ...options,
    });
    socket.once("secureConnect", () => resolve(socket));
    socket.once("error", (error) => {
      socket.destroy();
      reject(error);
    });
  });
}

/** The code with which the server was refused. */
async function refusal(port: number, context: tls.SecureContext): Promise<string> {
  const error = await assertRejects(() => handshake(port, context), Error);
  return (error as Error & { code: string }).code;
}
