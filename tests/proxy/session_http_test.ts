import { answer, closes, end, playbook, record, reset, send } from "../support/playbook.ts";
import { EXCHANGE_IDLE_MS, HEAD_MS, IDLE_MS } from "../support/proxy_session.ts";
import { ANSWERED, asked, get, observed, OK } from "./http_plays.ts";

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
  "a drain lets exchanges finish and then ends the flow",
  (play) => {
    asked(observed(play), "/").drains().expects()
      .receives("server", OK).expects(ANSWERED, send("client", OK), closes("shutdown"));
    asked(observed(play), "/").receives("server", OK).expects(ANSWERED, send("client", OK)).drains().expects(
      closes("shutdown"),
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
