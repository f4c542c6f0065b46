import { assertEquals, assertNotEquals } from "@std/assert";
import { createHash } from "node:crypto";
import { type ClientHello, ClientHelloReader } from "../../src/tls/client_hello.ts";
import { ja3, ja3Text, ja4, ja4Text, lastingJa4 } from "../../src/tls/fingerprint.ts";
import {
  alpn,
  clientHello,
  codes16,
  type HelloParts,
  serverName,
  supportedVersions,
  vector16,
  vector8,
} from "./hello_builder.ts";

const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");
const md5 = (text: string) => createHash("md5").update(text).digest("hex");

Deno.test("ja4 gives the worked example of its definition", () => {
  const hello = helloOf({
    cipherSuites: [
      ...[0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c],
      ...[0x009d, 0x002f, 0x0035],
    ],
    extensions: [
      [0x1b, []],
      serverName("example.com"),
      [0x33, []],
      alpn("h2", "http/1.1"),
      ...[0x4469, 0x17, 0x2d].map((type): [number, number[]] => [type, []]),
      codes16(0x0d, [0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601]),
      ...[0x05, 0x23, 0x12].map((type): [number, number[]] => [type, []]),
      supportedVersions(0x0304, 0x0303),
      ...[0xff01, 0x0b, 0x0a, 0x15].map((type): [number, number[]] => [type, []]),
    ],
  });
  assertEquals(ja4(hello, sha256, "t"), "t13d1516h2_8daaf6152771_e5627efa2ab1");
  assertEquals(
    ja4Text(hello, "t"),
    "t13d1516h2_002f,0035,009c,009d,1301,1302,1303,c013,c014,c02b,c02c,c02f,c030,cca8,cca9_" +
      "0005,000a,000b,000d,0012,0015,0017,001b,0023,002b,002d,0033,4469,ff01_" +
      "0403,0804,0401,0503,0805,0501,0806,0601",
  );
});

Deno.test("lastingJa4 is the JA4 without what comes and goes with a session, a cookie or padding", () => {
  const lasting: [number, number[]][] = [serverName("a.test"), alpn("h2"), supportedVersions(0x0304)];
  const of = (...more: [number, number[]][]) => {
    const hello = helloOf({ extensions: [...lasting, ...more] });
    return lastingJa4(hello, ja4(hello, sha256, "t"), sha256, "t");
  };
  const first = ja4(helloOf({ extensions: lasting }), sha256, "t");
  assertEquals(of(), first);
  for (const type of [0x29, 0x2a, 0x2c, 0x15]) {
    assertEquals(of([type, [0]]), first);
    assertNotEquals(ja4(helloOf({ extensions: [...lasting, [type, [0]]] }), sha256, "t"), first);
  }
  assertNotEquals(of([0x23, []]), first);
});

Deno.test("ja4 takes the ends of the first protocol, of its hex form when they are not alphanumeric", () => {
  const cases: readonly (readonly [protocol: string, characters: string])[] = [
    ["h2", "h2"],
    ["http/1.1", "h1"],
    ["x", "xx"],
    ["\xab", "ab"],
    ["\xab\xcd", "ad"],
    ["0\xab", "3b"],
    ["01\xab\xcd", "3d"],
    ["0\xab\xcd1", "01"],
    ["", "00"],
  ];
  for (const [protocol, characters] of cases) {
    const fingerprint = ja4(helloOf({ extensions: [alpn(protocol)] }), sha256, "t");
    assertEquals(fingerprint.slice(8, 10), characters, JSON.stringify(protocol));
  }
  assertEquals(ja4(helloOf({ extensions: [[16, vector16([])]] }), sha256, "t").slice(8, 10), "00");
});

Deno.test("ja4 names versions, counts to 99 and shows empty lists as zeros", () => {
  const versions: readonly (readonly [parts: HelloParts, version: string])[] = [
    [{ extensions: [supportedVersions(0x0303, 0x0304)] }, "13"],
    [{ legacyVersion: 0x0301, extensions: [supportedVersions(0x0a0a, 0x0303)] }, "12"],
    [{ legacyVersion: 0x0302 }, "11"],
    [{ legacyVersion: 0x0301 }, "10"],
    [{ legacyVersion: 0x0300 }, "s3"],
    [{ legacyVersion: 0x0002 }, "s2"],
    [{ legacyVersion: 0x0999 }, "00"],
  ];
  for (const [parts, version] of versions) {
    assertEquals(ja4(helloOf(parts), sha256, "t").slice(1, 3), version);
  }
  assertEquals(
    ja4(helloOf({ cipherSuites: [], extensions: null }), sha256, "t"),
    "t12i000000_000000000000_000000000000",
  );
  const many = Array.from({ length: 120 }, (_, at) => 0xc000 + at);
  const crowded = helloOf({
    cipherSuites: many,
    extensions: many.map((type): [number, number[]] => [type, []]),
  });
  assertEquals(ja4(crowded, sha256, "t").slice(0, 10), "t12i999900");
});

Deno.test("ja3 hashes the legacy version and the lists in the order of the wire", () => {
  const hello = helloOf({
    cipherSuites: [0x1a1a, 0x1302, 0x1301],
    extensions: [alpn("h2"), serverName("example.com"), codes16(10, [0x2a2a, 29, 23]), [11, vector8([0])]],
  });
  assertEquals(ja3Text(hello), "771,4866-4865,16-0-10-11,29-23,0");
  assertEquals(ja3(hello, md5), md5("771,4866-4865,16-0-10-11,29-23,0"));
  assertEquals(ja3Text(helloOf({ cipherSuites: [], extensions: null })), "771,,,,");
});

function helloOf(parts: HelloParts): ClientHello {
  const result = new ClientHelloReader().push(clientHello(parts));
  if (result.type !== "hello") throw new Error(JSON.stringify(result));
  return result.hello;
}
