import { NO_OBSERVATION, type Observation, type StreamEnd } from "../../src/http/observation.ts";
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import type { Attributes, FlowEvent } from "../../src/core/event.ts";
import { BODY_SPAN_BYTES, ExchangeRecorder } from "../../src/http/exchange_recorder.ts";
import { SpanBudget } from "../../src/http/span_budget.ts";

function record(
  bodyBytes: number,
  redact: string[] = [],
  observation: Observation = NO_OBSERVATION,
  spanBudget = new SpanBudget(2 * BODY_SPAN_BYTES),
) {
  const events: FlowEvent[] = [];
  const recorder = new ExchangeRecorder(1, {
    protocol: "http1",
    streamKey: "h1:1",
    capture: { bodyBytes, redactHeaders: new Set(redact) },
    observation,
    spanBudget,
    record: (event) => events.push(event),
    now: 1_000,
  });
  const chunks = () =>
    events.filter(({ kind }) => kind === "response_body_chunk").map(({ attributes }) => attributes);
  return { recorder, events, chunks };
}

const size = (
  { offset, bytes, data }: Attributes,
) => [offset, bytes, (data as string | undefined)?.length ?? 0];

Deno.test("ExchangeRecorder cuts a body into spans of 16 KiB and a remainder, and keeps data up to the limit", () => {
  const { recorder, chunks } = record(20_000);
  recorder.responseContent(new Uint8Array(3 * BODY_SPAN_BYTES + 5).fill(0x61));
  assertEquals(chunks().length, 3);
  recorder.responseFinished();
  assertEquals(chunks().map(size), [
    [0, BODY_SPAN_BYTES, BODY_SPAN_BYTES],
    [BODY_SPAN_BYTES, BODY_SPAN_BYTES, 20_000 - BODY_SPAN_BYTES],
    [2 * BODY_SPAN_BYTES, BODY_SPAN_BYTES, 0],
    [3 * BODY_SPAN_BYTES, 5, 0],
  ]);
});

Deno.test("capture.body_bytes: a body of exactly the limit is kept whole, one byte more is not, 0 keeps none", () => {
  for (const [limit, length, kept] of [[10, 10, 10], [10, 11, 10], [0, 10, 0]] as const) {
    const { recorder, chunks } = record(limit);
    recorder.responseContent(new Uint8Array(length).fill(0x61));
    recorder.complete("complete", 2_000);
    assertEquals(chunks().map(size), [[0, length, kept]]);
  }
});

Deno.test("ExchangeRecorder gives the same events however the content is cut, and keeps none of the memory it is given", () => {
  const body = Uint8Array.from({ length: 2 * BODY_SPAN_BYTES + 100 }, (_, index) => 97 + index % 26);
  const whole = record(BODY_SPAN_BYTES + 50);
  whole.recorder.responseContent(body);
  whole.recorder.complete("complete", 2_000);
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 9000 }), { minLength: 1, maxLength: 12 }), (sizes) => {
      const cut = record(BODY_SPAN_BYTES + 50);
      for (let from = 0, at = 0; from < body.length; at++) {
        const read = body.slice(from, from + sizes[at % sizes.length]!);
        cut.recorder.responseContent(read);
        from += read.length;
        read.fill(0);
      }
      cut.recorder.complete("complete", 2_000);
      assertEquals(cut.events, whole.events);
    }),
  );
});

Deno.test("ExchangeRecorder tells the status of the proxy's own answer where there was one", () => {
  for (const [answer, expected] of [[{}, undefined], [{ answerStatus: 502 }, 502]] as const) {
    const { recorder, events } = record(0);
    recorder.complete("server_aborted", 2_000, { by: "server", code: "reset", detail: "gone", ...answer });
    assertEquals(events[0]!.attributes.answer_status, expected);
    assertEquals("answer_status" in events[0]!.attributes, expected !== undefined);
  }
});

Deno.test("ExchangeRecorder redacts before it records, and completes once", () => {
  const { recorder, events } = record(0, ["authorization"]);
  recorder.requestHead({
    method: "GET",
    target: "/",
    scheme: "https",
    authority: "a.test",
    version: "HTTP/1.1",
    fields: [["Authorization", "secret"]],
    headBytes: 30,
  });
  recorder.responseHead({ status: 103, version: "HTTP/1.1", fields: [], headBytes: 20 }, 1_500);
  recorder.responseHead({ status: 200, version: "HTTP/1.1", fields: [], headBytes: 25 }, 1_700);
  recorder.complete("server_aborted", 2_000, { by: "server", code: "truncated_message", detail: "cut" });
  recorder.complete("complete", 3_000);
  assert(!JSON.stringify(events).includes("secret"));
  assertEquals(events.map(({ kind }) => kind), [
    "request_headers",
    "response_headers",
    "response_headers",
    "exchange_completed",
  ]);
  assertEquals([events[1]!.attributes.interim, events[2]!.attributes.interim], [true, undefined]);
  const { duration_ns, ttfb_ns, outcome, response_head_bytes, error_code } = events[3]!.attributes;
  assertEquals([duration_ns, ttfb_ns, outcome, response_head_bytes, error_code], [
    1_000,
    500,
    "server_aborted",
    45,
    "truncated_message",
  ]);
});

