/** "Did you mean …?" for everything a person can misspell. */
import { closestString } from "@std/text/closest-string";

// The package carries no types for this entry of the import map.
const closest = closestString as (given: string, possible: readonly string[]) => string;

/** The nearest of `possible`; a setting whose last part is right counts as near wherever it is filed. */
export function nearest(given: string, possible: readonly string[]): string {
  const last = given.slice(given.lastIndexOf(".") + 1);
  const misfiled = possible.find((candidate) => candidate.slice(candidate.lastIndexOf(".") + 1) === last);
  // Edit distance is quadratic; nothing that can be meant is longer.
  return misfiled ?? closest(given.slice(0, 100), possible);
}

/** `(did you mean "x"?)`, or nothing where nothing is near. */
export function didYouMean(given: string, possible: readonly string[]): string {
  return possible.length === 0 ? "" : ` (did you mean ${JSON.stringify(nearest(given, possible))}?)`;
}
