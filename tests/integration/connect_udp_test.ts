import { assert, assertEquals } from "@std/assert";
import dgram from "node:dgram";
import { datagramCapsule } from "../../src/proxy/datagram_relay.ts";
import { CapsuleReader } from "../../src/http/capsules.ts";
import { Connection } from "../support/origin.ts";
import { type TestProxy, withProxy } from "../support/proxy.ts";

interface UdpServer {
  readonly socket: dgram.Socket;
  readonly port: number;
  /** How many datagrams came. */
  readonly received: number;
}

/** Answers each datagram with `reply`; by default with itself. */
async function withUdpServer(
  work: (server: UdpServer) => Promise<void>,
  reply: (data: Uint8Array, answer: (data: Uint8Array) => void, from: dgram.RemoteInfo) => void = (
    data,
    answer,
  ) => answer(data),
  family: 4 | 6 = 4,
): Promise<void> {
  const socket = dgram.createSocket(family === 4 ? "udp4" : "udp6");
  let received = 0;
  socket.on("message", (data, from) => {
    received++;
    reply(data, (back) => socket.send(back, from.port, from.address), from);
  });
  await new Promise<void>((resolve) => socket.bind(0, family === 4 ? "127.0.0.1" : "::1", resolve));
  try {
    await work({
      socket,
      port: socket.address().port,
      get received() {
        return received;
      },
    });
  } finally {
    await new Promise<void>((resolve) => socket.close(() => resolve()));
  }
}

function request(host: string, port: number): string {
  return `GET /.well-known/masque/udp/${encodeURIComponent(host)}/${port}/ HTTP/1.1\r\nHost: proxy.test\r\n` +
    "Connection: Upgrade\r\nUpgrade: connect-udp\r\nCapsule-Protocol: ?1\r\n\r\n";
}

/** The client's end of a CONNECT-UDP. */
class UdpTunnel {
  readonly #waiting: Uint8Array[] = [];
  readonly #reader = new CapsuleReader({
    datagram: (content) => this.#waiting.push(content.slice(1)),
    skipped: () => {},
  }, 70_000);

  constructor(readonly connection: Connection) {}

  send(data: Uint8Array): Promise<void> {
    return this.connection.write(datagramCapsule(data));
  }

  async receive(): Promise<Uint8Array> {
    while (this.#waiting.length === 0) this.#reader.push(await this.connection.readExactly(1));
    return this.#waiting.shift()!;
  }
}

async function connectUdp(proxy: TestProxy, host: string, port: number): Promise<UdpTunnel> {
  const connection = await proxy.connect();
  await connection.write(request(host, port));
  const head = await connection.readThrough("\r\n\r\n");
  assertEquals(head.split("\r\n").slice(0, 4), [
    "HTTP/1.1 101 Switching Protocols",
    "Connection: Upgrade",
    "Upgrade: connect-udp",
    "Capsule-Protocol: ?1",
  ]);
  return new UdpTunnel(connection);
}

Deno.test("CONNECT-UDP carries datagrams to a server and back, each whole, and counts them", async () => {
  await withUdpServer((server) =>
    withProxy({}, async (proxy) => {
      const tunnel = await connectUdp(proxy, "127.0.0.1", server.port);
      const sizes = [1, 0, 1200, 1472, 9000, 60_000];
      for (const size of sizes) {
        const data = crypto.getRandomValues(new Uint8Array(Math.min(size, 60_000)));
        await tunnel.send(data);
        assertEquals(await tunnel.receive(), data);
      }
      tunnel.connection.end();
      const { attributes, protocol } = await proxy.closed(1);
      const bytes = sizes.reduce((sum, size) => sum + size);
      assertEquals([protocol, attributes.reason_code], ["http3", "complete"]);
      assertEquals(attributes.datagrams_from_client, sizes.length);
      assertEquals(attributes.datagrams_from_server, sizes.length);
      assertEquals([attributes.datagram_bytes_from_client, attributes.bytes_from_server], [bytes, bytes]);
      const [passed] = proxy.of("http3_passthrough");
      assertEquals(passed!.attributes, { hint: "connect_udp", prior_action: "intercept" });
      const [decision] = proxy.of("connect_decision");
      assertEquals(decision!.attributes, { action: "tunnel", reason: "http3" });
    })
  );
});

