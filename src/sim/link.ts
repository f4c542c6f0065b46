/**
 * A TCP connection in virtual time: two ends, each a `Conn` like the one over a real socket, and what a
 * network does between them: it cuts and joins what is written, delays, stalls, and holds only so much.
 *
 * The ends behave as `runtime/tcp_conn.ts` over `node:net` does, down to what is inconvenient: what is written
 * is pending until a later turn, `onDrain` comes only when everything is out and never after `end`, an end or a
 * reset is not noticed by one that does not read, and bytes for one that has closed are answered by a reset.
 */
import { joinBytes } from "../core/bytes.ts";
import type { TransportFault } from "../core/session.ts";
import { addMilliseconds, type Instant, NANOSECONDS_PER_MILLISECOND } from "../core/instant.ts";
import { type Conn, type ConnHandler, IGNORE_EVENTS } from "../runtime/conn.ts";
import type { SimClock } from "./clock.ts";
import type { Random } from "./random.ts";

export interface LinkConditions {
  /** The largest piece that travels as one; small ones only for a while, so that a run stays short. */
  readonly segmentBytesMax: number;
  readonly delayMsMax: number;
  /** What has arrived may wait so long for more and be read as one. */
  readonly mergeMsMax: number;
  readonly stallChance: number;
  readonly stallMsMax: number;
  /** What the network and the receiver's kernel hold; beyond it the sender's bytes stay pending. */
  readonly capacityBytes: number;
  /** From so many pending bytes on an end is congested. */
  readonly highWaterBytes: number;
}

export const CALM: LinkConditions = {
  segmentBytesMax: 65_536,
  delayMsMax: 1,
  mergeMsMax: 0,
  stallChance: 0,
  stallMsMax: 0,
  capacityBytes: 262_144,
  highWaterBytes: 65_536,
};

const SMALL_SEGMENTS_MAX = 200;
const FULL_SEGMENT_BYTES = 1400;
const READ_BYTES_MAX = 65_536;

/** Sees what an end reads and writes, for the checkers. */
export interface Tap {
  received(data: Uint8Array): void;
  written(data: Uint8Array): void;
}

export class Link {
  readonly client: LinkEnd;
  readonly server: LinkEnd;
  /** The link breaks when so many bytes have passed. */
  breakAfterBytes = Infinity;
  /** Whoever ends does so without the end of TLS. */
  endsAbruptly = false;
  #passedBytes = 0;

  constructor(readonly clock: SimClock, readonly random: Random, public conditions: LinkConditions) {
    const there = new Direction(this);
    const back = new Direction(this);
    this.client = new LinkEnd(this, there, back);
    this.server = new LinkEnd(this, back, there);
    there.source = back.target = this.client;
    there.target = back.source = this.server;
  }

  /** Both ends see a reset. */
  breakDown(): void {
    this.client.resetArrived();
    this.server.resetArrived();
  }

  passed(bytes: number): void {
    this.#passedBytes += bytes;
    if (this.#passedBytes < this.breakAfterBytes) return;
    this.breakAfterBytes = Infinity;
    this.clock.after(0, () => this.breakDown());
  }
}

export class LinkEnd implements Conn {
  handler: ConnHandler = IGNORE_EVENTS;
  tap: Tap | null = null;
  isClosed = false;
  isReading = true;
  /** The peer aborted, or the link broke. */
  wasReset = false;
  /** What comes after the peer's end: no network does that, but a session must take it. */
  lateData: Uint8Array | null = null;
  heardLateData = false;
  /** How long the peer had not read when this end dropped what was pending. */
  peerRestedMs = 0;
  #congested = false;
  #ended = false;

  constructor(
    private readonly link: Link,
    private readonly outgoing: Direction,
    private readonly incoming: Direction,
  ) {}

  get endsAbruptly(): boolean {
    return this.link.endsAbruptly;
  }

  get pendingBytes(): number {
    return this.outgoing.unsentBytes;
  }

  get congested(): boolean {
    return this.#congested;
  }

