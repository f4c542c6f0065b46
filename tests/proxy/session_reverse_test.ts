import type { Origin } from "../../src/proxy/origin.ts";
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
import { CONNECT_MS, IDLE_MS, type Overrides, session } from "../support/proxy_session.ts";
import { alpn, clientHello, serverName } from "../tls/hello_builder.ts";

const GET = "GET / HTTP/1.1\r\nHost: other.test\r\n\r\n";
const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS = "\0\0\0\x04\0\0\0\0\0";
const SECURE: Origin = { authority: { host: "o.test", port: 9443 }, tls: true };
const PLAIN: Origin = { authority: { host: "o.test", port: 8080 }, tls: false };

type PlayOf = (make: ReturnType<typeof session>) => Play;

/** A flow of a reverse listener that was asked about and is still to be decided. */
function asked(play: PlayOf, reverse: Origin, overrides: Overrides = {}): Play {
  const authority = `${reverse.authority.host}:${reverse.authority.port}`;
  return play(session({ reverse, http2Enabled: true, ...overrides }))
    .expects(
      record("connect_received", { authority, method: "REVERSE" }),
      decide(authority, { method: "REVERSE" }),
    );
}

function intercepted(play: PlayOf, reverse: Origin, overrides: Overrides = {}): Play {
  return asked(play, reverse, overrides).decides("intercept").expects(record("connect_decision"));
}

function hello(name: string | null, ...protocols: string[]): Uint8Array {
  return clientHello({
    extensions: [
      ...(name === null ? [] : [serverName(name)]),
      ...(protocols.length === 0 ? [] : [alpn(...protocols)]),
    ],
  });
}

const STARTED = (side: string): Expected => record("tls_handshake_started", { side });
const SUCCEEDED = (side: string): Expected => record("tls_handshake_succeeded", { side });

playbook("a reverse listener mirrors ALPN; the leaf is for the SNI, the server's name its own", (play) => {
  const bytes = hello("a.test", "h2", "http/1.1");
  intercepted(play, SECURE).expectsTimers("idle")
    .receives("client", bytes)
    .expects(record("tls_client_hello"), decide("a.test:9443", { sni: "a.test", method: "REVERSE" }))
    .decides("intercept").expects(record("connect_decision", { sni: "a.test" }), open("o.test:9443"))
    .expectsTimers("connect")
    .opens().expects(STARTED("server"), secureServer("o.test", ["h2", "http/1.1"]))
    .secures("server", "h2")
    .expects(SUCCEEDED("server"), STARTED("client"), secureClient("a.test", ["h2"], bytes))
    .secures("client", "h2").expects(SUCCEEDED("client"))
    .receives("client", PREFACE + SETTINGS).expects(send("server", PREFACE + SETTINGS));
  intercepted(play, SECURE, { upstreamSniMode: "required" }).receives("client", hello(null))
    .expects(record("tls_client_hello"), open("o.test:9443"))
    .opens().expects(STARTED("server"), secureServer("o.test", []))
    .secures("server").expects(SUCCEEDED("server"), STARTED("client"), secureClient("o.test", []));
});

playbook("a client in the clear is relayed to an origin in TLS, in the version it began with", (play) => {
  const opened = (began: string, ...protocols: string[]) =>
    intercepted(play, SECURE).receives("client", began).expects(open("o.test:9443"))
      .expectsPaused("client")
      .opens().expects(STARTED("server"), secureServer("o.test", protocols));
  opened(GET, "http/1.1").secures("server", "http/1.1")
    .expects(SUCCEEDED("server"), record("request_headers", { scheme: "http" }), send("server", GET))
    .expectsPaused();
  // Without ALPN a server speaks HTTP/1.1.
  opened(GET, "http/1.1").ends("client").expects().secures("server")
    .expects(SUCCEEDED("server"), record("request_headers"), send("server", GET));
  opened(PREFACE + SETTINGS, "h2").secures("server", "h2")
    .expects(SUCCEEDED("server"), send("server", PREFACE + SETTINGS));
});

playbook("TLS in front of an origin in the clear ends here, in HTTP/1.1 where the client can", (play) => {
  const served = (offered: readonly string[], ...chosen: string[]) => {
    const bytes = hello("o.test", ...offered);
    return intercepted(play, PLAIN).receives("client", bytes)
      .expects(record("tls_client_hello"), open("o.test:8080"))
      .opens().expects(STARTED("client"), secureClient("o.test", chosen, bytes));
  };
  served(["h2", "http/1.1"], "http/1.1").secures("client", "http/1.1")
    .expects(SUCCEEDED("client"))
    .receives("client", GET).expects(record("request_headers", { scheme: "https" }), send("server", GET));
  served(["h2"], "h2").secures("client", "h2").expects(SUCCEEDED("client"))
    .receives("client", PREFACE + SETTINGS).expects(send("server", PREFACE + SETTINGS));
  served([]);
  served(["h3"]);
});

playbook("a client in the clear is relayed to an origin in the clear, whatever it speaks", (play) => {
  const began = (bytes: string) =>
    intercepted(play, PLAIN).receives("client", bytes.slice(0, 2)).expects()
      .receives("client", bytes.slice(2)).expects(open("o.test:8080"));
  began(GET).opens().expects(record("request_headers", { authority: "other.test" }), send("server", GET));
  began(PREFACE).opens().expects(send("server", PREFACE));
  began("SSH-2.0\r\n").receives("client", "more").expects()
    .opens().expects(send("server", "SSH-2.0\r\nmore"))
    .receives("server", "SSH").expects(send("client", "SSH"))
    .ends("server").expects(end("client"))
    .ends("client").expects(end("server"), closes("complete", { reason_detail: "neither TLS nor HTTP" }));
});

