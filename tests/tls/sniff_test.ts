import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { isHttp2Preface, isHttp2Settings, type Likeness, looksLikeHttp } from "../../src/tls/sniff.ts";

const CASES: readonly (readonly [text: string, likeness: Likeness])[] = [
  ["GET / HTTP/1.1\r\n", "yes"],
  ["G", "more"],
  ["", "more"],
  ["GET", "more"],
  ["GET ", "more"],
  ["GET /", "yes"],
  ["OPTIONS *", "yes"],
  ["M-SEARCH /x", "yes"],
  ["get /", "yes"],
  ["GET http://a.example/", "yes"],
  ["GET HTTPS://a.example/", "yes"],
  ["GET http:", "more"],
  ["GET https", "more"],
  ["GET ftp://a.example/", "no"],
  ["GET  /", "no"],
  ["GET\t/", "no"],
  [" GET /", "no"],
  ["\r\nGET /", "no"],
  ["GET\r\n", "no"],
  ["CONNECT a.example:443 HTTP/1.1\r\n", "no"],
  ["PRI * HTTP/2.0\r\n", "no"],
  ["SSH-2.0-OpenSSH_9.6 Debian\r\n", "no"],
  ["EHLO mail.example\r\n", "no"],
  ["*1\r\n$4\r\nPING\r\n", "no"],
  ["\x16\x03\x01", "no"],
  ["\0", "no"],
  ['{"a":1}', "no"],
  ["A".repeat(24), "more"],
  [`${"A".repeat(24)} /`, "yes"],
  ["A".repeat(25), "no"],
];

Deno.test("looksLikeHttp tells the start of a request from other protocols", () => {
  for (const [text, likeness] of CASES) {
    assertEquals(looksLikeHttp(bytesOf(text)), likeness, JSON.stringify(text));
  }
});

Deno.test("isHttp2Preface compares as far as the bytes go", () => {
  const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  for (let length = 0; length < preface.length; length++) {
    assertEquals(isHttp2Preface(bytesOf(preface.slice(0, length))), "more");
    if (length > 0) assertEquals(isHttp2Preface(bytesOf(`${preface.slice(0, length - 1)}\0`)), "no");
  }
  assertEquals(isHttp2Preface(bytesOf(preface)), "yes");
  assertEquals(isHttp2Preface(bytesOf(`${preface}\0\0`)), "yes");
});

Deno.test("isHttp2Settings takes the beginning of a SETTINGS frame and nothing else", () => {
  for (
    const [text, likeness] of [
      ["", "more"],
      ["\0", "more"],
      ["\0\0\x06\x04\0\0\0\0", "more"],
      ["\0\0\x06\x04\0\0\0\0\0", "yes"],
      ["\0\0\0\x04\0\0\0\0\0\0\0", "yes"],
      ["\0\0\x07\x04\0\0\0\0\0", "no"],
      ["\0\0\x06\x05", "no"],
      ["\0\0\x06\x04\x01", "no"],
      ["\0\0\x06\x04\0\0\0\0\x01", "no"],
      ["\0\x41", "no"],
      ["\x01", "no"],
      ["220 mail", "no"],
    ] as const
  ) assertEquals(isHttp2Settings(bytesOf(text)), likeness, JSON.stringify(text));
});

Deno.test("looksLikeHttp and isHttp2Preface, once decided, stay so whatever follows", () => {
  const text = fc.oneof(fc.string(), fc.constantFrom(...CASES.map(([text]) => text)));
  fc.assert(fc.property(text, fc.uint8Array(), (start, rest) => {
    const bytes = Uint8Array.of(...bytesOf(start), ...rest);
    for (const sniff of [looksLikeHttp, isHttp2Preface, isHttp2Settings]) {
      let decided: Likeness = "more";
      for (let length = 0; length <= bytes.length; length++) {
        const likeness = sniff(bytes.subarray(0, length));
        if (decided !== "more") assertEquals(likeness, decided);
        decided = likeness;
      }
    }
  }));
});

function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}
