/**
 * Scripted peers. A script is a generator that says what it waits for; what arrives wakes it. So a peer reads
 * like a page of dialogue, and still runs in the turns of the virtual clock.
 */
import type { ConnHandler } from "../runtime/conn.ts";
import { textOf, veil } from "./bytes.ts";
import type { SimClock } from "./clock.ts";
import type { LinkEnd } from "./link.ts";

/** A script yields what must hold before it goes on. */
export type Script<Result = void> = Generator<() => boolean, Result, void>;

/** A script cannot go on as planned; how bad that is depends on what was done to the flow. */
export class Deviation extends Error {
  constructor(
    /**
     * `mismatch`: other bytes than the plan has, which nothing excuses. `answered`: the proxy's own answer
     * where an answer may stand. `ended`, `reset`: nothing more comes.
     */
    readonly kind: "mismatch" | "answered" | "ended" | "reset",
    readonly detail: string,
  ) {
    super(detail);
  }
}

/** A script that may as well be cut short by the proxy. */
export function* unlessClosed(script: Script): Script {
  try {
    yield* script;
  } catch (error) {
    if (!(error instanceof Deviation) || error.kind === "mismatch") throw error;
  }
}

/** How a peer lets go of bytes: all at once, or a few at a time. */
export interface Pace {
  readonly bytes: number;
  readonly everyMs: number;
  /** After so many bytes the rest goes at once, so that a run stays short. */
  readonly untilBytes: number;
}

export class Peer implements ConnHandler {
  ended = false;
  wasReset = false;
  closed = false;
  pace: Pace | null = null;
  /** Rests for so long after each read: a slow reader. */
  sipEveryMs = 0;
  /** Whether bytes pass through the stand-in for TLS. */
  secure = false;
  #read: Uint8Array = new Uint8Array(0);
  #start = 0;
  #length = 0;
  #paced = 0;
  #script: Script<unknown> | null = null;
  #waitsFor: () => boolean = () => true;
  #onOver: (result: unknown) => void = () => {};

  constructor(readonly clock: SimClock, readonly end: LinkEnd) {
    end.handler = this;
  }

  /** Runs a script to its end; `over` gets the deviation that ended it, or null. */
  play<Result>(script: Script<Result>, over: (result: Result | Deviation) => void): void {
    this.#script = script;
    this.#onOver = over as (result: unknown) => void;
    this.#waitsFor = () => true;
    this.wake();
  }

  /** Does nothing any more, whatever comes. */
  fallSilent(): void {
    this.#script = null;
  }

  wake(): void {
    while (this.#script !== null && this.#waitsFor()) {
      const script = this.#script;
      try {
        const step = script.next();
        if (step.done) {
          this.#script = null;
          this.#onOver(step.value);
          return;
        }
        this.#waitsFor = step.value;
      } catch (error) {
        if (!(error instanceof Deviation)) throw error;
        this.#script = null;
        this.#onOver(error);
        return;
      }
    }
  }

  // What scripts are made of

  *sleep(ms: number): Script {
    let due = false;
    this.clock.after(ms, () => {
      due = true;
      this.wake();
    });
    yield () => due;
  }

  *send(data: Uint8Array): Script {
    const bytes = this.secure ? veil(data) : data;
    let sent = 0;
    while (this.pace !== null && sent < bytes.length && this.#paced < this.pace.untilBytes) {
      if (this.wasReset) return;
      const piece = bytes.subarray(sent, sent + this.pace.bytes);
      this.end.write(piece);
      sent += piece.length;
      this.#paced += piece.length;
      yield* this.sleep(this.pace.everyMs);
    }
    if (sent < bytes.length) this.end.write(bytes.subarray(sent));
  }

