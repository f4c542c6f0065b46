/** Policy for single requests on an intercepted HTTP/1.1 connection. */
import { answer, closes, decide, open, type Play, playbook, record, send } from "../support/playbook.ts";
import { ESTABLISHED, session } from "../support/proxy_session.ts";

type Plays = (make: ReturnType<typeof session>) => Play;

const get = (path: string, more = "") => `GET ${path} HTTP/1.1\r\nHost: a.test\r\n${more}\r\n`;
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const ANSWERED = [
  record("response_headers", { status: 200 }),
  record("response_body_chunk", { bytes: 2, data: "ok" }),
  record("exchange_completed", { outcome: "complete" }),
];
const BLOCKED = record("exchange_completed", {
  outcome: "blocked",
  answer_status: 403,
  error_by: "proxy",
  error_code: "blocked",
});
const DECIDED_BLOCK = record("connect_decision", { action: "block", authority: "a.test:80" });

function observed(play: Plays): Play {
  return play(session({ decidesRequests: true }))
    .receives("client", "CONNECT a.test:80 HTTP/1.1\r\n\r\n")
    .expects(record("connect_received"), decide("a.test:80"))
    .decides("intercept").expects(record("connect_decision"), open("a.test:80"))
    .opens().expects(send("client", ESTABLISHED));
}

const asked = (path: string, method = "GET") => decide("a.test:80", { path, method, sni: null });

playbook(
  "a refused request gets its answer, nothing of it reaches the server, and the connection goes on",
  (play) => {
    observed(play)
      .receives("client", get("/no?x")).expects(asked("/no?x"))
      .decides("block", { reason: "rule", ruleId: "r" })
      .expects(DECIDED_BLOCK, record("request_headers", { target: "/no?x" }), BLOCKED, answer(403, "blocked"))
      .receives("client", get("/yes")).expects(asked("/yes"))
      .decides("intercept").expects(
        record("request_headers", { exchange_id: 2 }),
        send("server", get("/yes")),
      )
      .receives("server", OK).expects(ANSWERED, send("client", OK))
      .ends("client").expects(closes("complete"));
  },
);

playbook("a client that leaves after a refusal leaves a flow that was blocked", (play) => {
  observed(play)
    .receives("client", get("/no")).expects(asked("/no"))
    .decides("block").expects(DECIDED_BLOCK, record("request_headers"), BLOCKED, answer(403, "blocked"))
    .ends("client").expects(closes("blocked"));
});

playbook(
  "what a client pipelines behind a request that is being decided waits, and is not read on",
  (play) => {
    observed(play)
      .receives("client", get("/a") + get("/b")).expects(asked("/a")).expectsPaused("client")
      .decides("intercept").expects(
        record("request_headers", { target: "/a" }),
        asked("/b"),
        send("server", get("/a")),
      )
      .decides("intercept").expects(record("request_headers", { target: "/b" }), send("server", get("/b")))
      .expectsPaused()
      .receives("server", OK + OK).expects(ANSWERED, ANSWERED, send("client", OK + OK))
      .aborts().expects(closes("shutdown"));
  },
);

playbook(
  "the answer to a refused request waits for the responses before it, and the server's order is kept",
  (play) => {
    observed(play)
      .receives("client", get("/a") + get("/no") + get("/c"))
      .expects(asked("/a"))
      .decides("intercept").expects(record("request_headers"), asked("/no"), send("server", get("/a")))
      .decides("block").expects(DECIDED_BLOCK, record("request_headers", { exchange_id: 2 }), asked("/c"))
      .decides("intercept").expects(record("request_headers", { exchange_id: 3 }), send("server", get("/c")))
      .receives("server", OK).expects(ANSWERED, send("client", OK), BLOCKED, answer(403, "blocked"))
      .receives("server", OK).expects(ANSWERED, send("client", OK))
      .ends("client").expects(closes("complete"));
  },
);

playbook(
  "a refused request with a body ends the connection with its answer: the body is not read",
  (play) => {
    const post = "POST /no HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhel";
    observed(play)
      .receives("client", post).expects(asked("/no", "POST"))
      .decides("block")
      .expects(DECIDED_BLOCK, record("request_headers"), BLOCKED, answer(403, "blocked"), closes("blocked"));
  },
);

