import { BLOCKED_CODE } from "../../src/proxy/answers.ts";
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
  send,
} from "../support/playbook.ts";
import {
  CONNECT_MS,
  ESTABLISHED,
  EXCHANGE_IDLE_MS,
  HEAD_MS,
  IDLE_MS,
  type Overrides,
  session,
} from "../support/proxy_session.ts";

type Plays = (make: ReturnType<typeof session>) => Play;

const get = (path: string, more = "") => `GET ${path} HTTP/1.1\r\nHost: a.test\r\n${more}\r\n`;
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/** What a GET that is answered with `OK` leaves in the log, from its response on. */
const ANSWERED: readonly Expected[] = [
  record("response_headers", { status: 200 }),
  record("response_body_chunk", { bytes: 2, data: "ok" }),
  record("exchange_completed", { outcome: "complete" }),
];

/** HTTP in the clear after a CONNECT: the server is fixed. */
function observed(play: Plays, overrides?: Overrides): Play {
  return play(session(overrides)).receives("client", "CONNECT a.test:80 HTTP/1.1\r\n\r\n")
    .expects(record("connect_received"), decide("a.test:80"))
    .decides("intercept").expects(record("connect_decision"), open("a.test:80"))
    .opens().expects(send("client", ESTABLISHED));
}

function asked(play: Play, path: string): Play {
  return play.receives("client", get(path)).expects(
    record("request_headers", { target: path }),
    send("server", get(path)),
  );
}

// Requests to the proxy itself

const PLAIN = "GET http://a.test/x HTTP/1.1\r\nProxy-Connection: keep-alive\r\nHost: a.test\r\nA: b\r\n\r\n";
const FORWARDED = "GET /x HTTP/1.1\r\nHost: a.test\r\nA: b\r\n\r\n";

function routed(play: Play, request = PLAIN, authority = "a.test:80"): Play {
  return play.receives("client", request)
    .expects(record("connect_received", { method: "GET", authority }), decide(authority, { method: "GET" }));
}

function forwarded(play: Play): Play {
  return routed(play).decides("intercept").expects(record("connect_decision"), open("a.test:80"))
    .opens().expects(
      record("request_headers", { target: "http://a.test/x", scheme: "http" }),
      send("server", FORWARDED),
    )
    .receives("server", OK).expects(ANSWERED, send("client", OK));
}

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

// Smuggling

for (
  const [head, code] of [
    ["Content-Length: 4\r\nTransfer-Encoding: chunked", "content_length_with_transfer_encoding"],
    ["Content-Length: 4\r\nContent-Length: 5", "conflicting_content_length"],
    ["Content-Length: -4", "invalid_content_length"],
    ["Transfer-Encoding: chunked, chunked", "invalid_transfer_encoding"],
    ["Transfer-Encoding : chunked", "whitespace_before_colon"],
    ["A: b\r\n c", "obs_fold"],
    ["A: b\0", "nul_byte"],
    ["Host: b.test", "repeated_host"],
  ] as const
) {
  playbook(`a request with ${JSON.stringify(head)} gets 400 and none of it goes out`, (play) => {
    observed(play).receives("client", `POST / HTTP/1.1\r\nHost: a.test\r\n${head}\r\n\r\n0\r\n\r\n`)
      .expects(
        record("exchange_completed", { outcome: "protocol_error", error_code: code }),
        answer(400, code),
        closes("protocol_error"),
      );
  });
}

