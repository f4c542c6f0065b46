import { NO_OBSERVATION } from "../../src/http/observation.ts";
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import type { FlowEvent } from "../../src/core/event.ts";
import type { Side } from "../../src/core/side.ts";
import { Http1Relay } from "../../src/http1/relay.ts";
import { cutInto, latin1 } from "../support/golden.ts";

const LIMITS = { maxHeadBytes: 4096, maxHeaderFields: 32, headMs: 1000, idleMs: 1000, exchangeIdleMs: 1000 };

/** What a relay did with what it was given: the bytes each side got, and the events without their times. */
interface Outcome {
  readonly toServer: string;
  readonly toClient: string;
  readonly events: readonly unknown[];
  readonly finished: string | null;
  readonly resets: readonly Side[];
}

type Step = readonly [Side, Uint8Array];

function run(
  steps: readonly Step[],
  { abort = false, ends = false, stripsAltSvc = false, strictHeaders = true } = {},
): Outcome {
  const sent: Record<Side, string> = { client: "", server: "" };
  const events: unknown[] = [];
  const resets: Side[] = [];
  let finished: string | null = null;
  const relay = new Http1Relay({
    host: {
      send: (side, data) => {
        assert(finished === null, "nothing is sent after the end");
        sent[side] += String.fromCharCode(...data);
      },
      reset: (side) => resets.push(side),
      pause: () => {},
      resume: () => {},
      arm: () => {},
      disarm: () => {},
      record: ({ kind, attributes }: FlowEvent) => events.push({ kind, ...attributes }),
      finish: (reason) => {
        assert(finished === null, "a flow ends once");
        finished = reason;
      },
      upgraded: (fromServer) => {
        sent.client += String.fromCharCode(...fromServer);
        finished = "upgraded";
      },
    },
    limits: LIMITS,
    capture: { bodyBytes: 64, redactHeaders: new Set() },
    observation: NO_OBSERVATION,
    scheme: "https",
    authority: "a.test",
    router: null,
    gate: null,
    firstExchangeId: 1,
    stripsAltSvc,
    strictHeaders,
  }, 0);
  for (const [side, data] of steps) if (finished === null) relay.received(side, data, 0);
  if (ends && finished === null) relay.ended("client", 0);
  if (abort) relay.abort("shutdown", "shutdown", "The proxy was stopped", 0);
  return { toServer: sent.server, toClient: sent.client, events, finished, resets };
}

const GET = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
const POST =
  "POST /p HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nT: v\r\n\r\n";
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
const CHUNKED =
  "HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";

/** The statuses of the proxy's own answers: as the client got them, and as the events have them. */
function ownAnswers({ toClient, events }: Outcome): { sent: number[]; recorded: number[] } {
  const sent = [
    ...toClient.matchAll(/HTTP\/1\.1 (\d{3}) [^\r]*\r\n(?:[^\r]+\r\n)*?proxy-status: soth-mitm;/gi),
  ];
  const recorded = (events as readonly { answer_status?: number }[]).flatMap(({ answer_status }) =>
    answer_status ?? []
  );
  return { sent: sent.map(([, status]) => Number(status)), recorded };
}

Deno.test("Http1Relay forwards pipelined requests and their responses byte for byte, however they are cut", () => {
  const requests = latin1(GET + POST + GET);
  const responses = latin1(OK + CHUNKED + OK);
  const whole = run([["client", requests], ["server", responses]]);
  assertEquals(whole.toServer, GET + POST + GET);
  assertEquals(whole.toClient, OK + CHUNKED + OK);
  for (let size = 1; size <= Math.max(requests.length, responses.length); size++) {
    const cut = run([
      ...cutInto(requests, size).map((part): Step => ["client", part]),
      ...cutInto(responses, size).map((part): Step => ["server", part]),
    ]);
    assertEquals(cut, whole, `reads of ${size}`);
  }
});

Deno.test("Http1Relay keeps pipelined requests in order when more come while some are held", () => {
  const requests = Array.from({ length: 80 }, (_, n) => `GET /${n} HTTP/1.1\r\nHost: a.test\r\n\r\n`);
  const { toServer } = run([
    ["client", latin1(requests.slice(0, 70).join(""))],
    ["server", latin1(OK.repeat(10))],
    // Read before the pause took hold.
    ["client", latin1(requests.slice(70).join(""))],
    ["server", latin1(OK.repeat(60))],
  ]);
  assertEquals(toServer, requests.join(""));
});

