/**
 * Whether two flows that carried the same bytes have the same events. How reads were cut up and how long things
 * took may not show, except where the two directions run side by side: so each direction is compared by itself.
 */
import type { FlowEvent } from "../core/event.ts";
import { encodeAttributes } from "../log/encode.ts";
import type { SimFlow } from "./world.ts";

/** Null: none. */
export function differenceOfEvents(flow: SimFlow, twin: SimFlow): string | null {
  const events = strands(flow.events);
  const others = strands(twin.events);
  for (const strand of new Set([...events.keys(), ...others.keys()])) {
    const here = events.get(strand) ?? [];
    const there = others.get(strand) ?? [];
    for (let index = 0; index < Math.max(here.length, there.length); index++) {
      if (here[index] === there[index]) continue;
      return `event ${index + 1} of ${strand} is ${here[index]}, without faults ${there[index]}`;
    }
  }
  return null;
}

function strands(events: readonly FlowEvent[]): Map<string, string[]> {
  const strands = new Map<string, string[]>();
  for (const event of events) {
    const direction = /^(request|response)_/.exec(event.kind)?.[1] ?? "the rest";
    const strand = `${event.streamKey}, ${direction}`;
    const known = strands.get(strand) ?? [];
    known.push(timeless(event));
    strands.set(strand, known);
  }
  return strands;
}

function timeless({ kind, protocol, attributes }: FlowEvent): string {
  const kept = { ...attributes };
  delete kept["duration_ns"];
  delete kept["ttfb_ns"];
  // What came after the end of a flow that ends early is read or not.
  if (kind === "stream_closed" && attributes["reason_code"] !== "complete") {
    delete kept["bytes_from_client"];
    delete kept["bytes_from_server"];
  }
  return `${kind} ${protocol} ${encodeAttributes(kept)}`;
}
