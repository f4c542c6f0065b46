import { assertEquals } from "@std/assert";
import type { Effects } from "../../src/core/session.ts";
import type { ProxySession } from "../../src/proxy/session.ts";
import {
  answer,
  closes,
  decide,
  end,
  type Expected,
  open,
  type Play,
  playbook,
  record,
  reset,
  send,
} from "../support/playbook.ts";
import { clientHello } from "../tls/hello_builder.ts";
import {
  CONNECT_MS,
  ESTABLISHED,
  HEAD_MS,
  IDLE_MS,
  session,
  TUNNEL_IDLE_MS,
} from "../support/proxy_session.ts";

const HEAD = "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n";
const ASKED: readonly Expected[] = [
  record("connect_received", { authority: "a.test:443", method: "CONNECT" }),
  decide("a.test:443", { method: "CONNECT", sni: null, path: null, flowId: "1-1" }),
];

function connected(play: Play, action: "intercept" | "tunnel"): Play {
  return play.receives("client", HEAD).expects(ASKED)
    .decides(action).expects(record("connect_decision", { action }), open("a.test:443"))
    .opens().expects(send("client", ESTABLISHED));
}

// CONNECT

playbook("ProxySession asks policy, dials, and says 200 only when the server is connected", (play) => {
  play(session())
    .expectsTimers("client_head")
    .receives("client", HEAD)
    .expects(ASKED)
    .expectsTimers()
    .decides("intercept", { reason: "rule", ruleId: "r1" })
    .expects(
      record("connect_decision", { action: "intercept", reason: "rule", rule_id: "r1" }),
      open("a.test:443"),
    )
    .expectsTimers("connect")
    .opens()
    .expects(send("client", ESTABLISHED))
    .expectsTimers("idle");
});

playbook("ProxySession takes a CONNECT head a byte at a time", (play) => {
  const one = play(session());
  for (const character of HEAD) one.receives("client", character);
  one.expects(ASKED);
});

const BAD: readonly (readonly [string, string])[] = [
  ["CONNECT a.test HTTP/1.1\r\n\r\n", "missing_port"],
  ["CONNECT a.test: HTTP/1.1\r\n\r\n", "missing_port"],
  ["CONNECT a.test:0 HTTP/1.1\r\n\r\n", "invalid_port"],
  ["CONNECT a.test:65536 HTTP/1.1\r\n\r\n", "invalid_port"],
  ["CONNECT a.test:+1 HTTP/1.1\r\n\r\n", "invalid_port"],
  ["CONNECT u@a.test:1 HTTP/1.1\r\n\r\n", "userinfo_not_allowed"],
  ["CONNECT https://a.test:1 HTTP/1.1\r\n\r\n", "scheme_not_allowed"],
  ["CONNECT ::1:1 HTTP/1.1\r\n\r\n", "invalid_authority"],
  ["CONNECT a.test:1 HTTP/2\r\n\r\n", "invalid_version"],
  ["CONNECT a.test:1  HTTP/1.1\r\n\r\n", "malformed_start_line"],
  ["CONNECT\ta.test:1 HTTP/1.1\r\n\r\n", "invalid_method"],
  ["CONNECT a.test:1 HTTP/1.1\nHost: x\n\n", "bare_lf"],
  ["CONNECT a.test:1 HTTP/1.1\r\nA: b\r\n c\r\n\r\n", "obs_fold"],
  ["connect a.test:1 HTTP/1.1\r\n\r\n", "invalid_method"],
];

for (const [bytes, code] of BAD) {
  playbook(`ProxySession answers 400 to ${JSON.stringify(bytes.slice(0, 40))} (${code})`, (play) => {
    play(session()).receives("client", bytes)
      .expects(record("connect_parse_failed", { code }), answer(400, code), closes("connect_parse_failed"));
  });
}

const LENIENT: readonly (readonly [string, string])[] = [
  ["connect a.test:1 HTTP/1.1\r\n\r\n", "a.test:1"],
  ["CONNECT a.test HTTP/1.1\r\n\r\n", "a.test:443"],
  ["CONNECT https://a.test/x HTTP/1.1\r\n\r\n", "a.test:443"],
  ["CONNECT https://a.test:8443 HTTP/1.0\r\n\r\n", "a.test:8443"],
];