Deno.test("CONNECT-UDP reaches a server by its name and by an IPv6 address", async () => {
  await withUdpServer(
    (server) =>
      withProxy({}, async (proxy) => {
        const tunnel = await connectUdp(proxy, "::1", server.port);
        await tunnel.send(Uint8Array.of(1, 2, 3));
        assertEquals(await tunnel.receive(), Uint8Array.of(1, 2, 3));
        assertEquals(proxy.of("connect_received")[0]!.attributes.authority, `[::1]:${server.port}`);
      }),
    undefined,
    6,
  );
  await withUdpServer((server) =>
    withProxy({}, async (proxy) => {
      const tunnel = await connectUdp(proxy, "localhost", server.port);
      // Where localhost is an IPv6 address first, nobody listens there: a datagram is lost, as datagrams are.
      const answered = tunnel.receive();
      await tunnel.send(Uint8Array.of(7));
      const { attributes } = proxy.of("connect_received")[0]!;
      assertEquals(attributes.authority, `localhost:${server.port}`);
      tunnel.connection.end();
      await answered.catch(() => {});
      await proxy.closed(1);
    })
  );
});

Deno.test("only the target's own datagrams reach the client of a CONNECT-UDP", async () => {
  const stranger = dgram.createSocket("udp4");
  await withUdpServer((server) =>
    withProxy({}, async (proxy) => {
      const tunnel = await connectUdp(proxy, "127.0.0.1", server.port);
      await tunnel.send(Uint8Array.of(1));
      assertEquals(await tunnel.receive(), Uint8Array.of(9));
      tunnel.connection.end();
      assertEquals((await proxy.closed(1)).attributes.datagrams_from_server, 1);
    }), (_data, answer, from) =>
    // Another socket answers first, and the target when that is out.
    stranger.send(Uint8Array.of(66), from.port, from.address, () => answer(Uint8Array.of(9))));
  await new Promise<void>((resolve) => stranger.close(() => resolve()));
});

Deno.test("a blocked CONNECT-UDP is answered 403 and no datagram is sent", async () => {
  await withUdpServer((server) =>
    withProxy({ settings: { policy: { block_hosts: ["127.0.0.1"] } } }, async (proxy) => {
      const connection = await proxy.connect();
      await connection.write(request("127.0.0.1", server.port));
      await connection.write(datagramCapsule(Uint8Array.of(1)));
      assert((await connection.readThrough("\r\n\r\n")).startsWith("HTTP/1.1 403 "));
      connection.end();
      const { attributes } = await proxy.closed(1);
      assertEquals([attributes.reason_code, server.received], ["blocked", 0]);
    })
  );
});

Deno.test("CONNECT-UDP to the proxy itself is answered 508, and to a name that is none 502", async () => {
  await withProxy({}, async (proxy) => {
    for (
      const [host, port, status] of [["127.0.0.1", proxy.port, "508"], ["a.invalid", 443, "502"]] as const
    ) {
      const connection = await proxy.connect();
      await connection.write(request(host, port));
      assertEquals((await connection.readThrough("\r\n\r\n")).split(" ")[1], status);
    }
  });
});

Deno.test("a CONNECT-UDP over which nothing passes ends after timeouts.tunnel_idle", async () => {
  await withUdpServer((server) =>
    withProxy({ settings: { timeouts: { tunnel_idle: "30ms" } } }, async (proxy) => {
      const tunnel = await connectUdp(proxy, "127.0.0.1", server.port);
      assertEquals((await tunnel.connection.readAll()).length, 0);
      assertEquals((await proxy.closed(1)).attributes.reason_code, "idle_timeout");
    })
  );
});

Deno.test("datagrams for a client that does not read are dropped and counted, and no memory is kept for them", async () => {
  // More than the system holds for a connection on its way.
  const answers = 1000;
  const answer = new Uint8Array(30_000);
  const { promise: all, resolve } = Promise.withResolvers<void>();
  await withUdpServer((server) =>
    withProxy({}, async (proxy) => {
      const tunnel = await connectUdp(proxy, "127.0.0.1", server.port);
      tunnel.connection.socket.pause();
      const asks = () => tunnel.send(Uint8Array.of(1));
      // The next one is asked for when the server has answered this one.
      server.socket.on("message", () => server.received < answers ? void asks() : resolve());
      await asks();
      await all;
      assert(proxy.mitm.counters.inFlightBytes < 1024 * 1024);
      tunnel.connection.socket.destroy();
      const { attributes } = await proxy.closed(1);
      assert((attributes.datagrams_dropped_from_server as number) > 0, JSON.stringify(attributes));
      assertEquals(attributes.datagrams_dropped_from_client, 0);
    }), (_data, reply) => reply(answer));
});
