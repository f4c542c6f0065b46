import { assertEquals } from "@std/assert";
import net from "node:net";
import tls from "node:tls";
import type { SecureServer, TransportFault } from "../../src/core/session.ts";
import { ClientIdentities } from "../../src/runtime/client_identities.ts";
import { settingsFromValues } from "../../src/runtime/config/load.ts";
import { type Conn, IGNORE_EVENTS } from "../../src/runtime/conn.ts";
import { Dialer } from "../../src/runtime/dialer.ts";
import { ServerTls } from "../../src/runtime/server_tls.ts";
import { ServerTrust } from "../../src/runtime/server_trust.ts";
import { ClientHelloReader } from "../../src/tls/client_hello.ts";
import { type Certificate, makeAuthority, type TestAuthority } from "../support/certificates.ts";

const LOCAL = { names: ["localhost", "127.0.0.1"] };
const PRE_SHARED_KEY = 41;

interface World {
  readonly authority: TestAuthority;
  readonly serverTls: ServerTls;
  /** Of one connection to that port: whether it resumed a session, or the code with which it failed. */
  connect(port: number, options?: Partial<SecureServer>): Promise<boolean | string>;
  /** Has the proxy begin a handshake of which nothing more is to be heard; gives its cancel. */
  begin(port: number): Promise<() => void>;
}

async function withWorld(
  test: (world: World) => Promise<void>,
  { ownsProcess = true, sendSni = true, roots = [] as readonly TestAuthority[] } = {},
): Promise<void> {
  const authority = makeAuthority();
  const folder = await Deno.makeTempDir({ prefix: "server_tls_" });
  try {
    const path = `${folder}/roots.pem`;
    await Deno.writeTextFile(path, [authority, ...roots].map(({ certPem }) => certPem).join(""));
    const trust = await ServerTrust.load(
      { upstreamTrust: path, upstreamCaBundle: null, profile: "default" },
      { ownsProcess },
    );
    const { settings } = settingsFromValues({ values: { state_dir: folder }, env: {}, cwd: folder });
    const dialer = new Dialer({ isSelf: () => false, onExhausted: () => {} });
    const serverTls = new ServerTls(trust, dialer, sendSni, await ClientIdentities.load(settings));
    const secureOptions = (port: number): SecureServer => ({
      host: "localhost",
      port,
      alpn: [],
      profile: "default",
      verify: true,
      overrideId: null,
    });
    const connect = (port: number, options: Partial<SecureServer> = {}) =>
      connectOnce(dialer, serverTls, { ...secureOptions(port), ...options });
    const begin = (port: number) => {
      const { promise, resolve } = Promise.withResolvers<() => void>();
      const target = { host: "127.0.0.1", port };
      const unexpected = () => {
        throw new Error("nothing was to be heard");
      };
      dialer.dial(target, {
        opened: (conn) =>
          resolve(serverTls.secure(conn, target, secureOptions(port), {
            abandoned: unexpected,
            secured: unexpected,
            failed: unexpected,
          })),
        failed: unexpected,
      });
      return promise;
    };
    await test({ authority, serverTls, connect, begin });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Reads what the server says first, so that its tickets have come. */
function connectOnce(dialer: Dialer, serverTls: ServerTls, options: SecureServer): Promise<boolean | string> {
  const { promise, resolve } = Promise.withResolvers<boolean | string>();
  const target = { host: "127.0.0.1", port: options.port };
  const failed = ({ code }: TransportFault) => resolve(code);
  dialer.dial(target, {
    opened: (conn: Conn) =>
      serverTls.secure(conn, target, options, {
        abandoned() {},
        secured(secured, info) {
          secured.handler = {
            ...IGNORE_EVENTS,
            onData: () => secured.destroy(),
            onClosed: () => resolve(info.resumed === true),
          };
        },
        failed,
      }),
    failed,
  });
  return promise;
}

/** A server that says something first. `answer`: what becomes of a connection, by its hello's extensions. */
async function serve(
  { certPem: cert, keyPem: key }: Certificate,
  options: tls.TlsOptions = {},
  answer: (extensions: readonly number[]) => "relay" | "cut" | "stall" = () => "relay",
) {
  const hellos: boolean[] = [];
  const server = tls.createServer({ cert, key, ...options }, (socket) => {
    socket.on("error", () => {});
    socket.write("hello");
  });
  await listening(server);
  const inside = portOf(server);
  const outside = net.createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", (data: Uint8Array) => {
      const read = new ClientHelloReader().push(data);
      const extensions = read.type === "hello" ? read.hello.extensions : [];
      hellos.push(extensions.includes(PRE_SHARED_KEY));
      const what = answer(extensions);
      if (what === "cut") socket.destroy();
      if (what !== "relay") return;
      const behind = net.connect(inside, "127.0.0.1");
      behind.on("error", () => socket.destroy());
      behind.write(data);
      socket.pipe(behind);
      behind.pipe(socket);
    });
  });
  await listening(outside);
  return {
    port: portOf(outside),
    /** Of each connection, whether it offered a session of TLS 1.3. */
    hellos,
    async [Symbol.asyncDispose]() {
      for (const one of [outside, server]) await new Promise<void>((closed) => one.close(() => closed()));
    },
  };
}