/** An extended CONNECT (RFC 8441) whose stream is observed, if `known`, and what the observer is told. */
function extendedConnect(known = true, budget?: SpanBudget) {
  const told: string[] = [];
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  const { recorder, events } = record(100, [], {
    open: () => null,
    upgrade: ({ request, response }) => {
      told.push(`${request.protocol} ${response.status}`);
      return !known ? null : {
        protocol: "websocket",
        received: (side, bytes) => void told.push(`${side} ${text(bytes)}`),
        ended: (side) => void told.push(`${side} ended`),
        closed: ({ orderly, by }: StreamEnd) => void told.push(`closed ${orderly} ${by}`),
      };
    },
  }, budget);
  recorder.requestHead({
    method: "CONNECT",
    protocol: "websocket",
    target: "/chat",
    scheme: "https",
    authority: "a.test",
    version: "HTTP/2",
    fields: [],
    headBytes: 30,
  });
  const respond = (status: number) =>
    recorder.responseHead({ status, version: "HTTP/2", fields: [], headBytes: 9 }, 1_500);
  const bodies = () =>
    events.filter(({ kind }) => kind.endsWith("_body_chunk"))
      .map(({ kind, attributes }) => [kind, attributes.bytes, attributes.data]);
  return { recorder, events, told, respond, bodies };
}

const utf8 = (text: string) => new TextEncoder().encode(text);

Deno.test("ExchangeRecorder gives the content of a granted extended CONNECT to its stream, and counts it", () => {
  const { recorder, events, told, respond, bodies } = extendedConnect();
  respond(103);
  respond(200);
  recorder.requestContent(utf8("ask"));
  recorder.responseContent(utf8("tell"));
  recorder.requestFinished();
  recorder.responseFinished();
  recorder.complete("complete", 2_000);
  recorder.complete("complete", 2_000);
  assertEquals(told, [
    "websocket 200",
    "client ask",
    "server tell",
    "client ended",
    "server ended",
    "closed true null",
  ]);
  assertEquals(bodies(), [["request_body_chunk", 3, undefined], ["response_body_chunk", 4, undefined]]);
  assertEquals(events[0]?.attributes.protocol, "websocket");
});

Deno.test("ExchangeRecorder keeps what a client sends before its extended CONNECT is granted, up to a span", () => {
  const early = extendedConnect();
  early.recorder.requestContent(utf8("ear"));
  early.recorder.requestContent(utf8("ly"));
  early.recorder.requestFinished();
  early.respond(200);
  early.recorder.complete("reset", 2_000, { by: "server", code: "CANCEL", detail: "no" });
  assertEquals(early.told, [
    "websocket 200",
    "client early",
    "client ended",
    "closed false server",
  ]);
  const tooMuch = extendedConnect();
  tooMuch.recorder.requestContent(new Uint8Array(BODY_SPAN_BYTES));
  tooMuch.recorder.requestContent(utf8("!"));
  tooMuch.respond(200);
  tooMuch.recorder.complete("complete", 2_000);
  assertEquals(tooMuch.told, []);
  assertEquals(tooMuch.events.filter(({ kind }) => kind === "observer_stopped").length, 1);
});

Deno.test("ExchangeRecorder keeps what comes before a grant within the flow's budget, and gives its room back", () => {
  const room = 2 * BODY_SPAN_BYTES;
  const budget = new SpanBudget(room);
  const outcomes = [
    (call: ReturnType<typeof extendedConnect>) => call.respond(200),
    (call: ReturnType<typeof extendedConnect>) => call.respond(403),
    (call: ReturnType<typeof extendedConnect>) =>
      call.recorder.requestContent(new Uint8Array(BODY_SPAN_BYTES)),
    () => {},
  ];
  for (const outcome of outcomes) {
    const early = extendedConnect(true, budget);
    early.recorder.requestContent(utf8("e"));
    assertEquals(budget.bytes >= BODY_SPAN_BYTES, true);
    outcome(early);
    early.recorder.complete("complete", 2_000);
    assertEquals(budget.bytes, 0);
  }
  budget.take(room - BODY_SPAN_BYTES + 1);
  const late = extendedConnect(true, budget);
  late.recorder.requestContent(utf8("early"));
  late.respond(200);
  late.recorder.complete("complete", 2_000);
  assertEquals(late.told, []);
  const stopped = late.events.find(({ kind }) => kind === "observer_stopped");
  assertEquals(String(stopped?.attributes.reason).includes("limits.decoder_buffer_bytes"), true);
});

Deno.test("ExchangeRecorder records content as ever where an extended CONNECT is refused, or for what is not known", () => {
  const refused = extendedConnect();
  refused.respond(403);
  refused.recorder.responseContent(utf8("no"));
  refused.recorder.complete("complete", 2_000);
  assertEquals([refused.told, refused.bodies()], [[], [["response_body_chunk", 2, "no"]]]);
  const unknown = extendedConnect(false);
  unknown.respond(200);
  unknown.recorder.requestContent(utf8("ask"));
  unknown.recorder.complete("complete", 2_000);
  assertEquals(unknown.bodies(), [["request_body_chunk", 3, "ask"]]);
});
