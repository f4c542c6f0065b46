import { assertEquals } from "@std/assert";
import fc from "fast-check";
import type { FlowEvent } from "../../src/core/event.ts";
import {
  type Decision,
  type Effects,
  type LearningNote,
  type Question,
  type Timer,
  TIMERS,
  type TransportFault,
} from "../../src/core/session.ts";
import type { Origin } from "../../src/proxy/origin.ts";
import type { Side } from "../../src/core/side.ts";
import type { ProxySession } from "../../src/proxy/session.ts";
import { session } from "../support/proxy_session.ts";
import { alpn, clientHello, serverName } from "../tls/hello_builder.ts";

/** A driver without a world: notes what a session does, and answers nothing by itself. */
class Notes {
  readonly events: FlowEvent[] = [];
  readonly sent: Record<Side, number[]> = { client: [], server: [] };
  readonly questions: number[] = [];
  /** A policy that answers at once; without one questions stay open. */
  policy: ((question: Question) => Decision) | null = null;
  /** What is known of any client that comes. */
  learned: "bypassed" | "expired" | null = null;
  /** What was asked last. */
  asked: Question | null = null;
  readonly armed = new Set<Timer>();
  #wish: string | null = null;
  closes = 0;
  afterClose = 0;
  session!: ProxySession;

  get hasWish(): boolean {
    return this.#wish !== null;
  }

  /** The dial or handshake that is under way: it is answered once. */
  takeWish(): string | null {
    const wish = this.#wish;
    this.#wish = null;
    return wish;
  }

  readonly effects = new Proxy({}, {
    get: (_target, name) => (...args: unknown[]) => this.#did(String(name), args),
  }) as Effects;

  #did(name: string, args: readonly unknown[]): unknown {
    if (this.closes > 0) this.afterClose++;
    if (name === "record") this.events.push(args[0] as FlowEvent);
    if (name === "send") {
      for (const octet of args[1] as Uint8Array) this.sent[args[0] as Side].push(octet);
    }
    if (name === "admits") return true;
    if (name === "openDatagrams") this.#wish = "open";
    if (name === "open" || name === "secureServer" || name === "secureClient") this.#wish = name;
    if (name === "closeServer") this.#wish = null;
    if (name === "arm") this.armed.add(args[0] as Timer);
    if (name === "disarm") this.armed.delete(args[0] as Timer);
    if (name === "close") this.closes++;
    if (name === "decide") {
      this.asked = args[1] as Question;
      if (this.policy !== null) return this.policy(this.asked);
      this.questions.push(args[0] as number);
      return null;
    }
    if (name === "learn") return noteOf("counted");
    if (name === "learned") return this.learned === null ? null : noteOf(this.learned);
    return name === "countTlsFailure" ? { reason: 1, total: 1 } : undefined;
  }
}

function noteOf(outcome: LearningNote["outcome"]): LearningNote {
  return { outcome, reason: "threshold", failures: 1, failuresNeeded: 2 };
}

function decisionOf(action: Decision["action"]): Decision {
  return { action, reason: "default", ruleId: null };
}

interface Asks {
  readonly decidesRequests: boolean;
  readonly decidesHellos: boolean;
}

function begin(reverse: Origin | null = null, asks: Partial<Asks> = {}): Notes {
  const notes = new Notes();
  const http2Enabled = reverse !== null;
  const capture = { bodyBytes: 64, redactHeaders: new Set<string>() };
  notes.session = session({ capture, reverse, http2Enabled, ...asks })(notes.effects);
  notes.session.begin(0);
  return notes;
}

const encoder = new TextEncoder();
const CONNECT_UDP = "GET /.well-known/masque/udp/a.test/443/ HTTP/1.1\r\nHost: p.test\r\n" +
  "Connection: Upgrade\r\nUpgrade: connect-udp\r\n\r\n";
const HELLO = clientHello({ extensions: [serverName("b.test"), alpn("h2", "http/1.1")] });

