/**
 * Drives one session: turns what happens to its connections into inputs and carries out its effects.
 * It is the same code in front of real sockets and in the simulator; the `World` is what differs.
 *
 * Two rules keep it honest. A session is never called from inside one of its effects: what an effect
 * causes is queued. And a side is read only while the other side, the event log, and the budgets can
 * take what it says.
 */
import type { Authority } from "../core/authority.ts";
import type { FlowContext, FlowEvent } from "../core/event.ts";
import { addMilliseconds, type Instant } from "../core/instant.ts";
import {
  type ClientTlsFailure,
  type Decision,
  type Effects,
  type LearningKey,
  type LearningNote,
  type Question,
  type SecureClient,
  type Secured,
  type SecureServer,
  type Session,
  type Timer,
  TIMERS,
  type TransportFault,
} from "../core/session.ts";
import { opposite, type Side } from "../core/side.ts";
import type { InFlightBudget } from "./budget.ts";
import { type Conn, type ConnHandler, IGNORE_EVENTS } from "./conn.ts";
import type { DeadlineOwner, Deadlines } from "./deadlines.ts";
import { PIECE_BYTES_MIN, ReadPieces } from "./read_pieces.ts";

export interface ConnCallbacks {
  opened(conn: Conn): void;
  failed(fault: TransportFault): void;
}

export interface SecureCallbacks {
  /** The connection is closed; what follows is learned over another. */
  abandoned(): void;
  secured(conn: Conn, info: Secured): void;
  failed(fault: TransportFault): void;
}

/** Everything outside a flow. Each asynchronous call gives a cancel, after which no callback comes. */
export interface World {
  now(): Instant;
  readonly deadlines: Deadlines;
  readonly budget: InFlightBudget;
  readonly flowBufferBytes: number;
  decide(question: Question): Decision | Promise<Decision>;
  dial(target: Authority, callbacks: ConnCallbacks): () => void;
  /** UDP; the connection's writes and reads are datagrams. */
  dialDatagrams(target: Authority, callbacks: ConnCallbacks): () => void;
  secureServer(conn: Conn, target: Authority, options: SecureServer, callbacks: SecureCallbacks): () => void;
  secureClient(conn: Conn, options: SecureClient, callbacks: SecureCallbacks): () => void;
  record(context: FlowContext, event: FlowEvent, now: Instant): void;
  /** True while the event log cannot take more; `wake` is called once when it can again. */
  logFull(wake: () => void): boolean;
  countTlsFailure(host: string, reason: string): { reason: number; total: number };
  learn(failure: ClientTlsFailure): LearningNote | null;
  learned(client: LearningKey): LearningNote | null;
  /** The session is over; its connections may still be flushing. */
  sessionClosed(driver: FlowDriver): void;
  /** The connections are gone too. */
  flowGone(driver: FlowDriver): void;
  /** A session threw: a bug of ours, for the counters and the person at the terminal. */
  bug(error: unknown): void;
}

/** A connection that was given up may flush as long as its peer takes some of it in each such time … */
const LINGER_MS = 2_000;
/** … but no longer than this, however little it takes. */
const LINGER_MAX_MS = 60_000;
/** Only a congested connection tells when it has flushed; what else is pending is looked at again. */
const RECHECK_MS = 20;
// The driver's own deadlines, beside the session's timers.
const RECHECK = TIMERS.length;
const LINGER = TIMERS.length + 1;
const REST = TIMERS.length + 2;
/** What waited for the log goes on so long after others could: it would fill the log again before they are read. */
const REST_MS = 1;

/** A connection that was given up and is not closed yet. */
interface Leaving {
  readonly conn: Conn;
  readonly until: Instant;
  /** When it was last looked at. */
  pendingBytes: number;
  destroyed: boolean;
}

interface SideState {
  /** New ones with each connection: what one has said is not for the next. */
  pieces: ReadPieces;
  conn: Conn | null;
  paused: boolean;
  ended: boolean;
}

