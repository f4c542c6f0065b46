/**
 * Paths into JSON values: `choices[*].delta.content`. Names are parted by dots, `[*]` stands for each element of an
 * array, the empty path for the value itself. A name holds no dot and no bracket; there is no escape.
 */

export type JsonPath = readonly Step[];
type Step = { readonly type: "member"; readonly name: string } | { readonly type: "each" };

/** A value that was found, and the places in arrays by which it was: one for each `[*]`. */
export interface Found {
  readonly value: unknown;
  readonly places: readonly number[];
}

/** How many values one path may find in one value. */
export const FOUND_MAX = 1024;
const STEPS_MAX = 32;

/** Null: it is no path. */
export function parseJsonPath(text: string): JsonPath | null {
  if (text === "") return [];
  const steps: Step[] = [];
  for (const part of text.split(".")) {
    const match = /^([^[\]]+)((?:\[\*\])*)$/.exec(part);
    if (match === null) return null;
    steps.push({ type: "member", name: match[1]! });
    for (let index = 0; index < match[2]!.length / 3; index++) steps.push({ type: "each" });
  }
  return steps.length > STEPS_MAX ? null : steps;
}

/** How many `[*]` a path has. */
export function breadthOf(path: JsonPath): number {
  return path.filter(({ type }) => type === "each").length;
}

/** Everything the path leads to, in the order of the value. What is not there is not found. */
export function findAll(value: unknown, path: JsonPath): Found[] {
  let found: Found[] = [{ value, places: [] }];
  for (const step of path) {
    const next: Found[] = [];
    for (const { value, places } of found) {
      if (step.type === "member") {
        const inner = memberOf(value, step.name);
        if (inner !== undefined) next.push({ value: inner, places });
      } else if (Array.isArray(value)) {
        for (let place = 0; place < value.length && next.length < FOUND_MAX; place++) {
          next.push({ value: value[place], places: [...places, place] });
        }
      }
    }
    found = next;
  }
  return found;
}

/** What the path leads to where each `[*]` is the place given for it; undefined: nothing. */
export function findAt(value: unknown, path: JsonPath, places: readonly number[]): unknown {
  let current = value;
  let depth = 0;
  for (const step of path) {
    if (step.type === "member") current = memberOf(current, step.name);
    else {
      const place = places[depth++];
      current = Array.isArray(current) && place !== undefined ? current[place] : undefined;
    }
    if (current === undefined) return undefined;
  }
  return current;
}

function memberOf(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  return Object.hasOwn(value, name) ? (value as Readonly<Record<string, unknown>>)[name] : undefined;
}
