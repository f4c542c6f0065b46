import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import type { Answer } from "../../src/http/answer.ts";
import { FrameReader } from "../../src/http2/frame_reader.ts";
import { HpackDecoder } from "../../src/http2/hpack_decoder.ts";
import { Http1Refuser, Http2Refuser } from "../../src/proxy/refusal.ts";
import { HpackPeer } from "../../src/sim/hpack_peer.ts";
import { sessionConfigWith } from "../support/proxy_session.ts";
import { EMPTY_SETTINGS, frame, join, PREFACE, T, uint32 } from "../http2/frame_builder.ts";

const ANSWER: Answer = { status: 502, code: "connection_refused", detail: "x".repeat(80), proxyError: "x" };
const CONFIG = sessionConfigWith();

function block(method: string): number[] {
  const peer = new HpackPeer();
  const fields = [[":method", method], [":scheme", "https"], [":path", "/"], [":authority", "a.test"]];
  return fields.flatMap(([name = "", value = ""]) =>
    peer.field({ name, value, as: "with_indexing", huffman: true, nameByIndex: true })
  );
}

function request(method: string, streamId = 1): Uint8Array {
  return frame(T.HEADERS, 0x5, streamId, block(method));
}

/** What the client is sent, and whether that was all. */
function play(bytes: Uint8Array, size = bytes.length): { sent: Uint8Array; done: boolean } {
  const parts: Uint8Array[] = [];
  const refuser = new Http2Refuser(ANSWER, CONFIG, (data) => parts.push(data.slice()));
  let done = false;
  for (let at = 0; at < bytes.length && !done; at += size) {
    const read = bytes.slice(at, at + size);
    done = refuser.push(read);
    // As from the platform: the memory is used again.
    read.fill(0xee);
  }
  return { sent: join(...parts), done };
}

/** The frames of a server, in words. */
function told(bytes: Uint8Array): string[] {
  const reader = new FrameReader({ by: "server", maxHeldBytes: 65_536 });
  const decoder = new HpackDecoder("server", CONFIG.http2Limits);
  const said: string[] = [];
  for (let at = 0;;) {
    const event = reader.read(bytes, at);
    if (event.type === "more") return said;
    if (event.type === "error" || event.type === "stream_error" || event.type === "preface") {
      throw new Error(`found ${event.type}`);
    }
    at = event.next;
    if (event.type === "piece") said.push(`data ${new TextDecoder().decode(event.content)}`);
    else if (event.frame.type === "headers") {
      const decoded = decoder.decode(event.frame.fragment, 1);
      if (decoded.type === "error") throw new Error(decoded.detail);
      const status = decoded.fields[0]!.field.join(" ");
      said.push(`headers ${event.frame.streamId} ${status}${event.frame.endStream ? " end" : ""}`);
    } else if (event.frame.type === "goaway") {
      said.push(`goaway ${event.frame.lastStreamId} ${event.frame.errorCode}`);
    } else said.push(event.frame.type);
  }
}

Deno.test("Http2Refuser says SETTINGS, answers the first request and goes away, however its bytes are cut up", () => {
  const bytes = join(PREFACE, EMPTY_SETTINGS, frame(T.PING, 0, 0, [1, 2, 3, 4, 5, 6, 7, 8]), request("GET"));
  const whole = play(bytes);
  const said = told(whole.sent);
  assertEquals(said.slice(0, 4), ["settings", "settings", "ping", "headers 1 :status 502"]);
  assertStringIncludes(said[4]!, '"error":"connection_refused"');
  assertEquals([said[5], said.length, whole.done], ["goaway 1 0", 6, true]);
  for (let size = 1; size < bytes.length; size++) assertEquals(play(bytes, size), whole, `pieces of ${size}`);
});

Deno.test("Http2Refuser answers HEAD without content, and a block that goes on in CONTINUATION", () => {
  assertEquals(told(play(join(PREFACE, EMPTY_SETTINGS, request("HEAD", 3))).sent).slice(2), [
    "headers 3 :status 502 end",
    "goaway 3 0",
  ]);
  const parts = block("GET");
  const split = join(
    frame(T.HEADERS, 0x1, 1, parts.slice(0, 3)),
    frame(T.CONTINUATION, 0x4, 1, parts.slice(3)),
  );
  assertEquals(told(play(join(PREFACE, EMPTY_SETTINGS, split)).sent)[2], "headers 1 :status 502");
});

Deno.test("Http2Refuser sends no content to a client whose window is too small for it", () => {
  const small = frame(T.SETTINGS, 0, 0, [0, 4, ...uint32(10)]);
  assertEquals(told(play(join(PREFACE, small, request("GET"))).sent).slice(2), ["goaway 0 0"]);
});

Deno.test("Http2Refuser ends with an error code where rules are broken, and does not listen for ever", () => {
  const protocolError = 1;
  const enhanceYourCalm = 11;
  assertEquals(told(play(join(PREFACE, request("GET"))).sent).at(-1), `goaway 0 ${protocolError}`);
  const ping = frame(T.PING, 0, 0, new Array<number>(8).fill(0));
  const pings = new Array<Uint8Array>(300).fill(ping);
  const flood = play(join(PREFACE, EMPTY_SETTINGS, ...pings));
  assertEquals([told(flood.sent).at(-1), flood.done], [`goaway 0 ${enhanceYourCalm}`, true]);
  assertEquals(play(join(PREFACE, EMPTY_SETTINGS, frame(T.GOAWAY, 0, 0, new Array<number>(8).fill(0)))), {
    sent: play(join(PREFACE, EMPTY_SETTINGS)).sent,
    done: true,
  });
});

Deno.test("refusers take any bytes without a throw, and hold no more than their limits allow", () => {
  const opening = join(PREFACE, EMPTY_SETTINGS);
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 20 }),
      fc.boolean(),
      (reads, begun) => {
        const http1 = new Http1Refuser(ANSWER, CONFIG, () => {});
        const http2 = new Http2Refuser(ANSWER, CONFIG, () => {});
        if (begun) http2.push(opening);
        for (const refuser of [http1, http2]) {
          reads.some((read) => refuser.push(read));
          assert(refuser.heldBytes <= 800);
        }
      },
    ),
  );
});

Deno.test("Http1Refuser answers once the head is whole: HEAD without a body, what is no head with 400", () => {
  const answered = (text: string, size = text.length) => {
    let sent = "";
    const refuser = new Http1Refuser(ANSWER, CONFIG, (data) => sent += new TextDecoder().decode(data));
    for (let at = 0; at < text.length; at += size) {
      if (refuser.push(new TextEncoder().encode(text.slice(at, at + size)))) break;
    }
    return sent;
  };
  const get = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
  for (let size = 1; size <= get.length; size++) {
    assertStringIncludes(answered(get, size), '"error":"connection_refused"');
  }
  assertEquals(answered(get.slice(0, -1)), "");
  assert(answered(get.replace("GET", "HEAD")).endsWith("\r\n\r\n"));
  assert(answered("GET / HTTP/1.1\n\n").startsWith("HTTP/1.1 400 "));
});