playbook(
  "a body that breaks its framing ends the exchange: 400, or a reset once the response has begun",
  (play) => {
    const post = "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";
    const begun = () =>
      observed(play).receives("client", `${post}2\r\nok\r\n`)
        .expects(record("request_headers"), send("server", `${post}2\r\nok\r\n`));
    const broken = [
      record("request_body_chunk"),
      record("exchange_completed", { outcome: "protocol_error", error_by: "client" }),
    ];
    begun().receives("client", "zz\r\n")
      .expects(broken, reset("server"), answer(400, "invalid_chunk_size"), closes("protocol_error"));
    begun().receives("server", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
      .expects(record("response_headers"), send("client", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"))
      .receives("client", "zz\r\n")
      .expects(broken, reset("server"), reset("client"), closes("protocol_error"));
  },
);

for (
  const [response, code] of [
    [
      "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
      "content_length_with_transfer_encoding",
    ],
    ["HTTP/1.1 200 OK\r\nContent-Length: 4, 5\r\n\r\n", "conflicting_content_length"],
    ["HTTP/1.1 200 OK\n", "bare_lf"],
    ["ICY 200 OK\r\n\r\n", "invalid_status_line"],
    ["HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", "unexpected_upgrade"],
  ] as const
) {
  playbook(
    `a response like ${JSON.stringify(response.slice(0, 50))} gives 502 (${code}) and none of it goes out`,
    (play) => {
      asked(observed(play), "/").receives("server", response)
        .expects(
          record("exchange_completed", { outcome: "protocol_error", error_by: "server", error_code: code }),
          reset("server"),
          answer(502, code),
          closes("protocol_error"),
        );
    },
  );
}

playbook("a response that breaks in its body is cut off by a reset", (play) => {
  const begin = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n";
  asked(observed(play), "/").receives("server", begin)
    .expects(record("response_headers"), send("client", begin))
    .receives("server", "zz\r\n")
    .expects(
      record("response_body_chunk"),
      record("exchange_completed", { outcome: "protocol_error", error_code: "invalid_chunk_size" }),
      reset("server"),
      reset("client"),
      closes("protocol_error"),
    );
});

playbook("a response that nobody asked for ends the flow", (play) => {
  asked(observed(play), "/").receives("server", OK).expects(ANSWERED, send("client", OK))
    .receives("server", OK).expects(reset("server"), closes("protocol_error"));
});

playbook("heads over http.max_head_bytes give 431 to a client and 502 to a server", (play) => {
  const limits = { limits: { maxHeadBytes: get("/").length } };
  asked(observed(play, limits), "/");
  observed(play, limits).receives("client", get("/x"))
    .expects(
      record("exchange_completed", { outcome: "limit" }),
      answer(431, "head_too_large"),
      closes("limit_exceeded"),
    );
  asked(observed(play, limits), "/").receives("server", `HTTP/1.1 200 OK\r\nA: ${"b".repeat(50)}\r\n\r\n`)
    .expects(
      record("exchange_completed", { outcome: "limit" }),
      reset("server"),
      answer(502, "head_too_large"),
      closes("limit_exceeded"),
    );
});

// Relaying

playbook(
  "pipelined requests go through as they come, and a bad one is answered after the responses before it",
  (play) => {
    const two = asked(asked(observed(play), "/1"), "/2");
    two.receives("client", "GET /3\r\n\r\n").expects()
      .receives("server", OK).expects(ANSWERED, send("client", OK))
      .receives("server", OK)
      .expects(
        ANSWERED,
        record("exchange_completed", { outcome: "protocol_error", exchange_id: 3 }),
        send("client", OK),
        answer(400, "malformed_start_line"),
        closes("protocol_error"),
      );
  },
);

playbook("a crowd of pipelined requests waits unread until responses come", (play) => {
  const crowd = observed(play);
  const names = Array.from({ length: 70 }, (_, index) => `/${index}`);
  const [first, rest] = [names.slice(0, 64), names.slice(64)];
  crowd.receives("client", names.map((name) => get(name)).join(""))
    .expects(
      first.map((target) => record("request_headers", { target })),
      send("server", first.map((name) => get(name)).join("")),
    )
    .expectsPaused("client");
  const response = "HTTP/1.1 204 No Content\r\n\r\n";
  const done = [record("response_headers"), record("exchange_completed")];
  for (let count = 0; count < 31; count++) {
    crowd.receives("server", response).expects(done, send("client", response));
  }
  crowd.expectsPaused("client").receives("server", response)
    .expects(
      done,
      rest.map((target) => record("request_headers", { target })),
      send("server", rest.map((name) => get(name)).join("")),
      send("client", response),
    )
    .expectsPaused();
});

playbook("interim responses and Expect: 100-continue pass as they are", (play) => {
  const post = "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
  observed(play).receives("client", post).expects(record("request_headers"), send("server", post))
    .receives("server", "HTTP/1.1 100 Continue\r\n\r\n")
    .expects(
      record("response_headers", { status: 100, interim: true }),
      send("client", "HTTP/1.1 100 Continue\r\n\r\n"),
    )
    .receives("client", "ok").expects(record("request_body_chunk", { data: "ok" }), send("server", "ok"))
    .receives("server", OK).expects(ANSWERED, send("client", OK));
});

playbook("an early response is relayed while the request is still being sent", (play) => {
  const post = "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\n";
  const early = () =>
    observed(play).receives("client", `${post}ab`).expects(
      record("request_headers"),
      send("server", `${post}ab`),
    )
      .receives("server", OK)
      .expects(record("response_headers"), record("response_body_chunk"), send("client", OK));
  early().receives("client", "cd")
    .expects(
      record("request_body_chunk", { bytes: 4 }),
      record("exchange_completed", { outcome: "complete" }),
      send("server", "cd"),
    )
    .ends("client").expects(closes("complete"));
  early().ends("server").expects(
    record("request_body_chunk"),
    record("exchange_completed", { outcome: "complete" }),
    closes("complete"),
  );
});

playbook("101 makes the connection opaque both ways, from the server's byte on", (play) => {
  const asks = get("/ws", "Connection: Upgrade\r\nUpgrade: x\r\n");
  const granted = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";
  const upgrade = () =>
    observed(play).receives("client", asks).expects(record("request_headers"), send("server", asks));
  const switched = [
    record("response_headers", { status: 101 }),
    record("exchange_completed", { outcome: "complete" }),
  ];
  upgrade().receives("server", `${granted}hi`)
    .expects(switched, send("client", granted), send("client", "hi"))
    .expectsTimers("tunnel_idle")
    .receives("client", "\0\x01").expects(send("server", "\0\x01"))
    .ends("server").expects(end("client"))
    .ends("client").expects(end("server"), closes("complete"));
  // Until then the client's bytes are HTTP.
  upgrade().receives("client", "\x81\x05").expects()
    .receives("server", granted)
    .expects(
      record("exchange_completed", { error_code: "unexpected_upgrade" }),
      reset("server"),
      record("exchange_completed", { error_code: "control_byte", exchange_id: 2 }),
      answer(502, "unexpected_upgrade"),
      closes("protocol_error"),
    );
  // An end that the client has said already reaches the server with the upgrade.
  upgrade().ends("client").expects()
    .receives("server", granted).expects(switched, send("client", granted), end("server"))
    .receives("server", "bye").expects(send("client", "bye"))
    .ends("server").expects(end("client"), closes("complete"));
});

playbook("a response that its end delimits is whole only if the end is", (play) => {
  const begin = "HTTP/1.1 200 OK\r\n\r\npart";
  const begun = () =>
    asked(observed(play), "/").receives("server", begin).expects(
      record("response_headers"),
      send("client", begin),
    );
  begun().ends("server").expects(
    record("response_body_chunk"),
    record("exchange_completed", { outcome: "complete" }),
    closes("complete"),
  );
  begun().ends("server", { truncated: true })
    .expects(
      record("response_body_chunk"),
      record("exchange_completed", { outcome: "server_aborted", error_code: "tls_truncated" }),
      reset("client"),
      closes("server_reset"),
    );
});

playbook(
  "a server that leaves without a word gives 502, in the middle of a response an end or a reset",
  (play) => {
    asked(observed(play), "/").ends("server")
      .expects(
        record("exchange_completed", { outcome: "server_aborted" }),
        answer(502, "server_closed"),
        closes("server_reset"),
      );
    asked(observed(play), "/").fails("server")
      .expects(
        record("exchange_completed", { outcome: "server_aborted" }),
        answer(502, "server_reset"),
        closes("server_reset"),
      );
    const half = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
    const begun = () =>
      asked(observed(play), "/").receives("server", half).expects(
        record("response_headers"),
        send("client", half),
      );
    const aborted = [
      record("response_body_chunk"),
      record("exchange_completed", { outcome: "server_aborted" }),
    ];
    begun().ends("server").expects(aborted, closes("server_reset"));
    begun().fails("server").expects(aborted, reset("client"), closes("server_reset"));
  },
);

playbook("a client that leaves in the middle is client_aborted", (play) => {
  asked(observed(play), "/").fails("client")
    .expects(
      record("exchange_completed", { outcome: "client_aborted" }),
      reset("server"),
      closes("client_reset"),
    );
  observed(play).receives("client", "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 9\r\n\r\n")
    .expects(record("request_headers"), send("server", /^POST/))
    .ends("client")
    .expects(
      record("exchange_completed", { outcome: "client_aborted" }),
      reset("server"),
      closes("client_reset"),
    );
  asked(observed(play), "/").ends("client").expects()
    .receives("server", OK).expects(ANSWERED, send("client", OK), closes("complete"));
});

// Timers

playbook("timeouts.idle ends a connection between exchanges", (play) => {
  const idle = asked(observed(play), "/").at(5).receives("server", OK).expects(ANSWERED, send("client", OK))
    .expectsTimers("idle");
  idle.at(5 + IDLE_MS - 0.001).expects().at(5 + IDLE_MS).expects(closes("idle_timeout"));
});

playbook("timeouts.head holds for each request and each response", (play) => {
  observed(play).at(7).receives("client", "GET / HT")
    .at(7 + HEAD_MS - 0.001).expects()
    .at(7 + HEAD_MS).expects(
      record("exchange_completed", { outcome: "timeout" }),
      answer(408, "head_timeout"),
      closes("stage_timeout"),
    );
  asked(observed(play), "/").at(7).receives("server", "HTTP/1.1 2")
    .at(7 + HEAD_MS - 0.001).expects()
    .at(7 + HEAD_MS).expects(
      record("exchange_completed", { outcome: "timeout" }),
      reset("server"),
      answer(504, "timeout"),
      closes("stage_timeout"),
    );
});

playbook("timeouts.exchange_idle counts from the last byte of an exchange", (play) => {
  asked(observed(play), "/").at(EXCHANGE_IDLE_MS - 0.001).expects()
    .at(EXCHANGE_IDLE_MS)
    .expects(
      record("exchange_completed", { outcome: "timeout" }),
      reset("server"),
      answer(504, "timeout"),
      closes("idle_timeout"),
    );
  const half = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
  asked(observed(play), "/").at(400_000).receives("server", half).expects(
    record("response_headers"),
    send("client", half),
  )
    .at(400_000 + EXCHANGE_IDLE_MS - 0.001).expects()
    .at(400_000 + EXCHANGE_IDLE_MS)
    .expects(
      record("response_body_chunk"),
      record("exchange_completed", { outcome: "timeout" }),
      reset("server"),
      reset("client"),
      closes("idle_timeout"),
    );
});

// Stopping

playbook(
  "a drain lets exchanges finish, those that are being routed included, and then ends the flow",
  (play) => {
    asked(observed(play), "/").drains().expects()
      .receives("server", OK).expects(ANSWERED, send("client", OK), closes("shutdown"));
    asked(observed(play), "/").receives("server", OK).expects(ANSWERED, send("client", OK)).drains().expects(
      closes("shutdown"),
    );
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
  },
);

playbook("an abort or a crash ends exchanges as reset", (play) => {
  asked(observed(play), "/").aborts().expects(
    record("exchange_completed", { outcome: "reset" }),
    closes("shutdown"),
  );
  asked(observed(play), "/").crashes("x").expects(
    record("exchange_completed", { outcome: "reset" }),
    closes("internal_error"),
  );
});
