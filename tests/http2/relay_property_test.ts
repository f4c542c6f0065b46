/**
 * What holds of the relay for every conversation of frames, valid or not, however each read is cut: the same
 * events, the same forwarded octets, the same end, and nothing thrown.
 */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import type { FlowEvent } from "../../src/core/event.ts";
import { opposite, type Side } from "../../src/core/side.ts";
import { NO_OBSERVATION } from "../../src/http/observation.ts";
import { Http2Relay } from "../../src/http2/relay.ts";
import { FrameCutter } from "../../src/sim/http2_wire.ts";
import { HpackPeer, type Representation } from "../../src/sim/hpack_peer.ts";
import { frame, join, opening, padded, PREFACE, T, uint32 } from "./frame_builder.ts";
import { LIMITS } from "./limits.ts";

type Step = readonly [Side, Uint8Array];

function run(steps: readonly Step[]) {
  const sent: Record<Side, Uint8Array[]> = { client: [], server: [] };
  const events: unknown[] = [];
  let finished: string | null = null;
  const relay = new Http2Relay({
    host: {
      send: (side, data) => {
        assert(finished === null, "nothing is sent after the end");
        sent[side].push(data.slice());
      },
      reset: () => {},
      pause: () => {},
      resume: () => {},
      arm: () => {},
      disarm: () => {},
      record: ({ kind, streamKey, attributes }: FlowEvent) => {
        assert(finished === null, "nothing is recorded after the end");
        events.push({ kind, streamKey, ...attributes });
      },
      finish: (reason, detail) => {
        assert(finished === null, "a flow ends once");
        finished = `${reason}: ${detail}`;
      },
    },
    limits: { ...LIMITS, maxHeaderListSize: 600, maxHeaderFields: 12 },
    capture: { bodyBytes: 30, redactHeaders: new Set() },
    observation: NO_OBSERVATION,
    scheme: "https",
    authority: "a.test",
    gate: { ask: () => ({ type: "observe" }) },
    firstExchangeId: 1,
    stripsAltSvc: false,
    strictHeaders: true,
  }, 0);
  for (const [side, data] of steps) {
    if (finished !== null) break;
    const read = data.slice();
    relay.received(side, read, 0);
    // Its memory is used again for the next one, as a driver does.
    read.fill(0xee);
  }
  const to = { client: join(...sent.client), server: join(...sent.server) };
  return { events, finished, to, heldBytes: finished === null ? relay.heldBytes : 0 };
}

const VALID = [
  "head",
  "head",
  "head",
  "interim",
  "trailers",
  "data",
  "data",
  "data",
  "promise",
  "reset",
  "settings",
  "ack",
  "ping",
  "priority",
  "window",
  "unknown",
] as const;
const INVALID = [
  "goaway",
  "upper_case",
  "large_list",
  "many_fields",
  "wrong_length",
  "wrong_hpack",
  "cut_block",
  "stray_continuation",
  "too_long",
  "bad_padding",
  "any_flags",
] as const;
type Kind = typeof VALID[number] | typeof INVALID[number];

const move = fc.record({
  by: fc.constantFrom<Side>("client", "server"),
  kind: fc.oneof(
    { weight: 30, arbitrary: fc.constantFrom<Kind>(...VALID) },
    { weight: 1, arbitrary: fc.constantFrom<Kind>(...INVALID) },
  ),
  /** Among the streams of this conversation. */
  stream: fc.nat(5),
  ends: fc.boolean(),
  content: fc.uint8Array({ maxLength: 40 }),
  pad: fc.option(fc.constantFrom(0, 1, 9, 255), { freq: 6 }),
  parts: fc.constantFrom(1, 1, 1, 2, 4),
  as: fc.array(
    fc.constantFrom<Representation>("indexed", "with_indexing", "without_indexing", "never_indexed"),
    {
      minLength: 3,
      maxLength: 3,
    },
  ),
  huffman: fc.boolean(),
  value: fc.nat(4),
  length: fc.constantFrom(null, null, null, null, null, null, 0, 5),
});
type Move = typeof move extends fc.Arbitrary<infer Value> ? Value : never;

