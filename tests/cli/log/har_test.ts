import { assert, assertEquals } from "@std/assert";
import { gzipSync } from "node:zlib";
import { HAR } from "../../../src/cli/log/har.ts";
import { encodeHeader } from "../../../src/log/encode.ts";
import { validateHar } from "../../support/har.ts";
import { startRawOrigin } from "../../support/origin.ts";
import { withProxy } from "../../support/proxy.ts";
import { goodLog } from "../../log/log_builder.ts";
import { run, split, withLog } from "./run_log.ts";

interface Entry {
  readonly _exchange: string;
  readonly request: { readonly url: string; readonly postData?: { readonly text: string } };
  readonly response: {
    readonly status: number;
    readonly content: { readonly text?: string; readonly size: number; readonly compression?: number };
    readonly cookies: readonly unknown[];
    readonly headers: readonly { readonly name: string; readonly value: string }[];
    readonly _error?: string;
  };
  readonly _webSocketMessages?: readonly { readonly type: string; readonly data: string }[];
  readonly _eventSourceMessages?: readonly { readonly data: string }[];
}

async function entriesOf(path: string): Promise<Entry[]> {
  const { code, stdout, stderr } = await run("har", path);
  assertEquals([code, stderr], [0, ""]);
  const archive = JSON.parse(stdout);
  await validateHar(archive);
  return archive.log.entries;
}

Deno.test("log har writes the exchanges of all segments as a valid archive, in the order of their ends", async () => {
  const { lines } = goodLog();
  await withLog(lines, async (path) => {
    await split(path, lines, 9);
    assertEquals((await entriesOf(path)).map(({ _exchange }) => _exchange), [
      "1-1/1",
      "1-1/2",
      "1-1/3",
      "1-5/1",
      "1-5/3",
      "1-6/1",
    ]);
  });
  await withLog([], async (path) => assertEquals(await entriesOf(path), []));
  await withLog([lines[0]!, "{}\n"], async (path) => assertEquals((await run("har", path)).code, 1));
  assertEquals((await run("har", "--help")).stdout, HAR.help);
});

Deno.test("log har takes the filters of log show, and writes what that shows", async () => {
  const { lines } = goodLog();
  await withLog(lines, async (path) => {
    const all = (await entriesOf(path)).map(({ _exchange }) => _exchange);
    const filters = [
      ["--flow", "1-1"],
      ["--flow", "1-1/2", "--flow", "1-6"],
      ["--host", "a.test"],
      ["--method", "post"],
      ["--status", "4xx"],
      ["--path", "/*"],
      ["--protocol", "http2"],
      ["--since", "0s"],
      ["--grep", "a"],
      ["--grep", "that is nowhere"],
      ["--method", "get", "--status", "200"],
    ];
    const taken: number[] = [];
    for (const options of filters) {
      const { stdout } = await run("show", "--json", ...options, path);
      const shown = stdout.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line))
        .filter(({ exchange_id }) => exchange_id !== null)
        .map(({ flow_id, exchange_id }) => `${flow_id}/${exchange_id}`);
      const archive = JSON.parse((await run("har", ...options, path)).stdout);
      await validateHar(archive);
      const found = archive.log.entries.map(({ _exchange }: Entry) => _exchange);
      assertEquals(found, shown, options.join(" "));
      taken.push(found.length);
    }
    assert(taken.some((count) => count === 0) && taken.some((count) => count > 0 && count < all.length));
    assertEquals((await run("har", "--status", "x", path)).code, 2);
  });
});

/** An unmasked frame of text. */
function frame(text: string, mask = 0): Uint8Array {
  const bytes = new TextEncoder().encode(text);
  return Uint8Array.of(0x81, mask | bytes.length, ...(mask === 0 ? [] : [0, 0, 0, 0]), ...bytes);
}

const HEAD = "HTTP/1.1 200 OK\r\nConnection: close\r\n";

Deno.test("the archive of what passed a running proxy is valid and says what passed", async () => {
  const zipped = new Uint8Array(gzipSync('{"a":[1,2,3,1,2,3,1,2,3,1,2,3,1,2,3]}'));
  const origin = await startRawOrigin(async (connection) => {
    const head = await connection.readThrough("\r\n\r\n");
    const path = / (\S+) /.exec(head)![1];
    if (path === "/json") {
      await connection.write(
        `${HEAD}Content-Type: application/json\r\nContent-Encoding: gzip\r\nSet-Cookie: s=1\r\n\r\n`,
      );
      await connection.write(zipped);
    } else if (path === "/events") {
      await connection.write(
        `${HEAD}Content-Type: text/event-stream\r\n\r\ndata: one\n\nevent: e\ndata: two\n\n`,
      );
    } else if (path === "/post") {
      await connection.readExactly(5);
      await connection.write(`${HEAD}Content-Length: 9\r\n\r\nshort`);
    } else {
      const accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
      await connection.write(
        `HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
      );
      await connection.readExactly(frame("ping", 0x80).length);
      await connection.write(frame("pong"));
    }
    connection.end();
  });
  const lines = [encodeHeader({
    version: "0.1.0",
    openedAt: "2026-01-02T03:04:05.678Z",
    configDigest: "sha256:00",
    opening: 1,
    continuesSequenceId: 0,
    continuesTimeNs: 0,
  })];
  await withProxy({}, async (proxy) => {
    const ask = async (path: string, more = "") => {
      const connection = await proxy.connect();
      const before = proxy.of("stream_closed").length;
      await connection.write(
        `${
          more === "" ? "GET" : "POST"
        } http://${origin.authority}${path} HTTP/1.1\r\nHost: ${origin.authority}\r\n${more || "\r\n"}`,
      );
      while (await connection.read() !== null);
      connection.socket.destroy();
      await proxy.closed(before + 1);
    };
    await ask("/json");
    await ask("/events");
    await ask("/post", "Content-Length: 5\r\nCookie: secret=1\r\n\r\nhello");
    const webSocket = await proxy.connect();
    await webSocket.write(
      `GET http://${origin.authority}/chat HTTP/1.1\r\nHost: ${origin.authority}\r\nConnection: Upgrade\r\n` +
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    await webSocket.readThrough("\r\n\r\n");
    await webSocket.write(frame("ping", 0x80));
    while (await webSocket.read() !== null);
    webSocket.socket.destroy();
    await proxy.closed(4);
    lines.push(...proxy.events.map((event) => JSON.stringify(event) + "\n"));
  });
  await origin.close();
  await withLog(lines, async (path) => {
    const [json, events, post, chat, ...more] = await entriesOf(path);
    assertEquals(more, []);
    assertEquals(json?.response.content.text, '{"a":[1,2,3,1,2,3,1,2,3,1,2,3,1,2,3]}');
    assertEquals(json?.response.content.compression, json!.response.content.size - zipped.length);
    assertEquals(
      json?.response.headers.find(({ name }) => name === "Set-Cookie")?.value,
      "[redacted 3 bytes]",
    );
    assertEquals(json?.response.cookies, []);
    assertEquals(events?._eventSourceMessages?.map(({ data }) => data), ["one", "two"]);
    assertEquals([post?.request.postData?.text, post?.response.content.text], ["hello", "short"]);
    assert(post?.response._error?.startsWith("server_aborted"), post?.response._error);
    assertEquals(chat?.request.url, `http://${origin.authority}/chat`);
    assertEquals(chat?._webSocketMessages?.map(({ type, data }) => [type, data]), [["send", "ping"], [
      "receive",
      "pong",
    ]]);
  });
});
