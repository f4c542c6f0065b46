import type { HostOverride } from "../../src/core/settings.ts";
import type { SessionConfig } from "../../src/proxy/session_config.ts";
import {
  answer,
  closes,
  closeServer,
  decide,
  end,
  type Expected,
  open,
  type Play,
  playbook,
  record,
  reset,
  secureClient,
  secureServer,
  send,
  sendWith,
} from "../support/playbook.ts";
import {
  ESTABLISHED,
  HEAD_MS,
  IDLE_MS,
  type Overrides,
  session,
  TLS_HANDSHAKE_MS,
} from "../support/proxy_session.ts";
import { alpn, clientHello, serverName } from "../tls/hello_builder.ts";

const GET = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";

function hello(name: string | null, ...protocols: string[]): Uint8Array {
  return clientHello({
    extensions: [
      ...(name === null ? [] : [serverName(name)]),
      ...(protocols.length === 0 ? [] : [alpn(...protocols)]),
    ],
  });
}

type Start = (overrides?: Overrides) => Play;

/** A CONNECT to `authority` that is granted and intercepted. */
function intercepted(play: (make: ReturnType<typeof session>) => Play, authority = "a.test:443"): Start {
  return (overrides) =>
    play(session(overrides)).receives("client", `CONNECT ${authority} HTTP/1.1\r\n\r\n`)
      .expects(record("connect_received"), decide(authority))
      .decides("intercept").expects(record("connect_decision"), open(authority))
      .opens().expects(send("client", ESTABLISHED));
}

const STARTED_SERVER = record("tls_handshake_started", { side: "server" });
const STARTED_CLIENT = record("tls_handshake_started", { side: "client" });
const SUCCEEDED = (side: string): Expected => record("tls_handshake_succeeded", { side });

playbook(
  "ProxySession secures the server first, with the offers it can serve, then the client with what was chosen",
  (play) => {
    const bytes = hello("a.test", "h2", "http/1.1");
    intercepted(play)()
      .receives("client", bytes.subarray(0, 10)).expects()
      .receives("client", bytes.subarray(10))
      .expects(
        record("tls_client_hello", { sni: "a.test", alpn: ["h2", "http/1.1"] }),
        STARTED_SERVER,
        secureServer("a.test", ["http/1.1"]),
      )
      .expectsTimers("tls_handshake")
      .expectsPaused("client")
      .secures("server", "http/1.1")
      .expects(SUCCEEDED("server"), STARTED_CLIENT, secureClient("a.test", ["http/1.1"], bytes))
      .expectsPaused()
      .secures("client", "http/1.1")
      .expects(record("tls_handshake_succeeded", { side: "client", cert_cache: "miss" }))
      .expectsTimers("idle")
      .receives("client", GET)
      .expects(record("request_headers", { scheme: "https", target: "/" }), send("server", GET));
  },
);

playbook(
  "ProxySession gives back what came with the hello, and offers the client nothing the server did not choose",
  (play) => {
    const bytes = Uint8Array.from([...hello("a.test", "http/1.1"), 1, 2, 3]);
    intercepted(play)()
      .receives("client", bytes)
      .expects(record("tls_client_hello"), STARTED_SERVER, secureServer("a.test", ["http/1.1"]))
      .receives("client", "ahead").expects()
      .secures("server", null)
      .expects(
        SUCCEEDED("server"),
        STARTED_CLIENT,
        secureClient("a.test", [], Uint8Array.from([...bytes, ...new TextEncoder().encode("ahead")])),
      );
  },
);

playbook("ProxySession takes the CONNECT host where the client sends no name", (play) => {
  intercepted(play, "127.0.0.1:443")().receives("client", hello(null))
    .expects(record("tls_client_hello"), STARTED_SERVER, secureServer("127.0.0.1"));
  const required: Partial<SessionConfig> = { upstreamSniMode: "required" };
  intercepted(play)(required).receives("client", hello(null))
    .expects(
      record("tls_client_hello"),
      STARTED_SERVER,
      record("tls_handshake_failed", { side: "server" }),
      closeServer,
      STARTED_CLIENT,
      secureClient("a.test"),
    );
});

