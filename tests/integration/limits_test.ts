import { assert, assertEquals } from "@std/assert";
import {
  type Connection,
  patternBytes,
  sha256Hex,
  startHttpOrigin,
  startRawOrigin,
} from "../support/origin.ts";
import { withProxy } from "../support/proxy.ts";

const get = (url: string, authority: string) => `GET ${url} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`;

async function status(client: Connection): Promise<number> {
  return Number((await client.readThrough("\r\n\r\n")).split(" ")[1]);
}

Deno.test("limits.max_flows: the flow at the limit is served, one more gets 503", async () => {
  const origin = await startHttpOrigin();
  await withProxy({ settings: { limits: { max_flows: 2 } } }, async (proxy) => {
    const held = [await proxy.tunnel(origin.authority), await proxy.tunnel(origin.authority)];
    const refused = await proxy.connect();
    assertEquals(await status(refused), 503);
    const closed = await proxy.closed(3);
    assertEquals(closed.attributes.reason_code, "limit_exceeded");
    held[0]!.end();
    await proxy.closed(1);
    const again = await proxy.tunnel(origin.authority);
    again.end();
  });
  await origin.close();
});

Deno.test("http.max_head_bytes: a head of exactly the limit passes, one byte more gets 431", async () => {
  const origin = await startHttpOrigin();
  await withProxy({ settings: { http: { max_head_bytes: 1024 } } }, async (proxy) => {
    const start = `GET ${origin.url}/bytes/1 HTTP/1.1\r\nHost: ${origin.authority}\r\nX: `;
    const padded = (bytes: number) => `${start}${"a".repeat(bytes - start.length - 4)}\r\n\r\n`;
    const exact = await proxy.connect();
    await exact.write(padded(1024));
    assertEquals(await status(exact), 200);
    const over = await proxy.connect();
    await over.write(padded(1025));
    assertEquals(await status(over), 431);
    assertEquals((await proxy.closed(2)).attributes.reason_code, "limit_exceeded");
    const connect = await proxy.connect();
    await connect.write(`CONNECT x.test:443 HTTP/1.1\r\nX: ${"a".repeat(2000)}\r\n\r\n`);
    assertEquals(await status(connect), 431);
  });
  await origin.close();
});

Deno.test("http.max_header_fields: as many as the limit pass, one more gets 431", async () => {
  const origin = await startHttpOrigin();
  await withProxy({ settings: { http: { max_header_fields: 10 } } }, async (proxy) => {
    const request = (fields: number) =>
      `GET ${origin.url}/bytes/1 HTTP/1.1\r\nHost: ${origin.authority}\r\n${
        "X: y\r\n".repeat(fields - 1)
      }\r\n`;
    const exact = await proxy.connect();
    await exact.write(request(10));
    assertEquals(await status(exact), 200);
    const over = await proxy.connect();
    await over.write(request(11));
    assertEquals(await status(over), 431);
  });
  await origin.close();
});

Deno.test("timeouts.head: a head that comes a byte at a time ends the flow in time, with 408", async () => {
  await withProxy({ settings: { timeouts: { head: "200ms" } } }, async (proxy) => {
    const slow = await proxy.connect();
    const bytes = "CONNECT slow.test:443 HTTP/1.1\r\nX: never whole";
    let sent = 0;
    const drip = setInterval(() => {
      if (sent < bytes.length && !slow.socket.destroyed) slow.socket.write(bytes[sent++]!);
    }, 20);
    assertEquals(await status(slow), 408);
    clearInterval(drip);
    const closed = await proxy.closed(1);
    assertEquals(closed.attributes.reason_code, "stage_timeout");
    const duration = closed.attributes.duration_ns as number;
    assert(duration >= 200e6 && duration < 1000e6, `${duration}`);
    const silent = await proxy.connect();
    assertEquals(await silent.read(), null);
    assertEquals((await proxy.closed(2)).attributes.reason_code, "stage_timeout");
  });
});