/** The preface, SETTINGS and a request. */
const HTTP2_GET = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\0\0\0\x04\0\0\0\0\0" +
  "\0\0\x03\x01\x05\0\0\0\x01\x82\x87\x84";
const ORIGINS: readonly Origin[] = [
  { authority: { host: "o.test", port: 443 }, tls: true },
  { authority: { host: "o.test", port: 80 }, tls: false },
];

/** What peers say: whole things, halves of them, and rubbish. */
const said: fc.Arbitrary<Uint8Array> = fc.oneof(
  fc.constantFrom(
    ...[
      "CONNECT a.test:443 HTTP/1.1\r\n\r\n",
      "CONNECT\t",
      CONNECT_UDP,
      "\0\x04\0abc\x21\x03xyz\0\x40\x02\0!",
      "\0\x05\0",
      "CONN",
      "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
      "0\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
      "HTTP/1.1 100 Continue\r\n\r\n",
      "HTTP/1.1 200 OK\r\n\r\nuntil the end",
      "\r\n",
      "220 mail\r\n",
      "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
      HTTP2_GET,
      HTTP2_GET.slice(0, 30),
    ].map((text) => encoder.encode(text)),
    HELLO,
    HELLO.slice(0, 40),
    HELLO.slice(40),
  ),
  fc.uint8Array({ minLength: 1, maxLength: 20 }),
);

interface Step {
  /** For the counterexample. */
  readonly label: string;
  take(notes: Notes, now: number): void;
}

const side: fc.Arbitrary<Side> = fc.constantFrom("client", "server");
const fault: fc.Arbitrary<TransportFault> = fc.constantFrom<TransportFault["kind"]>(
  "reset",
  "timeout",
  "refused",
  "self_target",
  "tls",
  "other",
).map((kind) => ({ kind, code: kind, detail: kind }));

const received = (by: Side, data: string | Uint8Array): Step => ({
  label: `received ${by} ${data}`,
  take: ({ session }, now) =>
    session.received(by, typeof data === "string" ? encoder.encode(data) : data.slice(), now),
});

const taken = (decision: Decision): Step => ({
  label: `${decision.action}${decision.onHello ? " on the hello" : ""}`,
  take: ({ session, questions }, now) => session.decided(questions.shift() ?? 1, decision, now),
});
const decided = (action: Decision["action"], onHello = false): Step =>
  taken({ ...decisionOf(action), ...(onHello ? { onHello } : {}) });

const answeredWell = (alpn: string | null): Step => ({
  label: `answered well ${alpn}`,
  take: (notes, now) => {
    const wish = notes.takeWish();
    const info = { alpn, version: "TLSv1.3", cipher: "x" };
    if (wish === "open") notes.session.opened(now);
    if (wish === "secureServer") notes.session.secured("server", info, now);
    if (wish === "secureClient") notes.session.secured("client", info, now);
  },
});

const answeredBadly = (fault: TransportFault): Step => ({
  label: `answered badly ${fault.kind}`,
  take: (notes, now) => {
    const wish = notes.takeWish();
    if (wish === "open") notes.session.openFailed(fault, now);
    if (wish === "secureServer") notes.session.secureFailed("server", fault, now);
    if (wish === "secureClient") notes.session.secureFailed("client", fault, now);
  },
});

