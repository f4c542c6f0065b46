/**
 * What holds for every message, however it is cut: the same verdict, octets forwarded as they came,
 * the content that was put in, nothing thrown, nothing held beyond the limits.
 */
import { joinBytes } from "../../src/core/bytes.ts";
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { assert } from "../../src/core/assert.ts";
import { formatAuthority } from "../../src/core/authority.ts";
import { isConnect, parseConnectHead } from "../../src/http1/connect.ts";
import { parseRequestHead, parseResponseHead, responseFraming } from "../../src/http1/head.ts";
import { HeadReader } from "../../src/http1/head_reader.ts";
import { parseAuthority, parseHostValue } from "../../src/http1/host.ts";
import { toOriginForm, withoutTransferCoding } from "../../src/http1/rewrite.ts";
import { parseTarget } from "../../src/http1/target.ts";
import { latin1 } from "../support/golden.ts";
import { type LoopOptions, MessageLoop } from "./message_loop.ts";

type Generated<Source> = Source extends fc.Arbitrary<infer Value> ? Value : never;

const LIMITS = { maxHeaderFields: 64 };

const token = fc.string({
  unit: fc.constantFrom(..."!#$%&'*+-.^_`|~09azAZ"),
  minLength: 1,
  maxLength: 12,
});

/** A field value as it may stand between its white space. */
const value = fc.string({
  unit: fc.constantFrom(...'ab Z09\t,;="\\/\x80\xa0\xe9\xff'),
  maxLength: 20,
}).map((text) => text.replace(/^[ \t]+|[ \t]+$/g, ""));

const space = fc.string({ unit: fc.constantFrom(" ", "\t"), maxLength: 3 });

/** Names that mean something to the engine are left to the generator of the message. */
const CONTROL_NAMES = /^(host|connection|content-length|transfer-encoding|expect|upgrade)$/i;

const fieldLine = fc.record({
  name: token.filter((name) => !CONTROL_NAMES.test(name)),
  before: space,
  value,
  after: space,
});

const content = fc.uint8Array({ maxLength: 60 });

interface Body {
  readonly framing: string;
  readonly bytes: Uint8Array;
  readonly content: Uint8Array;
  readonly trailers: readonly (readonly [string, string])[];
}

const noBody: fc.Arbitrary<Body> = fc.constant({
  framing: "",
  bytes: new Uint8Array(0),
  content: new Uint8Array(0),
  trailers: [],
});

const lengthBody: fc.Arbitrary<Body> = fc.tuple(content, fc.constantFrom("", "0", "000")).map(
  ([bytes, zeros]) => ({
    framing: `Content-Length: ${zeros}${bytes.length}\r\n`,
    bytes,
    content: bytes,
    trailers: [],
  }),
);

const extension = fc.tuple(
  token,
  fc.option(fc.oneof(token, fc.constantFrom('""', '"a b;\\"\\\\\xe9\t"'))),
).map(([name, value]) => value === null ? `;${name}` : `;${name}=${value}`);

const chunkedBody: fc.Arbitrary<Body> = fc.record({
  chunks: fc.array(
    fc.record({
      data: fc.uint8Array({ minLength: 1, maxLength: 40 }),
      zeros: fc.constantFrom("", "0", "00"),
      upper: fc.boolean(),
      extensions: fc.array(extension, { maxLength: 2 }),
    }),
    { maxLength: 5 },
  ),
  trailers: fc.array(fieldLine, { maxLength: 3 }),
}).map(({ chunks, trailers }) => ({
  framing: "Transfer-Encoding: chunked\r\n",
  bytes: joinBytes([
    ...chunks.flatMap(({ data, zeros, upper, extensions }) => {
      const size = data.length.toString(16);
      const line = `${zeros}${upper ? size.toUpperCase() : size}${extensions.join("")}\r\n`;
      return [latin1(line), data, latin1("\r\n")];
    }),
    latin1(`0\r\n${trailers.map(formatLine).join("")}\r\n`),
  ]),
  content: joinBytes(chunks.map(({ data }) => data)),
  trailers: trailers.map(({ name, value }) => [name, value] as const),
}));

