import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  CLIENT_HELLO_BYTES_MAX,
  type ClientHello,
  ClientHelloReader,
  type ClientHelloResult,
} from "../../src/tls/client_hello.ts";
import {
  alpn,
  ascii,
  clientHello,
  clientHelloMessage,
  codes16,
  type HelloParts,
  inRecords,
  serverName,
  supportedVersions,
  uint16,
  vector16,
  vector8,
} from "./hello_builder.ts";

const MORE: ClientHelloResult = { type: "more" };

Deno.test("ClientHelloReader reads what a client offers, GREASE left out", () => {
  const hello = helloOf({
    cipherSuites: [0x2a2a, 0x1301, 0xc02b],
    extensions: [
      [0x3a3a, []],
      serverName("WWW.Example.COM"),
      codes16(10, [0x4a4a, 0x11ec, 0x001d]),
      [11, vector8([0, 1])],
      codes16(13, [0x0403, 0x1a1a, 0x0804]),
      alpn("JJ", "h2", "http/1.1"),
      supportedVersions(0x5a5a, 0x0304, 0x0303, 0x7f1c),
      [
        51,
        vector16([
          ...uint16(0x6a6a),
          ...vector16([0]),
          ...uint16(0x11ec),
          ...vector16([1, 2]),
          ...uint16(29),
          ...vector16([]),
        ]),
      ],
      [0xfe0d, [0]],
      [0xfafa, [0]],
    ],
  });
  assertEquals(hello, {
    sni: "www.example.com",
    sniMalformed: false,
    alpn: ["h2", "http/1.1"],
    versions: ["TLSv1.3", "TLSv1.2", "0x7f1c"],
    supportedVersions: [0x0304, 0x0303, 0x7f1c],
    cipherSuites: [0x1301, 0xc02b],
    extensions: [0, 10, 11, 13, 16, 43, 51, 0xfe0d],
    groups: [0x11ec, 0x001d],
    keyShareGroups: [0x11ec, 29],
    pointFormats: [0, 1],
    signatureAlgorithms: [0x0403, 0x0804],
    pqOffered: true,
    echOffered: true,
    legacyVersion: 0x0303,
  });
});

Deno.test("ClientHelloReader reads hellos of old clients: no extensions at all, or none that it looks into", () => {
  const bare = helloOf({ legacyVersion: 0x0301, extensions: null });
  assertEquals([bare.versions, bare.sni, bare.sniMalformed, bare.alpn], [["TLSv1"], null, false, []]);
  assertEquals(helloOf({ legacyVersion: 0x0300, extensions: [] }).versions, ["SSLv3"]);
  assertEquals(helloOf({ legacyVersion: 0x0302, extensions: [[23, []]] }).versions, ["TLSv1.1"]);
  assertEquals(helloOf({ legacyVersion: 0x0303, extensions: [[23, []]] }).pqOffered, false);
});

Deno.test("ClientHelloReader takes host names from server_name and nothing else", () => {
  const names: readonly (readonly [written: string, sni: string | null, malformed: boolean])[] = [
    ["example.com", "example.com", false],
    ["EXAMPLE.com.", "example.com", false],
    ["xn--bcher-kva.example", "xn--bcher-kva.example", false],
    ["a_b.example", "a_b.example", false],
    ["localhost", "localhost", false],
    // Some clients put the address there; TLS stacks pass over it.
    ["192.0.2.1", null, false],
    ["2001:db8::1", null, false],
    ["example.com:443", null, true],
    ["", null, true],
    [".", null, true],
    ["a..b", null, true],
    [".example.com", null, true],
    ["-a.example", null, true],
    ["a-.example", null, true],
    ["exa mple.com", null, true],
    ["example.com\0.evil.example", null, true],
    ["bücher.example", null, true],
    ["*.example.com", null, true],
    ["1.2.3", null, true],
    [`${"a".repeat(63)}.example`, `${"a".repeat(63)}.example`, false],
    [`${"a".repeat(64)}.example`, null, true],
    [`${"a.".repeat(126)}b`, `${"a.".repeat(126)}b`, false],
    [`${"a.".repeat(126)}bc`, null, true],
  ];
  for (const [written, sni, malformed] of names) {
    const hello = helloOf({ extensions: [serverName(written)] });
    assertEquals([hello.sni, hello.sniMalformed], [sni, malformed], written);
  }
});