playbook(
  "a refused request with a body that has been read ahead is let go of with its connection",
  (play) => {
    observed(play)
      .receives("client", "POST /no HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello")
      .expects(asked("/no", "POST")).expectsPaused("client")
      .decides("block")
      .expects(DECIDED_BLOCK, record("request_headers"), BLOCKED, answer(403, "blocked"), closes("blocked"))
      .expectsPaused("client");
  },
);

playbook("a refused HEAD gets no body", (play) => {
  observed(play)
    .receives("client", "HEAD /no HTTP/1.1\r\nHost: a.test\r\n\r\n").expects(asked("/no", "HEAD"))
    .decides("block").expects(
      DECIDED_BLOCK,
      record("request_headers"),
      BLOCKED,
      send("client", /^HTTP\/1\.1 403 [^]*\r\n\r\n$/),
    )
    .aborts().expects(closes("shutdown"));
});

playbook("a request that is only relayed leaves its decision in the log and nothing else", (play) => {
  observed(play)
    .receives("client", get("/quiet")).expects(asked("/quiet"))
    .decides("tunnel").expects(
      record("connect_decision", { action: "tunnel", authority: "a.test:80" }),
      send("server", get("/quiet")),
    )
    .receives("server", OK).expects(send("client", OK))
    .receives("client", get("/a")).expects(asked("/a"))
    .decides("intercept").expects(record("request_headers", { exchange_id: 2 }), send("server", get("/a")))
    .aborts().expects(record("exchange_completed"), closes("shutdown"));
});

playbook(
  "another Host than the CONNECT's is decided anew, also where policy looks at no requests",
  (play) => {
    const other = "GET / HTTP/1.1\r\nHost: B.test\r\n\r\n";
    play(session())
      .receives("client", "CONNECT a.test:80 HTTP/1.1\r\n\r\n")
      .expects(record("connect_received"), decide("a.test:80"))
      .decides("intercept").expects(record("connect_decision"), open("a.test:80"))
      .opens().expects(send("client", ESTABLISHED))
      .receives("client", get("/")).expects(record("request_headers"), send("server", get("/")))
      .receives("server", OK).expects(ANSWERED, send("client", OK))
      .receives("client", other).expects(decide("b.test:80", { method: "GET", path: "/" }))
      .decides("intercept").expects(
        record("connect_decision", { action: "intercept", authority: "b.test:80" }),
        record("request_headers", { authority: "B.test" }),
        send("server", other),
      )
      .receives("server", OK).expects(ANSWERED, send("client", OK))
      .receives("client", other).expects(decide("b.test:80"))
      .decides("block").expects(
        record("connect_decision", { action: "block", authority: "b.test:80" }),
        record("request_headers"),
        BLOCKED,
        answer(403, "blocked"),
      )
      // HTTP/1.0 may leave the name out.
      .receives("client", "GET / HTTP/1.0\r\n\r\n")
      .expects(
        record("request_headers", { authority: "a.test:80" }),
        send("server", "GET / HTTP/1.0\r\n\r\n"),
      )
      .aborts().expects(record("exchange_completed"), closes("shutdown"));
  },
);

playbook("a client that half-closes while its request is being decided still gets its answer", (play) => {
  observed(play)
    .receives("client", get("/no")).expects(asked("/no")).ends("client").expects()
    .decides("block").expects(
      DECIDED_BLOCK,
      record("request_headers"),
      BLOCKED,
      answer(403, "blocked"),
      closes("blocked"),
    );
});

playbook("a drain waits for the request that is being decided, and ends with its answer", (play) => {
  observed(play)
    .receives("client", get("/no")).expects(asked("/no")).drains().expects()
    .decides("block").expects(
      DECIDED_BLOCK,
      record("request_headers"),
      BLOCKED,
      send("client", /^HTTP\/1\.1 403 [^]*\r\nConnection: close\r\n/),
      closes("blocked"),
    );
});

playbook("a decision that comes after the flow's end changes nothing", (play) => {
  observed(play).receives("client", get("/a")).expects(asked("/a"))
    .fails("client").expects(
      { text: "reset server", matches: ({ type }) => type === "reset" },
      closes("client_reset"),
    );
});