const body = fc.oneof(noBody, lengthBody, chunkedBody);

function formatLine({ name, before, value, after }: Generated<typeof fieldLine>): string {
  return `${name}:${before}${value}${after}\r\n`;
}

const request = fc.record({
  method: token.filter((method) => method.toUpperCase() !== "CONNECT"),
  path: fc.string({ unit: fc.constantFrom(...'/ab?=&%|"~'), maxLength: 20 }).map((rest) => `/${rest}`),
  fields: fc.array(fieldLine, { maxLength: 5 }),
  body,
}).map(({ method, path, fields, body }) => ({
  bytes: joinBytes([
    latin1(
      `${method} ${path} HTTP/1.1\r\nHost: a.test\r\n${fields.map(formatLine).join("")}${body.framing}\r\n`,
    ),
    body.bytes,
  ]),
  method,
  path,
  fields,
  body,
}));

const response = fc.record({
  status: fc.integer({ min: 200, max: 999 }).filter((status) => status !== 204 && status !== 304),
  reason: value,
  fields: fc.array(fieldLine, { maxLength: 5 }),
  body: fc.oneof(lengthBody, chunkedBody),
}).map(({ status, reason, fields, body }) => ({
  bytes: joinBytes([
    latin1(`HTTP/1.1 ${status} ${reason}\r\n${fields.map(formatLine).join("")}${body.framing}\r\n`),
    body.bytes,
  ]),
  body,
}));

/** Where reads end, as fractions of the whole. */
const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 8 });

function cutAt(bytes: Uint8Array, fractions: readonly number[]): Uint8Array[] {
  const ends = fractions.map((fraction) => Math.floor(fraction * bytes.length)).sort((a, b) => a - b);
  let from = 0;
  return [...ends, bytes.length].map((end) => bytes.slice(from, from = end));
}

function readAll(options: LoopOptions, reads: readonly Uint8Array[]): MessageLoop {
  const loop = new MessageLoop(options);
  for (const read of reads) loop.push(read);
  return loop;
}

/** All that a reader could tell, for comparison. */
function transcript(loop: MessageLoop) {
  return { messages: loop.messages, error: loop.error, between: loop.between, rest: loop.rest };
}

/** Octets that matter to some state of the readers. */
const trickyOctet = fc.constantFrom(...latin1('\r\n\0\t :;=",\\#0fFxg\x7f\x80\xff'));

/** Changes, drops or adds single octets. */
const mutations = fc.array(
  fc.record({
    at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    remove: fc.integer({ min: 0, max: 2 }),
    insert: fc.array(fc.oneof(trickyOctet, fc.integer({ min: 0, max: 255 })), { maxLength: 2 }),
  }),
  { minLength: 1, maxLength: 3 },
);

function mutate(bytes: Uint8Array, changes: Generated<typeof mutations>): Uint8Array {
  let octets = [...bytes];
  for (const { at, remove, insert } of changes) {
    const index = Math.floor(at * octets.length);
    octets = [...octets.slice(0, index), ...insert, ...octets.slice(index + remove)];
  }
  return Uint8Array.from(octets);
}

Deno.test("valid pipelined requests are forwarded as they came, whatever the cuts", () => {
  fc.assert(fc.property(fc.array(request, { minLength: 1, maxLength: 4 }), cuts, (requests, fractions) => {
    const bytes = joinBytes(requests.map((message) => message.bytes));
    const loop = readAll({ direction: "request" }, cutAt(bytes, fractions));
    assertEquals(loop.error, null);
    assertEquals(loop.messages.map((message) => message.complete), requests.map(() => true));
    assertEquals(joinBytes(loop.messages.map((message) => message.forwarded)), bytes);
    for (const [index, { body, method, path, fields }] of requests.entries()) {
      const message = loop.messages[index]!;
      assert(message.head.type === "request", "no CONNECT was generated");
      assertEquals([message.head.method, message.head.target], [method, path]);
      assertEquals(
        message.head.fields.slice(1, 1 + fields.length),
        fields.map(({ name, value }) => [name, value]),
      );
      assertEquals(message.content, body.content);
      assertEquals(message.trailers, body.trailers);
    }
  }));
});

