/**
 * The states of a stream (RFC 9113 §5.1) as someone between the two sides sees them: where an
 * endpoint has "local" and "remote", here are the client and the server.
 *
 * ```text
 *                         idle
 *     promised by server /    \ HEADERS of client
 *                       v      v
 *                reserved      open
 *        HEADERS of     \      /  \
 *        server          v    v    v  END_STREAM of server
 *               client_ended       server_ended
 *       END_STREAM of server \       / END_STREAM of client
 *                             v     v
 *                              ended         RST_STREAM from anywhere: reset_by_…
 * ```
 *
 * A frame that this side sent while the other's reset was under way is no deviation, and nobody
 * between them can tell when it arrives. So a side goes on in peace after a reset that is not its
 * own; who reset or ended a stream may not go on with it.
 */
import type { Side } from "../core/side.ts";
import type { Http2ErrorCode } from "./errors.ts";

export const STREAM_STATES = [
  "idle",
  "reserved",
  "open",
  "client_ended",
  "server_ended",
  "ended",
  "reset_by_client",
  "reset_by_server",
  /** The proxy reset it towards both: what still comes is to be read and not forwarded. */
  "reset_by_proxy",
  /** Over for so long that how it ended is forgotten; its frames are the peers' own business. */
  "forgotten",
] as const;
export type StreamState = typeof STREAM_STATES[number];

/** What a frame means to its stream. `_end`: with END_STREAM. */
export const STREAM_INPUTS = [
  "headers",
  "headers_end",
  "data",
  "data_end",
  "rst_stream",
  "window_update",
  /** PUSH_PROMISE on this stream, and for the one that it promises. */
  "push_promise",
  "promised",
] as const;
export type StreamInput = typeof STREAM_INPUTS[number];

// What leads to an error of that code; the state stays.
const IDLE = "!idle_stream";
const RESV = "!reserved_stream";
const HALF = "!half_closed_stream";
const CLOS = "!closed_stream";
const RSET = "!reset_stream";
const PUSH = "!misplaced_promise";
const USED = "!promised_stream_in_use";

type Cell = StreamState | `!${Http2ErrorCode}`;
type Row = readonly [Cell, Cell, Cell, Cell, Cell, Cell, Cell, Cell];

/** Short names, so that a row is a line. */
const resv = "reserved", open = "open", cEnd = "client_ended", sEnd = "server_ended";
const ended = "ended", rstC = "reset_by_client", rstS = "reset_by_server", rstP = "reset_by_proxy";
const forg = "forgotten";

// PRIORITY, and types that RFC 9113 does not define, may come in any state and change none.
// deno-fmt-ignore
const TABLE: Readonly<Record<StreamState, Readonly<Record<Side, Row>>>> = {
  //                        headers headers_end data  data_end rst   window  push  promised
  idle:            { client: [open, cEnd,  IDLE, IDLE,  IDLE, IDLE, PUSH, PUSH],
                     server: [IDLE, IDLE,  IDLE, IDLE,  IDLE, IDLE, PUSH, resv] },
  reserved:        { client: [RESV, RESV,  RESV, RESV,  rstC, resv, PUSH, PUSH],
                     server: [cEnd, ended, RESV, RESV,  rstS, RESV, PUSH, USED] },
  open:            { client: [open, cEnd,  open, cEnd,  rstC, open, PUSH, PUSH],
                     server: [open, sEnd,  open, sEnd,  rstS, open, open, USED] },
  client_ended:    { client: [HALF, HALF,  HALF, HALF,  rstC, cEnd, PUSH, PUSH],
                     server: [cEnd, ended, cEnd, ended, rstS, cEnd, cEnd, USED] },
  server_ended:    { client: [sEnd, ended, sEnd, ended, rstC, sEnd, PUSH, PUSH],
                     server: [HALF, HALF,  HALF, HALF,  rstS, sEnd, PUSH, USED] },
  ended:           { client: [CLOS, CLOS,  HALF, HALF,  ended, ended, PUSH, PUSH],
                     server: [CLOS, CLOS,  HALF, HALF,  ended, ended, PUSH, USED] },
  reset_by_client: { client: [RSET, RSET,  RSET, RSET,  rstC, rstC, PUSH, PUSH],
                     server: [rstC, rstC,  rstC, rstC,  rstC, rstC, rstC, USED] },
  reset_by_server: { client: [rstS, rstS,  rstS, rstS,  rstS, rstS, PUSH, PUSH],
                     server: [RSET, RSET,  RSET, RSET,  rstS, rstS, PUSH, USED] },
  reset_by_proxy:  { client: [rstP, rstP,  rstP, rstP,  rstP, rstP, PUSH, PUSH],
                     server: [rstP, rstP,  rstP, rstP,  rstP, rstP, rstP, USED] },
  // HEADERS of a client might be taken for a request, one that nobody here has seen.
  forgotten:       { client: [RSET, RSET,  forg, forg,  forg, forg, PUSH, PUSH],
                     server: [forg, forg,  forg, forg,  forg, forg, forg, USED] },
};

