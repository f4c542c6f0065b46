/**
 * The same failures through mitmproxy and through this proxy: what mitmproxy's TLS callbacks say, normalised by
 * `soth-mitm tls-replay`, is of the same category as what is recorded here.
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import * as net from "node:net";
import * as tls from "node:tls";
import { type Certificate, makeAuthority, makeSelfSigned } from "../support/certificates.ts";
import { type RawOrigin, startHttpOrigin, startRawOrigin } from "../support/origin.ts";
import { type LogEvent, ProxyProcess, soth } from "../support/proxy_process.ts";
import { freePort } from "../support/free_port.ts";
import { plainEnvironment, run, tool } from "../support/tools.ts";

const DAY_MS = 86_400_000;
const authority = makeAuthority();
const stranger = makeAuthority("Stranger");
const good = authority.issue({ names: ["localhost"] });

/** A proxy as the cases see it. */
interface Proxy {
  readonly port: number;
  readonly caPath: string;
}

interface Case {
  readonly name: string;
  /** Whose handshake fails. */
  readonly side: "client" | "server";
  readonly expected: string;
  readonly origin: () => Promise<RawOrigin>;
  /** The client; without one curl, which trusts the proxy. */
  readonly client?: (proxy: Proxy, origin: RawOrigin) => Promise<unknown>;
}

const serving = (certificate: Certificate) => () => startHttpOrigin({ certificate });
const then = (days: number) => new Date(Date.now() + days * DAY_MS);

/** Reads the ClientHello and answers with these bytes, or as told. */
const answering = (answer: Uint8Array | "ends" | "resets") => () =>
  startRawOrigin(async (connection) => {
    await connection.read();
    if (answer === "resets") connection.reset();
    else {
      if (answer !== "ends") await connection.write(answer);
      connection.end();
    }
  });

const CASES: readonly Case[] = [
  {
    name: "a client that does not know the CA",
    side: "client",
    expected: "unknown_ca",
    origin: serving(good),
    client: (proxy, origin) => curl(proxy, origin, ["--cacert", `${folder}/root.pem`]),
  },
  {
    name: "a client that resets after our certificate",
    side: "client",
    expected: "eof_or_reset",
    origin: serving(good),
    client: (proxy, origin) => leaves(proxy, origin, "resets"),
  },
  {
    name: "a client that ends after our certificate",
    side: "client",
    expected: "eof_or_reset",
    origin: serving(good),
    client: (proxy, origin) => leaves(proxy, origin, "ends"),
  },
  {
    name: "a client that answers with rubbish",
    side: "client",
    expected: "handshake",
    origin: serving(good),
    client: (proxy, origin) => leaves(proxy, origin, "rubbish"),
  },
  {
    name: "a self-signed server",
    side: "server",
    expected: "unknown_ca",
    origin: serving(makeSelfSigned({ names: ["localhost"] })),
  },
  {
    name: "a server of an unknown CA",
    side: "server",
    expected: "unknown_ca",
    origin: serving(stranger.issue({ names: ["localhost"] })),
  },
  {
    name: "an expired server",
    side: "server",
    expected: "cert_validation",
    origin: serving(authority.issue({ names: ["localhost"], notBefore: then(-9), notAfter: then(-1) })),
  },
  {
    name: "a server that is not yet valid",
    side: "server",
    expected: "cert_validation",
    origin: serving(authority.issue({ names: ["localhost"], notBefore: then(2), notAfter: then(9) })),
  },
  {
    name: "a server of another name",
    side: "server",
    expected: "cert_validation",
    origin: serving(authority.issue({ names: ["other.test"] })),
  },
  {
    name: "plain HTTP behind https",
    side: "server",
    expected: "handshake",
    origin: answering(new TextEncoder().encode("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")),
  },
  {
    name: "a server that answers with rubbish",
    side: "server",
    expected: "handshake",
    origin: answering(new Uint8Array(64).fill(0x80)),
  },
  {
    name: "a server that says handshake_failure",
    side: "server",
    expected: "handshake",
    origin: answering(Uint8Array.of(0x15, 3, 3, 0, 2, 2, 40)),
  },
  {
    name: "a server that says protocol_version",
    side: "server",
    expected: "handshake",
    origin: answering(Uint8Array.of(0x15, 3, 2, 0, 2, 2, 70)),
  },
  {
    name: "a server that resets in the handshake",
    side: "server",
    expected: "eof_or_reset",
    origin: answering("resets"),
  },
  {
    name: "a server that ends in the handshake",
    side: "server",
    expected: "eof_or_reset",
    origin: answering("ends"),
  },
];

