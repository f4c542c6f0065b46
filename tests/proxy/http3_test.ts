import { assertEquals } from "@std/assert";
import type { Decision } from "../../src/core/session.ts";
import { connectAlpn, isHttp3, settleHttp3 } from "../../src/proxy/http3.ts";
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
  secureServer,
  send,
} from "../support/playbook.ts";
import { ESTABLISHED, type Overrides, session } from "../support/proxy_session.ts";
import { alpn, clientHello, serverName } from "../tls/hello_builder.ts";

const INTERCEPT: Decision = { action: "intercept", reason: "default", ruleId: null };
const BLOCK: Decision = { action: "block", reason: "rule", ruleId: "no" };
const HTTP3: Decision = { action: "tunnel", reason: "http3", ruleId: null };
const DECIDED = record("connect_decision", { action: "tunnel", reason: "http3" });

function passedThrough(hint: string, prior: string): Expected {
  return record("http3_passthrough", { hint, prior_action: prior });
}

Deno.test("settleHttp3 tunnels what is designated HTTP/3, unless it is blocked or not to be passed through", () => {
  const passthrough = { hint: "connect_alpn", priorAction: "intercept" } as const;
  assertEquals(settleHttp3(INTERCEPT, "connect_alpn", true), { decision: HTTP3, passthrough });
  assertEquals(settleHttp3(INTERCEPT, null, true), { decision: INTERCEPT, passthrough: null });
  assertEquals(settleHttp3(INTERCEPT, "connect_alpn", false), { decision: INTERCEPT, passthrough: null });
  assertEquals(settleHttp3(BLOCK, "connect_alpn", true), { decision: BLOCK, passthrough: null });
});

Deno.test("settleHttp3 takes back an override's decision where that does not hold", () => {
  const given: Decision = { ...HTTP3, ruleId: "quic", prior: INTERCEPT };
  assertEquals(settleHttp3(given, "connect_alpn", true), {
    decision: { ...HTTP3, ruleId: "quic" },
    passthrough: { hint: "override", priorAction: "intercept" },
  });
  assertEquals(settleHttp3(given, null, false), { decision: INTERCEPT, passthrough: null });
});

Deno.test("settleHttp3 says that a rule has designated a flow, and takes its decision back in the same way", () => {
  const prior: Decision = { action: "intercept", reason: "rule", ruleId: "quic" };
  const given: Decision = { ...HTTP3, ruleId: "quic", prior, http3By: "rule" };
  assertEquals(settleHttp3(given, null, true), {
    decision: { ...HTTP3, ruleId: "quic" },
    passthrough: { hint: "rule", priorAction: "intercept" },
  });
  assertEquals(settleHttp3(given, null, false), { decision: prior, passthrough: null });
  const block: Decision = { action: "block", reason: "http3", ruleId: null };
  assertEquals(settleHttp3(given, "connect_udp", false), { decision: block, passthrough: null });
});

Deno.test("isHttp3 knows HTTP/3 and its drafts by their names", () => {
  const names = ["h3", "h3-29", "h2", "http/1.1", "h3x", "H3", "h3-", "h30", "h3-1234", ""];
  assertEquals(names.filter((name) => isHttp3([name])), ["h3", "h3-29"]);
  assertEquals(isHttp3(["h2", "h3"]), true);
  assertEquals(isHttp3([]), false);
});

Deno.test("connectAlpn reads the names of all ALPN fields", () => {
  assertEquals(connectAlpn([["Host", "h3"], ["ALPN", "h2, http%2F1.1"], ["alpn", "h3"]]), [
    "h2",
    "http%2F1.1",
    "h3",
  ]);
});

function hello(name: string | null, ...protocols: string[]): Uint8Array {
  return clientHello({ extensions: [...(name === null ? [] : [serverName(name)]), alpn(...protocols)] });
}

/** A CONNECT that is about to be decided. */
function asked(
  play: (make: ReturnType<typeof session>) => Play,
  { host = "a.test", fields = "", ...overrides }: Overrides & { host?: string; fields?: string } = {},
): Play {
  return play(session(overrides)).receives("client", `CONNECT ${host}:443 HTTP/1.1\r\n${fields}\r\n`)
    .expects(record("connect_received"), decide(`${host}:443`));
}

playbook("a CONNECT whose ALPN field names h3 is tunnelled, with what would have been decided", (play) => {
  for (const prior of ["intercept", "tunnel"] as const) {
    asked(play, { fields: "ALPN: h3\r\n" })
      .decides(prior).expects(DECIDED, passedThrough("connect_alpn", prior), open("a.test:443"))
      .opens().expects(send("client", ESTABLISHED))
      .receives("client", "opaque").expects(send("server", "opaque"))
      .ends("client").expects(end("server"))
      .ends("server").expects(end("client"), closes("complete"));
  }
});

playbook("what designates HTTP/3 does not open what is blocked", (play) => {
  const blocked = [
    record("connect_decision", { action: "block" }),
    answer(403, "blocked"),
    closes("blocked"),
  ];
  asked(play, { fields: "ALPN: h3\r\n" }).decides("block").expects(...blocked);
});

playbook("without http.http3_passthrough what policy says holds", (play) => {
  const connected = (prior: Partial<Decision>) =>
    asked(play, { fields: "ALPN: h3\r\n", http3Passthrough: false })
      .decides("intercept", prior).expects(
        record("connect_decision", { action: "intercept", reason: "rule" }),
        open("a.test:443"),
      )
      .opens().expects(send("client", ESTABLISHED));
  connected({ reason: "rule" }).receives("client", hello("a.test", "h3", "http/1.1")).expects(
    record("tls_client_hello"),
    record("tls_handshake_started", { side: "server", alpn_offered: ["http/1.1"] }),
    secureServer("a.test", ["http/1.1"]),
  );
  const prior: Decision = { action: "intercept", reason: "rule", ruleId: "r" };
  asked(play, { http3Passthrough: false })
    .decides("tunnel", { reason: "http3", ruleId: "quic", prior }).expects(
      record("connect_decision", { action: "intercept", rule_id: "r" }),
      open("a.test:443"),
    );
});