export class FlowDriver implements Effects, DeadlineOwner {
  nextDeadline: Instant = Infinity;
  closed = false;
  readonly session: Session;
  readonly #client: SideState;
  readonly #server: SideState = { pieces: new ReadPieces(), conn: null, paused: false, ended: false };
  readonly #deadlines = new Float64Array(TIMERS.length + 3).fill(Infinity);
  readonly #queue: ((now: Instant) => void)[] = [];
  #busy = false;
  /** When the input that is being handled came. */
  #now: Instant = 0;
  /** All of the flow's bytes in flight, and those of them that its session holds. */
  #counted = 0;
  #held = 0;
  /** And those of them that only more of a head lets go of. */
  #unfinished = 0;
  #waiting = false;
  /** Events so far. */
  #events = 0;
  /** What is read holds messages, not the octets of a tunnel or of a handshake. */
  #hasMessages = false;
  #gone = false;
  #leaving: readonly Leaving[] = [];
  #target: Authority | null = null;
  #cancelPending: (() => void) | null = null;

  constructor(
    private readonly world: World,
    readonly context: FlowContext,
    client: Conn,
    makeSession: (effects: Effects) => Session,
  ) {
    this.#client = { pieces: new ReadPieces(), conn: client, paused: false, ended: false };
    this.session = makeSession(this);
    client.handler = this.#handlerFor("client", client);
    world.deadlines.add(this);
  }

  begin(): void {
    this.#input((now) => this.session.begin(now));
  }

  drain(): void {
    this.#input((now) => this.session.drain(now));
  }