  write(data: Uint8Array): void {
    if (this.isClosed || this.#ended || data.length === 0) return;
    if (this.wasReset) {
      this.incoming.wake(true);
      return;
    }
    const kept = data.slice();
    this.tap?.written(kept);
    this.outgoing.push(kept);
    if (this.outgoing.unsentBytes >= this.link.conditions.highWaterBytes) this.#congested = true;
  }

  end(): void {
    if (this.isClosed || this.#ended) return;
    this.#ended = true;
    this.outgoing.finish();
  }

  reset(): void {
    if (this.isClosed) return;
    this.outgoing.reset();
    this.#close();
  }

  destroy(): void {
    if (this.isClosed) return;
    if (this.pendingBytes > 0) this.peerRestedMs = this.outgoing.restedMs;
    if (this.incoming.arrivedBytes > 0) this.outgoing.reset();
    else this.outgoing.abandon();
    this.#close();
  }

  setReading(reading: boolean): void {
    if (reading === this.isReading) return;
    this.isReading = reading;
    if (reading) this.incoming.wake(false);
  }

  // What the link does to an end. It never calls a handler from inside one of the methods above.

  delivered(data: Uint8Array): void {
    this.tap?.received(data.slice());
    this.handler.onData(data);
    // What is read is valid during the call only: who keeps it without a copy will find this instead.
    data.fill(SPOILT);
  }

  endDelivered(): void {
    this.handler.onEnd();
    this.closeIfOver();
    const { lateData } = this;
    if (lateData === null) return;
    this.link.clock.after(1, () => {
      if (this.isClosed) return;
      this.heardLateData = true;
      this.delivered(lateData.slice());
    });
  }

  flushed(): void {
    if (this.isClosed || this.#ended || !this.#congested || this.outgoing.unsentBytes > 0) return;
    this.#congested = false;
    this.handler.onDrain();
  }

  /** Both directions are over. */
  closeIfOver(): void {
    if (!this.isClosed && this.outgoing.isFinished && this.incoming.isTaken) this.#close();
  }

  resetArrived(): void {
    if (this.isClosed || this.wasReset) return;
    this.wasReset = true;
    // An end that has something to write learns of it at once; one that only reads, when it reads.
    const tries = this.outgoing.unsentBytes > 0;
    this.outgoing.cut();
    if (this.link.random.chance(0.5)) this.incoming.forget();
    this.incoming.wake(tries);
  }

  faulted(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.handler.onFault(RESET);
    this.link.clock.after(0, () => this.handler.onClosed());
  }

  /** Bytes came for an end that is closed. */
  refuse(): void {
    this.outgoing.reset();
  }

  #close(): void {
    this.isClosed = true;
    this.link.clock.after(0, () => this.handler.onClosed());
  }
}

const SPOILT = 0xee;
const RESET: TransportFault = { kind: "reset", code: "ECONNRESET", detail: "read ECONNRESET" };

/** One direction: unsent → in the network → arrived → taken. */
class Direction {
  source!: LinkEnd;
  target!: LinkEnd;
  unsentBytes = 0;
  arrivedBytes = 0;
  /** The end has been sent after everything else. */
  isFinished = false;
  /** The end has been delivered. */
  isTaken = false;
  #lastTaken: Instant = 0;
  readonly #unsent: Uint8Array[] = [];
  readonly #arrived: Uint8Array[] = [];
  /** Sent and not taken: what counts against the capacity. */
  #onTheWay = 0;
  #lastArrival: Instant = 0;
  #smallSegments = 0;
  #finishing = false;
  #endArrived = false;
  #isCut = false;
  #pumping = false;
  #taking = false;

  constructor(private readonly link: Link) {}

  /** Since the target last read. */
  get restedMs(): number {
    return (this.link.clock.now() - this.#lastTaken) / NANOSECONDS_PER_MILLISECOND;
  }

  push(data: Uint8Array): void {
    if (this.#isCut) return;
    this.#unsent.push(data);
    this.unsentBytes += data.length;
    this.#pumpSoon();
  }

  finish(): void {
    this.#finishing = true;
    this.#pumpSoon();
  }

  /** Drops what is not sent; what is on its way still arrives, then the end. */
  abandon(): void {
    this.#drop();
    this.finish();
  }

  reset(): void {
    if (this.#isCut) return;
    this.cut();
    this.link.clock.at(this.#arrival(), () => this.target.resetArrived());
  }

  /** Nothing more can be sent. */
  cut(): void {
    this.#drop();
    this.#isCut = true;
  }

  /** What had arrived and was not read is lost. */
  forget(): void {
    this.#arrived.length = 0;
    this.arrivedBytes = 0;
  }

  /** There may be something to deliver; `regardless` of whether the target reads, to one that tried to write. */
  wake(regardless: boolean): void {
    if (regardless) this.link.clock.after(0, () => this.target.faulted());
    else this.#takeSoon(0);
  }

  #drop(): void {
    this.#unsent.length = 0;
    this.unsentBytes = 0;
  }

  #pumpSoon(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    this.link.clock.after(0, () => {
      this.#pumping = false;
      this.#pump();
    });
  }

  #pump(): void {
    if (this.#isCut) return;
    const { clock, conditions } = this.link;
    while (this.unsentBytes > 0 && this.#onTheWay < conditions.capacityBytes) {
      const segment = this.#cutSegment(conditions.capacityBytes - this.#onTheWay);
      this.#onTheWay += segment.length;
      this.link.passed(segment.length);
      clock.at(this.#arrival(), () => this.#arrive(segment));
    }
    if (this.unsentBytes > 0) return;
    if (this.#finishing && !this.isFinished) {
      this.isFinished = true;
      clock.at(this.#arrival(), () => {
        this.#endArrived = true;
        this.#takeSoon(0);
      });
      this.source.closeIfOver();
    }
    this.source.flushed();
  }

  #cutSegment(room: number): Uint8Array {
    const { random, conditions } = this.link;
    const first = this.#unsent[0]!;
    let most = conditions.segmentBytesMax;
    if (most < FULL_SEGMENT_BYTES) {
      if (this.#smallSegments++ < SMALL_SEGMENTS_MAX) most = random.between(1, most);
      else most = FULL_SEGMENT_BYTES;
    }
    const size = Math.min(most, first.length, room);
    if (size === first.length) this.#unsent.shift();
    else this.#unsent[0] = first.subarray(size);
    this.unsentBytes -= size;
    return size === first.length ? first : first.subarray(0, size);
  }

  /** Nothing overtakes what was sent before. */
  #arrival(): Instant {
    const { random, clock, conditions } = this.link;
    let delayMs = conditions.delayMsMax === 0 ? 0 : random.below(conditions.delayMsMax * 1000) / 1000;
    if (conditions.stallChance > 0 && random.chance(conditions.stallChance)) {
      delayMs += random.between(1, conditions.stallMsMax);
    }
    const at = Math.round(addMilliseconds(clock.now(), delayMs));
    return this.#lastArrival = Math.max(at, this.#lastArrival);
  }

  #arrive(segment: Uint8Array): void {
    if (this.target.isClosed) {
      this.target.refuse();
      return;
    }
    // The link broke: what was on its way is lost.
    if (this.target.wasReset) return;
    this.#arrived.push(segment);
    this.arrivedBytes += segment.length;
    const { random, conditions } = this.link;
    this.#takeSoon(conditions.mergeMsMax > 0 ? random.between(0, conditions.mergeMsMax) : 0);
  }

