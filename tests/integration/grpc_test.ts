import { joinBytes } from "../../src/core/bytes.ts";
import { assertEquals } from "@std/assert";
import * as http2 from "node:http2";
import type { AddressInfo } from "node:net";
import type { LoggedEvent } from "../../mod.ts";
import { envelope, gzip } from "../observe/grpc/envelopes.ts";
import { makeAuthority } from "../support/certificates.ts";
import { type TestProxy, withProxy } from "../support/proxy.ts";

const authority = makeAuthority();
const certificate = authority.issue({ names: ["localhost"] });
const encoder = new TextEncoder();
const text = (content: string) => encoder.encode(content);

/** A server of four methods: one answers, one streams, one refuses in its head, one sends what is no message. */
async function startGrpcOrigin() {
  const server = http2.createSecureServer({ cert: certificate.certPem, key: certificate.keyPem });
  server.on("stream", (stream, headers) => {
    const method = String(headers[":path"]).split("/").at(-1);
    const head = { ":status": 200, "content-type": "application/grpc+proto" };
    stream.on("error", () => {});
    stream.resume();
    if (method === "Refuse") {
      stream.respond({ ...head, "grpc-status": "7", "grpc-message": "not%20you" }, { endStream: true });
      return;
    }
    stream.on("end", () => {
      stream.respond({ ...head, "grpc-encoding": "gzip" }, { waitForTrailers: true });
      stream.on("wantTrailers", () => {
        stream.sendTrailers(
          method === "Break"
            ? { "grpc-status": "13", "grpc-message": "broken %" }
            : { "grpc-status": "0", "grpc-status-details-bin": btoa("details") },
        );
      });
      if (method === "Get") {
        stream.end(envelope(1, gzip(text("an item"))));
        return;
      }
      if (method === "Break") {
        stream.end(joinBytes([envelope(0, text("fine")), text("<html>")]));
        return;
      }
      const messages = [text("first"), new Uint8Array(0), text("x".repeat(50_000)), text("last")];
      stream.end(
        joinBytes(
          messages.map((message, index) => index === 0 ? envelope(1, gzip(message)) : envelope(0, message)),
        ),
      );
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    close: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}

interface Answer {
  readonly content: Uint8Array;
  readonly status: string;
}

/** Calls in frames of so many octets. */
function call(
  session: http2.ClientHttp2Session,
  method: string,
  content: Uint8Array,
  frameBytes = content.length,
): Promise<Answer> {
  const stream = session.request({
    ":method": "POST",
    ":path": `/items.v1.Items/${method}`,
    "content-type": "application/grpc",
    "te": "trailers",
    "grpc-timeout": "5S",
    "grpc-encoding": "gzip",
    "grpc-accept-encoding": "gzip",
  });
  const parts: Uint8Array[] = [];
  let status = "";
  const readStatus = (fields: http2.IncomingHttpHeaders) => status = String(fields["grpc-status"] ?? status);
  stream.on("response", readStatus);
  stream.on("trailers", readStatus);
  stream.on("data", (part: Uint8Array) => parts.push(part.slice()));
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  stream.on("end", () => resolve({ content: joinBytes(parts), status }));
  stream.on("error", reject);
  for (let at = 0; at < content.length; at += frameBytes) stream.write(content.subarray(at, at + frameBytes));
  stream.end();
  return promise;
}

async function withCalls(work: (proxy: TestProxy, session: http2.ClientHttp2Session) => Promise<void>) {
  const origin = await startGrpcOrigin();
  const bundle = await Deno.makeTempFile({ suffix: ".crt" });
  await Deno.writeTextFile(bundle, authority.certPem);
  try {
    await withProxy({ settings: { tls: { upstream_ca_bundle: bundle } } }, async (proxy) => {
      const { socket } = await proxy.tls(`localhost:${origin.port}`, { ALPNProtocols: ["h2"] });
      socket.removeAllListeners("data");
      const session = http2.connect(`https://localhost:${origin.port}`, { createConnection: () => socket });
      await work(proxy, session);
      session.close();
      await proxy.closed(1);
    });
  } finally {
    await origin.close();
    await Deno.remove(bundle);
  }
}

/** What was said of one call, without what every event of it has. */
function said(proxy: TestProxy, exchangeId: number, kind: string): LoggedEvent["attributes"][] {
  return proxy.of(kind).filter(({ attributes }) => attributes["exchange_id"] === exchangeId).map((event) => {
    assertEquals([event.protocol, event.stream_key.slice(0, 3)], ["grpc", "h2:"]);
    const { exchange_id: _id, ...rest } = event.attributes;
    return rest;
  });
}

Deno.test("a unary call is told of from both sides, compressed messages decoded", async () => {
  await withCalls(async (proxy, session) => {
    const asked = envelope(1, gzip(text("which")));
    const { content, status } = await call(session, "Get", asked, 3);
    assertEquals([[...content], status], [[...envelope(1, gzip(text("an item")))], "0"]);
    await proxy.event(({ kind }) => kind === "exchange_completed");
    const heads = { accept_encodings: ["gzip"], encoding: "gzip", method: "Get", service: "items.v1.Items" };
    assertEquals(said(proxy, 1, "grpc_headers"), [
      { ...heads, content_subtype: null, direction: "request", timeout: "5S", timeout_ns: 5_000_000_000 },
      { ...heads, accept_encodings: [], content_subtype: "proto", direction: "response" },
    ]);
    const messages = [["request", "which"], ["response", "an item"]] as const;
    assertEquals(
      said(proxy, 1, "grpc_message"),
      messages.map(([direction, data]) => ({
        bytes: gzip(text(data)).length,
        compressed: true,
        data,
        decoded_bytes: data.length,
        direction,
        index: 0,
      })),
    );
    assertEquals(said(proxy, 1, "grpc_trailers"), [
      { details_bytes: 7, direction: "response", grpc_status: 0, grpc_status_name: "OK" },
    ]);
  });
});

Deno.test("a server's stream is told of message by message, across frames", async () => {
  await withCalls(async (proxy, session) => {
    const { status } = await call(session, "List", envelope(0, text("all")));
    assertEquals(status, "0");
    await proxy.event(({ kind }) => kind === "exchange_completed");
    const messages = said(proxy, 1, "grpc_message").filter(({ direction }) => direction === "response");
    assertEquals(messages.map(({ index, decoded_bytes, bytes }) => [index, decoded_bytes ?? bytes]), [
      ...[[0, 5], [1, 0], [2, 50_000], [3, 4]],
    ]);
    assertEquals(messages.map(({ data }) => String(data).slice(0, 5)), ["first", "", "xxxxx", "last"]);
  });
});

Deno.test("a call that is refused in its head is told of as trailers only", async () => {
  await withCalls(async (proxy, session) => {
    assertEquals((await call(session, "Refuse", envelope(0, text("please")))).status, "7");
    await proxy.event(({ kind }) => kind === "exchange_completed");
    assertEquals(said(proxy, 1, "grpc_trailers"), [{
      direction: "response",
      grpc_message: "not you",
      grpc_status: 7,
      grpc_status_name: "PERMISSION_DENIED",
      trailers_only: true,
    }]);
  });
});

Deno.test("what is no message is relayed all the same, told of, and the call's end with it", async () => {
  await withCalls(async (proxy, session) => {
    const { content, status } = await call(session, "Break", envelope(0, text("please")));
    assertEquals([new TextDecoder().decode(content.subarray(-6)), status], ["<html>", "13"]);
    const completed = await proxy.event(({ kind }) => kind === "exchange_completed");
    assertEquals(completed.attributes["outcome"], "complete");
    const [failed] = proxy.of("decoder_failed");
    assertEquals([failed?.attributes["stage"], failed?.attributes["reason"]], [
      "framing",
      "invalid_compressed_flag",
    ]);
    assertEquals(said(proxy, 1, "grpc_trailers")[0]?.["grpc_message"], "broken %");
    assertEquals(said(proxy, 1, "grpc_message").map(({ data }) => data), ["please", "fine"]);
  });
});

Deno.test("many long messages under way at once hold up neither each other nor the relay", async () => {
  await withCalls(async (proxy, session) => {
    // What is kept of them is more than limits.flow_buffer_bytes, and none is whole before all have begun.
    const asked = envelope(0, new Uint8Array(60_000).fill(0x61));
    const calls = Array.from({ length: 60 }, () => {
      const stream = session.request({
        ":method": "POST",
        ":path": "/items.v1.Items/List",
        "content-type": "application/grpc",
        "te": "trailers",
      });
      stream.resume();
      return stream;
    });
    await Promise.all(
      calls.map((stream) => new Promise((resolve) => stream.write(asked.subarray(0, 50_000), resolve))),
    );
    const over = calls.map((stream) => new Promise((resolve) => stream.on("close", resolve)));
    for (const stream of calls) stream.end(asked.subarray(50_000));
    await Promise.all(over);
    await proxy.event(({ kind, attributes }) =>
      kind === "exchange_completed" && attributes["exchange_id"] === 60
    );
    const messages = proxy.of("grpc_message").filter(({ attributes }) =>
      attributes["direction"] === "request"
    );
    assertEquals(messages.map(({ attributes }) => attributes["bytes"]), Array(60).fill(60_000));
    assertEquals(proxy.of("observer_stopped"), []);
  });
});