for (const [bytes, authority] of LENIENT) {
  playbook(
    `ProxySession takes ${JSON.stringify(bytes.slice(0, 36))} in lenient mode, for ${authority}`,
    (play) => {
      play(session({ connectParseMode: "lenient" })).receives("client", bytes)
        .expects(record("connect_received", { authority }), decide(authority));
    },
  );
}

playbook(
  "ProxySession answers 431 to a CONNECT head over the limits, and takes one that fills them",
  (play) => {
    const fields = (count: number) => `CONNECT a.test:1 HTTP/1.1\r\n${"A: b\r\n".repeat(count)}\r\n`;
    play(session({ limits: { maxHeaderFields: 3 } })).receives("client", fields(3))
      .expects(record("connect_received"), decide("a.test:1"));
    play(session({ limits: { maxHeaderFields: 3 } })).receives("client", fields(4))
      .expects(record("connect_parse_failed"), answer(431, "too_many_fields"), closes("limit_exceeded"));
    const length = fields(3).length;
    play(session({ limits: { maxHeadBytes: length } })).receives("client", fields(3))
      .expects(record("connect_received"), decide("a.test:1"));
    play(session({ limits: { maxHeadBytes: length - 1 } })).receives("client", fields(3))
      .expects(record("connect_parse_failed"), answer(431, "head_too_large"), closes("limit_exceeded"));
  },
);

playbook("ProxySession refuses a flow over limits.max_flows before it has said anything", (play) => {
  play(session({}, { refuse: "too_many_flows" })).expects(
    answer(503, "too_many_flows"),
    closes("limit_exceeded"),
  );
});

playbook("ProxySession never opens a server for what is blocked", (play) => {
  play(session()).receives("client", HEAD).expects(ASKED)
    .decides("block", { reason: "block_host" })
    .expects(
      record("connect_decision", { action: "block", reason: "block_host" }),
      answer(403, "blocked"),
      closes("blocked"),
    );
});

for (
  const [kind, status, code, reason] of [
    ["refused", 502, "connection_refused", "upstream_connect_failed"],
    ["unresolved", 502, "name_not_resolved", "upstream_connect_failed"],
    ["unreachable", 502, "unreachable", "upstream_connect_failed"],
    ["exhausted", 502, "descriptors_exhausted", "upstream_connect_failed"],
    ["timeout", 504, "connect_timeout", "upstream_connect_failed"],
    ["self_target", 508, "self_target", "route_failed"],
    ["other", 502, "connect_failed", "upstream_connect_failed"],
  ] as const
) {
  playbook(`ProxySession answers ${status} where the dial fails as ${kind}`, (play) => {
    play(session()).receives("client", HEAD).expects(ASKED)
      .decides("tunnel").expects(record("connect_decision"), open("a.test:443"))
      .openFails(kind).expects(answer(status, code), closes(reason));
  });
}

// Tunnels

playbook(
  "ProxySession carries a tunnel both ways, what came with the CONNECT first, and no TLS is entered",
  (play) => {
    play(session()).receives("client", `${HEAD}early`).expects(ASKED)
      .expectsPaused("client")
      .decides("tunnel").expects(record("connect_decision"), open("a.test:443"))
      .opens()
      .expects(send("client", ESTABLISHED), send("server", "early"))
      .expectsPaused()
      .expectsTimers("tunnel_idle")
      .receives("client", "\x16\x03\x01 like TLS")
      .expects(send("server", "\x16\x03\x01 like TLS"))
      .receives("server", "back")
      .expects(send("client", "back"))
      .ends("client").expects(end("server"))
      .receives("server", "more").expects(send("client", "more"))
      .ends("server")
      .expects(end("client"), closes("complete", { bytes_from_server: 8 }));
  },
);

playbook("ProxySession carries the server's half-close first, too", (play) => {
  connected(play(session()), "tunnel")
    .ends("server").expects(end("client"))
    .receives("client", "more").expects(send("server", "more"))
    .ends("client").expects(end("server"), closes("complete"));
});