  #takeSoon(delayMs: number): void {
    if (this.#taking) return;
    this.#taking = true;
    this.link.clock.after(delayMs, () => {
      this.#taking = false;
      this.#take();
    });
  }

  #take(): void {
    const { target } = this;
    if (!target.isReading || target.isClosed) return;
    if (this.arrivedBytes > 0) {
      const data = this.#read();
      this.#onTheWay -= data.length;
      this.#lastTaken = this.link.clock.now();
      if (this.unsentBytes > 0) this.#pumpSoon();
      target.delivered(data);
      this.#takeSoon(0);
    } else if (target.wasReset) {
      target.faulted();
    } else if (this.#endArrived && !this.isTaken) {
      this.isTaken = true;
      target.endDelivered();
    }
  }

  /** One segment, or several as one read. */
  #read(): Uint8Array {
    const { random } = this.link;
    let count = 1;
    let bytes = this.#arrived[0]!.length;
    const joins = this.#arrived.length > 1 && random.chance(0.7);
    while (joins && count < this.#arrived.length) {
      const { length } = this.#arrived[count]!;
      if (bytes + length > READ_BYTES_MAX) break;
      bytes += length;
      count++;
    }
    const segments = this.#arrived.splice(0, count);
    this.arrivedBytes -= bytes;
    return joinBytes(segments);
  }
}
