import {
  answer,
  closes,
  decide,
  openDatagrams,
  type Play,
  playbook,
  record,
  reset,
  send,
} from "../support/playbook.ts";
import { CONNECT_MS, type Overrides, session, TUNNEL_IDLE_MS } from "../support/proxy_session.ts";

const HEAD = "GET /.well-known/masque/udp/a.test/443/ HTTP/1.1\r\nHost: p.test\r\n" +
  "Connection: Upgrade\r\nUpgrade: connect-udp\r\nCapsule-Protocol: ?1\r\n\r\n";
const GRANTED = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: connect-udp\r\n" +
  "Capsule-Protocol: ?1\r\n\r\n";
const HTTP3 = record("connect_decision", { action: "tunnel", reason: "http3" });
const passedThrough = (prior: string) =>
  record("http3_passthrough", { hint: "connect_udp", prior_action: prior });

function asked(play: (make: ReturnType<typeof session>) => Play, overrides: Overrides = {}, more = ""): Play {
  return play(session(overrides)).receives("client", HEAD + more).expects(
    record("connect_received", { authority: "a.test:443", method: "CONNECT-UDP" }),
    decide("a.test:443", { method: "CONNECT-UDP", path: null, sni: null }),
  );
}

function granted(play: (make: ReturnType<typeof session>) => Play): Play {
  return asked(play)
    .decides("intercept").expects(HTTP3, passedThrough("intercept"), openDatagrams("a.test:443"))
    .expectsTimers("connect")
    .opens().expects(send("client", GRANTED)).expectsTimers("tunnel_idle").expectsPaused();
}

playbook("CONNECT-UDP is decided like a CONNECT and carries datagrams both ways", (play) => {
  granted(play)
    .receives("client", "\0\x04\0abc\0\x02\0d").expects(send("server", "abc"), send("server", "d"))
    .receives("server", "reply").expects(send("client", "\0\x06\0reply"))
    .receives("server", "").expects(send("client", "\0\x01\0"))
    .ends("client").expects(
      closes("complete", {
        bytes_from_client: HEAD.length + 10,
        bytes_from_server: 5,
        datagram_bytes_from_client: 4,
        datagram_bytes_from_server: 5,
        datagrams_from_client: 2,
        datagrams_from_server: 2,
        datagrams_dropped_from_client: 0,
        datagrams_dropped_from_server: 0,
        capsules_skipped: 0,
      }),
    );
});

playbook("datagrams that were sent ahead of the answer go out behind it", (play) => {
  asked(play, {}, "\0\x04\0abc\0\x04\0").expectsPaused("client")
    .decides("tunnel").expects(HTTP3, passedThrough("tunnel"), openDatagrams("a.test:443"))
    .opens().expects(send("client", GRANTED), send("server", "abc"))
    .receives("client", "def").expects(send("server", "def"))
    .aborts().expects(closes("shutdown"));
});

playbook("a blocked CONNECT-UDP opens no socket", (play) => {
  asked(play).decides("block", { reason: "rule", ruleId: "r" }).expects(
    record("connect_decision", { action: "block", rule_id: "r" }),
    answer(403, "blocked"),
    closes("blocked"),
  );
});

playbook(
  "without http.http3_passthrough a CONNECT-UDP is tunnelled where policy says so, and else blocked",
  (play) => {
    const http3Passthrough = false;
    asked(play, { http3Passthrough }).decides("tunnel", { reason: "ignore_host" }).expects(
      record("connect_decision", { action: "tunnel", reason: "ignore_host" }),
      openDatagrams("a.test:443"),
    );
    asked(play, { http3Passthrough }).decides("intercept").expects(
      record("connect_decision", { action: "block", reason: "http3" }),
      answer(403, "blocked"),
      closes("blocked"),
    );
  },
);

playbook("a CONNECT-UDP whose target is not reached is told why", (play) => {
  const opening = () =>
    asked(play).decides("intercept").expects(HTTP3, passedThrough("intercept"), openDatagrams("a.test:443"));
  opening().openFails("unresolved").expects(
    answer(502, "name_not_resolved"),
    closes("upstream_connect_failed"),
  );
  opening().openFails("self_target").expects(answer(508, "self_target"), closes("route_failed"));
  opening().at(CONNECT_MS).expects(answer(504, "connect_timeout"), closes("upstream_connect_failed"));
});

playbook("a bad CONNECT-UDP is answered 400", (play) => {
  play(session()).receives("client", HEAD.replace("/443/", "/443")).expects(
    record("connect_parse_failed", { code: "invalid_target" }),
    answer(400, "invalid_target"),
    closes("connect_parse_failed"),
  );
});

playbook("datagrams are dropped and counted while a side has no room for them", (play) => {
  granted(play)
    .fills("client").receives("server", "lost").expects()
    .fills("client", false).receives("server", "kept").expects(send("client", "\0\x05\0kept"))
    .fills("server").receives("client", "\0\x05\0lost").expects()
    .ends("client").expects(
      closes("complete", { datagrams_dropped_from_client: 1, datagrams_dropped_from_server: 1 }),
    );
});

playbook(
  "a flow of datagrams ends when nothing passes, with its client, and with what the client breaks",
  (play) => {
    granted(play).at(TUNNEL_IDLE_MS - 1).receives("server", "x").expects(send("client", "\0\x02\0x"))
      .at(2 * TUNNEL_IDLE_MS - 2).expects()
      .at(2 * TUNNEL_IDLE_MS - 1).expects(closes("idle_timeout"));
    granted(play).receives("client", "\0\x04").ends("client").expects(closes("client_reset"));
    granted(play).receives("client", "\0\0").expects(reset("client"), closes("protocol_error"));
    granted(play).fails("client").expects(reset("server"), closes("client_reset"));
    granted(play).fails("server").expects(reset("client"), closes("server_reset"));
    granted(play).drains().expects().aborts().expects(closes("shutdown"));
  },
);
