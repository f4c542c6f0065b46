/** What observers must not cost: the client has what the server sent, and the log what it means, at once. */
import { assert, assertEquals } from "@std/assert";
import { brotliCompressSync, constants, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { sha256Hex, startRawOrigin } from "../support/origin.ts";
import { withProxy } from "../support/proxy.ts";

const decoder = new TextDecoder();

/** One chunk of the chunked coding. */
function chunk(data: Uint8Array | string): Uint8Array {
  const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
  const head = new TextEncoder().encode(`${bytes.length.toString(16)}\r\n`);
  return Uint8Array.of(...head, ...bytes, 0x0d, 0x0a);
}

Deno.test("a server-sent event is with the client and in the log while its response is still open", async () => {
  const { promise: client, resolve: clientHasIt } = Promise.withResolvers<void>();
  const origin = await startRawOrigin(async (connection) => {
    await connection.readThrough("\r\n\r\n");
    await connection.write(
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    await connection.write(chunk("id: 1\ndata: first\n\n"));
    await client;
    await connection.write(chunk("data: second\r\r"));
    await connection.write("0\r\n\r\n");
  });
  await withProxy({}, async (proxy) => {
    const connection = await proxy.connect();
    await connection.write(`GET http://${origin.authority}/ HTTP/1.1\r\nHost: ${origin.authority}\r\n\r\n`);
    await connection.readThrough("data: first\n\n");
    const first = await proxy.event(({ kind }) => kind === "sse_event");
    assertEquals([first.protocol, first.attributes.data, first.attributes.id], ["sse", "first", "1"]);
    assertEquals(proxy.of("exchange_completed"), [], "the response is still open");
    clientHasIt();
    await proxy.event(({ kind }) => kind === "exchange_completed");
    assertEquals(proxy.of("sse_event").map(({ attributes }) => attributes.data), ["first", "second"]);
  });
  await origin.close();
});

Deno.test("a server-sent event comes through a gzip that is only flushed, not ended", async () => {
  const { promise: client, resolve: clientHasIt } = Promise.withResolvers<void>();
  const first = new Uint8Array(gzipSync("data: first\n\n", { finishFlush: constants.Z_SYNC_FLUSH }));
  const origin = await startRawOrigin(async (connection) => {
    await connection.readThrough("\r\n\r\n");
    await connection.write(
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\n" +
        "Transfer-Encoding: chunked\r\n\r\n",
    );
    await connection.write(chunk(first));
    await client;
    connection.end();
  });
  await withProxy({}, async (proxy) => {
    const connection = await proxy.connect();
    await connection.write(`GET http://${origin.authority}/ HTTP/1.1\r\nHost: ${origin.authority}\r\n\r\n`);
    const head = await connection.readThrough("\r\n\r\n");
    assert(head.startsWith("HTTP/1.1 200"), head);
    const expected = decoder.decode(chunk(first));
    assertEquals(decoder.decode(await connection.readExactly(chunk(first).length)), expected);
    const event = await proxy.event(({ kind }) => kind === "sse_event");
    assertEquals([event.attributes.data, event.attributes.index], ["first", 0]);
    assertEquals(proxy.of("exchange_completed"), [], "the response is still open");
    clientHasIt();
    await proxy.event(({ kind }) => kind === "exchange_completed");
  });
  await origin.close();
});

Deno.test("capture.observe = false: bodies are logged as they were transferred, and nothing is said of what they hold", async () => {
  const coded = new Uint8Array(gzipSync('{"a":1}'));
  const origin = await startRawOrigin(async (connection) => {
    await connection.readThrough("\r\n\r\n");
    await connection.write(
      "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n" +
        `Content-Length: ${coded.length}\r\n\r\n`,
    );
    await connection.write(coded);
  });
  await withProxy({ settings: { capture: { observe: false } } }, async (proxy) => {
    const connection = await proxy.connect();
    await connection.write(`GET http://${origin.authority}/ HTTP/1.1\r\nHost: ${origin.authority}\r\n\r\n`);
    await connection.readThrough("\r\n\r\n");
    assertEquals(Uint8Array.from(await connection.readExactly(coded.length)), coded);
    const completed = await proxy.event(({ kind }) => kind === "exchange_completed");
    assertEquals(completed.attributes.outcome, "complete");
    assertEquals(completed.attributes.response_decoded_bytes, undefined);
    const chunks = proxy.of("response_body_chunk").map(({ attributes }) => attributes.data_base64);
    assertEquals(chunks, [coded.toBase64()]);
    assertEquals(proxy.of("payload_decoded"), []);
  });
  await origin.close();
});

const ZEROS = new Uint8Array(30_000_000);
const BOMBS: Readonly<Record<string, Uint8Array>> = {
  gzip: gzipSync(ZEROS),
  deflate: deflateSync(ZEROS),
  br: brotliCompressSync(ZEROS, { params: { [constants.BROTLI_PARAM_QUALITY]: 3 } }),
  zstd: zstdCompressSync(ZEROS),
  "gzip, gzip": gzipSync(gzipSync(ZEROS)),
};

Deno.test("a bomb of any coding stops its decoder, and passes as it is", async () => {
  const origin = await startRawOrigin(async (connection) => {
    for (const [coding, bomb] of Object.entries(BOMBS)) {
      await connection.readThrough("\r\n\r\n");
      await connection.write(
        "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n" +
          `Content-Encoding: ${coding}\r\nContent-Length: ${bomb.length}\r\n\r\n`,
      );
      await connection.write(bomb);
    }
  });
  await withProxy({}, async (proxy) => {
    const connection = await proxy.connect();
    for (const [index, bomb] of Object.values(BOMBS).entries()) {
      await connection.write(`GET http://${origin.authority}/ HTTP/1.1\r\nHost: ${origin.authority}\r\n\r\n`);
      await connection.readThrough("\r\n\r\n");
      assertEquals(sha256Hex(await connection.readExactly(bomb.length)), sha256Hex(bomb));
      const { attributes } = await proxy.event(({ kind, attributes }) =>
        kind === "exchange_completed" && attributes.exchange_id === index + 1
      );
      assertEquals([attributes.outcome, attributes.response_decoded_bytes], ["complete", 64 * 1024]);
    }
    const reasons = proxy.of("decoder_failed").map(({ attributes }) => attributes.reason);
    assertEquals(reasons, Object.keys(BOMBS).map(() => reasons[0]));
    assert(String(reasons[0]).includes("limits.inflate_ratio"), String(reasons[0]));
  });
  await origin.close();
});
