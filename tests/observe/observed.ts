/** One message through the recorder and its observers, as the relays would have it, and the events of it. */
import { createHash } from "node:crypto";
import type { FlowEvent } from "../../src/core/event.ts";
import { ExchangeRecorder } from "../../src/http/exchange_recorder.ts";
import type { Field } from "../../src/http/fields.ts";
import { Budget } from "../../src/observe/budget.ts";
import { FlowObservation, type ObserveConfig } from "../../src/observe/flow_observation.ts";
import type { ObserveLimits, ObserverDefinition } from "../../src/observe/observer.ts";
import { OBSERVERS, STREAM_OBSERVERS } from "../../src/observe/registry.ts";
import { openSha256 } from "../../src/runtime/digest.ts";
import { INFLATERS } from "../../src/runtime/inflate.ts";

export const LIMITS: ObserveLimits = {
  captureBytes: 64 * 1024,
  payloadBytes: 16 * 1024,
  decoderBufferBytes: 4 * 1024 * 1024,
  inflateRatio: 8,
  inflateBytes: 64 * 1024 * 1024,
};

export const OBSERVE_CONFIG: ObserveConfig = {
  observers: OBSERVERS,
  streamObservers: STREAM_OBSERVERS,
  silenceMs: 750,
  sha1: (text) => createHash("sha1").update(text).digest("hex"),
  limits: LIMITS,
  inflaters: INFLATERS,
  openSha256,
  redactHeaders: new Set(),
  processBudget: new Budget(1024 * 1024 * 1024),
};

export const NO_TIMER = { arm: () => {}, disarm: () => {} };

export interface ObservedMessageOptions {
  readonly direction?: "request" | "response";
  readonly protocol?: "http1" | "http2";
  readonly fields?: readonly Field[];
  readonly requestFields?: readonly Field[];
  readonly target?: string;
  readonly trailers?: readonly Field[];
  /** The message ends before its end. */
  readonly cut?: boolean;
  readonly limits?: Partial<ObserveLimits>;
  /** Of the response. */
  readonly status?: number;
  readonly redactHeaders?: readonly string[];
  readonly observers?: readonly ObserverDefinition[];
  /** Of all flows. */
  readonly processBudget?: Budget;
  /** The flow is over before the exchange is: it is not completed. */
  readonly abandoned?: boolean;
  /** Which events are kept; all where it is not given. */
  readonly keep?: (event: FlowEvent) => boolean;
}

export interface Observed {
  readonly events: readonly FlowEvent[];
  /** What observers still kept when the exchange was over: 0, unless one leaks. */
  readonly heldBytes: number;
  /** The most they kept after a read. */
  readonly heldBytesMax: number;
}

export function observe(reads: readonly Uint8Array[], options: ObservedMessageOptions): Observed {
  const events: FlowEvent[] = [];
  const { keep = () => true } = options;
  const record = (event: FlowEvent) => void (keep(event) && events.push(event));
  const limits = { ...LIMITS, ...options.limits };
  const redactHeaders = new Set(options.redactHeaders ?? []);
  const observation = new FlowObservation({
    config: {
      ...OBSERVE_CONFIG,
      limits,
      redactHeaders,
      processBudget: options.processBudget ?? OBSERVE_CONFIG.processBudget,
      ...(options.observers === undefined ? {} : { observers: options.observers }),
    },
    record,
    now: () => 0,
    timer: NO_TIMER,
  });
  const protocol = options.protocol ?? "http1";
  const recorder = new ExchangeRecorder(1, {
    protocol,
    streamKey: protocol === "http1" ? "h1:1" : "h2:1",
    capture: { bodyBytes: limits.captureBytes, redactHeaders },
    observation,
    record,
    now: 0,
  });
  const request = options.direction === "request";
  const version = protocol === "http1" ? "HTTP/1.1" : "HTTP/2";
  recorder.requestHead({
    method: "POST",
    target: options.target ?? "/",
    scheme: "https",
    authority: "a.test",
    version,
    fields: (request ? options.fields : options.requestFields) ?? [],
    headBytes: 1,
  });
  if (!request) {
    recorder.requestFinished();
    recorder.responseHead({
      status: options.status ?? 200,
      version,
      fields: options.fields ?? [],
      headBytes: 1,
    }, 0);
  }
  let heldBytesMax = 0;
  for (const read of reads) {
    // The memory of a read is used again for the next: what was kept of it must be a copy.
    const lent = read.slice();
    if (request) recorder.requestContent(lent);
    else recorder.responseContent(lent);
    lent.fill(0xaa);
    heldBytesMax = Math.max(heldBytesMax, observation.heldBytes);
  }
  if (options.abandoned === true) {
    observation.close();
    return { events, heldBytes: observation.heldBytes, heldBytesMax };
  }
  const { trailers = [] } = options;
  if (options.cut !== true) {
    if (request) {
      if (trailers.length > 0) recorder.requestTrailers(trailers);
      recorder.requestFinished();
    } else {
      if (trailers.length > 0) recorder.responseTrailers(trailers);
      recorder.responseFinished();
    }
  }
  recorder.complete(options.cut === true ? "client_aborted" : "complete", 0);
  return { events, heldBytes: observation.heldBytes, heldBytesMax };
}
