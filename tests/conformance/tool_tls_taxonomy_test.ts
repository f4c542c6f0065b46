/**
 * Handshakes that really fail, with peers of many makes on both sides, and what the proxy calls each failure.
 * Expected is the cause, not what the peer happens to say of it; where a peer hides the cause, that is a miss.
 * The table goes to the lane's report as `taxonomy.md`.
 */
import { assert } from "@std/assert";
import * as net from "node:net";
import * as tls from "node:tls";
import type { TlsFailureReason } from "../../src/tls/failure.ts";
import {
  type Certificate,
  makeAuthority,
  makeSelfSigned,
  type TestAuthority,
  withBadSignature,
} from "../support/certificates.ts";
import { startOpenssl } from "../support/openssl_server.ts";
import { startHttpOrigin } from "../support/origin.ts";
import { ProxyProcess } from "../support/proxy_process.ts";
import { type Revocation, revoke } from "../support/revocation.ts";
import { type ServerProcess, startPeer } from "../support/server_process.ts";
import { type CutEnd, startCut } from "../support/tls_cut.ts";
import { run, tool } from "../support/tools.ts";
import { alpn, clientHello, codes16, serverName } from "../tls/hello_builder.ts";

const CASES_MIN = 60;
const CORRECT_MIN = 0.95;
const AT_ONCE = 4;
const DAY_MS = 86_400_000;
const names = ["localhost"];

interface Case {
  readonly side: "server" | "client";
  readonly name: string;
  readonly peer: string;
  readonly expected: TlsFailureReason;
  /** Makes it happen, and gives the port of the server, by which the flow is known. */
  readonly play: () => Promise<number>;
}

interface Row extends Case {
  readonly got: string;
  readonly confidence: string;
  readonly raw: string;
}

let folder: string;
let proxy: ProxyProcess;
const disposables: AsyncDisposable[] = [];

Deno.test("real handshakes that fail are called by their cause", async () => {
  folder = await Deno.makeTempDir();
  const authority = makeAuthority();
  try {
    await Deno.writeTextFile(`${folder}/root.pem`, authority.certPem);
    proxy = await ProxyProcess.start("taxonomy", {
      config: `[tls]\nupstream_ca_bundle = ${JSON.stringify(`${folder}/root.pem`)}\n` +
        `[timeouts]\ntls_handshake = "4s"\n`,
    });
    const cases = [
      ...await serversOfManyMakes(authority),
      ...await serversByHand(authority),
      ...await serversCutShort(authority),
      ...clientsOfManyMakes(authority, await revokedLeaf(authority)),
      ...clientsByHand(authority),
      ...clientsCutShort(authority),
    ];
    const rows = await inTurns(cases);
    const right = rows.filter(({ expected, got }) => expected === got).length;
    const misses = rows.filter(({ expected, got }) => expected !== got);
    const report = table(rows, right);
    await Deno.writeTextFile(`${Deno.env.get("LANE_REPORT_DIR") ?? folder}/taxonomy.md`, report);
    console.log(`${right} of ${rows.length} right; misses:`);
    for (const { side, name, peer, expected, got, raw } of misses) {
      console.log(`  ${side} ${name}, ${peer}: expected ${expected}, got ${got} (${raw})`);
    }
    assert(rows.length >= CASES_MIN, `${rows.length} cases`);
    assert(right / rows.length >= CORRECT_MIN, report);
    await proxy.stop();
  } finally {
    await proxy?.[Symbol.asyncDispose]();
    for (const one of disposables) await one[Symbol.asyncDispose]();
    await Deno.remove(folder, { recursive: true });
  }
});