playbook("ProxySession tunnels a client that offers only h2, with the reason", (play) => {
  const bytes = hello("a.test", "h2");
  intercepted(play)().receives("client", bytes)
    .expects(
      record("tls_client_hello", { tunnelled_because: "the client offers only h2" }),
      send("server", String.fromCharCode(...bytes)),
    )
    .expectsTimers("tunnel_idle")
    .ends("client").expects(end("server"))
    .ends("server").expects(
      end("client"),
      closes("complete", { reason_detail: "the client offers only h2" }),
    );
});

playbook("ProxySession asks policy again for another name in the hello", (play) => {
  const bytes = hello("b.test");
  const asked = [record("tls_client_hello", { sni: "b.test" }), decide("b.test:443", { sni: "b.test" })];
  intercepted(play)().receives("client", bytes).expects(asked)
    .decides("intercept")
    .expects(record("connect_decision", { sni: "b.test" }), STARTED_SERVER, secureServer("b.test"));
  intercepted(play)().receives("client", bytes).expects(asked)
    .decides("block").expects(record("connect_decision", { action: "block" }), closes("blocked"));
  // A host that was named in the CONNECT stays observed: else a client could hide behind another name.
  intercepted(play)().receives("client", bytes).expects(asked)
    .decides("tunnel").expects(record("connect_decision"), STARTED_SERVER, secureServer("b.test"));
  intercepted(play, "10.0.0.1:443")().receives("client", bytes).expects(asked)
    .decides("tunnel").expects(record("connect_decision"), send("server", String.fromCharCode(...bytes)));
  const onlyHttp2 = hello("b.test", "h2");
  intercepted(play)().receives("client", onlyHttp2).expects(asked)
    .decides("intercept").expects(
      record("connect_decision"),
      send("server", String.fromCharCode(...onlyHttp2)),
    );
});

playbook("ProxySession keeps what a server says while policy is asked again", (play) => {
  const bytes = hello("b.test");
  const asked = [record("tls_client_hello"), decide("b.test:443")];
  for (const action of ["tunnel", "intercept"] as const) {
    intercepted(play, "10.0.0.1:443")().receives("client", bytes).expects(asked)
      .receives("server", "220 ").receives("server", "mail\r\n").expects()
      .expectsPaused("client", "server")
      .decides(action)
      .expects(
        record("connect_decision"),
        send("server", String.fromCharCode(...bytes)),
        send("client", "220 mail\r\n"),
      )
      .expectsPaused();
  }
});

playbook("ProxySession observes HTTP in the clear after CONNECT", (play) => {
  intercepted(play, "a.test:80")()
    .receives("client", "GE").expects()
    .receives("client", GET.slice(2))
    .expects(record("request_headers", { scheme: "http", target: "/" }), send("server", GET));
});

playbook("ProxySession tells the client inside TLS why the server's handshake failed", (play) => {
  const bytes = hello("a.test", "http/1.1");
  const failed = (start: Start) =>
    start().receives("client", bytes)
      .expects(record("tls_client_hello"), STARTED_SERVER, secureServer("a.test", ["http/1.1"]))
      .secureFails("server")
      .expects(
        record("tls_handshake_failed", {
          side: "server",
          host: "a.test",
          normalized_reason: "cert_validation",
          host_failures: 1,
        }),
        closeServer,
        STARTED_CLIENT,
        secureClient("a.test", ["http/1.1"], bytes),
      );
  const refused = (start: Start) => failed(start).secures("client", "http/1.1").expects(SUCCEEDED("client"));
  refused(intercepted(play)).receives("client", GET.slice(0, 9)).expects()
    .receives("client", GET.slice(9))
    .expects(answer(502, "server_tls_cert_validation"), closes("tls_handshake_failed"));
  refused(intercepted(play)).receives("client", "GET / HTTP/1.1\n")
    .expects(answer(400, "bare_lf"), closes("tls_handshake_failed"));
  refused(intercepted(play)).at(HEAD_MS - 0.001).expects().at(HEAD_MS).expects(
    closes("tls_handshake_failed"),
  );
  refused(intercepted(play)).ends("client").expects(closes("client_reset"));
  refused(intercepted(play)).fails("client").expects(closes("client_reset"));
  failed(intercepted(play)).secureFails("client")
    .expects(record("tls_handshake_failed", { side: "client" }), closes("tls_handshake_failed"));
});

