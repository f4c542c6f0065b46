import { assertEquals } from "@std/assert";
import { Handshakes } from "../../src/proxy/handshakes.ts";
import { ClientHelloReader } from "../../src/tls/client_hello.ts";
import { alpn, clientHello, serverName } from "../tls/hello_builder.ts";

function handshakes(name: string | null, offered: readonly string[], tls: boolean | null = null): Handshakes {
  const bytes = clientHello({
    extensions: [...(name === null ? [] : [serverName(name)]), alpn(...offered)],
  });
  const read = new ClientHelloReader().push(bytes);
  if (read.type !== "hello") throw new Error(read.type);
  const origin = tls === null ? null : { authority: { host: "o.test", port: 1 }, tls };
  return new Handshakes({ hello: read.hello, preread: bytes, targetHost: "o.test", origin });
}

Deno.test("Handshakes: the names are the client's, but a reverse listener's server is verified for its own", () => {
  const names = ({ serverName, leafName }: Handshakes) => [serverName, leafName];
  assertEquals(names(handshakes("a.test", ["h2"])), ["a.test", "a.test"]);
  assertEquals(names(handshakes(null, ["h2"])), ["o.test", "o.test"]);
  assertEquals(names(handshakes("a.test", ["h2"], true)), ["o.test", "a.test"]);
});

Deno.test("Handshakes.settleOffers leaves out what is not served, and tells where nothing is left", () => {
  const both = handshakes("a.test", ["h2", "http/1.1"]);
  assertEquals([both.settleOffers(true), both.offers, both.offeredAll], [null, ["h2", "http/1.1"], true]);
  assertEquals([both.settleOffers(false), both.offers, both.offeredAll], [null, ["http/1.1"], false]);
  assertEquals(handshakes("a.test", ["h2"]).settleOffers(false), "the client offers only h2");
  const plain = handshakes("a.test", ["h2", "http/1.1"], false);
  assertEquals([plain.settleOffers(true), plain.chosen], [null, ["http/1.1"]]);
  assertEquals(handshakes("a.test", ["h3"], false).settleOffers(true), null);
});

Deno.test("Handshakes of a client in the clear offer the server what that client speaks", () => {
  const origin = { authority: { host: "o.test", port: 1 }, tls: true };
  const clear = new Handshakes({ hello: null, preread: new Uint8Array(0), targetHost: "o.test", origin });
  clear.offer("h2");
  assertEquals([clear.offers, clear.serverName, clear.offeredAll], [["h2"], "o.test", false]);
});

Deno.test("Handshakes gives the bytes of the hello away once, and keeps nothing of them", () => {
  const bytes = clientHello();
  const read = new ClientHelloReader().push(bytes);
  if (read.type !== "hello") throw new Error(read.type);
  const handshakes = new Handshakes({
    hello: read.hello,
    preread: bytes,
    targetHost: "o.test",
    origin: null,
  });
  assertEquals([handshakes.preread, handshakes.takePreread()], [bytes, bytes]);
  assertEquals([handshakes.preread.length, handshakes.takePreread().length], [0, 0]);
});