/** What concerns the connection, or may. */
const CONNECTION_KINDS: ReadonlySet<Kind> = new Set<Kind>([
  "settings",
  "ack",
  "ping",
  "unknown",
  "window",
  "goaway",
]);

/** A conversation in which each side has its own HPACK table and uses its own stream numbers. */
class Conversation {
  readonly #hpack: Record<Side, HpackPeer> = { client: new HpackPeer(), server: new HpackPeer() };
  readonly #streams = new Map<number, Record<Side, "silent" | "open" | "ended">>();
  #nextId = 1;
  #nextPromised = 2;

  write(moves: readonly Move[]): Step[] {
    const steps: Step[] = [["client", opening("client")], ["server", opening("server")]];
    for (const one of moves) steps.push([one.by, this.#frames(one)]);
    return steps;
  }

  #frames(one: Move): Uint8Array {
    const { by, kind, content, ends, value } = one;
    const isInvalid = (INVALID as readonly string[]).includes(kind);
    const id = this.#streamOf(one, isInvalid);
    if (id === 0 && !CONNECTION_KINDS.has(kind)) return frame(T.PING, 0, 0, new Uint8Array(8));
    const end = ends ? 1 : 0;
    switch (kind) {
      case "head":
        this.#noted(id, by, ends ? "ended" : "open");
        return this.#block(one, id, this.#head(one));
      case "interim":
        return this.#block({ ...one, ends: false }, id, [[":status", "103"], ["x-hint", `${value}`]]);
      case "trailers":
        this.#noted(id, by, "ended");
        return this.#block({ ...one, ends: true }, id, [["x-sum", `${value}`]]);
      case "promise": {
        const promised = this.#nextPromised;
        this.#nextPromised += 2;
        this.#streams.set(promised, { client: "ended", server: "silent" });
        return this.#block(one, id, requestHead(value, []), promised);
      }
      case "data": {
        if (ends) this.#noted(id, by, "ended");
        const { flag, payload } = maybePadded(content, one.pad);
        return frame(T.DATA, flag | end, id, payload);
      }
      case "reset":
        this.#streams.delete(id);
        return frame(T.RST_STREAM, 0, id, uint32(value));
      case "settings":
        return frame(T.SETTINGS, 0, 0, [0, 3, ...uint32(value * 50), 0, 4, ...uint32(100 * value)]);
      case "ack":
        return frame(T.SETTINGS, 1, 0);
      case "ping":
        return frame(T.PING, end, 0, new Uint8Array(8).fill(value));
      case "priority":
        return frame(T.PRIORITY, 0, id, [0, 0, 0, 1, value]);
      case "window":
        return frame(T.WINDOW_UPDATE, 0, ends ? 0 : id, uint32(1 + value));
      case "unknown":
        return frame(0xa0 + value, content.length, id, content);
      case "goaway":
        return frame(T.GOAWAY, 0, 0, [...uint32(id), ...uint32(value), ...content]);
      case "upper_case":
        return this.#block(one, id, [...this.#head(one), ["X-Upper", "1"]]);
      case "large_list":
        return this.#block(one, id, [...this.#head(one), ["x-large", "y".repeat(600)]]);
      case "many_fields":
        return this.#block(one, id, [...this.#head(one), ...Array<[string, string]>(12).fill(["x", "y"])]);
      case "wrong_length":
        return frame(
          [T.PING, T.RST_STREAM, T.WINDOW_UPDATE, T.SETTINGS, T.PRIORITY][value]!,
          0,
          ends ? 0 : id,
          [1, 2],
        );
      case "wrong_hpack":
        return frame(
          T.HEADERS,
          4 | end,
          id,
          [[0xff, 0x70], [0x80], [0x40, 0x82, 0], [0x3f, 0xff, 0xff], [0x7f]][value]!,
        );
      case "cut_block":
        return frame(T.HEADERS, end, id, [0x82]);
      case "stray_continuation":
        return frame(T.CONTINUATION, 4, id, [0x82]);
      case "too_long":
        return frame(T.DATA, 0, id, new Uint8Array(16_385));
      case "bad_padding":
        return frame(value < 2 ? T.DATA : T.HEADERS, 8 | 4, id, [9, ...content.subarray(0, 5)]);
      case "any_flags":
        return frame(value, content[0] ?? 0, id, content);
    }
  }

  #noted(id: number, by: Side, state: "open" | "ended"): void {
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    stream[by] = state;
    if (stream.client === "ended" && stream.server === "ended") this.#streams.delete(id);
  }