const SETTINGS_FRAME = "\0\0\0\x04\0\0\0\0\0";
const PREFACE = `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${SETTINGS_FRAME}`;
/** \`:method: GET\`, \`:scheme: https\`, \`:path: /\` from the static table. */
const HTTP2_GET = "\0\0\x03\x01\x05\0\0\0\x01\x82\x87\x84";

playbook(
  "ProxySession tells a client that offers only h2 in HTTP/2 why the server's handshake failed",
  (play) => {
    intercepted(play)({ http2Enabled: true }).receives("client", hello("a.test", "h2"))
      .expects(record("tls_client_hello"), STARTED_SERVER, secureServer("a.test", ["h2"]))
      .secureFails("server")
      .expects(record("tls_handshake_failed"), closeServer, STARTED_CLIENT, secureClient("a.test", ["h2"]))
      .secures("client", "h2").expects(SUCCEEDED("client"), send("client", SETTINGS_FRAME))
      .receives("client", PREFACE).expects(send("client", "\0\0\0\x04\x01\0\0\0\0"))
      .receives("client", HTTP2_GET)
      .expects(
        sendWith("client", "\x01\x04\0\0\0\x01"),
        sendWith("client", '{"error":"server_tls_cert_validation"'),
        sendWith("client", "server_tls_cert_validation"),
        closes("tls_handshake_failed"),
      );
  },
);

playbook("a client none of whose protocols the server speaks fails as it would without a proxy", (play) => {
  const noProtocol = "ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL";
  const refused = (http2Enabled: boolean, offered: readonly string[], asked: readonly string[]) =>
    intercepted(play)({ http2Enabled }).receives("client", hello("a.test", ...offered))
      .expects(record("tls_client_hello"), STARTED_SERVER, secureServer("a.test", asked))
      .secureFails("server", noProtocol);
  const failed = [record("tls_handshake_failed", { side: "server" }), closeServer, STARTED_CLIENT];
  refused(true, ["h2"], ["h2"]).expects(failed, secureClient("a.test", ["http/1.1"]))
    .secureFails("client", "ERR_SSL_NO_APPLICATION_PROTOCOL")
    .expects(
      record("tls_handshake_failed", { side: "client" }),
      closes("tls_handshake_failed", {
        reason_detail:
          "TLS with a.test:443 failed: the server speaks none of the protocols that the client " +
          "offers (h2)",
      }),
    );
  refused(true, ["h2", "http/1.1"], ["h2", "http/1.1"]).expects(failed, secureClient("a.test", ["none"]));
  // What was left out of the offers might have been taken: the client is told what happened instead.
  refused(false, ["h2", "http/1.1"], ["http/1.1"]).expects(failed, secureClient("a.test", ["http/1.1"]));
});

playbook("ProxySession ends the flow when the client's handshake fails", (play) => {
  intercepted(play)().receives("client", hello("a.test"))
    .expects(record("tls_client_hello"), STARTED_SERVER, secureServer("a.test"))
    .secures("server").expects(SUCCEEDED("server"), STARTED_CLIENT, secureClient("a.test"))
    .secureFails("client", "ERR_SSL_TLSV1_ALERT_UNKNOWN_CA")
    .expects(
      record("tls_handshake_failed", { side: "client", normalized_reason: "unknown_ca" }),
      closes("tls_handshake_failed"),
    );
});

