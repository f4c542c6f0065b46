/**
 * A client or server of HTTP/2 that plays its part of a plan: any stream in any order, field blocks and content cut
 * anywhere, within the windows and settings that the other side has granted. It compares every field and octet that
 * it gets with the plan; what nobody planned is a mismatch, but for GOAWAY, which the proxy may say at any time.
 */
import { unreachable } from "../core/assert.ts";
import type { Side } from "../core/side.ts";
import { join } from "./bytes.ts";
import { HpackPeer, HpackReader, type ReadField, type Representation } from "./hpack_peer.ts";
import type { Http2Plan, Item, Message, PlannedField, StreamPlan } from "./http2_plan.ts";
import {
  ACK,
  CODE,
  END_HEADERS,
  END_STREAM,
  fragmentOf,
  frame,
  FrameCutter,
  goaway,
  PADDED,
  padded,
  PREFACE,
  PRIORITY,
  type RawFrame,
  readUint32,
  rstStream,
  SETTING,
  settingsFrame,
  TYPE,
  uint32,
  unpadded,
  windowUpdate,
} from "./http2_wire.ts";
import type { Random } from "./random.ts";
import { Deviation, type Peer, type Script } from "./script.ts";

/** What one side has on a stream. */
interface Stream {
  readonly id: number;
  readonly plan: StreamPlan;
  readonly items: Item[];
  /** How much of the first item is out. */
  sent: number;
  sendWindow: number;
  /** All that this side has allowed, and what it got; what it may still give back. */
  granted: number;
  got: number;
  owed: number;
  /** Of the message that comes in. */
  heads: number;
  content: number;
  hasTrailers: boolean;
  sentEnd: boolean;
  gotEnd: boolean;
  wasReset: boolean;
}

type Setting = readonly [id: number, value: number];

const FIRST_WINDOW = 65_535;

export class Http2Endpoint {
  readonly #cutter = new FrameCutter();
  readonly #writer = new HpackPeer();
  readonly #reader = new HpackReader();
  readonly #streams = new Map<number, Stream>();
  readonly #toOpen: StreamPlan[];
  readonly #control: Uint8Array[] = [];
  readonly #extras: (() => Uint8Array)[];
  #block: { readonly opening: RawFrame; readonly parts: Uint8Array[] } | null = null;
  #nextStreamId: number;
  #highest = 0;
  #seen = 0;
  #hasPreface: boolean;

  // What the other side has set.
  #heardSettings = false;
  #maxFrameSize = 16_384;
  #peerWindow = FIRST_WINDOW;
  #mayPush = true;
  #connectProtocol = false;
  #sendWindow = FIRST_WINDOW;
  /** Limits of the table that were acknowledged and not signalled yet: the smallest and the last. */
  #tableLimit = 4096;
  #tableLeast: number | null = null;

  // What this side has set.
  #ownWindow = FIRST_WINDOW;
  #ownWindowMax = FIRST_WINDOW;
  #granted = FIRST_WINDOW;
  #got = 0;
  #owed = 0;
  #saidGoaway: number | null = null;
  #heardGoaway = false;
  /** Streams that were not opened because the other side leaves. */
  #dropped = 0;

  constructor(
    readonly side: Side,
    private readonly peer: Peer,
    private readonly random: Random,
    private readonly plan: Http2Plan,
  ) {
    this.#toOpen = side === "client" ? [...plan.streams] : [];
    this.#nextStreamId = side === "client" ? 1 : 2;
    this.#hasPreface = side === "client";
    this.#extras = this.#planExtras();
  }