  /** A stream on which it may be said; 0 where there is none. What is invalid may be said of any. */
  #streamOf({ by, kind, stream }: Move, isInvalid: boolean): number {
    if (
      by === "client" &&
      (kind === "head" || kind === "upper_case" || kind === "large_list" || kind === "many_fields")
    ) {
      const id = this.#nextId;
      this.#nextId += 2;
      if (kind === "head") this.#streams.set(id, { client: "silent", server: "silent" });
      return id;
    }
    if (by === "client" && (kind === "promise" || kind === "interim")) return 0;
    const ids = [...this.#streams].filter(([id, states]) => {
      if (isInvalid || kind === "reset" || kind === "window" || kind === "unknown") return true;
      if (kind === "promise") return id % 2 === 1 && states.server !== "ended";
      return states[by] === (kind === "head" || kind === "interim" ? "silent" : "open");
    }).map(([id]) => id);
    return ids[stream % Math.max(1, ids.length)] ?? (isInvalid ? 1 : 0);
  }

  #head({ by, value, length }: Move): [string, string][] {
    const declared: [string, string][] = length === null ? [] : [["content-length", `${length}`]];
    return by === "client" ? requestHead(value, declared) : [
      [":status", ["200", "204", "404", "200", "304"][value]!],
      ["x-value", `${value}`],
      ...declared,
    ];
  }

  #block(one: Move, id: number, fields: readonly [string, string][], promised?: number): Uint8Array {
    const { by, as, huffman, parts, ends, pad } = one;
    const octets = fields.flatMap(([name, value], index) =>
      this.#hpack[by].field({ name, value, as: as[index % as.length]!, huffman, nameByIndex: true })
    );
    const size = Math.ceil(octets.length / parts);
    const first = [...(promised === undefined ? [] : uint32(promised)), ...octets.slice(0, size)];
    const { flag, payload } = maybePadded(first, pad);
    const flags = flag | (parts === 1 ? 4 : 0) | (ends && promised === undefined ? 1 : 0);
    return join(
      frame(promised === undefined ? T.HEADERS : T.PUSH_PROMISE, flags, id, payload),
      ...Array.from({ length: parts - 1 }, (_, index) => {
        const from = (index + 1) * size;
        return frame(T.CONTINUATION, index === parts - 2 ? 4 : 0, id, octets.slice(from, from + size));
      }),
    );
  }
}

function requestHead(value: number, declared: [string, string][]): [string, string][] {
  return [
    [":method", ["GET", "POST", "HEAD", "POST", "PUT"][value]!],
    [":scheme", "https"],
    [":path", `/${value}`],
    [":authority", "a.test"],
    ["x-value", `${value}`],
    ...declared,
  ];
}

function maybePadded(content: Uint8Array | readonly number[], pad: number | null) {
  return pad === null ? { flag: 0, payload: [...content] } : { flag: 8, payload: padded(content, pad) };
}

