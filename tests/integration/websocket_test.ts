/** WebSockets through a real proxy: Deno's own client and server, over intercepted TLS and in the clear. */
import { assert, assertEquals } from "@std/assert";
import { makeAuthority } from "../support/certificates.ts";
import { patternBytes, sha256Hex } from "../support/origin.ts";
import { type TestProxy, withProxy } from "../support/proxy.ts";

const authority = makeAuthority();
const certificate = authority.issue({ names: ["localhost"] });

/** Sends back what it is sent; `say N` gets N letters. */
function startEcho(secure: boolean) {
  const server = Deno.serve({
    hostname: "127.0.0.1",
    port: 0,
    onListen: () => {},
    ...(secure ? { cert: certificate.certPem, key: certificate.keyPem } : {}),
  }, (request) => {
    const { socket, response } = Deno.upgradeWebSocket(request, { protocol: "echo" });
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => {
      const count = typeof data === "string" ? /^say (\d+)$/.exec(data)?.[1] : undefined;
      socket.send(count === undefined ? data : "x".repeat(Number(count)));
    };
    return response;
  });
  return { port: server.addr.port, close: () => server.shutdown() };
}

/** A client of the runtime's, through the proxy and trusting its CA. */
async function open(proxy: TestProxy, url: string) {
  const client = Deno.createHttpClient({
    proxy: { url: `http://127.0.0.1:${proxy.port}` },
    caCerts: [proxy.caCertPem],
  });
  const socket = new WebSocket(url, { protocols: ["echo"], client });
  socket.binaryType = "arraybuffer";
  const received: (string | ArrayBuffer)[] = [];
  let wake = () => {};
  socket.onmessage = ({ data }) => {
    received.push(data);
    wake();
  };
  const closed = new Promise<CloseEvent>((resolve) => socket.onclose = resolve);
  await new Promise<void>((resolve, reject) => {
    socket.onopen = () => resolve();
    socket.onerror = (event) => reject(new Error((event as ErrorEvent).message));
  });
  return {
    socket,
    closed,
    async answer(message: string | Uint8Array<ArrayBuffer>): Promise<string | ArrayBuffer> {
      socket.send(message);
      while (received.length === 0) await new Promise<void>((resolve) => wake = resolve);
      return received.shift()!;
    },
    async close() {
      socket.close(1000, "done");
      await closed;
      client.close();
    },
  };
}

async function withEcho(
  secure: boolean,
  work: (proxy: TestProxy, url: string) => Promise<void>,
  settings: Readonly<Record<string, unknown>> = {},
) {
  const bundle = await Deno.makeTempFile({ suffix: ".crt" });
  await Deno.writeTextFile(bundle, authority.certPem);
  const echo = startEcho(secure);
  try {
    await withProxy(
      { settings: { ...settings, tls: { upstream_ca_bundle: bundle } } },
      (proxy) => work(proxy, `${secure ? "wss" : "ws"}://localhost:${echo.port}/chat`),
    );
  } finally {
    await echo.close();
    await Deno.remove(bundle);
  }
}

for (const secure of [true, false]) {
  Deno.test(`a WebSocket over ${secure ? "TLS" : "the clear"} passes unchanged and is told as messages and turns`, async () => {
    await withEcho(secure, async (proxy, url) => {
      const peer = await open(proxy, url);
      assertEquals(await peer.answer("hello"), "hello");
      assertEquals(await peer.answer(Uint8Array.of(0, 255)), Uint8Array.of(0, 255).buffer);
      await peer.close();
      const closed = await proxy.closed(1);
      assertEquals([closed.protocol, closed.attributes.reason_code], ["websocket", "complete"]);
      const opened = proxy.of("websocket_opened", 1)[0]!;
      assertEquals([opened.protocol, opened.stream_key], ["websocket", "h1:1"]);
      assertEquals(opened.attributes, {
        exchange_id: 1,
        extensions: [],
        subprotocol: "echo",
        violations: [],
      });
      const messages = proxy.of("ws_message", 1).map(({ attributes }) => [
        attributes.direction,
        attributes.opcode,
        attributes.data ?? attributes.data_base64,
        attributes.violation,
      ]);
      assertEquals(messages, [
        ["request", "text", "hello", undefined],
        ["response", "text", "hello", undefined],
        ["request", "binary", "AP8=", undefined],
        ["response", "binary", "AP8=", undefined],
      ]);
      const turns = proxy.of("ws_turn_completed", 1).map(({ attributes }) => attributes);
      assertEquals(turns.map(({ flush_reason }) => flush_reason), ["rollover", "close_frame"]);
      assert(turns.every((turn) => turn.initiator === "client" && turn.client_frames === 1));
      const end = proxy.of("websocket_closed", 1)[0]!.attributes;
      assertEquals([end.by, end.code, end.reason, end.clean], ["client", 1000, "done", true]);
    });
  });
}

// In the clear: TLS of four endpoints in one process takes its time.
Deno.test("WebSocket messages of 1 byte to 16 MiB come through whole and are counted", async () => {
  await withEcho(false, async (proxy, url) => {
    const peer = await open(proxy, url);
    const sizes = [1, 125, 126, 65_535, 65_536, 1_000_000, 16 * 1024 * 1024];
    for (const size of sizes) {
      const message = new Uint8Array(patternBytes(size));
      const answer = await peer.answer(message);
      if (typeof answer === "string") throw new Error("octets come back as octets");
      assertEquals(sha256Hex(new Uint8Array(answer)), sha256Hex(message));
    }
    assertEquals((await peer.answer("say 300000") as string).length, 300_000);
    await peer.close();
    await proxy.closed(1);
    const told = (direction: string) =>
      proxy.of("ws_message", 1).filter(({ attributes }) => attributes.direction === direction)
        .map(({ attributes }) => attributes.bytes);
    assertEquals(told("request"), [...sizes, 10]);
    assertEquals(told("response"), [...sizes, 300_000]);
  });
});

Deno.test("capture.observe = false: a WebSocket passes, and nothing is said of what it carries", async () => {
  await withEcho(true, async (proxy, url) => {
    const peer = await open(proxy, url);
    assertEquals(await peer.answer("hello"), "hello");
    await peer.close();
    const closed = await proxy.closed(1);
    assertEquals([closed.protocol, closed.attributes.reason_code], ["tunnel", "complete"]);
    assertEquals(proxy.of("response_headers", 1)[0]!.attributes.status, 101);
    assertEquals([...proxy.of("websocket_opened", 1), ...proxy.of("ws_message", 1)], []);
  }, { capture: { observe: false } });
});

Deno.test("a WebSocket that is cut by a stop of the proxy is told as closed", async () => {
  const echo = startEcho(false);
  let told: unknown[] = [];
  const kinds: string[] = [];
  await withProxy({
    settings: { timeouts: { drain: "0s" } },
    onEvent: ({ kind, attributes }) => {
      if (kind.startsWith("ws_turn") || kind === "websocket_closed") kinds.push(kind);
      if (kind === "websocket_closed") told = [attributes.by, attributes.clean, attributes.code];
    },
  }, async (proxy) => {
    const peer = await open(proxy, `ws://localhost:${echo.port}/`);
    assertEquals(await peer.answer("x"), "x");
    await proxy.mitm.stop();
    await peer.closed;
    peer.socket.close();
  });
  assertEquals(told, ["proxy", false, 1006]);
  assertEquals(kinds, ["ws_turn_started", "ws_turn_completed", "websocket_closed"]);
  await echo.close();
});