/** Any input in any state that a driver could give; what answers an effect comes only while that is open. */
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.tuple(side, said).map(([by, data]) => received(by, data)),
  },
  {
    weight: 4,
    arbitrary: fc.tuple(fc.constantFrom<Decision["action"]>("intercept", "tunnel", "block"), fc.boolean())
      .map(([action, onHello]) => decided(action, onHello)),
  },
  {
    weight: 8,
    arbitrary: fc.tuple(fault, fc.constantFrom(null, "http/1.1", "h2")).chain(([fault, chosen]) =>
      fc.constantFrom(answeredWell(chosen), answeredBadly(fault))
    ),
  },
  {
    weight: 4,
    arbitrary: fc.tuple(side, fault, fc.boolean()).chain(([by, fault, truncated]) =>
      fc.constantFrom<Step>(
        { label: `ended ${by}`, take: ({ session }, now) => session.ended(by, now, truncated) },
        { label: `failed ${by}`, take: ({ session }, now) => session.failed(by, fault, now) },
        { label: "drain", take: ({ session }, now) => session.drain(now) },
      )
    ),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom<Timer>(...TIMERS).map((timer): Step => ({
      label: `expired ${timer}`,
      take: ({ session, armed }, now) => {
        if (armed.delete(timer)) session.expired(timer, now);
      },
    })),
  },
);

const asks: fc.Arbitrary<Asks> = fc.record({ decidesRequests: fc.boolean(), decidesHellos: fc.boolean() });

const known = (outcome: "bypassed" | "expired"): Step => ({
  label: `known ${outcome}`,
  take: (notes) => void (notes.learned = outcome),
});

const well = answeredWell("http/1.1");
const badly = answeredBadly({ kind: "tls", code: "X", detail: "x" });
const TO_PEEKING = [received("client", "CONNECT a.test:443 HTTP/1.1\r\n\r\n"), decided("intercept"), well];
const TO_SECURING = [...TO_PEEKING, received("client", HELLO), decided("intercept")];
const TO_REFUSAL = [...TO_SECURING, badly];
const TO_HTTPS = [...TO_SECURING, well, well];
const TO_ROUTING = [received("client", "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n")];
const TO_FORWARDED = [...TO_ROUTING, decided("intercept"), well];

