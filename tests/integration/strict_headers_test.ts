import { assert, assertEquals } from "@std/assert";
import { encodeHeaders } from "../../src/http2/frame_writer.ts";
import { makeAuthority } from "../support/certificates.ts";
import { latin1 } from "../support/golden.ts";
import { connectThrough, Http2Peer, startRawHttp2Origin } from "../support/http2_peer.ts";
import { type Connection, startRawOrigin } from "../support/origin.ts";
import { type TestProxy, withProxy } from "../support/proxy.ts";

const authority = makeAuthority();
const certificate = authority.issue({ names: ["localhost", "127.0.0.1"] });
const LENIENT = [{ id: "lenient", hosts: ["localhost"], strict_headers: false }];

async function withOverrides(
  overrides: readonly Readonly<Record<string, unknown>>[],
  work: (proxy: TestProxy) => Promise<void>,
): Promise<void> {
  const bundle = await Deno.makeTempFile({ suffix: ".crt" });
  await Deno.writeTextFile(bundle, authority.certPem);
  try {
    await withProxy({ settings: { tls: { upstream_ca_bundle: bundle }, overrides } }, work);
  } finally {
    await Deno.remove(bundle);
  }
}

const REQUEST = (host: string, target = "/") =>
  `GET ${target} HTTP/1.1\r\nHost: ${host}\r\nX-Token: \x01\x7f\r\n\r\n`;
const RESPONSE = "HTTP/1.1 200 OK\nX-Long: a\n  b\nX-Odd : c\nContent-Length: 2\n\nok";
const TOLERATED = ["bare_lf", "obs_fold", "whitespace_before_colon"];

/** An origin that says `RESPONSE` and what it was asked, once for each connection. */
async function startOdd(secure: boolean): Promise<{ port: number; asked: string[]; close(): Promise<void> }> {
  const asked: string[] = [];
  const { port, close } = await startRawOrigin(async (connection: Connection) => {
    asked.push(await connection.readThrough("\r\n\r\n"));
    await connection.write(RESPONSE);
  }, secure ? { certificate } : {});
  return { port, asked, close };
}

Deno.test("strict_headers = false lets HTTP/1.1 through for its hosts alone, says what, and changes no octet", async () => {
  const [secure, plain] = [await startOdd(true), await startOdd(false)];
  await withOverrides(LENIENT, async (proxy) => {
    const client = await proxy.tls(`localhost:${secure.port}`);
    await client.write(REQUEST("localhost"));
    assertEquals(new TextDecoder("latin1").decode(await client.readAll()), RESPONSE);
    const forwarded = await proxy.connect();
    const host = `localhost:${plain.port}`;
    await forwarded.write(REQUEST(host, `http://${host}/`));
    assertEquals(new TextDecoder("latin1").decode(await forwarded.readAll()), RESPONSE);
    for (const flow of [1, 2]) {
      assertEquals((await proxy.closed(flow)).attributes.reason_code, "complete");
      assertEquals(proxy.of("connect_decision", flow)[0]!.attributes.override_id, "lenient");
      const [request] = proxy.of("request_headers", flow);
      const [response] = proxy.of("response_headers", flow);
      assertEquals(request!.attributes.tolerated, ["control_byte"]);
      assertEquals([...response!.attributes.tolerated as string[]].sort(), TOLERATED);
      assertEquals(response!.attributes.headers, [
        ["X-Long", "a b"],
        ["X-Odd", "c"],
        ["Content-Length", "2"],
      ]);
    }
    assertEquals(secure.asked, [REQUEST("localhost")]);
    assertEquals(plain.asked, [REQUEST(host)]);

    // The same servers by another name, which no override speaks of.
    const other = await proxy.connect();
    const address = `127.0.0.1:${plain.port}`;
    await other.write(REQUEST(address, `http://${address}/`));
    assert((await other.readThrough("\r\n\r\n")).startsWith("HTTP/1.1 400 "));
    const [refused] = proxy.of("exchange_completed", 3);
    assertEquals([refused!.attributes.outcome, refused!.attributes.error_code], [
      "protocol_error",
      "control_byte",
    ]);
    const strict = await proxy.tls(`127.0.0.1:${secure.port}`);
    await strict.write("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    assert((await strict.readThrough("\r\n\r\n")).startsWith("HTTP/1.1 502 "));
    assertEquals(plain.asked.length, 1);
  });
  await secure.close();
  await plain.close();
});

Deno.test("strict_headers = false never lets a request through that could smuggle another", async () => {
  const origin = await startOdd(true);
  await withOverrides(LENIENT, async (proxy) => {
    for (
      const line of [
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding : chunked",
        "X: y\r\n Transfer-Encoding: chunked",
        "X: y\nTransfer-Encoding: chunked",
      ]
    ) {
      const client = await proxy.tls(`localhost:${origin.port}`);
      await client.write(
        `POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n${line}\r\n\r\n0\r\n\r\n`,
      );
      assert((await client.readThrough("\r\n\r\n")).startsWith("HTTP/1.1 400 "), line);
    }
    assertEquals(origin.asked, []);
  });
  await origin.close();
});

/** GET https / localhost, of the static table but for the authority. */
const GET_H2 = "\x82\x87\x84\x41\x09localhost";

function field(name: string, value: string): string {
  return `\x40${String.fromCharCode(name.length)}${name}${String.fromCharCode(value.length)}${value}`;
}

Deno.test("strict_headers = false lets white space and connection fields of HTTP/2 through on both sides", async () => {
  const origin = await startRawHttp2Origin(certificate, {
    onHeard: ({ type, streamId }, peer) => {
      if (type !== "HEADERS") return;
      const block = "\x88" + field("x-b", "b ") + field("connection", "keep-alive");
      peer.send(encodeHeaders(streamId, latin1(block), { endStream: true }));
    },
  });
  const ask = async (proxy: TestProxy) => {
    const socket = await connectThrough(proxy, origin.port, proxy.caCertPem);
    const client = new Http2Peer(socket, "client");
    client.send(encodeHeaders(1, latin1(GET_H2 + field("x-a", " a")), { endStream: true }));
    await client.until(() => client.heard.some((said) => / 1( |$)/.test(said)));
    const said = client.heard.find((said) => / 1( |$)/.test(said));
    client.close();
    await proxy.closed(1);
    return said;
  };
  await withOverrides(LENIENT, async (proxy) => {
    assertEquals(await ask(proxy), "HEADERS 1 :status=200 x-b=b  connection=keep-alive");
    const server = await origin.next();
    assert(server.heard.some((said) => said.endsWith(" x-a= a")), server.heard.join("\n"));
    assertEquals(proxy.of("connect_decision", 1)[0]!.attributes.override_id, "lenient");
    assertEquals(proxy.of("request_headers")[0]!.attributes.tolerated, ["invalid_field_value"]);
    assertEquals(proxy.of("response_headers")[0]!.attributes.tolerated, [
      "invalid_field_value",
      "connection_specific_field",
    ]);
  });
  await withOverrides([], async (proxy) => {
    assertEquals(await ask(proxy), "RST_STREAM 1 PROTOCOL_ERROR");
  });
  await origin.close();
});
