import { assertEquals } from "@std/assert";
import type { LoggedEvent } from "../../src/core/event.ts";
import {
  fieldLinesOf,
  numberOf,
  octetsOf,
  optionalNumber,
  serverOf,
  textOf,
  urlOf,
} from "../../src/log/event_attributes.ts";

Deno.test("attributes that are not of their type read as nothing", () => {
  assertEquals([textOf(1), textOf(undefined), textOf("x")], ["", "", "x"]);
  assertEquals([numberOf("1"), numberOf(2), optionalNumber(null), optionalNumber(0)], [0, 2, null, 0]);
  assertEquals(fieldLinesOf([["a", "b"], ["c"], 7, ["d", 1], ["e", ""]]), [["a", "b"], ["e", ""]]);
  assertEquals([fieldLinesOf({}), fieldLinesOf("a")], [[], []]);
});

Deno.test("octetsOf gives captured octets in either form, and null for none", () => {
  assertEquals(octetsOf({ attributes: { data: "é" } }), new Uint8Array([0xc3, 0xa9]));
  assertEquals(octetsOf({ attributes: { data_base64: "/w==" } }), new Uint8Array([0xff]));
  assertEquals(octetsOf({ attributes: { data_base64: "no base64!" } }), null);
  assertEquals(octetsOf({ attributes: { bytes: 3 } }), null);
});

Deno.test("urlOf and serverOf say where a request goes", () => {
  const of = { authority: "a.test:8443", scheme: "https" };
  assertEquals(urlOf({ ...of, target: "/x?y" }), "https://a.test:8443/x?y");
  assertEquals(urlOf({ ...of, target: "*" }), "https://a.test:8443*");
  assertEquals(urlOf({ ...of, target: "http://b.test/" }), "http://b.test/");
  const server = (server_host: string | null) => serverOf({ server_host, server_port: 443 } as LoggedEvent);
  assertEquals([server("::1"), server("a.test"), server(null)], ["[::1]:443", "a.test:443", "-"]);
});
