import { assertEquals, assertStringIncludes } from "@std/assert";
import type { Secured, TransportFault } from "../../src/core/session.ts";
import type { Conn } from "../../src/runtime/conn.ts";
import { join, latin1, textOf, veil } from "../../src/sim/bytes.ts";
import { SimClock } from "../../src/sim/clock.ts";
import { clientHello } from "../../src/sim/hello.ts";
import { CALM, Link } from "../../src/sim/link.ts";
import { Random } from "../../src/sim/random.ts";
import { Peer } from "../../src/sim/script.ts";
import { secureClientSide, secureServerSide, tlsLine } from "../../src/sim/tls.ts";
import { ClientHelloReader } from "../../src/tls/client_hello.ts";

const SECOND = 1_000_000_000;
const HELLO = clientHello({ sni: "a.test", alpn: ["http/1.1"] }, new Random(1));

/** The proxy's end of a link and the peer at the other, and how the handshake ended. */
function setup() {
  const clock = new SimClock();
  const link = new Link(clock, new Random(4), CALM);
  const ended: { conn?: Conn; info?: Secured; fault?: TransportFault } = {};
  const callbacks = {
    abandoned: () => {},
    secured: (conn: Conn, info: Secured) => void Object.assign(ended, { conn, info }),
    failed: (fault: TransportFault) => void Object.assign(ended, { fault }),
  };
  const world = { clock, random: new Random(5), tap: null };
  return { clock, raw: link.server, peer: new Peer(clock, link.client), ended, callbacks, world };
}

Deno.test("clientHello is read by the real reader, in one record or many", () => {
  for (const recordBytesMax of [16_384, 40]) {
    const read = new ClientHelloReader().push(
      clientHello({ sni: "a.test", alpn: ["h2", "http/1.1"], recordBytesMax }, new Random(9)),
    );
    if (read.type !== "hello") throw new Error(read.type);
    assertEquals([read.hello.sni, read.hello.alpn, read.hello.pqOffered], [
      "a.test",
      ["h2", "http/1.1"],
      true,
    ]);
    assertEquals(read.hello.versions, ["TLSv1.3", "TLSv1.2"]);
  }
});

Deno.test("veil is its own opposite and changes every octet", () => {
  const data = new Random(3).bytes(100);
  assertEquals(veil(veil(data)), data);
  assertEquals(veil(data).some((octet, index) => octet === data[index]), false);
});

Deno.test("the client's side is secured once the client has finished, and early bytes are not lost", async () => {
  const { clock, raw, peer, ended, callbacks, world } = setup();
  const wrong: string[] = [];
  secureClientSide(
    raw,
    { preread: HELLO, host: "a.test", alpn: ["http/1.1"], profile: "default" },
    callbacks,
    {
      ...world,
      hello: HELLO,
      mismatch: (detail) => wrong.push(detail),
    },
  );
  peer.play(peer.readLine(), (line) => assertEquals(line, "hello a.test http/1.1"));
  peer.end.write(join(tlsLine("finished"), veil(latin1("GET"))));
  await clock.run(SECOND);
  assertEquals([ended.info?.alpn, ended.info?.certCache, wrong], ["http/1.1", "miss", []]);
  let heard = "";
  ended.conn!.handler = { ...ended.conn!.handler, onData: (data) => heard += textOf(data) };
  peer.end.write(veil(latin1(" /")));
  ended.conn!.write(latin1("HTTP"));
  await clock.run(2 * SECOND);
  assertEquals(heard, " /");
});

Deno.test("a hello that does not come back whole is noticed", () => {
  const { raw, callbacks, world } = setup();
  const wrong: string[] = [];
  for (const preread of [HELLO.subarray(1), HELLO.subarray(0, 40), new Uint8Array(0)]) {
    secureClientSide(raw, { preread, host: "a.test", alpn: [], profile: "default" }, callbacks, {
      ...world,
      hello: HELLO,
      mismatch: (detail) => wrong.push(detail),
    });
  }
  assertEquals(wrong.length, 3);
});

Deno.test("the server's side asks for host and protocols, and fails by alert, rubbish, end or reset", async () => {
  const good = setup();
  secureServerSide(
    good.raw,
    { host: "a.test", port: 443, alpn: ["http/1.1"], profile: "default", verify: true, overrideId: null },
    good.callbacks,
    good.world,
  );
  good.peer.play(good.peer.readLine(), (line) => assertEquals(line, "hello a.test http/1.1"));
  good.peer.end.write(tlsLine("hello", "-"));
  await good.clock.run(SECOND);
  assertEquals(good.ended.info?.alpn, null);

  const failing: readonly (readonly [(peer: Peer) => void, string])[] = [
    [(peer) => peer.end.write(tlsLine("alert", "CERT_HAS_EXPIRED")), "CERT_HAS_EXPIRED"],
    [(peer) => peer.end.write(latin1("HTTP/1.1 400\r\n")), "ERR_SSL_UNEXPECTED_MESSAGE"],
    [(peer) => peer.end.write(new Uint8Array(2_000)), "ERR_SSL_UNEXPECTED_MESSAGE"],
    [(peer) => peer.end.end(), "ECONNRESET"],
    [(peer) => peer.end.reset(), "ECONNRESET"],
  ];
  for (const [act, code] of failing) {
    const { clock, raw, peer, ended, callbacks, world } = setup();
    secureServerSide(
      raw,
      { host: "a.test", port: 443, alpn: [], profile: "default", verify: true, overrideId: null },
      callbacks,
      world,
    );
    act(peer);
    await clock.run(SECOND);
    assertStringIncludes(ended.fault!.code, code);
    assertEquals([raw.isClosed, ended.conn], [true, undefined]);
  }
});

Deno.test("a cancelled handshake closes its connection and calls nobody", async () => {
  const { clock, raw, peer, ended, callbacks, world } = setup();
  const cancel = secureServerSide(
    raw,
    { host: "a.test", port: 443, alpn: [], profile: "default", verify: true, overrideId: null },
    callbacks,
    world,
  );
  cancel();
  peer.end.write(tlsLine("hello", "-"));
  await clock.run(SECOND);
  assertEquals([raw.isClosed, ended], [true, {}]);
});
