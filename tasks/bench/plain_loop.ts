/**
 * Baseline of the benchmark: the least a tunnel can do. CONNECT is read crudely, then each direction is a
 * loop of read and write; no limits, no timeouts, no log.
 *
 *     deno run --allow-net tasks/bench/plain_loop.ts
 *
 * Prints its port; ends when standard input does.
 */
import { ESTABLISHED, readConnectHead } from "./connect_head.ts";

const BUFFER_BYTES = 64 << 10;

async function pump(from: Deno.Conn, to: Deno.Conn): Promise<void> {
  const buffer = new Uint8Array(BUFFER_BYTES);
  try {
    for (;;) {
      const count = await from.read(buffer);
      if (count === null) break;
      await writeAll(to, buffer.subarray(0, count));
    }
    await to.closeWrite();
  } catch {
    // A peer that is gone ends the tunnel.
    closeQuietly(to);
  }
}

async function writeAll(to: Deno.Conn, data: Uint8Array): Promise<void> {
  for (let written = 0; written < data.length;) written += await to.write(data.subarray(written));
}

function closeQuietly(conn: Deno.Conn): void {
  try {
    conn.close();
  } catch {
    // Closed already.
  }
}

async function serve(client: Deno.TcpConn): Promise<void> {
  client.setNoDelay(true);
  let server: Deno.TcpConn | null = null;
  try {
    const buffer = new Uint8Array(4096);
    let filled = 0;
    let head = null;
    while (head === null) {
      const count = await client.read(buffer.subarray(filled));
      if (count === null) return;
      filled += count;
      head = readConnectHead(buffer.subarray(0, filled));
    }
    server = await Deno.connect({ hostname: head.hostname, port: head.port });
    server.setNoDelay(true);
    await writeAll(client, ESTABLISHED);
    if (head.rest.length > 0) await writeAll(server, head.rest);
    await Promise.all([pump(client, server), pump(server, client)]);
  } catch {
    // A baseline has nobody to tell.
  } finally {
    closeQuietly(client);
    if (server !== null) closeQuietly(server);
  }
}

async function main(): Promise<void> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  console.log(JSON.stringify({ port: listener.addr.port }));
  Deno.stdin.readable.pipeTo(new WritableStream()).then(() => Deno.exit(0));
  for await (const client of listener) void serve(client);
}

if (import.meta.main) await main();