Deno.test("valid responses are forwarded as they came, whatever the cuts", () => {
  fc.assert(fc.property(fc.array(response, { minLength: 1, maxLength: 3 }), cuts, (responses, fractions) => {
    const bytes = joinBytes(responses.map((message) => message.bytes));
    const loop = readAll({ direction: "response" }, cutAt(bytes, fractions));
    assertEquals(loop.error, null);
    assertEquals(joinBytes(loop.messages.map((message) => message.forwarded)), bytes);
    assertEquals(loop.messages.map((message) => message.content), responses.map(({ body }) => body.content));
  }));
});

Deno.test("mutated messages give the same transcript whatever the cuts, and never throw", () => {
  const mutated = fc.tuple(fc.array(fc.oneof(request, response), { minLength: 1, maxLength: 2 }), mutations)
    .map(([messages, changes]) => mutate(joinBytes(messages.map((message) => message.bytes)), changes));
  fc.assert(
    fc.property(mutated, fc.constantFrom("request", "response"), cuts, (bytes, direction, fractions) => {
      const options = { direction, maxHeadBytes: 150, maxHeaderFields: 6 };
      const whole = readAll(options, [bytes]);
      assertEquals(transcript(readAll(options, cutAt(bytes, fractions))), transcript(whole));
      // What was forwarded is a part of what came, in order; after an error nothing more is.
      const forwarded = joinBytes(whole.messages.map((message) => message.forwarded));
      assert(isSubsequence(forwarded, bytes), "forwarded octets came in");
    }),
    { numRuns: 500 },
  );
});

function isSubsequence(part: Uint8Array, whole: Uint8Array): boolean {
  let index = 0;
  for (const octet of whole) {
    if (index < part.length && octet === part[index]) index++;
  }
  return index === part.length;
}

Deno.test("arbitrary octets never make a parser throw, and each octet alone gives the same verdict", () => {
  const octets = fc.array(fc.oneof(trickyOctet, fc.integer({ min: 0, max: 255 })), { maxLength: 80 }).map((
    list,
  ) => Uint8Array.from(list));
  const starts = fc.constantFrom(
    "",
    "GET / HTTP/1.1\r\n",
    "CONNECT ",
    "HTTP/1.1 200 ",
    "GET http://",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
  );
  fc.assert(
    fc.property(starts, octets, (start, rest) => {
      const bytes = joinBytes([latin1(start), rest]);
      const text = String.fromCharCode(...rest);
      parseRequestHead(bytes, LIMITS);
      const head = parseResponseHead(bytes, LIMITS);
      if (head.type === "response") responseFraming(head, "GET");
      parseConnectHead(bytes, "strict");
      parseConnectHead(bytes, "lenient");
      isConnect(bytes);
      parseTarget(text, "GET");
      parseTarget(text, "CONNECT");
      parseHostValue(text);
      parseAuthority(text, 443, 0);
      for (const direction of ["request", "response"] as const) {
        const single = readAll({ direction }, [...bytes].map((octet) => Uint8Array.of(octet)));
        assertEquals(transcript(single), transcript(readAll({ direction }, [bytes])));
      }
    }),
    { numRuns: 500 },
  );
});

