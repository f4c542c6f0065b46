import { assert, assertEquals, assertStringIncludes, equal } from "@std/assert";
import zlib from "node:zlib";
import { codingsHeldBytes, EVENTS_FREE } from "../../src/observe/content_coding.ts";
import { FlowObservation } from "../../src/observe/flow_observation.ts";
import type { MessageObserver, ObserverContext, ObserverDefinition } from "../../src/observe/observer.ts";
import { NDJSON } from "../../src/observe/ndjson.ts";
import { INFLATERS } from "../../src/runtime/inflate.ts";
import { cutInto } from "../support/golden.ts";
import { NO_TIMER, observe, OBSERVE_CONFIG, type ObservedMessageOptions } from "./observed.ts";

const encoder = new TextEncoder();

/** An observer of everything, made of what the test gives. */
function observer(make: (context: ObserverContext) => MessageObserver): ObserverDefinition {
  return {
    name: "tried",
    open: (_head, _mediaType, context) => make(context),
    example: { mediaType: "a/b", content: "" },
  };
}

const kinds = (reads: readonly Uint8Array[], options: ObservedMessageOptions) =>
  observe(reads, options).events.map(({ kind, attributes }) =>
    kind === "observer_stopped" || kind === "decoder_failed" ? `${kind}: ${attributes["reason"]}` : kind
  );

const HEADS = ["request_headers", "response_headers"];

Deno.test("FlowObservation has nothing to say of a coding where there is no content, also in an empty piece", () => {
  for (const coding of ["gzip", "br", "zstd", "deflate"]) {
    for (const decoderBufferBytes of [0, 4 * 1024 * 1024]) {
      const options = { fields: [["content-encoding", coding]] as const, limits: { decoderBufferBytes } };
      assertEquals(kinds([new Uint8Array(0)], options), [...HEADS, "exchange_completed"]);
    }
  }
});

Deno.test("FlowObservation tells of octets that follow a coded content, whatever the coding, and lets a filling of zeros be", () => {
  const compressors = {
    gzip: zlib.gzipSync,
    deflate: zlib.deflateSync,
    "x-gzip": zlib.gzipSync,
    zstd: zlib.zstdCompressSync,
    br: zlib.brotliCompressSync,
  };
  const told = (content: Uint8Array, coding: string) =>
    [1, 7, content.length].map((size) =>
      kinds(cutInto(content, size), { fields: [["content-encoding", coding]], protocol: "http2" })
    );
  for (const [coding, compress] of Object.entries(compressors)) {
    const coded = compress("content");
    for (const rest of ["\0\0not observed", "not observed"]) {
      for (const events of told(Uint8Array.from([...coded, ...encoder.encode(rest)]), coding)) {
        assertEquals(events.filter((kind) => kind.startsWith("decoder_failed")).length, 1, coding + rest);
      }
    }
  }
  const bare = Uint8Array.from([...zlib.deflateRawSync("content"), ...encoder.encode("not observed")]);
  for (const events of told(bare, "deflate")) {
    assertEquals(events[2], "decoder_failed: deflate: octets after the end of the stream");
  }
  for (const compress of [zlib.gzipSync, zlib.deflateSync]) {
    const coding = compress === zlib.gzipSync ? "gzip" : "deflate";
    for (const events of told(Uint8Array.from([...compress("content"), 0, 0, 0]), coding)) {
      assertEquals(events.filter((kind) => kind.startsWith("decoder_failed")), []);
    }
  }
});

Deno.test("FlowObservation keeps content of which nothing came out yet in one piece, not one for each read", () => {
  const content = new Uint8Array(10_000).fill(0x61);
  // A member of gzip whose file name does not end.
  content.set([0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3]);
  const observation = new FlowObservation({
    config: OBSERVE_CONFIG,
    record: () => {},
    now: () => 0,
    timer: NO_TIMER,
  });
  const request = { method: "GET", target: "/", scheme: "https", authority: "a.test", headBytes: 1 };
  const message = observation.open({
    direction: "response",
    exchangeId: 1,
    streamKey: "h1:1",
    protocol: "http1",
    request: { ...request, version: "HTTP/1.1", fields: [] },
    response: { status: 200, version: "HTTP/1.1", fields: [["content-encoding", "gzip"]], headBytes: 1 },
  })!;
  const delivered: Uint8Array[] = [];
  const deliver = (part: Uint8Array) => void delivered.push(part.slice());
  for (const read of cutInto(content, 1)) message.decode(read, deliver);
  message.endContent(true, deliver);
  message.end(true, []);
  assertEquals(delivered, [content]);
  assertEquals(observation.heldBytes, 0);
});

