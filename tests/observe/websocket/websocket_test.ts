/** What holds of every WebSocket, whatever comes. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { opposite, type Side } from "../../../src/core/side.ts";
import { WEBSOCKET } from "../../../src/observe/websocket/websocket.ts";
import { cutInto } from "../../support/golden.ts";
import { LIMITS } from "../observed.ts";
import { deflateMessage, encodeFrame } from "./frames.ts";
import { compressed, observeWebSocket, type Step, TURN_IDLE_MS } from "./observed.ts";

const sides = fc.constantFrom<Side>("client", "server");

/** What a side says at once: frames, most of them right, with some octets changed. */
function speech(side: Side): fc.Arbitrary<Uint8Array> {
  const payload = fc.oneof(
    fc.uint8Array({ maxLength: 20 }),
    fc.string().map((text) => new TextEncoder().encode(text)),
  );
  const frame = fc.oneof(
    payload.map((payload) => encodeFrame({ opcode: 1, mask: side === "client", payload })),
    payload.map((payload) => encodeFrame({ opcode: 2, mask: side === "client", payload })),
    payload.map((content) =>
      encodeFrame({ opcode: 1, rsv: 4, mask: side === "client", payload: deflateMessage(content) })
    ),
    fc.record({ opcode: fc.nat(15), fin: fc.boolean(), rsv: fc.nat(7), mask: fc.boolean(), payload }).map(
      encodeFrame,
    ),
    payload.map((payload) => encodeFrame({ opcode: 9, mask: side === "client", payload })),
    fc.uint8Array({ maxLength: 12 }),
  );
  return fc.array(frame, { minLength: 1, maxLength: 4 }).map((frames) =>
    new Uint8Array(frames.flatMap((bytes) => [...bytes]))
  );
}

const pauses = fc.constantFrom<Step>({ type: "waits", ms: 1 }, { type: "waits", ms: TURN_IDLE_MS });

const received = (side: Side, bytes: Uint8Array): Step => ({ type: "received", side, bytes });

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 8,
      arbitrary: sides.chain((side) => speech(side).map((bytes) => [received(side, bytes)])),
    },
    {
      // Stalls anywhere, in the middle of a frame too, and the other side may speak meanwhile.
      weight: 3,
      arbitrary: fc.tuple(sides, pauses, fc.nat(), fc.option(pauses)).chain(([side, pause, at, again]) =>
        fc.tuple(speech(side), speech(opposite(side))).map(([bytes, other]) => {
          const stall = at % (bytes.length + 1);
          return [
            received(side, bytes.subarray(0, stall)),
            pause,
            ...(again === null ? [] : [received(opposite(side), other), again]),
            received(side, bytes.subarray(stall)),
          ];
        })
      ),
    },
    { weight: 2, arbitrary: pauses.map((pause) => [pause]) },
    { weight: 1, arbitrary: sides.map((side): Step[] => [{ type: "ended", side }]) },
  ),
  { maxLength: 10 },
).map((groups) => groups.flat());

function cut(all: readonly Step[], size: number): Step[] {
  return all.flatMap((step): Step[] =>
    step.type === "received" ? cutInto(step.bytes, size).map((bytes) => ({ ...step, bytes })) : [step]
  );
}

