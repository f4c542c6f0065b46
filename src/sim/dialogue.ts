/**
 * A dialogue is what client and server mean to say to each other, in turns. Both peers of a flow play the same
 * dialogue, each its own part, and compare every byte of the other's with the plan: end to end, what arrives is
 * what was said, or what the proxy has to make of it.
 */
import { unreachable } from "../core/assert.ts";
import { Deviation, type Peer, type Script } from "./script.ts";

export type Turn =
  | {
    readonly by: "client" | "server";
    readonly type: "says";
    readonly bytes: Uint8Array;
    /** What the other one gets; nothing where the proxy must withhold it. */
    readonly arrives: Uint8Array;
    /** Which of the client's servers takes part. */
    readonly server: number;
    /** The proxy resets the other one in the middle of this, so that any part of it may arrive, and nothing after. */
    readonly isBroken: boolean;
  }
  | { readonly by: "client" | "server"; readonly type: "ends"; readonly server: number }
  | {
    readonly by: "client" | "server";
    readonly type: "pauses";
    readonly ms: number;
    readonly server: number;
  }
  /** The proxy answers in the server's stead. */
  | { readonly by: "proxy"; readonly type: "answers"; readonly status: number; readonly toHead: boolean };

export function says(by: "client" | "server", bytes: Uint8Array, server = 0, arrives = bytes): Turn {
  return { by, type: "says", bytes, arrives, server, isBroken: false };
}

export function saysInVain(
  by: "client" | "server",
  bytes: Uint8Array,
  server: number,
  arrives: Uint8Array,
): Turn {
  return { by, type: "says", bytes, arrives, server, isBroken: true };
}

export function ends(by: "client" | "server", server = 0): Turn {
  return { by, type: "ends", server };
}

export function pauses(by: "client" | "server", ms: number, server = 0): Turn {
  return { by, type: "pauses", ms, server };
}

export function answers(status: number, toHead = false): Turn {
  return { by: "proxy", type: "answers", status, toHead };
}

/** What the client does after the last turn; `ends` is also right when it has ended already. */
export type Farewell = "ends" | "waits" | "resets";

export function* playClient(peer: Peer, turns: readonly Turn[], farewell: Farewell): Script {
  for (const turn of turns) {
    switch (turn.type) {
      case "answers": {
        const status = yield* peer.expectAnswer({ toHead: turn.toHead });
        if (status !== turn.status) throw new Deviation("answered", `${status}, expected ${turn.status}`);
        break;
      }
      case "says":
        if (turn.by === "client") yield* peer.send(turn.bytes);
        else if (turn.isBroken) {
          yield* peer.expectPart(turn.arrives);
          return;
        } else yield* peer.expect(turn.arrives);
        break;
      case "ends":
        if (turn.by === "client") peer.end.end();
        else yield* peer.expectEnd();
        break;
      case "pauses":
        if (turn.by === "client") yield* peer.sleep(turn.ms);
        break;
      default:
        unreachable(turn);
    }
  }
  if (farewell === "resets") {
    peer.end.reset();
    return;
  }
  if (farewell === "ends") peer.end.end();
  yield* peer.expectEnd();
  peer.end.end();
}

/** One server's part. The turns go on where an earlier connection to the same server left off. */
export class ServerPart {
  #next = 0;
  #isPlaying = false;
  readonly #turns: readonly Turn[];

  constructor(turns: readonly Turn[], server: number) {
    this.#turns = turns.filter((turn) =>
      turn.by !== "proxy" && turn.server === server && !(turn.by === "client" && isWithheld(turn))
    );
  }

  /** Whether everything was said and heard. */
  get isOver(): boolean {
    return this.#next === this.#turns.length;
  }

  *play(peer: Peer): Script {
    // What is still on its way on an earlier connection comes first.
    while (this.#isPlaying) yield* peer.sleep(5);
    this.#isPlaying = true;
    try {
      yield* this.#playOn(peer);
    } finally {
      this.#isPlaying = false;
    }
    yield* peer.expectEnd();
    peer.end.end();
  }

  *#playOn(peer: Peer): Script {
    let isFirst = true;
    for (; !this.isOver; this.#next++) {
      const turn = this.#turns[this.#next]!;
      if (turn.type === "pauses") {
        if (turn.by === "server") yield* peer.sleep(turn.ms);
      } else if (turn.type === "ends") {
        if (turn.by === "client") yield* peer.expectEnd();
        else peer.end.end();
      } else if (turn.type === "says") {
        if (turn.by === "server") yield* peer.send(turn.bytes);
        else if (turn.isBroken) {
          this.#next++;
          yield* peer.expectPart(turn.arrives);
          return;
        } else {
          // Between two exchanges the proxy may let this connection go and come back on another.
          yield () => peer.unread > 0 || peer.ended || peer.wasReset;
          if (peer.unread === 0 && !isFirst) break;
          yield* peer.expect(turn.arrives);
        }
      }
      isFirst = false;
    }
  }
}

function isWithheld(turn: Turn): boolean {
  return turn.type === "says" && turn.arrives.length === 0;
}