  /** Reads exactly these bytes. */
  *expect(expected: Uint8Array): Script {
    let checked = 0;
    for (;;) {
      const available = Math.min(this.#length, expected.length);
      const read = this.#read;
      const start = this.#start;
      while (checked < available && read[start + checked] === expected[checked]) checked++;
      if (checked < available) yield* this.#unexpected(checked, expected);
      if (checked === expected.length) {
        this.#skip(checked);
        return;
      }
      if (this.wasReset) {
        throw new Deviation("reset", `after ${checked} of ${expected.length} expected bytes`);
      }
      if (this.ended) throw new Deviation("ended", `after ${checked} of ${expected.length} expected bytes`);
      const seen = this.#length;
      yield () => this.#length > seen || this.ended || this.wasReset;
    }
  }

  /** Reads to the end; the bytes are the result. */
  *readToEnd(): Script<Uint8Array> {
    yield () => this.ended || this.wasReset;
    const rest = this.#read.slice(this.#start, this.#start + this.#length);
    this.#skip(rest.length);
    return rest;
  }

  /** Reads what is there, whatever it is. */
  take(): Uint8Array {
    const taken = this.#read.slice(this.#start, this.#start + this.#length);
    this.#skip(taken.length);
    return taken;
  }

  /** Waits until there is something to read or nothing more comes, or for so long. */
  *hear(msMax = Infinity): Script {
    let due = false;
    if (msMax < Infinity) {
      this.clock.after(msMax, () => {
        due = true;
        this.wake();
      });
    }
    yield () => due || this.#length > 0 || this.ended || this.wasReset;
  }

  /** Reads to the end, where nothing more may come. */
  *expectEnd(): Script {
    const rest = yield* this.readToEnd();
    if (rest.length > 0) {
      const answer = ANSWER.exec(textOf(rest.subarray(0, 1000)));
      if (answer !== null) throw new Deviation("answered", answer[1]!);
      throw new Deviation(
        "mismatch",
        `${rest.length} bytes too many: ${JSON.stringify(textOf(rest.subarray(0, 60)))}`,
      );
    }
    if (this.wasReset && !this.ended) throw new Deviation("reset", "instead of an end");
  }

  /** Reads to the end or to a reset: the beginning of these bytes, if not all. */
  *expectPart(expected: Uint8Array): Script {
    const found = yield* this.readToEnd();
    if (found.length <= expected.length && found.every((octet, index) => octet === expected[index])) return;
    const answer = ANSWER.exec(textOf(found.subarray(0, 1000)));
    if (answer !== null) throw new Deviation("answered", answer[1]!);
    throw new Deviation(
      "mismatch",
      `${JSON.stringify(textOf(found.subarray(0, 60)))} instead of a part of a message`,
    );
  }

  /** Reads an answer of the proxy itself; its status is the result. */
  *expectAnswer(options: { readonly toHead?: boolean } = {}): Script<number> {
    const isOther = () => this.#unreadText().includes("\r\n\r\n") && !ANSWER.test(this.#unreadText());
    yield () =>
      this.ended || this.wasReset || isOther() || this.#answerLength(options.toHead ?? false) !== null;
    const length = this.#answerLength(options.toHead ?? false);
    if (length !== null) {
      const status = Number(this.#unreadText().slice(ANSWER_PREFIX.length, ANSWER_PREFIX.length + 3));
      this.#skip(length);
      return status;
    }
    const found = this.#unreadText();
    if (mayBeAnswer(found) && !isOther()) {
      throw new Deviation(this.wasReset ? "reset" : "ended", "instead of an answer of the proxy");
    }
    throw new Deviation("mismatch", `no answer of the proxy: ${JSON.stringify(found.slice(0, 60))}`);
  }

  /** Reads a line of the stand-in for TLS, or of a head. */
  *readLine(): Script<string> {
    for (;;) {
      const at = this.#read.subarray(this.#start, this.#start + this.#length).indexOf(0x0a);
      if (at >= 0) {
        const line = textOf(this.#read.subarray(this.#start, this.#start + at));
        this.#skip(at + 1);
        return line;
      }
      if (this.wasReset || this.ended) {
        throw new Deviation(this.wasReset ? "reset" : "ended", "no whole line");
      }
      const seen = this.#length;
      yield () => this.#length > seen || this.ended || this.wasReset;
    }
  }

  /** From now on bytes pass the stand-in for TLS, those that are here already included. */
  startTls(): void {
    this.secure = true;
    this.#read = veil(this.#read);
  }

  /** What was read and not taken. */
  get unread(): number {
    return this.#length;
  }

  *#unexpected(checked: number, expected: Uint8Array): Script<never> {
    if (checked < ANSWER_PREFIX.length + 3 && mayBeAnswer(this.#unreadText().slice(0, checked))) {
      // Perhaps it is the proxy that speaks.
      yield () => this.ended || this.wasReset || this.#unreadText().includes("\r\n\r\n");
      const found = this.#unreadText();
      const answer = ANSWER.exec(found);
      if (answer !== null) throw new Deviation("answered", answer[1]!);
      if (mayBeAnswer(found) && !found.includes("\r\n\r\n")) {
        throw new Deviation(this.wasReset ? "reset" : "ended", "in the middle of an answer");
      }
    }
    const found = JSON.stringify(this.#unreadText().slice(checked, checked + 60));
    throw new Deviation(
      "mismatch",
      `byte ${checked} of ${expected.length} (${
        JSON.stringify(textOf(expected.subarray(0, 40)))
      }…) is ${found}`,
    );
  }

  /** How long the answer is that has been read whole; null while it has not. */
  #answerLength(toHead: boolean): number | null {
    const found = this.#unreadText();
    const answer = ANSWER.exec(found);
    if (answer === null) return null;
    const headBytes = found.indexOf("\r\n\r\n") + 4;
    const length = headBytes +
      (toHead ? 0 : Number(/\r\nContent-Length: ([0-9]+)\r\n/.exec(found)?.[1] ?? 0));
    return this.#length < length ? null : length;
  }

  #unreadText(): string {
    return textOf(this.#read.subarray(this.#start, this.#start + Math.min(this.#length, 1000)));
  }

  #skip(count: number): void {
    this.#start += count;
    this.#length -= count;
  }

  // ConnHandler

  onData(data: Uint8Array): void {
    if (this.#start + this.#length + data.length > this.#read.length) {
      const grown = new Uint8Array(Math.max(256, 2 * (this.#length + data.length)));
      grown.set(this.#read.subarray(this.#start, this.#start + this.#length));
      this.#read = grown;
      this.#start = 0;
    }
    this.#read.set(this.secure ? veil(data) : data, this.#start + this.#length);
    this.#length += data.length;
    if (this.sipEveryMs > 0) {
      this.end.setReading(false);
      this.clock.after(this.sipEveryMs, () => this.end.setReading(true));
    }
    this.wake();
  }

  onEnd(): void {
    this.ended = true;
    this.wake();
  }

  onDrain(): void {}

  onFault(): void {
    this.wasReset = true;
    this.wake();
  }

  onClosed(): void {
    this.closed = true;
    this.wake();
  }
}

const ANSWER_PREFIX = "HTTP/1.1 ";
const ANSWER =
  /^HTTP\/1\.1 ([0-9]{3}) [^\r]*\r\n(?:[^\r]+\r\n)*Proxy-Status: soth-mitm; error=[a-z_]+\r\n(?:[^\r]+\r\n)*\r\n/;

function mayBeAnswer(found: string): boolean {
  return ANSWER_PREFIX.startsWith(found.slice(0, ANSWER_PREFIX.length));
}
