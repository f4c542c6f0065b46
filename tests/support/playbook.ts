/**
 * Playbooks for sessions: what comes in, and what the session does about it.
 *
 *     playbook("ProxySession answers 403 to what policy blocks", (play) => {
 *       play(session())
 *         .receives("client", "CONNECT a.test:443 HTTP/1.1\r\n\r\n")
 *         .expects(record("connect_received"), decide("a.test:443"))
 *         .decides("block")
 *         .expects(record("connect_decision", { action: "block" }), answer(403, "blocked"), closes("blocked"));
 *     });
 *
 * Effects are compared in order and to the last one; those that nobody expected fail the playbook at its end.
 * Time moves by `.at(ms)` alone and fires the timers on its way. Timers and pauses are states, not steps: they
 * are asked for by `expectsTimers` and `expectsPaused`.
 */
import { formatAuthority } from "../../src/core/authority.ts";
import type { AttributeValue, EventKind, FlowEvent } from "../../src/core/event.ts";
import { type Instant, NANOSECONDS_PER_MILLISECOND } from "../../src/core/instant.ts";
import type {
  Action,
  Decision,
  Effects,
  Question,
  SecureClient,
  Secured,
  SecureServer,
  Session,
  Timer,
  TransportFault,
} from "../../src/core/session.ts";
import type { Side } from "../../src/core/side.ts";
import type { Learning } from "../../src/policy/learning.ts";

export type MakeSession = (effects: Effects) => Session;

/** Registers a test; `perform` says what it holds the playbooks to. */
export function playbook(sentence: string, script: (play: (make: MakeSession) => Play) => void): void {
  Deno.test(sentence, () => perform(script));
}

/** Runs a script of playbooks and fails where one of them is not finished. */
export function perform(script: (play: (make: MakeSession) => Play) => void): void {
  const plays: Play[] = [];
  script((make) => {
    const play = new Play(make);
    plays.push(play);
    return play;
  });
  if (plays.length === 0) throw new PlaybookError("Nothing was played");
  for (const play of plays) play.finish();
}

export class PlaybookError extends Error {
  override name = "PlaybookError";
}

/** One thing that a session did, as a line for people and with what matchers need. */
type Done =
  | { readonly type: "send"; readonly side: Side; readonly text: string }
  | { readonly type: "record"; readonly event: FlowEvent }
  | { readonly type: "decide"; readonly question: Question }
  | { readonly type: "secureServer"; readonly options: SecureServer }
  | { readonly type: "secureClient"; readonly options: SecureClient }
  | { readonly type: "end" | "reset"; readonly side: Side }
  | { readonly type: "open" | "openDatagrams"; readonly authority: string }
  | { readonly type: "closeServer" | "close" };

export interface Expected {
  readonly text: string;
  matches(done: Done): boolean;
}

export function send(side: Side, data: string | RegExp): Expected {
  return {
    text: typeof data === "string" ? line({ type: "send", side, text: data }) : `send ${side} ${data}`,
    matches: (done) =>
      done.type === "send" && done.side === side &&
      (typeof data === "string" ? done.text === data : data.test(done.text)),
  };
}

/** An answer of the proxy itself, to the client: its status and the code in its body. */
export function answer(status: number, code: string): Expected {
  const pattern = new RegExp(
    `^HTTP/1\\.1 ${status} [^]*\r\nProxy-Status: soth-mitm; error=[^]*"error":"${code}"`,
  );
  return {
    text: `send client: answer ${status} ${code}`,
    matches: (done) => done.type === "send" && done.side === "client" && pattern.test(done.text),
  };
}

/** Octets that hold these: frames with a text in them. */
export function sendWith(side: Side, part: string): Expected {
  return {
    text: `send ${side} with ${JSON.stringify(part)}`,
    matches: (done) => done.type === "send" && done.side === side && done.text.includes(part),
  };
}

/** An event with at least these attributes. */
export function record(kind: EventKind, attributes: Readonly<Record<string, AttributeValue>> = {}): Expected {
  return {
    text: `record ${kind} ${JSON.stringify(attributes)}`,
    matches: (done) =>
      done.type === "record" && done.event.kind === kind &&
      Object.entries(attributes).every(([name, value]) =>
        JSON.stringify(done.event.attributes[name]) === JSON.stringify(value)
      ),
  };
}

export function decide(authority: string, facts: Partial<Question> = {}): Expected {
  return {
    text: `decide ${authority} ${JSON.stringify(facts)}`,
    matches: (done) =>
      done.type === "decide" && formatAuthority(done.question.authority) === authority &&
      Object.entries(facts).every(([name, value]) => done.question[name as keyof Question] === value),
  };
}

export function open(authority: string): Expected {
  return exactly({ type: "open", authority });
}

export function openDatagrams(authority: string): Expected {
  return exactly({ type: "openDatagrams", authority });
}

export function end(side: Side): Expected {
  return exactly({ type: "end", side });
}

export function reset(side: Side): Expected {
  return exactly({ type: "reset", side });
}

export const closeServer: Expected = exactly({ type: "closeServer" });