Deno.test("Http1Relay gives the same bytes and events for any cut of requests and responses", () => {
  const message = fc.constantFrom([GET, OK], [POST, CHUNKED], [GET, CHUNKED], [POST, OK]);
  fc.assert(fc.property(
    fc.array(message, { minLength: 1, maxLength: 4 }),
    fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 30 }),
    (messages, sizes) => {
      const requests = latin1(messages.map(([request]) => request).join(""));
      const responses = latin1(messages.map(([, response]) => response).join(""));
      const cut = (side: Side, bytes: Uint8Array): Step[] => {
        const steps: Step[] = [];
        for (let from = 0, at = 0; from < bytes.length; at++) {
          const size = sizes[at % sizes.length]!;
          steps.push([side, bytes.slice(from, from + size)]);
          from += size;
        }
        return steps;
      };
      assertEquals(
        run([...cut("client", requests), ...cut("server", responses)]),
        run([["client", requests], ["server", responses]]),
      );
    },
  ));
});

Deno.test("Http1Relay is total: mutated messages never throw, and forward no byte that did not come", () => {
  const bytes = latin1(GET + POST);
  const answers = latin1(CHUNKED + OK);
  fc.assert(
    fc.property(
      fc.nat(bytes.length - 1),
      fc.nat(answers.length - 1),
      fc.nat(255),
      fc.nat(255),
      (requestAt, responseAt, requestOctet, responseOctet) => {
        const requests = bytes.slice();
        requests[requestAt] = requestOctet;
        const responses = answers.slice();
        responses[responseAt] = responseOctet;
        const outcome = run([["client", requests], ["server", responses]]);
        assert(String.fromCharCode(...requests).startsWith(outcome.toServer));
        const { sent, recorded } = ownAnswers(outcome);
        assertEquals(recorded, sent, "each answer of the proxy is in its exchange's event, and no other");
      },
    ),
    { numRuns: 1000 },
  );
});

Deno.test("Http1Relay answers a bad request after the responses before it, and forwards none of it", () => {
  const bad = "GET / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n";
  const outcome = run([["client", latin1(GET + bad)], ["server", latin1(OK)]]);
  const { toServer, toClient, finished, events } = outcome;
  assertEquals(toServer, GET);
  assert(toClient.startsWith(OK + "HTTP/1.1 400 Bad Request\r\n"), toClient);
  assertEquals(finished, "protocol_error");
  assertEquals(
    (events as { exchange_id: number; outcome?: string; answer_status?: number }[])
      .flatMap(({ exchange_id, outcome, answer_status }) =>
        outcome === undefined ? [] : [[exchange_id, outcome, answer_status]]
      ),
    [[1, "complete", undefined], [2, "protocol_error", 400]],
  );

  // The answer's turn never comes where the response before it cannot be given.
  const cut = run([["client", latin1(GET + bad)], ["server", latin1("HTTP/1.1 200 OK\r\nbad\r\n\r\n")]]);
  assertEquals(ownAnswers(cut), { sent: [502], recorded: [502] });
  assertEquals(cut.events.length, 3);
});

Deno.test("Http1Relay records the status of its own answer with the exchange that it stands for", () => {
  const badChunk = "POST /p HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n";
  const cases: [Step[], number[], string][] = [
    [[["client", latin1("GET\r\n\r\n")]], [400], "a bad head"],
    [[["client", latin1(`GET / HTTP/1.1\r\nHost: ${"a".repeat(5000)}\r\n\r\n`)]], [431], "a head too large"],
    [[["client", latin1(badChunk)]], [400], "a bad body"],
    [[["client", latin1(GET + badChunk)]], [400], "a bad body behind a request that waits"],
    [[["client", latin1(GET)], ["server", latin1("HTTP/1.1 2x0\r\n\r\n")]], [502], "a bad response"],
    [
      [["client", latin1(POST)], ["server", latin1(CHUNKED.slice(0, -9) + "x\r\n")]],
      [],
      "a response cut short",
    ],
    [[["client", latin1(GET)], ["server", latin1(OK)], ["server", latin1(OK)]], [], "a response too many"],
  ];
  for (const [steps, statuses, what] of cases) {
    assertEquals(ownAnswers(run(steps)), { sent: statuses, recorded: statuses }, what);
  }
  const behind = run([["client", latin1(GET + badChunk)]]).events as Record<string, unknown>[];
  assertEquals(
    behind.filter(({ kind }) => kind === "exchange_completed")
      .map(({ exchange_id, outcome, answer_status }) => [exchange_id, outcome, answer_status]),
    [[2, "protocol_error", undefined], [1, "client_aborted", 400]],
  );
});