Deno.test("ClientHelloReader calls a server_name malformed when it is empty, unknown, doubled or torn", () => {
  const name = ascii("example.com");
  const contents: readonly number[][] = [
    [],
    vector16([]),
    [0, 0, 0],
    vector16([1, ...vector16(name)]),
    vector16([0, ...vector16(name), 0, ...vector16(name)]),
    vector16([0, ...vector16(name), 7]),
    vector16([0, 0, 99, ...name]),
    [...vector16([0, ...vector16(name)]), 1],
  ];
  for (const content of contents) {
    const hello = helloOf({ extensions: [[0, content]] });
    assertEquals([hello.sni, hello.sniMalformed], [null, true], JSON.stringify(content));
  }
  const twice = helloOf({ extensions: [serverName("a.example"), serverName("b.example")] });
  assertEquals([twice.sni, twice.sniMalformed], [null, true]);
});

Deno.test("ClientHelloReader counts an extension with a broken body as empty, and the first of two", () => {
  const hello = helloOf({
    extensions: [
      [10, [0, 3, 1, 2, 3]],
      [11, [9]],
      [13, vector16([1, 2, 3])],
      [16, vector16([9, 1])],
      [43, vector8([3])],
      [51, vector16([0, 29, 0, 9])],
    ],
  });
  assertEquals(hello.groups, []);
  assertEquals(hello.pointFormats, []);
  assertEquals(hello.signatureAlgorithms, []);
  assertEquals(hello.alpn, []);
  assertEquals(hello.supportedVersions, []);
  assertEquals(hello.keyShareGroups, []);
  assertEquals(helloOf({ extensions: [alpn("h2"), alpn("http/1.1")] }).alpn, ["h2"]);
});

Deno.test("ClientHelloReader knows the post-quantum groups, also the drafts", () => {
  for (const group of [0x0201, 0x11eb, 0x11ec, 0x11ed, 0x6399, 0x4138, 0xfe31]) {
    assert(helloOf({ extensions: [codes16(10, [29, group])] }).pqOffered, group.toString(16));
  }
  assert(!helloOf({ extensions: [codes16(10, [23, 24, 25, 29, 30, 256])] }).pqOffered);
});

Deno.test("ClientHelloReader says not_tls at the first byte that cannot begin a hello", () => {
  const starts: readonly number[][] = [
    [0x15],
    ascii("G"),
    [0x80],
    [0x16, 0x02],
    [0x16, 0x03, 0x05],
    [0x16, 0x03, 0x01, 0x41],
    [0x16, 0x03, 0x01, 0x40, 0x01],
    [0x16, 0x03, 0x01, 0x00, 0x00],
    [0x16, 0x03, 0x01, 0x00, 0x05, 0x02],
  ];
  for (const start of starts) {
    const reader = new ClientHelloReader();
    for (const [at, byte] of start.entries()) {
      assertEquals(
        reader.push(Uint8Array.of(byte)),
        at === start.length - 1 ? { type: "not_tls" } : MORE,
        `${start}`,
      );
    }
  }
});

Deno.test("ClientHelloReader says malformed when the message cannot be read", () => {
  const message = clientHelloMessage();
  const withBody = (body: readonly number[]) =>
    inRecords(Uint8Array.of(1, 0, body.length >> 8, body.length & 0xff, ...body));
  const start = [3, 3, ...new Array<number>(32).fill(0)];
  const inputs: readonly Uint8Array[] = [
    withBody([3, 3, 1]),
    withBody([...start, 33, ...new Array<number>(33).fill(0), 0, 2, 19, 1, 1, 0]),
    withBody([...start, 0, 0, 3, 1, 2, 3, 1, 0]),
    withBody([...start, 0, 0, 2, 19, 1, 1, 0, 0, 9, 0]),
    withBody([...start, 0, 0, 2, 19, 1, 1, 0, 0, 0, 7]),
    withBody([...start, 0, 0, 2, 19, 1, 1, 0, 0, 5, 0, 0, 0, 9, 9]),
    withBody([...start, 0, 0, 2, 19, 1, 1, 0, 0]),
    // The second record is an alert.
    Uint8Array.of(...inRecords(message.subarray(0, 9)), 0x15, 3, 1, 0, 2, 2, 40),
  ];
  for (const input of inputs) assertEquals(new ClientHelloReader().push(input).type, "malformed");
});

Deno.test("ClientHelloReader puts a hello together from records of any size and reads of any size", () => {
  const message = clientHelloMessage({ extensions: [serverName("split.example"), alpn("h2")] });
  const expected = new ClientHelloReader().push(inRecords(message));
  for (let fragmentBytes = 1; fragmentBytes <= message.length; fragmentBytes++) {
    const bytes = inRecords(message, fragmentBytes);
    for (const readBytes of [1, 7, bytes.length]) {
      const { result, reader } = pushAll(bytes, readBytes);
      assertEquals(result, expected);
      assertEquals(reader.bytes, bytes);
    }
  }
});

