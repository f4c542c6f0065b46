/** What sessions tell of clients that refuse the CA, and what is done for those that are known. */
import { Learning, type LearningRules } from "../../src/policy/learning.ts";
import {
  closes,
  closeServer,
  decide,
  end,
  type Expected,
  type Lessons,
  open,
  type Play,
  playbook,
  record,
  secureClient,
  secureServer,
  send,
} from "../support/playbook.ts";
import { ESTABLISHED, type Overrides, session } from "../support/proxy_session.ts";
import { alpn, clientHello, type HelloParts, serverName } from "../tls/hello_builder.ts";

const TTL_MS = 900_000;
const ALERT = "ERR_SSL_TLSV1_ALERT_UNKNOWN_CA";
const STARTED = (side: string) => record("tls_handshake_started", { side });
const HELLO = record("tls_client_hello");

type Make = (make: ReturnType<typeof session>) => Play;

function lessons(rules: Partial<LearningRules> = {}): Lessons {
  const whole = { mode: "on", failuresNeeded: 2, windowMs: 600_000, ttlMs: TTL_MS, ...rules } as const;
  return { learning: new Learning(whole), nowMs: 1_000_000 };
}

function helloFor(name: string | null, parts: HelloParts = {}): Uint8Array {
  return clientHello({
    ...parts,
    extensions: [...(name === null ? [] : [serverName(name)]), alpn("http/1.1"), ...parts.extensions ?? []],
  });
}

const text = (bytes: Uint8Array) => String.fromCharCode(...bytes);

function granted(play: Make, known: Lessons, authority = "a.test:443", overrides: Overrides = {}): Play {
  return play(session(overrides)).knows(known)
    .receives("client", `CONNECT ${authority} HTTP/1.1\r\n\r\n`)
    .expects(record("connect_received"), decide(authority))
    .decides("intercept").expects(record("connect_decision"), open(authority))
    .opens().expects(send("client", ESTABLISHED));
}

/** A flow whose client fails with this code; gives what the session then did. */
function fails(play: Make, known: Lessons, code: string, ...after: readonly Expected[]): void {
  granted(play, known).receives("client", helloFor("a.test"))
    .expects(HELLO, STARTED("server"), secureServer("a.test", ["http/1.1"]))
    .secures("server", "http/1.1")
    .expects(
      record("tls_handshake_succeeded"),
      STARTED("client"),
      secureClient("a.test", ["http/1.1"]),
    )
    .secureFails("client", code)
    .expects(record("tls_handshake_failed", { side: "client" }), ...after, closes("tls_handshake_failed"));
}

/** A flow that is let through once its hello is there; the server was not secured. */
function bypassed(play: Make, known: Lessons, hello: Uint8Array, attributes = {}): void {
  granted(play, known).receives("client", hello.slice(0, 20)).expects().receives("client", hello.slice(20))
    .expects(
      HELLO,
      record("tls_learning_audit", { outcome: "bypassed", host: "a.test", ...attributes }),
      record("connect_decision", { action: "tunnel", reason: "learned_bypass" }),
      send("server", text(hello)),
    )
    .expectsTimers("tunnel_idle")
    .receives("server", "hello back").expects(send("client", "hello back"))
    .ends("client").expects(end("server"))
    .ends("server").expects(
      end("client"),
      closes("complete", { reason_detail: "its client refuses the CA for a.test (learned bypass)" }),
    );
}

const audit = (outcome: string, reason: string, more = {}) =>
  record("tls_learning_audit", { outcome, reason, ...more });

playbook(
  "a client that refuses the CA is let through at its next connection, until the time is over",
  (play) => {
    const known = lessons();
    fails(play, known, ALERT, audit("counted", "below_threshold", { failures: 1, failures_needed: 2 }));
    fails(play, known, ALERT, audit("learned", "threshold", { failures: 2, expires_in_ms: TTL_MS }));
    known.nowMs += TTL_MS - 1;
    bypassed(play, known, helloFor("a.test"), { expires_in_ms: 1 });
    known.nowMs += 1;
    granted(play, known).receives("client", helloFor("a.test"))
      .expects(HELLO, audit("expired", "ttl"), STARTED("server"), secureServer("a.test", ["http/1.1"]));
  },
);