Deno.test("timeouts.connect: a dial that is not answered gets 504", async () => {
  if (Deno.build.os !== "linux") {
    console.log("left out: only Linux drops a SYN when a listener's queue is full");
    return;
  }
  // Nobody accepts here, so the queue fills up and further SYNs stay unanswered.
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0, tcpBacklog: 1 });
  const { port } = listener.addr as Deno.NetAddr;
  const queued = await Promise.all([1, 2].map(() => Deno.connect({ hostname: "127.0.0.1", port })));
  await withProxy({ settings: { timeouts: { connect: "150ms" } } }, async (proxy) => {
    const client = await proxy.connect();
    await client.write(`CONNECT 127.0.0.1:${port} HTTP/1.1\r\n\r\n`);
    assertEquals(await status(client), 504);
    assertEquals((await proxy.closed(1)).attributes.reason_code, "upstream_connect_failed");
    const plain = await proxy.connect();
    await plain.write(get(`http://127.0.0.1:${port}/`, "x"));
    assertEquals(await status(plain), 400, "Host disagrees with the target");
    const forward = await proxy.connect();
    await forward.write(get(`http://127.0.0.1:${port}/`, `127.0.0.1:${port}`));
    assertEquals(await status(forward), 504);
  });
  for (const connection of queued) connection.close();
  listener.close();
});

Deno.test("timeouts.tls_handshake: a server and a client that stall are recorded as timeouts of their side", async () => {
  const stalling = await startRawOrigin(async (connection) => {
    await connection.read();
  });
  await withProxy({ settings: { timeouts: { tls_handshake: "150ms" } } }, async (proxy) => {
    const client = await proxy.tls(`localhost:${stalling.port}`);
    await client.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assertEquals(await status(client), 502);
    const failed = proxy.of("tls_handshake_failed", 1)[0]!.attributes;
    assertEquals([failed.side, failed.normalized_reason], ["server", "timeout"]);
    assertEquals((await proxy.closed(1)).attributes.reason_code, "tls_handshake_failed");

    const half = await proxy.tunnel(`localhost:${stalling.port}`);
    await half.write("\x16\x03\x01\x02\x00\x01");
    assertEquals(await half.read(), null);
    assertEquals((await proxy.closed(2)).attributes.reason_code, "stage_timeout");
  });
  await stalling.close();
});

Deno.test("timeouts.idle and timeouts.exchange_idle end what they are for, with their own reasons", async () => {
  const origin = await startHttpOrigin();
  await withProxy({ settings: { timeouts: { idle: "150ms", exchange_idle: "300ms" } } }, async (proxy) => {
    const idle = await proxy.connect();
    await idle.write(get(`${origin.url}/bytes/1`, origin.authority));
    assertEquals(await status(idle), 200);
    await idle.readExactly(1);
    assertEquals(await idle.read(), null);
    assertEquals((await proxy.closed(1)).attributes.reason_code, "idle_timeout");

    const hanging = await proxy.connect();
    await hanging.write(get(`${origin.url}/hang`, origin.authority));
    assertEquals(await status(hanging), 504);
    assertEquals((await proxy.closed(2)).attributes.reason_code, "idle_timeout");
    assertEquals(proxy.of("exchange_completed", 2)[0]!.attributes.outcome, "timeout");

    const stuck = await proxy.connect();
    await stuck.write(get(`${origin.url}/gate/never`, origin.authority));
    const failure = await stuck.readAll().then(() => null, (error) => error);
    assertEquals(failure?.code, "ECONNRESET");
  });
  await origin.close();
});

Deno.test("a client that stops reading holds no more than its budget, and the server is not read", async () => {
  let written = 0;
  const origin = await startRawOrigin(async (connection) => {
    await connection.readThrough("\r\n\r\n");
    await connection.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
    const block = new Uint8Array(65_536);
    for (let i = 0; i < 16_000 && !connection.socket.destroyed; i++) {
      await connection.write(block);
      written += block.length;
    }
  });
  await withProxy({}, async (proxy) => {
    const client = await proxy.connect();
    client.socket.pause();
    await client.write(get(`http://${origin.authority}/`, origin.authority));
    // The relay has stopped when the origin cannot write for a while: kernel buffers and one flow's budget are full.
    let before = -1;
    while (written === 0 || written !== before) {
      before = written;
      await new Promise((resolve) => setTimeout(resolve, 150));
    }
    assert(proxy.mitm.counters.inFlightBytes <= 1024 * 1024, `${proxy.mitm.counters.inFlightBytes}`);
    assert(written < 64 * 1024 * 1024, `${written} bytes were taken from the server`);
  });
  await origin.close();
});

