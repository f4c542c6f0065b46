/** Attributes in the order in which the log writes them: what comes to it so, it need not sort. */
import type { Attributes, AttributeValue } from "../core/event.ts";

/** `attributes` with `more`, both in order, in order. */
export function withInOrder(
  attributes: Attributes,
  more: readonly (readonly [name: string, value: AttributeValue])[],
): Attributes {
  const all: Record<string, AttributeValue> = {};
  let next = 0;
  for (const name in attributes) {
    while (next < more.length && more[next]![0] < name) {
      all[more[next]![0]] = more[next]![1];
      next++;
    }
    all[name] = attributes[name]!;
  }
  for (; next < more.length; next++) all[more[next]![0]] = more[next]![1];
  return all;
}
