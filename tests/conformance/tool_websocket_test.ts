/**
 * WebSockets of the package `ws`, as client and as server, through a proxy that is a process of its own: what is
 * sent comes back whole, and the log tells the messages that were sent.
 */
import { assert, assertEquals } from "@std/assert";
import { encodeFrame } from "../observe/websocket/frames.ts";
import { makeAuthority } from "../support/certificates.ts";
import { patternBytes, sha256Hex } from "../support/origin.ts";
import { type LogEvent, ProxyProcess } from "../support/proxy_process.ts";
import type { PerMessageDeflateOptions } from "../support/ws.ts";
import {
  connectThrough,
  type EchoServer,
  openThrough,
  startEcho as startEchoServer,
} from "../support/ws_peers.ts";

const MIB = 1024 * 1024;
const authority = makeAuthority();

let proxy: ProxyProcess;
let folder: string;
const servers: EchoServer[] = [];

Deno.test.beforeAll(async () => {
  folder = await Deno.makeTempDir();
  await Deno.writeTextFile(`${folder}/root.pem`, authority.certPem);
  proxy = await ProxyProcess.start("websocket", {
    config: `
      [tls]
      upstream_ca_bundle = ${JSON.stringify(`${folder}/root.pem`)}
      [capture]
      body_bytes = "1KiB"
    `,
  });
});

Deno.test.afterAll(async () => {
  try {
    await proxy.stop();
  } finally {
    await proxy[Symbol.asyncDispose]();
    for (const server of servers) await server.close();
    await Deno.remove(folder, { recursive: true });
  }
});

async function startEcho(perMessageDeflate: boolean | PerMessageDeflateOptions): Promise<number> {
  const server = await startEchoServer(authority.issue({ names: ["localhost"] }), perMessageDeflate);
  servers.push(server);
  return server.port;
}

const connect = (port: number) => connectThrough(proxy, port);
const open = (port: number, path: string, perMessageDeflate: boolean | PerMessageDeflateOptions) =>
  openThrough(proxy, port, path, perMessageDeflate);

const flowOf = (path: string) =>
  proxy.flow(
    `a WebSocket ${path}`,
    ({ kind, attributes }) => kind === "request_headers" && attributes.target === path,
  );

const of = (events: readonly LogEvent[], kind: string) =>
  events.filter((event) => event.kind === kind).map(({ attributes }) => attributes);

function assertClean(events: readonly LogEvent[]): void {
  const [closed] = of(events, "websocket_closed");
  assertEquals([closed?.by, closed?.code, closed?.reason, closed?.clean, closed?.partial], [
    "client",
    1000,
    "done",
    true,
    undefined,
  ]);
  assertEquals(of(events, "decoder_failed"), []);
  assertEquals(events.filter(({ attributes }) => attributes.violation !== undefined), []);
  assertEquals(of(events, "websocket_opened")[0]?.violations, []);
}

Deno.test("ws: messages of 1 byte to 64 MiB come back whole, and the log counts them", async () => {
  const port = await startEcho(false);
  const peer = await open(port, "/sizes", false);
  const sizes = [0, 1, 125, 126, 65_535, 65_536, MIB, 64 * MIB];
  for (const size of sizes) {
    const sent = patternBytes(size);
    peer.socket.send(sent);
    const answer = await peer.message();
    assert(typeof answer !== "string");
    assertEquals(sha256Hex(answer as Uint8Array), sha256Hex(sent));
  }
  await peer.close();
  const events = await flowOf("/sizes");
  assertClean(events);
  for (const direction of ["request", "response"]) {
    const messages = of(events, "ws_message").filter((message) => message.direction === direction);
    assertEquals(messages.map(({ bytes }) => bytes), sizes);
  }
});

/** What does not get smaller by compression. */
function noise(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let index = 0, state = 1; index < length; index++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[index] = state >>> 24;
  }
  return bytes;
}

const DEFLATES: readonly (readonly [string, PerMessageDeflateOptions])[] = [
  ["with context takeover", { threshold: 0 }],
  ["without the client's", { threshold: 0, clientNoContextTakeover: true }],
  ["without any", { threshold: 0, clientNoContextTakeover: true, serverNoContextTakeover: true }],
  ["in small windows", { threshold: 0, serverMaxWindowBits: 9, clientMaxWindowBits: 10 }],
];