playbook("a peer that resets or ends during TLS setup ends the flow", (play) => {
  const securing = () =>
    intercepted(play)().receives("client", hello("a.test"))
      .expects(record("tls_client_hello"), STARTED_SERVER, secureServer("a.test"));
  const broken = record("tls_handshake_failed", { side: "client", normalized_reason: "eof_or_reset" });
  securing().fails("client").expects(broken, reset("server"), closes("client_reset"));
  securing().ends("client").expects(broken, closes("client_reset"));
  const half = () => intercepted(play)().receives("client", hello("a.test").subarray(0, 30)).expects();
  half().fails("client").expects(broken, reset("server"), closes("client_reset"));
  half().ends("client").expects(broken, closes("client_reset"));
  const secured = () =>
    securing().secures("server").expects(SUCCEEDED("server"), STARTED_CLIENT, secureClient("a.test"));
  secured().fails("server").expects(reset("client"), closes("server_reset"));
  secured().ends("server").expects(closes("server_reset"));
  // A server of TLS 1.3 that wants a certificate says so when the handshake is over for us.
  secured().fails("server", "tls").expects(
    record("tls_handshake_failed", { side: "server" }),
    reset("client"),
    closes("server_reset"),
  );
});

playbook("ProxySession does not overhear a server that speaks during the client's handshake", (play) => {
  intercepted(play)().receives("client", hello("a.test"))
    .expects(record("tls_client_hello"), STARTED_SERVER, secureServer("a.test"))
    .secures("server").expects(SUCCEEDED("server"), STARTED_CLIENT, secureClient("a.test"))
    .receives("server", "* OK imap\r\n").expects()
    .expectsPaused("server")
    .secures("client")
    .expects(SUCCEEDED("client"), reset("server"), closes("protocol_error"));
});

playbook("ProxySession ends a flow whose ClientHello cannot be read", (play) => {
  intercepted(play)().receives("client", "\x16\x03\x01\x00\x06\x01\x00\x00\x02\x00\x00")
    .expects(
      record("tls_handshake_failed", { side: "client", normalized_reason: "handshake" }),
      closes("tls_handshake_failed"),
    );
});

playbook("timeouts.tls_handshake holds for the hello and for each side's handshake", (play) => {
  const almost = TLS_HANDSHAKE_MS - 0.001;
  intercepted(play)().receives("client", hello("a.test").subarray(0, 30)).at(almost).expects()
    .at(TLS_HANDSHAKE_MS)
    .expects(
      record("tls_handshake_failed", { normalized_reason: "timeout", provider_identity: "soth-mitm" }),
      closes("stage_timeout"),
    );
  intercepted(play)().at(100).receives("client", hello("a.test"))
    .expects(record("tls_client_hello"), STARTED_SERVER, secureServer("a.test"))
    .at(100 + almost).expects()
    .at(100 + TLS_HANDSHAKE_MS)
    .expects(
      record("tls_handshake_failed", { side: "server", normalized_reason: "timeout" }),
      closeServer,
      STARTED_CLIENT,
      secureClient("a.test"),
    )
    .at(100 + TLS_HANDSHAKE_MS + almost).expects()
    .at(100 + 2 * TLS_HANDSHAKE_MS)
    .expects(record("tls_handshake_failed", { side: "client" }), closes("tls_handshake_failed"));
});

playbook("timeouts.idle ends an intercepted connection without a request", (play) => {
  intercepted(play)().receives("client", hello("a.test"))
    .expects(record("tls_client_hello"), STARTED_SERVER, secureServer("a.test"))
    .secures("server").expects(SUCCEEDED("server"), STARTED_CLIENT, secureClient("a.test"))
    .secures("client").expects(SUCCEEDED("client"))
    .at(IDLE_MS - 0.001).expects()
    .at(IDLE_MS).expects(closes("idle_timeout"));
});

playbook("an abort ends a flow in the middle of a handshake", (play) => {
  const securing = () =>
    intercepted(play)().receives("client", hello("a.test"))
      .expects(record("tls_client_hello"), STARTED_SERVER, secureServer("a.test"));
  securing().drains().expects().aborts().expects(closes("shutdown"));
  securing().crashes("x").expects(closes("internal_error"));
});

const OVERRIDE: HostOverride = {
  id: "o",
  hosts: ["*"],
  forceTunnel: false,
  http3: false,
  stripAltSvc: false,
  strictHeaders: true,
  disableH2: true,
  skipUpstreamVerify: true,
  profile: "strict",
};