Deno.test("Http1Relay relays no interim response that breaks framing", () => {
  const { toClient, resets } = run([
    ["client", latin1(GET)],
    ["server", latin1("HTTP/1.1 103 Early\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n")],
  ]);
  assert(toClient.startsWith("HTTP/1.1 502 "), toClient);
  assertEquals(resets, ["server"]);
});

Deno.test("Http1Relay does not let a connection change over to HTTP/2 behind its back", () => {
  const plain = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
  const offer = plain.replace(
    /\r\n$/,
    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
  );
  const answered = run([["client", latin1(offer)], ["server", latin1(OK)], ["client", latin1(GET)]]);
  assertEquals([answered.toServer, answered.toClient, answered.finished], [plain + GET, OK, null]);
  const [{ headers }] = answered.events as [{ headers: [string, string][] }];
  assertEquals(headers.length, 4, "the log has what the client sent");
  const switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
  assertEquals(run([["client", latin1(offer)], ["server", latin1(switched)]]).finished, "protocol_error");
});

Deno.test("Http1Relay becomes opaque only with the server's 101, and only when it was asked for", () => {
  const upgrade = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";
  const switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";
  const good = run([["client", latin1(upgrade)], ["server", latin1(switched + "\x00opaque")]]);
  assertEquals([good.finished, good.toClient], ["upgraded", switched + "\x00opaque"]);

  const early = run([["client", latin1(upgrade + "\x01\x02not HTTP")], ["server", latin1(switched)]]);
  assertEquals(early.toServer, upgrade);
  assert(early.toClient.startsWith("HTTP/1.1 502 "));

  const unasked = run([["client", latin1(GET)], ["server", latin1(switched)]]);
  assert(unasked.toClient.startsWith("HTTP/1.1 502 "));

  const behind = run([["client", latin1(upgrade + GET)], ["server", latin1(switched)]]);
  assert(behind.toClient.startsWith("HTTP/1.1 502 "));
});

Deno.test("Http1Relay.abort resets a client in the middle of a response: an end would make a cut body look whole", () => {
  const started = latin1("HTTP/1.1 200 OK\r\n\r\npart");
  const middle = run([["client", latin1(GET)], ["server", started]], { abort: true });
  assertEquals([middle.resets, middle.toClient], [["client"], "HTTP/1.1 200 OK\r\n\r\npart"]);
  const before = run([["client", latin1(GET)]], { abort: true });
  const after = run([["client", latin1(GET)], ["server", latin1(OK)]], { abort: true });
  assertEquals([before.resets, after.resets], [[], []]);
});

Deno.test("a client that ends after an early and whole answer has completed its exchange", () => {
  const post = "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100\r\n\r\npart";
  const answered = run([["client", latin1(post)], ["server", latin1(OK)]], { ends: true });
  assertEquals(answered.finished, "client_reset");
  assertEquals((answered.events.at(-1) as { outcome?: string }).outcome, "complete");
  const unanswered = run([["client", latin1(post)]], { ends: true });
  assertEquals((unanswered.events.at(-1) as { outcome?: string }).outcome, "client_aborted");
});

Deno.test("Http1Relay keeps Alt-Svc from the client where it is told to, every other octet as it came, whatever the cuts", () => {
  const early = 'HTTP/1.1 103 Early\r\nALT-Svc: h3=":1"\r\nLink:  x \r\n\r\n';
  const head =
    'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nalt-svc: h3=":443"; ma=1\r\nX: Alt-Svc\r\nAlt-Svc: clear\r\n\r\n';
  const steps: Step[] = [["client", latin1(GET + GET)], ["server", latin1(`${early}${head}abc${OK}`)]];
  const whole = run(steps, { stripsAltSvc: true });
  assertEquals(
    whole.toClient,
    "HTTP/1.1 103 Early\r\nLink:  x \r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\nX: Alt-Svc\r\n\r\nabc" +
      OK,
  );
  const of = (kind: string) =>
    (whole.events as { kind: string; [name: string]: unknown }[]).filter((event) => event.kind === kind);
  assertEquals(of("response_headers")[1]!["headers"], [
    ["Content-Length", "3"],
    ["alt-svc", 'h3=":443"; ma=1'],
    ["X", "Alt-Svc"],
    ["Alt-Svc", "clear"],
  ]);
  assertEquals(of("exchange_completed").map(({ stripped }) => stripped), [["alt-svc"], undefined]);
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 300 }), (size) => {
      const cut = steps.flatMap(([side, bytes]) => cutInto(bytes, size).map((piece): Step => [side, piece]));
      assertEquals(run(cut, { stripsAltSvc: true }), whole);
    }),
  );
  assertEquals(run(steps).toClient, `${early}${head}abc${OK}`);
});