  abort(): void {
    this.#input((now) => this.session.abort(now));
    for (const { conn } of this.#leaving) conn.destroy();
  }

  expire(now: Instant): void {
    for (let i = 0; i < TIMERS.length; i++) {
      if (this.#deadlines[i]! > now) continue;
      this.#deadlines[i] = Infinity;
      this.#input((at) => this.session.expired(TIMERS[i]!, at));
    }
    if (this.#deadlines[RECHECK]! <= now) {
      this.#deadlines[RECHECK] = Infinity;
      if (!this.closed) this.#settle();
    }
    if (this.#deadlines[REST]! <= now) {
      this.#deadlines[REST] = Infinity;
      this.#goOn();
    }
    if (this.#deadlines[LINGER]! <= now) {
      this.#deadlines[LINGER] = Infinity;
      this.#checkLeaving(now);
    }
    this.#updateNextDeadline();
  }

  // Effects

  open(target: Authority): void {
    this.#open(target, (callbacks) => this.world.dial(target, callbacks));
  }

  openDatagrams(target: Authority): void {
    this.#open(target, (callbacks) => this.world.dialDatagrams(target, callbacks));
  }

  #open(target: Authority, dial: (callbacks: ConnCallbacks) => () => void): void {
    this.#target = target;
    this.#hasMessages = false;
    this.#server.ended = false;
    this.#server.paused = false;
    this.#cancelPending = dial({
      opened: (conn) => {
        this.#cancelPending = null;
        this.#server.conn = conn;
        conn.handler = this.#handlerFor("server", conn);
        this.#input((now) => this.session.opened(now));
      },
      failed: (fault) => {
        this.#cancelPending = null;
        this.#input((now) => this.session.openFailed(fault, now));
      },
    });
  }

  closeServer(): void {
    this.#cancelPending?.();
    this.#cancelPending = null;
    const conn = this.#server.conn;
    if (conn === null) return;
    this.#letGo(this.#server, conn, false);
  }

  secureServer(options: SecureServer): void {
    this.#secure(
      "server",
      this.#server.conn!,
      (conn, callbacks) => this.world.secureServer(conn, this.#target!, options, callbacks),
    );
  }

  secureClient(options: SecureClient): void {
    this.#secure(
      "client",
      this.#client.conn!,
      (conn, callbacks) => this.world.secureClient(conn, options, callbacks),
    );
  }

  send(side: Side, data: Uint8Array): void {
    this.#side(side).conn?.write(data);
  }

  admits(side: Side): boolean {
    const { conn } = this.#side(side);
    if (conn === null) return false;
    const { pendingBytes } = conn;
    // Half of it, so that what waits in one direction does not end the reading of the other.
    return pendingBytes === 0 ||
      (!this.world.budget.exceeded && pendingBytes * 2 <= this.world.flowBufferBytes);
  }

  end(side: Side): void {
    this.#side(side).conn?.end();
  }

  reset(side: Side): void {
    this.#side(side).conn?.reset();
  }

  pause(side: Side): void {
    this.#side(side).paused = true;
  }

  resume(side: Side): void {
    this.#side(side).paused = false;
  }

  decide(id: number, question: Question): Decision | null {
    const answer = this.world.decide(question);
    if (!(answer instanceof Promise)) return answer;
    answer.then(
      (decision) => this.#input((now) => this.session.decided(id, decision, now)),
      (error) => this.#crash(error),
    );
    return null;
  }

  arm(timer: Timer, at: Instant): void {
    this.#setDeadline(TIMERS.indexOf(timer), at);
  }

  disarm(timer: Timer): void {
    this.#deadlines[TIMERS.indexOf(timer)] = Infinity;
  }

  record(event: FlowEvent): void {
    this.#events++;
    if (event.kind === "request_headers") this.#hasMessages = true;
    this.world.record(this.context, event, this.#now);
  }

  countTlsFailure(host: string, reason: string): { reason: number; total: number } {
    return this.world.countTlsFailure(host, reason);
  }

  learn(failure: ClientTlsFailure): LearningNote | null {
    return this.world.learn(failure);
  }

  learned(client: LearningKey): LearningNote | null {
    return this.world.learned(client);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.#cancelPending?.();
    this.#cancelPending = null;
    this.#deadlines.fill(Infinity, 0, LINGER);
    this.#deadlines[REST] = Infinity;
    this.#updateNextDeadline();
    this.world.sessionClosed(this);
    if (this.#server.conn !== null) this.#letGo(this.#server, this.#server.conn, false);
    if (this.#client.conn !== null) this.#letGo(this.#client, this.#client.conn, true);
    this.#goneWhenClosed();
  }

  /**
   * Gives a connection up: what is pending still goes out, and what still comes is discarded, so that no reset
   * overtakes an answer. `awaitsEnd`: its peer is given the time to end, too.
   */
  #letGo(side: SideState, conn: Conn, awaitsEnd: boolean): void {
    side.conn = null;
    side.pieces = new ReadPieces();
    const now = this.world.now();
    const until = addMilliseconds(now, LINGER_MAX_MS);
    this.#leaving = [...this.#leaving, { conn, until, pendingBytes: conn.pendingBytes, destroyed: false }];
    conn.handler = {
      ...IGNORE_EVENTS,
      onEnd: () => {
        if (conn.pendingBytes === 0) conn.destroy();
      },
      onClosed: () => {
        this.#leaving = this.#leaving.filter((leaving) => leaving.conn !== conn);
        this.#goneWhenClosed();
      },
    };
    conn.end();
    conn.setReading(true);
    if (!awaitsEnd && conn.pendingBytes === 0) conn.destroy();
    if (this.#deadlines[LINGER] === Infinity) this.#setDeadline(LINGER, addMilliseconds(now, LINGER_MS));
  }

  #checkLeaving(now: Instant): void {
    // One that was destroyed and still did not tell that it is closed had told so before it was given up.
    this.#leaving = this.#leaving.filter(({ destroyed }) => !destroyed);
    for (const leaving of this.#leaving) {
      const { conn } = leaving;
      leaving.destroyed = conn.pendingBytes >= leaving.pendingBytes || now >= leaving.until;
      leaving.pendingBytes = conn.pendingBytes;
      if (leaving.destroyed) conn.destroy();
    }
    if (this.#goneWhenClosed()) return;
    this.#settleBudget();
    if (this.#leaving.length > 0) this.#setDeadline(LINGER, addMilliseconds(now, LINGER_MS));
  }

  #setDeadline(index: number, at: Instant): void {
    this.#deadlines[index] = at;
    if (at >= this.nextDeadline) return;
    this.nextDeadline = at;
    this.world.deadlines.moved(at);
  }

  #goneWhenClosed(): boolean {
    if (!this.closed || this.#leaving.length > 0) return false;
    if (this.#client.conn !== null || this.#server.conn !== null) return false;
    if (this.#gone) return true;
    this.#gone = true;
    this.#settleBudget();
    this.world.budget.forget(this.#wake);
    this.world.deadlines.remove(this);
    this.world.flowGone(this);
    return true;
  }

  #secure(
    side: Side,
    conn: Conn,
    start: (conn: Conn, callbacks: SecureCallbacks) => () => void,
  ): void {
    this.#hasMessages = false;
    // The handshake owns the connection until it is over.
    conn.handler = IGNORE_EVENTS;
    this.#cancelPending = start(conn, {
      abandoned: () => {
        this.#side(side).conn = null;
      },
      secured: (secured, info) => {
        this.#cancelPending = null;
        this.#side(side).conn = secured;
        secured.handler = this.#handlerFor(side, secured);
        this.#input((now) => this.session.secured(side, info, now));
      },
      failed: (fault) => {
        this.#cancelPending = null;
        this.#side(side).conn = null;
        this.#input((now) => this.session.secureFailed(side, fault, now));
      },
    });
  }

  #handlerFor(side: Side, conn: Conn): ConnHandler {
    return {
      onData: (data) => {
        if (this.closed) return;
        const { pieces } = this.#side(side);
        if (pieces.isWaiting) {
          pieces.wait(data);
          return;
        }
        if (this.#busy) {
          const copy = data.slice();
          this.#input(() => {
            // By then what came before may wait, or the connection be another.
            if (this.#side(side).pieces !== pieces) return;
            if (pieces.isWaiting) pieces.wait(copy);
            else this.#received(side, copy);
          });
          return;
        }
        this.#busy = true;
        try {
          this.#now = this.world.now();
          this.#received(side, data);
        } catch (error) {
          this.#crash(error);
        }
        this.#busy = false;
        this.#settle();
      },
      onEnd: (truncated) => {
        this.#side(side).ended = true;
        this.#input((now) => {
          this.#receivedRest(side);
          if (!this.closed) this.session.ended(side, now, truncated);
        });
      },
      onDrain: () => this.#settle(),
      onFault: (fault) =>
        this.#input((now) => {
          this.#receivedRest(side);
          if (!this.closed) this.session.failed(side, fault, now);
        }),
      onClosed: () => {
        if (this.#side(side).conn === conn) this.#side(side).conn = null;
        this.#goneWhenClosed();
      },
    };
  }

  /** Gives the session what was read, as far as the log can take the events of it; the rest waits. */
  #received(side: Side, data: Uint8Array): void {
    const state = this.#side(side);
    const { pieces } = state;
    if (data.length <= PIECE_BYTES_MIN || !this.#hasMessages) {
      this.session.received(side, data, this.#now);
      return;
    }
    for (let at = 0; at < data.length;) {
      const piece = data.subarray(at, at + pieces.bytes);
      const before = this.#events;
      this.session.received(side, piece, this.#now);
      if (this.closed || state.pieces !== pieces) return;
      pieces.handled(piece.length, this.#events - before);
      at += piece.length;
      if (at < data.length && this.world.logFull(this.#wake)) {
        pieces.wait(data.subarray(at));
        return;
      }
    }
  }

  /** Before that side's end, whatever the log says: what it said must not come after it, nor be lost. */
  #receivedRest(side: Side): void {
    const rest = this.#side(side).pieces.take();
    if (rest !== null) this.session.received(side, rest, this.#now);
  }

  #input(handle: (now: Instant) => void): void {
    if (this.closed) return;
    if (this.#busy) {
      this.#queue.push(handle);
      return;
    }
    this.#busy = true;
    try {
      handle(this.#now = this.world.now());
    } catch (error) {
      this.#crash(error);
    }
    this.#busy = false;
    this.#settle();
  }

  #crash(error: unknown): void {
    this.world.bug(error);
    const detail = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    try {
      this.session.crashed(detail, this.#now);
    } catch (again) {
      this.world.bug(again);
    }
    this.close();
  }

  /** Handles what effects have caused, then opens or closes the reading gates. */
  #settle(): void {
    while (this.#queue.length > 0 && !this.closed) {
      const next = this.#queue.shift()!;
      this.#busy = true;
      try {
        next(this.#now = this.world.now());
      } catch (error) {
        this.#crash(error);
      }
      this.#busy = false;
    }
    this.#queue.length = 0;
    this.#settleBudget();
    if (!this.closed) this.#gate();
  }

  /** Takes up what was read and waits. */
  #goOn(): void {
    for (const side of SIDES) {
      const { pieces } = this.#side(side);
      if (!pieces.isWaiting) continue;
      if (this.world.logFull(this.#wake)) return;
      this.#input(() => this.#received(side, pieces.take()!));
    }
  }

  #settleBudget(): void {
    this.#held = this.closed ? 0 : this.session.heldBytes;
    this.#unfinished = this.closed ? 0 : this.session.unfinishedBytes;
    let total = this.#held + (this.#client.conn?.pendingBytes ?? 0) + (this.#server.conn?.pendingBytes ?? 0);
    total += this.#client.pieces.waitingBytes + this.#server.pieces.waitingBytes;
    for (const { conn } of this.#leaving) total += conn.pendingBytes;
    if (total === this.#counted) return;
    const delta = total - this.#counted;
    this.#counted = total;
    this.world.budget.adjust(delta);
  }

  #gate(): void {
    const overBudget = this.#overBudget();
    const overBytes = overBudget || this.#counted - this.#unfinished > this.world.flowBufferBytes;
    if (overBytes && (flushesUnheard(this.#client) || flushesUnheard(this.#server))) {
      this.#setDeadline(RECHECK, addMilliseconds(this.world.now(), RECHECK_MS));
    }
    // What a client has sent ahead waits for the server's answer: it must not keep the server from being read.
    const pending = this.#counted - this.#held;
    const serverOver = (overBudget && pending > 0) || pending > this.world.flowBufferBytes;
    const logFull = this.world.logFull(this.#wake);
    const isWaiting = this.#client.pieces.isWaiting || this.#server.pieces.isWaiting;
    // Once: the other side may be read all the while, and must not put it off for as long as it talks.
    if (isWaiting && !logFull && this.#deadlines[REST] === Infinity) {
      this.#setDeadline(REST, addMilliseconds(this.world.now(), REST_MS));
    }
    for (const side of SIDES) {
      const state = this.#side(side);
      if (state.conn === null) continue;
      const full = logFull || state.pieces.isWaiting || (side === "client" ? overBytes : serverOver);
      state.conn.setReading(!full && !state.paused && !(this.#side(opposite(side)).conn?.congested ?? false));
    }
  }

  /**
   * A flow that holds nothing goes on: it is not what exceeds the budget, and readers that have stalled must not
   * starve those that read. What it takes in becomes its own to let go of before it takes more.
   */
  #overBudget(): boolean {
    if (!this.world.budget.exceeded || this.#counted === 0) return false;
    if (!this.#waiting) {
      this.#waiting = true;
      this.world.budget.wait(this.#wake);
    }
    return true;
  }

  readonly #wake = (): void => {
    this.#waiting = false;
    if (!this.closed) this.#settle();
  };

  #updateNextDeadline(): void {
    let next = Infinity;
    for (const deadline of this.#deadlines) if (deadline < next) next = deadline;
    this.nextDeadline = next;
  }

  #side(side: Side): SideState {
    return side === "client" ? this.#client : this.#server;
  }
}

function flushesUnheard({ conn }: SideState): boolean {
  return conn !== null && conn.pendingBytes > 0 && !conn.congested;
}

const SIDES: readonly Side[] = ["client", "server"];
