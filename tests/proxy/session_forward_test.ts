import { BLOCKED_CODE } from "../../src/proxy/answers.ts";
import {
  answer,
  closes,
  closeServer,
  decide,
  end,
  open,
  type Play,
  playbook,
  record,
  reset,
  send,
} from "../support/playbook.ts";
import { CONNECT_MS, ESTABLISHED, session } from "../support/proxy_session.ts";
import { ANSWERED, FORWARDED, forwarded, OK, PLAIN, routed } from "./http_plays.ts";

playbook(
  "ProxySession forwards plain requests in origin-form, each decided on its own, to a server that is kept",
  (play) => {
    const second = forwarded(play(session()));
    routed(second).decides("intercept")
      .expects(
        record("connect_decision"),
        record("request_headers", { exchange_id: 2 }),
        send("server", FORWARDED),
      )
      .receives("server", OK).expects(ANSWERED, send("client", OK))
      .ends("client").expects(closes("complete"));
  },
);

playbook(
  "ProxySession takes another server for another authority, and a new one where the old has gone",
  (play) => {
    const other = "GET http://b.test:81/ HTTP/1.1\r\nHost: b.test:81\r\n\r\n";
    routed(forwarded(play(session())), other, "b.test:81").decides("intercept")
      .expects(record("connect_decision"), closeServer, open("b.test:81"))
      .opens().expects(
        record("request_headers"),
        send("server", "GET / HTTP/1.1\r\nHost: b.test:81\r\n\r\n"),
      );
    const gone = forwarded(play(session())).ends("server").expects(closeServer);
    routed(gone).decides("intercept").expects(record("connect_decision"), open("a.test:80"));
    const broken = forwarded(play(session())).fails("server").expects(closeServer);
    routed(broken).decides("intercept").expects(record("connect_decision"), open("a.test:80"));
  },
);

playbook("ProxySession leaves out the events of plain requests that policy tunnels", (play) => {
  routed(play(session())).decides("tunnel").expects(record("connect_decision"), open("a.test:80"))
    .opens().expects(send("server", FORWARDED))
    .receives("server", OK).expects(send("client", OK));
});

playbook("ProxySession answers what is blocked or not reached itself, and serves on", (play) => {
  const blocked = routed(play(session())).decides("block")
    .expects(
      record("connect_decision"),
      record("request_headers"),
      record("exchange_completed", { outcome: "blocked" }),
      answer(403, BLOCKED_CODE),
    );
  forwarded2(blocked);
  const refused = routed(play(session())).decides("intercept").expects(
    record("connect_decision"),
    open("a.test:80"),
  )
    .openFails("refused")
    .expects(
      record("request_headers"),
      record("exchange_completed", { outcome: "server_aborted" }),
      answer(502, "connection_refused"),
    );
  forwarded2(refused);
  routed(play(session())).decides("block")
    .expects(
      record("connect_decision"),
      record("request_headers"),
      record("exchange_completed"),
      answer(403, BLOCKED_CODE),
    )
    .ends("client").expects(closes("blocked"));

  function forwarded2(play: Play): void {
    routed(play).decides("intercept").expects(record("connect_decision"), open("a.test:80"))
      .opens().expects(record("request_headers", { exchange_id: 2 }), send("server", FORWARDED));
  }
});

playbook("a refused request with a body takes the connection with it", (play) => {
  const post = "POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc";
  play(session()).receives("client", post).expects(record("connect_received"), decide("a.test:80"))
    .decides("block")
    .expects(
      record("connect_decision"),
      record("request_headers"),
      record("exchange_completed"),
      answer(403, BLOCKED_CODE),
      closes("blocked"),
    );
});

playbook("timeouts.connect gives up the dial of a plain request: its late success reaches nobody", (play) => {
  routed(play(session())).decides("intercept").expects(record("connect_decision"), open("a.test:80"))
    .at(CONNECT_MS - 0.001).expects()
    .at(CONNECT_MS)
    .expects(
      closeServer,
      record("request_headers"),
      record("exchange_completed", { outcome: "timeout" }),
      answer(504, "connect_timeout"),
    )
    .expectsTimers("idle");
});

