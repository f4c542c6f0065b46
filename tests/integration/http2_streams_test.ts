/**
 * HTTP/2 over real sockets: streams in number and length between programs of another make, and between peers
 * that say any frame what those programs do not.
 */
import { assert, assertEquals } from "@std/assert";
import * as http2 from "node:http2";
import type { AddressInfo } from "node:net";
import {
  encodeData,
  encodeGoaway,
  encodeHeaders,
  encodePushPromise,
  encodeRstStream,
} from "../../src/http2/frame_writer.ts";
import { block, request, response } from "../http2/messages.ts";
import { makeAuthority } from "../support/certificates.ts";
import {
  connectThrough,
  Http2Peer,
  type Http2PeerOptions,
  startRawHttp2Origin,
} from "../support/http2_peer.ts";
import { type TestProxy, withProxy } from "../support/proxy.ts";

const authority = makeAuthority();
const certificate = authority.issue({ names: ["localhost"] });
const MiB = 1024 * 1024;
const text = (value: string) => new TextEncoder().encode(value);
const NOTHING = new Uint8Array(0);

async function withTrust(
  settings: Record<string, unknown>,
  work: (proxy: TestProxy) => Promise<void>,
): Promise<void> {
  const bundle = await Deno.makeTempFile({ suffix: ".crt" });
  await Deno.writeTextFile(bundle, authority.certPem);
  try {
    await withProxy({ settings: { tls: { upstream_ca_bundle: bundle }, ...settings } }, work);
  } finally {
    await Deno.remove(bundle);
  }
}

/** A peer on either end of a proxy, their SETTINGS said and acknowledged. */
async function betweenPeers(
  work: (client: Http2Peer, server: Http2Peer, proxy: TestProxy) => Promise<void>,
  options: { client?: Http2PeerOptions; server?: Http2PeerOptions; settings?: Record<string, unknown> } = {},
): Promise<void> {
  const origin = await startRawHttp2Origin(certificate, options.server);
  try {
    await withTrust(options.settings ?? {}, async (proxy) => {
      const socket = await connectThrough(proxy, origin.port, proxy.caCertPem);
      const client = new Http2Peer(socket, "client", options.client);
      const server = await origin.next();
      assert(await client.hears("SETTINGS ack") && await server.hears("SETTINGS ack"));
      await work(client, server, proxy);
      client.close();
    });
  } finally {
    await origin.close();
  }
}

const outcomes = (proxy: TestProxy) =>
  proxy.of("exchange_completed", 1).map(({ stream_key, attributes }) => [stream_key, attributes.outcome]);

