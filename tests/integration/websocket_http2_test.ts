/** WebSockets in streams of HTTP/2 (RFC 8441), between a client and a server of another make. */
import { assertEquals } from "@std/assert";
import * as http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { encodeFrame } from "../observe/websocket/frames.ts";
import { makeAuthority } from "../support/certificates.ts";
import { type TestProxy, withProxy } from "../support/proxy.ts";

const authority = makeAuthority();
const certificate = authority.issue({ names: ["localhost"] });
const encoder = new TextEncoder();

/** Answers each piece that a client sends with a text frame, and its end with a close frame. */
async function startServer() {
  const server = http2.createSecureServer({
    cert: certificate.certPem,
    key: certificate.keyPem,
    settings: { enableConnectProtocol: true },
  });
  server.on("stream", (stream, headers) => {
    if (headers[":path"] === "/no") {
      stream.respond({ ":status": 403 });
      stream.end("no");
      return;
    }
    stream.respond({ ":status": 200, "sec-websocket-protocol": "chat" });
    stream.on("data", () => stream.write(encodeFrame({ opcode: 1, payload: encoder.encode("answer") })));
    stream.on("end", () => stream.end(encodeFrame({ opcode: 8, payload: Uint8Array.of(3, 0xe8) })));
    stream.on("error", () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    close: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}

async function connect(proxy: TestProxy, port: number): Promise<http2.ClientHttp2Session> {
  const { socket } = await proxy.tls(`localhost:${port}`, { ALPNProtocols: ["h2"] });
  socket.removeAllListeners("data");
  const session = http2.connect(`https://localhost:${port}`, { createConnection: () => socket });
  const settings = await new Promise<http2.Settings>((resolve) => session.once("remoteSettings", resolve));
  assertEquals(settings.enableConnectProtocol, true);
  return session;
}

interface Peer {
  say(payload: string): Promise<void>;
  end(): Promise<void>;
  reset(): Promise<void>;
}

async function open(session: http2.ClientHttp2Session, path: string): Promise<Peer> {
  const stream = session.request({
    ":method": "CONNECT",
    ":protocol": "websocket",
    ":scheme": "https",
    ":path": path,
    ":authority": "localhost",
    "sec-websocket-version": "13",
    "sec-websocket-protocol": "chat",
  }, { endStream: false });
  await new Promise<void>((resolve) => stream.once("response", () => resolve()));
  stream.on("error", () => {});
  const closed = new Promise<void>((resolve) => stream.once("close", () => resolve()));
  return {
    say: async (payload) => {
      const answered = new Promise<void>((resolve) => stream.once("data", () => resolve()));
      stream.write(encodeFrame({ opcode: 1, mask: true, payload: encoder.encode(payload) }));
      await answered;
    },
    end: () => {
      stream.resume();
      stream.end(encodeFrame({ opcode: 8, mask: true, payload: Uint8Array.of(3, 0xe8) }));
      return closed;
    },
    reset: () => {
      stream.close(http2.constants.NGHTTP2_CANCEL);
      return closed;
    },
  };
}

async function withServer(work: (proxy: TestProxy, port: number) => Promise<void>) {
  const bundle = await Deno.makeTempFile({ suffix: ".crt" });
  await Deno.writeTextFile(bundle, authority.certPem);
  const server = await startServer();
  const settings = { tls: { upstream_ca_bundle: bundle }, timeouts: { ws_turn_idle: "50ms" } };
  try {
    await withProxy({ settings }, (proxy) => work(proxy, server.port));
  } finally {
    await server.close();
    await Deno.remove(bundle);
  }
}

Deno.test("several WebSockets in one HTTP/2 connection are told each on its own, with one timer for their turns", async () => {
  await withServer(async (proxy, port) => {
    const session = await connect(proxy, port);
    const peers = await Promise.all(["/a", "/b", "/c"].map((path) => open(session, path)));
    await Promise.all(peers.map((peer, index) => peer.say(`hello ${index}`)));
    const idle = (id: number) =>
      proxy.event(({ kind, attributes }) =>
        kind === "ws_turn_completed" && attributes.exchange_id === id &&
        attributes.flush_reason === "idle_timeout"
      );
    for (const id of [1, 2, 3]) await idle(id);
    await peers[0]!.say("again");
    await peers[0]!.end();
    await peers[1]!.reset();
    await proxy.event(({ kind, attributes }) => kind === "websocket_closed" && attributes.exchange_id === 2);
    await peers[2]!.end();
    session.close();
    const closed = await proxy.closed(1);
    assertEquals([closed.protocol, closed.attributes.reason_code], ["http2", "complete"]);
    const opened = proxy.of("websocket_opened", 1);
    assertEquals(opened.map(({ stream_key }) => stream_key), ["h2:1", "h2:3", "h2:5"]);
    assertEquals(opened[0]!.attributes, {
      exchange_id: 1,
      extensions: [],
      subprotocol: "chat",
      violations: [],
    });
    assertEquals(proxy.of("request_headers", 1)[0]!.attributes.protocol, "websocket");
    const ends = proxy.of("websocket_closed", 1).map(({ attributes: { exchange_id, by, clean, code } }) => [
      exchange_id,
      by,
      clean,
      code,
    ]);
    assertEquals(ends, [[1, "client", true, 1000], [2, "client", false, 1006], [3, "client", true, 1000]]);
    const turns = proxy.of("ws_turn_completed", 1).filter(({ attributes }) => attributes.exchange_id === 1);
    const [silent, ...later] = turns.map(({ attributes }) => attributes.flush_reason);
    assertEquals([silent, later.length], ["idle_timeout", 1]);
    // Where the machine is slow the second turn is over before the close comes.
    assertEquals(later[0] === "close_frame" || later[0] === "idle_timeout", true);
    const spans = proxy.of("request_body_chunk", 1);
    assertEquals(spans.length, 3, "each message body is counted");
    assertEquals(spans.every(({ attributes }) => attributes.data === undefined), true);
    const outcomes = proxy.of("exchange_completed", 1).map(({ attributes }) => attributes.outcome);
    assertEquals(outcomes, ["complete", "client_aborted", "complete"]);
  });
});

Deno.test("an extended CONNECT that is refused opens no WebSocket", async () => {
  await withServer(async (proxy, port) => {
    const session = await connect(proxy, port);
    await open(session, "/no");
    await proxy.event(({ kind }) => kind === "response_body_chunk");
    session.destroy();
    await proxy.closed(1);
    assertEquals(proxy.of("websocket_opened", 1), []);
    assertEquals(proxy.of("response_body_chunk", 1)[0]?.attributes.data, "no");
  });
});