Deno.test("FlowObservation: an observer that throws is stopped and named, and the exchange goes on", () => {
  const failing: [string, ObserverDefinition][] = [
    [
      "open",
      observer(() => {
        throw new Error("open");
      }),
    ],
    [
      "content",
      observer(() => ({
        content: () => {
          throw new Error("content");
        },
        end: () => {},
      })),
    ],
    [
      "end",
      observer(() => ({
        content: () => {},
        end: () => {
          throw new Error("end");
        },
      })),
    ],
  ];
  for (const [where, definition] of failing) {
    const told = kinds([encoder.encode("abc"), encoder.encode("def")], { observers: [definition] });
    const rest = where === "open"
      ? ["observer_stopped: failed: open", "response_body_chunk"]
      : where === "content"
      ? ["observer_stopped: failed: content", "response_body_chunk"]
      : ["response_body_chunk", "observer_stopped: failed: end"];
    // The request has its message, too, but nothing in it; so it is observed only until its end.
    const request = where === "open"
      ? ["observer_stopped: failed: open"]
      : where === "end"
      ? ["observer_stopped: failed: end"]
      : [];
    assertEquals(told, [HEADS[0]!, ...request, HEADS[1]!, ...rest, "exchange_completed"], where);
  }
});

Deno.test("FlowObservation: an observer that fails at a stage is told of once and sees no more", () => {
  let calls = 0;
  const definition = observer((context) => ({
    content: () => {
      calls++;
      context.fail("framing", "no sense in it");
      context.fail("framing", "still not");
    },
    end: () => calls++,
  }));
  const told = kinds([encoder.encode("abc"), encoder.encode("def")], {
    observers: [definition],
    direction: "request",
  });
  assertEquals(told, [
    "request_headers",
    "decoder_failed: no sense in it",
    "request_body_chunk",
    "exchange_completed",
  ]);
  assertEquals(calls, 1);
});

Deno.test("FlowObservation: the first observer that knows a message gets it, and no other", () => {
  const asked: string[] = [];
  const known = (name: string, knows: boolean): ObserverDefinition => ({
    name,
    open: () => {
      asked.push(name);
      return knows ? { content: () => {}, end: () => {} } : null;
    },
    example: { mediaType: "a/b", content: "" },
  });
  observe([], { observers: [known("a", false), known("b", true), known("c", true)], direction: "request" });
  assertEquals(asked, ["a", "b"]);
});

Deno.test("FlowObservation: body events are about decoded content, and the exchange says how much that was", () => {
  const content = encoder.encode("0123456789".repeat(3_000));
  const compressed = new Uint8Array(zlib.gzipSync(content));
  const fields = [["Content-Encoding", "gzip"]] as const;
  const { events } = observe([compressed.subarray(0, 50), compressed.subarray(50)], { fields });
  const chunks = events.filter(({ kind }) => kind === "response_body_chunk");
  assertEquals(
    chunks.map(({ attributes }) => attributes["data"]).join(""),
    new TextDecoder().decode(content),
  );
  const { attributes } = events.at(-1)!;
  assertEquals([attributes["response_body_bytes"], attributes["response_decoded_bytes"]], [
    compressed.length,
    content.length,
  ]);
  assertEquals(attributes["response_decoded_partly"], undefined);
});

Deno.test("FlowObservation: content that is not in its coding is recorded as it came", () => {
  const fields = [["content-encoding", "gzip"]] as const;
  const { events } = observe([encoder.encode("pl"), encoder.encode("ain")], { fields });
  const chunks = events.filter(({ kind }) => kind === "response_body_chunk");
  assertEquals(chunks.map(({ attributes }) => attributes["data"]), ["plain"]);
  assertEquals(events.at(-1)?.attributes["response_decoded_bytes"], undefined);
  assertEquals(events.filter(({ kind }) => kind === "decoder_failed").length, 1);
});

Deno.test("FlowObservation: what was cut is decoded as far as it came, and says so", () => {
  const compressed = new Uint8Array(zlib.gzipSync(encoder.encode('{"a":1}\n'.repeat(2_000))));
  const { events } = observe([compressed.subarray(0, compressed.length - 20)], {
    fields: [["content-encoding", "gzip"], ["content-type", "application/x-ndjson"]],
    observers: [NDJSON],
    cut: true,
  });
  assertEquals(events.at(-1)?.attributes["response_decoded_partly"], true);
  assertEquals(events.some(({ kind }) => kind === "decoder_failed"), false);
});