Deno.test("ClientHelloReader keeps what follows the hello, and its answer", () => {
  const bytes = clientHello();
  const reader = new ClientHelloReader();
  const result = reader.push(Uint8Array.of(...bytes, 1, 2, 3));
  assertEquals(result.type, "hello");
  assertEquals(reader.push(Uint8Array.of(4)), result);
  assertEquals(reader.bytes, Uint8Array.of(...bytes, 1, 2, 3, 4));
});

Deno.test("ClientHelloReader does not keep the caller's buffer", () => {
  const bytes = clientHello();
  const reader = new ClientHelloReader();
  const buffer = bytes.slice(0, 50);
  reader.push(buffer);
  buffer.fill(0);
  assertEquals(reader.push(bytes.subarray(50)).type, "hello");
});

Deno.test("ClientHelloReader takes a hello that ends at its limit and refuses one that ends a byte later", () => {
  // Four full records; the last is shortened or lengthened to end where it should.
  const endingAt = (end: number) => {
    const messageBytes = end - 4 * 5;
    const fixed = clientHelloMessage({ extensions: [[21, []]] }).length;
    const message = clientHelloMessage({
      extensions: [[21, new Array<number>(messageBytes - fixed).fill(0)]],
    });
    const bytes = inRecords(message, Math.ceil(messageBytes / 4));
    assertEquals(bytes.length, end);
    return bytes;
  };
  for (const readBytes of [1000, Infinity]) {
    assertEquals(pushAll(endingAt(CLIENT_HELLO_BYTES_MAX), readBytes).result.type, "hello");
    assertEquals(pushAll(endingAt(CLIENT_HELLO_BYTES_MAX + 1), readBytes).result.type, "malformed");
  }
});

Deno.test("ClientHelloReader refuses an announced length beyond its limit at once", () => {
  const reader = new ClientHelloReader();
  assertEquals(reader.push(inRecords(Uint8Array.of(1, 0xff, 0xff, 0xff))).type, "malformed");
});

Deno.test("ClientHelloReader gives the same answer for mutated bytes in any pieces, and never throws", () => {
  const original = clientHello({
    extensions: [
      serverName("mutated.example"),
      alpn("h2", "http/1.1"),
      codes16(10, [0x11ec, 29]),
      supportedVersions(0x0304),
      [51, vector16([0, 29, ...vector16([1, 2, 3])])],
    ],
  });
  const mutation = fc.tuple(fc.nat(original.length - 1), fc.nat(255));
  fc.assert(
    fc.property(
      fc.array(mutation, { maxLength: 4 }),
      fc.nat(original.length),
      fc.integer({ min: 1, max: 60 }),
      (mutations, length, readBytes) => {
        const bytes = original.slice();
        for (const [at, byte] of mutations) bytes[at] = byte;
        const input = bytes.subarray(0, length === 0 ? original.length : length);
        const whole = new ClientHelloReader().push(input);
        const { result } = pushAll(input, readBytes);
        assertEquals(JSON.stringify(result), JSON.stringify(whole));
      },
    ),
    { numRuns: 2_000 },
  );
});

Deno.test("ClientHelloReader needs time in proportion to the bytes, also byte by byte in records of one byte", () => {
  const message = clientHelloMessage({ extensions: [[21, new Array<number>(10_000).fill(0)]] });
  const bytes = inRecords(message, 1);
  const started = performance.now();
  assertEquals(pushAll(bytes, 1).result.type, "hello");
  const elapsedMs = performance.now() - started;
  assert(elapsedMs < 1_000, `${elapsedMs} ms`);
});

function helloOf(parts: HelloParts): ClientHello {
  const result = new ClientHelloReader().push(clientHello(parts));
  if (result.type !== "hello") throw new Error(JSON.stringify(result));
  return result.hello;
}

/** Stops where the reader settles; the rest is pushed in one piece. */
function pushAll(bytes: Uint8Array, readBytes: number) {
  const reader = new ClientHelloReader();
  let result: ClientHelloResult = MORE;
  let at = 0;
  while (at < bytes.length && result.type === "more") {
    result = reader.push(bytes.subarray(at, at + readBytes));
    at += readBytes;
  }
  if (at < bytes.length) reader.push(bytes.subarray(at));
  return { result, reader };
}