  *play(): Script {
    const { peer, random } = this;
    yield* peer.send(this.#opening());
    for (;;) {
      const heard = peer.take();
      if (heard.length > 0) this.#hear(heard);
      const turn = this.#turn();
      if (turn.length > 0) yield* peer.send(join(...turn));
      if (peer.unread > 0) continue;
      if (peer.ended || peer.wasReset) break;
      if (this.#isDone() && this.#endsFirst()) break;
      yield* peer.hear(this.#choices().length > 0 ? random.below(20) : Infinity);
    }
    if (!this.#isDone() && !(this.side === "server" && (this.#heardGoaway || peer.wasReset))) {
      const kind = this.#heardGoaway ? "answered" : peer.wasReset ? "reset" : "ended";
      throw new Deviation(kind, `with ${this.#describe()}`);
    }
    if (this.#dropped > 0 && this.plan.serverLeavesAfter === null) {
      throw new Deviation("answered", `GOAWAY before ${this.#dropped} streams`);
    }
    if (!peer.ended && !peer.wasReset && random.chance(0.6)) {
      yield* peer.send(goaway(this.side === "client" ? 0 : this.#highest, CODE.no_error, "sim"));
    }
    peer.end.end();
    while (!peer.ended && !peer.wasReset) {
      yield* peer.hear();
      this.#hear(peer.take());
    }
  }

  /**
   * Whether all that was planned is over, as far as it can be: a server that goes on speaking to a proxy that has
   * let it go is answered by a reset, which may overtake what it has not read.
   */
  get isOver(): boolean {
    return this.#streamsAreOver() || this.peer.wasReset;
  }

  #describe(): string {
    const open = [...this.#streams.values()].filter((stream) => !isOver(stream, this.side)).map(({ id }) =>
      id
    );
    return `${this.#toOpen.length} streams to open, and ${open.length} open: ${open.slice(0, 5).join(" ")}`;
  }

  #endsFirst(): boolean {
    return this.plan.endsFirst === this.side;
  }

  #isDone(): boolean {
    return this.#streamsAreOver() && this.#control.length === 0 &&
      (this.side === "server" || this.#extras.length === 0);
  }

  #streamsAreOver(): boolean {
    for (const stream of this.#streams.values()) if (!isOver(stream, this.side)) return false;
    if (this.side === "client") return this.#toOpen.length === 0;
    return this.#seen === this.plan.streams.filter(({ flaw }) => flaw?.inOpening !== true).length ||
      this.#saidGoaway !== null;
  }

  // Saying

  #opening(): Uint8Array {
    const { random, plan } = this;
    const settings: Setting[] = this.#someSettings(true);
    if (this.side === "client") {
      if (!plan.allowsPush) settings.push([SETTING.enable_push, 0]);
      else if (random.chance(0.3)) settings.push([SETTING.enable_push, 1]);
    } else {
      settings.push([SETTING.enable_connect_protocol, 1]);
      if (random.chance(0.5)) settings.push([SETTING.max_concurrent_streams, 100]);
    }
    return join(this.#hasPreface ? PREFACE : new Uint8Array(0), this.#settings(settings));
  }

  #someSettings(isFirst: boolean): Setting[] {
    const { random } = this;
    const settings: Setting[] = [];
    if (random.chance(0.5)) {
      settings.push([SETTING.header_table_size, random.pick([0, 64, 300, 4096, 65_536])]);
    }
    if (!isFirst && random.chance(0.3)) {
      settings.push([SETTING.header_table_size, random.pick([0, 64, 300, 4096])]);
    }
    if (random.chance(0.4)) settings.push([SETTING.max_frame_size, random.pick([16_384, 20_000, 100_000])]);
    if (random.chance(0.4)) {
      settings.push([
        SETTING.initial_window_size,
        random.pick([...(isFirst ? [] : [0]), 4_000, 16_384, 65_535, 200_000]),
      ]);
    }
    if (random.chance(0.3)) settings.push([random.pick([0x0a0a, 0xfe00]), random.next()]);
    return settings;
  }

  #settings(settings: readonly Setting[]): Uint8Array {
    for (const [id, value] of settings) {
      if (id !== SETTING.initial_window_size) continue;
      this.#ownWindow = value;
      this.#ownWindowMax = Math.max(this.#ownWindowMax, value);
    }
    return settingsFrame(settings);
  }

  #planExtras(): (() => Uint8Array)[] {
    const { random } = this;
    const extras: (() => Uint8Array)[] = [];
    const anyStream = () => random.pick([0, 1, 3, 101]);
    for (let count = random.below(6); count > 0; count--) {
      extras.push(random.pick([
        () => frame(TYPE.ping, 0, 0, random.bytes(8)),
        () =>
          frame(TYPE.priority, 0, anyStream() | 1, [
            ...uint32(this.side === "client" ? 0x8000_0000 : 0),
            random.below(256),
          ]),
        () =>
          frame(
            random.pick([0x10, 0x0a, 0xf0]),
            random.below(256),
            anyStream(),
            random.bytes(random.below(60)),
          ),
        () => {
          const increment = random.between(1, 100_000);
          this.#granted += increment;
          return windowUpdate(0, increment);
        },
        () => this.#settings(this.#someSettings(false)),
        () => this.#settings(this.#someSettings(false)),
      ]));
    }
    // A window that was closed is opened again.
    extras.push(() =>
      this.#ownWindow < 4_000 ? this.#settings([[SETTING.initial_window_size, 65_535]]) : new Uint8Array(0)
    );
    return extras;
  }