Deno.test("FlowObservation: a message without content opens no decoder and says nothing of one", () => {
  const { events } = observe([], { fields: [["content-encoding", "gzip"]] });
  assertEquals(events.map(({ kind }) => kind), [...HEADS, "exchange_completed"]);
  assertEquals(events.at(-1)?.attributes["response_decoded_bytes"], undefined);
});

Deno.test("FlowObservation: a message with nothing to look into costs nothing", () => {
  const observation = new FlowObservation({
    config: { ...OBSERVE_CONFIG, observers: [NDJSON] },
    record: () => {},
    now: () => 0,
    timer: NO_TIMER,
  });
  const request = {
    method: "GET",
    target: "/",
    scheme: "https",
    authority: "a.test",
    version: "HTTP/1.1",
    fields: [["content-type", "text/css"]] as const,
    headBytes: 1,
  };
  const opened = observation.open({
    direction: "request",
    exchangeId: 1,
    streamKey: "h1:1",
    protocol: "http1",
    request,
    response: null,
  });
  assertEquals([opened, observation.heldBytes], [null, 0]);
});

Deno.test("FlowObservation: a decoder of a piece is paid for until it is closed, and closed where the observer stops; without room there is none", () => {
  const compressed = new Uint8Array(zlib.gzipSync(encoder.encode("hello")));
  const opened: number[] = [];
  const definition = observer((context) => ({
    content: (bytes) => {
      for (let count = 0; count < 3; count++) {
        const decoder = context.openDecoder(["gzip"]);
        if (decoder === null) {
          context.hold(decoderBufferBytes);
          return;
        }
        decoder.push(bytes, (decoded) => opened.push(decoded.length));
        if (count > 0) continue;
        decoder.close();
        decoder.close();
      }
      throw new Error("there is room for three");
    },
    end: () => {},
  }));
  // Two at a time are one too many: the first is closed, the second open, the third refused.
  const decoderBufferBytes = 2 * codingsHeldBytes(["gzip"], INFLATERS) - 1;
  const { events, heldBytes } = observe([compressed], {
    observers: [definition],
    direction: "request",
    limits: { decoderBufferBytes },
  });
  assertEquals([heldBytes, opened], [0, [5, 5]]);
  const [stopped] = events.filter(({ kind }) => kind === "observer_stopped");
  assertEquals(String(stopped?.attributes["reason"]).startsWith("over the"), true);
});

Deno.test("FlowObservation: what is reported stops nothing", () => {
  const definition = observer((context) => ({
    content: () => context.report("framing", "odd", { index: 3 }),
    end: () => context.emit("ndjson_line", { bytes: 0, index: 0 }),
  }));
  const { events } = observe([encoder.encode("a")], { observers: [definition], direction: "request" });
  assertEquals(events.filter(({ kind }) => kind === "decoder_failed").map(({ attributes }) => attributes), [
    { direction: "request", exchange_id: 1, index: 3, reason: "odd", stage: "framing" },
  ]);
  assertEquals(events.some(({ kind }) => kind === "ndjson_line"), true);
});

Deno.test("FlowObservation: what is decoded may be tiny lines without end; the observer is stopped, at the same line for any reads", () => {
  let state = 1;
  const digit = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) % 10;
  const lines = 40_000;
  const content = Array.from({ length: lines }, () => `${digit()}\n`).join("");
  for (const [coding, compress] of [["gzip", zlib.gzipSync], ["br", zlib.brotliCompressSync]] as const) {
    const coded = new Uint8Array(compress(content));
    const options = (inflateRatio: number): ObservedMessageOptions => ({
      fields: [["content-type", "application/x-ndjson"], ["content-encoding", coding]],
      limits: { inflateRatio },
    });
    const whole = observe([coded], options(8));
    const of = (wanted: string) => whole.events.filter(({ kind }) => kind === wanted);
    // A line is two events.
    const linesMax = (EVENTS_FREE + coded.length + 4096) / 2;
    assert(of("ndjson_line").length <= linesMax && of("ndjson_line").length > EVENTS_FREE / 2);
    assertEquals(of("observer_stopped").length, 1);
    assertStringIncludes(String(of("observer_stopped")[0]!.attributes["reason"]), "limits.inflate_ratio");
    assertEquals(of("exchange_completed")[0]!.attributes["response_decoded_bytes"], 2 * lines);
    assertEquals(whole.heldBytes, 0);
    for (const size of [1, 7, 4097]) {
      assert(equal(observe(cutInto(coded, size), options(8)).events, whole.events), `${coding} by ${size}`);
    }
    const more = observe([coded], options(100)).events;
    assertEquals(more.filter(({ kind }) => kind === "ndjson_line").length, lines);
  }
});
