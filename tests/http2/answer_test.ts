import { assertEquals } from "@std/assert";
import type { Answer } from "../../src/http/answer.ts";
import { encodeHttp2Answer } from "../../src/http2/answer.ts";
import { FrameReader } from "../../src/http2/frame_reader.ts";
import { encodeData, encodeSettings } from "../../src/http2/frame_writer.ts";
import { HpackDecoder } from "../../src/http2/hpack_decoder.ts";

const ANSWER: Answer = {
  status: 403,
  code: "blocked",
  detail: "a.test:443 is blocked by rule “x”",
  proxyError: "http_request_denied",
};

/** What a client reads of it: the fields, the content and whether the stream ended. */
function read(...frames: readonly Uint8Array[]) {
  const bytes = new Uint8Array(frames.flatMap((frame) => [...frame]));
  const reader = new FrameReader({ by: "server", maxHeldBytes: 65_536 });
  const decoder = new HpackDecoder("server", {
    maxHeaderListSize: 65_536,
    maxHeaderFields: 64,
    maxTableBytes: 4_096,
  });
  let fields: readonly (readonly [string, string])[] = [];
  let content = "";
  let ended = false;
  // A server begins with its SETTINGS (RFC 9113 §3.4).
  reader.read(encodeSettings([]), 0);
  for (let at = 0; at < bytes.length;) {
    const event = reader.read(bytes, at);
    if (event.type === "frame" && event.frame.type === "headers") {
      const decoded = decoder.decode(event.frame.fragment, event.frame.streamId);
      if (decoded.type === "error") throw new Error(decoded.detail);
      fields = decoded.fields.map(({ field }) => field);
      ended = event.frame.endStream;
      at = event.next;
    } else if (event.type === "piece") {
      content += new TextDecoder().decode(event.content);
      ended = (event.header.flags & 1) === 1;
      at = event.next;
    } else throw new Error(`unexpected ${event.type}`);
  }
  return { fields, content, ended };
}

Deno.test("encodeHttp2Answer gives a response whose content has the length that it says, and ends the stream", () => {
  const answer = encodeHttp2Answer(ANSWER, 5, "POST");
  const { fields, content, ended } = read(answer.headers, encodeData(5, answer.content, true));
  assertEquals(new Map(fields).get(":status"), "403");
  assertEquals(new Map(fields).get("content-length"), String(answer.content.length));
  assertEquals(new Map(fields).get("proxy-status"), "soth-mitm; error=http_request_denied");
  assertEquals(JSON.parse(content), { error: ANSWER.code, detail: ANSWER.detail });
  assertEquals(ended, true);
});

Deno.test("encodeHttp2Answer sends no DATA to HEAD", () => {
  const { headers, content } = encodeHttp2Answer(ANSWER, 5, "HEAD");
  assertEquals([content.length, read(headers).ended], [0, true]);
});
