/** How flows that are relayed as HTTP begin: intercepted ones, and plain requests. */
import { decide, type Expected, open, type Play, record, send } from "../support/playbook.ts";
import { ESTABLISHED, type Overrides, session } from "../support/proxy_session.ts";

export type Plays = (make: ReturnType<typeof session>) => Play;

export const get = (path: string, more = "") => `GET ${path} HTTP/1.1\r\nHost: a.test\r\n${more}\r\n`;
export const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/** What a GET that is answered with `OK` leaves in the log, from its response on. */
export const ANSWERED: readonly Expected[] = [
  record("response_headers", { status: 200 }),
  record("response_body_chunk", { bytes: 2, data: "ok" }),
  record("exchange_completed", { outcome: "complete" }),
];

/** HTTP in the clear after a CONNECT: the server is fixed. */
export function observed(play: Plays, overrides?: Overrides): Play {
  return play(session(overrides)).receives("client", "CONNECT a.test:80 HTTP/1.1\r\n\r\n")
    .expects(record("connect_received"), decide("a.test:80"))
    .decides("intercept").expects(record("connect_decision"), open("a.test:80"))
    .opens().expects(send("client", ESTABLISHED));
}

export function asked(play: Play, path: string): Play {
  return play.receives("client", get(path)).expects(
    record("request_headers", { target: path }),
    send("server", get(path)),
  );
}

export const PLAIN =
  "GET http://a.test/x HTTP/1.1\r\nProxy-Connection: keep-alive\r\nHost: a.test\r\nA: b\r\n\r\n";
export const FORWARDED = "GET /x HTTP/1.1\r\nHost: a.test\r\nA: b\r\n\r\n";

export function routed(play: Play, request = PLAIN, authority = "a.test:80"): Play {
  return play.receives("client", request)
    .expects(record("connect_received", { method: "GET", authority }), decide(authority, { method: "GET" }));
}

export function forwarded(play: Play): Play {
  return routed(play).decides("intercept").expects(record("connect_decision"), open("a.test:80"))
    .opens().expects(
      record("request_headers", { target: "http://a.test/x", scheme: "http" }),
      send("server", FORWARDED),
    )
    .receives("server", OK).expects(ANSWERED, send("client", OK));
}