export function secureServer(host: string, alpn: readonly string[] = []): Expected {
  return {
    text: `secureServer ${host} ${JSON.stringify(alpn)}`,
    matches: (done) =>
      done.type === "secureServer" && done.options.host === host &&
      JSON.stringify(done.options.alpn) === JSON.stringify(alpn),
  };
}

export function secureClient(host: string, alpn: readonly string[] = [], preread?: Uint8Array): Expected {
  return {
    text: `secureClient ${host} ${JSON.stringify(alpn)}`,
    matches: (done) =>
      done.type === "secureClient" && done.options.host === host &&
      JSON.stringify(done.options.alpn) === JSON.stringify(alpn) &&
      (preread === undefined || latin1(done.options.preread) === latin1(preread)),
  };
}

/** The flow's last event and its end. */
export function closes(
  reason: string,
  attributes: Readonly<Record<string, AttributeValue>> = {},
): readonly Expected[] {
  return [record("stream_closed", { reason_code: reason, ...attributes }), exactly({ type: "close" })];
}

function exactly(expected: Done): Expected {
  return { text: line(expected), matches: (done) => line(done) === line(expected) };
}

/** What is learned in several plays, one after the other, and the wall clock they share. */
export interface Lessons {
  readonly learning: Learning;
  nowMs: number;
}

export class Play {
  readonly session: Session;
  readonly #done: Done[] = [];
  readonly #timers = new Map<Timer, Instant>();
  readonly #paused = new Set<Side>();
  readonly #full = new Set<Side>();
  readonly #failures = new Map<string, number>();
  #lessons: Lessons | null = null;
  #questions: number[] = [];
  #now: Instant = 0;
  #closed = false;

  constructor(make: MakeSession) {
    this.session = make(this.#effects());
    this.session.begin(0);
  }

  // What comes in

  receives(side: Side, data: string | Uint8Array): this {
    const bytes = typeof data === "string" ? bytesOf(data) : data.slice();
    return this.#input(() => {
      this.session.received(side, bytes, this.#now);
      // As from the platform: the memory is used again.
      bytes.fill(0xee);
    });
  }

  ends(side: Side, options: { readonly truncated?: boolean } = {}): this {
    return this.#input(() => this.session.ended(side, this.#now, options.truncated));
  }

  fails(side: Side, kind: TransportFault["kind"] = "reset"): this {
    return this.#input(() => this.session.failed(side, fault(kind), this.#now));
  }

  opens(): this {
    return this.#input(() => this.session.opened(this.#now));
  }

  openFails(kind: TransportFault["kind"]): this {
    return this.#input(() => this.session.openFailed(fault(kind), this.#now));
  }

  secures(side: Side, alpn: string | null = null): this {
    const info: Secured = { alpn, version: "TLSv1.3", cipher: "TLS_AES_128_GCM_SHA256" };
    const known = side === "client" ? { ...info, certCache: "miss" as const } : info;
    return this.#input(() => this.session.secured(side, known, this.#now));
  }

  secureFails(side: Side, code = "CERT_HAS_EXPIRED"): this {
    const tls: TransportFault = { kind: "tls", code, detail: `simulated: ${code}` };
    return this.#input(() => this.session.secureFailed(side, tls, this.#now));
  }

  /** From here on something is learned; without this nothing is. */
  knows(lessons: Lessons): this {
    this.#lessons = lessons;
    return this;
  }

  /** Answers the oldest question that is open. */
  decides(action: Action, decision: Partial<Decision> = {}): this {
    const id = this.#questions.shift();
    if (id === undefined) throw new PlaybookError("Nothing was asked that could be decided");
    const whole: Decision = { action, reason: "default", ruleId: null, ...decision };
    return this.#input(() => this.session.decided(id, whole, this.#now));
  }

  drains(): this {
    return this.#input(() => this.session.drain(this.#now));
  }

  aborts(): this {
    return this.#input(() => this.session.abort(this.#now));
  }

  crashes(detail: string): this {
    return this.#input(() => this.session.crashed(detail, this.#now));
  }