playbook("a client that resumes its session with the server is still the same client", (play) => {
  const known = lessons({ failuresNeeded: 1 });
  fails(play, known, ALERT, audit("learned", "threshold"));
  // pre_shared_key, early_data, cookie and padding come and go.
  const passing = [0x29, 0x2a, 0x2c, 0x15].map((type): [number, number[]] => [type, []]);
  bypassed(play, known, helloFor("a.test", { extensions: passing }));
  granted(play, known).receives("client", helloFor("a.test", { extensions: [[0x2b, []]] }))
    .expects(HELLO, STARTED("server"), secureServer("a.test", ["http/1.1"]));
});

playbook("suggest tells what lets the client through, and does not do it", (play) => {
  const known = lessons({ mode: "suggest" });
  fails(play, known, ALERT, audit("counted", "below_threshold"));
  fails(
    play,
    known,
    ALERT,
    audit("suggested", "threshold", { suggestion: 'policy.ignore_hosts = ["a.test"]' }),
  );
  fails(play, known, ALERT, audit("ignored", "already_suggested"));
});

playbook("an inferred failure and one of another kind leave a line and change nothing", (play) => {
  const known = lessons();
  const inferred = { normalized_reason: "other", source_confidence: "inferred" };
  for (let count = 0; count < 3; count++) {
    fails(play, known, "SOMETHING_NEW", audit("ignored", "inferred", inferred));
    fails(
      play,
      known,
      "ECONNRESET",
      audit("ignored", "not_unknown_ca", { normalized_reason: "eof_or_reset" }),
    );
    fails(play, known, "ERR_SSL_TLSV1_ALERT_CERTIFICATE_UNKNOWN", audit("ignored", "not_unknown_ca"));
  }
  fails(play, known, ALERT, audit("counted", "below_threshold", { failures: 1 }));
});

playbook("a host that is blocked stays blocked, whatever was learned of it", (play) => {
  const known = lessons({ failuresNeeded: 1 });
  fails(play, known, ALERT, audit("learned", "threshold"));
  play(session()).knows(known).receives("client", "CONNECT a.test:443 HTTP/1.1\r\n\r\n")
    .expects(record("connect_received"), decide("a.test:443"))
    .decides("block")
    .expects(record("connect_decision", { action: "block" }), send("client", /403/), closes("blocked"));
  granted(play, known, "10.0.0.1:443").receives("client", helloFor("a.test"))
    .expects(HELLO, decide("a.test:443"))
    .decides("block").expects(record("connect_decision", { action: "block" }), closes("blocked"));
});

playbook(
  "a host of which single requests are blocked is not let through: in a tunnel nobody would see them",
  (play) => {
    const known = lessons({ failuresNeeded: 1 });
    fails(play, known, ALERT, audit("learned", "threshold"));
    play(session()).knows(known).receives("client", "CONNECT a.test:443 HTTP/1.1\r\n\r\n")
      .expects(record("connect_received"), decide("a.test:443"))
      .decides("intercept", { blocksRequests: true }).expects(record("connect_decision"), open("a.test:443"))
      .opens().expects(send("client", ESTABLISHED))
      .receives("client", helloFor("a.test"))
      .expects(HELLO, STARTED("server"), secureServer("a.test", ["http/1.1"]))
      .secures("server").expects(record("tls_handshake_succeeded"), STARTED("client"), secureClient("a.test"))
      .secureFails("client", ALERT)
      .expects(
        record("tls_handshake_failed"),
        audit("ignored", "requests_blocked"),
        closes("tls_handshake_failed"),
      );
    granted(play, known, "10.0.0.1:443").receives("client", helloFor("a.test"))
      .expects(HELLO, decide("a.test:443"))
      .decides("intercept", { blocksRequests: true })
      .expects(record("connect_decision"), STARTED("server"), secureServer("a.test", ["http/1.1"]));
  },
);