playbook("ProxySession carries an end that came before the server was connected", (play) => {
  play(session()).receives("client", HEAD).expects(ASKED)
    .ends("client").expects()
    .decides("tunnel").expects(record("connect_decision"), open("a.test:443"))
    .opens().expects(send("client", ESTABLISHED), end("server"));
  play(session()).receives("client", HEAD).expects(ASKED)
    .decides("intercept").expects(record("connect_decision"), open("a.test:443"))
    .ends("client").expects()
    .opens().expects(send("client", ESTABLISHED), end("server"))
    .receives("server", "hello").expects(send("client", "hello"))
    .ends("server").expects(end("client"), closes("complete"));
});

playbook("ProxySession carries a reset of either side as a reset", (play) => {
  connected(play(session()), "tunnel").fails("client").expects(reset("server"), closes("client_reset"));
  connected(play(session()), "tunnel").fails("server").expects(reset("client"), closes("server_reset"));
  connected(play(session()), "tunnel").ends("client").expects(end("server"))
    .fails("server").expects(reset("client"), closes("server_reset"));
});

playbook(
  "ProxySession lets a server that speaks first speak, and says why the flow was tunnelled",
  (play) => {
    connected(play(session()), "intercept")
      .receives("server", "220 mail\r\n").expects(send("client", "220 mail\r\n"))
      .receives("client", "EHLO x\r\n").expects(send("server", "EHLO x\r\n"))
      .ends("client").expects(end("server"))
      .ends("server").expects(end("client"), closes("complete", { reason_detail: "the server spoke first" }));
  },
);

const H2_SETTINGS = "\0\0\0\x04\0\0\0\0\0";
const H2_PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

playbook("ProxySession waits for the client's preface where a server of HTTP/2 speaks first", (play) => {
  const early = (said: string, http2Enabled = true) =>
    connected(play(session({ http2Enabled })), "intercept").receives("server", said);
  early(H2_SETTINGS).expects().expectsPaused("server")
    .receives("client", H2_PREFACE + H2_SETTINGS)
    .expects(send("server", H2_PREFACE + H2_SETTINGS), send("client", H2_SETTINGS))
    .ends("client").expects(closes("complete"));
  // What else the client says is carried through, behind it what the server has said.
  early(H2_SETTINGS).expects()
    .receives("client", "\x80").expects(send("server", "\x80"), send("client", H2_SETTINGS));
  early(H2_SETTINGS).expects()
    .ends("client").expects(send("client", H2_SETTINGS), end("server"));
  // A beginning that may be of something else is no reason to stop reading.
  early("\0\0").expects().receives("server", "\0\n").expects(send("client", "\0\0\0\n"));
  early(H2_SETTINGS, false).expects(send("client", H2_SETTINGS));
});

playbook("ProxySession tunnels what is neither TLS nor HTTP, and loses none of what it peeked at", (play) => {
  connected(play(session()), "intercept")
    .receives("client", "\x80\x01\x02").expects(send("server", "\x80\x01\x02"))
    .fails("client").expects(reset("server"), closes("client_reset"));
  connected(play(session()), "intercept")
    .receives("client", "G").expects()
    .ends("client").expects(send("server", "G"), end("server"))
    .ends("server").expects(end("client"), closes("complete"));
  connected(play(session()), "intercept")
    .receives("client", "G").expects()
    .receives("server", "?").expects(send("server", "G"), send("client", "?"));
});

// Leaving early

playbook("ProxySession closes quietly when a client leaves before its first byte", (play) => {
  play(session()).ends("client").expects(closes("complete"));
  play(session()).fails("client").expects(closes("client_reset"));
});

playbook("ProxySession answers a first head that is cut short", (play) => {
  for (const cut of ["C", "CONNECT", "CONNECT a.te"]) {
    play(session()).receives("client", cut).ends("client")
      .expects(
        record("connect_parse_failed", { code: "truncated_message" }),
        answer(400, "truncated_message"),
        closes("connect_parse_failed"),
      );
  }
});

playbook("ProxySession gives up what is under way when the client resets", (play) => {
  play(session()).receives("client", HEAD).expects(ASKED).fails("client").expects(closes("client_reset"));
  play(session()).receives("client", HEAD).expects(ASKED)
    .decides("intercept").expects(record("connect_decision"), open("a.test:443"))
    .fails("client").expects(closes("client_reset"));
});

// Timers, just before and at their time