Deno.test("a WebSocket is told the same however it is cut, once opened, once closed, with its turns whole", () => {
  fc.assert(
    fc.property(
      steps,
      fc.integer({ min: 1, max: 40 }),
      fc.constantFrom(LIMITS.captureBytes, 8, 0),
      fc.constantFrom(LIMITS.decoderBufferBytes, 100_000, 300),
      fc.constantFrom({}, compressed(), compressed("client_no_context_takeover")),
      (all, size, captureBytes, decoderBufferBytes, heads) => {
        const options = { limits: { captureBytes, decoderBufferBytes }, ...heads };
        const whole = observeWebSocket(all, options);
        const pieces = observeWebSocket(cut(all, size), options);
        assertEquals(pieces.events, whole.events);
        assertEquals([whole.heldBytes, pieces.heldBytes], [0, 0], "what was held is given back");
        assertEquals([whole.armed, pieces.armed], [false, false], "no timer is left");
        assert(pieces.heldBytesMax <= decoderBufferBytes);
        const kinds = whole.events.map(({ kind }) => kind);
        assertEquals([kinds[0], kinds.at(-1)], ["websocket_opened", "websocket_closed"]);
        assertEquals(kinds.filter((kind) => /^websocket_/.test(kind)).length, 2);
        let open = false;
        for (const { kind, attributes } of whole.events) {
          if (kind === "ws_turn_started" || kind === "ws_turn_completed") {
            assertEquals(open, kind === "ws_turn_completed");
            open = !open;
          }
          assert(kind !== "observer_stopped" || !String(attributes["reason"]).startsWith("failed"));
        }
        assert(!open, "the last turn is completed");
      },
    ),
    { numRuns: 1000 },
  );
});

Deno.test("a WebSocket's turn whose frame stalls half-way is over when that was silent for long enough", () => {
  const question = encodeFrame({ opcode: 1, mask: true, payload: new Uint8Array(100).fill(97) });
  const answer = encodeFrame({ opcode: 1, payload: new Uint8Array(7).fill(98) });
  const said = (stall: number, size: number) => {
    const steps: Step[] = [
      received("client", question.subarray(0, stall)),
      { type: "waits", ms: TURN_IDLE_MS - 1 },
      received("client", question.subarray(stall, stall + 1)),
      { type: "waits", ms: TURN_IDLE_MS },
      received("client", question.subarray(stall + 1)),
      received("server", answer),
      { type: "waits", ms: TURN_IDLE_MS },
    ];
    return observeWebSocket(cut(steps, size)).events
      .filter(({ kind }) => kind === "ws_turn_completed" || kind === "ws_message")
      .map(({ kind, attributes: { flush_reason, first_ns, last_ns, ...rest } }) =>
        kind === "ws_message"
          ? rest["direction"]
          : [flush_reason, rest["initiator"], Number(last_ns) - Number(first_ns), rest["client_frames"]]
            .concat([rest["client_bytes"], rest["server_frames"], rest["server_bytes"]])
      );
  };
  const ms = 1_000_000;
  for (let size = 1; size <= question.length; size++) {
    for (const stall of [6, 7, 50, 104]) {
      const first = Math.max(0, stall - 6);
      assertEquals(said(stall, size), [
        ["idle_timeout", "client", (TURN_IDLE_MS - 1) * ms, 1, first + 1, 0, 0],
        "request",
        "response",
        ["idle_timeout", "client", 0, 0, 100 - first - 1, 1, 7],
      ]);
    }
  }
});

Deno.test("a WebSocket whose observer fails is told as closed all the same", () => {
  const failing = {
    ...WEBSOCKET,
    open: (...[head, context]: Parameters<typeof WEBSOCKET.open>) => {
      const observer = WEBSOCKET.open(head, context)!;
      let pushes = 0;
      return {
        received: (side: Side, bytes: Uint8Array) => {
          if (++pushes === 2) throw new Error("oops");
          observer.received(side, bytes);
        },
        ended: (side: Side) => observer.ended(side),
        closed: (end: Parameters<typeof observer.closed>[0]) => observer.closed(end),
        stopped: () => observer.stopped(),
        silent: () => observer.silent(),
      };
    },
  };
  const bytes = encodeFrame({ opcode: 1, mask: true, payload: Uint8Array.of(97) });
  const said: Step = { type: "received", side: "client", bytes };
  const { events, heldBytes, armed } = observeWebSocket([said, said, said], { streamObservers: [failing] });
  assertEquals(events.map(({ kind }) => kind), [
    "websocket_opened",
    "ws_turn_started",
    "ws_message",
    "observer_stopped",
    "ws_turn_completed",
    "websocket_closed",
  ]);
  assertEquals([events.at(-1)?.attributes["partial"], heldBytes, armed], [true, 0, false]);
});
