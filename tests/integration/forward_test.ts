import { assert, assertEquals } from "@std/assert";
import {
  type Connection,
  patternBytes,
  sha256Hex,
  startHttpOrigin,
  startRawOrigin,
} from "../support/origin.ts";
import { withProxy } from "../support/proxy.ts";

const decoder = new TextDecoder();

/** One response with a content-length, read from a kept-alive connection. */
async function response(client: Connection): Promise<{ status: number; head: string; body: string }> {
  const head = await client.readThrough("\r\n\r\n");
  const length = Number(/content-length: *(\d+)/i.exec(head)?.[1] ?? "0");
  const body = length === 0 ? "" : decoder.decode(await client.readExactly(length));
  return { status: Number(head.split(" ")[1]), head, body };
}

Deno.test("absolute-form requests on one connection are decided each on its own and go to their own servers", async () => {
  const [first, second, blocked] = [
    await startHttpOrigin(),
    await startHttpOrigin(),
    await startHttpOrigin(),
  ];
  const settings = { policy: { block_hosts: [`127.0.0.1:${blocked.port}`] } };
  await withProxy({ settings }, async (proxy) => {
    const client = await proxy.connect();
    const ask = async (url: string) => {
      const { host } = new URL(url);
      await client.write(`GET ${url} HTTP/1.1\r\nHost: ${host}\r\nProxy-Authorization: Basic eDp5\r\n\r\n`);
      return await response(client);
    };
    assertEquals((await ask(`${first.url}/bytes/4`)).status, 200);
    assertEquals((await ask(`${second.url}/bytes/4`)).status, 200);
    const refused = await ask(`${blocked.url}/bytes/4`);
    assertEquals([refused.status, JSON.parse(refused.body).error], [403, "blocked"]);
    assertEquals((await ask(`${first.url}/fields?x=1`)).status, 200);
    client.end();
    await proxy.closed(1);
    assertEquals(proxy.of("connect_decision").map(({ attributes }) => attributes.action), [
      "intercept",
      "intercept",
      "block",
      "intercept",
    ]);
    assertEquals(proxy.of("exchange_completed").map(({ attributes }) => attributes.answer_status), [
      undefined,
      undefined,
      403,
      undefined,
    ]);
    assertEquals(blocked.connections(), 0);
    assertEquals(first.requests.map(({ target }) => target), ["/bytes/4", "/fields?x=1"]);
    assert(!first.requests[1]!.fields.some(([name]) => name.toLowerCase().startsWith("proxy-")));
  });
  for (const origin of [first, second, blocked]) await origin.close();
});

Deno.test("requests to one server share its connection, and pipelined ones are answered in order", async () => {
  const origin = await startHttpOrigin();
  await withProxy({}, async (proxy) => {
    const client = await proxy.connect();
    const request = (path: string) =>
      `GET ${origin.url}${path} HTTP/1.1\r\nHost: ${origin.authority}\r\n\r\n`;
    await client.write(request("/bytes/10") + request("/bytes/20") + request("/bytes/30"));
    for (const length of [10, 20, 30]) {
      const { head } = await response2(client, length);
      assert(head.startsWith("HTTP/1.1 200"), head);
    }
    client.end();
    await proxy.closed(1);
    assertEquals(origin.connections(), 1);
    assertEquals(proxy.of("exchange_completed").map(({ attributes }) => attributes.outcome), [
      "complete",
      "complete",
      "complete",
    ]);
  });
  await origin.close();
});

async function response2(client: Connection, length: number) {
  const head = await client.readThrough("\r\n\r\n");
  assertEquals(sha256Hex(await client.readExactly(length)), sha256Hex(patternBytes(length)));
  return { head };
}

Deno.test("what a proxy must not be asked gets a clear 400", async () => {
  await withProxy({}, async (proxy) => {
    const cases: [string, string][] = [
      ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", "not_absolute_form"],
      ["GET https://x.test/ HTTP/1.1\r\nHost: x.test\r\n\r\n", "unsupported_scheme"],
      ["GET ftp://x.test/ HTTP/1.1\r\nHost: x.test\r\n\r\n", "unsupported_scheme"],
    ];
    for (const [bytes, code] of cases) {
      const client = await proxy.connect();
      await client.write(bytes);
      const { status, body } = await response(client);
      assertEquals([status, JSON.parse(body).error], [400, code]);
      client.end();
    }
    const garbage = await proxy.connect();
    await garbage.write("\x16\x03\x01\x02\x00\x01\x00");
    assertEquals((await response(garbage)).status, 400);
    assertEquals((await proxy.closed(4)).attributes.reason_code, "connect_parse_failed");
    assertEquals(proxy.of("connect_parse_failed", 4).length, 1);
  });
});

