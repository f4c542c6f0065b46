import { assertEquals } from "@std/assert";
import { notOffered, preferringHttp1, servedOffers } from "../../src/proxy/alpn.ts";

Deno.test("servedOffers passes on, in their order, the offers that can be served", () => {
  assertEquals(servedOffers(["h3", "h2", "http/1.1", "http/1.0"], true), ["h2", "http/1.1", "http/1.0"]);
  assertEquals(servedOffers(["h2", "http/1.1"], false), ["http/1.1"]);
  assertEquals(servedOffers(["h2"], false), []);
});

Deno.test("preferringHttp1 gives h2 only to a client that offers nothing else", () => {
  assertEquals(preferringHttp1(["h2", "http/1.1", "http/1.0"]), ["http/1.1", "http/1.0"]);
  assertEquals(preferringHttp1(["h2"]), ["h2"]);
  assertEquals(preferringHttp1([]), []);
});

Deno.test("notOffered names a protocol that the client does not offer", () => {
  assertEquals(notOffered(["h2"]), "http/1.1");
  assertEquals(notOffered(["http/1.1"]), "h2");
  assertEquals(notOffered(["h2", "http/1.1"]), "none");
});