Deno.test("what observers keep of a message does not keep the rest of it from being read", async () => {
  const origin = await startHttpOrigin();
  const settings = { limits: { flow_buffer_bytes: "64KiB" }, capture: { body_bytes: "256KiB" } };
  await withProxy({ settings }, async (proxy) => {
    const client = await proxy.connect();
    // A line is kept until it is whole.
    const line = `"${"x".repeat(200_000)}"\n`;
    await client.write(
      `POST ${origin.url}/digest HTTP/1.1\r\nHost: ${origin.authority}\r\n` +
        `Content-Type: application/x-ndjson\r\nContent-Length: ${line.length}\r\n\r\n${line}`,
    );
    assertEquals(await status(client), 200);
    assertEquals((await proxy.event(({ kind }) => kind === "ndjson_line")).attributes.index, 0);
    client.end();
  });
  await origin.close();
});

Deno.test("2,000 slow connections leave a good one answered", async () => {
  const origin = await startHttpOrigin();
  await withProxy({}, async (proxy) => {
    const slow: Connection[] = [];
    for (let batch = 0; batch < 20; batch++) {
      slow.push(...await Promise.all(Array.from({ length: 100 }, () => proxy.connect())));
    }
    for (const client of slow) await client.write("CONNECT sl");
    const good = await proxy.connect();
    await good.write(get(`${origin.url}/bytes/5000`, origin.authority));
    assertEquals(await status(good), 200);
    assertEquals(sha256Hex(await good.readExactly(5000)), sha256Hex(patternBytes(5000)));
    for (const client of slow) client.socket.destroy();
    good.end();
    await proxy.event(({ kind, sequence_id }) => kind === "stream_closed" && sequence_id > 2000);
  });
  await origin.close();
});

Deno.test("500 short connections at once leave nothing behind", async () => {
  const origin = await startHttpOrigin();
  await withProxy({}, async (proxy) => {
    const one = async () => {
      const client = await proxy.connect();
      await client.write(
        `GET ${origin.url}/bytes/100 HTTP/1.1\r\nHost: ${origin.authority}\r\nConnection: close\r\n\r\n`,
      );
      assertEquals(await status(client), 200);
      await client.readAll();
      client.end();
    };
    await Promise.all(Array.from({ length: 500 }, one));
    await Promise.all(Array.from({ length: 500 }, (_, index) => proxy.closed(index + 1)));
    assertEquals(proxy.mitm.counters.openFlows, 0);
    assertEquals(proxy.mitm.counters.inFlightBytes, 0);
  });
  await origin.close();
});

Deno.test("clients that stopped reading and fill limits.max_in_flight_bytes leave a good one answered", async () => {
  const origin = await startHttpOrigin();
  const flooding = await startRawOrigin(async (connection) => {
    await connection.readThrough("\r\n\r\n");
    await connection.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
    const block = new Uint8Array(65_536);
    while (!connection.socket.destroyed) await connection.write(block);
  });
  await withProxy({ settings: { limits: { max_in_flight_bytes: "1MiB" } } }, async (proxy) => {
    const stalled = await Promise.all(Array.from({ length: 60 }, async () => {
      const client = await proxy.connect();
      client.socket.pause();
      await client.write(get(`http://${flooding.authority}/`, flooding.authority));
      return client;
    }));
    // The budget is exceeded when the readers that are there have filled it.
    while (proxy.mitm.counters.inFlightBytes <= 1024 * 1024) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const good = await proxy.connect();
    await good.write(get(`${origin.url}/bytes/300000`, origin.authority));
    assertEquals(await status(good), 200);
    assertEquals(sha256Hex(await good.readExactly(300_000)), sha256Hex(patternBytes(300_000)));
    for (const client of stalled) client.socket.destroy();
  });
  for (const one of [origin, flooding]) await one.close();
});