playbook("by the name in its hello a client does not escape what its CONNECT was decided for", (play) => {
  const known = lessons({ failuresNeeded: 1 });
  fails(play, known, ALERT, audit("learned", "threshold"));
  const intercepted = [STARTED("server"), secureServer("a.test", ["http/1.1"])];
  granted(play, known, "b.test:443").receives("client", helloFor("a.test"))
    .expects(HELLO, decide("a.test:443"))
    .decides("intercept").expects(record("connect_decision", { sni: "a.test" }), intercepted)
    .secures("server").expects(record("tls_handshake_succeeded"), STARTED("client"), secureClient("a.test"))
    .secureFails("client", ALERT)
    .expects(
      record("tls_handshake_failed"),
      audit("ignored", "names_differ"),
      closes("tls_handshake_failed"),
    );
  // An address has no name of its own: there the hello's is the only one.
  const hello = helloFor("a.test");
  granted(play, known, "10.0.0.1:443").receives("client", hello)
    .expects(HELLO, decide("a.test:443"))
    .decides("intercept").expects(
      record("connect_decision", { action: "intercept", sni: "a.test" }),
      audit("bypassed", "bypass"),
      record("connect_decision", { action: "tunnel", reason: "learned_bypass", sni: "a.test" }),
      send("server", text(hello)),
    );
});

playbook("a client that is only told of a failure is no evidence when it refuses to listen", (play) => {
  const known = lessons({ failuresNeeded: 1 });
  granted(play, known).receives("client", helloFor("a.test"))
    .expects(HELLO, STARTED("server"), secureServer("a.test", ["http/1.1"]))
    .secureFails("server")
    .expects(
      record("tls_handshake_failed", { side: "server" }),
      closeServer,
      STARTED("client"),
      secureClient("a.test", ["http/1.1"]),
    )
    .secureFails("client", ALERT)
    .expects(
      record("tls_handshake_failed", { side: "client" }),
      audit("ignored", "refused_flow"),
      closes("tls_handshake_failed"),
    );
});

playbook("a server that speaks while its client is let through is heard", (play) => {
  const known = lessons({ failuresNeeded: 1 });
  fails(play, known, ALERT, audit("learned", "threshold"));
  const hello = helloFor("a.test");
  granted(play, known, "10.0.0.1:443").receives("client", hello).expects(HELLO, decide("a.test:443"))
    .receives("server", "220 ").expects()
    .decides("intercept").expects(
      record("connect_decision"),
      audit("bypassed", "bypass"),
      record("connect_decision", { reason: "learned_bypass" }),
      send("server", text(hello)),
      send("client", "220 "),
    ).expectsPaused();
});

const ORIGIN = { authority: { host: "10.0.0.9", port: 443 }, tls: true };

playbook(
  "behind a reverse listener a known client is let through to a TLS origin, and never past one in the clear",
  (play) => {
    const known = lessons({ failuresNeeded: 1 });
    fails(play, known, ALERT, audit("learned", "threshold"));
    const reversed = (tls: boolean) =>
      play(session({ reverse: { ...ORIGIN, tls } })).knows(known)
        .expects(record("connect_received"), decide("10.0.0.9:443"))
        .decides("intercept").expects(record("connect_decision"));
    const hello = helloFor("a.test");
    reversed(true).receives("client", hello).expects(HELLO, decide("a.test:443"))
      .decides("intercept").expects(
        record("connect_decision"),
        audit("bypassed", "bypass"),
        record("connect_decision", { reason: "learned_bypass" }),
        open("10.0.0.9:443"),
      )
      .opens().expects(send("server", text(hello)));
    reversed(false).receives("client", hello).expects(HELLO, decide("a.test:443"))
      .decides("intercept").expects(record("connect_decision"), open("10.0.0.9:443"))
      .opens().expects(STARTED("client"), secureClient("a.test", ["http/1.1"]))
      .secureFails("client", ALERT)
      .expects(
        record("tls_handshake_failed"),
        audit("ignored", "not_tunnelable"),
        closes("tls_handshake_failed"),
      );
  },
);