let folder: string;

Deno.test("mitmproxy's callbacks are of the same categories as what is recorded here of the same failures", async () => {
  folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/root.pem`, authority.certPem);
    const origins: RawOrigin[] = [];
    for (const { origin } of CASES) origins.push(await origin());
    const theirs = await throughMitmproxy(origins);
    const ours = await throughOurs(origins);
    for (const origin of origins) await origin.close();
    const rows = CASES.map(({ name, side, expected }, index) => {
      const { port } = origins[index]!;
      return {
        name,
        side,
        expected,
        ours: failure(ours, port, side),
        mitmproxy: failure(theirs, port, side),
      };
    });
    console.log(table(rows));
    for (const { name, expected, ours, mitmproxy } of rows) {
      assertEquals([ours?.attributes.normalized_reason, mitmproxy?.attributes.normalized_reason], [
        expected,
        expected,
      ], name);
      assertEquals(mitmproxy?.attributes.source_confidence, "authoritative", name);
      assertEquals(mitmproxy?.attributes.provider_identity, "mitmproxy", name);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** The events of our own log. */
async function throughOurs(origins: readonly RawOrigin[]): Promise<readonly LogEvent[]> {
  const config = `[tls]\nupstream_ca_bundle = ${JSON.stringify(`${folder}/root.pem`)}\n`;
  const proxy = await ProxyProcess.start("mitmproxy", { config });
  try {
    await playAll(proxy, origins);
    await proxy.stop();
    return await proxy.events();
  } finally {
    await proxy[Symbol.asyncDispose]();
  }
}

/** The events that mitmproxy's callbacks become. */
async function throughMitmproxy(origins: readonly RawOrigin[]): Promise<readonly LogEvent[]> {
  const callbacks = `${folder}/tls.jsonl`;
  const port = freePort();
  const child = new Deno.Command(tool("mitmdump"), {
    args: [
      ...["-s", "fixtures/mitmproxy/tls_events.py", "--set", `tls_events=${callbacks}`],
      ...["--set", `confdir=${folder}/mitmproxy`, "--listen-host", "127.0.0.1", "-p", String(port)],
      ...["--set", `ssl_verify_upstream_trusted_ca=${folder}/root.pem`],
    ],
    env: plainEnvironment({ PYTHONUNBUFFERED: "1" }),
    clearEnv: true,
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const said = child.stdout.pipeThrough(new TextDecoderStream())[Symbol.asyncIterator]();
  let text = "";
  while (!text.includes("listening")) {
    const { done, value } = await said.next();
    if (done) throw new Error(`mitmdump ended before it listened: ${text}`);
    text += value;
  }
  const rest = (async () => {
    while (!(await said.next()).done);
  })();
  await playAll({ port, caPath: `${folder}/mitmproxy/mitmproxy-ca-cert.pem` }, origins);
  child.kill("SIGTERM");
  await child.status;
  await rest;

  const log = `${folder}/replayed.jsonl`;
  // A line that is none is told by its number, and is the only thing that is lost.
  const lines = (await Deno.readTextFile(callbacks)).split("\n");
  await Deno.writeTextFile(callbacks, [...lines.slice(0, 2), '{"event":"torn', ...lines.slice(2)].join("\n"));
  const replayed = await soth("tls-replay", ["--events", log, callbacks]);
  assertEquals(replayed.code, 1);
  assertEquals(replayed.stderr, `soth-mitm: ${callbacks}:3: it is no JSON\n`);
  const verified = await soth("log", ["verify", log]);
  assertEquals(verified.code, 0, verified.stdout);
  assertStringIncludes(verified.stdout, `${CASES.length} flows`);
  return (await Deno.readTextFile(log)).split("\n").slice(1, -1).map((line) => JSON.parse(line) as LogEvent);
}

async function playAll(proxy: Proxy, origins: readonly RawOrigin[]): Promise<void> {
  for (const [index, { client = curl }] of CASES.entries()) await client(proxy, origins[index]!);
}

function curl({ port, caPath }: Proxy, origin: RawOrigin, args: readonly string[] = ["--cacert", caPath]) {
  return run(tool("curl"), [
    ...[
      "-q",
      "-sS",
      "--max-time",
      "20",
      "-x",
      `http://127.0.0.1:${port}`,
      "--noproxy",
      "",
      "-o",
      "/dev/null",
    ],
    ...(args.includes("--cacert") ? [] : ["--cacert", caPath]),
    ...args,
    `https://localhost:${origin.port}/bytes/1`,
  ]);
}

