/** Media types (RFC 9110 §8.3.1) as peers write them: what cannot be read is no media type, never an error. */
import type { Field } from "./fields.ts";

export interface MediaType {
  /** `type/subtype` in lower case. */
  readonly essence: string;
  /** Names in lower case, quotes taken off; the first of a name counts. */
  readonly parameters: ReadonlyMap<string, string>;
}

/** The values of a field, by its lower-case name. */
export function fieldValues(fields: readonly Field[], name: string): string[] {
  const values: string[] = [];
  for (const [candidate, value] of fields) {
    if (candidate.length === name.length && candidate.toLowerCase() === name) values.push(value);
  }
  return values;
}

/** The media type of a message with these fields; null where it has none, or none that can be read. */
export function mediaTypeOf(fields: readonly Field[]): MediaType | null {
  for (const [name, value] of fields) {
    if (name.length === CONTENT_TYPE.length && name.toLowerCase() === CONTENT_TYPE) return known(value);
  }
  return null;
}

const CONTENT_TYPE = "content-type";
const KNOWN_MAX = 64;
const KNOWN_CHARACTERS_MAX = 128;
/** What was read before: a program meets the same few over and over. */
const KNOWN = new Map<string, MediaType | null>();

function known(value: string): MediaType | null {
  const read = KNOWN.get(value);
  if (read !== undefined) return read;
  const type = parseMediaType(value);
  if (value.length <= KNOWN_CHARACTERS_MAX) {
    if (KNOWN.size === KNOWN_MAX) KNOWN.clear();
    KNOWN.set(value, type);
  }
  return type;
}

const ESSENCE = /^[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+\/[!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*(?:;|$)/;
/** One parameter from its semicolon on. Sticky, so that a long value is gone through once. */
const PARAMETER = /;[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*))[ \t]*/y;

export function parseMediaType(value: string): MediaType | null {
  const essence = ESSENCE.exec(value)?.[1]?.toLowerCase();
  if (essence === undefined) return null;
  const parameters = new Map<string, string>();
  const start = value.indexOf(";");
  PARAMETER.lastIndex = start < 0 ? value.length : start;
  for (let match = PARAMETER.exec(value); match !== null; match = PARAMETER.exec(value)) {
    const name = match[1]!.toLowerCase();
    if (!parameters.has(name)) parameters.set(name, match[2]?.replace(/\\(.)/g, "$1") ?? match[3] ?? "");
  }
  return { essence, parameters };
}
