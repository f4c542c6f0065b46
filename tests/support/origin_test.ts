import { assertEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import * as net from "node:net";
import * as tls from "node:tls";
import { makeAuthority, makeSelfSigned } from "./certificates.ts";
import { patternBytes, sha256Hex, startHttpOrigin, startRawOrigin } from "./origin.ts";

function exchange(port: number, bytes: string, end = true): Promise<string> {
  return new Promise((resolve) => {
    const parts: Buffer[] = [];
    const socket = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true }, () => {
      if (end) socket.end(Buffer.from(bytes, "latin1"));
      else socket.write(Buffer.from(bytes, "latin1"));
    });
    socket.on("data", (data: Buffer) => parts.push(data));
    socket.on("error", () => parts.push(Buffer.from("<reset>")));
    socket.on("close", () => resolve(Buffer.concat(parts).toString("latin1")));
    socket.on("end", () => socket.end());
  });
}

Deno.test("startHttpOrigin answers pipelined requests in order and records their field lines as they came", async () => {
  const origin = await startHttpOrigin();
  try {
    const text = await exchange(
      origin.port,
      "POST /echo HTTP/1.1\r\nhOST: a\r\nContent-Length: 3\r\n\r\nabc" +
        "HEAD /bytes/5 HTTP/1.1\r\nHost: a\r\n\r\n" +
        "POST /digest HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n2\r\nhi\r\n0\r\nX: y\r\n\r\n" +
        "GET /last HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assertEquals(
      text,
      "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 3\r\n\r\nabc" +
        "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 5\r\n\r\n" +
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 87\r\n\r\n" +
        `{"bytes":2,"sha256":"${sha256Hex(Buffer.from("hi"))}"}` +
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nlast\n",
    );
    assertEquals(origin.requests[0]?.fields, [["hOST", "a"], ["Content-Length", "3"]]);
    assertEquals(origin.connections(), 1);
  } finally {
    await origin.close();
  }
});

Deno.test("startHttpOrigin frames by chunks with trailers, by close, by truncation and by reset", async () => {
  const origin = await startHttpOrigin();
  const get = (path: string, end = true) =>
    exchange(origin.port, `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`, end);
  try {
    assertEquals(
      (await get("/trailers")).split("\r\n\r\n")[1],
      "5\r\nwith \r\n5\r\ntrail\r\n4\r\ners\n\r\n0\r\nX-Checksum: abc\r\nX-Count: 14",
    );
    const closed = await get("/close/300", false);
    assertEquals(
      closed.slice(closed.indexOf("\r\n\r\n") + 4),
      Buffer.from(patternBytes(300)).toString("latin1"),
    );
    assertEquals((await get("/truncate", false)).endsWith("<reset>"), false);
    assertEquals((await get("/reset", false)).endsWith("<reset>"), true);
    const gated = get("/gate/one");
    origin.release("one");
    assertEquals((await gated).endsWith("firstfinal"), true);
  } finally {
    await origin.close();
  }
});

Deno.test("startRawOrigin serves TLS with a certificate made at run time, and only its own root vouches for it", async () => {
  const authority = makeAuthority();
  const certificate = authority.issue({ names: ["localhost", "127.0.0.1", "::1"] });
  const origin = await startRawOrigin(async (connection) => {
    await connection.write(await connection.readThrough("\n"));
    connection.end();
  }, { certificate });
  const ask = (ca: string) =>
    new Promise<string>((resolve) => {
      const socket = tls.connect(
        { port: origin.port, host: "127.0.0.1", ca },
        () => socket.write("ping\n"),
      );
      socket.on("data", (data: Buffer) => resolve(data.toString()));
      socket.on("error", (error: Error & { code?: string }) => resolve(error.code ?? error.message));
    });
  try {
    assertEquals(await ask(authority.certPem), "ping\n");
    const stranger = await ask(makeSelfSigned({ names: ["localhost"] }).certPem);
    assertEquals(stranger.includes("ping"), false);
  } finally {
    await origin.close();
  }
});
