/** What passes through one WebSocket, as the relays would have it, and the events of it. */
import type { FlowEvent } from "../../../src/core/event.ts";
import { addMilliseconds } from "../../../src/core/instant.ts";
import type { Side } from "../../../src/core/side.ts";
import type { Field } from "../../../src/http/fields.ts";
import type { StreamEnd, StreamObservation, UpgradeHead } from "../../../src/http/observation.ts";
import { FlowObservation } from "../../../src/observe/flow_observation.ts";
import type { ObserveLimits, StreamObserverDefinition } from "../../../src/observe/observer.ts";
import { LIMITS, OBSERVE_CONFIG } from "../observed.ts";

export const TURN_IDLE_MS = 750;

export type Step =
  | { readonly type: "received"; readonly side: Side; readonly bytes: Uint8Array }
  | { readonly type: "ended"; readonly side: Side }
  | { readonly type: "closed"; readonly end: StreamEnd }
  | { readonly type: "waits"; readonly ms: number };

export interface WebSocketOptions {
  readonly requestFields?: readonly Field[];
  readonly responseFields?: readonly Field[];
  readonly limits?: Partial<ObserveLimits>;
  readonly redactHeaders?: readonly string[];
  readonly streamObservers?: readonly StreamObserverDefinition[];
}

export interface Observed {
  readonly events: readonly FlowEvent[];
  /** 0, unless one leaks. */
  readonly heldBytes: number;
  readonly heldBytesMax: number;
  /** Whether the timer is armed when all is over. */
  readonly armed: boolean;
}

export const REQUEST_FIELDS: readonly Field[] = [
  ["Host", "a.test"],
  ["Connection", "Upgrade"],
  ["Upgrade", "websocket"],
  ["Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="],
  ["Sec-WebSocket-Version", "13"],
];
export const RESPONSE_FIELDS: readonly Field[] = [
  ["Connection", "Upgrade"],
  ["Upgrade", "websocket"],
  ["Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="],
];

/** The fields with others added, or put in place of those of the same name; without one whose value is null. */
export function withFields(
  fields: readonly Field[],
  ...changes: readonly (readonly [name: string, value: string | null])[]
): Field[] {
  const changed = new Set(changes.map(([name]) => name.toLowerCase()));
  const added = changes.flatMap(([name, value]): Field[] => value === null ? [] : [[name, value]]);
  return [...fields.filter(([name]) => !changed.has(name.toLowerCase())), ...added];
}

export function upgradeHead(options: WebSocketOptions = {}): UpgradeHead {
  return {
    exchangeId: 1,
    streamKey: "h1:1",
    request: {
      method: "GET",
      target: "/chat",
      scheme: "https",
      authority: "a.test",
      version: "HTTP/1.1",
      fields: options.requestFields ?? REQUEST_FIELDS,
      headBytes: 1,
    },
    response: {
      status: 101,
      version: "HTTP/1.1",
      fields: options.responseFields ?? RESPONSE_FIELDS,
      headBytes: 1,
    },
  };
}

export const DEFLATE = "permessage-deflate";

/** Heads that agree on permessage-deflate. */
export function compressed(parameters = ""): Pick<WebSocketOptions, "requestFields" | "responseFields"> {
  const answer = parameters === "" ? DEFLATE : `${DEFLATE}; ${parameters}`;
  return {
    requestFields: withFields(REQUEST_FIELDS, [
      "Sec-WebSocket-Extensions",
      `${DEFLATE}; client_max_window_bits`,
    ]),
    responseFields: withFields(RESPONSE_FIELDS, ["Sec-WebSocket-Extensions", answer]),
  };
}

export function observeWebSocket(steps: readonly Step[], options: WebSocketOptions = {}): Observed {
  const events: FlowEvent[] = [];
  let now = 0;
  let due = Infinity;
  let heldBytesMax = 0;
  const observation = new FlowObservation({
    config: {
      ...OBSERVE_CONFIG,
      streamObservers: options.streamObservers ?? OBSERVE_CONFIG.streamObservers,
      redactHeaders: new Set(options.redactHeaders ?? []),
      silenceMs: TURN_IDLE_MS,
      limits: { ...LIMITS, ...options.limits },
    },
    record: (event) => void events.push(event),
    now: () => now,
    timer: { arm: (at) => due = at, disarm: () => due = Infinity },
  });
  const stream = observation.upgrade(upgradeHead(options));
  let closed = false;
  for (const step of steps) {
    if (stream !== null) take(stream, step);
    heldBytesMax = Math.max(heldBytesMax, observation.heldBytes);
  }
  if (!closed) stream?.closed({ orderly: true, by: null });
  return { events, heldBytes: observation.heldBytes, heldBytesMax, armed: due !== Infinity };

  function take(stream: StreamObservation, step: Step): void {
    switch (step.type) {
      case "received": {
        // The memory of a read is used again for the next: what was kept of it must be a copy.
        const lent = step.bytes.slice();
        stream.received(step.side, lent);
        lent.fill(0xaa);
        return;
      }
      case "ended":
        stream.ended(step.side);
        return;
      case "closed":
        closed = true;
        stream.closed(step.end);
        return;
      case "waits": {
        const until = addMilliseconds(now, step.ms);
        while (due <= until) {
          now = due;
          due = Infinity;
          observation.expired(now);
        }
        now = until;
      }
    }
  }
}