playbook(
  "timeouts.head ends a flow without a whole first head, with 408 if there was a part of one",
  (play) => {
    play(session()).at(HEAD_MS - 0.001).expects().at(HEAD_MS).expects(closes("stage_timeout"));
    for (const part of ["C", "CONNECT a.test"]) {
      play(session()).at(1).receives("client", part).at(HEAD_MS - 0.001).expects()
        .at(HEAD_MS).expects(answer(408, "head_timeout"), closes("stage_timeout"));
    }
  },
);

playbook("timeouts.connect ends a dial with 504", (play) => {
  play(session()).receives("client", HEAD).expects(ASKED)
    .decides("intercept").expects(record("connect_decision"), open("a.test:443"))
    .at(CONNECT_MS - 0.001).expects()
    .at(CONNECT_MS).expects(answer(504, "connect_timeout"), closes("upstream_connect_failed"));
});

playbook("timeouts.idle ends a flow in which no protocol begins after the CONNECT", (play) => {
  connected(play(session()), "intercept").at(IDLE_MS - 0.001).expects().at(IDLE_MS).expects(
    closes("idle_timeout"),
  );
});

playbook("timeouts.tunnel_idle counts from the last byte of either side", (play) => {
  connected(play(session()), "tunnel").at(TUNNEL_IDLE_MS - 0.001).expects().at(TUNNEL_IDLE_MS).expects(
    closes("idle_timeout"),
  );
  connected(play(session()), "tunnel")
    .at(500_000).receives("server", "x").expects(send("client", "x"))
    .at(500_000 + TUNNEL_IDLE_MS - 0.001).expects()
    .at(500_000 + TUNNEL_IDLE_MS).expects(closes("idle_timeout"));
});

// Stopping

playbook("a drain ends flows that do nothing and leaves the others alone", (play) => {
  play(session()).drains().expects(closes("shutdown"));
  connected(play(session()), "intercept").drains().expects(closes("shutdown"));
  play(session()).receives("client", "CONN").drains().expects();
  play(session()).receives("client", HEAD).expects(ASKED).drains().expects();
  connected(play(session()), "tunnel").drains().expects()
    .receives("client", "x").expects(send("server", "x"))
    .aborts().expects(closes("shutdown"));
});

playbook("an abort ends a flow at once in each phase", (play) => {
  play(session()).aborts().expects(closes("shutdown"));
  play(session()).receives("client", HEAD).expects(ASKED).aborts().expects(closes("shutdown"));
  connected(play(session()), "intercept").aborts().expects(closes("shutdown"));
});

playbook("a crash ends the flow as internal_error", (play) => {
  connected(play(session()), "tunnel").crashes("TypeError: x")
    .expects(closes("internal_error", { reason_detail: "TypeError: x" }));
});

Deno.test("ProxySession counts what it holds back, and lets go of it at the end", () => {
  const effects = new Proxy({}, { get: () => () => null }) as Effects;
  const made: ProxySession = session()(effects);
  made.begin(0);
  made.received("client", new TextEncoder().encode(HEAD.slice(0, 20)), 1);
  assertEquals(made.heldBytes, 20);
  made.received("client", new TextEncoder().encode(`${HEAD.slice(20)}ahead`), 1);
  assertEquals(made.heldBytes, 5);
  assertEquals(made.state.phase, "deciding");
  made.decided(1, { action: "intercept", reason: "default", ruleId: null }, 2);
  made.opened(3);
  assertEquals([made.state.phase, made.heldBytes], ["peeking", 5]);
  made.abort(4);
  assertEquals([made.heldBytes, made.state.illegal], [0, 0]);

  const peeking: ProxySession = session()(effects);
  peeking.begin(0);
  peeking.received("client", new TextEncoder().encode(HEAD), 1);
  peeking.decided(1, { action: "intercept", reason: "default", ruleId: null }, 2);
  peeking.opened(3);
  const hello = clientHello();
  peeking.received("client", hello.subarray(0, 30), 4);
  assertEquals(peeking.heldBytes, 30);
  peeking.received("client", hello.subarray(30), 5);
  assertEquals(peeking.heldBytes, hello.length);
  peeking.abort(6);
  assertEquals([peeking.heldBytes, peeking.state.illegal], [0, 0]);
});