Deno.test("a CONNECT may follow plain requests on the same connection", async () => {
  const origin = await startHttpOrigin();
  const echo = await startRawOrigin(async (connection) => {
    await connection.write(await connection.readExactly(4));
    connection.end();
  });
  await withProxy({}, async (proxy) => {
    const client = await proxy.connect();
    await client.write(`GET ${origin.url}/bytes/2 HTTP/1.1\r\nHost: ${origin.authority}\r\n\r\n`);
    await response2(client, 2);
    await client.write(`CONNECT ${echo.authority} HTTP/1.1\r\n\r\n`);
    assert((await client.readThrough("\r\n\r\n")).startsWith("HTTP/1.1 200"));
    await client.write("\x00abc");
    assertEquals(decoder.decode(await client.readAll()), "\x00abc");
    client.end();
    await proxy.closed(1);
  });
  for (const one of [origin, echo]) await one.close();
});

Deno.test("an HTTP/1.0 client gets a chunked response without the coding", async () => {
  const origin = await startHttpOrigin();
  await withProxy({}, async (proxy) => {
    const client = await proxy.connect();
    await client.write(`GET ${origin.url}/chunked/5000 HTTP/1.0\r\n\r\n`);
    const head = await client.readThrough("\r\n\r\n");
    assert(!/transfer-encoding/i.test(head), head);
    assertEquals(sha256Hex(await client.readAll()), sha256Hex(patternBytes(5000)));
    assertEquals(origin.requests[0]!.version, "HTTP/1.1");
    await proxy.closed(1);
  });
  await origin.close();
});

Deno.test("the first byte of a response is relayed before its second arrives", async () => {
  let more: () => void = () => {};
  const gate = new Promise<void>((resolve) => more = resolve);
  const origin = await startRawOrigin(async (connection) => {
    await connection.readThrough("\r\n\r\n");
    await connection.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na");
    await gate;
    await connection.write("b");
  });
  await withProxy({}, async (proxy) => {
    const client = await proxy.connect();
    await client.write(`GET http://${origin.authority}/ HTTP/1.1\r\nHost: ${origin.authority}\r\n\r\n`);
    await client.readThrough("\r\n\r\n");
    assertEquals(decoder.decode(await client.readExactly(1)), "a");
    more();
    assertEquals(decoder.decode(await client.readExactly(1)), "b");
  });
  await origin.close();
});

Deno.test("bytes that break a response's framing reach nobody: 502, or a reset once it has begun", async () => {
  const origin = await startRawOrigin(async (connection, index) => {
    await connection.readThrough("\r\n\r\n");
    await connection.write(
      index === 0
        ? "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
        : "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nxyz\r\n",
    );
  });
  await withProxy({}, async (proxy) => {
    const request = `GET http://${origin.authority}/ HTTP/1.1\r\nHost: ${origin.authority}\r\n\r\n`;
    const first = await proxy.connect();
    await first.write(request);
    assertEquals((await response(first)).status, 502);
    assertEquals((await proxy.closed(1)).attributes.reason_code, "protocol_error");

    const second = await proxy.connect();
    await second.write(request);
    const failure = await second.readAll().then(() => null, (error) => error);
    assertEquals(failure?.code, "ECONNRESET");
    const completed = proxy.of("exchange_completed", 2)[0]!.attributes;
    assertEquals([completed.outcome, completed.error_by, completed.error_code, completed.answer_status], [
      "protocol_error",
      "server",
      "invalid_chunk_size",
      undefined,
    ]);
  });
  await origin.close();
});

Deno.test("a client that leaves after reading enough is client_aborted, and the server is let go", async () => {
  const origin = await startHttpOrigin();
  await withProxy({}, async (proxy) => {
    const client = await proxy.connect();
    await client.write(`GET ${origin.url}/bytes/50000000 HTTP/1.1\r\nHost: ${origin.authority}\r\n\r\n`);
    await client.readExactly(100_000);
    client.reset();
    const closed = await proxy.closed(1);
    assertEquals(closed.attributes.reason_code, "client_reset");
    assertEquals(proxy.of("exchange_completed", 1)[0]!.attributes.outcome, "client_aborted");
  });
  await origin.close();
});

Deno.test("a server that ends without a word is a 502, one that resets in the middle is a reset", async () => {
  const origin = await startHttpOrigin();
  const silent = await startRawOrigin(async (connection) => {
    await connection.readThrough("\r\n\r\n");
    connection.end();
  });
  await withProxy({}, async (proxy) => {
    const client = await proxy.connect();
    await client.write(`GET http://${silent.authority}/ HTTP/1.1\r\nHost: ${silent.authority}\r\n\r\n`);
    assertEquals((await response(client)).status, 502);
    const unanswered = proxy.of("exchange_completed", 1)[0]!.attributes;
    assertEquals([unanswered.outcome, unanswered.answer_status], ["server_aborted", 502]);

    const reset = await proxy.connect();
    await reset.write(`GET ${origin.url}/reset HTTP/1.1\r\nHost: ${origin.authority}\r\n\r\n`);
    const failure = await reset.readAll().then(() => null, (error) => error);
    assertEquals(failure?.code, "ECONNRESET");
    assertEquals((await proxy.closed(2)).attributes.reason_code, "server_reset");
  });
  for (const one of [origin, silent]) await one.close();
});