for (const [index, [how, options]] of DEFLATES.entries()) {
  Deno.test(`ws: compressed messages ${how} are told as they were before`, async () => {
    const port = await startEcho(options);
    const peer = await open(port, `/deflate/${index}`, options);
    assert(peer.socket.extensions.startsWith("permessage-deflate"));
    const texts = Array.from(
      { length: 60 },
      (_, number) => `${number}: ${"the quick brown fox ".repeat(number % 7)}über`,
    );
    for (const text of texts) {
      peer.socket.send(text);
      assertEquals(await peer.message(), text);
    }
    const big = noise(3 * MIB);
    peer.socket.send(big);
    assertEquals(sha256Hex(await peer.message() as Uint8Array), sha256Hex(big));
    await peer.close();
    const events = await flowOf(`/deflate/${index}`);
    assertClean(events);
    for (const direction of ["request", "response"]) {
      const messages = of(events, "ws_message").filter((message) => message.direction === direction);
      assertEquals(messages.slice(0, -1).map(({ data }) => data), texts);
      assert(messages.every(({ compressed }) => compressed === true));
      assertEquals(messages.at(-1)?.decoded_bytes, big.length);
    }
  });
}

Deno.test("ws: a bomb comes back whole, is inflated for the log to its limit, and what is not compressed is told on", async () => {
  const deflate = { threshold: 1024 };
  const port = await startEcho(deflate);
  const peer = await open(port, "/bomb", deflate);
  peer.socket.send(new Uint8Array(64 * MIB));
  assertEquals((await peer.message() as Uint8Array).length, 64 * MIB);
  peer.socket.send("small", { compress: false });
  assertEquals(await peer.message(), "small");
  await peer.close();
  const events = await flowOf("/bomb");
  const failures = of(events, "decoder_failed");
  assertEquals(failures.map(({ direction, stage }) => [direction, stage]), [
    ["request", "content_coding"],
    ["response", "content_coding"],
  ]);
  assert(failures.every(({ reason }) => String(reason).includes("limits.inflate_ratio")));
  const [bomb, answer, small] = of(events, "ws_message");
  assertEquals([bomb?.decoded_partly, answer?.decoded_partly, small?.data], [true, true, "small"]);
  assert(Number(bomb?.bytes) < MIB && Number(bomb?.decoded_bytes) <= 8 * MIB);
});

Deno.test("ws: fragments, with pings between them, are one message; compressed or not", async () => {
  for (const [path, deflate] of [["/fragments", false], ["/fragments/deflate", { threshold: 0 }]] as const) {
    const port = await startEcho(deflate);
    const peer = await open(port, path, deflate);
    for (let part = 0; part < 5; part++) {
      peer.socket.send(`part ${part}, `, { fin: part === 4 });
      if (part < 4) peer.socket.ping(`ping ${part}`);
    }
    const whole = [0, 1, 2, 3, 4].map((part) => `part ${part}, `).join("");
    assertEquals(await peer.message(), whole);
    await peer.close();
    const events = await flowOf(path);
    assertClean(events);
    const [message] = of(events, "ws_message");
    assertEquals([message?.data, message?.fragments], [whole, 5]);
    const pings = of(events, "ws_control").filter(({ opcode }) => opcode === "ping");
    assertEquals(pings.map(({ data }) => data), ["ping 0", "ping 1", "ping 2", "ping 3"]);
  }
});

Deno.test("ws: a storm of pings is answered, told ping by ping, and makes no turn", async () => {
  const port = await startEcho(false);
  const peer = await open(port, "/pings", false);
  const count = 20_000;
  let pongs = 0;
  const all = new Promise<void>((resolve) => peer.socket.on("pong", () => ++pongs === count && resolve()));
  for (let number = 0; number < count; number++) peer.socket.ping(String(number));
  await all;
  await peer.close();
  const events = await flowOf("/pings");
  assertClean(events);
  const told = (opcode: string) => of(events, "ws_control").filter((frame) => frame.opcode === opcode);
  assertEquals([told("ping").length, told("pong").length], [count, count]);
  assertEquals(told("pong").at(-1)?.data, String(count - 1));
  assertEquals(of(events, "ws_turn_started"), []);
});

Deno.test("ws: a server that fails the connection does so itself; the log says why, and how it went on", async () => {
  const port = await startEcho(false);
  const cases = [
    ["/unmasked", encodeFrame({ opcode: 1, payload: Uint8Array.of(97) }), "unmasked_client_frame", 1002],
    ["/utf8", encodeFrame({ opcode: 1, mask: true, payload: Uint8Array.of(0xff) }), "invalid_utf8", 1007],
    ["/stray", encodeFrame({ opcode: 0, mask: true }), "stray_continuation", 1002],
    ["/opcode", encodeFrame({ opcode: 3, mask: true }), "reserved_opcode", 1002],
  ] as const;
  for (const [path, frame, what, code] of cases) {
    const socket = await connect(port);
    const ended = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    socket.write(
      `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    );
    await new Promise<void>((resolve) => socket.once("data", () => resolve()));
    socket.write(frame);
    await ended;
    const events = await flowOf(path);
    const said = [...of(events, "ws_message"), ...of(events, "decoder_failed")]
      .map(({ violation, reason }) => violation ?? reason);
    assertEquals(said, [what], path);
    const [closed] = of(events, "websocket_closed");
    assertEquals([closed?.by, closed?.code, closed?.clean], ["server", code, false], path);
  }
});