/** A client that goes away when it has seen what answers its ClientHello. */
async function leaves({ port }: Proxy, origin: RawOrigin, how: "ends" | "resets" | "rubbish"): Promise<void> {
  const hello = await realHello();
  const socket = net.connect({ host: "127.0.0.1", port, allowHalfOpen: true });
  const closed = new Promise((resolve) => socket.once("close", resolve));
  socket.on("error", () => {});
  let granted = false;
  socket.on("data", () => {
    if (!granted) {
      granted = true;
      socket.write(hello);
    } else if (how === "ends") socket.end();
    else if (how === "rubbish") socket.end(new Uint8Array(64).fill(0x80));
    else socket.resetAndDestroy();
  });
  socket.on("end", () => socket.destroy());
  socket.write(`CONNECT localhost:${origin.port} HTTP/1.1\r\nHost: localhost:${origin.port}\r\n\r\n`);
  await closed;
}

/** The first bytes of a TLS client of this runtime. */
async function realHello(): Promise<Uint8Array> {
  const { promise, resolve } = Promise.withResolvers<Uint8Array>();
  const listener = await startRawOrigin(async (connection) => {
    const header = await connection.readExactly(5);
    const body = await connection.readExactly(header[3]! << 8 | header[4]!);
    resolve(Uint8Array.from([...header, ...body]));
  });
  const client = tls.connect({ host: "127.0.0.1", port: listener.port, servername: "localhost" });
  client.on("error", () => {});
  const hello = await promise;
  client.destroy();
  await listener.close();
  return hello;
}

function failure(events: readonly LogEvent[], port: number, side: string): LogEvent | undefined {
  return events.find(({ kind, server_port, attributes }) =>
    kind === "tls_handshake_failed" && server_port === port && attributes.side === side
  );
}

interface Row {
  readonly name: string;
  readonly side: string;
  readonly expected: string;
  readonly ours: LogEvent | undefined;
  readonly mitmproxy: LogEvent | undefined;
}

function table(rows: readonly Row[]): string {
  const lines = rows.map(({ name, side, expected, ours, mitmproxy }) =>
    [
      `${name} (${side})`.padEnd(50),
      expected.padEnd(15),
      String(ours?.attributes.normalized_reason).padEnd(15),
      String(mitmproxy?.attributes.normalized_reason).padEnd(15),
      String(mitmproxy?.attributes.raw_provider_error).slice(0, 110),
    ].join("  ")
  );
  return ["case".padEnd(52) + "expected         soth-mitm        mitmproxy        what it said", ...lines]
    .join("\n");
}
