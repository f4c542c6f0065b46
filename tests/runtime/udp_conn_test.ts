import { assertEquals } from "@std/assert";
import dgram from "node:dgram";
import type { TransportFault } from "../../src/core/session.ts";
import { type Conn, IGNORE_EVENTS } from "../../src/runtime/conn.ts";
import { openUdp } from "../../src/runtime/udp_conn.ts";

/** A socket that keeps what comes. */
async function withPeer(
  work: (peer: { port: number; socket: dgram.Socket; received: Uint8Array[] }) => Promise<void>,
): Promise<void> {
  const socket = dgram.createSocket("udp4");
  const received: Uint8Array[] = [];
  socket.on("message", (data) => received.push(new Uint8Array(data)));
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  try {
    await work({ port: socket.address().port, socket, received });
  } finally {
    await new Promise<void>((resolve) => socket.close(() => resolve()));
  }
}

function opened(port: number): Promise<Conn> {
  return new Promise((resolve, reject) =>
    openUdp({ address: "127.0.0.1", family: 4 }, port, {
      opened: resolve,
      failed: ({ detail }) => reject(new Error(detail)),
    })
  );
}

function closed(conn: Conn): Promise<void> {
  return new Promise((resolve) => conn.handler = { ...IGNORE_EVENTS, onClosed: resolve });
}

Deno.test("each write of a UDP connection is one datagram, and what is pending goes out before it closes", async () => {
  await withPeer(async ({ port, socket, received }) => {
    const conn = await opened(port);
    const data = Uint8Array.of(1, 2, 3);
    const all = new Promise<void>((resolve) =>
      socket.on("message", () => {
        if (received.length === 3) resolve();
      })
    );
    conn.write(data);
    // The memory is the caller's again.
    data.fill(9);
    conn.write(new Uint8Array(0));
    conn.write(Uint8Array.of(4));
    assertEquals(conn.pendingBytes, 4);
    const gone = closed(conn);
    conn.end();
    conn.write(Uint8Array.of(5));
    await Promise.all([all, gone]);
    assertEquals(received, [Uint8Array.of(1, 2, 3), new Uint8Array(0), Uint8Array.of(4)]);
    conn.destroy();
  });
});

Deno.test("a UDP connection is congested while too much is pending, and says when that is over", async () => {
  await withPeer(async ({ port }) => {
    const conn = await opened(port);
    const drained = new Promise<void>((resolve) => conn.handler = { ...IGNORE_EVENTS, onDrain: resolve });
    conn.write(new Uint8Array(60_000));
    assertEquals(conn.congested, false);
    conn.write(new Uint8Array(10_000));
    assertEquals(conn.congested, true);
    await drained;
    assertEquals([conn.congested, conn.pendingBytes], [false, 0]);
    const gone = closed(conn);
    conn.reset();
    await gone;
  });
});

Deno.test("a datagram that the system refuses is lost, and the UDP connection goes on", async () => {
  await withPeer(async ({ port, socket }) => {
    const conn = await opened(port);
    const came = new Promise<Uint8Array>((resolve) => socket.once("message", resolve));
    let faults = 0;
    conn.handler = { ...IGNORE_EVENTS, onFault: () => faults++ };
    conn.write(new Uint8Array(65_527));
    conn.write(Uint8Array.of(1));
    assertEquals((await came).length, 1);
    assertEquals(faults, 0);
    const gone = closed(conn);
    conn.destroy();
    await gone;
  });
});

Deno.test("a UDP connection hears its peer alone", async () => {
  const stranger = dgram.createSocket("udp4");
  await withPeer(async ({ port, socket }) => {
    const conn = await opened(port);
    const heard: number[] = [];
    const done = new Promise<void>((resolve) =>
      conn.handler = {
        ...IGNORE_EVENTS,
        onData: (data) => {
          heard.push(data[0]!);
          resolve();
        },
      }
    );
    socket.once("message", (_, from) => {
      stranger.send(Uint8Array.of(66), from.port, "127.0.0.1", () => {
        socket.send(Uint8Array.of(1), from.port, "127.0.0.1");
      });
    });
    conn.write(Uint8Array.of(0));
    await done;
    assertEquals(heard, [1]);
    const gone = closed(conn);
    conn.destroy();
    await gone;
  });
  await new Promise<void>((resolve) => stranger.close(() => resolve()));
});

Deno.test("after a cancel nothing is heard of a UDP connection that was to be opened", async () => {
  await withPeer(async ({ port }) => {
    const calls: (Conn | TransportFault)[] = [];
    const note = (what: Conn | TransportFault) => void calls.push(what);
    openUdp({ address: "127.0.0.1", family: 4 }, port, { opened: note, failed: note })();
    const conn = await opened(port);
    const gone = closed(conn);
    conn.destroy();
    await gone;
    assertEquals(calls, []);
  });
});

Deno.test({
  name: "where UDP is not granted, the fault says which grant is missing",
  permissions: { net: ["127.0.0.1:1"] },
  fn: () => {
    const details: string[] = [];
    openUdp({ address: "127.0.0.1", family: 4 }, 1, {
      opened: () => {},
      failed: ({ detail }) => details.push(detail),
    });
    assertEquals(details, ["UDP needs --allow-net=0.0.0.0:0"]);
  },
});
