/**
 * Chromium's WebSocket through the proxy, over HTTP/1.1 with and without compression and in a stream of HTTP/2: what
 * the page sent came back to it, and the log tells the messages that both saw.
 */
import { assert, assertEquals } from "@std/assert";
import { makeAuthority } from "../support/certificates.ts";
import { trustInChromium, whileChromiumShows } from "../support/chromium.ts";
import { sha256Hex } from "../support/origin.ts";
import { type LogEvent, ProxyProcess } from "../support/proxy_process.ts";
import { type PageServer, startHttp1Pages, startHttp2Pages, SUBPROTOCOL } from "../support/ws_pages.ts";

const MIB = 1024 * 1024;
const authority = makeAuthority();
const certificate = authority.issue({ names: ["localhost"] });

let folder: string;
let proxy: ProxyProcess;

Deno.test.beforeAll(async () => {
  folder = await Deno.makeTempDir();
  await Deno.writeTextFile(`${folder}/root.pem`, authority.certPem);
  proxy = await ProxyProcess.start("websocket-chromium", {
    config: `
      [tls]
      upstream_ca_bundle = ${JSON.stringify(`${folder}/root.pem`)}
      [capture]
      body_bytes = "1KiB"
      [limits]
      inflate_ratio = 10000
    `,
  });
  await trustInChromium(folder, proxy.caPath);
});

Deno.test.afterAll(async () => {
  try {
    await proxy.stop();
  } finally {
    await proxy[Symbol.asyncDispose]();
    await Deno.remove(folder, { recursive: true });
  }
});

const TEXTS = ["a", "Grüße, 世界 😀", "x".repeat(126), "the quick brown fox ".repeat(5_000)];
const SIZES = [0, 1, 125, 126, 65_535, 65_536, MIB];

/** Says one thing after the other, each when the one before has come back; then closes, and reports. */
const page = (sizes: readonly number[]) =>
  `<!doctype html><meta charset=utf-8><link rel=icon href=data:,><title>chat</title><script>
    const texts = ${JSON.stringify(TEXTS)};
    const sizes = ${JSON.stringify(sizes)};
    const pattern = (length) => Uint8Array.from({ length }, (_, index) => (index * 31 + (index >> 8)) & 0xff);
    const hex = async (buffer) => Array.from(new Uint8Array(await crypto.subtle.digest("SHA-256", buffer)),
      (octet) => octet.toString(16).padStart(2, "0")).join("");
    const socket = new WebSocket("wss://" + location.host + "/chat", ${JSON.stringify(SUBPROTOCOL)});
    socket.binaryType = "arraybuffer";
    const answers = [];
    let wake = () => {};
    socket.onmessage = ({ data }) => { answers.push(data); wake(); };
    const answer = async () => {
      while (answers.length === 0) await new Promise((resolve) => wake = resolve);
      return answers.shift();
    };
    const report = (said) => fetch("/report", { method: "POST", body: JSON.stringify(said) });
    socket.onerror = () => report({ error: "the WebSocket failed" });
    socket.onopen = async () => {
      const said = { texts: [], sums: [], extensions: socket.extensions, subprotocol: socket.protocol };
      for (const text of texts) {
        socket.send(text);
        said.texts.push(await answer() === text);
      }
      for (const size of sizes) {
        socket.send(pattern(size));
        said.sums.push(await hex(await answer()));
      }
      socket.onclose = ({ code, reason, wasClean }) => report({ ...said, closed: [code, reason, wasClean] });
      socket.close(1000, "done");
    };
  </script>`;

const pattern = (length: number) =>
  Uint8Array.from({ length }, (_, index) => (index * 31 + (index >> 8)) & 0xff);

const of = (events: readonly LogEvent[], kind: string) =>
  events.filter((event) => event.kind === kind).map(({ attributes }) => attributes);

interface Case {
  readonly name: string;
  readonly sizes: readonly number[];
  readonly start: (options: { certificate: typeof certificate; page: string }) => Promise<PageServer>;
  readonly version: string;
  readonly compressed: boolean;
}

const CASES: readonly Case[] = [
  {
    name: "over HTTP/1.1, up to 64 MiB",
    sizes: [...SIZES, 64 * MIB],
    start: (options) => startHttp1Pages({ ...options, deflate: false }),
    version: "HTTP/1.1",
    compressed: false,
  },
  {
    name: "over HTTP/1.1, compressed",
    sizes: SIZES,
    start: (options) => startHttp1Pages({ ...options, deflate: true }),
    version: "HTTP/1.1",
    compressed: true,
  },
  {
    name: "in a stream of HTTP/2",
    sizes: [...SIZES, 8 * MIB],
    start: startHttp2Pages,
    version: "HTTP/2",
    compressed: false,
  },
];

for (const { name, sizes, start, version, compressed } of CASES) {
  Deno.test(`Chromium's WebSocket ${name} has back what it said, and the log tells it`, async () => {
    const server = await start({ certificate, page: page(sizes) });
    const before = (await proxy.events()).length;
    const said = await whileChromiumShows({
      folder,
      proxy,
      url: `https://localhost:${server.port}/`,
    }, server.report);
    await server.close();
    const extensions = compressed ? "permessage-deflate" : "";
    assertEquals(said, {
      texts: TEXTS.map(() => true),
      sums: sizes.map((size) => sha256Hex(pattern(size))),
      extensions,
      subprotocol: SUBPROTOCOL,
      closed: [1000, "done", true],
    });
    await proxy.eventually(
      `the end of the WebSocket ${name}`,
      ({ kind, server_port }) => kind === "websocket_closed" && server_port === server.port,
    );
    const events = (await proxy.events()).slice(before);
    const opened = events.find(({ kind }) => kind === "websocket_opened")!;
    assertEquals(opened.attributes.violations, []);
    assertEquals(opened.attributes.subprotocol, SUBPROTOCOL);
    assertEquals((opened.attributes.extensions as string[]).map((text) => text.split(";")[0]), [
      ...(compressed ? [extensions] : []),
    ]);
    const own = events.filter(({ flow_id, stream_key }) =>
      flow_id === opened.flow_id && stream_key === opened.stream_key
    );
    const [asked] = of(own, "request_headers");
    assertEquals([asked?.version, asked?.method], [version, version === "HTTP/2" ? "CONNECT" : "GET"]);
    assertEquals(own.filter(({ attributes }) => attributes.violation !== undefined), []);
    assertEquals([...of(own, "decoder_failed"), ...of(own, "observer_stopped")], []);
    for (const direction of ["request", "response"]) {
      const messages = of(own, "ws_message").filter((message) => message.direction === direction);
      assertEquals(
        messages.map(({ opcode, bytes, decoded_bytes }) => [opcode, decoded_bytes ?? bytes]),
        [
          ...TEXTS.map((text) => ["text", new TextEncoder().encode(text).length]),
          ...sizes.map((size) => ["binary", size]),
        ],
      );
      assert(messages.every((message) => message.compressed === compressed), direction);
      assertEquals(messages[1]?.data, TEXTS[1]);
    }
    const [closed] = of(own, "websocket_closed");
    assertEquals([closed?.by, closed?.code, closed?.reason, closed?.clean], ["client", 1000, "done", true]);
    assertEquals(of(own, "ws_turn_started").length, of(own, "ws_turn_completed").length);
  });
}