export interface StreamStep {
  /** The state after the frame; after an error the one before it. */
  readonly state: StreamState;
  readonly error: Http2ErrorCode | null;
}

/** By state, side and input, made once. */
const STEPS = steps();

function steps(): Readonly<
  Record<StreamState, Readonly<Record<Side, ReadonlyMap<StreamInput, StreamStep>>>>
> {
  const row = (state: StreamState, cells: Row): ReadonlyMap<StreamInput, StreamStep> =>
    new Map(STREAM_INPUTS.map((input, column) => {
      const cell = cells[column]!;
      return [
        input,
        isError(cell)
          ? { state, error: cell.slice(1) as Http2ErrorCode }
          : { state: cell as StreamState, error: null },
      ];
    }));
  return Object.fromEntries(STREAM_STATES.map((state) => [state, {
    client: row(state, TABLE[state].client),
    server: row(state, TABLE[state].server),
  }])) as ReturnType<typeof steps>;
}

function isError(cell: Cell): boolean {
  return cell.startsWith("!");
}

/** What a frame that `side` sent does to a stream. */
export function stepStream(state: StreamState, side: Side, input: StreamInput): StreamStep {
  return STEPS[state][side].get(input)!;
}

/** No exchange is under way on it: it need not be kept for what it carries, only for what may still come. */
export function isClosed(state: StreamState): boolean {
  return state === "ended" || state === "reset_by_client" || state === "reset_by_server" ||
    state === "reset_by_proxy" || state === "forgotten";
}

/** Odd numbers are the client's, even ones the server's (§5.1.1). */
export function initiatorOf(streamId: number): Side {
  return streamId % 2 === 1 ? "client" : "server";
}

const GAPS_MAX = 16;

/**
 * Which stream numbers were used (§5.1.1): each side's only ever increase, so that the highest says
 * of every other whether it is still idle. A stream below it that was left out is closed.
 */
export class StreamNumbers {
  #highest: Record<Side, number> = { client: 0, server: 0 };
  /** The last ranges of numbers that were left out, first and last of each. */
  readonly #gaps: (readonly [number, number])[] = [];

  /** The highest stream that `side` opened, or promised; 0 before the first. */
  highestOf(side: Side): number {
    return this.#highest[side];
  }

  isIdle(streamId: number): boolean {
    return streamId > this.#highest[initiatorOf(streamId)];
  }

  /** Whether it was left out, so that it is closed without ever having been open; the last such ones are known. */
  isSkipped(streamId: number): boolean {
    return this.#gaps.some(([first, last]) =>
      streamId >= first && streamId <= last && streamId % 2 === first % 2
    );
  }

  /** `side` opens an idle stream, or promises it. */
  open(side: Side, streamId: number): "invalid_stream_id" | null {
    const highest = this.#highest[side];
    if (initiatorOf(streamId) !== side || streamId <= highest) return "invalid_stream_id";
    const next = highest === 0 ? (side === "client" ? 1 : 2) : highest + 2;
    if (streamId > next) {
      this.#gaps.push([next, streamId - 2]);
      if (this.#gaps.length > GAPS_MAX) this.#gaps.shift();
    }
    this.#highest[side] = streamId;
    return null;
  }
}