Deno.test("HeadReader and the parsers agree on what may stand in a head", () => {
  // The parsers judge octets by themselves; the reader must not let through less or more.
  const mutated = fc.tuple(request, mutations).map(([message, changes]) => mutate(message.bytes, changes));
  fc.assert(
    fc.property(mutated, (bytes) => {
      const read = new HeadReader({ maxHeadBytes: 65536 }).push(bytes, 0);
      if (read.type !== "error") return;
      const end = String.fromCharCode(...bytes).indexOf("\r\n\r\n");
      const head = parseRequestHead(end < 0 ? bytes : bytes.subarray(0, end + 4), LIMITS);
      assertEquals(head.type, "error");
    }),
    { numRuns: 500 },
  );
});

Deno.test("parseAuthority reads back what formatAuthority writes", () => {
  const label = fc.string({ unit: fc.constantFrom(..."abz09-_"), minLength: 1, maxLength: 8 });
  const name = fc.tuple(fc.array(label, { maxLength: 3 }), fc.constant("test")).map(([labels, last]) =>
    [...labels, last].join(".")
  );
  const host = fc.oneof(name, fc.ipV4(), fc.ipV6());
  fc.assert(fc.property(host, fc.integer({ min: 1, max: 65535 }), (host, port) => {
    const parsed = parseAuthority(formatAuthority({ host, port }), null, 0);
    assert(!("type" in parsed), JSON.stringify(parsed));
    assertEquals(parsed.port, port);
    assertEquals(parseAuthority(formatAuthority(parsed), null, 0), parsed);
    assertEquals(parseHostValue(formatAuthority(parsed)), parsed);
    if (!host.includes(":")) assertEquals(parsed.host, host);
  }));
});

Deno.test("toOriginForm gives a valid head for the same server, with the fields that are not for us", () => {
  const proxyField = fc.record({
    name: fc.constantFrom("Proxy-Connection", "proxy-authorization", "Connection"),
    before: space,
    value: fc.constantFrom("close", "Proxy-Authorization", "x, proxy-connection", "keep-alive"),
    after: space,
  });
  const fields = fc.array(fc.oneof(fieldLine, proxyField), { maxLength: 6 });
  fc.assert(
    fc.property(fields, fc.constantFrom("HTTP/1.0", "HTTP/1.1"), fc.boolean(), (fields, version, host) => {
      const hostLine = host || version === "HTTP/1.1" ? "Host: a.test:8080\r\n" : "";
      const head = parseRequestHead(
        latin1(`GET http://a.test:8080/x ${version}\r\n${hostLine}${fields.map(formatLine).join("")}\r\n`),
        LIMITS,
      );
      assert(head.type === "request" && head.parsedTarget.form === "absolute", JSON.stringify(head));
      const sent = parseRequestHead(toOriginForm(head, "/x", head.parsedTarget.authority), LIMITS);
      assert(sent.type === "request", JSON.stringify(sent));
      assertEquals([sent.target, sent.version, sent.host], ["/x", "HTTP/1.1", "a.test:8080"]);
      const others = (list: typeof head.fields) =>
        list.filter(([name]) => !/^(proxy-|connection$|host$)/i.test(name));
      assertEquals(others(sent.fields), others(head.fields));
      for (const [name, value] of sent.fields) {
        assert(!/^proxy-(connection|authorization)$/i.test(name), `${name} is removed`);
        if (/^connection$/i.test(name)) assert(!/proxy-/i.test(value), `${value} names no removed field`);
      }
    }),
  );
});

Deno.test("withoutTransferCoding gives a valid head that ends with the connection", () => {
  fc.assert(fc.property(response, (message) => {
    const loop = readAll({ direction: "response" }, [message.bytes]);
    const head = loop.messages[0]!.head;
    assert(head.type === "response", "responses were generated");
    if (!head.fields.some(([name]) => name === "Transfer-Encoding")) return;
    const sent = parseResponseHead(withoutTransferCoding(head), LIMITS);
    assert(sent.type === "response", JSON.stringify(sent));
    assertEquals(responseFraming(sent, "GET"), { framing: { type: "until_close" }, keepAlive: false });
  }));
});