/** Both sides are secured as the override has it. */
function overridden(host: string, options: { readonly verify: boolean; readonly profile: string }): Expected {
  return {
    text: `secureServer ${host} ${JSON.stringify(options)}`,
    matches: (done) =>
      done.type === "secureServer" && done.options.host === host && done.options.verify === options.verify &&
      done.options.profile === options.profile,
  };
}

playbook("an override holds for the handshakes of both sides, and its name is in the decision", (play) => {
  const decided = () =>
    play(session({ http2Enabled: true })).receives("client", "CONNECT a.test:443 HTTP/1.1\r\n\r\n")
      .expects(record("connect_received"), decide("a.test:443"))
      .decides("intercept", { override: OVERRIDE })
      .expects(record("connect_decision", { override_id: "o" }), open("a.test:443"))
      .opens().expects(send("client", ESTABLISHED));
  const lax = { verify: false, profile: "strict" };
  decided().receives("client", hello("a.test", "h2", "http/1.1"))
    .expects(
      record("tls_client_hello"),
      record("tls_handshake_started", { alpn_offered: ["http/1.1"] }),
      overridden("a.test", lax),
    )
    .secures("server", "http/1.1").expects(SUCCEEDED("server"), STARTED_CLIENT, {
      text: "secureClient strict",
      matches: (done) => done.type === "secureClient" && done.options.profile === "strict",
    });
  decided().receives("client", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    .expects(send("server", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")).expectsTimers("tunnel_idle");
  // The server is verified for another name, for which nobody has said that it need not be.
  decided().receives("client", hello("b.test")).expects(record("tls_client_hello"), decide("b.test:443"))
    .decides("intercept")
    .expects(
      record("connect_decision", { sni: "b.test" }),
      STARTED_SERVER,
      overridden("b.test", { verify: true, profile: "default" }),
    );
});

playbook("an override of an address holds for the name in the hello, unless that has its own", (play) => {
  const named = (own: HostOverride | undefined, id: string, verify: boolean) =>
    play(session()).receives("client", "CONNECT 10.0.0.1:443 HTTP/1.1\r\n\r\n")
      .expects(record("connect_received"), decide("10.0.0.1:443"))
      .decides("intercept", { override: OVERRIDE }).expects(record("connect_decision"), open("10.0.0.1:443"))
      .opens().expects(send("client", ESTABLISHED))
      .receives("client", hello("b.test")).expects(record("tls_client_hello"), decide("b.test:443"))
      .decides("intercept", own === undefined ? {} : { override: own })
      .expects(
        record("connect_decision", { override_id: id }),
        STARTED_SERVER,
        overridden("b.test", { verify, profile: "strict" }),
      );
  named(undefined, "o", false);
  named({ ...OVERRIDE, id: "p", skipUpstreamVerify: false }, "p", true);
});

playbook("ProxySession records the hello of a tunnel beside the relay, whatever its pieces", (play) => {
  const bytes = hello("b.test", "h2");
  const text = String.fromCharCode(...bytes);
  const tunnelled = () =>
    play(session()).receives("client", "CONNECT a.test:443 HTTP/1.1\r\n\r\n")
      .expects(record("connect_received"), decide("a.test:443"))
      .decides("tunnel").expects(record("connect_decision"), open("a.test:443"))
      .opens().expects(send("client", ESTABLISHED));
  tunnelled().receives("client", bytes.subarray(0, 7)).expects(send("server", text.slice(0, 7)))
    .receives("client", bytes.subarray(7))
    .expects(
      send("server", text.slice(7)),
      record("tls_client_hello", { sni: "b.test", connect_host: "a.test", alpn: ["h2"], ech_offered: false }),
    )
    .receives("client", bytes).expects(send("server", text))
    .receives("server", bytes).expects(send("client", text));
  tunnelled().receives("client", "SSH-2.0-x\r\n").expects(send("server", "SSH-2.0-x\r\n"))
    .receives("client", bytes).expects(send("server", text));
});

playbook("ProxySession asks rules about hellos again, and what they decide holds", (play) => {
  const bytes = hello("a.test", "http/1.1");
  const text = String.fromCharCode(...bytes);
  const ofRule = { reason: "rule", ruleId: "r", onHello: true } as const;
  const asked = (first: "intercept" | "tunnel", start = "a.test:443") =>
    play(session({ decidesHellos: true })).receives("client", `CONNECT ${start} HTTP/1.1\r\n\r\n`)
      .expects(record("connect_received"), decide(start))
      .decides(first).expects(record("connect_decision"), open(start))
      .opens().expects(send("client", ESTABLISHED))
      .receives("client", bytes).expects(record("tls_client_hello"), decide("a.test:443"));
  for (const first of ["intercept", "tunnel"] as const) {
    asked(first).decides("block", ofRule)
      .expects(record("connect_decision", { action: "block", rule_id: "r" }), closes("blocked"));
    asked(first).decides("intercept", ofRule).expects(
      record("connect_decision", { action: "intercept" }),
      STARTED_SERVER,
      secureServer("a.test", ["http/1.1"]),
    );
    asked(first).decides("tunnel", ofRule)
      .expects(record("connect_decision", { action: "tunnel" }), send("server", text));
  }
  // Nothing new: nothing is recorded, and it goes on as it was decided.
  asked("intercept").decides("intercept").expects(STARTED_SERVER, secureServer("a.test", ["http/1.1"]));
  asked("tunnel").decides("tunnel").expects(send("server", text));
  // A name in the hello that other rules let through is not enough.
  asked("intercept", "b.test:443").decides("tunnel")
    .expects(record("connect_decision"), STARTED_SERVER, secureServer("a.test", ["http/1.1"]));
  asked("tunnel", "b.test:443").decides("intercept").expects(send("server", text));
  asked("tunnel", "b.test:443").decides("block").expects(record("connect_decision"), closes("blocked"));
});

playbook("ProxySession that waits for a tunnel's hello lets through what is none", (play) => {
  const opened = () =>
    play(session({ decidesHellos: true })).receives("client", "CONNECT a.test:443 HTTP/1.1\r\n\r\n")
      .expects(record("connect_received"), decide("a.test:443"))
      .decides("tunnel").expects(record("connect_decision"), open("a.test:443"))
      .opens().expects(send("client", ESTABLISHED));
  opened().receives("client", "GET / HTTP/1.1\r\n\r\n").expects(send("server", "GET / HTTP/1.1\r\n\r\n"));
  opened().receives("server", "220 mail\r\n").expects(send("client", "220 mail\r\n"));
  opened().receives("client", "\x16\x03\x01").at(TLS_HANDSHAKE_MS).expects(send("server", "\x16\x03\x01"))
    .expectsTimers("tls_handshake", "tunnel_idle").at(2 * TLS_HANDSHAKE_MS).expectsTimers("tunnel_idle");
  opened().receives("client", "\x16\x03").ends("client").expects(send("server", "\x16\x03"), end("server"));
  opened().at(IDLE_MS).expects().expectsTimers("tunnel_idle");
});

playbook("a tunnel whose client leaves its hello unfinished goes on, and the hello is forgotten", (play) => {
  const bytes = clientHello({ extensions: [serverName("a.test")] });
  const [begun, rest] = [bytes.subarray(0, 40), bytes.subarray(40)];
  const forwarded = (part: Uint8Array) => send("server", new TextDecoder("latin1").decode(part));
  play(session()).receives("client", "CONNECT a.test:443 HTTP/1.1\r\n\r\n")
    .expects(record("connect_received"), decide("a.test:443")).decides("tunnel")
    .expects(record("connect_decision"), open("a.test:443")).opens().expects(send("client", ESTABLISHED))
    .receives("client", begun).expects(forwarded(begun)).expectsTimers("tls_handshake", "tunnel_idle")
    .at(TLS_HANDSHAKE_MS).expectsTimers("tunnel_idle")
    .receives("client", rest).expects(forwarded(rest));
});