/** A server and a client session of `node:http2`, the proxy between them. */
async function betweenPrograms(
  serve: (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => void,
  work: (session: http2.ClientHttp2Session, proxy: TestProxy) => Promise<void>,
): Promise<void> {
  const windows = { maxConcurrentStreams: 2000, initialWindowSize: 4 * MiB };
  const server = http2.createSecureServer({
    cert: certificate.certPem,
    key: certificate.keyPem,
    settings: windows,
  });
  server.on("stream", serve);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  try {
    await withTrust({}, async (proxy) => {
      const socket = await connectThrough(proxy, port, proxy.caCertPem);
      const session = http2.connect(`https://localhost:${port}`, {
        createConnection: () => socket,
        settings: windows,
      });
      await work(session, proxy);
      session.close();
      const closed = await proxy.closed(1);
      assertEquals(closed.attributes.reason_code, "complete", String(closed.attributes.reason_detail));
    });
  } finally {
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }
}

Deno.test("1,000 streams are open on one connection at once, and each gets its own answer", async () => {
  const waiting: (() => void)[] = [];
  await betweenPrograms((stream, headers) => {
    waiting.push(() => {
      stream.respond({ ":status": 200 });
      stream.end(String(headers[":path"]));
    });
    // Nobody is answered before all have asked.
    if (waiting.length === 1000) { for (const answer of waiting) answer(); }
  }, async (session, proxy) => {
    const answers = await Promise.all(Array.from({ length: 1000 }, (_, index) => {
      const stream = session.request({ ":path": `/${index}` });
      let body = "";
      stream.setEncoding("utf8");
      stream.on("data", (data: string) => body += data);
      return new Promise<string>((resolve, reject) => {
        stream.on("end", () => resolve(body));
        stream.on("error", reject);
      });
    }));
    assertEquals(answers, Array.from({ length: 1000 }, (_, index) => `/${index}`));
    assertEquals(proxy.of("exchange_completed").length, 1000);
    assert(proxy.of("exchange_completed").every(({ attributes }) => attributes.outcome === "complete"));
  });
});

Deno.test("64 MiB go each way at once on one stream", async () => {
  const total = 64 * MiB;
  const part = new Uint8Array(256 * 1024).fill(7);
  await betweenPrograms((stream) => {
    stream.respond({ ":status": 200 });
    stream.on("data", (data: Uint8Array) => {
      if (!stream.write(data)) {
        stream.pause();
        stream.once("drain", () => stream.resume());
      }
    });
    stream.on("end", () => stream.end());
  }, async (session, proxy) => {
    const stream = session.request({ ":path": "/", ":method": "POST" });
    let received = 0;
    let wrong = 0;
    const ended = new Promise<void>((resolve, reject) => {
      stream.on("data", (data: Uint8Array) => {
        received += data.length;
        if (data[0] !== 7 || data[data.length - 1] !== 7) wrong++;
      });
      stream.on("end", () => resolve());
      stream.on("error", reject);
    });
    for (let sent = 0; sent < total; sent += part.length) {
      if (!stream.write(part)) await new Promise<void>((resolve) => stream.once("drain", () => resolve()));
    }
    stream.end();
    await ended;
    assertEquals([received, wrong], [total, 0]);
    const { attributes } = await proxy.event(({ kind }) => kind === "exchange_completed");
    assertEquals([attributes.request_body_bytes, attributes.response_body_bytes, attributes.outcome], [
      total,
      total,
      "complete",
    ]);
  });
});

Deno.test("a conversation of 500 turns on one stream goes on beside other streams", async () => {
  await betweenPrograms((stream, headers) => {
    stream.respond({ ":status": 200 });
    if (headers[":method"] === "GET") stream.end("x".repeat(5000));
    else stream.on("data", (data: Uint8Array) => stream.write(data)).on("end", () => stream.end());
  }, async (session, proxy) => {
    const talk = session.request({ ":path": "/talk", ":method": "POST" });
    talk.setEncoding("utf8");
    for (let turn = 0; turn < 500; turn++) {
      const said = `turn ${turn}`;
      const answer = new Promise<string>((resolve) => talk.once("data", (data: string) => resolve(data)));
      talk.write(said);
      assertEquals(await answer, said);
      if (turn % 50 !== 0) continue;
      const other = session.request({ ":path": "/other" });
      let bytes = 0;
      other.on("data", (data: Uint8Array) => bytes += data.length);
      await new Promise<void>((resolve) => other.on("end", () => resolve()));
      assertEquals(bytes, 5000);
    }
    talk.resume();
    talk.end();
    await new Promise<void>((resolve) => talk.on("end", () => resolve()));
    await proxy.event(({ kind, stream_key }) => kind === "exchange_completed" && stream_key === "h2:1");
    assertEquals(proxy.of("exchange_completed").length, 11);
  });
});

Deno.test("trailers both ways, 103, HEAD and an early answer pass as they were said", () =>
  betweenPeers(async (client, server, proxy) => {
    client.send(
      request(1, { ":method": "POST", te: "trailers" }, false),
      encodeData(1, text("content"), false),
      encodeHeaders(1, block({ "x-sum": "1" }), { endStream: true }),
    );
    assert(await server.hears("HEADERS 1 x-sum=1"));
    server.send(
      response(1, 103, false, { link: "</style.css>" }),
      response(1, 200, false),
      encodeData(1, text("answer"), false),
      encodeHeaders(1, block({ "grpc-status": "0" }), { endStream: true }),
    );
    assert(await client.hears("HEADERS 1 grpc-status=0"));
    assertEquals(client.heard.filter((said) => said.startsWith("HEADERS")), [
      "HEADERS 1 :status=103 link=</style.css>",
      "HEADERS 1 :status=200",
      "HEADERS 1 grpc-status=0",
    ]);
    client.send(request(3, { ":method": "HEAD" }));
    assert(await server.hears("HEADERS 3"));
    server.send(response(3, 200, true, { "content-length": "1000000" }));
    assert(await client.hears("HEADERS 3 :status=200 content-length=1000000"));
    client.send(request(5, { ":method": "POST" }, false), encodeData(5, text("only a part"), false));
    assert(await server.hears("HEADERS 5"));
    server.send(response(5, 413, true), encodeRstStream(5, "NO_ERROR"));
    assert(await client.hears("RST_STREAM 5 NO_ERROR"));
    client.send(encodeGoaway(0, "NO_ERROR"));
    assert(await server.hears("GOAWAY 0 NO_ERROR"));
    client.socket.end();
    assertEquals((await proxy.closed(1)).attributes.reason_code, "complete");
    assertEquals(outcomes(proxy), [["h2:1", "complete"], ["h2:3", "complete"], ["h2:5", "complete"]]);
    assertEquals(proxy.of("response_headers")[0]!.attributes.interim, true);
    assertEquals(proxy.of("request_trailers").length + proxy.of("response_trailers").length, 2);
  }));

const PROMISE = encodePushPromise(
  1,
  2,
  block({ ":method": "GET", ":scheme": "https", ":path": "/pushed", ":authority": "localhost" }),
);

Deno.test("a pushed response passes to a client that allows it, as an exchange of its own", () =>
  betweenPeers(async (client, server, proxy) => {
    client.send(request(1));
    assert(await server.hears("HEADERS 1"));
    server.send(
      PROMISE,
      response(1, 204, true),
      response(2, 200, false),
      encodeData(2, text("pushed"), true),
    );
    await proxy.event(({ kind, stream_key }) => kind === "exchange_completed" && stream_key === "h2:2");
    assert(await client.until(() => client.contentBytes === 6));
    assertEquals(outcomes(proxy), [["h2:1", "complete"], ["h2:2", "complete"]]);
    const [, pushed] = proxy.of("request_headers");
    assertEquals([pushed!.stream_key, pushed!.attributes.target], ["h2:2", "/pushed"]);
  }));

Deno.test("a push to a client whose SETTINGS refuse it ends the connection, and never reaches it", () =>
  betweenPeers(async (client, server, proxy) => {
    client.send(request(1));
    assert(await server.hears("HEADERS 1"));
    server.send(PROMISE);
    assert(await client.hears("GOAWAY 1 PROTOCOL_ERROR"));
    assert(await server.hears("GOAWAY 0 PROTOCOL_ERROR"));
    assertEquals(client.counts["PUSH_PROMISE"], undefined);
    assertEquals((await proxy.closed(1)).attributes.reason_code, "protocol_error");
  }, { client: { settings: [[2, 0]] } }));

Deno.test("GOAWAY passes, streams that it leaves run to their end, and the rest is told unprocessed", () =>
  betweenPeers(async (client, server, proxy) => {
    client.send(request(1), request(3));
    assert(await server.until(() => server.highestStream === 3));
    server.send(encodeGoaway(1, "NO_ERROR", "closing"));
    assert(await client.hears("GOAWAY 1 NO_ERROR"));
    server.send(response(1, 200, false), encodeData(1, text("still"), true));
    assert(await client.until(() => client.contentBytes === 5));
    server.socket.end();
    const closed = await proxy.closed(1);
    assertEquals([closed.attributes.reason_code, closed.attributes.reason_detail], ["complete", undefined]);
    assertEquals(outcomes(proxy), [["h2:3", "reset"], ["h2:1", "complete"]]);
  }));

Deno.test("a stop of the proxy says GOAWAY to both, and what is under way finishes", () =>
  betweenPeers(async (client, server, proxy) => {
    client.send(request(1));
    assert(await server.hears("HEADERS 1"));
    const stopped = proxy.mitm.stop();
    assert(await client.hears("GOAWAY 1 NO_ERROR"));
    assert(await server.hears("GOAWAY 0 NO_ERROR"));
    client.send(request(3));
    assert(await client.hears("RST_STREAM 3 REFUSED_STREAM"));
    assertEquals(server.highestStream, 1);
    server.send(response(1, 200, false), encodeData(1, text("done"), true));
    assert(await client.until(() => client.contentBytes === 4));
    await stopped;
    assertEquals(outcomes(proxy), [["h2:3", "reset"], ["h2:1", "complete"]]);
    assertEquals((await proxy.closed(1)).attributes.reason_code, "shutdown");
  }, { settings: { timeouts: { drain: "1h" } } }));

Deno.test("a stream that does not finish within timeouts.drain is cut off", () =>
  betweenPeers(async (client, server, proxy) => {
    client.send(request(1));
    assert(await server.hears("HEADERS 1"));
    await proxy.mitm.stop();
    await client.done;
    await server.done;
    assertEquals(outcomes(proxy), [["h2:1", "reset"]]);
    assertEquals((await proxy.closed(1)).attributes.reason_code, "shutdown");
  }, { settings: { timeouts: { drain: "100ms" } } }));

Deno.test("extended CONNECT passes, and what it carries goes both ways", () =>
  betweenPeers(async (client, server, proxy) => {
    assertEquals(client.heard[0], "SETTINGS");
    const connect = {
      ":method": "CONNECT",
      ":protocol": "websocket",
      ":scheme": "https",
      ":path": "/chat",
      ":authority": "localhost",
    };
    client.send(encodeHeaders(1, block(connect), { endStream: false }));
    assert(await server.hears("HEADERS 1 :method=CONNECT :protocol=websocket"));
    server.send(response(1, 200, false), encodeData(1, text("hello"), false));
    assert(await client.until(() => client.contentBytes === 5));
    client.send(encodeData(1, text("hi"), false));
    assert(await server.until(() => server.contentBytes === 2));
    client.send(encodeData(1, NOTHING, true));
    server.send(encodeData(1, NOTHING, true));
    await proxy.event(({ kind }) => kind === "exchange_completed");
    assertEquals(outcomes(proxy), [["h2:1", "complete"]]);
    assertEquals(proxy.of("request_headers")[0]!.attributes.method, "CONNECT");
  }, { server: { settings: [[8, 1]] } }));

Deno.test("floods are counted by the reason they ended for, and a lower budget is in force", () =>
  betweenPeers(async (client, server, proxy) => {
    for (let stream = 1; stream <= 9; stream += 2) {
      client.send(request(stream), encodeRstStream(stream, "CANCEL"));
    }
    assert(await client.hears("GOAWAY 9 ENHANCE_YOUR_CALM"));
    assert(await server.hears("GOAWAY 0 ENHANCE_YOUR_CALM"));
    const { attributes } = await proxy.closed(1);
    assertEquals(attributes.reason_code, "limit_exceeded");
    assertEquals(
      attributes.reason_detail,
      "the client sent more than 4 RST_STREAM frames within 10000 ms (http.http2_max_resets = 4)",
    );
    assertEquals(proxy.mitm.counters.closedFlows, { limit_exceeded: 1 });
  }, { settings: { http: { http2_max_resets: 4 } } }));