/** What the heads of these events say of what was tolerated. */
function tolerated({ events }: Outcome, kind: string): unknown[] {
  return (events as { kind: string; tolerated?: unknown }[]).filter((event) => event.kind === kind)
    .map((event) => event.tolerated);
}

Deno.test("Http1Relay lets control octets in values through where it is told to, the octets as they came, whatever the cuts", () => {
  const post = "POST / HTTP/1.1\r\nHost: a.test\r\nX: \x01\x7f\r\nTransfer-Encoding: chunked\r\n\r\n" +
    "3\r\nabc\r\n0\r\nT: \x02\r\n\r\n";
  const response =
    "HTTP/1.1 200 OK\r\nY: \x03\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nU: \x04\r\n\r\n";
  const steps: Step[] = [["client", latin1(post)], ["server", latin1(response)], ["client", latin1(GET)], [
    "server",
    latin1(OK),
  ]];
  const whole = run(steps, { strictHeaders: false });
  assertEquals([whole.toServer, whole.toClient], [post + GET, response + OK]);
  assertEquals(whole.finished, null);
  for (const kind of ["request_headers", "response_headers"]) {
    assertEquals(tolerated(whole, kind), [["control_byte"], undefined]);
  }
  assertEquals(tolerated(whole, "request_trailers"), [["control_byte"]]);
  assertEquals(tolerated(whole, "response_trailers"), [["control_byte"]]);
  for (let size = 1; size < 200; size++) {
    const cut = steps.flatMap(([side, bytes]) => cutInto(bytes, size).map((piece): Step => [side, piece]));
    assertEquals(run(cut, { strictHeaders: false }), whole);
  }
  assertEquals(run(steps).toServer, "");
});

Deno.test("Http1Relay ends the connection with a response whose lines it tolerated", () => {
  const heads: [code: string, head: string][] = [
    ["obs_fold", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 3\r\n\r\n"],
    ["whitespace_before_colon", "HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 3\r\n\r\n"],
    ["bare_lf", "HTTP/1.1 200 OK\nContent-Length: 3\n\n"],
    // Of an interim response too: another might be taken for the final one.
    ["bare_lf", "HTTP/1.1 103 Early\n\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"],
  ];
  for (const [code, head] of heads) {
    const steps: Step[] = [["client", latin1(GET + GET)], ["server", latin1(`${head}abc${OK}`)]];
    const whole = run(steps, { strictHeaders: false });
    assertEquals([whole.toClient, whole.finished, whole.resets], [`${head}abc`, "complete", []], code);
    assertEquals(tolerated(whole, "response_headers")[0], [code]);
    const ends = (whole.events as { kind: string; outcome?: string; error_code?: string }[]).filter((event) =>
      event.kind === "exchange_completed"
    );
    assertEquals(ends.map(({ outcome, error_code }) => [outcome, error_code]), [
      ["complete", undefined],
      ["server_aborted", "connection_closed"],
    ]);
    for (let size = 1; size < 90; size++) {
      const cut = steps.flatMap(([side, bytes]) => cutInto(bytes, size).map((piece): Step => [side, piece]));
      assertEquals(run(cut, { strictHeaders: false }), whole);
    }
    assert(run(steps).toClient.startsWith("HTTP/1.1 502 "), code);
  }
});

Deno.test("Http1Relay tolerates no lines in requests and trailer sections, whatever it is told", () => {
  const bad = [
    "GET / HTTP/1.1\nHost: a.test\n\n",
    "GET / HTTP/1.1\r\nHost: a.test\r\nX: a\r\n b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a.test\r\nX : a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: \x01chunked\r\n\r\n",
  ];
  for (const head of bad) {
    const refused = run([["client", latin1(head)]], { strictHeaders: false });
    assertEquals([refused.toServer, refused.toClient.slice(0, 12)], ["", "HTTP/1.1 400"], head);
  }
  const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const trailers of ["0\r\nX: a\r\n b\r\n\r\n", "0\r\nX : a\r\n\r\n", "0\r\nX: a\n\n"]) {
    const cut = run([["client", latin1(GET)], ["server", latin1(chunked + trailers)]], {
      strictHeaders: false,
    });
    assertEquals([cut.toClient, cut.finished], [`${chunked}0\r\n`, "protocol_error"], trailers);
  }
});
