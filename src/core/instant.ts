/**
 * Time is an argument. An `Instant` is a whole number of nanoseconds since the event log was
 * opened. A double holds it exactly for 104 days; after that it is exact to two nanoseconds.
 */
export type Instant = number;

export const NANOSECONDS_PER_MILLISECOND = 1_000_000;

export function addMilliseconds(instant: Instant, milliseconds: number): Instant {
  return instant + milliseconds * NANOSECONDS_PER_MILLISECOND;
}