playbook("an override that says HTTP/3 is named in the decision", (play) => {
  asked(play).decides("tunnel", { reason: "http3", ruleId: "quic", prior: INTERCEPT }).expects(
    record("connect_decision", { action: "tunnel", reason: "http3", rule_id: "quic" }),
    passedThrough("override", "intercept"),
    open("a.test:443"),
  );
});

/** A CONNECT to `host` that is granted and peeked into. */
function peeking(play: (make: ReturnType<typeof session>) => Play, host: string): Play {
  return asked(play, { host }).decides("intercept").expects(record("connect_decision"), open(`${host}:443`))
    .opens().expects(send("client", ESTABLISHED));
}

playbook("a ClientHello that offers h3 goes to the server as it came", (play) => {
  const bytes = hello("a.test", "h3", "h2");
  peeking(play, "a.test").receives("client", bytes).expects(
    record("tls_client_hello"),
    DECIDED,
    passedThrough("client_hello", "intercept"),
    send("server", new TextDecoder("latin1").decode(bytes)),
  ).expectsTimers("tunnel_idle");
});

playbook("a ClientHello that offers h3 and names a host is decided for that host", (play) => {
  const bytes = hello("b.test", "h3");
  const reconsidered = (host: string) =>
    peeking(play, host).receives("client", bytes).expects(record("tls_client_hello"), decide("b.test:443"));
  reconsidered("a.test").decides("block").expects(
    record("connect_decision", { action: "block", sni: "b.test" }),
    closes("blocked"),
  );
  // Of another name only a block is taken over, so that an interception is what would have been.
  const forwarded = send("server", new TextDecoder("latin1").decode(bytes));
  const decided = record("connect_decision", { action: "tunnel", reason: "http3", sni: "b.test" });
  for (const [host, prior] of [["a.test", "intercept"], ["10.0.0.1", "tunnel"]] as const) {
    reconsidered(host).decides("tunnel", { reason: "rule" })
      .expects(decided, passedThrough("client_hello", prior), forwarded);
  }
});

playbook("an override for the name in a ClientHello holds where the CONNECT named an address", (play) => {
  const bytes = hello("b.test", "h2", "http/1.1");
  const reconsidered = (host: string) =>
    peeking(play, host).receives("client", bytes).expects(record("tls_client_hello"), decide("b.test:443"))
      .decides("tunnel", { reason: "http3", ruleId: "quic", prior: INTERCEPT });
  reconsidered("10.0.0.1").expects(
    record("connect_decision", { action: "tunnel", reason: "http3", rule_id: "quic", sni: "b.test" }),
    passedThrough("override", "intercept"),
    send("server", new TextDecoder("latin1").decode(bytes)),
  );
  reconsidered("a.test").expects(
    record("connect_decision", { action: "intercept", reason: "default", sni: "b.test" }),
    record("tls_handshake_started"),
    secureServer("b.test", ["http/1.1"]),
  );
});

playbook(
  "what an override says is HTTP/3 is not decrypted for a rule about ClientHellos, which can still block",
  (play) => {
    const bytes = hello("a.test", "h2");
    const asked = () =>
      play(session({ decidesHellos: true })).receives("client", "CONNECT a.test:443 HTTP/1.1\r\n\r\n")
        .expects(record("connect_received"), decide("a.test:443"))
        .decides("tunnel", { reason: "http3", ruleId: "quic", prior: INTERCEPT })
        .expects(DECIDED, passedThrough("override", "intercept"), open("a.test:443"))
        .opens().expects(send("client", ESTABLISHED))
        .receives("client", bytes).expects(record("tls_client_hello"), decide("a.test:443"));
    asked().decides("intercept", { reason: "rule", onHello: true })
      .expects(send("server", new TextDecoder("latin1").decode(bytes)));
    asked().decides("block", { reason: "rule", onHello: true })
      .expects(record("connect_decision", { action: "block" }), closes("blocked"));
  },
);

playbook("what a rule about ClientHellos says is HTTP/3 is tunnelled once there is the hello", (play) => {
  const bytes = hello("a.test", "http/1.1");
  const prior: Decision = { action: "intercept", reason: "rule", ruleId: "quic", onHello: true };
  const asked = (http3Passthrough: boolean) =>
    play(session({ decidesHellos: true, http3Passthrough })).receives(
      "client",
      "CONNECT a.test:443 HTTP/1.1\r\n\r\n",
    )
      .expects(record("connect_received"), decide("a.test:443")).decides("intercept")
      .expects(record("connect_decision"), open("a.test:443")).opens().expects(send("client", ESTABLISHED))
      .receives("client", bytes).expects(record("tls_client_hello"), decide("a.test:443"))
      .decides("tunnel", { reason: "http3", ruleId: "quic", prior, http3By: "rule" });
  asked(true).expects(
    record("connect_decision", { action: "tunnel", reason: "http3", rule_id: "quic" }),
    passedThrough("rule", "intercept"),
    send("server", new TextDecoder("latin1").decode(bytes)),
  );
  asked(false).expects(
    record("connect_decision", { action: "intercept", reason: "rule", rule_id: "quic" }),
    record("tls_handshake_started"),
    secureServer("a.test", ["http/1.1"]),
  );
});