playbook("what is tunnelled is looked at no further than its hello", (play) => {
  const bytes = hello("a.test", "h2");
  asked(play, SECURE).receives("client", bytes).expects()
    .decides("tunnel").expects(record("connect_decision", { action: "tunnel" }), open("o.test:9443"))
    .opens().expects(
      send("server", String.fromCharCode(...bytes)),
      record("tls_client_hello", { sni: "a.test" }),
    )
    .expectsTimers("tunnel_idle").expectsPaused()
    .ends("client").expects(end("server"))
    .ends("server").expects(end("client"), closes("complete"));
  asked(play, SECURE).decides("tunnel").expects(record("connect_decision"), open("o.test:9443"))
    .openFails("refused").expects(reset("client"), closes("upstream_connect_failed"));
});

playbook("a blocked client is told in what it speaks, and no server is dialled", (play) => {
  const blocked = () => asked(play, SECURE).decides("block").expects(record("connect_decision"));
  blocked().receives("client", GET).expects(answer(403, "blocked"), closes("blocked"));
  const bytes = hello("a.test", "h2", "http/1.1");
  blocked().receives("client", bytes)
    .expects(record("tls_client_hello"), STARTED("client"), secureClient("a.test", ["http/1.1"], bytes))
    .secures("client", "http/1.1").expects(SUCCEEDED("client"))
    .receives("client", GET).expects(answer(403, "blocked"), closes("blocked"));
  blocked().receives("client", "SSH-2.0\r\n").expects(reset("client"), closes("blocked"));
  blocked().ends("client").expects(closes("complete"));
});

playbook("an origin that is not reached is told of in what the client speaks", (play) => {
  const plain = () => intercepted(play, SECURE).receives("client", GET).expects(open("o.test:9443"));
  const refused = closes("upstream_connect_failed");
  plain().openFails("refused").expects(answer(502, "connection_refused"), refused);
  plain().openFails("self_target").expects(answer(508, "self_target"), closes("route_failed"));
  plain().at(CONNECT_MS).expects(closeServer, answer(504, "connect_timeout"), refused);
  intercepted(play, SECURE).receives("client", hello("o.test", "http/1.1"))
    .expects(record("tls_client_hello"), open("o.test:9443"))
    .openFails("refused").expects(STARTED("client"), secureClient("o.test", ["http/1.1"]))
    .secures("client").expects(SUCCEEDED("client"))
    .receives("client", GET).expects(answer(502, "connection_refused"), refused);
  plain().opens().expects(STARTED("server"), secureServer("o.test", ["http/1.1"]))
    .secureFails("server")
    .expects(
      record("tls_handshake_failed", { side: "server", host: "o.test" }),
      closeServer,
      answer(502, "server_tls_cert_validation"),
      closes("tls_handshake_failed"),
    );
});

playbook("a client that began with HTTP/2 is told of a refusal in HTTP/2", (play) => {
  const get = "\0\0\x03\x01\x05\0\0\0\x01\x82\x87\x84";
  const answered = (code: string) => [
    send("client", SETTINGS),
    send("client", "\0\0\0\x04\x01\0\0\0\0"),
    sendWith("client", "\x01\x04\0\0\0\x01"),
    sendWith("client", `{"error":"${code}"`),
    sendWith("client", code),
  ];
  const began = () => intercepted(play, SECURE).receives("client", PREFACE + SETTINGS + get);
  began().expects(open("o.test:9443")).openFails("refused")
    .expects(answered("connection_refused"), closes("upstream_connect_failed"));
  began().expects(open("o.test:9443")).opens()
    .expects(STARTED("server"), secureServer("o.test", ["h2"]))
    .secures("server", null)
    .expects(SUCCEEDED("server"), closeServer, answered("server_tls_handshake"), closes("protocol_error"));
});

playbook("what is neither TLS nor HTTP is not sent to an origin in TLS", (play) => {
  intercepted(play, SECURE).receives("client", "CONNECT a.test:443 HTTP/1.1\r\n\r\n")
    .expects(answer(400, "not_http"), closes("protocol_error"));
  intercepted(play, SECURE).receives("client", "GET").ends("client")
    .expects(answer(400, "not_http"), closes("protocol_error"));
  // A refusal has nobody to be told to once its request can not become whole.
  intercepted(play, SECURE).receives("client", "GET / HTTP/1.1\r\n").expects(open("o.test:9443"))
    .ends("client").expects()
    .openFails("refused").expects(closes("upstream_connect_failed"));
});

playbook("a client of a reverse listener that says nothing, or half of it, ends without a server", (play) => {
  intercepted(play, SECURE).ends("client").expects(closes("complete"));
  intercepted(play, SECURE).at(IDLE_MS).expects(closes("idle_timeout"));
  intercepted(play, SECURE).drains().expects(closes("shutdown"));
  intercepted(play, SECURE).fails("client").expects(closes("client_reset"));
  intercepted(play, SECURE).receives("client", hello("a.test").subarray(0, 50)).ends("client")
    .expects(record("tls_handshake_failed", { side: "client" }), closes("client_reset"));
});

playbook("a name in the hello that is blocked is not let through to the origin", (play) => {
  intercepted(play, SECURE).receives("client", hello("bad.test"))
    .expects(record("tls_client_hello"), decide("bad.test:9443"))
    .decides("block").expects(record("connect_decision"), closes("blocked"));
});