/** The octets of each side in turns that also end inside a frame, where it need not be whole to be forwarded. */
function turns(steps: readonly Step[], sizes: readonly number[]): Step[] {
  const rest: Record<Side, Uint8Array> = { client: new Uint8Array(0), server: new Uint8Array(0) };
  const cut: Step[] = [];
  let index = 0;
  const take = (side: Side, kept: number) => {
    const size = Math.max(0, rest[side].length - kept);
    if (size > 0) cut.push([side, rest[side].slice(0, size)]);
    rest[side] = rest[side].slice(size);
  };
  for (const [side, data] of steps) {
    rest[side] = join(rest[side], data);
    // A part of what has been said so far stays behind until this side speaks again.
    take(side, data[3] === T.DATA ? sizes[index++ % sizes.length]! : 0);
  }
  take("client", 0);
  take("server", 0);
  return cut;
}

function cutEach(steps: readonly Step[], sizes: readonly number[]): Step[] {
  let index = 0;
  return steps.flatMap(([side, data]) => {
    const pieces: Step[] = [];
    for (let at = 0; at < data.length;) {
      const size = sizes[index++ % sizes.length]!;
      pieces.push([side, data.slice(at, at + size)]);
      at += size;
    }
    return pieces;
  });
}

const moves = fc.array(move, { maxLength: 30, size: "max" });
const leftBehind = fc.array(fc.constantFrom(0, 0, 0, 1, 5, 12), { minLength: 1, maxLength: 8 });
const sizes = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 8 });

Deno.test("any conversation gives the same events and octets however its reads are cut", () => {
  const seen = { alive: 0, ended: 0, complete: 0 };
  fc.assert(
    fc.property(moves, leftBehind, sizes, (moves, kept, sizes) => {
      const steps = turns(new Conversation().write(moves), kept);
      const whole = run(steps);
      assertEquals(run(cutEach(steps, sizes)), whole);
      assertEquals(run(cutEach(steps, [1])), whole);
      if (whole.finished === null) seen.alive++;
      else seen.ended++;
      if (JSON.stringify(whole.events).includes('"complete"')) seen.complete++;
    }),
    { numRuns: 600 },
  );
  // Conversations of all sorts were among them.
  assert(Math.min(seen.alive, seen.ended, seen.complete) > 10, JSON.stringify(seen));
});

Deno.test("what is forwarded of any conversation is what came, but for frames of the proxy's own and what it withholds", () => {
  fc.assert(
    fc.property(moves, leftBehind, (moves, kept) => {
      const steps = turns(new Conversation().write(moves), kept);
      const { to, events, finished } = run(steps);
      const withheld = finished !== null || /"(protocol_error|limit)"|goaway/.test(JSON.stringify(events));
      for (const by of ["client", "server"] as const) {
        const came = join(...steps.filter(([side]) => side === by).map(([, data]) => data));
        const went = to[opposite(by)];
        const skipped = by === "client" ? PREFACE.length : 0;
        const [sent, forwarded] = [new FrameCutter(), new FrameCutter()];
        const frames = sent.push(came.slice(skipped)).map(({ bytes }) => bytes.toHex());
        const passed = forwarded.push(went.slice(went[0] === PREFACE[0] ? skipped : 0));
        if (finished === null) assertEquals(forwarded.rest.length === 0 || sent.rest.length > 0, true);
        // Frames of its own may stand between them, none is torn apart, and all others come in order.
        let next = 0;
        let own = 0;
        for (const { bytes, type } of passed) {
          const at = frames.indexOf(bytes.toHex(), next);
          if (at >= 0) next = at + 1;
          else {
            own++;
            const isOwn = type === T.RST_STREAM || type === T.GOAWAY || type === T.WINDOW_UPDATE;
            assert(isOwn || withheld || isRewritable(type), `type ${type} is of nobody`);
          }
        }
        if (own === 0 && finished === null && forwarded.rest.length === 0) {
          assert(passed.length <= frames.length, "no more frames than came");
        }
      }
    }),
    { numRuns: 400 },
  );
});

/** Blocks are written anew after one was withheld; an empty SETTINGS greets a client before GOAWAY. */
function isRewritable(type: number): boolean {
  return type === T.HEADERS || type === T.PUSH_PROMISE || type === T.CONTINUATION || type === T.SETTINGS;
}