/** What brings a session into each of its phases. */
const BEGINNINGS: readonly (readonly Step[])[] = [
  [],
  TO_PEEKING.slice(0, 1),
  TO_PEEKING.slice(0, 2),
  TO_PEEKING,
  [TO_PEEKING[0]!, decided("tunnel"), well],
  TO_SECURING.slice(0, -1),
  TO_SECURING,
  [known("bypassed"), ...TO_SECURING],
  [known("expired"), ...TO_SECURING],
  [...TO_SECURING, well],
  [...TO_SECURING, well, badly],
  TO_REFUSAL,
  [...TO_REFUSAL, well],
  TO_HTTPS,
  [
    ...TO_HTTPS,
    received("client", "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"),
  ],
  [...TO_HTTPS, received("client", "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n")],
  TO_ROUTING,
  TO_ROUTING.concat(decided("intercept")),
  TO_FORWARDED,
  [...TO_FORWARDED, received("server", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")],
];

const TO_ORIGIN = [decided("intercept"), received("client", HELLO), decided("intercept")];

/** The same behind a reverse listener. */
const REVERSE_BEGINNINGS: readonly (readonly Step[])[] = [
  [],
  [decided("intercept")],
  [decided("block")],
  [decided("block"), received("client", HELLO), well],
  [decided("tunnel")],
  [decided("tunnel"), well],
  TO_ORIGIN.slice(0, -1),
  TO_ORIGIN,
  [known("bypassed"), ...TO_ORIGIN],
  [...TO_ORIGIN, well],
  [...TO_ORIGIN, badly],
  [...TO_ORIGIN, badly, answeredWell("h2")],
  [...TO_ORIGIN, well, well],
  [...TO_ORIGIN, well, badly],
  [...TO_ORIGIN, well, well, well],
  ...["GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", HTTP2_GET, HTTP2_GET.slice(0, -3), "SSH-2.0-x\r\n"].flatMap(
    (said): readonly Step[][] => [
      [decided("intercept"), received("client", said)],
      [decided("intercept"), received("client", said), well],
      [decided("intercept"), received("client", said), badly],
      [decided("intercept"), received("client", said), well, answeredWell("h2")],
      [decided("block"), received("client", said)],
    ],
  ),
];

/** How a session is made, and how it is brought into a phase. */
const start = fc.oneof(
  fc.constantFrom(...BEGINNINGS).map((beginning) => ({ reverse: null, beginning })),
  fc.record({ reverse: fc.constantFrom(...ORIGINS), beginning: fc.constantFrom(...REVERSE_BEGINNINGS) }),
);

Deno.test("any input in any state: ProxySession never throws, closes once, and does nothing afterwards", () => {
  fc.assert(
    fc.property(start, fc.array(step, { maxLength: 12 }), asks, (
      { reverse, beginning },
      steps,
      asks,
    ) => {
      const notes = begin(reverse, asks);
      let now = 0;
      for (const { take } of [...beginning, ...steps]) {
        now += 1_000_000;
        take(notes, now);
      }
      notes.session.abort(now + 1);
      assertEquals(notes.closes, 1);
      assertEquals(notes.afterClose, 0);
      assertEquals(notes.events.filter(({ kind }) => kind === "stream_closed").length, 1);
      assertEquals(notes.events.at(-1)!.kind, "stream_closed");
      assertEquals(notes.session.heldBytes, 0);
      assertEquals(notes.session.state.illegal, 0);
    }),
    { numRuns: 5000 },
  );
});

/** A conversation is bytes in turns; a policy and servers that are always there carry it on. */
interface Conversation {
  readonly name: string;
  readonly action: Decision["action"];
  /** Behind a reverse listener. */
  readonly reverse?: Origin;
  /** Requests are decided by their path. */
  readonly byPath?: true;
  /** What a rule about ClientHellos decides. */
  readonly onHello?: Decision["action"];
  readonly turns: readonly (readonly [Side, string | Uint8Array])[];
}

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\n\r\nhello";
const CONNECT = "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n";
const GET = "GET / HTTP/1.1\r\nHost: a.test\r\nA: b\r\n\r\n";
const at = (path: string) => GET.replace("/", path);
const PLAIN = "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nProxy-Connection: x\r\n\r\n";
const POST =
  "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n3\r\nabc\r\n0\r\nT: u\r\n\r\n";
const UPGRADE = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
const SWITCH = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nopaque";

const CONVERSATIONS: readonly Conversation[] = [
  {
    name: "a tunnel",
    action: "tunnel",
    turns: [["client", `${CONNECT}ahead`], ["server", "back"], ["client", "on"]],
  },
  {
    name: "TLS in a tunnel",
    action: "tunnel",
    turns: [["client", CONNECT], ["client", HELLO], ["server", "hello"], ["client", "opaque"]],
  },
  {
    name: "TLS in a tunnel that a rule about hellos would have intercepted",
    action: "tunnel",
    onHello: "intercept",
    turns: [["client", CONNECT], ["client", HELLO], ["client", GET], ["server", OK]],
  },
  {
    name: "TLS that a rule about hellos has tunnelled",
    action: "intercept",
    onHello: "tunnel",
    turns: [["client", CONNECT], ["client", HELLO], ["client", "opaque"], ["server", "opaque"]],
  },
  {
    name: "TLS in a tunnel that a rule about hellos blocks",
    action: "tunnel",
    onHello: "block",
    turns: [["client", CONNECT], ["client", HELLO]],
  },
  {
    name: "no TLS in a tunnel that rules about hellos wait for",
    action: "tunnel",
    onHello: "block",
    turns: [["client", `${CONNECT}\x16\x03no`], ["server", "back"], ["client", "on"]],
  },
  {
    name: "HTTP inside TLS",
    action: "intercept",
    turns: [["client", CONNECT], ["client", HELLO], ["client", GET], ["server", OK], ["client", POST], [
      "server",
      OK,
    ]],
  },
  {
    name: "HTTP in the clear",
    action: "intercept",
    turns: [["client", `${CONNECT}${GET}${POST}`], ["server", `${OK}${OK}`]],
  },
  {
    name: "plain requests",
    action: "intercept",
    turns: [["client", PLAIN + PLAIN], ["server", OK], ["server", OK]],
  },
  {
    name: "a plain request that begins like a CONNECT",
    action: "intercept",
    turns: [["client", PLAIN.replace("GET", "CONNECTED")], ["server", OK]],
  },
  {
    name: "a bad plain request that begins like a CONNECT",
    action: "intercept",
    turns: [["client", PLAIN.replace("GET", "CONN").replace("Host:", "Host :")]],
  },
  {
    name: "a CONNECT after a plain request",
    action: "intercept",
    turns: [["client", PLAIN + CONNECT + GET], ["server", OK], ["server", OK]],
  },
  {
    name: "an upgrade",
    action: "intercept",
    turns: [["client", CONNECT + UPGRADE], ["server", SWITCH], ["client", "opaque"]],
  },
  {
    name: "neither TLS nor HTTP",
    action: "intercept",
    turns: [["client", `${CONNECT}SSH-2.0-x\r\n`], ["server", "SSH-2.0-y\r\n"]],
  },
  { name: "a bad CONNECT", action: "intercept", turns: [["client", CONNECT.replace(":443", "")]] },
  {
    name: "CONNECT and a tab",
    action: "intercept",
    turns: [["client", "CONNECT\ta.test:443 HTTP/1.1\r\n\r\n"]],
  },
  {
    name: "a bad request after a good one",
    action: "intercept",
    turns: [["client", CONNECT + GET + "GET / HTTP/1.1\r\nHost : x\r\n\r\n"], ["server", OK]],
  },
  {
    name: "a bad chunk",
    action: "intercept",
    turns: [["client", CONNECT + POST.replace("3\r\nabc", "zz\r\nabc")]],
  },
  {
    name: "a bad response",
    action: "intercept",
    turns: [["client", CONNECT + GET], ["server", OK.replace("5\r\n", "5, 6\r\n")]],
  },
  {
    name: "HTTP/1.1 in the clear to an origin in TLS",
    action: "intercept",
    reverse: ORIGINS[0]!,
    turns: [["client", GET + POST], ["server", `${OK}${OK}`]],
  },
  {
    name: "TLS to an origin in the clear",
    action: "intercept",
    reverse: ORIGINS[1]!,
    turns: [["client", HELLO], ["client", GET], ["server", OK]],
  },
  {
    name: "HTTP/2 with prior knowledge to an origin in the clear",
    action: "intercept",
    reverse: ORIGINS[1]!,
    turns: [["client", HTTP2_GET], ["server", "\0\0\0\x04\0\0\0\0\0\0\0\x01\x01\x05\0\0\0\x01\x88"]],
  },
  {
    name: "HTTP/2 that is refused",
    action: "block",
    reverse: ORIGINS[0]!,
    turns: [["client", HTTP2_GET]],
  },
  {
    name: "no HTTP in front of an origin in TLS",
    action: "intercept",
    reverse: ORIGINS[0]!,
    turns: [["client", "SSH-2.0-x\r\n"]],
  },
  {
    name: "requests that are refused, relayed and observed, one behind the other",
    action: "intercept",
    byPath: true,
    turns: [
      ["client", CONNECT.replace(":443", ":80") + GET + at("/no") + at("/quiet") + POST + at("/no/2") + GET],
      ["server", OK + OK],
      ["server", OK + OK],
      ["client", POST.replace("/", "/no")],
    ],
  },
  {
    name: "another Host, and one that is blocked",
    action: "intercept",
    byPath: true,
    turns: [["client", CONNECT + GET.replace("a.test", "b.test") + at("/no").replace("a.test", "c.test:1")], [
      "server",
      OK,
    ]],
  },
  {
    name: "CONNECT-UDP",
    action: "intercept",
    // A datagram, one in a context of its own, a capsule of another type, an empty datagram, one in a long form.
    turns: [["client", `${PLAIN}${CONNECT_UDP}\0\x04\0abc\0\x02\x07d`], ["server", OK], [
      "client",
      "\x21\x03xyz\0\x01\0\0\x40\x02\0!\x80\0\0\x21\0\0\x03\0e",
    ]],
  },
  {
    name: "CONNECT-UDP with a datagram that has no context",
    action: "tunnel",
    turns: [["client", `${CONNECT_UDP}\0\x04\0abc`], ["client", "\x21\0\0\0\x21\0\0\x02\0d"]],
  },
  { name: "a bad CONNECT-UDP", action: "tunnel", turns: [["client", CONNECT_UDP.replace("/443/", "/443")]] },
  { name: "a blocked target", action: "block", turns: [["client", `${CONNECT}ahead`]] },
];

/** How policy is asked. `atOnce`: the effect gives its answer, which else comes as `decided` after the read. */
interface Asking extends Partial<Asks> {
  readonly atOnce: boolean;
}

/** Plays it with each turn cut into pieces by `cut`, and gives what was recorded and sent. */
function played(
  { action, byPath, onHello, reverse, turns }: Conversation,
  cut: (bytes: Uint8Array) => Uint8Array[],
  { atOnce, decidesRequests }: Asking = { atOnce: false },
): unknown {
  const notes = begin(reverse, {
    decidesRequests: decidesRequests === true || byPath === true,
    decidesHellos: onHello !== undefined,
  });
  const byHello = ({ hello }: Question) => onHello !== undefined && hello !== undefined;
  const policy = (question: Question): Decision => {
    const { path } = question;
    if (byHello(question)) return { ...decisionOf(onHello!), onHello: true };
    if (!byPath) return decisionOf(action);
    return decisionOf(path?.startsWith("/no") ? "block" : path?.startsWith("/quiet") ? "tunnel" : action);
  };
  if (atOnce) notes.policy = policy;
  const { session } = notes;
  const answerAll = () => {
    while (notes.closes === 0 && (notes.questions.length > 0 || notes.hasWish)) {
      if (notes.questions.length > 0) taken(policy(notes.asked!)).take(notes, 1);
      else well.take(notes, 1);
    }
  };
  for (const [by, data] of turns) {
    for (const piece of cut(typeof data === "string" ? encoder.encode(data) : data)) {
      if (notes.closes > 0) break;
      session.received(by, piece.slice(), 1);
      answerAll();
    }
  }
  if (notes.closes === 0) session.abort(2);
  assertEquals(session.state.illegal, 0);
  const events = notes.events.map(({ attributes, ...event }) => {
    const kept = { ...attributes };
    // How much of what came after the end was still read depends on the pieces.
    if (event.kind === "stream_closed" && kept["reason_code"] !== "shutdown") {
      delete kept["bytes_from_client"];
      delete kept["bytes_from_server"];
    }
    return { ...event, attributes: kept };
  });
  return { events, sent: notes.sent };
}

for (const conversation of CONVERSATIONS) {
  Deno.test(`${conversation.name}: any cuts and any pace of decisions give the same events and the same bytes`, () => {
    const whole = played(conversation, (bytes) => [bytes]);
    assertEquals(played(conversation, (bytes) => [...bytes].map((octet) => Uint8Array.of(octet))), whole);
    const askings = fc.record({ decidesRequests: fc.boolean(), atOnce: fc.boolean() });
    const cuts = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(cuts, askings, (sizes, asking) => {
        let index = 0;
        const cut = (bytes: Uint8Array) => {
          const pieces: Uint8Array[] = [];
          for (let offset = 0; offset < bytes.length;) {
            const size = sizes[index++ % sizes.length]!;
            pieces.push(bytes.subarray(offset, offset + size));
            offset += size;
          }
          return pieces;
        };
        assertEquals(played(conversation, cut, asking), whole);
      }),
      { numRuns: 60 },
    );
  });
}
