/** WebSockets of a flow: what passes, and the session's timer for their turns. */
import type { Side } from "../../src/core/side.ts";
import { encodeFrame } from "../observe/websocket/frames.ts";
import { closes, decide, end, open, type Play, playbook, record, reset, send } from "../support/playbook.ts";
import { ESTABLISHED, session, TUNNEL_IDLE_MS } from "../support/proxy_session.ts";

type Plays = (make: ReturnType<typeof session>) => Play;

const ASKS = "GET /chat HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const GRANTED = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n" +
  "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

const octets = (bytes: Uint8Array) => String.fromCharCode(...bytes);

function text(side: Side, payload: string): string {
  const bytes = new TextEncoder().encode(payload);
  return octets(encodeFrame({ opcode: 1, mask: side === "client", payload: bytes }));
}

function close(side: Side, code: number): string {
  const payload = Uint8Array.of(code >> 8, code & 0xff);
  return octets(encodeFrame({ opcode: 8, mask: side === "client", payload }));
}

function opened(play: Plays): Play {
  return play(session()).receives("client", "CONNECT a.test:80 HTTP/1.1\r\n\r\n")
    .expects(record("connect_received"), decide("a.test:80"))
    .decides("intercept").expects(record("connect_decision"), open("a.test:80"))
    .opens().expects(send("client", ESTABLISHED))
    .receives("client", ASKS).expects(record("request_headers"), send("server", ASKS))
    .receives("server", GRANTED).expects(
      record("response_headers", { status: 101 }),
      record("websocket_opened", { exchange_id: 1 }),
      record("exchange_completed", { outcome: "complete" }),
      send("client", GRANTED),
    ).expectsTimers("tunnel_idle");
}

playbook(
  "a WebSocket passes frame by frame, each sent on before it is told, and closes with its flow",
  (play) => {
    opened(play)
      .receives("client", text("client", "hi")).expects(
        send("server", text("client", "hi")),
        record("ws_turn_started", { turn_id: 1, initiator: "client" }),
        record("ws_message", { data: "hi", direction: "request" }),
      ).expectsTimers("tunnel_idle", "ws_turn_idle")
      .receives("server", close("server", 1000)).expects(
        send("client", close("server", 1000)),
        record("ws_control", { code: 1000, direction: "response" }),
        record("ws_turn_completed", { flush_reason: "close_frame", server_control_frames: 1 }),
      )
      .receives("client", close("client", 1000)).expects(
        send("server", close("client", 1000)),
        record("ws_control", { code: 1000, direction: "request" }),
      )
      .ends("client").expects(end("server"))
      .ends("server").expects(
        end("client"),
        record("websocket_closed", { by: "server", clean: true, code: 1000 }),
        closes("complete"),
      );
  },
);

playbook("timeouts.ws_turn_idle ends a turn, and neither the WebSocket nor its flow", (play) => {
  opened(play)
    .at(1000).receives("client", text("client", "hi")).expects(
      send("server", text("client", "hi")),
      record("ws_turn_started"),
      record("ws_message"),
    )
    .at(1500).receives("server", text("server", "yo")).expects(
      send("client", text("server", "yo")),
      record("ws_message"),
    )
    .at(2249.999).expects()
    .at(2250).expects(
      record("ws_turn_completed", {
        flush_reason: "idle_timeout",
        first_ns: 1_000_000_000,
        last_ns: 1_500_000_000,
        client_bytes: 2,
        server_bytes: 2,
      }),
    ).expectsTimers("tunnel_idle")
    .at(3000).receives("server", text("server", "news")).expects(
      send("client", text("server", "news")),
      record("ws_turn_started", { turn_id: 2, initiator: "server" }),
      record("ws_message"),
    )
    .at(3750).expects(record("ws_turn_completed", { turn_id: 2, flush_reason: "idle_timeout" }))
    .at(3000 + TUNNEL_IDLE_MS).expects(
      record("websocket_closed", { by: "proxy", clean: false, code: 1006 }),
      closes("idle_timeout"),
    );
});

playbook("frames that come with the 101 are told after it", (play) => {
  play(session()).receives("client", "CONNECT a.test:80 HTTP/1.1\r\n\r\n")
    .expects(record("connect_received"), decide("a.test:80"))
    .decides("intercept").expects(record("connect_decision"), open("a.test:80"))
    .opens().expects(send("client", ESTABLISHED))
    .receives("client", ASKS).expects(record("request_headers"), send("server", ASKS))
    .receives("server", GRANTED + text("server", "welcome")).expects(
      record("response_headers"),
      record("websocket_opened"),
      record("exchange_completed"),
      send("client", GRANTED),
      send("client", text("server", "welcome")),
      record("ws_turn_started", { initiator: "server" }),
      record("ws_message", { data: "welcome" }),
    );
});

playbook("a reset tells the WebSocket's turn and end before the flow's", (play) => {
  opened(play)
    .receives("client", text("client", "hi")).expects(
      send("server", text("client", "hi")),
      record("ws_turn_started"),
      record("ws_message"),
    )
    .fails("server").expects(
      reset("client"),
      record("ws_turn_completed", { flush_reason: "error" }),
      record("websocket_closed", { by: "server", clean: false }),
      closes("server_reset"),
    );
});

playbook("what is no WebSocket at all passes as it is, and is told as that once", (play) => {
  opened(play)
    .receives("client", "GET / HTTP/1.1\r\n\r\n").expects(
      send("server", "GET / HTTP/1.1\r\n\r\n"),
      record("decoder_failed", { stage: "framing", reason: "reserved_opcode", direction: "request" }),
    )
    .receives("client", "and more").expects(send("server", "and more"))
    .ends("server").expects(end("client"))
    .ends("client").expects(
      end("server"),
      record("websocket_closed", { partial: true, clean: false, code: 1006, by: "server" }),
      closes("complete"),
    );
});