  /** Answers first, then some of what there is to say, in any order. */
  #turn(): Uint8Array[] {
    const { random } = this;
    const said = this.#control.splice(0);
    for (let count = random.between(1, 8); count > 0; count--) {
      const choices = this.#choices();
      if (choices.length === 0) break;
      said.push(random.pick(choices)());
    }
    return said;
  }

  #choices(): (() => Uint8Array)[] {
    const choices: (() => Uint8Array)[] = [];
    if (this.#mayOpen()) choices.push(() => this.#open(this.#toOpen.shift()!));
    let owed = this.#owed;
    for (const stream of this.#streams.values()) {
      if (this.#maySend(stream)) choices.push(() => this.#send(stream));
      if (stream.owed > 0 && !isOver(stream, this.side)) {
        owed = 0;
        choices.push(() => this.#giveBack(stream));
      }
    }
    if (owed > 0 || (this.#owed > 0 && choices.length > 0)) choices.push(() => this.#giveBack(null));
    if (this.#extras.length > 0) choices.push(() => this.#extras.shift()!());
    if (this.#mayLeave()) choices.push(() => this.#leave());
    return choices;
  }

  #mayOpen(): boolean {
    const [next] = this.#toOpen;
    if (next === undefined || this.#heardGoaway) return false;
    if (next.needsConnectProtocol && !this.#connectProtocol) return false;
    let open = 0;
    for (const stream of this.#streams.values()) if (!isOver(stream, this.side)) open++;
    return open < this.plan.crowd;
  }

  #open(plan: StreamPlan): Uint8Array {
    const id = this.#nextStreamId;
    this.#nextStreamId += this.random.chance(0.9) ? 2 : 6;
    return this.#send(this.#begin(id, plan));
  }

  #begin(id: number, plan: StreamPlan): Stream {
    const stream: Stream = {
      id,
      plan,
      items: [...this.#own(plan).items],
      sent: 0,
      sendWindow: this.#peerWindow,
      granted: 0,
      got: 0,
      owed: 0,
      heads: 0,
      content: 0,
      hasTrailers: false,
      sentEnd: false,
      gotEnd: false,
      wasReset: false,
    };
    this.#streams.set(id, stream);
    return stream;
  }

  #own(plan: StreamPlan): Message {
    return this.side === "client" ? plan.request : plan.response;
  }

  #other(plan: StreamPlan): Message {
    return this.side === "client" ? plan.response : plan.request;
  }

  #maySend(stream: Stream): boolean {
    const [item] = stream.items;
    if (item === undefined || stream.wasReset) return false;
    if (this.side === "server" && !stream.gotEnd && !stream.plan.answersAtOnce) return false;
    if (item.type === "promise") return this.#heardSettings;
    if (item.type !== "content") return true;
    const left = item.bytes.length - stream.sent;
    return left === 0 || (stream.sendWindow > 0 && this.#sendWindow > 0);
  }

  #send(stream: Stream): Uint8Array {
    const [item] = stream.items;
    if (item === undefined) return new Uint8Array(0);
    switch (item.type) {
      case "content":
        return this.#sendContent(stream, item.bytes, item.ends);
      case "block":
        stream.items.shift();
        if (item.ends) stream.sentEnd = true;
        return this.#writeBlock(TYPE.headers, stream.id, item.fields, item.ends);
      case "promise": {
        stream.items.shift();
        if (!this.#mayPush) return new Uint8Array(0);
        const id = this.#nextStreamId;
        this.#nextStreamId += 2;
        this.#begin(id, item.exchange).gotEnd = true;
        return this.#writeBlock(TYPE.push_promise, stream.id, item.exchange.request.heads[0]!, false, id);
      }
      case "reset":
        stream.items.length = 0;
        stream.wasReset = true;
        return rstStream(stream.id, item.code);
      default:
        unreachable(item);
    }
  }

  #sendContent(stream: Stream, bytes: Uint8Array, ends: boolean): Uint8Array {
    const { random } = this;
    const left = bytes.length - stream.sent;
    const room = Math.min(stream.sendWindow, this.#sendWindow, this.#maxFrameSize);
    let size = Math.max(0, Math.min(left, room, random.pick([1, 100, 5_000, 16_384, 100_000])));
    const padding = room >= 2 && random.chance(0.15) ? random.below(Math.min(255, room - 1)) : null;
    if (padding !== null) size = Math.min(size, room - padding - 1);
    // Now and then a frame with nothing in it.
    if (size > 0 && random.chance(0.03)) size = 0;
    const part = bytes.subarray(stream.sent, stream.sent + size);
    const isLast = size === left && (!ends || random.chance(0.9) || size === 0);
    const payload = padding === null ? part : padded(part, padding);
    stream.sent += size;
    stream.sendWindow -= payload.length;
    this.#sendWindow -= payload.length;
    if (isLast) {
      stream.items.shift();
      stream.sent = 0;
      if (ends) stream.sentEnd = true;
    }
    const flags = (isLast && ends ? END_STREAM : 0) | (padding === null ? 0 : PADDED);
    return frame(TYPE.data, flags, stream.id, payload);
  }

  #writeBlock(
    type: number,
    streamId: number,
    fields: readonly PlannedField[],
    ends: boolean,
    promised: number | null = null,
  ): Uint8Array {
    const { random } = this;
    const block = Uint8Array.from([
      ...this.#sizeUpdates(),
      ...fields.flatMap(({ name, value, isSensitive }) =>
        this.#writer.field({
          name,
          value,
          as: isSensitive ? "never_indexed" : random.pick(REPRESENTATIONS),
          huffman: random.chance(0.6),
          nameByIndex: random.chance(0.8),
        })
      ),
    ]);
    const hasPriority = type === TYPE.headers && this.side === "client" && random.chance(0.1);
    const prefix = promised !== null
      ? uint32(promised)
      : hasPriority
      ? [...uint32(random.chance(0.5) ? 0x8000_0000 : 0), random.below(256)]
      : [];
    const padding = random.chance(0.1) ? random.below(256) : null;
    const room = this.#maxFrameSize - 5 - 256;
    const parts = cutBlock(block, random, room);
    return join(...parts.map((part, index) => {
      const last = index === parts.length - 1 ? END_HEADERS : 0;
      if (index > 0) return frame(TYPE.continuation, last, streamId, part);
      const content = join(Uint8Array.from(prefix), part);
      const flags = last | (ends ? END_STREAM : 0) | (hasPriority ? PRIORITY : 0) |
        (padding === null ? 0 : PADDED);
      return frame(type, flags, streamId, padding === null ? content : padded(content, padding));
    }));
  }

  /** What is owed after a lowered limit (RFC 7541 §4.2), and sometimes a change of mind. */
  #sizeUpdates(): number[] {
    const { random } = this;
    const least = this.#tableLeast;
    this.#tableLeast = null;
    if (least !== null && least < this.#writer.maxSize) {
      const octets = this.#writer.sizeUpdate(least);
      return random.chance(0.5) && this.#tableLimit > least
        ? [...octets, ...this.#writer.sizeUpdate(this.#tableLimit)]
        : octets;
    }
    return random.chance(0.1) ? this.#writer.sizeUpdate(random.below(this.#tableLimit + 1)) : [];
  }

  #giveBack(stream: Stream | null): Uint8Array {
    const owed = stream?.owed ?? this.#owed;
    const increment = this.random.chance(0.7) ? owed : this.random.between(1, owed);
    if (stream === null) {
      this.#owed -= increment;
      this.#granted += increment;
    } else {
      stream.owed -= increment;
      stream.granted += increment;
    }
    return windowUpdate(stream?.id ?? 0, increment);
  }

  #mayLeave(): boolean {
    const { serverLeavesAfter } = this.plan;
    return this.side === "server" && serverLeavesAfter !== null && this.#saidGoaway === null &&
      this.#seen >= serverLeavesAfter;
  }

  #leave(): Uint8Array {
    this.#saidGoaway = this.#highest;
    const last = goaway(this.#highest, CODE.no_error, "sim");
    return this.random.chance(0.5) ? join(goaway(0x7fff_ffff, CODE.no_error, "sim"), last) : last;
  }

  // Hearing

  #hear(data: Uint8Array): void {
    let rest = data;
    if (this.side === "server" && !this.#hasPreface) {
      rest = this.#hearPreface(data);
    }
    for (const frame of this.#cutter.push(rest)) this.#hearFrame(frame);
  }

  #prefaceHeard = 0;

  #hearPreface(data: Uint8Array): Uint8Array {
    let at = 0;
    while (at < data.length && this.#prefaceHeard < PREFACE.length) {
      if (data[at++] !== PREFACE[this.#prefaceHeard++]) this.#wrong("no preface");
    }
    this.#hasPreface = this.#prefaceHeard === PREFACE.length;
    return data.subarray(at);
  }

  #hearFrame(heard: RawFrame): void {
    const { type, flags, streamId, payload } = heard;
    if (this.#block !== null && type !== TYPE.continuation) this.#wrong(`type ${type} in a field block`);
    if (payload.length > 16_777_215) this.#wrong("a frame that is too large");
    if (!this.#heardSettings && type !== TYPE.settings && type !== TYPE.goaway) {
      this.#wrong(`type ${type} before SETTINGS`);
    }
    switch (type) {
      case TYPE.settings:
        if ((flags & ACK) === 0) this.#hearSettings(payload);
        return;
      case TYPE.ping:
        if ((flags & ACK) === 0) this.#control.push(frame(TYPE.ping, ACK, 0, payload));
        return;
      case TYPE.goaway:
        this.#hearGoaway(readUint32(payload, 0), readUint32(payload, 4));
        return;
      case TYPE.window_update:
        this.#hearWindow(streamId, readUint32(payload, 0));
        return;
      case TYPE.rst_stream:
        this.#hearReset(streamId, readUint32(payload, 0));
        return;
      case TYPE.data:
        this.#hearData(heard);
        return;
      case TYPE.headers:
      case TYPE.push_promise:
        this.#block = { opening: heard, parts: [] };
        this.#hearFragment(heard);
        return;
      case TYPE.continuation:
        if (this.#block?.opening.streamId !== streamId) this.#wrong("CONTINUATION of nothing");
        this.#hearFragment(heard);
        return;
    }
  }

  #hearSettings(payload: Uint8Array): void {
    this.#heardSettings = true;
    for (let at = 0; at < payload.length; at += 6) {
      const id = payload[at]! << 8 | payload[at + 1]!;
      const value = readUint32(payload, at + 2);
      if (id === SETTING.max_frame_size) this.#maxFrameSize = value;
      if (id === SETTING.enable_push) this.#mayPush = value === 1;
      if (id === SETTING.enable_connect_protocol) this.#connectProtocol = value === 1;
      if (id === SETTING.header_table_size) {
        this.#tableLimit = value;
        this.#tableLeast = Math.min(this.#tableLeast ?? Infinity, value);
      }
      if (id !== SETTING.initial_window_size) continue;
      for (const stream of this.#streams.values()) stream.sendWindow += value - this.#peerWindow;
      this.#peerWindow = value;
    }
    this.#control.push(frame(TYPE.settings, ACK, 0));
  }

  #hearGoaway(last: number, code: number): void {
    this.#heardGoaway = true;
    this.#dropped += this.#toOpen.length;
    if (code !== CODE.no_error) throw new Deviation("answered", `GOAWAY with code ${code}`);
    if (this.side === "server") return;
    this.#toOpen.length = 0;
    // What the other side has not seen is as if it had never been.
    for (const stream of this.#streams.values()) {
      if (stream.id % 2 === 1 && stream.id > last) stream.wasReset = true;
    }
  }

  #hearWindow(streamId: number, increment: number): void {
    if (increment === 0) this.#wrong("WINDOW_UPDATE of 0");
    if (streamId === 0) {
      this.#sendWindow += increment;
      return;
    }
    this.#checkKnown(streamId, "WINDOW_UPDATE");
    const stream = this.#streams.get(streamId);
    if (stream !== undefined) stream.sendWindow += increment;
  }

  #hearReset(streamId: number, code: number): void {
    this.#checkKnown(streamId, "RST_STREAM");
    const stream = this.#streams.get(streamId);
    // One that came after our GOAWAY.
    if (stream === undefined) return;
    const { reset, flaw } = stream.plan;
    const isLate = this.#heardGoaway && code === CODE.refused_stream;
    const isPlanned = isLate || (reset !== null && reset.by !== this.side && reset.code === code) ||
      (flaw !== null && flaw.code === code);
    // A stream that did not go on for timeouts.exchange_idle is cancelled by the proxy.
    if (!isPlanned && code === CODE.cancel) throw new Deviation("answered", `CANCEL of stream ${streamId}`);
    if (!isPlanned) this.#wrong(`RST_STREAM with code ${code} on stream ${streamId} (${stream.plan.path})`);
    stream.wasReset = true;
    stream.items.length = 0;
  }

  #checkKnown(streamId: number, what: string): void {
    const own = streamId % 2 === (this.side === "client" ? 1 : 0);
    // What came after our GOAWAY is nothing to us.
    if (this.#saidGoaway !== null) return;
    const isIdle = own ? streamId >= this.#nextStreamId : streamId > this.#highest;
    if (isIdle) this.#wrong(`${what} on stream ${streamId}, which is idle`);
  }

  #hearData(heard: RawFrame): void {
    const { streamId, payload, flags } = heard;
    this.#got += payload.length;
    this.#owed += payload.length;
    if (this.#got > this.#granted) this.#wrong(`${this.#got} octets in a window of ${this.#granted}`);
    this.#checkKnown(streamId, "DATA");
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return;
    stream.got += payload.length;
    stream.owed += payload.length;
    const window = stream.granted + this.#ownWindowMax;
    if (stream.got > window) {
      this.#wrong(`${stream.got} octets in a window of ${window} on stream ${streamId}`);
    }
    const content = unpadded(heard);
    if (content === null) return this.#wrong("padding that does not fit");
    const { heads, body } = this.#other(stream.plan);
    if (stream.gotEnd || stream.hasTrailers || stream.heads < heads.length) {
      this.#wrong(`DATA out of place on stream ${streamId}`);
    }
    for (let index = 0; index < content.length; index++) {
      if (content[index] !== body[stream.content + index]) {
        this.#wrong(`octet ${stream.content + index} of ${body.length} differs on stream ${streamId}`);
      }
    }
    stream.content += content.length;
    if ((flags & END_STREAM) !== 0) this.#hearEnd(stream);
  }

  #hearFragment(heard: RawFrame): void {
    const { opening, parts } = this.#block!;
    const part = fragmentOf(heard);
    if (part === null) return this.#wrong("a frame of a field block that is broken");
    parts.push(part);
    if ((heard.flags & END_HEADERS) === 0) return;
    this.#block = null;
    let fields: ReadField[];
    try {
      fields = this.#reader.read(join(...parts));
    } catch (error) {
      return this.#wrong(`a field block that cannot be read: ${error instanceof Error ? error.message : ""}`);
    }
    if (opening.type === TYPE.push_promise) this.#hearPromise(opening, fields);
    else this.#hearHeaders(opening, fields);
  }

  #hearHeaders({ streamId, flags }: RawFrame, fields: readonly ReadField[]): void {
    let stream = this.#streams.get(streamId);
    if (stream === undefined) {
      if (this.side === "client") return this.#wrong(`HEADERS on stream ${streamId}, which nobody opened`);
      if (streamId <= this.#highest) return;
      // After GOAWAY a stream is as if it had never been, but for its block.
      if (this.#saidGoaway !== null) return;
      const path = fields.find(({ name }) => name === ":path")?.value;
      const plan = this.plan.streams.find((planned) => planned.path === path);
      if (plan === undefined) return this.#wrong(`a request for ${path}`);
      this.#highest = streamId;
      this.#seen++;
      stream = this.#begin(streamId, plan);
    }
    const answer = fields.find(({ name }) => name === "proxy-status")?.value;
    if (answer !== undefined) throw new Deviation("answered", answer);
    const { heads, trailers } = this.#other(stream.plan);
    const expected = heads[stream.heads] ?? trailers;
    if (expected === null || stream.gotEnd || stream.hasTrailers) {
      return this.#wrong(`a field block too many on stream ${streamId}`);
    }
    if (stream.heads < heads.length) stream.heads++;
    else stream.hasTrailers = true;
    this.#compare(fields, expected, streamId);
    if ((flags & END_STREAM) !== 0) this.#hearEnd(stream);
  }

  #hearPromise(opening: RawFrame, fields: readonly ReadField[]): void {
    const parent = this.#streams.get(opening.streamId);
    const promised = readUint32(unpadded(opening)!, 0);
    const path = fields.find(({ name }) => name === ":path")?.value;
    const plan = parent?.plan.pushes.find((push) => push.path === path);
    if (plan === undefined || promised <= this.#highest || !this.plan.allowsPush) {
      return this.#wrong(`a promise of ${path} on stream ${opening.streamId}`);
    }
    this.#highest = promised;
    this.#begin(promised, plan).sentEnd = true;
    this.#compare(fields, plan.request.heads[0]!, promised);
  }

  #hearEnd(stream: Stream): void {
    stream.gotEnd = true;
    const { heads, body, trailers } = this.#other(stream.plan);
    const isWhole = stream.heads === heads.length && stream.content === body.length &&
      stream.hasTrailers === (trailers !== null);
    // A flaw behind the end is the other side's matter.
    if (!isWhole) this.#wrong(`stream ${stream.id} ends after ${stream.content} of ${body.length} octets`);
  }

  #compare(found: readonly ReadField[], expected: readonly PlannedField[], streamId: number): void {
    const isSame = found.length === expected.length && found.every(({ name, value, neverIndexed }, index) => {
      const field = expected[index]!;
      return name === field.name && value === field.value && neverIndexed === field.isSensitive;
    });
    if (isSame) return;
    this.#wrong(
      `on stream ${streamId} ${JSON.stringify(found).slice(0, 300)} instead of ${
        JSON.stringify(expected).slice(0, 300)
      }`,
    );
  }

  #wrong(detail: string): void {
    throw new Deviation("mismatch", `HTTP/2: ${detail}`);
  }
}

const REPRESENTATIONS: readonly Representation[] = [
  "indexed",
  "indexed",
  "with_indexing",
  "without_indexing",
];

function isOver(stream: Stream, side: Side): boolean {
  // The proxy's answer to a flaw is still to come; it need not be for the other side where the stream is over.
  return stream.wasReset || (stream.sentEnd && stream.gotEnd && stream.plan.flaw?.by !== side);
}

/** Cut in one, or anywhere. */
function cutBlock(block: Uint8Array, random: Random, room: number): Uint8Array[] {
  const parts: Uint8Array[] = [];
  let at = 0;
  let cuts = random.chance(0.7) ? 0 : random.between(1, 6);
  do {
    const left = block.length - at;
    const size = Math.min(room, cuts-- > 0 ? random.below(left + 1) : left);
    parts.push(block.subarray(at, at + size));
    at += size;
  } while (at < block.length || cuts > 0);
  return parts;
}