  /** Moves the clock, in milliseconds since the flow began, and fires what is due until then, in order. */
  at(ms: number): this {
    const until = ms * NANOSECONDS_PER_MILLISECOND;
    if (until < this.#now) throw new PlaybookError(`Time cannot go back to ${ms} ms`);
    for (;;) {
      let next: Timer | null = null;
      for (const [timer, due] of this.#timers) {
        if (due <= until && (next === null || due < this.#timers.get(next)!)) next = timer;
      }
      if (next === null) break;
      const timer = next;
      this.#now = Math.max(this.#now, this.#timers.get(timer)!);
      this.#timers.delete(timer);
      this.session.expired(timer, this.#now);
    }
    this.#now = until;
    return this;
  }

  /** From now on that side takes no datagrams, or takes them again. */
  fills(side: Side, full = true): this {
    if (full) this.#full.add(side);
    else this.#full.delete(side);
    return this;
  }

  // What is expected

  /** Everything the session did since the last expectation, in order. */
  expects(...expected: readonly (Expected | readonly Expected[])[]): this {
    const wanted = expected.flat();
    const done = this.#done.splice(0);
    const fits = wanted.length === done.length && wanted.every((one, index) => one.matches(done[index]!));
    if (!fits) throw new PlaybookError(`The session did something else:\n${arrowDiff(wanted, done)}`);
    return this;
  }

  /** The timers that are set, in any order. */
  expectsTimers(...timers: readonly Timer[]): this {
    const found = [...this.#timers.keys()].sort().join(" ");
    const wanted = [...timers].sort().join(" ");
    if (found !== wanted) throw new PlaybookError(`Timers: expected "${wanted}", found "${found}"`);
    return this;
  }

  /** The sides that the session does not want to be read. */
  expectsPaused(...sides: readonly Side[]): this {
    const found = [...this.#paused].sort().join(" ");
    const wanted = [...sides].sort().join(" ");
    if (found !== wanted) throw new PlaybookError(`Paused: expected "${wanted}", found "${found}"`);
    return this;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Nothing is left that nobody expected. */
  finish(): void {
    if (this.#done.length === 0) return;
    throw new PlaybookError(`Nobody expected what the session did last:\n${arrowDiff([], this.#done)}`);
  }

  #input(handle: () => void): this {
    if (this.#closed) throw new PlaybookError("The flow is over; nothing may be called on its session");
    handle();
    return this;
  }

  #effects(): Effects {
    const did = (done: Done) => {
      if (this.#closed) throw new PlaybookError(`The session did something after close: ${line(done)}`);
      this.#done.push(done);
    };
    return {
      open: (target) => did({ type: "open", authority: formatAuthority(target) }),
      openDatagrams: (target) => did({ type: "openDatagrams", authority: formatAuthority(target) }),
      admits: (side) => !this.#full.has(side),
      closeServer: () => did({ type: "closeServer" }),
      secureServer: (options) => did({ type: "secureServer", options }),
      secureClient: (options) =>
        did({ type: "secureClient", options: { ...options, preread: options.preread.slice() } }),
      send: (side, data) => did({ type: "send", side, text: latin1(data) }),
      end: (side) => did({ type: "end", side }),
      reset: (side) => did({ type: "reset", side }),
      pause: (side) => this.#paused.add(side),
      resume: (side) => this.#paused.delete(side),
      decide: (id, question) => {
        this.#questions.push(id);
        did({ type: "decide", question });
        return null;
      },
      arm: (timer, at) => this.#timers.set(timer, at),
      disarm: (timer) => this.#timers.delete(timer),
      record: (event) => did({ type: "record", event }),
      close: () => {
        did({ type: "close" });
        this.#closed = true;
        this.#timers.clear();
      },
      learn: (failure) => this.#lessons?.learning.failed(failure, this.#lessons.nowMs) ?? null,
      learned: (client) => this.#lessons?.learning.bypass(client, this.#lessons.nowMs) ?? null,
      countTlsFailure: (host, reason) => {
        const count = (key: string) => {
          const counted = (this.#failures.get(key) ?? 0) + 1;
          this.#failures.set(key, counted);
          return counted;
        };
        return { reason: count(`${host} ${reason}`), total: count(host) };
      },
    };
  }
}

/** Both lists side by side: what fits is shown once, what does not with an arrow for each. */
function arrowDiff(wanted: readonly Expected[], done: readonly Done[]): string {
  const lines: string[] = [];
  for (let index = 0; index < Math.max(wanted.length, done.length); index++) {
    const expected = wanted[index];
    const found = done[index];
    if (expected !== undefined && found !== undefined && expected.matches(found)) {
      lines.push(`    ${line(found)}`);
      continue;
    }
    if (expected !== undefined) lines.push(` -> ${expected.text}`);
    if (found !== undefined) lines.push(` <- ${line(found)}`);
  }
  return `${lines.join("\n")}\n(-> expected, <- found)`;
}

function line(done: Done): string {
  switch (done.type) {
    case "send":
      return `send ${done.side} ${JSON.stringify(shortened(done.text))}`;
    case "record":
      return `record ${done.event.kind} ${JSON.stringify(done.event.attributes)}`;
    case "decide":
      return `decide ${formatAuthority(done.question.authority)} ${JSON.stringify(done.question)}`;
    case "secureServer":
      return `secureServer ${done.options.host} ${JSON.stringify(done.options.alpn)}`;
    case "secureClient":
      return `secureClient ${done.options.host} ${JSON.stringify(done.options.alpn)}`;
    case "end":
    case "reset":
      return `${done.type} ${done.side}`;
    case "open":
    case "openDatagrams":
      return `${done.type} ${done.authority}`;
    case "closeServer":
    case "close":
      return done.type;
  }
}

function shortened(text: string): string {
  return text.length > 400 ? `${text.slice(0, 400)}… (${text.length} bytes)` : text;
}

function fault(kind: TransportFault["kind"]): TransportFault {
  return { kind, code: kind === "reset" ? "ECONNRESET" : kind.toUpperCase(), detail: `simulated: ${kind}` };
}

function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

function latin1(bytes: Uint8Array): string {
  let text = "";
  for (const octet of bytes) text += String.fromCharCode(octet);
  return text;
}