function listening(server: net.Server): Promise<void> {
  return new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
}

function portOf(server: net.Server): number {
  return (server.address() as net.AddressInfo).port;
}

for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
  Deno.test(`ServerTls resumes its session with a server of ${version} in a process of its own`, async () => {
    await withWorld(async ({ authority, connect }) => {
      await using server = await serve(authority.issue(LOCAL), { maxVersion: version });
      const resumed = [];
      for (let round = 0; round < 3; round++) resumed.push(await connect(server.port));
      assertEquals(resumed, [false, true, true]);
    });
  });
}

Deno.test("ServerTls resumes nothing in another's process, without a name to send, or with an address", async () => {
  const cases = [
    [{ ownsProcess: false }, {}],
    [{ sendSni: false }, {}],
    [{}, { host: "127.0.0.1" }],
  ] as const;
  for (const [options, asked] of cases) {
    await withWorld(async ({ authority, connect }) => {
      await using server = await serve(authority.issue(LOCAL));
      assertEquals([await connect(server.port, asked), await connect(server.port, asked)], [false, false]);
      assertEquals(server.hellos, [false, false]);
    }, options);
  }
});

Deno.test("ServerTls resumes with many roots too, once it knows which of them a host is anchored in", async () => {
  const roots = Array.from({ length: 8 }, (_, at) => makeAuthority(`root ${at}`));
  await withWorld(async ({ connect }) => {
    await using first = await serve(roots[5]!.issue(LOCAL));
    await using second = await serve(roots[7]!.issue(LOCAL));
    // All the roots, then the few of them that the process trusts by default, then a session.
    assertEquals(await resumedBy(connect, first.port, 3), [false, false, true]);
    // The same name with another anchor: refused by the few, taken by all, and then among the few.
    assertEquals(await resumedBy(connect, second.port, 3), [false, false, true]);
  }, { roots });
});

async function resumedBy(connect: World["connect"], port: number, count: number) {
  const resumed = [];
  for (let round = 0; round < count; round++) resumed.push(await connect(port));
  return resumed;
}

Deno.test("ServerTls offers no session that began unverified, and none to whom nobody verifies", async () => {
  await withWorld(async ({ connect }) => {
    await using server = await serve(makeAuthority("a stranger").issue(LOCAL));
    const unverified = { verify: false };
    assertEquals([await connect(server.port, unverified), await connect(server.port, unverified)], [
      false,
      false,
    ]);
    assertEquals(await connect(server.port), "UNABLE_TO_GET_ISSUER_CERT_LOCALLY");
    assertEquals(server.hellos.includes(true), false);
  });
});

Deno.test("ServerTls judges a server that fails to resume by a full handshake, and stops asking after two", async () => {
  await withWorld(async ({ authority, connect }) => {
    await using server = await serve(
      authority.issue(LOCAL),
      {},
      (extensions) => extensions.includes(PRE_SHARED_KEY) ? "cut" : "relay",
    );
    assertEquals(await resumedBy(connect, server.port, 5), [false, false, false, false, false]);
    // Each offer is followed by a connection without.
    assertEquals(server.hellos, [false, true, false, true, false, false, false]);
  });
});

Deno.test("ServerTls shows no session again to a server that was given up over one", async () => {
  await withWorld(async ({ authority, connect, begin }) => {
    const { promise: offered, resolve: offer } = Promise.withResolvers<void>();
    let stalled = false;
    await using server = await serve(authority.issue(LOCAL), {}, (extensions) => {
      if (!extensions.includes(PRE_SHARED_KEY) || stalled) return "relay";
      stalled = true;
      offer();
      return "stall";
    });
    assertEquals(await connect(server.port), false);
    const cancel = await begin(server.port);
    await offered;
    cancel();
    assertEquals(await connect(server.port), false);
    assertEquals(server.hellos, [false, true, false]);
  });
});

Deno.test("ServerTls verifies anew on another port, and for another name", async () => {
  await withWorld(async ({ authority, connect }) => {
    await using server = await serve(authority.issue(LOCAL));
    assertEquals(await connect(server.port), false);
    await using impostor = await serve(authority.issue({ names: ["other.example"] }));
    assertEquals(await connect(impostor.port), "ERR_TLS_CERT_ALTNAME_INVALID");
    assertEquals(await connect(server.port, { host: "other.example" }), "ERR_TLS_CERT_ALTNAME_INVALID");
    assertEquals([...server.hellos, ...impostor.hellos], [false, false, false]);
  });
});