for (
  const [request, code] of [
    ["GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n", "not_absolute_form"],
    ["OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n", "not_absolute_form"],
    ["GET https://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", "unsupported_scheme"],
  ] as const
) {
  playbook(
    `ProxySession answers 400 (${code}) to ${JSON.stringify(request.slice(0, 22))} and asks nobody`,
    (play) => {
      play(session()).receives("client", request)
        .expects(
          record("request_headers"),
          record("exchange_completed", { outcome: "protocol_error" }),
          answer(400, code),
        )
        .ends("client").expects(closes("protocol_error"));
    },
  );
}

playbook("a plain request that cannot be parsed is answered once, and nothing of it is forwarded", (play) => {
  const bad = "GET http://a.test/ HTTP/1.1\r\nHost: b.test\r\n\r\n";
  play(session()).receives("client", bad)
    .expects(
      record("connect_parse_failed", { code: "host_target_mismatch" }),
      answer(400, "host_target_mismatch"),
      closes("connect_parse_failed"),
    );
  forwarded(play(session())).receives("client", bad)
    .expects(
      record("exchange_completed", { outcome: "protocol_error" }),
      answer(400, "host_target_mismatch"),
      closes("protocol_error"),
    );
});

playbook("a CONNECT after plain requests is served with all that came behind it", (play) => {
  const connect = "CONNECT t.test:1 HTTP/1.1\r\n\r\n";
  forwarded(play(session())).receives("client", `${connect}early`)
    .expects(closeServer, record("connect_received", { method: "CONNECT" }), decide("t.test:1"))
    .decides("tunnel").expects(record("connect_decision"), open("t.test:1"))
    .opens().expects(send("client", ESTABLISHED), send("server", "early"));
  // Pipelined: it waits for the response before it.
  routed(play(session()), `${PLAIN}${connect}early`).decides("intercept")
    .expects(record("connect_decision"), open("a.test:80"))
    .opens().expects(record("request_headers"), send("server", FORWARDED))
    .expectsPaused("client")
    .receives("server", OK)
    .expects(
      ANSWERED,
      send("client", OK),
      closeServer,
      record("connect_received", { method: "CONNECT" }),
      decide("t.test:1"),
    );
});

playbook("the end of an earlier server does not end a tunnel after it", (play) => {
  forwarded(play(session())).ends("server").expects(closeServer)
    .receives("client", "CONNECT t.test:1 HTTP/1.1\r\n\r\n")
    .expects(record("connect_received"), decide("t.test:1"))
    .decides("tunnel").expects(record("connect_decision"), open("t.test:1"))
    .opens().expects(send("client", ESTABLISHED))
    .ends("client").expects(end("server"))
    .receives("server", "late").expects(send("client", "late"))
    .ends("server").expects(end("client"), closes("complete"));
});

playbook("a client that leaves while its plain request is routed is heard", (play) => {
  routed(play(session())).fails("client").expects(reset("server"), closes("client_reset"));
  routed(play(session())).ends("client").expects()
    .decides("intercept").expects(record("connect_decision"), open("a.test:80"))
    .opens().expects(record("request_headers"), send("server", FORWARDED))
    .receives("server", OK).expects(ANSWERED, send("client", OK), closes("complete"));
});

playbook("a drain lets plain requests finish that are being routed", (play) => {
  routed(play(session())).drains().expects()
    .decides("intercept").expects(record("connect_decision"), open("a.test:80"))
    .opens().expects(record("request_headers"), send("server", FORWARDED))
    .receives("server", OK).expects(ANSWERED, send("client", OK), closes("shutdown"));
  routed(play(session())).drains().expects().decides("block")
    .expects(
      record("connect_decision"),
      record("request_headers"),
      record("exchange_completed"),
      answer(403, BLOCKED_CODE),
      closes("blocked"),
    );
});