async function inTurns(cases: readonly Case[]): Promise<Row[]> {
  const ports: number[] = [];
  let next = 0;
  const work = async () => {
    while (next < cases.length) {
      const at = next++;
      ports[at] = await cases[at]!.play();
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  const rows: Row[] = [];
  for (const [at, one] of cases.entries()) rows.push(await outcomeOf(one, ports[at]!));
  return rows;
}

async function outcomeOf(one: Case, port: number): Promise<Row> {
  const events = await proxy.flow(
    `the end of ${one.side} ${one.name}, ${one.peer}`,
    ({ kind, server_port }) => kind === "stream_closed" && server_port === port,
  );
  const failed = events.find(({ kind, attributes }) =>
    kind === "tls_handshake_failed" && attributes.side === one.side
  );
  return {
    ...one,
    got: String(failed?.attributes.normalized_reason ?? "no failure"),
    confidence: String(failed?.attributes.source_confidence ?? "-"),
    raw: String(failed?.attributes.raw_provider_error ?? "-"),
  };
}

function table(rows: readonly Row[], right: number): string {
  const cell = (text: string) => text.replaceAll("|", "\\|").replace(/\s+/g, " ").slice(0, 120);
  return [
    `${right} of ${rows.length} right (${(100 * right / rows.length).toFixed(1)} %).`,
    "",
    "| | side | case | peer | expected | got | confidence | what was said |",
    "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ...rows.map((row) =>
      `| ${
        row.expected === row.got ? "" : "miss"
      } | ${row.side} | ${row.name} | ${row.peer} | ${row.expected} | ` +
      `${row.got} | ${row.confidence} | ${cell(row.raw)} |`
    ),
    "",
  ].join("\n");
}

// Servers

interface ServerOptions {
  readonly cert: string;
  readonly key: string;
  readonly max?: string;
  readonly ciphers?: string;
  readonly suites?: readonly number[];
  readonly alpn?: readonly string[];
  readonly clientCa?: string;
  readonly staple?: string;
}

interface Defect {
  readonly name: string;
  readonly expected: TlsFailureReason;
  readonly certificate?: Certificate;
  readonly restriction?: Omit<ServerOptions, "cert" | "key">;
  /** For `openssl s_server`. */
  readonly args?: readonly string[];
  /** Peers that cannot be made to do it. */
  readonly not?: readonly string[];
}

async function serversOfManyMakes(authority: TestAuthority): Promise<Case[]> {
  const now = Date.now();
  const good = authority.issue({ names });
  const past = { notBefore: new Date(now - 2 * DAY_MS), notAfter: new Date(now - DAY_MS) };
  const clientCa = `${folder}/root.pem`;
  const revoked = authority.issue({ names });
  const { staple } = await revokedBy(authority, revoked.certPem);
  const defects: readonly Defect[] = [
    { name: "unknown CA", expected: "unknown_ca", certificate: makeAuthority("Stranger").issue({ names }) },
    {
      name: "self-signed",
      expected: "unknown_ca",
      certificate: makeSelfSigned({ names, commonName: "localhost" }),
    },
    { name: "expired", expected: "cert_validation", certificate: authority.issue({ names, ...past }) },
    {
      name: "not yet valid",
      expected: "cert_validation",
      certificate: authority.issue({ names, notBefore: new Date(now + DAY_MS) }),
    },
    {
      name: "wrong host",
      expected: "cert_validation",
      certificate: authority.issue({ names: ["concert.example"] }),
    },
    {
      name: "missing intermediate",
      expected: "unknown_ca",
      certificate: authority.issueAuthority("Between").issue({ names }),
    },
    {
      name: "revoked, as the OCSP answer that comes with it says",
      expected: "cert_validation",
      certificate: revoked,
      restriction: { staple },
      args: ["-status_file", staple],
      // They cannot be given an answer to staple.
      not: ["Python", "Node"],
    },
    { name: "bad signature", expected: "cert_validation", certificate: withBadSignature(good) },
    {
      name: "TLS 1.0 only",
      expected: "handshake",
      restriction: { max: "1.0", ciphers: "DEFAULT@SECLEVEL=0" },
      args: ["-tls1", "-cipher", "DEFAULT@SECLEVEL=0"],
    },
    {
      name: "no shared cipher",
      expected: "handshake",
      restriction: { max: "1.2", ciphers: "ECDHE-ECDSA-AES128-SHA", suites: [0xc009] },
      args: ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"],
    },
    {
      name: "no shared ALPN",
      expected: "handshake",
      restriction: { alpn: ["imap"] },
      args: ["-alpn", "imap"],
      // Python's ssl goes on without a protocol.
      not: ["Python"],
    },
    {
      name: "client certificate demanded, TLS 1.2",
      expected: "handshake",
      restriction: { max: "1.2", clientCa },
      args: ["-tls1_2", "-Verify", "1"],
    },
    {
      name: "client certificate demanded, TLS 1.3",
      expected: "handshake",
      restriction: { clientCa },
      args: ["-Verify", "1", "-verify_return_error"],
    },
  ];
  const cases: Case[] = [];
  const files: (readonly [Defect, string])[] = [];
  for (const [index, defect] of defects.entries()) {
    const { certPem, keyPem } = defect.certificate ?? good;
    const path = `${folder}/server-${index}.pem`;
    await Deno.writeTextFile(path, certPem + keyPem);
    files.push([defect, path]);
  }
  for (const [defect, path] of files) {
    const server = await startOpenssl(path, defect.args ?? []);
    disposables.push(server);
    cases.push(serverCase(defect.name, "openssl s_server", defect.expected, server.port));
  }
  const makes = { Python: pythonPeer, Node: nodePeer, Go: goPeer };
  for (const [make, [program, ...script]] of Object.entries(makes)) {
    const played = files.filter(([{ not }]) => !not?.includes(make));
    const options = played.map(([{ restriction }, path]) => ({ cert: path, key: path, ...restriction }));
    const peer: ServerProcess = await startPeer(program!, [...script, "serve", JSON.stringify(options)]);
    disposables.push(peer);
    for (const [index, [{ name, expected }]] of played.entries()) {
      cases.push(serverCase(name, make, expected, peer.ports[index]!));
    }
  }
  return cases;
}

const PEERS = new URL("../peers/", import.meta.url).pathname;
const pythonPeer: readonly string[] = [tool("python"), `${PEERS}tls_peer.py`];
const nodePeer: readonly string[] = [tool("node"), `${PEERS}tls_peer.mjs`];
const goPeer: readonly string[] = [tool("tlsPeer")];

function serverCase(name: string, peer: string, expected: TlsFailureReason, port: number): Case {
  return { side: "server", name, peer, expected, play: () => askThroughProxy(port) };
}

/** A client that would be content with anything the proxy shows; it waits for the end. */
async function askThroughProxy(port: number): Promise<number> {
  const socket = await tunnelTo(port);
  const secure = tls.connect({
    socket,
    servername: "localhost",
    ca: await Deno.readTextFile(proxy.caPath),
    ALPNProtocols: ["http/1.1"],
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  for (const over of ["end", "error", "close"]) secure.once(over, () => resolve());
  socket.once("close", () => resolve());
  secure.once(
    "secureConnect",
    () => secure.write("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
  );
  secure.resume();
  await promise;
  secure.destroy();
  socket.destroy();
  return port;
}

async function tunnelTo(port: number): Promise<net.Socket> {
  const socket = net.connect({ port: proxy.port, host: proxy.host });
  socket.on("error", () => {});
  const head = Promise.withResolvers<void>();
  socket.once("data", () => head.resolve());
  socket.once("close", () => head.resolve());
  socket.write(`CONNECT localhost:${port} HTTP/1.1\r\nHost: localhost:${port}\r\n\r\n`);
  await head.promise;
  return socket;
}

function alert(description: number, level = 2): Uint8Array {
  return Uint8Array.of(21, 3, 3, 0, 2, level, description);
}

async function serversByHand(_authority: TestAuthority): Promise<Case[]> {
  const text = (said: string) => new TextEncoder().encode(said);
  const answers: readonly (readonly [string, TlsFailureReason, Uint8Array])[] = [
    ["plain HTTP on a TLS port", "handshake", text("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")],
    ["SMTP on a TLS port", "handshake", text("500 what?\r\n")],
    ["garbage", "handshake", Uint8Array.from({ length: 64 }, (_, index) => (index * 89 + 7) & 0xff)],
    ["garbage in a handshake record", "handshake", Uint8Array.of(22, 3, 3, 0, 4, 2, 0, 0, 0)],
    ["alert handshake_failure", "handshake", alert(40)],
    ["alert protocol_version", "handshake", alert(70)],
    ["alert internal_error", "handshake", alert(80)],
    ["alert unrecognized_name", "handshake", alert(112)],
    ["alert unknown_ca, about no certificate of ours", "handshake", alert(48)],
    ["alert close_notify", "eof_or_reset", alert(0, 1)],
  ];
  const cases: Case[] = [];
  for (const [name, expected, answer] of answers) {
    const server = await listen((socket) => socket.once("data", () => socket.end(answer)));
    cases.push(serverCase(name, "octets by hand", expected, server));
  }
  return cases;
}

async function listen(serve: (socket: net.Socket) => void): Promise<number> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    serve(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  disposables.push({
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  });
  return (server.address() as net.AddressInfo).port;
}

const ENDS: readonly (readonly [CutEnd, TlsFailureReason])[] = [
  ["reset", "eof_or_reset"],
  ["eof", "eof_or_reset"],
  ["stall", "timeout"],
];

/** A real server whose flight is cut at each step. */
async function serversCutShort(authority: TestAuthority): Promise<Case[]> {
  const { certPem, keyPem } = authority.issue({ names });
  await Deno.writeTextFile(`${folder}/good.pem`, certPem + keyPem);
  const pair = { cert: `${folder}/good.pem`, key: `${folder}/good.pem` };
  const [goProgram] = goPeer;
  // It serves many at once, whatever becomes of one of them.
  const peer = await startPeer(goProgram!, ["serve", JSON.stringify([pair, { ...pair, max: "1.2" }])]);
  disposables.push(peer);
  const [server, old] = [peer.ports[0]!, peer.ports[1]!];
  const steps: readonly (readonly [string, number, number, number?])[] = [
    ["after the ClientHello", server, 0],
    ["within a record's header", server, 3],
    ["within the ServerHello", server, 60],
    ["within the certificate", server, 400],
    ["within the certificate's proof", server, 700],
    ["before the whole Finished", server, 775],
    ["within the ServerHello of TLS 1.2", old, 50],
    ["within the certificate of TLS 1.2", old, 300],
    ["after the client's Finished of TLS 1.2", old, 0, 1],
    ["within the Finished of TLS 1.2", old, 20, 1],
  ];
  const cases: Case[] = [];
  for (const [step, targetPort, after, afterAnswers = 0] of steps) {
    for (const [end, expected] of ENDS) {
      const cut = await startCut({ targetPort, from: "server", after, afterAnswers, end });
      disposables.push(cut);
      cases.push(serverCase(`${end} ${step}`, "Go", expected, cut.port));
    }
  }
  return cases;
}

// Clients

/** Each on an origin of its own, so that its flow is known by the port. */
function clientCase(
  authority: TestAuthority,
  name: string,
  peer: string,
  expected: TlsFailureReason,
  go: (target: string, port: number) => Promise<unknown>,
): Case {
  return {
    side: "client",
    name,
    peer,
    expected,
    play: async () => {
      const origin = await startHttpOrigin({ certificate: authority.issue({ names }) });
      await go(`localhost:${origin.port}`, origin.port);
      disposables.push({ [Symbol.asyncDispose]: () => origin.close() });
      return origin.port;
    },
  };
}

function revokedBy(authority: Certificate, certPem: string): Promise<Revocation> {
  return revoke({ issuerPem: authority.certPem, issuerKeyPem: authority.keyPem, certPem });
}

/** A list that says of the proxy's own leaf, which stays the same, that it is revoked. */
async function revokedLeaf(authority: TestAuthority): Promise<Revocation> {
  const origin = await startHttpOrigin({ certificate: authority.issue({ names }) });
  const { stdout } = await run(tool("openssl"), [
    ...["s_client", "-proxy", proxy.authority, "-connect", `localhost:${origin.port}`],
    ...["-servername", "localhost", "-CAfile", proxy.caPath],
  ], { stdin: "" });
  await origin.close();
  const certPem = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----\n/.exec(stdout)?.[0] ?? "";
  const keyPem = await Deno.readTextFile(proxy.caPath.replace(/ca\.pem$/, "ca.key"));
  return revokedBy({ certPem: await Deno.readTextFile(proxy.caPath), keyPem, fingerprint: "" }, certPem);
}

function clientsOfManyMakes(authority: TestAuthority, { crl }: Revocation): Case[] {
  const openssl = (...args: string[]) => (target: string) =>
    run(tool("openssl"), [
      ...["s_client", "-proxy", proxy.authority, "-connect", target, "-servername", "localhost"],
      ...["-verify_return_error", ...args],
    ], { stdin: "" });
  const trusting = (...args: string[]) => (target: string) =>
    openssl("-CAfile", proxy.caPath, ...args)(target);
  const curl = (...args: string[]) => (target: string) =>
    run(tool("curl"), ["-s", "-o", "/dev/null", "-x", proxy.url, ...args, `https://${target}/`]);
  const script =
    ([program, ...first]: readonly string[], more: Record<string, unknown>, trusts = true) =>
    (target: string) =>
      run(program!, [
        ...first,
        "connect",
        JSON.stringify({ proxy: proxy.authority, target, ...(trusts ? { ca: proxy.caPath } : {}), ...more }),
      ]);
  const old = { max: "1.0", ciphers: "DEFAULT@SECLEVEL=0" };
  const odd = { max: "1.2", ciphers: "ECDHE-ECDSA-AES128-SHA", suites: [0xc009] };
  const oddCipher = ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"];
  type Going = (target: string, port: number) => Promise<unknown>;
  const rows: readonly (readonly [string, string, TlsFailureReason, Going])[] = [
    ["unknown CA", "openssl s_client", "unknown_ca", openssl()],
    ["unknown CA, TLS 1.2", "openssl s_client", "unknown_ca", openssl("-tls1_2")],
    ["unknown CA", "curl", "unknown_ca", curl()],
    ["unknown CA, TLS 1.2", "curl", "unknown_ca", curl("--tls-max", "1.2")],
    ["unknown CA", "Python", "unknown_ca", script(pythonPeer, {}, false)],
    ["unknown CA", "Go", "unknown_ca", script(goPeer, {}, false)],
    ["unknown CA", "Chromium", "unknown_ca", chromium],
    ["expired", "openssl s_client", "cert_validation", trusting("-attime", "4000000000")],
    ["not yet valid", "openssl s_client", "cert_validation", trusting("-attime", "1000000000")],
    ["expired", "Go", "cert_validation", script(goPeer, { days: 10_000 })],
    ["not yet valid", "Go", "cert_validation", script(goPeer, { days: -400 })],
    ["wrong host", "openssl s_client", "cert_validation", trusting("-verify_hostname", "geoffrey.example")],
    ["revoked", "openssl s_client", "cert_validation", trusting("-crl_check", "-CRL", crl)],
    [
      "revoked, TLS 1.2",
      "openssl s_client",
      "cert_validation",
      trusting("-tls1_2", "-crl_check", "-CRL", crl),
    ],
    ["revoked", "curl", "cert_validation", curl("--cacert", proxy.caPath, "--crlfile", crl)],
    ["revoked", "Python", "cert_validation", script(pythonPeer, { crl })],
    ["TLS 1.0 only", "openssl s_client", "handshake", trusting("-tls1", "-cipher", "DEFAULT@SECLEVEL=0")],
    ["TLS 1.0 only", "curl", "handshake", curl("--tls-max", "1.0", "--ciphers", "DEFAULT@SECLEVEL=0")],
    ["TLS 1.0 only", "Python", "handshake", script(pythonPeer, old)],
    ["TLS 1.0 only", "Node", "handshake", script(nodePeer, old)],
    ["TLS 1.0 only", "Go", "handshake", script(goPeer, old)],
    ["no shared cipher", "openssl s_client", "handshake", trusting(...oddCipher)],
    [
      "no shared cipher",
      "curl",
      "handshake",
      curl("--tls-max", "1.2", "--ciphers", "ECDHE-ECDSA-AES128-SHA"),
    ],
    ["no shared cipher", "Python", "handshake", script(pythonPeer, odd)],
    ["no shared cipher", "Node", "handshake", script(nodePeer, odd)],
    ["no shared cipher", "Go", "handshake", script(goPeer, odd)],
    ["no shared group", "openssl s_client", "handshake", trusting("-groups", "X448")],
    ["no shared signature", "openssl s_client", "handshake", trusting("-tls1_2", "-sigalgs", "RSA+SHA256")],
  ];
  return rows.map(([name, peer, expected, go]) => clientCase(authority, name, peer, expected, go));
}

async function chromium(target: string): Promise<void> {
  const home = await Deno.makeTempDir({ dir: folder });
  await run(tool("chromium"), [
    ...["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
    ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
    ...["--disable-dev-shm-usage", `--user-data-dir=${home}`],
    ...[`--proxy-server=${proxy.url}`, "--proxy-bypass-list=<-loopback>"],
    ...["--timeout=10000", "--dump-dom", `https://${target}/`],
  ], { env: { HOME: home }, timeoutMs: 60_000 });
}

/** A hello of TLS 1.2, as far as a server answers it. */
const OLD_HELLO = clientHello({
  cipherSuites: [0xc02b, 0xc02c],
  extensions: [
    serverName("localhost"),
    codes16(10, [0x1d, 0x17]),
    [11, [1, 0]],
    codes16(13, [0x0403, 0x0804]),
    alpn("http/1.1"),
  ],
});

function clientsByHand(authority: TestAuthority): Case[] {
  const alerts: readonly (readonly [string, TlsFailureReason, number])[] = [
    ["bad_certificate", "cert_validation", 42],
    ["unsupported_certificate", "cert_validation", 43],
    ["certificate_revoked", "cert_validation", 44],
    ["certificate_expired", "cert_validation", 45],
    ["certificate_unknown", "cert_validation", 46],
    ["unknown_ca", "unknown_ca", 48],
    ["access_denied", "handshake", 49],
    ["internal_error", "handshake", 80],
    ["user_canceled", "eof_or_reset", 90],
  ];
  const sends = (hello: Uint8Array, then: Uint8Array | null) => async (_target: string, port: number) => {
    const socket = await tunnelTo(port);
    const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    socket.once("data", () => then !== null && socket.end(then));
    socket.write(hello);
    await closed;
  };
  const malformed = Uint8Array.of(22, 3, 1, 0, 6, 1, 0, 0, 2, 0, 0);
  const portInName = clientHello({
    ...{ cipherSuites: [0x1301, 0xc02b] },
    extensions: [serverName("localhost:443")],
  });
  return [
    ...alerts.map(([name, expected, code]) =>
      clientCase(authority, `alert ${name}`, "octets by hand", expected, sends(OLD_HELLO, alert(code)))
    ),
    clientCase(authority, "a malformed hello", "octets by hand", "handshake", sends(malformed, null)),
    clientCase(authority, "a port in the name", "octets by hand", "handshake", sends(portInName, null)),
  ];
}

/** A real client that is cut off at each step. */
function clientsCutShort(authority: TestAuthority): Case[] {
  const steps: readonly (readonly [string, number | "hello", number])[] = [
    ["within its hello", 100, 0],
    ["after its hello", "hello", 0],
    // TLS 1.2: within the key exchange; TLS 1.3: behind ChangeCipherSpec, before Finished.
    ["within its last flight", 6, 1],
  ];
  const cases: Case[] = [];
  for (const version of ["-tls1_2", "-tls1_3"]) {
    for (const [step, after, afterAnswers] of steps) {
      for (const [end, expected] of ENDS) {
        cases.push(
          clientCase(
            authority,
            `${end} ${step}, ${version}`,
            "openssl s_client",
            expected,
            async (target) => {
              const cut = await startCut({
                targetPort: proxy.port,
                from: "client",
                after,
                afterAnswers,
                end,
                behind: "\r\n\r\n",
              });
              disposables.push(cut);
              await run(tool("openssl"), [
                ...["s_client", "-proxy", `127.0.0.1:${cut.port}`, "-connect", target],
                ...["-servername", "localhost", version],
              ]);
            },
          ),
        );
      }
    }
  }
  return cases;
}
